package ring

import "github.com/smartystreets-prototypes/go-disruptor"

// A barrier is disruptor.Barrier: Load returns the sequence up to which a consumer may read. Behind
// consumers it is the least of their cursors; at the head of the graph it is the ring's cursor,
// which for a single producer is a disruptor.Cursor too.
func newBarrier(s *sequencer, after []*Consumer) disruptor.Barrier {
	if len(after) > 0 {
		cursors := make([]*disruptor.Cursor, len(after))
		for i, c := range after {
			cursors[i] = &c.cursor
		}
		return disruptor.NewCompositeBarrier(cursors...)
	}
	if s.multi {
		return &markBarrier{seq: s, seen: s.first - 1}
	}
	return &s.cursor
}

// markBarrier finds the ring's cursor for one consumer among the marks of many producers. It
// never looks at the claim word, which the producers fight for, and goes on where it stopped.
// Load belongs to the consumer's goroutine.
type markBarrier struct {
	seq  *sequencer
	seen int64 // everything up to it is published
}

func (b *markBarrier) Load() int64 {
	b.seen = b.seq.scan(b.seen)
	return b.seen
}
