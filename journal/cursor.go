package journal

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
)

// cursor is a number that only grows, and those who wait for it.
//
// One goroutine advances. It pays one load for the sleepers as long as none of their targets is
// reached:
//
//	advancing            waiting
//	value = v            next = min(next, target)   (under mu)
//	if v >= next: wake   if value >= target: do not sleep
//
// Both stores are sequentially consistent, so at least one side sees the other.
type cursor struct {
	value atomic.Int64
	_     [120]byte
	next  atomic.Int64 // lowest target in waiting; MaxInt64 if none
	_     [120]byte

	mu      sync.Mutex
	waiting []*waiter
}

// waiter is one sleeper; it can be used again after wait returned.
type waiter struct {
	target int64
	ch     chan struct{} // capacity 1
	queued bool          // in waiting; guarded by the cursor's mu
}

var waiters = sync.Pool{New: func() any { return newWaiter() }}

func newWaiter() *waiter { return &waiter{ch: make(chan struct{}, 1)} }

func (c *cursor) init(v int64) {
	c.value.Store(v)
	c.next.Store(math.MaxInt64)
}

// advance sets the value and wakes whoever waited for it. It allocates nothing.
func (c *cursor) advance(v int64) {
	c.value.Store(v)
	if v >= c.next.Load() {
		c.wake(v)
	}
}

// wake wakes everyone with a target of at most v.
func (c *cursor) wake(v int64) {
	c.mu.Lock()
	keep, next := c.waiting[:0], int64(math.MaxInt64)
	for _, w := range c.waiting {
		if w.target <= v {
			w.queued = false
			w.ch <- struct{}{}
			continue
		}
		keep = append(keep, w)
		next = min(next, w.target)
	}
	clear(c.waiting[len(keep):])
	c.waiting = keep
	c.next.Store(next)
	c.mu.Unlock()
}

// wakeAll wakes everyone, for a change of state that is not in the value.
func (c *cursor) wakeAll() { c.wake(math.MaxInt64) }

// wait returns nil once the value has reached target, ctx's error once that ends, or what stop
// returns if that is not nil after a wakeAll. stop is asked only after the value.
func (c *cursor) wait(ctx context.Context, target int64, w *waiter, stop func() error) error {
	for {
		if c.value.Load() >= target {
			return nil
		}
		if err := stop(); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		c.mu.Lock()
		w.target, w.queued = target, true
		c.waiting = append(c.waiting, w)
		c.next.Store(min(c.next.Load(), target))
		c.mu.Unlock()
		// Only now look again: see the type's comment. stop too, because wakeAll may have
		// run before we were in the list.
		if c.value.Load() >= target || stop() != nil {
			c.forget(w)
			continue
		}
		select {
		case <-w.ch:
		case <-ctx.Done():
			c.forget(w)
		}
	}
}

// forget takes w out of the list, or takes the wake-up that it was sent.
func (c *cursor) forget(w *waiter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !w.queued {
		<-w.ch
		return
	}
	w.queued = false
	for i, x := range c.waiting {
		if x == w {
			last := len(c.waiting) - 1
			c.waiting[i] = c.waiting[last]
			c.waiting[last] = nil
			c.waiting = c.waiting[:last]
			break
		}
	}
	// next may now be too low: the next advance recomputes it.
}
