package handlers

import (
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/journal"
)

// BatchEvents is how many events a batch handler gets at once by default.
const BatchEvents = 256

// batcher is the only handler of a lane, and gets many events at once.
type batcher struct {
	*filtered
	max     int
	fn      func(*Context, []Delivery) error
	pending []Delivery // not handled yet
	bodies  []byte     // of those in pending that are copies
	last    int64      // pending is all that passes up to here
}

// FoldBatch registers fn on a lane for events that pass f, several at once: up to maxEvents, 0 = BatchEvents, of those that the
// lane finds in the ring, without waiting for more. LaneOptions.MaxBatch bounds what it finds at once. An atomic batch is never
// split, so where the last one does not end at maxEvents there are more. The views in a Delivery are valid
// inside the call, as is the slice; its Checkpoint is zero. Context is that of the last event.
//
// Live and at every replay fn gets the same events in the same order, and cut otherwise: what it makes of them must
// not depend on where. For the same reason it stands alone on its lane, where no other handler could see half of what it
// has done, and cannot emit: an answer has one cause. A batch on which it fails, or panics, halts the engine; the state
// may hold a part of it, and is made anew at the next Open. A *HandlerError names the batch's first event.
//
// An Observer is not told of it. It suits what is cheaper for many than for each; for a store outside there is
// headrace.Engine.FollowBatch, which has a checkpoint.
func FoldBatch(l *Lane, f Filter, maxEvents int, fn func(c *Context, events []Delivery) error) {
	l.addBatch(&reaction{role: roleBatch}, f, maxEvents, fn)
}

// ApplyBatch registers fn as the only handler of a projection. See FoldBatch.
func ApplyBatch[S any](p *Projection[S], f Filter, maxEvents int, fn func(s *S, c *Context, events []Delivery) error) {
	r := &reaction{role: roleBatch, id: p.lane.name}
	if fn == nil {
		p.lane.addBatch(r, f, maxEvents, nil)
		return
	}
	p.lane.addBatch(r, f, maxEvents, func(c *Context, events []Delivery) error { return fn(stateIn[S](c), c, events) })
}

// Batches tells whether the lane has a batch handler, and so no other.
func (l *Lane) Batches() bool { return l.batch != nil }

func (l *Lane) addBatch(r *reaction, f Filter, maxEvents int, fn func(*Context, []Delivery) error) {
	fault := func(format string, args ...any) {
		l.faults = append(l.faults, fmt.Errorf("handlers: lane %q: %s", l.name, fmt.Sprintf(format, args...)))
	}
	switch {
	case fn == nil:
		fault("a batch handler is nil")
		return
	case l.batch != nil:
		fault("it has two batch handlers")
		return
	case maxEvents < 0:
		fault("a batch of %d events: want at least 1", maxEvents)
	}
	if maxEvents == 0 {
		maxEvents = BatchEvents
	}
	if x := l.addFiltered(r, f, nil); x != nil {
		l.batch = &batcher{filtered: x, max: maxEvents, fn: fn}
	}
}

// bind makes the handler ready for a log.
func (b *batcher) bind(l *Lane) (err error) {
	if len(l.registers) > 1 {
		return errors.New("a batch handler stands alone on its lane: what it does to events is seen between batches only")
	}
	if b.match == nil { // else it serves a lane beside this one
		b.match, err = NewMatch(b.filter, l.types)
	}
	return err
}

// Slots gives the lane the means to look at slots by sequence. It is the engine's to call, before the ring starts.
func (l *Lane) Slots(at func(seq int64) *Slot) { l.slot = at }

// handleBatches is HandleSpan for a batch handler.
func (l *Lane) handleBatches(first int64, span []Slot) error {
	b := l.batch
	for i := range span {
		seq, s := first+int64(i), &span[i]
		if seq <= l.applied || seq <= b.last { // it was there with the first of its atomic batch, or in the log
			if s.Type == markedID {
				l.notMarked()
			}
			continue
		}
		// The slots of an atomic batch are published, journaled and synced with the first, so they may be read here
		// although the span ends before them.
		n := max(1, int64(s.Batch))
		for k := range n {
			if k > 0 {
				s = l.slot(seq + k)
			}
			var t int64
			if !l.published {
				t = s.Time
			}
			if s.Kind != journal.KindEvent {
				continue
			}
			if err := b.take(l, seq+k, t, s.Type, s.Body, false); err != nil {
				return err
			}
		}
		b.last = seq + n - 1
		if len(b.pending) >= b.max || s.Type == markedID {
			if err := l.flush(); err != nil {
				return err
			}
		}
		if s.Type == markedID {
			l.marked(s.Body)
		}
	}
	return l.flush()
}

// replayBatch is Replay for a batch handler.
func (l *Lane) replayBatch(rec journal.Record) error {
	b := l.batch
	if rec.Kind == journal.KindEvent {
		if err := b.take(l, rec.Sequence, rec.Time, rec.Type, rec.Body, true); err != nil {
			return err
		}
	}
	b.last = rec.Sequence
	if len(b.pending) == 0 || len(b.pending) >= b.max && rec.Flags&journal.FlagBatch == 0 {
		return l.flush()
	}
	return nil
}

// Replayed ends a pass of Replay: what was kept for a batch is handled.
func (l *Lane) Replayed() error {
	if l.batch == nil {
		return nil
	}
	if l.lock != nil {
		l.lock.Lock()
		defer l.lock.Unlock()
	}
	defer l.visible()
	return l.flush()
}

// take adds an event to those that are pending, if it passes.
func (b *batcher) take(l *Lane, seq, time int64, typeID uint16, body []byte, keep bool) error {
	if !b.match.Type(typeID) {
		return nil
	}
	v, err := event.Parse(body)
	if err == nil && !b.match.Event(v) {
		return nil
	}
	if err == nil && keep {
		at := len(b.bodies)
		b.bodies = append(b.bodies, body...)
		v, err = event.Parse(b.bodies[at:])
	}
	if err != nil {
		return &HandlerError{Lane: l.name, Handler: b.handler.id, Sequence: seq, Type: l.types.Name(typeID), Err: err}
	}
	if l.published {
		time = v.Time()
	}
	b.pending = append(b.pending, newDelivery(l.types, b.match, seq, time, typeID, v))
	return nil
}

// flush gives the handler what is pending.
func (l *Lane) flush() error {
	b := l.batch
	if n := len(b.pending); n > 0 {
		d := b.pending[n-1]
		l.call.sequence, l.call.cause, l.call.time = d.Sequence, d.Sequence, d.Time.UnixNano()
		l.call.typeID, l.call.event = d.typeID, d.Event
		err := b.call(&l.call)
		if err != nil {
			first := b.pending[0]
			if n > 1 {
				err = fmt.Errorf("in a batch of %d events up to %d: %w", n, d.Sequence, err)
			}
			return &HandlerError{Lane: l.name, Handler: b.handler.id, Sequence: first.Sequence, Type: first.Type, Err: err}
		}
		clear(b.pending)
		b.pending, b.bodies = b.pending[:0], b.bodies[:0]
	}
	l.applied = max(l.applied, b.last)
	return nil
}

func (b *batcher) call(c *Context) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
			c.handler = nil
		}
	}()
	c.handler, c.ordinal, c.seeded = b.handler, 0, false
	err = b.fn(c, b.pending)
	c.handler = nil
	return err
}
