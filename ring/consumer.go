package ring

import (
	"context"

	"github.com/headrace/headrace/internal/atomic"
	"github.com/headrace/headrace/internal/cpu"
)

// Handler handles the events of one consumer.
//
// HandleSpan gets the events [first, first+len(span)), which lie one after another in span. They
// are published, and handled by every consumer that this one comes after. The handler may change
// them if nothing else reads them at that time; the slice is valid until it returns, or until the
// events are released. A batch that a producer published may come in more than one span.
//
// An error, a panic or a runtime.Goexit halts the ring, unless ConsumerOptions.OnError says
// otherwise; see ConsumerError. HandleSpan is called from one goroutine, the consumer's own (after a
// Goexit that ErrorPolicy passes over, a new one), in sequence order, each event once, or again
// after a retry or a Rewind. Aborted events are left out: spans end before them.
//
// A handler may have more methods: StartHandler, BatchHandler, AbortHandler, StopHandler,
// ParkHandler.
//
// From inside HandleSpan, Close fences the producers and returns ErrWouldDeadlock at once, while
// the ring goes on draining; Claim returns ErrWouldDeadlock when only the handler's own return
// could free the slots; WaitFor does the same for what cannot come before the handler returns, and Leave.
// That holds for circles too: of handlers of a ring that wait for each other by such calls, the last to begin
// returns ErrWouldDeadlock, although the context of another could end the circle. Waits of another kind,
// such as for a channel, and those for another ring are not seen.
type Handler[T any] interface {
	HandleSpan(first int64, span []T) error
}

// HandlerFunc is a function as a Handler.
type HandlerFunc[T any] func(first int64, span []T) error

// HandleSpan calls f.
func (f HandlerFunc[T]) HandleSpan(first int64, span []T) error { return f(first, span) }

// Consumer is a named place in the graph of a ring's consumers. Its methods may be called from
// any goroutine, except Release, and do not allocate.
type Consumer struct {
	seq    *sequencer
	name   string
	parked any   // *parking[T], nil for pollers
	polled bool  // it has no goroutine
	group  group // whose lane it is, nil if of none; set before it runs
	_      cpu.Pad

	// cursor is stored by the consumer's goroutine, each time with a full fence. Everything up to
	// it is handled.
	cursor cursor
	_      cpu.Pad

	gate gate // for cursor
	_    cpu.Pad

	// Seldom written.
	link      atomic.Pointer[link] // what the consumer comes after
	leaveAt   atomic.Int64         // it leaves the graph once its cursor is here or past it
	goroutine atomic.Int64         // id, 0 while it does not run
	launched  atomic.Bool          // it is one of those that the ring waits for
	stopped   atomic.Bool          // cursor moves no more
	complete  atomic.Bool          // and it is at the last sequence of a closed ring
	left      atomic.Bool          // and it is not in the graph any more
	gone      chan struct{}        // closed after stopped is set
	wait      wait                 // what its handler waits for; zero: nothing. Guarded by seq.waiting.mu, like
	seen      int64                // the last search that came by

	counts counts
	// Only for Stats, and seldom written.
	skipped, parkedEvents, retries atomic.Int64
	blocking                       stopwatch // waits of producers that it holds back
	_                              cpu.Pad

	spanEnd int64 // last sequence of the span that the handler is in; its goroutine's own
	_       cpu.Pad
}

// Name returns the name given to Ring.Consume.
func (c *Consumer) Name() string { return c.name }

// Cursor returns the last sequence that the consumer has handled, FirstSequence-1 if none.
func (c *Consumer) Cursor() int64 { return c.cursor.Load() }

// Lag returns how many published events the consumer has not handled yet.
func (c *Consumer) Lag() int64 {
	cursor := c.cursor.Load() // before the ring's, so that the difference is never negative
	return max(0, c.seq.highest()-cursor)
}

// WaitFor blocks until the consumer has handled seq. It returns ctx.Err() when ctx ends first;
// when the consumer has stopped below seq, ErrLeft, ErrClosed, or ErrHalted wrapping the *ConsumerError
// that was the cause; ErrWouldDeadlock from inside a handler that seq cannot be handled without; see Handler.
// Before Start it waits for the start.
func (c *Consumer) WaitFor(ctx context.Context, seq int64) error {
	if c.cursor.Load() >= seq {
		return nil
	}
	if self := c.seq.current(); self != nil {
		if !c.seq.blocks(self, wait{on: c, seq: seq}) {
			return ErrWouldDeadlock
		}
		defer c.seq.unblocks(self)
	}
	ready := func() bool { return c.cursor.Load() >= seq || c.stopped.Load() }
	w := WaitAdaptive().begin(habit{})
	defer w.end()
	for !ready() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !w.step() {
			p := parkers.Get().(*parker)
			c.gate.park(p, seq, ready, ctx.Done())
			parkers.Put(p)
		}
	}
	if c.cursor.Load() >= seq { // stopped is stored after the last move of cursor
		return nil
	}
	if c.left.Load() {
		return ErrLeft
	}
	return c.seq.stopError()
}

// reaches tells whether d is c or comes after it.
func (c *Consumer) reaches(d *Consumer) bool {
	if c == d {
		return true
	}
	for _, up := range d.after() {
		if c.reaches(up) {
			return true
		}
	}
	return false
}

// Release makes the consumer's progress up to seq visible before the handler returns: consumers
// after it may handle, and then producers overwrite, the events up to seq. It may be called only
// by the handler, for an event of the span that it is in; other sequences are ignored.
func (c *Consumer) Release(seq int64) {
	if seq > c.cursor.Load() && seq <= c.spanEnd {
		c.progress(seq)
	}
}

// progress moves the cursor to seq, which is not below it.
func (c *Consumer) progress(seq int64) {
	c.cursor.Store(seq)
	c.gate.notify(seq)
}

// after returns the consumers that c comes after now.
func (c *Consumer) after() []*Consumer { return c.link.Load().after }

// leaving tells whether c has to leave, its cursor being where it is.
func (c *Consumer) leaving(cursor int64) bool { return c.leaveAt.Load() <= cursor }
