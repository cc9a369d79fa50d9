package handlers

import (
	"github.com/headrace/headrace/journal"
	"github.com/headrace/headrace/ring"
)

// Slot is what the engine's ring holds: one event as it will lie in the journal, or a void.
//
// A producer fills a slot between Claim and Publish; the journaler stamps Time; every consumer
// behind it reads. Nothing else is written while the slot is published, and Body is valid only
// until the consumer's cursor has passed the slot.
type Slot struct {
	Type  uint16       // type id of the event, as the log's catalog assigns it
	Kind  journal.Kind // journal.KindEvent, or journal.KindVoid for an aborted claim
	Batch uint32       // on the first slot of an atomic batch: how many slots it has; else 0
	Time  int64        // unix nanoseconds of journaling; set by the journaler, 0 before it
	Body  []byte       // envelope and payload: the bytes that go to disk

	room []byte // the slot's own part of the arena, len 0; we own it between Claim and Publish
}

// Room returns the slot's inline space, of length 0 and the capacity that NewSlots was given.
// Appending to it encodes in place as long as the result fits.
func (s *Slot) Room() []byte { return s.room }

// Void turns a claimed slot into an aborted one: its sequence is used up and carries nothing.
func (s *Slot) Void() {
	s.Kind, s.Type, s.Batch, s.Time, s.Body = journal.KindVoid, 0, 0, 0, nil
}

// NewSlots gives every slot of r its inline room of slotBytes, out of one arena, so that neighbours
// in sequence are neighbours in memory. Call it once, before the first Claim.
func NewSlots(r *ring.Ring[Slot], slotBytes int) {
	n := r.Slots()
	arena := make([]byte, n*slotBytes)
	for i := range n {
		lo, hi := i*slotBytes, (i+1)*slotBytes
		r.Slot(int64(i)).room = arena[lo:lo:hi]
	}
}
