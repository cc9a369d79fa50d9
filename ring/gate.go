package ring

import (
	"math"

	"github.com/headrace/headrace/internal/atomic"
	"github.com/headrace/headrace/internal/block"
	"github.com/headrace/headrace/internal/cpu"
)

// never is what nobody waits for.
const never = math.MaxInt64

// A gate is where goroutines park until some cursor reaches a sequence.
//
// Whoever moves the cursor stores it and then loads wakeAt; whoever parks stores wakeAt and then
// loads the cursor. One of them must see the other's store, or a wake-up is lost:
//
//	moves the cursor                     parks
//	----------------                     -----
//	cursor = s                           wakeAt = s             (atomic: a full fence)
//	(nothing, or a full fence)           membarrier, if the left side has no fence
//	if wakeAt <= s: wake                 if cursor >= s: do not block
//
// With a fence on both sides this is Dekker's pair. Without one on the left, the membarrier
// makes that thread execute one somewhere between two of its instructions. If that point is
// after its store, the right side's load sees the cursor; if it is before its store, then its
// load, which comes later still, sees wakeAt.
type gate struct {
	wakeAt atomic.Int64 // least sequence that somebody parked here waits for, else never
	_      cpu.Pad      // wakeAt is read at every publish, the rest only by those who park
	mu     block.Mutex
	parked []*parker // guarded by mu; a binary heap, least sequence first
	plain  bool      // the cursor is moved by a store without a fence
}

// A parker is what one goroutine blocks on. It is in one gate at most, and its channel is empty
// when it is in none.
type parker struct {
	wake  chan struct{} // capacity 1
	seq   int64
	woken int64       // when it was taken out, in the time of now
	alarm block.Alarm // for waits with a deadline
}

func newParker() *parker { return &parker{wake: make(chan struct{}, 1)} }

// parkers keeps those of producers and other callers from allocating once per wait.
var parkers = block.Pool{New: func() any { return newParker() }}

func (g *gate) init(plain bool) {
	g.wakeAt.Store(never)
	g.plain = plain
}

// notify wakes those who wait for seq or less. The cursor has been moved already.
func (g *gate) notify(seq int64) {
	if g.wakeAt.Load() <= seq {
		g.wake(seq)
	}
}

// wakeAll makes everybody look again, which is for changes that are not a cursor's.
func (g *gate) wakeAll() { g.wake(never) }

func (g *gate) wake(seq int64) {
	g.mu.Lock()
	for len(g.parked) > 0 && g.parked[0].seq <= seq {
		p := g.parked[0]
		g.remove(0)
		p.woken = now()
		block.Send(p.wake) // never blocks
	}
	g.arm()
	g.mu.Unlock()
}

// park blocks until it is woken for seq or done is closed, but not if ready holds once the gate
// is armed. It may return early: the caller looks again.
func (g *gate) park(p *parker, seq int64, ready func() bool, done <-chan struct{}) {
	g.mu.Lock()
	p.seq = seq
	g.insert(p)
	g.arm()
	g.mu.Unlock()
	if g.plain {
		atomic.Membarrier()
	}
	if ready() {
		g.leave(p)
		return
	}
	if done == nil {
		block.Recv(p.wake)
		return
	}
	if !block.RecvOr(p.wake, done) {
		g.leave(p)
	}
}

// leave takes p out, or takes the wake-up that it was taken out with.
func (g *gate) leave(p *parker) {
	g.mu.Lock()
	for i, q := range g.parked {
		if q == p {
			g.remove(i)
			g.arm()
			g.mu.Unlock()
			return
		}
	}
	g.mu.Unlock()
	block.Recv(p.wake) // sent before mu was released
}

func (g *gate) arm() {
	least := int64(never)
	if len(g.parked) > 0 {
		least = g.parked[0].seq
	}
	if g.wakeAt.Load() != least {
		g.wakeAt.Store(least)
	}
}

func (g *gate) insert(p *parker) {
	g.parked = append(g.parked, p)
	g.up(len(g.parked) - 1)
}

func (g *gate) remove(i int) {
	last := len(g.parked) - 1
	g.parked[i] = g.parked[last]
	g.parked[last] = nil
	g.parked = g.parked[:last]
	if i < last {
		g.down(i)
		g.up(i)
	}
}

func (g *gate) up(i int) {
	h := g.parked
	for i > 0 {
		parent := (i - 1) / 2
		if h[parent].seq <= h[i].seq {
			return
		}
		h[parent], h[i] = h[i], h[parent]
		i = parent
	}
}

func (g *gate) down(i int) {
	h := g.parked
	for {
		child := 2*i + 1
		if child >= len(h) {
			return
		}
		if child+1 < len(h) && h[child+1].seq < h[child].seq {
			child++
		}
		if h[i].seq <= h[child].seq {
			return
		}
		h[i], h[child] = h[child], h[i]
		i = child
	}
}
