package handlers

import (
	"context"
	"sync"
	"sync/atomic"
)

// Overflow keeps the bodies that are larger than a slot's inline room, bounded in bytes, and
// gives their memory back once every consumer has passed them.
//
// The bound is checked before a claim, never while one is held: a producer that waited with a slot
// in its hands could wait for itself. So the sum may pass the limit by what the producers that
// were let in together encode, and by what handlers emit, who never wait.
type Overflow struct {
	limit  int64
	bytes  atomic.Int64 // of bodies that some consumer may still read
	passed func() int64 // sequence that every consumer has passed

	mu   sync.Mutex
	used []held   // in the order of put, nearly that of sequence
	free [][]byte // to be used again
}

type held struct {
	seq int64
	buf []byte
}

// keepFree is how many buffers wait for reuse at most.
const keepFree = 8

// NewOverflow returns an empty overflow, bounded to limitBytes. passed reports the sequence that every
// consumer has passed.
func NewOverflow(limitBytes int64, passed func() int64) *Overflow {
	return &Overflow{limit: limitBytes, passed: passed}
}

// Bytes is the memory held by bodies that some consumer may still read, as of the last reclaim.
func (o *Overflow) Bytes() int64 { return o.bytes.Load() }

// Put makes body the slot's body: it stands in the slot's room, or is held here until all have passed
// seq. Call it between Claim and Publish of seq.
func (o *Overflow) Put(s *Slot, seq int64, body []byte) {
	if len(body) > cap(s.room) {
		s.Body = body
		o.mu.Lock()
		o.bytes.Add(int64(cap(body)))
		o.used = append(o.used, held{seq, body})
		o.mu.Unlock()
		return
	}
	if cap(body) == 0 || &body[:1][0] == &s.room[:1][0] {
		s.Body = body
		return
	}
	// Encoded elsewhere for fear of its size, and small after all.
	s.Body = append(s.room, body...)
	o.mu.Lock()
	o.keep(body)
	o.mu.Unlock()
}

// keep keeps a buffer for reuse, if there are not enough.
func (o *Overflow) keep(buf []byte) {
	if len(o.free) < keepFree {
		o.free = append(o.free, buf)
	}
}

// Buffer returns a buffer of length 0 for a body of about sizeHint bytes.
func (o *Overflow) Buffer(sizeHint int) []byte {
	o.reclaim()
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, b := range o.free {
		if cap(b) >= sizeHint {
			last := len(o.free) - 1
			o.free[i] = o.free[last]
			o.free[last] = nil
			o.free = o.free[:last]
			return b[:0]
		}
	}
	return make([]byte, 0, sizeHint)
}

// reclaim forgets every body that all consumers have passed.
func (o *Overflow) reclaim() {
	done := o.passed()
	o.mu.Lock()
	defer o.mu.Unlock()
	keep := o.used[:0]
	for _, h := range o.used {
		if h.seq > done {
			keep = append(keep, h)
			continue
		}
		o.bytes.Add(int64(-cap(h.buf)))
		o.keep(h.buf)
	}
	clear(o.used[len(keep):])
	o.used = keep
}

// oldest is the sequence of the first body that is held, 0 if there is none.
func (o *Overflow) oldest() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.used) == 0 {
		return 0
	}
	return o.used[0].seq
}

// Wait returns when less than the limit is held. Call it before a claim.
func (o *Overflow) Wait(ctx context.Context, wait func(ctx context.Context, seq int64) error) error {
	if o.bytes.Load() < o.limit {
		return nil
	}
	for {
		o.reclaim()
		if o.bytes.Load() < o.limit {
			return nil
		}
		if err := wait(ctx, o.oldest()); err != nil {
			return err
		}
	}
}
