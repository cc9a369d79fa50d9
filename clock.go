package headrace

import (
	"context"
	"time"

	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
)

// Clock is where an engine takes the time from.
type Clock = handlers.Clock

type systemClock struct{}

func (systemClock) Now() time.Time { return time.Now() }

func (systemClock) Reach(t time.Time) (<-chan time.Time, func()) {
	timer := time.NewTimer(time.Until(t))
	return timer.C, func() { timer.Stop() }
}

// now is the engine's time in unix nanoseconds.
func (e *Engine) now() int64 {
	if e.clock == nil {
		return time.Now().UnixNano()
	}
	return e.clock.Now().UnixNano()
}

// tickEvents is how many timers fire in answer to one tick at most.
const tickEvents = 64

// runClock publishes a tick whenever a timer is due, and waits until the timers have answered it. It
// ends when the engine closes or halts. While nothing is due it costs nothing.
func (e *Engine) runClock() {
	defer close(e.ticked)
	clock := e.options.Clock
	lane := e.waits[e.topology.timersOn.Name()]
	limit := handlers.Tick{MaxEvents: min(tickEvents, e.maxBatchEvents()), MaxBytes: e.maxBatchBytes() / 2}
	for e.ctx.Err() == nil {
		due, waiting := e.timers.Next()
		if at := time.Unix(0, due); !waiting || clock.Now().Before(at) {
			var reached <-chan time.Time
			stop := func() {}
			if waiting {
				reached, stop = clock.Reach(at)
			}
			select {
			case <-reached:
			case <-e.timers.Earlier():
			case <-e.ctx.Done():
			}
			stop()
			continue
		}
		seq, err := publishSystem(e.ctx, e.ticker, limit, Meta{})
		if err == nil {
			err = lane.WaitFor(e.ctx, seq)
		}
		if err != nil {
			return // closing, or halted: why is told elsewhere
		}
	}
}

// PublishAt puts v into the log at a later time, as handlers.Schedule does, and returns the sequence of the
// Scheduled event. name is that of the timer, "" for none. m is the event's, but for its time; m.ID is that
// of the Scheduled event. Errors are those of Publish, and handlers.ErrNoTimers.
func PublishAt[T any](ctx context.Context, p *Producer, v T, at time.Time, name string, m Meta) (int64, error) {
	s, err := handlers.NewScheduled(p.engine.types, &v, at, name)
	if err != nil {
		return 0, err
	}
	if m.Kind != 0 {
		if m.Kind > event.Document {
			return 0, &event.FieldError{Field: "Kind", Reason: "does not exist: " + m.Kind.String(), Err: event.ErrHeader}
		}
		s.Kind, m.Kind = m.Kind, 0
	}
	if m.StreamVersion != 0 && s.Kind != event.Command {
		return 0, &event.FieldError{Field: "StreamVersion", Reason: "is what a command expects, and this is a " + s.Kind.String(), Err: event.ErrHeader}
	}
	if p.engine.timers == nil {
		return 0, handlers.ErrNoTimers
	}
	if err := s.Fits(p.engine.maxBody(), m.Key); err != nil {
		return 0, err
	}
	return publishSystem(ctx, p, *s, m)
}

// CancelTimer keeps the timer with this name from firing; if none waits when the call's event is handled, it
// does nothing. It returns the sequence of that event. Errors are those of PublishAt.
func CancelTimer(ctx context.Context, p *Producer, name string, m Meta) (int64, error) {
	if p.engine.timers == nil {
		return 0, handlers.ErrNoTimers
	}
	return publishSystem(ctx, p, handlers.Cancelled{Name: name}, m)
}
