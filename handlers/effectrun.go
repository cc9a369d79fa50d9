package handlers

import (
	"bytes"
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

// EffectHost is what an effect needs of its engine to make calls.
type EffectHost struct {
	Feedback *Feedback                   // where answers go
	Room     func(context.Context) error // waits until there is room for an answer
	Halt     func(error)                 // stops the engine
	Crowd    *Crowd                      // where producers wait for the effect
}

// effectRun makes an effect's calls. The lane's lock guards it; what it knows besides effectLog dies with the process.
//
// A cause is in one place at a time: ready, behind the head of its line, running (called, or answered and the
// answer not yet seen in the log), or parked.
type effectRun struct {
	e       *Effect
	host    EffectHost
	ready   []int64            // causes that a worker may take, the first first
	lines   map[string]*line   // by key, unless unordered: causes without an answer
	running map[int64]struct{} // never more than workers
	waiting int                // ready, or behind a head that is not parked
	crowded bool               // we are over our limit
	breaker breaker

	bodies    map[int64]journal.Record // of some that wait, so that they need not be read again
	bodyBytes int

	active   int // goroutines
	stopping bool
	stopped  chan struct{} // closed by Stop
	changed  chan struct{} // closed and made anew when active or waiting has fallen to 0
	calls    int64
	failures int64
}

// line is the causes with one key, in order: the head is ready, running or parked, the others wait for it.
type line struct {
	causes []int64
	parked bool
}

// keptBodyBytes is how much of what waits is kept in memory; the rest is read from the log when its turn comes.
const keptBodyBytes = 1 << 20

// errTimedOut is why a call's context has ended.
var errTimedOut = errors.New("handlers: the effect's timeout is over")

// Start lets the effect make its calls, those that the log owes first. It is the engine's to call, once, when the log
// is replayed; the lane may already run.
func (e *Effect) Start(h EffectHost) {
	e.lane.lock.Lock()
	defer e.lane.lock.Unlock()
	r := &effectRun{
		e: e, host: h, lines: map[string]*line{}, running: map[int64]struct{}{}, bodies: map[int64]journal.Record{},
		breaker: newBreaker(e.options.Circuit), stopped: make(chan struct{}), changed: make(chan struct{}),
	}
	g := e.log.value
	for _, cause := range g.causes() {
		r.join(cause, g.Calls[cause])
	}
	e.run = r
	r.dispatch()
}

// Stop ends the beginning of calls: what waits stays owed. It may be called before Start and more than once.
func (e *Effect) Stop() {
	e.lane.lock.Lock()
	defer e.lane.lock.Unlock()
	if r := e.run; r != nil && !r.stopping {
		r.stopping = true
		close(r.stopped)
	}
}

// Stopped returns when no call runs any more and every answer is on its way to the ring, after Stop.
func (e *Effect) Stopped(ctx context.Context) error {
	err := e.await(ctx, nil, func(r *effectRun) bool { return r.active == 0 })
	if err != nil {
		return fmt.Errorf("handlers: effect %q: a call has not returned: %w", e.name, err)
	}
	return nil
}

// WaitIdle returns when nothing waits for a worker and no call runs: every cause that the effect has seen is
// answered or parked. To wait for a certain event, let the engine wait for the effect first (Engine.WaitFor
// with the effect's name). It returns the error of ctx if that ends first, ErrNotRunning outside an engine and
// when that halts, and ring.ErrWouldDeadlock in a call of the effect. It must not be called from a handler.
func (e *Effect) WaitIdle(ctx context.Context) error {
	if e.Inside(ctx) {
		return ring.ErrWouldDeadlock
	}
	e.lane.lock.Lock()
	idle := e.run != nil
	e.lane.lock.Unlock()
	if !idle {
		return ErrNotRunning
	}
	return e.await(ctx, e.lane.ctx.Done(), func(r *effectRun) bool { return r.waiting == 0 && len(r.running) == 0 })
}

func (e *Effect) await(ctx context.Context, over <-chan struct{}, done func(*effectRun) bool) error {
	for {
		e.lane.lock.Lock()
		r := e.run
		if r == nil || done(r) {
			e.lane.lock.Unlock()
			return nil
		}
		changed := r.changed
		e.lane.lock.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-over:
			return ErrNotRunning
		}
	}
}

// EffectStats is a look at an effect.
type EffectStats struct {
	Name     string
	Waiting  int   // causes that wait for a worker, or behind another of their key that is not parked
	Running  int   // calls, and answers on their way into the log
	Retrying int   // parked until their next attempt
	Dead     int   // dead letters
	LowWater int64 // every cause up to here is answered
	Calls    int64 // begun since Open
	Failures int64 // of them

	Circuit  string    // CircuitClosed, CircuitOpen or CircuitHalfOpen; "" = there is none
	Until    time.Time // of an open one
	Openings int64     // since Open
}

// Stats reads the effect's figures. It may be called from any goroutine, and takes time in proportion to what is
// not answered.
func (e *Effect) Stats() EffectStats {
	e.lane.lock.Lock()
	defer e.lane.lock.Unlock()
	s := EffectStats{Name: e.name, LowWater: e.lane.applied}
	for cause, w := range e.log.value.Calls {
		s.LowWater = min(s.LowWater, cause-1)
		switch {
		case w.Parked && w.Last.Outcome == OutcomeDead:
			s.Dead++
		case w.Parked:
			s.Retrying++
		}
	}
	if r := e.run; r != nil {
		s.Waiting, s.Running, s.Calls, s.Failures = r.waiting, len(r.running), r.calls, r.failures
		if r.breaker.Failures > 0 {
			s.Circuit, s.Openings = r.breaker.state, r.breaker.openings
			if r.breaker.state == CircuitOpen {
				s.Until = r.breaker.until
			}
		}
	}
	return s
}

// join puts a cause where it belongs.
func (r *effectRun) join(cause int64, w owedCall) {
	if r.e.options.Unordered || w.Key == "" {
		if !w.Parked {
			r.ready = append(r.ready, cause)
			r.wait(1)
		}
		return
	}
	l := r.lines[w.Key]
	if l == nil {
		l = &line{}
		r.lines[w.Key] = l
	}
	l.causes = append(l.causes, cause)
	switch {
	case len(l.causes) > 1 && l.parked:
	case len(l.causes) > 1:
		r.wait(1)
	case w.Parked:
		l.parked = true
	default:
		r.ready = append(r.ready, cause)
		r.wait(1)
	}
}

// added takes a new cause in.
func (r *effectRun) added(cause, unixNano int64, typeID uint16, v event.View) {
	if n := len(v.Body()); r.bodyBytes+n <= keptBodyBytes {
		r.bodies[cause] = journal.Record{Sequence: cause, Time: unixNano, Type: typeID, Body: bytes.Clone(v.Body())}
		r.bodyBytes += n
	}
	r.join(cause, r.e.log.value.Calls[cause])
	r.dispatch()
}

// through takes out a cause that is answered or given up; the next of its key moves up.
func (r *effectRun) through(cause int64, key string) {
	delete(r.running, cause)
	if l := r.lines[key]; l != nil && l.causes[0] == cause {
		behind := len(l.causes) - 1
		if l.parked {
			r.wait(behind)
		}
		l.parked = false
		if l.causes = l.causes[1:]; behind == 0 {
			delete(r.lines, key)
		} else {
			r.ready = append(r.ready, l.causes[0])
		}
	}
	r.dispatch()
}

// parked takes a cause from its worker; those behind it stay.
func (r *effectRun) parked(cause int64, key string) {
	delete(r.running, cause)
	if l := r.lines[key]; l != nil && l.causes[0] == cause {
		l.parked = true
		r.wait(1 - len(l.causes))
	}
	r.dispatch()
}

// again lets a parked cause go on.
func (r *effectRun) again(cause int64, key string) {
	n := 1
	if l := r.lines[key]; l != nil && l.causes[0] == cause {
		l.parked = false
		n = len(l.causes)
	}
	r.ready = append(r.ready, cause)
	r.wait(n)
	r.dispatch()
}

// wait changes how many wait, and lets producers wait or go on.
func (r *effectRun) wait(n int) {
	r.waiting += n
	if over := r.waiting > r.e.options.MaxWaiting; over != r.crowded {
		if r.crowded = over; over {
			r.host.Crowd.enter()
		} else {
			r.host.Crowd.leave()
		}
	}
}

// dispatch gives workers what they can take, and tells those who wait for an end.
func (r *effectRun) dispatch() {
	for !r.stopping && len(r.ready) > 0 && len(r.running) < r.e.options.Workers {
		k := effectCall{cause: r.ready[0]}
		if !r.breaker.allows() {
			if k.refused = r.breaker.FailFast; !k.refused {
				break
			}
		} else {
			k.since = r.breaker.begin()
			r.calls++
		}
		r.ready = r.ready[1:]
		r.wait(-1)
		r.running[k.cause] = struct{}{}
		k.owed = r.e.log.value.Calls[k.cause]
		if rec, ok := r.bodies[k.cause]; ok {
			k.record = rec
			delete(r.bodies, k.cause)
			r.bodyBytes -= len(rec.Body)
		}
		r.active++
		go r.do(k)
	}
	if r.active == 0 || r.waiting == 0 && len(r.running) == 0 {
		close(r.changed)
		r.changed = make(chan struct{})
	}
}

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

// awaitHalfOpen lets calls through again when the circuit has been open for its time.
func (r *effectRun) awaitHalfOpen() {
	since := r.breaker.since
	reached, stop := r.e.lane.clock.Reach(r.breaker.until)
	r.active++
	go func() {
		defer stop()
		open := true
		select {
		case <-reached:
		case <-r.stopped:
			open = false
		case <-r.e.lane.ctx.Done():
			open = false
		}
		r.e.lane.lock.Lock()
		defer r.e.lane.lock.Unlock()
		if open && r.breaker.since == since {
			r.breaker.change(CircuitHalfOpen)
		}
		r.active--
		r.dispatch()
	}()
}
