package handlers

import (
	"context"
	"errors"

	"github.com/headrace/headrace/event"
)

// Handling is one call of a handler with an event that has just come through the ring.
type Handling struct {
	Lane     string
	Handler  string // its id; of a projection, its name
	Type     string // of the event
	Sequence int64
	Attempt  int        // from 1
	Event    event.View // valid until the call is over
}

// Observer watches handlers at work: those of On and Decide, projections, and effects. Folds belong to them and
// are not told of, and neither is any call at replay, nor the engine's own handler of timers.
type Observer interface {
	// Handle is called before the handler, on its goroutine. What the returned context holds can be had from the
	// handler's context; what it emits bears trace, or that of its cause if it is zero. end, which may be nil,
	// is called when the handler has returned: with its error, or ErrInterrupted if it panicked.
	//
	// ctx ends as the handler's does. Handle must not wait: the lane, and behind it the ring, waits with it.
	Handle(ctx context.Context, h Handling) (in context.Context, trace event.Trace, end func(error))
}

// ErrInterrupted is what an Observer learns of a handler that panicked or ended its goroutine.
var ErrInterrupted = errors.New("handlers: handler panicked or ended its goroutine")

// invoke calls the handler.
func (d *typed[T]) invoke(c *Context, k *call[T]) error {
	if c.lane.observer == nil || c.pass != passLive || !k.handler.emits() || k.handler.id == TimersHandler {
		return k.fn(c, d.value)
	}
	return d.watched(c, k)
}

// watched is invoke before an Observer's eyes.
func (d *typed[T]) watched(c *Context, k *call[T]) error {
	err := ErrInterrupted
	in, trace, end := c.lane.observer.Handle(c.ends(), Handling{
		Lane: c.lane.name, Handler: k.handler.id, Type: c.Type(), Sequence: c.sequence, Attempt: c.Attempt(), Event: c.event,
	})
	c.seen, c.trace = in, trace
	defer func() {
		c.seen, c.trace = nil, event.Trace{}
		if end != nil {
			end(err)
		}
	}()
	err = k.fn(c, d.value)
	return err
}

// watched makes the call of an effect before an Observer's eyes, if there is one.
func (c *EffectContext) watched(call func() error) error {
	o := c.effect.lane.observer
	if o == nil {
		return call()
	}
	err := ErrInterrupted
	in, trace, end := o.Handle(c.Context, Handling{
		Lane: c.effect.lane.name, Handler: c.effect.name, Type: c.Type(), Sequence: c.sequence, Attempt: c.Attempt(), Event: c.view,
	})
	if c.trace = trace; in != nil {
		c.Context = in
	}
	defer func() {
		if end != nil {
			end(err)
		}
	}()
	err = call()
	return err
}

// tell says what became of an event that a handler could not handle.
func (l *Lane) tell(f Failed) {
	if l.told != nil {
		l.told(f)
	}
}
