package ring

import (
	native "sync/atomic" // wrapped, the compiler would not inline what loads by it
	"unsafe"

	"github.com/headrace/headrace/internal/atomic"
	"github.com/headrace/headrace/internal/cpu"
)

// A Producer is a Ring as one goroutine sees it that publishes: Next, Slot and Publish do what Claim,
// Slot and Publish of the Ring do, for one event, and where the ring has a SingleProducer the
// compiler puts all three into the caller's loop. Ring.Producer makes one. It belongs to one goroutine at a
// time, and may be mixed with the methods of the Ring.
//
// With MultiProducer, a Producer that has made some hundred claims with nobody in between claims as
// cheaply as a single producer, until somebody else claims. That claim takes a microsecond longer than usual, or some
// thirty on a virtual machine; who is disturbed often gets the privilege ever more seldom.
//
//	p := r.Producer()
//	for order := range orders {
//		seq, err := p.Next()
//		if err != nil {
//			return err
//		}
//		*p.Slot(seq) = order
//		p.Publish(seq, seq)
//	}
type Producer[T any] struct {
	*lead
	base unsafe.Pointer
	mask int64
}

// Producer returns a view of the ring for one goroutine that publishes. With SingleProducer all of
// them are the one producer. Among many producers one that is alone for a while claims without a locked instruction, but
// not with Options.Fenced, nor where the kernel has no membarrier. It allocates.
func (r *Ring[T]) Producer() *Producer[T] {
	p := &Producer[T]{lead: &r.seq.single.lead, base: r.seq.base, mask: r.seq.slots - 1}
	switch {
	case r.seq.multi && !debugging:
		p.lead = newRival(r.seq)
	case !r.seq.quick || debugging:
		p.lead = newLead(r.seq)
	}
	return p
}

// Slot is Ring.Slot.
func (p *Producer[T]) Slot(seq int64) *T {
	return (*T)(unsafe.Add(p.base, uintptr(seq&p.mask)*unsafe.Sizeof(*new(T))))
}

// A lead is what a Producer works on: that of the one producer where claims and publishes are
// stores without fences; among many producers that of a rival, whose claims are such stores while it has
// the bias; and elsewhere one of its own, whose every claim and publish goes to the slow path.
//
// Next and Publish are as they are so that the compiler inlines them: one node of the syntax more
// and it does not.
type lead struct {
	claimed int64  // last sequence claimed
	limit   int64  // claims up to it may go on by themselves
	state   *int64 // sequencer.state, or slow.state, or rival.revoked
	cursor  *int64 // sequencer.cursor, or nobody's
	armed   *int64 // sequencer.armed, or slow.armed
	seq     *sequencer
	rival   *rival // nil unless it is the lead of one
}

// newLead makes one for those who must take the slow path.
func newLead(s *sequencer) *lead {
	l := new(struct {
		_ cpu.Pad
		lead
		cursor int64
		_      cpu.Pad
	})
	l.lead = lead{state: &slow.state, cursor: &l.cursor, armed: &slow.armed, seq: s}
	return &l.lead
}

// Next claims the next event's sequence, as Ring.Claim(1) does, with the same errors. Where err is not nil
// the sequence means nothing.
func (l *lead) Next() (seq int64, err error) {
	if exploring {
		return l.exploredNext()
	}
	l.claimed++ // before the load of state: see singleState
	if l.claimed > l.limit-native.LoadInt64(l.state) {
		err = l.claim()
	}
	return l.claimed, err
}

// exploredNext is Next with accesses that the schedule explorer sees.
func (l *lead) exploredNext() (seq int64, err error) {
	seq = atomic.LoadOwn(&l.claimed) + 1
	atomic.StoreRelease(&l.claimed, seq)
	if l.limit < seq || atomic.LoadInt64(l.state) != 0 {
		err = l.claim()
	}
	return atomic.LoadOwn(&l.claimed), err
}

// Publish is Ring.Publish.
func (l *lead) Publish(lo, hi int64) {
	if debugging {
		l.seq.check(lo, hi)
	}
	if exploring {
		l.exploredPublish(lo, hi)
		return
	}
	*l.cursor = hi // cpu.StoreRelease, where others read it
	if native.LoadInt64(l.armed) <= hi {
		l.seq.publish(lo, hi)
	}
}

// exploredPublish is Publish with accesses that the schedule explorer sees.
func (l *lead) exploredPublish(lo, hi int64) {
	atomic.StoreRelease(l.cursor, hi)
	if native.LoadInt64(l.armed) <= hi { // slow.armed: no step, as nobody stores it
		l.seq.publish(lo, hi)
	}
}

// claim finishes a claim that Next has stored already, and may not have been allowed to.
//
//go:noinline
func (l *lead) claim() (err error) {
	s := l.seq
	switch {
	case l.rival != nil:
		return l.rival.claim()
	case debugging:
		l.claimed, err = s.checked(1, func() (int64, error) { return s.claim(1) })
		return err
	case !s.quick:
		l.claimed, err = s.claim(1)
		return err
	}
	switch p := &s.single; {
	case s.state.Load() != 0:
		err = s.takeBack(atomic.LoadOwn(&p.claimed) - 1)
	case atomic.LoadOwn(&p.claimed) <= atomic.LoadOwn(&p.ceiling):
		s.setLimit()
		return nil
	default:
		atomic.StoreRelease(&p.claimed, atomic.LoadOwn(&p.claimed)-1)
	}
	if err == nil {
		_, err = s.claim(1)
	}
	return err
}
