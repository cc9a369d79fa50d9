package headrace

import (
	"context"
	"fmt"

	"github.com/headrace/headrace/handlers"
)

// Parked returns the events that handlers could not handle and that hold up their keys, by sequence: those
// that wait for a retry and the dead letters. It may be called at any time, from any goroutine.
func (e *Engine) Parked() []handlers.Parked {
	var all []handlers.Parked
	for _, l := range e.lanes {
		all = append(all, l.Parked()...)
	}
	return all
}

// DeadLetters returns those of Parked that wait for Redrive or Discard.
func (e *Engine) DeadLetters() []handlers.Parked {
	var dead []handlers.Parked
	for _, p := range e.Parked() {
		if p.Dead {
			dead = append(dead, p)
		}
	}
	return dead
}

// Redrive makes the handler try the parked event seq again, with today's code and upcasters, and returns the
// sequence of the Redeliver event that does it. If it fails, it is a dead letter again, or its retries go
// on. If not, those behind it follow, in order.
//
// Errors: ErrNotParked, and those of Publish.
func (e *Engine) Redrive(ctx context.Context, handler string, seq int64) (int64, error) {
	m, err := e.parked(handler, seq)
	if err != nil {
		return 0, err
	}
	return publishSystem(ctx, e.ticker, handlers.Redeliver{Handler: handler, Cause: seq}, m)
}

// Discard gives up the parked event seq, for this handler, and returns the sequence of the Discarded event that
// does it. Those that wait behind it follow. Errors are those of Redrive.
func (e *Engine) Discard(ctx context.Context, handler string, seq int64) (int64, error) {
	m, err := e.parked(handler, seq)
	if err != nil {
		return 0, err
	}
	return publishSystem(ctx, e.ticker, handlers.Discarded{Handler: handler, Cause: seq}, m)
}

// parked returns what the events that go on with a parked one carry.
func (e *Engine) parked(handler string, seq int64) (Meta, error) {
	for _, p := range e.Parked() {
		if p.Handler == handler && p.Sequence == seq {
			return Meta{Key: p.Key, CorrelationID: p.CorrelationID, CausationID: p.FailedID}, nil
		}
	}
	return Meta{}, fmt.Errorf("%w: handler %q, event %d", ErrNotParked, handler, seq)
}
