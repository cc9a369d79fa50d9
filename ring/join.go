package ring

import (
	"context"
	"time"

	"github.com/headrace/headrace/internal/atomic"
	"github.com/headrace/headrace/internal/block"
)

// Join adds a consumer to a ring that has started, while events flow, anywhere in the graph; it
// starts at once. Producers and other consumers are not stopped, and nobody gets an event twice or
// misses one.
//
// With ConsumerOptions.From, its first event is that one, if it is still in the ring: if no
// producer may be overwriting it. Otherwise the error is a *GoneError. The oldest event is safe
// for as long as the slowest consumer has not handled it.
//
// Without From it begins with what comes next: at the head of the graph with an event that is
// published about now, behind others with the first that they have not all handled.
//
// With MultiProducer, and only where From is an event that all of the graph has handled while nobody
// claims, Join takes one sequence itself and aborts it; for that it may have to wait while the ring
// is full, until ctx ends. In a handler that holds the slot that it would wait for it returns
// ErrWouldDeadlock. The other errors are those of Consume, ErrNotStarted, and ErrClosed or ErrHalted.
func (r *Ring[T]) Join(ctx context.Context, name string, h Handler[T], o ConsumerOptions) (*Consumer, error) {
	if err := r.validate(name, h, o); err != nil {
		return nil, err
	}
	return r.join(ctx, name, newcomer{
		options: func() ConsumerOptions { return o },
		start:   func(c *Consumer) { block.Go(r.newLoop(c, h, o).run) },
	})
}

// newcomer is what join is told of a consumer. r.mu is held when its functions are called.
type newcomer struct {
	options func() ConsumerOptions
	linked  func(*Consumer) // may be nil; the consumer has its place in the graph, and may lose it again
	start   func(*Consumer)
}

// join links a consumer in, and starts it once no producer can lap it.
func (r *Ring[T]) join(ctx context.Context, name string, n newcomer) (*Consumer, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c, from, outdated, err := r.linkIn(name, n)
	if err != nil {
		return nil, err
	}
	err = r.settle(ctx, c, from, outdated)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil && (r.ended || r.seq.stopping()) {
		err = r.seq.stopError()
	}
	if err != nil {
		c.stopped.Store(true)
		r.unlink(c)
		return nil, err
	}
	r.launch(c)
	n.start(c)
	return c, nil
}

// linkIn makes the producers gate on a new consumer that does not run yet. It returns too From, and how far it has
// to be not to be lapped by a claim that was checked against a set without it: r.outdated, or less
// where it begins with what those that it comes after have handled; see settle.
func (r *Ring[T]) linkIn(name string, n newcomer) (c *Consumer, from, outdated int64, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.ended || r.seq.stopping():
		return nil, 0, 0, r.seq.stopError()
	case !r.started:
		return nil, 0, 0, ErrNotStarted
	}
	o := n.options()
	if c, err = r.add(name, o); err != nil {
		return nil, 0, 0, err
	}
	if n.linked != nil {
		n.linked(c)
	}
	replaced := r.regate()
	if o.From == 0 && len(o.After) > 0 {
		return c, 0, replaced, nil
	}
	return c, o.From, r.outdated, nil
}

// regate puts a new gating set in force. r.mu is held.
//
// A producer that has looked at the set before and not yet moved the claim word goes by what it saw
// then, however late it is. What it saw was the least cursor of a set that was in force after it
// looked (tryClaimMulti makes sure of that), so it is no more than what we see after the exchange:
//
//	producer                          here
//	--------                          ----
//	g = gating                        gating = the new set
//	least = the least cursor of g     outdated = the least cursor of the old set
//	if gating == g: go by least
//
// Cursors only grow, so outdated, the greatest that was ever seen here, is a bound for all of them. What
// is returned is the bound for the set before alone.
func (r *Ring[T]) regate() (replaced int64) {
	s := r.seq
	old := s.gating.Load()
	s.gating.Store(newGatingSet(r.consumers, s.first-1))
	if old == nil {
		return s.first - 1
	}
	replaced = old.least()
	r.outdated = max(r.outdated, replaced)
	return replaced
}

// settle returns nil when every claim, held or to come, leaves c the slots after its cursor. The
// set with c is in force already, so what is to be found out is how far claims may go that were
// checked against an old set. Where from is 0 the cursor may be moved up, to where those that c
// comes after are by now. They are in the set before c's, and so are not behind its bound, which is
// outdated then. From claims of older sets they are safe, and c with them: each was in these sets or
// was settled itself. The bounds of those may be past them, and past c: one that joined at an old
// event is behind what the sets before it allowed.
//
// For a single producer see singleState. Of many producers, none that was checked against an old set
// laps outdated, so a cursor that is not below it is safe. Below it, in the events that all the
// others have handled, one may have checked a claim of [w+1, w+n] and not yet have moved the claim
// word from w. That can succeed only while the word is w. So once the word has moved after the set
// was stored, every claim up to there can be seen, and every later one was checked against the new
// set, since a producer loads the word before it loads the set. If the word does not move, we move
// it, by a claim of our own.
func (r *Ring[T]) settle(ctx context.Context, c *Consumer, from, outdated int64) error {
	s := r.seq
	if !s.multi {
		s.state.Or(stateRegate)
		if s.plain {
			atomic.Membarrier()
		}
		return r.fits(c, s.claimed(), from)
	}
	if from == 0 {
		for c.cursor.Load() < outdated {
			c.progress(max(c.cursor.Load(), s.reached(c.after())))
		}
	}
	before := s.exactly()
	var self *Consumer // set if the caller is a handler
	defer func() {
		if self != nil {
			s.unblocks(self)
		}
	}()
	for turn := 0; c.cursor.Load() < outdated; turn++ {
		claimed := s.exactly()
		if claimed != before {
			return r.fits(c, claimed, from)
		}
		if turn < block.Patience(64) {
			block.Yield()
			continue
		}
		hi, err := s.tryClaim(1)
		switch {
		case err == nil:
			s.aborts.add(hi, hi, s.slots)
			s.publish(hi, hi)
			return r.fits(c, hi, from)
		case err != ErrFull:
			return err
		case claimed-s.slots >= c.cursor.Load():
			return &GoneError{From: from, Oldest: c.cursor.Load() + 2}
		}
		if self = s.current(); self != nil && !s.blocks(self, s.room(1)) {
			return ErrWouldDeadlock
		}
		if !block.Sleep(50*time.Microsecond, ctx.Done()) {
			return ctx.Err()
		}
	}
	return nil
}

// fits checks c's cursor against the last sequence that may have been claimed without regard to it.
func (r *Ring[T]) fits(c *Consumer, claimed, from int64) error {
	oldest := claimed - r.seq.slots
	if from > 0 && c.cursor.Load() < oldest {
		return &GoneError{From: from, Oldest: oldest + 1}
	}
	for c.cursor.Load() < oldest { // once, unless the ring's cursor was lapped while it was looked for
		c.progress(max(c.cursor.Load(), r.seq.reached(c.after())))
	}
	return nil
}

// Leave takes c out of the graph while events flow: c stops after the span that it is in, and those
// behind it go on with what it came after, without a gap or a repeat. What c has not handled by
// then it never will. Leave waits for that until ctx ends, and returns ctx.Err(); c leaves all
// the same. A Poller leaves in its next call.
//
// After nil, c's name is free. The errors are an *OptionError for a consumer of another ring,
// ErrNotStarted, ErrLastConsumer, and ErrClosed or ErrHalted if c has stopped with the ring.
// From inside c's own handler Leave returns ErrWouldDeadlock at once, and c leaves; likewise from inside a
// handler that c's waits for: of two that make each other leave one has nil and one ErrWouldDeadlock, and both
// leave. It may be called from any goroutine, and again.
func (r *Ring[T]) Leave(ctx context.Context, c *Consumer) error {
	if c != nil && c.group != nil {
		return optionError("Consumer", "%q is a lane, which leaves by LeaveLane", c.name)
	}
	if err := r.leaveAt(c, 0); err != nil {
		return err
	}
	if self := r.seq.current(); self != nil {
		if !r.seq.blocks(self, wait{on: c, seq: never, left: true}) {
			return ErrWouldDeadlock
		}
		defer r.seq.unblocks(self)
	}
	if !block.RecvOr(c.gone, ctx.Done()) {
		return ctx.Err()
	}
	if !c.left.Load() {
		return r.seq.stopError()
	}
	return nil
}

// leaveAt makes c leave once it has handled seq, unless it has to leave sooner already.
func (r *Ring[T]) leaveAt(c *Consumer, seq int64) error {
	if c == nil || c.seq != r.seq {
		return optionError("Consumer", "it belongs to another ring")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case c.left.Load():
		return nil
	case c.stopped.Load():
		return r.seq.stopError()
	case !r.started:
		return ErrNotStarted
	}
	stays := func(d *Consumer) bool { return d != c && d.launched.Load() && d.leaveAt.Load() == never }
	others := false
	for _, d := range r.consumers {
		others = others || stays(d)
	}
	if !others {
		return ErrLastConsumer
	}
	if seq < c.leaveAt.Load() {
		c.leaveAt.Store(seq)
	}
	r.seq.wakeEverybody()
	return nil
}
