package handlers

// Stamper is the consumer that stands where a Journaler would, in a ring without a journal: it gives the slots
// of a batch their time, never smaller than the last, and answers those who wait for replies.
type Stamper struct {
	slot     func(seq int64) *Slot
	now      func() int64
	lastTime int64
	next     int64 // everything before it is stamped
	replies  *Replies
}

// NewStamper returns a stamper; slot finds slots by sequence, now is in unix nanoseconds, and replies may be nil.
func NewStamper(slot func(seq int64) *Slot, now func() int64, replies *Replies) *Stamper {
	return &Stamper{slot: slot, now: now, replies: replies}
}

// HandleSpan stamps the span's slots, and all of an atomic batch with its first, as a Journaler does. It never fails.
func (s *Stamper) HandleSpan(first int64, span []Slot) error {
	s.lastTime = max(s.lastTime, s.now())
	end := first + int64(len(span))
	for seq := max(first, s.next); seq < end; seq = s.next {
		s.next = seq + max(1, int64(s.slot(seq).Batch))
		for i := seq; i < s.next; i++ {
			s.slot(i).Time = s.lastTime
		}
	}
	if s.replies.wanted() {
		s.replies.look(first, span)
	}
	return nil
}
