package handlers

import (
	"errors"
	"fmt"
	"math"
	"time"
	"unicode/utf8"
)

// FailurePolicy says what becomes of an event on which a handler fails: when it returns an error,
// panics, takes longer than Timeout, or gets a payload that cannot be decoded. The zero policy halts the
// engine.
//
// Any other outcome is a Failed event, the handler's answer to the event; so it is decided once,
// and replay applies it instead of trying again.
//
// While an event waits for its retry, and for as long as it is a dead letter, its key is parked for this
// handler: later events with the key wait behind it, in order, and are handled when it is through.
// Other keys and other handlers go on. An event without a key parks nothing but itself.
type FailurePolicy struct {
	Retries int // how often it is tried again, [0, 1<<20]
	Backoff Backoff

	// Timeout is how long one call may take; 0 = for ever. A call cannot be stopped from outside: its Context
	// ends, and when it returns late what it emitted is dropped. One that never returns stops its lane.
	Timeout time.Duration

	// Then is what happens when the retries are used up.
	Then Then
}

// Backoff is how long a retry waits: First before the first, Factor times as long before each one after
// that, but never longer than Max. By default 1 s, 2, and 1 hour.
type Backoff struct {
	First  time.Duration
	Factor float64
	Max    time.Duration
}

// Then is the end of an event that a handler cannot handle.
type Then uint8

const (
	// ThenHalt stops the engine before the event; it fails again at the next Open, unless the handler is fixed.
	ThenHalt Then = iota
	// ThenDeadLetter keeps its key parked until somebody redrives or discards the event.
	ThenDeadLetter
	// ThenSkip goes on without it.
	ThenSkip
)

// Outcomes, as they stand in a Failed event.
const (
	OutcomeRetry   = "retry"   // it is tried again at RetryAt
	OutcomeDead    = "dead"    // it is a dead letter
	OutcomeSkipped = "skipped" // it is left out
)

// Reasons, as they stand in a Failed event.
const (
	ReasonError   = "error"
	ReasonPanic   = "panic"
	ReasonTimeout = "timeout"
	ReasonDecode  = "decode"
	ReasonCircuit = "circuit" // of an effect: not called, because its circuit is open
)

// ErrTimeout reports a handler that took longer than its policy allows.
var ErrTimeout = errors.New("handlers: handler took longer than its timeout")

// Failed says that a handler could not handle an event, and what becomes of it. Its key is the event's.
type Failed struct {
	Handler string `msgpack:"handler"`
	Cause   int64  `msgpack:"cause"`   // sequence of the event
	Attempt int    `msgpack:"attempt"` // from 1
	Reason  string `msgpack:"reason"`
	Message string `msgpack:"message"` // up to 256 bytes of it
	Outcome string `msgpack:"outcome"`
	RetryAt int64  `msgpack:"retry_at,omitempty"` // unix nanoseconds
}

// Redeliver makes a handler try an event again that it has parked: when a retry is due, when the event
// before it with the same key is through, when somebody redrives it. Its key is the event's.
type Redeliver struct {
	Handler string `msgpack:"handler"`
	Cause   int64  `msgpack:"cause"`
}

// Discarded makes a handler give up an event that it has parked. Its key is the event's.
type Discarded struct {
	Handler string `msgpack:"handler"`
	Cause   int64  `msgpack:"cause"`
}

const messageBytes = 256

func (p FailurePolicy) withDefaults() (FailurePolicy, error) {
	b := &p.Backoff
	if b.First == 0 {
		b.First = time.Second
	}
	if b.Factor == 0 {
		b.Factor = 2
	}
	if b.Max == 0 {
		b.Max = time.Hour
	}
	switch {
	case p.Retries < 0 || p.Retries > 1<<20:
		return p, fmt.Errorf("FailurePolicy.Retries = %d: want [0, 1,048,576]", p.Retries)
	case b.First < 0 || b.Max < 0:
		return p, fmt.Errorf("FailurePolicy.Backoff: a time is negative")
	case !(b.Factor >= 1) || math.IsInf(b.Factor, 0):
		return p, fmt.Errorf("FailurePolicy.Backoff.Factor = %v: want at least 1", b.Factor)
	case p.Timeout < 0:
		return p, fmt.Errorf("FailurePolicy.Timeout = %v is negative", p.Timeout)
	case p.Then > ThenSkip:
		return p, fmt.Errorf("FailurePolicy.Then = %d: want ThenHalt, ThenDeadLetter or ThenSkip", p.Then)
	}
	return p, nil
}

// delay is how long to wait after the attempt, from 1.
func (b Backoff) delay(attempt int) time.Duration {
	d := float64(b.First) * math.Pow(b.Factor, float64(attempt-1))
	if d >= float64(b.Max) { // infinity too
		return b.Max
	}
	return time.Duration(d)
}

// OnFailure sets the policy of the handler with this id. It must be on the lane, and the lane behind the
// journal; else Bind reports a fault.
//
// A Decide handler that fails has changed nothing. One registered with On may have changed half of what it
// meant to: so it can have a policy only on a lane that declares all of its state with Keep and
// evolves nothing, and when it fails the lane's states are made anew, from the log up to the event. That
// takes as long as a replay of the lane.
func (l *Lane) OnFailure(id string, p FailurePolicy) {
	if l.policies == nil {
		l.policies = map[string]FailurePolicy{}
	}
	l.policies[id] = p
}

// failed is one call that came to nothing.
type failed struct {
	reason string
	err    error
}

// verdict is what the policy says of the attempt, at the time now. false means that the lane has to stop.
func (p FailurePolicy) verdict(handler string, cause int64, attempt int, now int64, why failed) (Failed, bool) {
	f := Failed{Handler: handler, Cause: cause, Attempt: attempt, Reason: why.reason, Message: short(why.err.Error(), messageBytes)}
	switch {
	case attempt <= p.Retries:
		f.Outcome, f.RetryAt = OutcomeRetry, now+int64(p.Backoff.delay(attempt))
	case p.Then == ThenDeadLetter:
		f.Outcome = OutcomeDead
	case p.Then == ThenSkip:
		f.Outcome = OutcomeSkipped
	default:
		return f, false
	}
	return f, true
}

// short cuts a text to n bytes at most, between two runes.
func short(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// reasonOf tells a decoder's failure and a panic from an error.
func reasonOf(err error) string {
	var p *PanicError
	if errors.As(err, &p) {
		return ReasonPanic
	}
	return ReasonError
}
