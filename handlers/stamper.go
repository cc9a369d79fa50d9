package handlers

// Stamper is the consumer that stands where a Journaler would, in a ring without a journal: it gives the slots
// of a batch their time, never smaller than the last, and answers those who wait for replies.
type Stamper struct {
	now      func() int64
	lastTime int64
	replies  *Replies
}

// NewStamper returns a stamper; now is in unix nanoseconds, and replies may be nil.
func NewStamper(now func() int64, replies *Replies) *Stamper {
	return &Stamper{now: now, replies: replies}
}

// HandleSpan stamps the span's slots. It never fails.
func (s *Stamper) HandleSpan(first int64, span []Slot) error {
	s.lastTime = max(s.lastTime, s.now())
	for i := range span {
		span[i].Time = s.lastTime
	}
	if s.replies.wanted() {
		s.replies.look(first, span)
	}
	return nil
}
