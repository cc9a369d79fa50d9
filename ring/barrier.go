package ring

import (
	"github.com/smartystreets-prototypes/go-disruptor"
)

// A link is what one consumer comes after, and the barrier that follows from it. It never changes;
// where the graph does, the consumer gets a new one.
type link struct {
	after   []*Consumer
	barrier disruptor.Barrier
}

// newLink makes a link for c. The barrier is a
// disruptor.Barrier: Load returns the sequence up to which the consumer may read. Behind consumers
// it is the least of their cursors; at the head of the graph it is the ring's cursor, which for
// a single producer is a cursor too.
func newLink(c *Consumer, after []*Consumer) *link {
	k := &link{after: after}
	switch {
	case len(after) == 1:
		k.barrier = &after[0].cursor
	case len(after) > 1:
		cursors := make(leastOf, len(after))
		for i, c := range after {
			cursors[i] = &c.cursor
		}
		k.barrier = cursors
	case c.seq.multi:
		k.barrier = &markBarrier{consumer: c, seen: unseen}
	default:
		k.barrier = &c.seq.cursor
	}
	return k
}

// leastOf is the barrier behind several consumers.
type leastOf []*cursor

func (b leastOf) Load() int64 {
	least := int64(never)
	for _, c := range b {
		least = min(least, c.Load())
	}
	return least
}

// upstream is the barrier of a consumer whose link may be exchanged.
//
// A consumer that leaves is replaced by what is ahead of it, and a late look at it does no harm. One
// that is put in front (Ring.overtake) has to know when the last look that passes it by is over:
//
//	consumer                             joiner
//	--------                             ------
//	k = link                             link = the new one, with the newcomer
//	hi = k's barrier                     newcomer's cursor = what is readable at its place
//	if link == k: read up to hi
//
// If the consumer goes by the old link, it has found hi before the exchange, and the newcomer begins
// behind hi. While the newcomer's cursor is still on its way, Load may return less than before.
type upstream struct{ c *Consumer }

func (u upstream) Load() int64 {
	k := u.c.link.Load()
	for {
		hi := k.barrier.Load()
		now := u.c.link.Load()
		if now == k {
			return hi
		}
		k = now
	}
}

// markBarrier finds the ring's cursor for one consumer among the marks of many producers. It
// never looks at the claim word, which the producers fight for, and goes on where it stopped.
// Load belongs to the consumer's goroutine.
//
// It begins at the consumer's cursor, as that is at the first Load. Whoever exchanges a link cannot
// tell it: the consumer may move on before the new link is in place, producers use the slots
// behind it again, and a scan that begins there finds nothing for ever.
type markBarrier struct {
	consumer *Consumer
	seen     int64 // everything up to it is published
}

const unseen = -1

func (b *markBarrier) Load() int64 {
	if b.seen == unseen {
		b.seen = b.consumer.cursor.Load()
	}
	b.seen = b.consumer.seq.scan(b.seen)
	return b.seen
}
