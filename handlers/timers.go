package handlers

import (
	"container/heap"
	"fmt"
	"math"
	"sync/atomic"

	"github.com/headrace/headrace/event"
)

// TimersHandler is the stable id of the handler that keeps the timers.
const TimersHandler = "headrace.timers"

// Timers are the events that wait for their time. They are state like any other: Scheduled, Cancelled and Tick
// events make it, so it is the same after a crash and at every replay, and what fires is the
// answer to a tick, which the log gets once.
type Timers struct {
	queue  timerQueue
	byName map[string]*timer

	next    atomic.Int64 // when the first is due, unix nanoseconds; never if none waits
	pending atomic.Int64
	earlier chan struct{} // capacity 1: next has become earlier
}

// never is the due time of no timer.
const never = math.MaxInt64

type timer struct {
	due      int64
	sequence int64 // of the event that set it
	name     string
	place    int // in the queue

	// What it emits.
	typeID      uint16
	kind        event.Kind
	version     uint16
	key         string
	stream      int64    // stream version that the event expects, 0 = none
	causation   event.ID // the event that set it
	correlation event.ID
	trace       event.Trace
	payload     []byte
}

// NewTimers returns an empty set of timers.
func NewTimers() *Timers {
	t := &Timers{byName: map[string]*timer{}, earlier: make(chan struct{}, 1)}
	t.next.Store(never)
	return t
}

// Register puts the timers on a lane. It is the engine's to call, once, before the lane is bound.
func (t *Timers) Register(l *Lane) {
	l.timerSet = t
	On(l, TimersHandler, t.schedule)
	On(l, TimersHandler, t.cancel)
	On(l, TimersHandler, t.tick)
	On(l, TimersHandler, t.retry)
}

// Next is when the first timer is due, in unix nanoseconds, and false if none waits. It may be called from any
// goroutine.
func (t *Timers) Next() (int64, bool) {
	n := t.next.Load()
	return n, n != never
}

// Earlier receives when Next may have become earlier.
func (t *Timers) Earlier() <-chan struct{} { return t.earlier }

// Pending is how many timers wait. It may be called from any goroutine.
func (t *Timers) Pending() int64 { return t.pending.Load() }

func (t *Timers) schedule(c *Context, s Scheduled) error {
	id, ok := c.lane.types.catalog.ID(s.Type)
	if !ok {
		return fmt.Errorf("handlers: event %d schedules a %q, a type that the log does not know", c.sequence, s.Type)
	}
	w := &timer{
		due: s.Due, sequence: c.sequence, name: s.Name,
		typeID: id, kind: s.Kind, version: s.Version, payload: s.Payload, key: c.Key(), stream: c.event.StreamVersion(),
		causation: c.event.ID(), correlation: c.event.CorrelationID(), trace: c.event.Trace(),
	}
	if w.correlation.IsZero() {
		w.correlation = w.causation
	}
	if s.Name != "" {
		t.drop(s.Name)
		t.byName[s.Name] = w
	}
	heap.Push(&t.queue, w)
	t.show()
	return nil
}

func (t *Timers) cancel(_ *Context, x Cancelled) error {
	t.drop(x.Name)
	t.show()
	return nil
}

// retry lets an event be delivered again when its time has come.
func (t *Timers) retry(c *Context, f Failed) error {
	if f.Outcome != OutcomeRetry {
		return nil
	}
	payload, err := redeliverType.AppendPayload(nil, &Redeliver{Handler: f.Handler, Cause: f.Cause})
	if err != nil {
		return err
	}
	heap.Push(&t.queue, &timer{
		due: f.RetryAt, sequence: c.sequence, typeID: redeliverID, kind: event.Notification, version: redeliverType.Version(),
		payload: payload, key: c.Key(), causation: c.event.ID(), correlation: c.event.CorrelationID(), trace: c.event.Trace(),
	})
	t.show()
	return nil
}

// drop forgets the timer with this name.
func (t *Timers) drop(name string) {
	if w, ok := t.byName[name]; ok && name != "" {
		heap.Remove(&t.queue, w.place)
		delete(t.byName, name)
	}
}

// tick lets fire what is due, in the order of due times. How much it is depends on the tick and the
// timers alone, never on today's options: a replay must take out of the queue what was emitted then.
func (t *Timers) tick(c *Context, k Tick) error {
	bytes := 0
	for n := 0; n < k.MaxEvents && len(t.queue) > 0 && t.queue[0].due <= c.time; n++ {
		w := t.queue[0]
		if bytes += len(w.payload) + len(w.key) + firedHeaderBytes; n > 0 && bytes > k.MaxBytes {
			break
		}
		if err := c.fire(w); err != nil {
			return err
		}
		heap.Pop(&t.queue)
		if w.name != "" {
			delete(t.byName, w.name)
		}
	}
	t.show()
	return nil
}

// show tells the clock what is next.
func (t *Timers) show() {
	next := int64(never)
	if len(t.queue) > 0 {
		next = t.queue[0].due
	}
	t.pending.Store(int64(len(t.queue)))
	if old := t.next.Swap(next); next < old {
		select {
		case t.earlier <- struct{}{}:
		default:
		}
	}
}

// fire emits what a timer holds, in answer to the tick that is being handled. It continues the
// conversation in which it was set; the chain of events causing events begins anew, since time has
// passed.
func (c *Context) fire(w *timer) error {
	if emits, err := c.mayEmit(); !emits {
		return err
	}
	out := c.lane.outputs
	h := &out.header
	o := EmitOptions{Key: w.key}
	if w.kind == event.Command {
		o.StreamVersion = w.stream // what it expects
	}
	if err := c.fill(h, o); err != nil {
		return err
	}
	h.Kind, h.Version, h.Origin.Depth = w.kind, w.version, 1
	h.CorrelationID, h.CausationID, h.Trace = w.correlation, w.causation, w.trace
	start := len(out.data)
	data, err := event.AppendHeader(out.data, h)
	if err != nil {
		return err
	}
	if err := out.add(append(data, w.payload...), start, w.typeID); err != nil {
		return err
	}
	c.ordinal++
	return nil
}

// timerQueue is a heap: the first is the one that is due first, of several the one that was set first.
type timerQueue []*timer

func (q timerQueue) Len() int { return len(q) }
func (q timerQueue) Less(i, k int) bool {
	if q[i].due != q[k].due {
		return q[i].due < q[k].due
	}
	return q[i].sequence < q[k].sequence
}
func (q timerQueue) Swap(i, k int) {
	q[i], q[k] = q[k], q[i]
	q[i].place, q[k].place = i, k
}
func (q *timerQueue) Push(x any) {
	w := x.(*timer)
	w.place = len(*q)
	*q = append(*q, w)
}
func (q *timerQueue) Pop() any {
	last := len(*q) - 1
	w := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return w
}
