package ring

import "github.com/headrace/headrace/internal/block"

// A wait is what a handler waits for in a call of its own: that on's cursor is at seq, or that on has left;
// without on, that every consumer's cursor is at seq, which makes room for a claim.
type wait struct {
	on   *Consumer
	seq  int64 // never, if on has to leave
	left bool
}

// waiting is what the handlers of a ring wait for. Who handles an event does not go on, and does not leave, before
// the handler has returned, and if that waits for one that waits for it, by however many others, none of them ever
// returns. So whoever is about to wait notes it here, under the lock, and looks whether the way leads back to itself:
// the last one closes the circle, and all that the others wait for stands here.
//
// It is no use to look later. Cursors only grow, so no wait comes to need a consumer that it did not need before; but
// that a claim among many may need more room than when it began, and looks again.
type waiting struct {
	mu    block.Mutex
	round int64 // of the search that is under way
}

// blocks notes that the handler of c, which is the caller's, begins to wait for w, or waits on; unblocks ends it. It
// returns false, and notes nothing, if the wait would never end unless its context, or that of another, does.
func (s *sequencer) blocks(c *Consumer, w wait) bool {
	s.waiting.mu.Lock()
	defer s.waiting.mu.Unlock()
	s.waiting.round++
	c.wait = w
	if s.leadsBack(w, c) {
		c.wait = wait{}
		return false
	}
	return true
}

func (s *sequencer) unblocks(c *Consumer) {
	s.waiting.mu.Lock()
	c.wait = wait{}
	s.waiting.mu.Unlock()
}

// leadsBack tells whether w cannot be over before the handler of c has returned. waiting.mu is held.
func (s *sequencer) leadsBack(w wait, c *Consumer) bool {
	if w.on == nil && s.stopping() {
		return false // no claim waits any more
	}
	if w.needs(c) {
		return true
	}
	all := s.everybody.Load()
	if all == nil {
		return false // before Start, in a poller
	}
	for _, d := range *all {
		if d.wait == (wait{}) || d.seen == s.waiting.round || !w.needs(d) {
			continue
		}
		d.seen = s.waiting.round
		if s.leadsBack(d.wait, c) {
			return true
		}
	}
	return false
}

// needs tells whether w is not over as long as d stays where it is, in its handler.
func (w wait) needs(d *Consumer) bool {
	cursor := d.cursor.Load()
	switch {
	case w.on == nil || w.on == d:
		return cursor < w.seq
	case w.left:
		return false
	}
	// on may leave before it is at seq, and then needs d no further.
	return cursor < min(w.seq, w.on.leaveAt.Load()) && d.reaches(w.on)
}
