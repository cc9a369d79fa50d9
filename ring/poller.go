package ring

import (
	"context"
	"iter"
)

// A Poller is a consumer for callers with a loop of their own: it has a place in the graph like
// any other, and gates the producers, but no goroutine. Its methods belong to one goroutine at a
// time, except Consumer.
//
// A span belongs to the caller until the next call of Poll, Wait, Release past it, Leave or the
// next turn of an iteration: only then it counts as handled. So a poller that is not polled
// stops the producers in the end, and Close waits for it: go on until Poll returns ErrClosed, or
// call Leave. Halt does not wait for pollers.
//
// The ring does not know on which goroutine a poller runs. One that claims from its own full ring
// waits for itself; use TryClaim there. Built with the tag headrace_debug, such a claim returns
// ErrWouldDeadlock on the goroutine that called the poller last.
type Poller[T any] struct {
	place
	ring     *Ring[T]
	maxBatch int64
	held     int64 // last sequence of the span that the caller has, 0 if none
	err      error // what every call returns from now on
}

// Poller adds a poller before Start. ConsumerOptions.OnError and Pin are not used. For the errors see
// Consume.
func (r *Ring[T]) Poller(name string, o ConsumerOptions) (*Poller[T], error) {
	if err := r.validatePlace(name, o); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	c, err := r.addBeforeStart(name, o)
	if err != nil {
		return nil, err
	}
	return r.newPoller(c, o), nil
}

// JoinPoller adds a poller while the ring runs. For ctx, where it begins and the errors see Join.
func (r *Ring[T]) JoinPoller(ctx context.Context, name string, o ConsumerOptions) (*Poller[T], error) {
	if err := r.validatePlace(name, o); err != nil {
		return nil, err
	}
	var p *Poller[T]
	_, err := r.join(ctx, name, newcomer{
		options: func() ConsumerOptions { return o },
		start:   func(c *Consumer) { p = r.newPoller(c, o) },
	})
	return p, err
}

func (r *Ring[T]) newPoller(c *Consumer, o ConsumerOptions) *Poller[T] {
	c.polled = true
	p := &Poller[T]{place: r.newPlace(c, o), ring: r, maxBatch: int64(o.MaxBatch)}
	if p.maxBatch == 0 {
		p.maxBatch = max(1, r.seq.slots/8)
	}
	return p
}

// Consumer returns the poller's place in the graph, to name it in ConsumerOptions.After or to read
// its figures.
func (p *Poller[T]) Consumer() *Consumer { return p.place.Consumer }

// Poll returns the next readable span, of at most max events, max >= 1, or of none if nothing is
// readable now, and counts the one before as handled. The span is valid until the next call. Like
// a handler's it ends where the ring wraps, at MaxBatch and before aborted events, which it passes
// over.
//
// The errors are final: ErrClosed once everything of a closed ring is handled, ErrHalted, ErrLeft. It
// does not block, and does not allocate. It may take up to 16 us to say that nothing is readable where
// the caller has taken more than ten events a microsecond until then.
func (p *Poller[T]) Poll(max int) (first int64, span []T, err error) {
	p.finish()
	for {
		if p.err != nil {
			return 0, nil, p.err
		}
		cursor := p.cursor.Load()
		lo := cursor + 1
		switch {
		case p.seq.halted():
			p.stop(p.seq.stopError(), false)
			continue
		case p.leaving(cursor):
			p.stop(ErrLeft, false)
			continue
		}
		hi := upstream{p.place.Consumer}.Load()
		if hi < lo {
			if !p.seq.stopping() || !p.seq.drained(cursor) {
				p.chase.rest(cursor)
				return 0, nil, nil
			}
			p.stop(p.seq.stopError(), true)
			continue
		}
		slots := p.ring.slots
		at := int(lo & int64(len(slots)-1))
		n := min(hi-lo+1, int64(len(slots)-at), p.maxBatch, int64(clampMin1(max)))
		if p.seq.aborts.last.Load() >= lo {
			run, aborted := p.seq.aborts.run(lo, lo+n-1)
			if aborted {
				p.progress(lo + run - 1)
				continue
			}
			n = run
		}
		p.counts.batch(n)
		p.held = lo + n - 1
		p.spanEnd = p.held
		return lo, slots[at : at+int(n) : at+int(n)], nil
	}
}

func clampMin1(n int) int { return max(n, 1) }

// Wait blocks until Poll has something to say: events or an error. It counts the span before as
// handled. It returns ctx.Err() when ctx ends first.
func (p *Poller[T]) Wait(ctx context.Context) error {
	p.finish()
	if p.err != nil {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	cursor := p.cursor.Load()
	if (upstream{p.place.Consumer}).Load() <= cursor {
		p.chase.rest(cursor)
	}
	if p.await(cursor+1, ctx.Done()) == given {
		return ctx.Err()
	}
	return nil
}

// Spans returns an iterator over the first sequence of each span and the span, as Poll returns
// them, which waits between them. It ends when ctx ends or with the ring; Err tells which. A span
// counts as handled when the body of the loop is left in whatever way but a panic.
func (p *Poller[T]) Spans(ctx context.Context, max int) iter.Seq2[int64, []T] {
	return func(yield func(int64, []T) bool) {
		for p.Wait(ctx) == nil {
			first, span, err := p.Poll(max)
			if err != nil {
				return
			}
			if len(span) > 0 && !yield(first, span) {
				p.finish()
				return
			}
		}
	}
}

// Events returns an iterator over the sequence and the slot of each event, which waits between
// them and ends like that of Spans. An event counts as handled when the body of the loop is left
// in whatever way but a panic; others see it with the end of its span.
func (p *Poller[T]) Events(ctx context.Context) iter.Seq2[int64, *T] {
	return func(yield func(int64, *T) bool) {
		for first, span := range p.Spans(ctx, int(p.maxBatch)) {
			for i := range span {
				seq := first + int64(i)
				if !yield(seq, &span[i]) {
					p.Release(seq)
					p.held = 0 // the rest comes again
					return
				}
			}
		}
	}
}

// Err returns the final error of Poll, nil while there is none.
func (p *Poller[T]) Err() error { return p.err }

// Leave takes the poller out of the graph, as Ring.Leave does, at once. The span that the caller
// has counts as handled. The errors are ErrNotStarted and ErrLastConsumer; then it stays.
func (p *Poller[T]) Leave() error {
	p.finish()
	if p.err != nil {
		return nil
	}
	if err := p.ring.leaveAt(p.place.Consumer, 0); err != nil && p.ring.seq.state.Load()&stateHalted == 0 {
		return err
	}
	p.stop(ErrLeft, false)
	return nil
}

// finish counts the caller's span as handled.
func (p *Poller[T]) finish() {
	if debugging {
		p.seq.debug.polls(p.place.Consumer)
	}
	if p.held != 0 {
		if p.held > p.cursor.Load() {
			p.progress(p.held)
		}
		p.held, p.spanEnd = 0, 0
	}
}

// stop ends the poller with err.
func (p *Poller[T]) stop(err error, complete bool) {
	p.err = err
	if complete {
		p.complete.Store(true)
	}
	p.ring.consumerStopped(p.place.Consumer)
}
