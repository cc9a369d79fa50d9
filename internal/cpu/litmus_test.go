package cpu

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// cell is the memory of one try of a litmus test: what is shared, and what each side has seen. x and y are far from
// each other: on one line the load of the one would wait for the store of the other, and see it.
type cell struct {
	x    int64
	_    Pad
	y    int64
	_    Pad
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

// fetch has the lines shared by both processors: then a store takes as long as to tell the other, and a load no time.
func (c *cell) fetch() {
	PrefetchRead(unsafe.Pointer(&c.x))
	PrefetchRead(unsafe.Pointer(&c.y))
	PrefetchRead(unsafe.Pointer(&c.z))
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

// A meeting is where the two sides of a litmus test go through the cells together, as far as they can.
type meeting struct {
	at [2]struct { // which cell each side is at
		atomic.Int64
		_ Pad
	}
	far [2][]Pad // each too large for a cache
}

func newMeeting() *meeting {
	m := &meeting{}
	for me := range m.far {
		m.far[me] = make([]Pad, 1<<16)
	}
	return m
}

// side does what one side does in each cell. Where it is ahead it waits for the other, at first until that has a
// processor too, and in the end, where others keep the processors busy, no more than a moment.
//
// Both have the lines of a cell when they begin, so that a load takes no time, and a store as long as to tell the other;
// and the stores before that one, to where no cache has anything, keep the store buffer busy. Whoever comes last goes on
// first, as the other hears of it later: one of them, in turn, begins a little later, from none to more than that takes.
func (m *meeting) side(me int, memory []cell, do func(*cell)) {
	const moment = 100
	patience := 1 << 18 // in all cells together
	if runtime.GOMAXPROCS(0) == 1 {
		patience = 0
	}
	for i := range memory {
		memory[i].fetch()
		m.at[me].Store(int64(i))
		for turn := 0; m.at[1-me].Load() < int64(i); turn++ {
			if patience--; patience < 0 && turn >= moment {
				break
			}
			if turn%4096 == 4095 {
				runtime.Gosched()
			}
			Pause(1)
		}
		for k := range 4 {
			m.far[me][(i*4+k)*7919%len(m.far[me])][0] = 1
		}
		if i%2 == me {
			for late := i / 2 % 64 * 8; late > 0; late-- { // gc leaves an empty loop as it is
			}
		}
		do(&memory[i])
	}
	m.at[me].Store(int64(len(memory)))
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
	m := newMeeting()
	for _, procs := range []int{1, 2, 4, 8} {
		for _, l := range litmus {
			t.Run(fmt.Sprint("GOMAXPROCS=", procs, "/", l.name), func(t *testing.T) {
				defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
				counts := map[string]int{}
				for range rounds {
					memory := make([]cell, cells)
					m.at[0].Store(-1)
					m.at[1].Store(-1)
					var both sync.WaitGroup
					both.Go(func() { m.side(0, memory, l.one) })
					both.Go(func() { m.side(1, memory, l.two) })
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
