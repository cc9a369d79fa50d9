package headrace

import (
	"context"
	"errors"
	"fmt"

	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/ring"
)

// WaitWritten returns when the event seq, and so every one before it, is written: the death of the process
// cannot take it. If ctx ends first it returns that error, wrapped in one that says how far things are, and ErrHalted or ErrClosed if
// the engine stopped before seq was written.
func (e *Engine) WaitWritten(ctx context.Context, seq int64) error {
	if e.journal.Written() >= seq {
		return nil
	}
	return e.await(ctx, e.journaler, seq)
}

// WaitDurable returns when the event seq, and so every one before it, is durable: a power cut cannot take
// it. How long that takes is a matter of the journal's durability; in mode None the call itself asks
// for a sync, which all who wait share. Errors are those of WaitWritten, and the journal's if a sync
// failed.
func (e *Engine) WaitDurable(ctx context.Context, seq int64) error {
	if e.journal.Durable() >= seq {
		return nil
	}
	if err := e.WaitWritten(ctx, seq); err != nil {
		return err
	}
	if err := e.journal.WaitDurable(ctx, seq); err != nil {
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			return e.stopped(ctx, err, "event %d is not durable, only %d is", seq, e.journal.Durable())
		}
		return err
	}
	return nil
}

// WaitFor returns when the lane or projection of this name has handled the event seq. Errors are
// those of WaitWritten, and ErrUnknownLane.
func (e *Engine) WaitFor(ctx context.Context, lane string, seq int64) error {
	c, ok := e.waits[lane]
	if !ok {
		return fmt.Errorf("%w: %q", ErrUnknownLane, lane)
	}
	for _, l := range e.lanes {
		if l.Name() == lane {
			return e.awaitLane(ctx, c, l, seq)
		}
	}
	return e.await(ctx, c, seq)
}

func (e *Engine) await(ctx context.Context, c *ring.Consumer, seq int64) error {
	if c.Cursor() >= seq {
		return nil
	}
	if handlers.InLane(ctx) || handlers.OnLane(e.lanes) {
		return ErrWouldDeadlock
	}
	if err := c.WaitFor(ctx, seq); err != nil {
		return e.stopped(ctx, err, "%s", e.at(c, seq))
	}
	return nil
}

// onLane returns ErrWouldDeadlock on the goroutine of a lane, which must not wait for producers: they may wait for it.
func (e *Engine) onLane() error {
	if handlers.OnLane(e.lanes) {
		return errEmitInstead
	}
	return nil
}

// Written is the highest sequence that is in the page cache, Durable the highest that is synced.
func (e *Engine) Written() int64 { return e.journal.Written() }

// Durable is the highest sequence that is synced.
func (e *Engine) Durable() int64 { return e.journal.Durable() }
