package handlers

import (
	"cmp"
	"slices"

	"github.com/headrace/headrace/event"
)

// dispatcher decodes one type once and calls all who asked for it.
type dispatcher interface {
	run(c *Context) error
	arrange()      // after the last registration
	decides() bool // nothing of it runs when the log is replayed: its handlers only decide, and none has parked anything
	emits() bool   // one of its handlers may
	deliver(c *Context, r *reaction) (bool, error)
	addFiltered(f *filtered, order int) bool // false: the handler is there already
}

type typed[T any] struct {
	codec  *event.Type[T]
	shares bool // copies of a T share memory that can be changed
	value  T
	calls  []call[T]
}

type call[T any] struct {
	handler *reaction
	fn      func(*Context, T) error
	order   int       // place among the lane's registrations
	filter  *filtered // nil: it gets the decoded value of every event; else the events that pass, not decoded
}

// passes tells whether the handler gets the event of c.
func (k *call[T]) passes(c *Context) bool { return k.filter == nil || k.filter.match.Event(c.event) }

// arrange puts those that decide behind the others: they see an event as folded.
func (d *typed[T]) arrange() {
	slices.SortStableFunc(d.calls, func(a, b call[T]) int {
		return cmp.Or(a.handler.place()-b.handler.place(), a.order-b.order)
	})
}

func (d *typed[T]) decides() bool {
	for i := range d.calls {
		if r := d.calls[i].handler; r.role != roleDecide || r.parking != nil {
			return false
		}
	}
	return true
}

func (d *typed[T]) emits() bool {
	return slices.ContainsFunc(d.calls, func(k call[T]) bool { return k.handler.emits() })
}

func (r *reaction) place() int {
	if r.role == roleDecide {
		return 1
	}
	return 0
}

// pass is why a lane looks at an event.
type pass uint8

const (
	passLive    pass = iota // it has just been journaled
	passReplay              // the log is read at Open, or without an engine
	passSettle              // at Open, once more, for those that owe decisions
	passRebuild             // the log is read once more, for the lane's state
	passAhead               // it was emitted a moment ago
)

// wants tells whether r runs on the event of c.
func (c *Context) wants(r *reaction) bool {
	switch c.pass {
	case passReplay:
		if r.role == roleDecide {
			return r.parking != nil && c.cause <= r.watermark // what it did then
		}
	case passSettle:
		return r.role == roleDecide && c.cause > r.watermark
	case passRebuild:
		return r.role != roleDecide && r.id != TimersHandler
	case passAhead:
		return r.role == roleEvolve
	}
	switch r.role {
	case roleEvolve:
		return !c.evolvedAhead()
	case roleDecide:
		return c.cause > r.watermark
	}
	return true
}

func (d *typed[T]) run(c *Context) error { return d.runFirst(c, len(d.calls)) }

// runFirst is run for the first n handlers.
func (d *typed[T]) runFirst(c *Context, n int) error {
	decoded := false
	for i := range d.calls[:n] {
		r := d.calls[i].handler
		if (r.role != roleOn || c.pass > passReplay) && !c.wants(r) || !d.calls[i].passes(c) {
			continue
		}
		if r.parking != nil {
			if err := d.attempt(c, &d.calls[i]); err != nil {
				return err
			}
			decoded = false
			continue
		}
		if d.calls[i].filter == nil && (!decoded || d.shares) { // the handler before may have changed what it owned
			if err := d.codec.DecodeVersion(c.event.Version(), c.event.Payload(), &d.value); err != nil {
				return c.failure(err)
			}
			decoded = true
		}
		with := c
		if r.role == roleEvolve {
			with = c.evolver()
		}
		c.begin(r)
		err := d.invoke(with, &d.calls[i])
		if err == nil && r.emits() {
			err = c.commit()
		}
		if err != nil {
			err = c.failure(err)
			c.handler = nil
			return err
		}
		c.handler = nil
		if c.lane.evolves && r.role == roleDecide {
			decoded = false // it may have emitted a T, which was decoded here
		}
	}
	return nil
}

func (c *Context) begin(r *reaction) {
	c.handler, c.ordinal, c.seeded = r, 0, false
	if out := c.lane.outputs; out != nil && r.emits() {
		out.reset()
	}
}

// commit hands on what the handler has emitted, after it was folded into the lane's entities.
func (c *Context) commit() error {
	l := c.lane
	if l.outputs == nil {
		return nil
	}
	batch, err := l.outputs.seal()
	if err != nil || !batch {
		return err
	}
	if len(l.outputs.marks) == 0 {
		return c.handOn()
	}
	l.streams.mu.Lock() // until they are in the queue; the fold in between sees the numbers
	defer l.streams.mu.Unlock()
	if err := l.streams.number(l.outputs.data, l.outputs.outs, l.outputs.marks); err != nil {
		return err
	}
	queued := false
	defer func() { // also when a fold ends the goroutine
		if !queued {
			l.streams.takeBack(l.outputs.marks)
		}
	}()
	err = c.handOn()
	queued = err == nil
	return err
}

// handOn folds the batch into the lane's entities and puts it into the queue.
func (c *Context) handOn() error {
	l := c.lane
	if l.evolves && c.handler.role == roleDecide {
		if err := l.evolveAhead(); err != nil {
			return err
		}
	}
	return l.outputs.commit()
}
