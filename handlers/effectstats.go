package handlers

import (
	"time"
)

// EffectStats is a look at an effect.
type EffectStats struct {
	Name     string
	Waiting  int   // causes that wait for a worker, or behind another of their key that is not parked
	Running  int   // calls, and answers on their way into the log
	Retrying int   // parked until their next attempt
	Dead     int   // dead letters
	LowWater int64 // every cause up to here is answered
	Calls    int64 // begun since Open
	Failures int64 // of them

	Circuit  string    // CircuitClosed, CircuitOpen or CircuitHalfOpen; "" = there is none
	Until    time.Time // of an open one
	Openings int64     // since Open
}

// Stats reads the effect's figures. It may be called from any goroutine, and takes time in proportion to what is
// not answered.
func (e *Effect) Stats() EffectStats {
	e.lane.lock.Lock()
	defer e.lane.lock.Unlock()
	s := EffectStats{Name: e.name, LowWater: e.lane.applied}
	for cause, w := range e.log.value.Calls {
		s.LowWater = min(s.LowWater, cause-1)
		switch {
		case w.Parked && w.Last.Outcome == OutcomeDead:
			s.Dead++
		case w.Parked:
			s.Retrying++
		}
	}
	if r := e.run; r != nil {
		s.Waiting, s.Running, s.Calls, s.Failures = r.waiting, len(r.running), r.calls, r.failures
		if r.breaker.Failures > 0 {
			s.Circuit, s.Openings = r.breaker.state, r.breaker.openings
			if r.breaker.state == CircuitOpen {
				s.Until = r.breaker.until
			}
		}
	}
	return s
}
