package handlers

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/headrace/headrace/event"
)

// EffectContext is what an effect learns about its cause, and its way to say what came of the call. It is a
// context.Context that ends with the timeout of the effect's policy, and when the engine cannot wait any
// longer: hand it to whatever makes the call. It is valid inside the call; its methods and Report may be
// used by several goroutines of the call.
type EffectContext struct {
	context.Context
	effect   *Effect
	sequence int64
	owed     owedCall
	typeID   uint16
	view     event.View
	time     int64       // of the cause's journaling
	trace    event.Trace // of an Observer's span; zero: that of the cause

	mu      sync.Mutex
	over    bool // the call has returned
	out     outputs
	ordinal uint32
}

type effectKey struct{}

// Value implements context.Context.
func (c *EffectContext) Value(key any) any {
	if key == (effectKey{}) {
		return c.effect
	}
	return c.Context.Value(key)
}

// InEffect reports whether ctx is, or comes from, the context of an effect's call. What such a call publishes does not
// wait for effects: they might wait for the call.
func InEffect(ctx context.Context) bool { return ctx.Value(effectKey{}) != nil }

// Inside reports whether the caller is one of the effect's calls, by its context or by its goroutine.
func (e *Effect) Inside(ctx context.Context) bool {
	return ctx.Value(effectKey{}) == e || e.calling.Here()
}

// Sequence is the cause's number in the log.
func (c *EffectContext) Sequence() int64 { return c.sequence }

// Time is when the cause was journaled.
func (c *EffectContext) Time() time.Time { return time.Unix(0, c.time).UTC() }

// Type is the name of the cause's type.
func (c *EffectContext) Type() string { return c.effect.lane.types.Name(c.typeID) }

// Event is the cause's envelope. Its views are valid inside the call.
func (c *EffectContext) Event() event.View { return c.view }

// Key is what the cause is about, "" for nothing.
func (c *EffectContext) Key() string { return c.owed.Key }

// Attempt is how often the call for this cause was begun and came to an outcome that is in the log, and one more for
// this time: from 1. A call that is repeated after a crash has the same number again.
func (c *EffectContext) Attempt() int { return c.owed.Last.Attempt + 1 }

// IdempotencyKey is what the party outside needs to tell a repeat from another call: it derives from the effect and the
// cause, and is the same at every attempt, in every process.
func (c *EffectContext) IdempotencyKey() string {
	return event.DeriveID(c.effect.hash, c.view.ID(), keyOrdinal).String()
}

// keyOrdinal is no output's.
const keyOrdinal = ^uint32(0)

// Report puts v into the log as what came of the call. See ReportWith.
func Report[T any](c *EffectContext, v T) error { return ReportWith(c, v, EmitOptions{}) }

// ReportWith puts v into the log as what came of the call. All that one call reports is one atomic batch,
// published when the function returns nil and dropped when it fails. Key, correlation and causation continue
// the cause's, as with EmitWith; the time is that of the report.
//
// It never waits. Errors: ErrNotInHandler after the call, ErrOwned, ErrTooLarge, ErrBatchTooLarge,
// ErrFeedbackFull for a cascade that is too deep, event.ErrUnregistered, *event.EncodeError. Whatever the function
// makes of it, the call has then failed for good, as with Permanent.
func ReportWith[T any](c *EffectContext, v T, o EmitOptions) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return ErrNotInHandler
	}
	err := report(c, &v, o, false)
	if err != nil && c.out.err == nil {
		c.out.err = err
	}
	return err
}

func report[T any](c *EffectContext, v *T, o EmitOptions, system bool) error {
	bound, codec, err := Lookup[T](c.effect.lane.types)
	if err != nil {
		return err
	}
	if err := bound.Owned(); err != nil && !system {
		return err
	}
	if err := c.fill(o); err != nil {
		return err
	}
	c.out.header.Kind, c.out.header.Version = codec.Kind(), codec.Version()
	start := len(c.out.data)
	data, err := event.AppendHeader(c.out.data, &c.out.header)
	if err != nil {
		return err
	}
	if data, err = codec.AppendPayload(data, v); err != nil {
		return err
	}
	if err := c.out.add(data, start, bound.ID); err != nil {
		return err
	}
	c.ordinal++
	return nil
}

// fill sets what an answer takes over from its cause.
func (c *EffectContext) fill(o EmitOptions) error {
	h := &c.out.header
	depth := uint32(1)
	if cause, caused := c.view.Origin(); caused && c.owed.Trigger == c.sequence { // else time has passed since
		depth = cause.Depth + 1
	}
	if depth > c.out.limits.Depth {
		return fmt.Errorf("%w: event %d is the %dth in a chain of events causing events", ErrFeedbackFull, c.sequence, depth)
	}
	h.Time = c.effect.lane.clock.Now().UnixNano()
	h.ID = event.DeriveID(c.effect.hash, c.owed.TriggerID, c.ordinal)
	h.CausationID = c.view.ID()
	if h.CorrelationID = c.view.CorrelationID(); h.CorrelationID.IsZero() {
		h.CorrelationID = c.view.ID()
	}
	h.HasOrigin = true
	h.Origin = event.Origin{Handler: c.effect.hash, Cause: c.owed.Trigger, Ordinal: c.ordinal, Depth: depth}
	if h.Trace = c.trace; h.Trace.IsZero() {
		h.Trace = c.view.Trace()
	}
	h.Producer = c.effect.name
	if h.Key = o.Key; h.Key == "" {
		h.Key = c.owed.Key
	}
	h.StreamVersion = o.StreamVersion
	return nil
}

// errPermanent marks failures that another attempt will not mend.
var errPermanent = errors.New("handlers: no attempt will mend it")

type permanent struct{ err error }

func (p *permanent) Error() string { return p.err.Error() }
func (p *permanent) Unwrap() []error {
	return []error{p.err, errPermanent}
}

// Permanent marks the error of an effect as one that another attempt will not mend: there are no retries, and what
// the policy says then happens at once. nil stays nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanent{err}
}
