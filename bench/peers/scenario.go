package main

import (
	"fmt"
	"regexp"
	"time"
)

// reference is the system that the others are compared with.
const reference = "headrace"

// Scenario is one piece of work and the systems that can do it.
type Scenario struct {
	Name    string // "package/what", as in "ring/one-to-one"
	About   string // one line for the table's head
	Work    Work
	Want    func(Work) uint64 // sum that every round must deliver
	Systems []System          // in the order of the table

	// Threads is how many goroutines work at the same time, 0 = 2. With more of them than
	// GOMAXPROCS the scenario is marked as oversubscribed: it then shows how waiters give way to
	// those who have work, more than it shows the ring.
	Threads int
	// LatencyOnly leaves out the rounds without pace; every system must be a Pacer. The rate shown is
	// then the one that was reached, which is the paced one unless the system cannot keep it up.
	LatencyOnly bool
}

// threads is how many goroutines work at the same time.
func (sc Scenario) threads() int {
	if sc.Threads == 0 {
		return 2
	}
	return sc.Threads
}

// oversubscribed tells whether these are more than procs processors can run.
func (sc Scenario) oversubscribed(procs int) bool { return sc.threads() > procs }

// System is one way to do a scenario's work.
type System struct {
	Name string
	// Open prepares the system: what a process does once. It is not timed.
	Open func(Work) (Bench, error)
}

// Bench is an opened system. The runner calls it from one goroutine at a time.
type Bench interface {
	// Round does the work once.
	Round() (Result, error)
	// Close gives back what Open took.
	Close() error
}

// Pacer is implemented by a Bench that can also show its latency: Paced publishes
// Work.PacedEvents at Work.PacedRate and records, for each, the time from when it was due (not from
// when it was sent: a stalled publisher counts) until it was handled. It returns what Round
// does for Work.Events.
type Pacer interface {
	Paced(h *Histogram) (Result, error)
}

// Result is what one round did.
type Result struct {
	Start   time.Time     // of Elapsed; may be zero where nobody asks
	Elapsed time.Duration // from the first event's claim until the last is consumed or written
	Sum     uint64        // of what was read back
}

// roundFunc is a Bench without state between rounds.
type roundFunc func() (Result, error)

func (f roundFunc) Round() (Result, error) { return f() }
func (f roundFunc) Close() error           { return nil }

// each makes an Open of a function that does one round.
func each(round func(Work) (Result, error)) func(Work) (Bench, error) {
	return func(w Work) (Bench, error) {
		return roundFunc(func() (Result, error) { return round(w) }), nil
	}
}

// choose returns the scenarios with those systems whose "scenario/system" matches re, without the
// scenarios of which nothing is left. A nil re keeps all.
func choose(all []Scenario, re *regexp.Regexp) []Scenario {
	if re == nil {
		return all
	}
	var kept []Scenario
	for _, sc := range all {
		var systems []System
		for _, sys := range sc.Systems {
			if re.MatchString(sc.Name + "/" + sys.Name) {
				systems = append(systems, sys)
			}
		}
		if len(systems) > 0 {
			sc.Systems = systems
			kept = append(kept, sc)
		}
	}
	return kept
}

// SumError reports a round that delivered something else than was written.
type SumError struct {
	Got, Want uint64
}

func (e *SumError) Error() string {
	return fmt.Sprintf("wrong sum: read %#x, wrote %#x; events were lost, doubled or changed", e.Got, e.Want)
}

// RoundError says which system of which scenario failed, and when.
type RoundError struct {
	Scenario, System string
	Round            int // from 1, warm-up rounds included; 0 = while opening
	Err              error
}

func (e *RoundError) Error() string {
	return fmt.Sprintf("%s: %s: round %d: %v", e.Scenario, e.System, e.Round, e.Err)
}

func (e *RoundError) Unwrap() error { return e.Err }
