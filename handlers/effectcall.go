package handlers

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/internal/failpoint"
	"github.com/headrace/headrace/journal"
	"github.com/headrace/headrace/ring"
)

// effectCall is one call.
type effectCall struct {
	cause   int64
	owed    owedCall
	record  journal.Record // without a body if it is to be read
	since   int            // for the breaker
	refused bool           // by the breaker
}

// errCircuitOpen is the failure of what an open circuit refuses.
var errCircuitOpen = errors.New("handlers: the effect's circuit is open")

// errTimedOut is why a call's context has ended.
var errTimedOut = errors.New("handlers: the effect's timeout is over")

// do makes one call and answers its cause. Its goroutine is the worker: if the function ends that, the call has failed.
func (r *effectRun) do(k effectCall) {
	e := r.e
	c := &EffectContext{effect: e, sequence: k.cause, owed: k.owed, out: outputs{limits: e.limits, sink: r.host.Feedback}}
	ctx, cancel := context.WithCancelCause(e.lane.ctx)
	c.Context = ctx
	why := &failed{ReasonPanic, ring.ErrGoexit}
	var fatal error
	routine := e.calling.Enter()
	defer func() {
		e.calling.Leave(routine)
		c.mu.Lock()
		c.over = true
		c.mu.Unlock()
		cancel(nil)
		r.end(k, c, why, fatal)
	}()
	why, fatal = r.try(k, c, cancel)
}

// try is one call; fatal means that the log could not be read.
func (r *effectRun) try(k effectCall, c *EffectContext, cancel context.CancelCauseFunc) (why *failed, fatal error) {
	e := r.e
	rec := k.record
	var err error
	if rec.Body == nil {
		if rec, err = e.lane.fetch(k.cause); err != nil {
			return nil, fmt.Errorf("handlers: effect %q: event %d cannot be read again: %w", e.name, k.cause, err)
		}
	}
	if c.view, err = event.Parse(rec.Body); err != nil {
		return nil, fmt.Errorf("handlers: effect %q: event %d: %w", e.name, k.cause, err)
	}
	c.typeID, c.time = rec.Type, rec.Time
	if k.refused {
		return &failed{ReasonCircuit, errCircuitOpen}, nil
	}
	defer func() {
		if v := recover(); v != nil {
			why = &failed{ReasonPanic, &PanicError{Value: v, Stack: debug.Stack()}}
		}
	}()
	call, err := e.decode(c)
	if err != nil {
		return &failed{ReasonDecode, Permanent(err)}, nil
	}
	if limit := e.options.Failure.Timeout; limit > 0 {
		clock := e.lane.clock
		end := clock.Now().Add(limit)
		c.Context = deadline{c.Context, end}
		reached, stop := clock.Reach(end)
		ended := c.Context.Done()
		go func() {
			defer stop()
			select {
			case <-reached:
				cancel(errTimedOut)
			case <-ended:
			}
		}()
	}
	err = c.watched(call)
	c.mu.Lock()
	reported := c.out.err
	c.mu.Unlock()
	switch {
	case reported != nil:
		return &failed{ReasonError, Permanent(reported)}, nil
	case err == nil:
		return nil, nil
	case errors.Is(context.Cause(c.Context), errTimedOut):
		return &failed{ReasonTimeout, fmt.Errorf("%w of %v: %w", ErrTimeout, e.options.Failure.Timeout, err)}, nil
	}
	return &failed{reasonOf(err), err}, nil
}

// deadline is a context that knows when it ends.
type deadline struct {
	context.Context
	at time.Time
}

func (d deadline) Deadline() (time.Time, bool) { return d.at, true }

// end counts the call, answers the cause, and gives the worker back unless the answer is still to come out of the log.
func (r *effectRun) end(k effectCall, c *EffectContext, why *failed, fatal error) {
	e := r.e
	r.count(k, why)
	lost := why != nil && e.lane.ctx.Err() != nil // the engine went away under the call: nobody can say what it came to
	if fatal == nil && !lost {
		fatal = r.answer(k, c, why)
	}
	e.lane.lock.Lock()
	r.active--
	r.dispatch()
	e.lane.lock.Unlock()
	if fatal != nil {
		r.host.Halt(fatal)
	}
}

// count notes what came of a call, before its answer goes out: who sees the answer, the lane that gives the worker a
// next call first of all, finds the circuit as the call has left it.
func (r *effectRun) count(k effectCall, why *failed) {
	r.e.lane.lock.Lock()
	defer r.e.lane.lock.Unlock()
	if why != nil {
		r.failures++
	}
	if !k.refused && r.breaker.end(k.since, why == nil || errors.Is(why.err, errPermanent), r.e.lane.clock.Now()) {
		r.awaitHalfOpen()
	}
}

// answer hands the answer to the feedback lane. An error halts the engine.
func (r *effectRun) answer(k effectCall, c *EffectContext, why *failed) error {
	e := r.e
	halt := func(err error) error {
		return &HandlerError{Lane: e.lane.name, Handler: e.name, Sequence: k.cause, Type: c.Type(), Err: err}
	}
	var err error
	if why != nil {
		policy := e.options.Failure
		if errors.Is(why.err, errPermanent) {
			policy.Retries = 0
		}
		f, goesOn := policy.verdict(e.name, k.cause, c.Attempt(), e.lane.clock.Now().UnixNano(), *why)
		if !goesOn {
			return halt(why.err)
		}
		c.out.reset()
		c.ordinal = 0
		err = report(c, &f, EmitOptions{}, true)
		e.lane.tell(f)
	} else if len(c.out.outs) == 0 {
		err = report(c, &EffectDone{Effect: e.name, Cause: k.cause}, EmitOptions{}, true)
	}
	if err == nil {
		_, err = c.out.seal()
	}
	if err != nil {
		return halt(err)
	}
	failpoint.Hit(failpoint.BeforeAnswer)
	if r.host.Room(e.lane.ctx) != nil {
		return nil // the engine stops: it knows why, and the cause stays owed
	}
	if err := c.out.commit(); errors.Is(err, ErrFeedbackFull) {
		return halt(err)
	}
	return nil
}
