package headrace

import (
	"context"
	"math"
	"math/bits"

	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/journal"
)

// Read models beside the first pass, in Replay.
//
// A handler that may emit cannot see an event before all of the log was looked at: what became of it stands behind it.
// Nothing but the events that come before matters to a read model. So where all other lanes only decide, and have
// nothing to do at a replay, the first pass hands what it has read to the read models, and the log is read once instead of
// twice. Where they turn out to have something to do (what an earlier version of the program has parked, or timers),
// they are replayed afterwards.
//
// What the first pass finds counts first, wherever it stands, as if it had come first: so when a lane fails the pass goes on
// to the end. Of what it finds lanes need the types' ids, which stand in the log before the first event of a type. When
// there is a new one the pass waits until the lanes have handled what is before it, and binds them anew. A record
// that is lost may have been one of these: behind one, lanes get nothing until the end of the pass.

// besidePass is the first pass of a replay with read models beside it.
type besidePass struct {
	topology *Topology
	history  *history
	lanes    *laneReplay
	reads    []bool                            // by lane: it is a read model
	bound    []placed                          // the read models that are bound
	types    int                               // of the application, in the log, when they were bound last
	stopped  bool                              // they get no more in this pass
	fed      int64                             // the last record that they were given; 0 = none
	seen     [(math.MaxUint16 + 1) / 64]uint64 // a bit for each type of which there is an event
}

// besides tells, by lane, which are read models that can be replayed beside the first pass. It is nil if there are none, or
// if other lanes have to be replayed behind the pass anyway.
func (t *Topology) besides() (reads []bool) {
	for i, p := range t.lanes {
		switch {
		case !p.emits && len(p.lane.Policies()) == 0 && !p.lane.Serves():
			if reads == nil {
				reads = make([]bool, len(t.lanes))
			}
			reads[i] = true
		case !p.lane.OnlyDecides():
			return nil
		}
	}
	return reads
}

// pass makes the first pass: read delivers the log from its beginning.
func (b *besidePass) pass(h *history, read reading) error {
	b.history = h
	return b.lanes.feed(b.reads, func() error {
		return read(func(rec journal.Record) error {
			if err := h.learn(rec); err != nil {
				return err
			}
			return b.take(rec)
		})
	})
}

// take gives the read models a record, which the history has learned.
func (b *besidePass) take(rec journal.Record) error {
	switch rec.Kind {
	case journal.KindEvent:
		b.seen[rec.Type/64] |= 1 << (rec.Type % 64)
	case journal.KindVoid:
	case journal.KindLost:
		b.stopped = true
	default:
		return nil // nothing for lanes
	}
	if b.lanes.before != nil {
		if err := b.lanes.before(rec.Sequence); err != nil {
			return err
		}
	}
	if b.bound == nil || b.types != len(b.history.types) && rec.Type >= handlers.FirstUserType {
		b.bind()
	}
	if !b.stopped && rec.Sequence <= b.lanes.bound.Load() {
		b.fed = rec.Sequence
		b.lanes.give(rec)
	}
	return nil
}

// bind makes the read models ready for the types that the log has so far. If it cannot, they get nothing more: when they
// are bound at the end of the pass, that tells why.
func (b *besidePass) bind() {
	if b.stopped {
		return
	}
	b.lanes.await()
	again := b.bound != nil
	b.types = len(b.history.types)
	types, err := b.history.typesSoFar(b.topology.registry)
	for i, p := range b.topology.lanes {
		switch {
		case err != nil || !b.reads[i]:
		case again:
			err = p.lane.Rebind(types)
		default:
			b.bound = append(b.bound, p)
			err = p.bind(handlers.Binding{Context: context.Background(), Types: types})
		}
	}
	b.stopped = err != nil
}

// typesSoFar returns the types of a log that ends here.
func (h *history) typesSoFar(r *event.Registry) (*handlers.Types, error) {
	c, err := newCatalog()
	if err != nil {
		return nil, err
	}
	for _, t := range h.types {
		if err := c.Learn(t.ID, t.Name); err != nil {
			return nil, err
		}
	}
	if err := assignTypes(c, r); err != nil {
		return nil, err
	}
	return handlers.NewTypes(r, c), nil
}

// assignTypes gives ids to types that the log does not know yet: no event has them.
func assignTypes(c *event.Catalog, r *event.Registry) error {
	for _, t := range r.Types() {
		if _, _, err := c.Assign(t.Name()); err != nil {
			return err
		}
	}
	return nil
}

// rest tells, by lane, which have to be replayed behind the first pass, which ended with last: those that it did not
// feed, or not to its end. What it did feed lies behind them.
func (b *besidePass) rest(last int64) []bool {
	rest := make([]bool, len(b.reads))
	for i, p := range b.topology.lanes {
		switch {
		case b.reads[i]:
			b.lanes.after[i] = b.fed
			rest[i] = b.fed < last
		case b.wants(p.lane):
			rest[i] = true
		default:
			p.lane.PassOver(last)
		}
	}
	return rest
}

// wants tells whether the lane runs anything at a replay for one of the events that there are.
func (b *besidePass) wants(l *handlers.Lane) bool {
	for i, word := range b.seen {
		for ; word != 0; word &= word - 1 {
			if l.Replays(uint16(i*64 + bits.TrailingZeros64(word))) {
				return true
			}
		}
	}
	return false
}
