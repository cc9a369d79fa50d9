package headrace

import (
	"context"
	"fmt"
	"time"

	"github.com/headrace/headrace/handlers"
)

// WaitIdle returns when nothing is under way: all that was published is handled by every lane and projection, all that
// they emitted too, effects have called and their answers are handled, and timers that are due by Options.Clock have
// fired. What waits for a later time, such as a retry or an open circuit, and what is a dead letter is not under way. While
// others go on publishing it may never return. It is for tests, and for programs that run to an end; followers
// are not waited for.
//
// Errors: that of ctx, wrapped in one that says what was waited for; ErrHalted, ErrClosed; ErrWouldDeadlock in a handler, and in the call of an effect.
func (e *Engine) WaitIdle(ctx context.Context) error {
	if handlers.InLane(ctx) || handlers.OnLane(e.lanes) || e.insideEffect(ctx) {
		return ErrWouldDeadlock
	}
	for {
		last := e.ring.Cursor()
		for _, c := range e.consumers {
			if c == e.waits[syncStage] {
				e.journal.RequestSync()
			}
			if err := c.WaitFor(ctx, last); err != nil {
				return e.stopped(ctx, err, "%s", e.at(c, last))
			}
		}
		if err := e.feedback.WaitBelow(ctx, 0); err != nil {
			return e.stopped(ctx, err, "%d bytes that handlers have emitted wait for the ring, and %s", e.feedback.Bytes(), e.slowest())
		}
		if e.ring.Cursor() != last {
			continue
		}
		moves := e.moves()
		if moves == "" {
			if e.ring.Cursor() != last {
				continue
			}
			return e.haltedOrNil()
		}
		// A call that ends, and a tick, put an event into the log.
		if err := e.journaler.WaitFor(ctx, last+1); err != nil {
			return e.stopped(ctx, err, "%s", moves)
		}
	}
}

// moves says which call or timer is about to put something into the log, "" for none. A circuit whose time is over lets a call
// through, also if nobody has seen to that yet.
func (e *Engine) moves() string {
	now := e.options.Clock.Now()
	for _, x := range e.effects {
		s := x.Stats()
		shut := s.Circuit == handlers.CircuitOpen && now.Before(s.Until)
		if s.Running > 0 || s.Waiting > 0 && !shut {
			return calls(s)
		}
	}
	if next := e.nextTimer(); !next.IsZero() && !now.Before(next) {
		return fmt.Sprintf("a timer has been due since %v", next)
	}
	return ""
}

// nextTimer is when the first timer is due, zero if none waits.
func (e *Engine) nextTimer() time.Time {
	if e.timers == nil {
		return time.Time{}
	}
	if due, waiting := e.timers.Next(); waiting {
		return time.Unix(0, due)
	}
	return time.Time{}
}
