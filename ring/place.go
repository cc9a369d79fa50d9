package ring

import (
	"context"
	"time"

	"github.com/headrace/headrace/internal/block"
)

// A place is where a consumer reads: what a loop and a Poller have in common. It belongs to the
// consumer's goroutine.
type place struct {
	*Consumer
	wait   WaitStrategy
	parker *parker
	chase  chase
	habit  habit
	counts *counts
}

type outcome uint8

const (
	readable outcome = iota // there is something
	drained                 // the ring is closed, and there never will be
	stopped                 // the ring is halted, or the consumer leaves
	given                   // done was closed
)

// await returns when next, one past the cursor, is readable or will never be.
func (p *place) await(next int64, done <-chan struct{}) outcome {
	up := upstream{p.Consumer}
	if up.Load() >= next {
		return readable
	}
	p.chase.waited = true
	if p.habit.handed && p.yieldFirst(next) {
		return readable
	}
	w := p.wait.begin(p.habit)
	defer w.end()
	defer p.counts.unblock()
	for up.Load() < next {
		if w.spins == 0 && p.counts.since == 0 {
			p.counts.block(p.holder(next))
		}
		if p.leaving(next - 1) {
			return stopped
		}
		if p.seq.stopping() {
			if p.seq.drained(next - 1) {
				return drained
			}
			if p.seq.halted() {
				return stopped
			}
		}
		if done != nil && block.Recvd(done) {
			return given
		}
		if !w.step() {
			p.blockTimed(next, done)
		}
		if w.polls > expectAfter {
			p.seq.expect(next)
		}
	}
	p.habit.handed = w.yielded && !exploring
	return readable
}

// yieldFirst lets others run, and tells whether next is readable then.
func (p *place) yieldFirst(next int64) bool {
	began := now()
	block.Yield()
	ready := upstream{p.Consumer}.Load() >= next
	p.habit.handed = ready && now()-began <= int64(handTime)
	return ready
}

// blockTimed is block, and learns from how long it took; not under the schedule explorer, whose runs must not
// depend on the clock.
func (p *place) blockTimed(next int64, done <-chan struct{}) {
	began := now()
	p.parker.woken = began // unless somebody wakes it: it was readable before it could block
	p.block(next, done)
	if !exploring {
		p.habit.parked(began, p.parker.woken)
	}
}

// block parks at one cursor that is short of next: the ring's, or that of the first consumer that
// holds this one back. It must look at that cursor alone once the gate is armed. Were it to look
// at the least of several, the one it parks at could pass next before the gate is armed, another
// still be short, and nobody would ever wake it here.
//
// A consumer that has left moves its cursor no more. It sets left after everybody's link was
// exchanged and before it wakes those parked at its gate, so that whoever parks here because of
// an old link either sees left or is woken.
func (p *place) block(next int64, done <-chan struct{}) {
	stop := func() bool {
		return p.seq.halted() || p.seq.drained(next-1) || p.leaving(next-1)
	}
	k := p.link.Load()
	if len(k.after) == 0 {
		p.seq.published.park(p.parker, next, func() bool { return k.barrier.Load() >= next || stop() }, done)
		return
	}
	for _, c := range k.after {
		if c.cursor.Load() < next {
			c.gate.park(p.parker, next, func() bool { return c.cursor.Load() >= next || c.left.Load() || stop() }, done)
			return
		}
	}
}

// holder returns the name of the first consumer that holds this one back, empty for producers.
func (p *place) holder(next int64) string {
	for _, c := range p.after() {
		if c.cursor.Load() < next {
			return c.name
		}
	}
	return ""
}

// sleep blocks for d, or until the ring halts or the consumer has to leave.
func (p *place) sleep(d time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	stop := func() bool { return p.seq.halted() || p.leaveAt.Load() < never }
	for ctx.Err() == nil && !stop() {
		p.seq.changed.park(p.parker, never, stop, ctx.Done())
	}
}
