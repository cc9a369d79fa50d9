package handlers

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Projection is a read model: state S that handlers build from events, on a lane of its own.
//
// Its state is read from outside with View, which sees it between two batches, at a known
// sequence. WaitFor gives a caller what it has just published.
type Projection[S any] struct {
	lane  *Lane
	mu    sync.RWMutex
	state *State[S]
	wait  func(ctx context.Context, seq int64) error
}

// ErrNotRunning reports a wait on a projection that no engine runs.
var ErrNotRunning = errors.New("handlers: projection is not running")

// NewProjection returns a projection over state, which belongs to it from now on. Its name is
// for errors, statistics and waits; it is unique in an engine.
func NewProjection[S any](name string, state *S) *Projection[S] {
	p := &Projection[S]{lane: NewLane(name)}
	if state == nil {
		p.lane.faults = append(p.lane.faults, fmt.Errorf("handlers: projection %q: its state is nil", name))
		state = new(S)
	}
	p.state = &State[S]{lane: p.lane, name: name, value: state}
	p.lane.states = append(p.lane.states, p.state)
	p.lane.lock, p.lane.declared = &p.mu, true
	return p
}

// Apply registers fn for events of type E. It may change the state in any way, and is the only
// one that does; it cannot emit. What it returns or how it panics is as with On.
func Apply[E, S any](p *Projection[S], fn func(s *S, c *Context, e E) error) {
	if fn == nil {
		On[E](p.lane, p.lane.name, nil)
		return
	}
	On(p.lane, p.lane.name, func(c *Context, e E) error { return fn(stateIn[S](c), c, e) })
}

// stateIn is the state for the handler that c belongs to: that of a projection, or of one that is made beside it.
func stateIn[S any](c *Context) *S { return c.lane.states[0].(*State[S]).value }

// Fresh says how the state of an empty log is made, for headrace.Engine.Rebuild. It is needed where that cannot be told from
// the one which NewProjection was given, because it cannot be encoded. Call it before the engine opens.
func (p *Projection[S]) Fresh(empty func() *S) { p.state.make = empty }

// Name returns the projection's name.
func (p *Projection[S]) Name() string { return p.lane.name }

// Lane returns the lane that the projection runs on, for its engine.
func (p *Projection[S]) Lane() *Lane { return p.lane }

// View calls fn with the state and the sequence of the last event that it contains. The state does not
// change during the call, and must not be changed or kept by it. While fn runs the lane waits, and
// behind it, in the end, the ring: be brief. It may be called from any goroutine, but neither from
// a handler of this projection nor inside another View of it, which would wait for each other.
// After a handler has failed the state may hold a part of what it did to the event it failed on.
func (p *Projection[S]) View(fn func(s *S, sequence int64)) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	fn(p.state.value, p.lane.applied)
}

// Sequence is the last event that the state contains. It may be called from anywhere, also inside View.
func (p *Projection[S]) Sequence() int64 { return p.lane.shown.Load() }

// Running tells the projection how to wait for its lane. It is its engine's to call, before any
// WaitFor.
func (p *Projection[S]) Running(wait func(ctx context.Context, seq int64) error) { p.wait = wait }

// WaitFor returns when the state contains the event seq: who has published and waits sees its own
// writes. It returns the error of ctx if that ends first, and the engine's if it stopped below seq.
func (p *Projection[S]) WaitFor(ctx context.Context, seq int64) error {
	if p.wait == nil {
		return ErrNotRunning
	}
	return p.wait(ctx, seq)
}
