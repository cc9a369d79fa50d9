package headracetest

import (
	"sync"
	"time"
)

// Clock is a headrace.Clock that stands still until it is told to move. Its methods may be called from any
// goroutine.
type Clock struct {
	mu      sync.Mutex
	now     time.Time
	waiting map[chan time.Time]time.Time // until when
}

// NewClock returns a clock that says now.
func NewClock(now time.Time) *Clock {
	return &Clock{now: now, waiting: map[chan time.Time]time.Time{}}
}

// Now implements headrace.Clock.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock forward.
func (c *Clock) Advance(d time.Duration) { c.Set(c.Now().Add(d)) }

// Set makes the clock say now, also if that is earlier.
func (c *Clock) Set(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = now
	for ch, until := range c.waiting {
		if !now.Before(until) {
			delete(c.waiting, ch)
			ch <- now
		}
	}
}

// Reach implements headrace.Clock.
func (c *Clock) Reach(t time.Time) (<-chan time.Time, func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ch := make(chan time.Time, 1)
	if !c.now.Before(t) {
		ch <- c.now
		return ch, func() {}
	}
	c.waiting[ch] = t
	return ch, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.waiting, ch)
	}
}
