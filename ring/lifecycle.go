package ring

import (
	"context"
	"fmt"

	"github.com/headrace/headrace/internal/block"
)

// Close refuses new claims with ErrClosed, waits until everything claimed is published and every
// consumer has handled the last of it, and stops the consumers. After it returned nil, nothing is
// lost and no goroutine of the ring remains.
//
// If ctx ends first, the error is a *DrainError that names who is late; the ring goes on draining.
// If a consumer failed, or Halt was called before the ring was drained, Close waits for the
// consumers to stop and returns ErrHalted (wrapping the *ConsumerError). On a ring that was never
// started it returns ErrNotStarted if something was claimed.
//
// Close may be called from any goroutine and again; every call waits. From inside a handler it
// fences the producers and returns ErrWouldDeadlock at once, and Done tells the end.
func (r *Ring[T]) Close(ctx context.Context) error {
	r.seq.fence()
	r.seq.wakeEverybody()
	if !r.endUnstarted() {
		if r.seq.current() != nil {
			return ErrWouldDeadlock
		}
		if !block.Recvd(r.done) && !block.RecvOr(r.done, ctx.Done()) {
			return r.drainError(ctx.Err())
		}
	}
	return r.closeError()
}

// Halt stops every consumer after the span that it is in, whatever remains, and makes every
// blocked or later claim fail. It does not wait; Done tells the end. It may be called from any
// goroutine, a handler included, and again. After a complete Close it does nothing.
func (r *Ring[T]) Halt() {
	if block.Recvd(r.done) {
		return
	}
	r.halt()
	r.endUnstarted()
}

func (r *Ring[T]) halt() {
	r.seq.state.Or(stateHalted | stateClosed)
	r.seq.fence()
	r.seq.wakeEverybody()
	if all := r.seq.everybody.Load(); all != nil {
		for _, c := range *all {
			if c.polled {
				r.consumerStopped(c)
			}
		}
	}
}

// endUnstarted ends a ring that has no consumers running because it never started.
func (r *Ring[T]) endUnstarted() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.started {
		return false
	}
	if !r.ended {
		r.ended = true
		for _, c := range r.consumers {
			c.stopped.Store(true)
			block.Close(c.gone)
			c.gate.wakeAll()
		}
		block.Close(r.done)
	}
	return true
}

// fail halts the ring for a consumer that cannot go on. It runs on the consumer's goroutine.
func (r *Ring[T]) fail(cause *ConsumerError) {
	first := r.seq.failed.CompareAndSwap(nil, &failure{cause: cause})
	r.halt()
	if first && r.onError != nil {
		defer func() { _ = recover() }()
		r.onError(cause)
	}
}

// consumerStopped is the last thing that a consumer's goroutine does. For a consumer that has
// stopped already it does nothing.
func (r *Ring[T]) consumerStopped(c *Consumer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.stopped.Load() {
		return
	}
	c.goroutine.Store(0)
	c.stopped.Store(true)
	if c.leaveAt.Load() < never && !c.complete.Load() && !r.seq.halted() {
		r.unlink(c)
	}
	c.gate.wakeAll()
	block.Close(c.gone)
	if r.running--; r.running == 0 {
		r.ended = true
		block.Close(r.done)
	}
}

// wakeEverybody makes all who are parked look at the state again.
func (s *sequencer) wakeEverybody() {
	s.changed.wakeAll()
	s.published.wakeAll()
	if all := s.everybody.Load(); all != nil {
		for _, c := range *all {
			c.gate.wakeAll()
		}
	}
	if g := s.gating.Load(); g != nil { // it may have one that is only about to join
		for _, c := range g.consumers {
			c.gate.wakeAll()
		}
	}
}

// late returns the consumers below seq.
func (r *Ring[T]) late(seq int64) []ConsumerStats {
	var out []ConsumerStats
	for _, c := range r.snapshot() {
		if cursor := c.Cursor(); cursor < seq {
			out = append(out, ConsumerStats{Name: c.name, Cursor: cursor, Lag: c.Lag()})
		}
	}
	return out
}

func (r *Ring[T]) drainError(err error) error {
	claimed := r.seq.claimed()
	return &DrainError{Claimed: claimed, Published: min(r.Cursor(), claimed), Late: r.late(claimed), Err: err}
}

// closeError is the outcome of a Close after which nothing runs.
func (r *Ring[T]) closeError() error {
	if f := r.seq.failed.Load(); f != nil {
		return f
	}
	all := r.seq.everybody.Load()
	if all == nil {
		if claimed := r.seq.claimed(); claimed >= r.seq.first {
			return fmt.Errorf("%w: sequences %d to %d were never handled", ErrNotStarted, r.seq.first, claimed)
		}
		return nil
	}
	// Not by comparing cursors with claimed: a single producer that runs into the closed ring just
	// now shows a claim that it takes back.
	for _, c := range *all {
		if !c.complete.Load() {
			return ErrHalted
		}
	}
	return nil
}
