package handlers

import (
	"fmt"
	"math"

	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/journal"
)

// evolver returns the context of a fold that may run ahead of the log: it says nothing that would be
// different when the same event is folded at its place in the log.
func (c *Context) evolver() *Context {
	a := &c.lane.ahead
	if c != a {
		a.set(c.event, c.typeID)
	}
	a.handler, a.seeded = c.lane.evolving, false
	return a
}

// set makes v the event that the context is about.
func (c *Context) set(v event.View, typeID uint16) {
	c.event, c.typeID, c.time, c.sequence = v, typeID, v.Time(), 0
	if o, ok := v.Origin(); ok {
		c.sequence = o.Cause
	}
}

// evolveAhead folds what a Decide handler has just emitted, from the bytes that go to the log. They are
// folded before they are handed on, so an event that cannot be folded never gets into the log.
func (l *Lane) evolveAhead() error {
	a := &l.ahead
	for _, out := range l.outputs.outs {
		d := l.dispatcher(out.typeID)
		if d == nil || l.types.owner(out.typeID) != l {
			continue
		}
		v, err := event.Parse(l.outputs.data[out.off : out.off+out.len])
		if err != nil {
			return err
		}
		a.set(v, out.typeID)
		if err := d.run(a); err != nil {
			return fmt.Errorf("handlers: cannot evolve %s: %w", l.types.Name(out.typeID), err)
		}
	}
	return nil
}

// evolvedAhead tells whether the event was folded when it was emitted. This run of the program has
// emitted it exactly if one of the lane's Decide handlers did, for a cause above its watermark:
// at or below it that handler did not run. A state that was loaded from a snapshot contains what was decided on
// causes up to there, wherever in the log it stands.
func (c *Context) evolvedAhead() bool {
	o, ok := c.event.Origin()
	if !ok {
		return false
	}
	if o.Cause <= c.lane.loaded {
		return true
	}
	for _, r := range c.lane.decides {
		if r.hash == o.Handler {
			return o.Cause > r.watermark
		}
	}
	return false
}

// Owes returns the sequence behind which events stand that handlers have not yet decided on at Open, and
// false if there can be none up to end.
func (l *Lane) Owes(end int64) (after int64, ok bool) {
	return l.settled, len(l.decides) > 0 && l.settled < end
}

// Settle lets the lane's Decide handlers run for one record, if they have not answered it. The engine
// calls it at Open, after Replay of all records up to end, for those from Owes to end; then Settled.
//
// That is why the order of the log does not matter here: in a log C1 C2 E1, where E1 answers C1 and a crash
// took the answer to C2, a decision on C2 must know E1, which stands behind it. It does, because
// everything is folded; and everything that is folded answers causes before C2, because
// answers stand in the order of their causes.
func (l *Lane) Settle(rec journal.Record) (err error) {
	if l.lock != nil {
		l.lock.Lock()
		defer l.lock.Unlock()
	}
	defer l.catch(&err)
	l.call.pass = passSettle
	if rec.Kind == journal.KindEvent {
		return l.handle(rec.Sequence, rec.Time, rec.Type, rec.Body)
	}
	return nil
}

// Settled notes that nothing is owed for events up to end.
func (l *Lane) Settled(end int64) {
	if l.settled != math.MaxInt64 {
		l.settled = end
	}
}
