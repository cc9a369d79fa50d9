package handlers

import (
	"errors"
	"fmt"
	"reflect"
	"unicode/utf8"

	"github.com/headrace/headrace/event"
)

// Effect is a handler that calls the world outside: a payment gateway, a mail server. It runs on workers beside
// the lanes, so a slow party outside holds up nobody who does not wait for it.
//
//	charge := handlers.NewEffect("charge", func(c *handlers.EffectContext, cmd ChargeCard) error {
//		receipt, err := gateway.Charge(c, c.IdempotencyKey(), cmd.Card, cmd.Amount)
//		if err != nil {
//			return err
//		}
//		return handlers.Report(c, CardCharged{Receipt: receipt})
//	}, handlers.EffectOptions{
//		Workers: 16,
//		Failure: handlers.FailurePolicy{Retries: 8, Timeout: 10 * time.Second, Then: handlers.ThenDeadLetter},
//		Circuit: handlers.Circuit{Failures: 10},
//	})
//	t.Effect(charge, headrace.LaneOptions{Behind: headrace.Durable})
//
// # What the log knows
//
// What a call reports is its answer: one atomic batch, with ids that derive from the effect, the cause and the
// place. A call that reports nothing is answered by an EffectDone. So the log tells what is done. The
// effect's state is the set of causes without an answer, and nothing else; calls end in any order, and one that
// takes for ever holds up no other. After a crash exactly the causes in the set are called again.
//
// That makes an effect happen at least once outside and effectively once inside. A call whose answer a crash kept
// from the log is made again, with the same EffectContext.IdempotencyKey: give it to the party outside, which
// then knows the repeat. At most EffectOptions.Workers calls are repeated after a crash.
//
// At replay nothing is called.
//
// # Order
//
// Causes with the same key are called one after the other, in the order of the log: the next one when the
// answer to the one before stands in the log behind the gate of the effect. Those with different keys, and
// those without one, run side by side. EffectOptions.Unordered lets go of that.
//
// # Failure
//
// A call that returns an error, panics or runs out of time is answered by a Failed event, as EffectOptions.Failure
// says; retries, parked keys, dead letters, Engine.Redrive and Engine.Discard are those of any handler. Between
// two attempts the cause waits in the log, not in a worker.
//
// # Who waits
//
// The lanes and the ring never wait for a call. What waits for a worker is a number in a queue; the event itself is in
// the log. When more than EffectOptions.MaxWaiting causes wait, producers outside wait (Publish; TryPublish
// fails), so that the queue stays bounded; handlers and timers do not. Parked causes, and those behind them, do not
// count: nobody knows when they go on.
type Effect struct {
	lane    *Lane
	name    string
	hash    uint64
	options EffectOptions
	decode  func(c *EffectContext) (call func() error, err error)
	log     *State[effectLog]
	from    int64      // causes after it are answered
	run     *effectRun // nil unless an engine runs it; guarded by the lane's lock
	limits  Limits
	calling Routines // where its calls run
}

// EffectOptions configures an effect; the zero value is the default.
type EffectOptions struct {
	// Workers is how many calls run at a time, those included whose answer is on its way into the log:
	// [1, 65,536]. Default 8.
	Workers int

	// Unordered lets calls for causes with the same key run side by side.
	Unordered bool

	// Failure says what becomes of a cause whose call fails. As for any handler, the zero policy halts the
	// engine, and the cause is called again at the next Open. Timeout ends the call's context; a function
	// that does not heed it keeps its worker. One that returns nil late has succeeded all the same: what
	// has happened outside has happened.
	Failure FailurePolicy

	// Circuit keeps calls from a party that is down. Default none.
	Circuit Circuit

	// MaxWaiting is how many causes may wait for a worker before producers outside are made to wait:
	// [1, 1<<30]. Default 65,536.
	MaxWaiting int
}

const (
	defaultWorkers    = 8
	maxWorkers        = 1 << 16
	defaultMaxWaiting = 1 << 16
)

// withDefaults returns o with the defaults filled in, or all of its faults.
func (o EffectOptions) withDefaults() (EffectOptions, error) {
	if o.Workers == 0 {
		o.Workers = defaultWorkers
	}
	if o.MaxWaiting == 0 {
		o.MaxWaiting = defaultMaxWaiting
	}
	var faults []error
	if o.Workers < 1 || o.Workers > maxWorkers {
		faults = append(faults, fmt.Errorf("EffectOptions.Workers = %d: want [1, 65,536]", o.Workers))
	}
	if o.MaxWaiting < 1 || o.MaxWaiting > 1<<30 {
		faults = append(faults, fmt.Errorf("EffectOptions.MaxWaiting = %d: want [1, 1,073,741,824]", o.MaxWaiting))
	}
	var err error
	if o.Failure, err = o.Failure.withDefaults(); err != nil {
		faults = append(faults, err)
	}
	if o.Circuit, err = o.Circuit.withDefaults(); err != nil {
		faults = append(faults, err)
	}
	return o, errors.Join(faults...)
}

// EffectDone answers a cause for which an effect has reported nothing. Its key is the cause's.
type EffectDone struct {
	Effect string `msgpack:"effect"`
	Cause  int64  `msgpack:"cause"` // sequence of the event
}

// NewEffect returns an effect that calls fn for events of Go type C. Its name, 1 to 255 bytes, is the stable id of a
// handler, and unique in an engine: keep it, and give an effect for another type another one.
//
// fn runs on any goroutine, several at a time. It may publish and call with its context; with another one it might
// wait for itself, when too much waits for the effect. It owns its C. Its context ends with the timeout, and when
// the engine halts or Close cannot wait any longer. What is wrong with the arguments is reported when the
// engine opens.
func NewEffect[C any](name string, fn func(*EffectContext, C) error, o EffectOptions) *Effect {
	l := NewLane(name)
	e := &Effect{lane: l, name: name, hash: event.HandlerID(name), options: o}
	l.effect = e
	if name == "" || len(name) > 255 || !utf8.ValidString(name) {
		l.faults = append(l.faults, fmt.Errorf("handlers: effect name %q must have 1 to 255 bytes of UTF-8", name))
	}
	if fn == nil {
		l.faults = append(l.faults, fmt.Errorf("handlers: effect %q calls nothing", name))
	}
	e.log = Keep(l, "effect", newEffectLog)
	r := &reaction{role: roleEffect, id: name, hash: e.hash}
	l.reactions = append(l.reactions, r)
	l.registers = append(l.registers, register{handler: r, goType: reflect.TypeFor[C](), bind: func(_ *Lane, t *Types) (uint16, dispatcher, error) {
		bound, codec, err := Lookup[C](t)
		if err != nil {
			return 0, nil, err
		}
		e.decode = func(c *EffectContext) (func() error, error) {
			var v C
			if err := codec.DecodeVersion(c.view.Version(), c.view.Payload(), &v); err != nil {
				return nil, err
			}
			return func() error { return fn(c, v) }, nil
		}
		return bound.ID, effectCause{}, nil
	}})
	return e
}

// Name returns the effect's name.
func (e *Effect) Name() string { return e.name }

// Lane returns the lane on which the effect reads the log, for its engine.
func (e *Effect) Lane() *Lane { return e.lane }

// bind takes over what a lane is bound to.
func (e *Effect) bind(b Binding) error {
	o, err := e.options.withDefaults()
	if err != nil {
		return fmt.Errorf("handlers: effect %q: %w", e.name, err)
	}
	if b.Published {
		return fmt.Errorf("handlers: effect %q does not stand behind the journal: it would act on events that a crash takes back", e.name)
	}
	e.options, e.limits, e.from = o, b.Limits, b.Watermarks[e.name]
	e.hash = e.reaction().hash // of its first name, which Bind has found
	return nil
}

// reaction is the effect as a handler of its lane.
func (e *Effect) reaction() *reaction { return e.lane.reactions[0] }

// CauseType returns the Go type of the events that the effect is called for.
func (e *Effect) CauseType() reflect.Type { return e.lane.registers[0].goType }

// effectCause marks the type of an effect's causes on its lane, which asks for nothing else.
type effectCause struct{}

func (effectCause) run(*Context) error                        { return nil }
func (effectCause) arrange()                                  {}
func (effectCause) decides() bool                             { return false }
func (effectCause) emits() bool                               { return true }
func (effectCause) deliver(*Context, *reaction) (bool, error) { return false, nil }
func (effectCause) addFiltered(*filtered, int) bool           { return false }
