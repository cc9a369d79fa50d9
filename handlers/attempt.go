package handlers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/journal"
)

// Clock is where an engine takes the time from: for what Publish and the journal stamp, to know when a
// timer is due and when a handler is late. Handlers never see it; they see the stamps. Package
// headracetest has one that stands still until it is told.
type Clock interface {
	Now() time.Time

	// Reach returns a channel that receives or is closed when Now is at or past t. stop gives up waiting.
	Reach(t time.Time) (reached <-chan time.Time, stop func())
}

// attempt gives the event to a handler with a failure policy, unless its key is parked or the log knows
// what became of it.
func (d *typed[T]) attempt(c *Context, k *call[T]) error {
	r := k.handler
	p := r.parking
	if c.again == nil && p.await(c) {
		return nil
	}
	c.begin(r)
	var err error
	if c.answered(r) {
		err = d.again(c, k)
	} else if why := d.try(c, k); why != nil {
		err = c.failed(p, *why, func(c *Context) error { return d.before(c, k) })
	} else {
		err = c.through(p)
	}
	c.handler = nil // not deferred: see Interrupted
	return err
}

// answered tells whether the log has the answer of r to what c is about, or would have it if there were one.
func (c *Context) answered(r *reaction) bool { return c.pass == passRebuild || c.cause <= r.watermark }

// again is an attempt whose outcome is known. A handler that changes state runs, if it succeeded then.
func (d *typed[T]) again(c *Context, k *call[T]) error {
	p := k.handler.parking
	if o, ok := p.outcomes[c.cause]; ok {
		p.apply(c.parkID(), o, c.time)
		return nil
	}
	if k.handler.role == roleOn {
		if why := d.try(c, k); why != nil {
			return c.failure(why.err)
		}
	}
	if c.again != nil {
		p.advance(c.parkID(), c.sequence)
	}
	return nil
}

// try is one call. Whatever goes wrong in it, it has left nothing behind but outputs, which are dropped.
func (d *typed[T]) try(c *Context, k *call[T]) (why *failed) {
	defer func() {
		if v := recover(); v != nil {
			why = &failed{ReasonPanic, &PanicError{Value: v, Stack: debug.Stack()}}
		}
	}()
	if k.filter == nil {
		if err := d.codec.DecodeVersion(c.event.Version(), c.event.Payload(), &d.value); err != nil {
			return &failed{ReasonDecode, err}
		}
	}
	limit := k.handler.parking.policy.Timeout
	if c.answered(k.handler) {
		limit = 0 // it was in time then
	}
	if limit > 0 {
		c.limited = newLimit(c.lane, limit)
		defer func() { c.limited.stop(); c.limited = nil }()
	}
	err := d.invoke(c, k)
	if err == nil && c.lane.outputs != nil {
		err = c.lane.outputs.err
	}
	switch {
	case limit > 0 && c.limited.over():
		return &failed{ReasonTimeout, fmt.Errorf("%w of %v", ErrTimeout, limit)}
	case err != nil:
		return &failed{reasonOf(err), err}
	}
	return nil
}

// before runs the handlers of the event that come before k.
func (d *typed[T]) before(c *Context, k *call[T]) error {
	for i := range d.calls {
		if &d.calls[i] == k {
			return d.runFirst(c, i)
		}
	}
	return nil
}

// failed makes the outcome of a failed attempt the handler's answer. before runs the handlers that have had the
// event already.
func (c *Context) failed(p *parking, why failed, before func(*Context) error) error {
	f, goesOn := p.policy.verdict(c.handler.id, c.sequence, p.attempt(c), c.time, why)
	if !goesOn {
		return c.failure(why.err)
	}
	if c.handler.role == roleOn {
		if c.again != nil {
			before = nil // a delivery to this handler alone
		}
		if err := c.lane.rebuild(c.cause-1, before); err != nil {
			return c.failure(errors.Join(why.err, err))
		}
	}
	c.lane.outputs.reset()
	c.ordinal = 0
	if err := emit(c, &f, EmitOptions{}); err != nil {
		return c.failure(errors.Join(why.err, err))
	}
	h := &c.lane.outputs.header
	o := Outcome{f, h.ID, h.CorrelationID}
	c.lane.tell(f)
	if c.handler.role == roleOn {
		p.outcomes[c.cause] = o // for the next rebuild
	}
	return c.moveUp(p.apply(c.parkID(), o, c.time))
}

// through commits a successful attempt; if the event was parked, its key goes on.
func (c *Context) through(p *parking) error {
	if c.again == nil {
		if err := c.commit(); err != nil {
			return c.failure(err)
		}
		return nil
	}
	return c.moveUp(p.advance(c.parkID(), c.sequence))
}

// moveUp completes the handler's answer with the delivery of the next event of the key, if there is one, and
// commits it.
func (c *Context) moveUp(next int64) error {
	var err error
	if next != 0 {
		err = emit(c, &Redeliver{Handler: c.handler.id, Cause: next}, EmitOptions{})
	}
	if err == nil {
		err = c.commit()
	}
	if err != nil {
		return c.failure(err)
	}
	return nil
}

// redelivery is why a handler sees an event again: the Redeliver event, which it answers.
type redelivery struct{ id event.ID }

// causeID is the id of the event that the handler answers.
func (c *Context) causeID() event.ID {
	if c.again != nil {
		return c.again.id
	}
	return c.event.ID()
}

// parkingEvent handles a Redeliver or Discarded event, which is in c.
func (l *Lane) parkingEvent(c *Context) error {
	var v Redeliver
	var err error
	if c.typeID == redeliverID {
		err = redeliverType.DecodeView(c.event, &v)
	} else {
		var x Discarded
		err = discardedType.DecodeView(c.event, &x)
		v = Redeliver(x)
	}
	if err != nil {
		return c.failure(err)
	}
	for _, r := range l.reactions {
		if !r.named(v.Handler) || r.parking == nil {
			continue
		}
		switch answered := c.answered(r); {
		case r.role == roleOn && c.pass == passSettle, r.role == roleDecide && c.pass == passRebuild:
			return nil
		case r.role == roleDecide && (c.pass == passReplay && !answered || c.pass == passSettle && answered):
			return nil
		}
		id := parkID{key: c.Key()}
		if id.key == "" {
			id.sequence = v.Cause
		}
		if !r.parking.head(id, v.Cause) {
			return nil // it is through, or not yet at the head
		}
		switch again := c.typeID == redeliverID; {
		case again && (r.role == roleOn || !c.answered(r)):
			return l.redeliver(c, r, v.Cause)
		case again:
			if o, ok := r.parking.outcomes[c.sequence]; ok {
				r.parking.apply(id, o, c.time)
				return nil
			}
		}
		return l.giveUp(c, r, id, v.Cause)
	}
	return nil
}

// giveUp takes the event from the head of its key, in answer to the event of c.
func (l *Lane) giveUp(c *Context, r *reaction, id parkID, cause int64) error {
	next := r.parking.advance(id, cause)
	if c.answered(r) {
		return nil
	}
	c.begin(r)
	err := c.moveUp(next)
	c.handler = nil
	return err
}

// redeliver lets r have the event cause again, which the log still holds.
func (l *Lane) redeliver(c *Context, r *reaction, cause int64) error {
	rec, err := l.fetch(cause)
	if err != nil {
		return c.failure(fmt.Errorf("handlers: event %d, to be delivered again: %w", cause, err))
	}
	a := &l.repeat
	*a = Context{lane: l, sequence: cause, time: c.time, typeID: rec.Type, pass: c.pass, cause: c.sequence,
		again: &redelivery{c.event.ID()}, random: a.random}
	if a.event, err = event.Parse(rec.Body); err != nil {
		return a.failure(err)
	}
	c.handler = r // for Interrupted
	done := false
	if d := l.dispatcher(rec.Type); d != nil {
		done, err = d.deliver(a, r)
	}
	if !done && err == nil { // the handler does not handle the type any more: it is through
		err = l.giveUp(a, r, a.parkID(), cause)
	}
	c.handler = nil
	return err
}

// deliver gives the event to one handler only, and tells whether it handles such events.
func (d *typed[T]) deliver(c *Context, r *reaction) (bool, error) {
	for i := range d.calls {
		if d.calls[i].handler == r && d.calls[i].passes(c) {
			return true, d.attempt(c, &d.calls[i])
		}
	}
	return false, nil
}

// Rereading gives the lane the means to read the records [from, to] of the log again. It is the engine's to
// call, before Replay.
func (l *Lane) Rereading(read func(from, to int64, fn func(journal.Record) error) error) {
	l.reread = read
}

// fetch reads one event again.
func (l *Lane) fetch(seq int64) (rec journal.Record, err error) {
	found := false
	err = l.reread(seq, seq, func(r journal.Record) error {
		rec, found = r, true
		rec.Body = bytes.Clone(r.Body)
		return nil
	})
	if err == nil && !found {
		err = fmt.Errorf("no event %d in the log", seq)
	}
	return rec, err
}

// limit is the time that one call has.
type limit struct {
	clock Clock
	end   time.Time
	lane  *Lane

	mu     sync.Mutex      // the handler may ask on several goroutines
	ctx    context.Context // made when somebody asks for it
	cancel context.CancelFunc
}

func newLimit(l *Lane, d time.Duration) *limit {
	return &limit{clock: l.clock, end: l.clock.Now().Add(d), lane: l}
}

func (t *limit) over() bool { return t.clock.Now().After(t.end) }

// context ends with the time, or with the lane.
func (t *limit) context() context.Context {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ctx == nil {
		ctx, cancel := context.WithCancel(t.lane.ctx)
		t.ctx, t.cancel = ctx, cancel
		reached, stop := t.clock.Reach(t.end.Add(1))
		go func() {
			defer stop()
			select {
			case <-reached:
				cancel()
			case <-ctx.Done():
			}
		}()
	}
	return t.ctx
}

func (t *limit) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cancel != nil {
		t.cancel()
	}
}
