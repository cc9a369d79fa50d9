package handlers

import (
	"context"
	"sync"
	"sync/atomic"
)

// Crowd is where producers outside wait while too much waits for the workers of effects.
type Crowd struct {
	over atomic.Int64 // effects for which too much waits

	mu      sync.Mutex
	changed chan struct{} // closed when over has fallen, or the wait is over for good
	stopped bool
}

// NewCrowd returns one in which nobody waits.
func NewCrowd() *Crowd { return &Crowd{changed: make(chan struct{})} }

// Full tells whether a producer would have to wait. It may be called from any goroutine.
func (w *Crowd) Full() bool { return w.over.Load() > 0 }

// enter and leave are an effect's, when it gets over its limit and when it is no longer.
func (w *Crowd) enter() { w.over.Add(1) }

func (w *Crowd) leave() {
	if w.over.Add(-1) == 0 {
		w.wake()
	}
}

func (w *Crowd) wake() {
	w.mu.Lock()
	close(w.changed)
	w.changed = make(chan struct{})
	w.mu.Unlock()
}

// Stop ends all waits: the engine closes or has halted.
func (w *Crowd) Stop() {
	w.mu.Lock()
	w.stopped = true
	w.mu.Unlock()
	w.wake()
}

// Wait returns nil when no effect is over its limit or after Stop, and the error of ctx if that ends first.
func (w *Crowd) Wait(ctx context.Context) error {
	for {
		w.mu.Lock()
		changed, stopped := w.changed, w.stopped
		w.mu.Unlock()
		if stopped || !w.Full() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
