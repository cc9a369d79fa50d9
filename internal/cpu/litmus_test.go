package cpu

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// cell is the memory of one try of a litmus test: what is shared, and what each side has seen.
type cell struct {
	x, y int64
	z    int32
	_    Pad
	a, b [2]int64
	_    Pad
}

// The tests follow the usual names: MP, message passing; SB, store buffering; LB, load buffering;
// CoRR, coherence of two reads. Outcomes are what the second column of each side loads, and "-" is
// what it did not load. Everything that is seen must be allowed; of what is allowed only because
// stores wait in a buffer, the log says how often it was seen.
var litmus = []struct {
	name      string
	one, two  func(*cell)
	outcome   func(*cell) string
	allowed   []string
	forbidden []string
	buffered  string
}{
	{
		name:      "MP: a release store shows what was stored before it",
		one:       func(c *cell) { c.x = 1; StoreRelease(&c.y, 1) },
		two:       func(c *cell) { readBehind(c, func() bool { return atomic.LoadInt64(&c.y) == 1 }) },
		outcome:   func(c *cell) string { return fmt.Sprint(c.b[0], " ", seen(c.b[1])) },
		allowed:   []string{"0 -", "1 1"},
		forbidden: []string{"1 0"},
	},
	{
		name:      "MP: with 32 bits, as a mark",
		one:       func(c *cell) { c.x = 1; StoreRelease32(&c.z, 1) },
		two:       func(c *cell) { readBehind(c, func() bool { return atomic.LoadInt32(&c.z) == 1 }) },
		outcome:   func(c *cell) string { return fmt.Sprint(c.b[0], " ", seen(c.b[1])) },
		allowed:   []string{"0 -", "1 1"},
		forbidden: []string{"1 0"},
	},
	{
		name:      "two release stores are seen in order",
		one:       func(c *cell) { StoreRelease(&c.x, 1); StoreRelease(&c.y, 1) },
		two:       func(c *cell) { c.b[0] = atomic.LoadInt64(&c.y); c.b[1] = atomic.LoadInt64(&c.x) },
		outcome:   func(c *cell) string { return fmt.Sprint(c.b[0], " ", c.b[1]) },
		allowed:   []string{"0 0", "0 1", "1 1"},
		forbidden: []string{"1 0"},
	},
	{
		name:      "SB: release stores do not stay before the loads after them",
		one:       func(c *cell) { StoreRelease(&c.x, 1); c.a[0] = atomic.LoadInt64(&c.y) },
		two:       func(c *cell) { StoreRelease(&c.y, 1); c.b[0] = atomic.LoadInt64(&c.x) },
		outcome:   func(c *cell) string { return fmt.Sprint(c.a[0], " ", c.b[0]) },
		allowed:   []string{"0 0", "0 1", "1 0", "1 1"},
		forbidden: nil,
		buffered:  "0 0",
	},
	{
		name:      "SB: with a fence on one side alone they do not either",
		one:       func(c *cell) { StoreRelease(&c.x, 1); c.a[0] = atomic.LoadInt64(&c.y) },
		two:       func(c *cell) { atomic.StoreInt64(&c.y, 1); c.b[0] = atomic.LoadInt64(&c.x) },
		outcome:   func(c *cell) string { return fmt.Sprint(c.a[0], " ", c.b[0]) },
		allowed:   []string{"0 0", "0 1", "1 0", "1 1"},
		forbidden: nil,
		buffered:  "0 0",
	},
	{
		name:      "SB: with sync/atomic on both sides they do",
		one:       func(c *cell) { atomic.StoreInt64(&c.x, 1); c.a[0] = atomic.LoadInt64(&c.y) },
		two:       func(c *cell) { atomic.StoreInt64(&c.y, 1); c.b[0] = atomic.LoadInt64(&c.x) },
		outcome:   func(c *cell) string { return fmt.Sprint(c.a[0], " ", c.b[0]) },
		allowed:   []string{"0 1", "1 0", "1 1"},
		forbidden: []string{"0 0"},
	},
	{
		name:      "SB: with a membarrier on one side they do",
		one:       func(c *cell) { asymmetric(&c.x); c.a[0] = atomic.LoadInt64(&c.y) },
		two:       func(c *cell) { atomic.StoreInt64(&c.y, 1); Membarrier(); c.b[0] = atomic.LoadInt64(&c.x) },
		outcome:   func(c *cell) string { return fmt.Sprint(c.a[0], " ", c.b[0]) },
		allowed:   []string{"0 1", "1 0", "1 1"},
		forbidden: []string{"0 0"},
	},
	{
		name:      "LB: a release store stays behind the loads before it",
		one:       func(c *cell) { c.a[0] = atomic.LoadInt64(&c.y); StoreRelease(&c.x, 1) },
		two:       func(c *cell) { c.b[0] = atomic.LoadInt64(&c.x); StoreRelease(&c.y, 1) },
		outcome:   func(c *cell) string { return fmt.Sprint(c.a[0], " ", c.b[0]) },
		allowed:   []string{"0 0", "0 1", "1 0"},
		forbidden: []string{"1 1"},
	},
	{
		name:      "CoRR: a second load is not older than the first",
		one:       func(c *cell) { StoreRelease(&c.x, 1); StoreRelease(&c.x, 2) },
		two:       func(c *cell) { c.b[0] = atomic.LoadInt64(&c.x); c.b[1] = atomic.LoadInt64(&c.x) },
		outcome:   func(c *cell) string { return fmt.Sprint(c.b[0], " ", c.b[1]) },
		allowed:   []string{"0 0", "0 1", "0 2", "1 1", "1 2", "2 2"},
		forbidden: []string{"1 0", "2 0", "2 1"},
	},
}

// asymmetric is the store that the ring makes where others use Membarrier.
func asymmetric(p *int64) {
	if HasMembarrier() {
		StoreRelease(p, 1)
	} else {
		atomic.StoreInt64(p, 1)
	}
}

// readBehind reads x, which is not atomic, only when it may.
func readBehind(c *cell, ready func() bool) {
	c.b[1] = -1
	if ready() {
		c.b[0], c.b[1] = 1, c.x
	}
}

func seen(v int64) string {
	if v < 0 {
		return "-"
	}
	return fmt.Sprint(v)
}

// TestLitmus runs each test many times on the processors of this machine.
func TestLitmus(t *testing.T) {
	rounds := 15
	switch {
	case os.Getenv("HEADRACE_LONG") != "":
		rounds = 20_000
	case testing.Short():
		rounds = 4
	}
	const cells = 1000
	for _, procs := range []int{1, 2, 4, 8} {
		for _, l := range litmus {
			t.Run(fmt.Sprint("GOMAXPROCS=", procs, "/", l.name), func(t *testing.T) {
				defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
				counts := map[string]int{}
				for range rounds {
					memory := make([]cell, cells)
					// Both sides go through the cells, together as far as they can: where one is ahead, it
					// waits a little, so that they meet again and again.
					var at [2]atomic.Int64
					side := func(me int, do func(*cell)) {
						for i := range memory {
							at[me].Store(int64(i))
							for turn := 0; turn < 100 && at[1-me].Load() < int64(i); turn++ {
								Pause(1)
							}
							do(&memory[i])
						}
						at[me].Store(cells)
					}
					var both sync.WaitGroup
					both.Go(func() { side(0, l.one) })
					both.Go(func() { side(1, l.two) })
					both.Wait()
					for i := range memory {
						counts[l.outcome(&memory[i])]++
					}
				}
				for outcome := range counts {
					require.NotContains(t, l.forbidden, outcome, "%v", counts)
					require.Contains(t, l.allowed, outcome, "%v", counts)
				}
				if l.buffered != "" {
					t.Logf("%q, by a store buffer: %d of %d", l.buffered, counts[l.buffered], rounds*cells)
				}
			})
		}
	}
}
