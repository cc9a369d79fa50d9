package ring

import (
	"github.com/headrace/headrace/internal/atomic"
	"github.com/headrace/headrace/internal/cpu"
)

// A gatingSet is the consumers with nobody after them, which hold the producers back. To gate on
// them is to gate on all, because a consumer's cursor is never past those that it comes after. The
// set never changes; where the graph does, the sequencer gets a new one.
type gatingSet struct {
	consumers []*Consumer
	_         cpu.Pad
	// seen is a gating sequence that many producers have found lately: the true one is no less. It
	// is part of the set, so that what was found in an old set is never taken for the new one's.
	seen atomic.Int64
	_    cpu.Pad
}

func newGatingSet(consumers []*Consumer, seen int64) *gatingSet {
	g := &gatingSet{consumers: leaves(consumers)}
	g.seen.Store(seen)
	return g
}

// least returns the least cursor of the set.
func (g *gatingSet) least() int64 {
	least := int64(never)
	for _, c := range g.consumers {
		least = min(least, c.cursor.Load())
	}
	return least
}
