package ring

import (
	"context"
	"runtime"
	"runtime/debug"
	"sync/atomic"

	"github.com/smartystreets-prototypes/go-disruptor"

	"github.com/headrace/headrace/internal/cpu"
)

// Handler handles the events of one consumer.
//
// HandleSpan gets the events [first, first+len(span)), which lie one after another in span. They
// are published, and handled by every consumer that this one comes after. The handler may change
// them if nothing else reads them at that time; the slice is valid until it returns, or until the
// events are released. A batch that a producer published may come in more than one span.
//
// An error, a panic or a runtime.Goexit halts the ring; see ConsumerError. HandleSpan is called
// from one goroutine, the consumer's own, in sequence order, each event once.
//
// From inside HandleSpan, Close fences the producers and returns ErrWouldDeadlock at once, while
// the ring goes on draining; Claim returns ErrWouldDeadlock when only the handler's own return
// could free the slots; WaitFor does the same for what cannot come before the handler returns.
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
	seq   *sequencer
	name  string
	after []*Consumer
	_     cpu.Pad

	// cursor is stored by the consumer's goroutine, each time with a full fence. Everything up to
	// it is handled.
	cursor disruptor.Cursor
	_      cpu.Pad

	gate gate // for cursor
	_    cpu.Pad

	spanEnd   int64        // last sequence of the span that the handler is in; its goroutine's own
	goroutine atomic.Int64 // id, 0 while it does not run
	stopped   atomic.Bool  // cursor moves no more
	complete  atomic.Bool  // and it is at the last sequence of a closed ring
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
// when the consumer has stopped below seq, ErrClosed, or ErrHalted wrapping the *ConsumerError that
// was the cause; ErrWouldDeadlock from inside a handler that seq cannot be handled without.
// Before Start it waits for the start.
func (c *Consumer) WaitFor(ctx context.Context, seq int64) error {
	if c.cursor.Load() >= seq {
		return nil
	}
	if self := c.seq.current(); self != nil && self.cursor.Load() < seq && self.reaches(c) {
		return ErrWouldDeadlock
	}
	ready := func() bool { return c.cursor.Load() >= seq || c.stopped.Load() }
	w := WaitAdaptive().begin()
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
	return c.seq.stopError()
}

// reaches tells whether d is c or comes after it.
func (c *Consumer) reaches(d *Consumer) bool {
	if c == d {
		return true
	}
	for _, up := range d.after {
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
		c.cursor.Store(seq)
		c.gate.notify(seq)
	}
}

// loop is a consumer at work: what disruptor.Reader calls, on the consumer's goroutine.
//
// Reader loads the barrier, calls Consume for what is new, then stores the cursor at the end of
// it; when there is nothing it calls Idle. So the wake-ups that belong to Reader's own store are
// made up for at the beginning of the next call, and a loop that must stop without moving the
// cursor leaves with runtime.Goexit.
type loop[T any] struct {
	*Consumer
	ring     *Ring[T]
	handler  Handler[T]
	maxBatch int64
	wait     WaitStrategy
	upstream disruptor.Barrier
	reader   *disruptor.DefaultReader
	parker   *parker
	chase    chase
}

func (l *loop[T]) run() {
	defer l.ring.consumerStopped(l.Consumer)
	l.goroutine.Store(goroutineID())
	l.reader.Read()
}

// Consume hands [lo, hi] to the handler in spans. Of the last span the cursor is left to Reader.
func (l *loop[T]) Consume(lo, hi int64) {
	l.gate.notify(lo - 1)
	slots := l.ring.slots
	for {
		if l.seq.halted() {
			runtime.Goexit()
		}
		at := int(lo & int64(len(slots)-1))
		n := int(min(hi-lo+1, l.maxBatch, int64(len(slots)-at)))
		end := lo + int64(n) - 1
		l.spanEnd = end
		l.handle(lo, slots[at:at+n:at+n])
		l.spanEnd = 0
		if end == hi {
			return
		}
		l.cursor.Store(end)
		l.gate.notify(end)
		lo = end + 1
	}
}

// handle calls the handler and does not return if it fails.
func (l *loop[T]) handle(first int64, span []T) {
	if stack, err := l.call(first, span); err != nil {
		l.ring.fail(&ConsumerError{Consumer: l.name, Sequence: first, Err: err, Stack: stack})
		runtime.Goexit()
	}
}

func (l *loop[T]) call(first int64, span []T) (stack []byte, err error) {
	returned := false
	defer func() {
		if returned {
			return
		}
		if v := recover(); v != nil {
			stack, err = debug.Stack(), &PanicError{Value: v}
			return
		}
		// The goroutine is ending, and nothing after this function runs.
		l.ring.fail(&ConsumerError{Consumer: l.name, Sequence: first, Err: ErrGoexit})
	}()
	err = l.handler.HandleSpan(first, span)
	returned = true
	return nil, err
}

// Gate is never called, because Reader is given the consumer's own cursor as the written one; it
// is here for the interface.
func (l *loop[T]) Gate(count int64) { l.Idle(count) }

// Idle returns when there is something to read, or when the ring is closed and nothing is left.
func (l *loop[T]) Idle(int64) {
	cursor := l.cursor.Load()
	l.gate.notify(cursor)
	next := cursor + 1
	l.chase.rest(cursor)
	w := l.wait.begin()
	for l.upstream.Load() < next {
		if l.seq.state.Load() != 0 {
			if l.seq.drained(cursor) {
				l.complete.Store(true)
				_ = l.reader.Close() // nothing can come any more: Reader ends by itself
				break
			}
			if l.seq.halted() {
				w.end()
				runtime.Goexit()
			}
		}
		if !w.step() {
			l.park(next)
		}
	}
	w.end()
}

// park blocks at one cursor that is short of next: the ring's, or that of the first consumer that
// holds this one back. It must look at that cursor alone once the gate is armed. Were it to look
// at the least of several, the one it parks at could pass next before the gate is armed, another
// still be short, and nobody would ever wake it here.
func (l *loop[T]) park(next int64) {
	stop := func() bool { return l.seq.halted() || l.seq.drained(next-1) }
	if len(l.after) == 0 {
		l.seq.published.park(l.parker, next, func() bool { return l.upstream.Load() >= next || stop() }, nil)
		return
	}
	for _, c := range l.after {
		if c.cursor.Load() < next {
			c.gate.park(l.parker, next, func() bool { return c.cursor.Load() >= next || stop() }, nil)
			return
		}
	}
}
