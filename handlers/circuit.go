package handlers

import (
	"fmt"
	"time"
)

// Circuit keeps an effect from calling a party that is down. It is closed at first: calls go through. After Failures
// calls in a row have failed it is open: no call is made for OpenFor. Then it is half-open: up to Probes calls go
// through, and if all of them succeed it is closed, while one that fails opens it again.
//
// What a circuit decides is not in the log, and no state depends on it: it only says when a call is made. With FailFast
// what it refuses is a failure like any other, and the log has it. Every engine begins with a closed one.
type Circuit struct {
	// Failures is how many calls in a row fail before it opens: [1, 1<<20]. Default 0: there is no circuit. An
	// error marked with Permanent does not count: the party has answered.
	Failures int

	OpenFor time.Duration // default 30 s
	Probes  int           // [1, 1<<20], default 1

	// FailFast makes an open circuit fail what it would call, with ReasonCircuit, which uses up an attempt. By
	// default causes wait until it closes.
	FailFast bool
}

// States of a circuit, as EffectStats names them.
const (
	CircuitClosed   = "closed"
	CircuitOpen     = "open"
	CircuitHalfOpen = "half-open"
)

func (c Circuit) withDefaults() (Circuit, error) {
	if c.OpenFor == 0 {
		c.OpenFor = 30 * time.Second
	}
	if c.Probes == 0 {
		c.Probes = 1
	}
	switch {
	case c.Failures < 0 || c.Failures > 1<<20:
		return c, fmt.Errorf("Circuit.Failures = %d: want [0, 1,048,576]", c.Failures)
	case c.OpenFor < 0:
		return c, fmt.Errorf("Circuit.OpenFor = %v is negative", c.OpenFor)
	case c.Probes < 1 || c.Probes > 1<<20:
		return c, fmt.Errorf("Circuit.Probes = %d: want [1, 1,048,576]", c.Probes)
	}
	return c, nil
}

// breaker is a circuit at work. The lane's lock guards it.
type breaker struct {
	Circuit
	state    string
	failures int       // in a row, while closed
	probing  int       // calls under way, while half-open
	passed   int       // of them, how many have succeeded
	since    int       // how often the state has changed: results from before the last change count for nothing
	until    time.Time // of an open one
	openings int64
}

func newBreaker(c Circuit) breaker { return breaker{Circuit: c, state: CircuitClosed} }

// allows tells whether a call may be made now.
func (b *breaker) allows() bool {
	switch b.state {
	case CircuitOpen:
		return false
	case CircuitHalfOpen:
		return b.probing+b.passed < b.Probes
	}
	return true
}

// begin notes a call that is made, and returns what end wants to know.
func (b *breaker) begin() (since int) {
	if b.state == CircuitHalfOpen {
		b.probing++
	}
	return b.since
}

// end notes what came of a call, at the time now. It tells whether the circuit has opened.
func (b *breaker) end(since int, ok bool, now time.Time) (opened bool) {
	if b.Failures == 0 || since != b.since {
		return false
	}
	switch {
	case b.state == CircuitHalfOpen && ok:
		b.probing--
		if b.passed++; b.passed >= b.Probes {
			b.change(CircuitClosed)
		}
	case b.state == CircuitHalfOpen:
		return b.open(now)
	case ok:
		b.failures = 0
	default:
		if b.failures++; b.failures >= b.Failures {
			return b.open(now)
		}
	}
	return false
}

func (b *breaker) open(now time.Time) bool {
	b.change(CircuitOpen)
	b.until = now.Add(b.OpenFor)
	b.openings++
	return true
}

func (b *breaker) change(state string) {
	b.state, b.failures, b.probing, b.passed = state, 0, 0, 0
	b.since++
}
