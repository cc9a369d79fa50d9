//go:build headrace_debug

package ring

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
)

const debugging = true

// debugState checks what callers of Claim and Publish have to see to. It takes a lock and a stack
// trace for each claim.
type debugState struct {
	single bool
	slots  int64
	busy   atomic.Int64 // goroutine inside a claim or publish of a single producer, 0 if none

	mu     sync.Mutex
	open   map[int64]openClaim // claimed and not published
	next   int64               // single: the only sequence that may be published next
	owner  int64               // single: goroutine that has open claims
	polled map[*Consumer]int64 // goroutine that called each poller last
}

type openClaim struct {
	goroutine int64
	stack     []uintptr
}

func (d *debugState) init(s *sequencer) {
	d.single, d.slots, d.next = !s.multi, s.slots, s.first
	d.open = map[int64]openClaim{}
	d.polled = map[*Consumer]int64{}
}

// enter and leave enclose what only one goroutine at a time may do with a single producer.
func (d *debugState) enter() {
	if !d.single {
		return
	}
	me := goroutineID()
	if !d.busy.CompareAndSwap(0, me) {
		misuse(0, 0, "goroutines %d and %d use a ring with SingleProducer at the same time", d.busy.Load(), me)
	}
}

func (d *debugState) leave() {
	if d.single {
		d.busy.Store(0)
	}
}

func (d *debugState) claimed(lo, hi int64) {
	me := goroutineID()
	stack := make([]uintptr, 16)
	stack = stack[:runtime.Callers(3, stack)]
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.single && len(d.open) > 0 && d.owner != me {
		misuse(lo, hi, "goroutine %d claims from a ring with SingleProducer while goroutine %d has claims that are not published", me, d.owner)
	}
	d.owner = me
	for ; lo <= hi; lo++ {
		d.open[lo] = openClaim{me, stack}
	}
}

func (d *debugState) publishing(lo, hi int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if lo > hi {
		misuse(lo, hi, "the range is empty")
	}
	if hi-lo >= d.slots {
		misuse(lo, hi, "the range is larger than the ring")
	}
	for seq := lo; seq <= hi; seq++ {
		if _, ok := d.open[seq]; !ok {
			misuse(lo, hi, "sequence %d is not claimed, or is published already", seq)
		}
	}
	if d.single && lo != d.next {
		misuse(lo, hi, "with SingleProducer the next to be published is %d", d.next)
	}
	for seq := lo; seq <= hi; seq++ {
		delete(d.open, seq)
	}
	d.next = hi + 1
}

// claimant returns the stack of whoever has claimed seq and not published it, else nil.
func (d *debugState) claimant(seq int64) []uintptr {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.open[seq].stack
}

// polls notes that the caller polls c.
func (d *debugState) polls(c *Consumer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c.stopped.Load() {
		delete(d.polled, c)
		return
	}
	d.polled[c] = goroutineID()
}

// polling returns the poller that the caller has called last, and is furthest behind if there are several;
// else nil.
func (d *debugState) polling() (p *Consumer) {
	me := goroutineID()
	d.mu.Lock()
	defer d.mu.Unlock()
	for c, id := range d.polled {
		if id == me && !c.stopped.Load() && (p == nil || c.cursor.Load() < p.cursor.Load()) {
			p = c
		}
	}
	return p
}

func misuse(lo, hi int64, format string, args ...any) {
	panic(&MisuseError{Lo: lo, Hi: hi, Reason: fmt.Sprintf(format, args...)})
}
