package journal

import (
	"sync/atomic"
	"time"
)

// StallKind names what the writer waited for.
type StallKind uint8

const (
	StallSegment StallKind = iota // the next segment was not ready
	StallTouch                    // a page was not touched yet
	StallRoll                     // sealing, and naming the next segment; every roll is one
	StallWrite                    // a write took over 1 ms: too many dirty pages, or one in writeback
	stallKinds
)

// String returns the kind's name.
func (k StallKind) String() string {
	switch k {
	case StallSegment:
		return "segment not ready"
	case StallTouch:
		return "page not touched"
	case StallRoll:
		return "roll over"
	case StallWrite:
		return "slow write"
	}
	return "unknown"
}

// Stall is what the writer waited for one kind of thing since Open.
type Stall struct {
	Count   uint64
	Total   time.Duration
	Longest time.Duration
}

// stallCounter is a Stall that the writer adds to and anybody reads.
type stallCounter struct{ count, total, longest atomic.Int64 }

// since adds a stall that began at start. Only the writer calls it.
func (c *stallCounter) since(start time.Time) {
	c.add(time.Since(start))
}

// add is since for a stall of a known length.
func (c *stallCounter) add(d time.Duration) {
	c.count.Add(1)
	c.total.Add(int64(d))
	if int64(d) > c.longest.Load() {
		c.longest.Store(int64(d))
	}
}

func (c *stallCounter) load() Stall {
	return Stall{uint64(c.count.Load()), time.Duration(c.total.Load()), time.Duration(c.longest.Load())}
}
