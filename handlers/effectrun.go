package handlers

import (
	"bytes"
	"context"
	"fmt"

	"github.com/headrace/headrace/event"
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
	err := e.await(ctx, e.lane.ctx.Done(), func(r *effectRun) bool { return r.waiting == 0 && len(r.running) == 0 })
	if err != nil && err == ctx.Err() {
		s := e.Stats()
		err = fmt.Errorf("handlers: effect %q has %d calls running and %d waiting: %w", s.Name, s.Running, s.Waiting, err)
	}
	return err
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
