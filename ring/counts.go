package ring

import (
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/headrace/headrace/internal/cpu"
)

// batchBuckets is one for each power of two up to MaxSlots.
const batchBuckets = 31

// counts are written by the consumer's goroutine alone, with plain release stores on lines of its
// own, and read by anybody.
type counts struct {
	batches [batchBuckets]int64
	since   int64                     // when the wait of now began to be blocked, 0 if there is none
	on      atomic.Pointer[waited]    // what it is for, while since is set
	waited  atomic.Pointer[[]*waited] // all that it ever was for
}

// waited is time blocked on one other.
type waited struct {
	on    string // name of a consumer, empty for producers
	nanos int64
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

// block notes that the consumer is blocked on another from now on.
func (c *counts) block(on string) {
	var known []*waited
	if p := c.waited.Load(); p != nil {
		known = *p
	}
	i := slices.IndexFunc(known, func(w *waited) bool { return w.on == on })
	if i < 0 {
		i, known = len(known), c.know(known, on)
	}
	c.on.Store(known[i])
	atomic.StoreInt64(&c.since, nanos())
}

// know adds another to those that the consumer waited for, which allocates, once for each.
func (c *counts) know(known []*waited, on string) []*waited {
	all := append(slices.Clone(known), &waited{on: on})
	c.waited.Store(&all)
	return all
}

// unblock notes that the wait is over. Where there was none it does nothing.
func (c *counts) unblock() {
	if c.since == 0 {
		return
	}
	w := c.on.Load()
	cpu.StoreRelease(&w.nanos, w.nanos+nanos()-c.since)
	atomic.StoreInt64(&c.since, 0)
}

// waits returns the times, with that of a wait that is not over.
func (c *counts) waits() (out []Wait) {
	known := c.waited.Load()
	if known == nil {
		return nil
	}
	since, on := atomic.LoadInt64(&c.since), c.on.Load()
	for _, w := range *known {
		d := atomic.LoadInt64(&w.nanos)
		if w == on && since != 0 {
			d += max(0, nanos()-since)
		}
		out = append(out, Wait{On: w.on, Time: time.Duration(d)})
	}
	return out
}

// A stopwatch sums up how long waits took, those that are not over included. It is touched at
// most twice a wait that is long enough to be counted.
type stopwatch struct {
	mu      sync.Mutex
	sum     int64 // nanoseconds of the waits that are over, less when each of the others began
	waiting int
}

func (w *stopwatch) start(now int64) { w.add(-now, 1) }
func (w *stopwatch) stop(now int64)  { w.add(now, -1) }

func (w *stopwatch) add(nanos int64, waiting int) {
	w.mu.Lock()
	w.sum += nanos
	w.waiting += waiting
	w.mu.Unlock()
}

// read returns the time, and how many wait now.
func (w *stopwatch) read() (time.Duration, int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Duration(w.sum + int64(w.waiting)*nanos()), w.waiting
}

// A blockage is a producer's wait. Zero: it was not blocked yet.
type blockage struct {
	begun bool
	by    *Consumer // nil before Start
}

func (b *blockage) begin(s *sequencer, n int) {
	if b.begun {
		return
	}
	b.begun, b.by = true, s.holder(n)
	now := nanos()
	s.blocked.start(now)
	if b.by != nil {
		b.by.blocking.start(now)
	}
}

func (b *blockage) end(s *sequencer) {
	if !b.begun {
		return
	}
	now := nanos()
	s.blocked.stop(now)
	if b.by != nil {
		b.by.blocking.stop(now)
	}
}

// holder returns the consumer that holds a claim of n back, the first if there are several.
func (s *sequencer) holder(n int) *Consumer {
	g := s.gating.Load()
	if g == nil {
		return nil
	}
	need := s.claimed() + int64(n) - s.slots
	for _, c := range g.consumers {
		if c.cursor.Load() < need {
			return c
		}
	}
	return nil
}

var clockStart = time.Now()

// nanos is the monotonic time, never 0.
func nanos() int64 { return int64(time.Since(clockStart)) + 1 }
