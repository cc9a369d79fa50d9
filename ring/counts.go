package ring

import (
	"math/bits"
	"sync/atomic"

	"github.com/headrace/headrace/internal/cpu"
)

// batchBuckets is one for each power of two up to MaxSlots.
const batchBuckets = 31

// counts are written by the consumer's goroutine alone, with plain release stores on lines of its
// own, and read by anybody.
type counts struct {
	batches [batchBuckets]int64
}

// batch counts a batch of n events, n >= 1.
func (c *counts) batch(n int64) {
	p := &c.batches[min(bits.Len64(uint64(n))-1, batchBuckets-1)]
	cpu.StoreRelease(p, *p+1)
}

func (c *counts) histogram() (h [batchBuckets]int64) {
	for i := range h {
		h[i] = atomic.LoadInt64(&c.batches[i])
	}
	return h
}
