package headrace

import (
	"context"
	"time"

	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
)

// Observer watches an engine at work, for tracing: what is published, and what handlers make of it. Its methods
// are called from any goroutine, several at a time, in the middle of the work: they must not wait, and must not
// call the engine. Replay is not watched.
//
// Without one nothing of this costs more than a comparison. Module observe/otel has one.
type Observer interface {
	handlers.Observer

	// Publishing is called before an event is encoded. The event bears trace, unless its Meta has one; end,
	// which may be nil, is called with its sequence, or with why it is not in the log. Events of a batch are
	// told of one by one. The engine's own events are not.
	Publishing(ctx context.Context, p Publishing) (trace event.Trace, end func(seq int64, err error))
}

// Publishing is one event on its way into the log.
type Publishing struct {
	Type     string
	Producer string
	Key      string
	Trace    event.Trace // what Meta brought; zero = none
}

// observe tells the observer, if there is one, of an event, and returns its trace.
func (p *Producer) observe(ctx context.Context, bound *handlers.Bound, key string, trace event.Trace) (event.Trace, func(int64, error)) {
	t, end := p.engine.options.Observer.Publishing(ctx, Publishing{
		Type: bound.Codec.Name(), Producer: p.name, Key: key, Trace: trace,
	})
	if trace.IsZero() {
		trace = t
	}
	return trace, end
}

// observeAll is observe for a batch. It returns a copy of the messages.
func (p *Producer) observeAll(ctx context.Context, messages []Message, bounds []*handlers.Bound) ([]Message, func(int64, error)) {
	all := make([]Message, len(messages))
	ends := make([]func(int64, error), len(messages))
	for i, m := range messages {
		m.Meta.Trace, ends[i] = p.observe(ctx, bounds[i], m.Meta.Key, m.Meta.Trace)
		all[i] = m
	}
	return all, func(first int64, err error) {
		for i, end := range ends {
			seq := int64(0)
			if err == nil {
				seq = first + int64(i)
			}
			if end != nil {
				end(seq, err)
			}
		}
	}
}

// told writes what became of an event into the log for people.
func (e *Engine) told(f handlers.Failed) {
	args := []any{"handler", f.Handler, "sequence", f.Cause, "attempt", f.Attempt, "reason", f.Reason, "error", f.Message}
	switch f.Outcome {
	case handlers.OutcomeRetry:
		e.log.Info("headrace: event is parked until it is tried again", append(args, "retry_at", time.Unix(0, f.RetryAt).UTC())...)
	case handlers.OutcomeDead:
		e.log.Warn("headrace: event is a dead letter; it holds up its key until somebody redrives or discards it", args...)
	case handlers.OutcomeSkipped:
		e.log.Warn("headrace: event is skipped", args...)
	}
}

// lookEvery is how often somebody looks for a lane that is too slow.
const lookEvery = time.Second

// watchLanes warns, once each time, when a lane is so far behind that producers are about to wait for it.
func (e *Engine) watchLanes() {
	slow := false
	full := 0 // looks in a row that found the ring full: once may be a burst that everybody is behind
	for {
		reached, stop := e.options.Clock.Reach(e.options.Clock.Now().Add(lookEvery))
		select {
		case <-reached:
		case <-e.ctx.Done():
			stop()
			return
		}
		slots, room := int64(e.options.Slots), e.ring.Remaining()
		if full++; room >= slots/8 {
			full = 0
		}
		switch {
		case !slow && full == 2:
			slow = true
			last := e.consumers[0]
			for _, c := range e.consumers {
				if c.Cursor() < last.Cursor() {
					last = c
				}
			}
			e.log.Warn("headrace: producers are about to wait for a lane that is slow", "lane", last.Name(),
				"sequence", last.Cursor(), "behind", e.ring.Cursor()-last.Cursor(), "slots", slots)
		case slow && room > slots/2:
			slow = false
			e.log.Info("headrace: the lane has caught up")
		}
	}
}
