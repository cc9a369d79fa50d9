package headrace

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/headrace/headrace/handlers"
)

// Effect adds a handler that calls the world outside, and reads the log on a lane of its own. Behind Durable no call is
// made for an event that a power cut may take back; by default it may be, and the answer that the party outside
// gave is then to a cause that is no more. Behind Published is a fault.
func (t *Topology) Effect(e *handlers.Effect, o LaneOptions) {
	if e == nil {
		t.faults = append(t.faults, fmt.Errorf("%w: Effect: it is nil", ErrTopology))
		return
	}
	t.add(placed{lane: e.Lane(), emits: true, options: o, effect: e})
}

// Parked returns what the handlers of the topology have parked, by sequence, as the log has it: after Replay, of a log
// that no engine has open. See Engine.Parked.
func (t *Topology) Parked() []handlers.Parked {
	var all []handlers.Parked
	for _, p := range t.lanes {
		all = append(all, p.lane.Parked()...)
	}
	return all
}

// effects returns those that the topology has.
func (t *Topology) effects() []*handlers.Effect {
	var all []*handlers.Effect
	for _, p := range t.lanes {
		if p.effect != nil {
			all = append(all, p.effect)
		}
	}
	return all
}

// startEffects lets calls begin. The ring runs.
func (e *Engine) startEffects() {
	host := handlers.EffectHost{
		Feedback: e.feedback,
		Room: func(ctx context.Context) error {
			return e.feedback.WaitBelow(ctx, e.options.FeedbackBytes/feedbackShare)
		},
		Halt:  func(err error) { e.fail(err); e.ring.Halt() },
		Crowd: e.crowd,
	}
	for _, x := range e.effects {
		x.Start(host)
	}
}

// insideEffect tells whether the caller is the call of an effect.
func (e *Engine) insideEffect(ctx context.Context) bool {
	return slices.ContainsFunc(e.effects, func(x *handlers.Effect) bool { return x.Inside(ctx) })
}

// stopEffects lets no more calls begin and waits for those that run. What waits stays owed.
func (e *Engine) stopEffects(ctx context.Context) error {
	for _, x := range e.effects {
		x.Stop()
	}
	for _, x := range e.effects {
		if err := x.Stopped(ctx); err != nil {
			return err
		}
	}
	return nil
}

// awaitEffects waits until no call runs, no longer than a grace. Their contexts have ended.
func (e *Engine) awaitEffects() error {
	if len(e.effects) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), haltGrace)
	defer cancel()
	began := time.Now()
	if err := e.stopEffects(ctx); err != nil {
		return fmt.Errorf("headrace: %w %v after its context ended; the journal stays open", err, time.Since(began).Round(time.Second))
	}
	return nil
}

// checkEffects compares the effects with what the log knows about them.
func (h *history) checkEffects(t *Topology) error {
	for _, x := range t.effects() {
		was := h.effectTypes[x.Name()]
		codec, ok := t.registry.ByGoType(x.CauseType())
		if was == "" || !ok {
			continue
		}
		if now, ok := t.registry.Current(was); !ok || now.Name() != codec.Name() {
			return fmt.Errorf("%w: effect %q is for %q, and the log knows it as one for %q: an effect for another type needs a name of its own",
				ErrTopology, x.Name(), codec.Name(), was)
		}
	}
	return nil
}
