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
// Errors: that of ctx; ErrHalted, ErrClosed; ErrWouldDeadlock in a handler, and in the call of an effect.
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
				return e.stopped(ctx, fmt.Errorf("headrace: lane %q is at %d of %d: %w", c.Name(), c.Cursor(), last, e.translate(err)))
			}
		}
		if err := e.feedback.WaitBelow(ctx, 0); err != nil {
			return e.stopped(ctx, err)
		}
		if e.ring.Cursor() != last {
			continue
		}
		if !e.moves() {
			if e.ring.Cursor() != last {
				continue
			}
			return e.haltedOrNil()
		}
		// A call that ends, and a tick, put an event into the log.
		if err := e.journaler.WaitFor(ctx, last+1); err != nil {
			return e.stopped(ctx, err)
		}
	}
}

// moves tells whether a call or a timer is about to put something into the log. A circuit whose time is over lets a call
// through, also if nobody has seen to that yet.
func (e *Engine) moves() bool {
	now := e.options.Clock.Now()
	for _, x := range e.effects {
		s := x.Stats()
		shut := s.Circuit == handlers.CircuitOpen && now.Before(s.Until)
		if s.Running > 0 || s.Waiting > 0 && !shut {
			return true
		}
	}
	next := e.nextTimer()
	return !next.IsZero() && !now.Before(next)
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
