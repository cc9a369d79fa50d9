package handlers

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/headrace/headrace/event"
)

// Context is what a handler learns about the event it handles, and its way to react. It is valid
// inside the call only.
//
// All that it says comes from the event itself, so that a handler which asks nothing else computes
// the same at replay: take the time from Time and randomness from Rand, never from the system.
//
// It is a context.Context: it ends when the lane is halted, and it marks calls back into the engine
// as coming from a lane, so that one which would wait for itself is refused.
type Context struct {
	lane     *Lane
	sequence int64
	time     int64
	typeID   uint16
	event    event.View
	pass     pass
	cause    int64       // sequence of the event that is answered: sequence, or that of a Redeliver
	again    *redelivery // nil: it sees the event for the first time
	limited  *limit      // nil: it may take its time

	seen  context.Context // what an Observer has put in; nil: nothing
	trace event.Trace     // of its span; zero: that of the event

	handler *reaction // whose call this is; nil between calls
	ordinal uint32
	seeded  bool // pcg belongs to this call
	pcg     rand.PCG
	random  *rand.Rand
}

// Sequence is the event's number in the log.
func (c *Context) Sequence() int64 { return c.sequence }

// Time is when the event was journaled, never before an earlier event's. On a lane that does
// not stand behind the journal it is the time that the publisher gave.
func (c *Context) Time() time.Time { return time.Unix(0, c.time).UTC() }

// Type is the name of the event's type.
func (c *Context) Type() string { return c.lane.types.Name(c.typeID) }

// Event is the event's envelope. Its views are valid inside the call.
func (c *Context) Event() event.View { return c.event }

// Key is what the event is about, "" for nothing: the event's key as a string, made once for all
// events in a row that have the same.
func (c *Context) Key() string {
	l := c.lane
	if k := c.event.KeyBytes(); l.keyText != string(k) {
		l.keyText = string(k)
	}
	return l.keyText
}

// Rand is a source of randomness that depends on nothing but the event and the handler: a replay
// draws the same numbers.
func (c *Context) Rand() *rand.Rand {
	if c.random == nil {
		c.random = rand.New(&c.pcg)
	}
	if !c.seeded {
		var handler uint64
		if c.handler != nil {
			handler = c.handler.hash // 0 in a fold
		}
		id := c.event.ID()
		c.pcg.Seed(binary.LittleEndian.Uint64(id[:8])^handler, binary.LittleEndian.Uint64(id[8:]))
		c.seeded = true
	}
	return c.random
}

// Attempt is how often the handler was given this event, from 1: more than 1 where a FailurePolicy has it
// tried again.
func (c *Context) Attempt() int {
	if c.handler == nil || c.handler.parking == nil {
		return 1
	}
	return c.handler.parking.attempt(c)
}

// Deadline implements context.Context: there is one where a FailurePolicy sets a timeout.
func (c *Context) Deadline() (time.Time, bool) {
	if c.limited != nil {
		return c.limited.end, true
	}
	return c.lane.ctx.Deadline()
}

// Done implements context.Context: it is closed when the lane is halted, or the handler's timeout is over.
func (c *Context) Done() <-chan struct{} { return c.ends().Done() }

// Err implements context.Context.
func (c *Context) Err() error { return c.ends().Err() }

func (c *Context) ends() context.Context {
	if c.limited != nil {
		return c.limited.context()
	}
	return c.lane.ctx
}

type laneKey struct{}

// Value implements context.Context.
func (c *Context) Value(key any) any {
	if key == (laneKey{}) {
		return c.lane
	}
	// The same context as Done and Err: so what package context derives from c hangs on that, and needs no
	// goroutine that looks at c when the call is over.
	v := c.ends().Value(key)
	if v == nil && c.seen != nil {
		v = c.seen.Value(key)
	}
	return v
}

// InLane reports whether ctx is, or comes from, the Context of a handler on a lane.
func InLane(ctx context.Context) bool {
	_, direct := ctx.(*Context)
	return direct || ctx.Value(laneKey{}) != nil
}

// EmitOptions are what an emitted event may have besides its payload; the zero value is the default.
type EmitOptions struct {
	Key string // default: the key of the event it is caused by

	// StreamVersion puts the event into the stream that its key names: NextVersion gives it the number behind the
	// stream's last event, whoever wrote that; a number from 1 is what it must get, or the lane fails with a
	// *VersionError. Of a command it is what the command expects of an aggregate, as headrace.Meta.StreamVersion.
	// Default 0: none.
	StreamVersion int64
}

// Emit publishes v as caused by the event being handled. See EmitWith.
func Emit[T any](c *Context, v T) error { return EmitWith(c, v, EmitOptions{}) }

// EmitWith publishes v as caused by the event being handled. What one handler emits for one event
// is one atomic batch, published when the handler returns nil and dropped when it fails; it stands
// later in the log, after whatever was published meanwhile, and comes back through all lanes.
//
// The event's id derives from handler, cause and position; its correlation and causation ids
// continue the cause's; its time is the cause's. So if the log already holds the handler's answer to this
// event, nothing is published again: at replay Emit does nothing and returns nil.
//
// It never waits. Errors: ErrReadOnly on a lane that only reads and in a fold, ErrNotInHandler, ErrOwned, ErrTooLarge,
// *event.FieldError,
// ErrBatchTooLarge, ErrFeedbackFull for a cascade that is too deep, event.ErrUnregistered, and
// *event.EncodeError. Whatever the handler makes of it, the lane then fails: at replay Emit would not
// have failed, and the state would be another.
func EmitWith[T any](c *Context, v T, o EmitOptions) error {
	if emits, err := c.mayEmit(); !emits {
		return err
	}
	return c.emitted(emitOpen(c, &v, o))
}

// mayEmit tells whether the handler's outputs for this event go to the log: false and nil where the log
// holds them.
func (c *Context) mayEmit() (bool, error) {
	switch {
	case c.lane.outputs == nil:
		return false, ErrReadOnly
	case c.handler == nil:
		return false, ErrNotInHandler
	case !c.handler.emits():
		return false, ErrReadOnly
	}
	return !c.answered(c.handler), nil
}

// emitted keeps the error of an Emit, so that the handler cannot swallow it.
func (c *Context) emitted(err error) error {
	if err != nil {
		c.lane.outputs.err = err
	}
	return err
}

// emitOpen is emit for types that anybody may emit, or that this handler may.
func emitOpen[T any](c *Context, v *T, o EmitOptions) error {
	bound, _, err := Lookup[T](c.lane.types)
	if err != nil {
		return err
	}
	if bound.system || bound.owner != nil && (bound.owner != c.lane || c.handler.role != roleDecide) {
		return bound.Owned()
	}
	return emit(c, v, o)
}

func emit[T any](c *Context, v *T, o EmitOptions) error {
	bound, codec, err := Lookup[T](c.lane.types)
	if err != nil {
		return err
	}
	out := c.lane.outputs
	version := o.StreamVersion
	numbered := version != 0 && codec.Kind() != event.Command
	if version == NextVersion {
		o.StreamVersion = 1 // until it gets its own
	}
	if err := c.fill(&out.header, o); err != nil {
		return err
	}
	switch {
	case version == NextVersion && !numbered:
		return &event.FieldError{Field: "StreamVersion", Reason: "of a command is what it expects, and not NextVersion", Err: event.ErrHeader}
	case numbered && out.header.Key == "":
		return &event.FieldError{Field: "StreamVersion", Reason: "needs a key, which names the stream", Err: event.ErrHeader}
	}
	out.header.Kind, out.header.Version = codec.Kind(), codec.Version()
	start := len(out.data)
	data, err := event.AppendHeader(out.data, &out.header)
	if err != nil {
		return err
	}
	if data, err = codec.AppendPayload(data, v); err != nil {
		return err
	}
	if err := out.add(data, start, bound.ID); err != nil {
		return err
	}
	if numbered {
		out.marks = append(out.marks, mark{out: len(out.outs) - 1, name: out.header.Key, version: version})
	}
	c.ordinal++
	return nil
}

// fill sets what an output takes over from its cause.
func (c *Context) fill(h *event.Header, o EmitOptions) error {
	cause, caused := c.event.Origin()
	depth := uint32(1)
	if caused && c.again == nil { // time has passed since
		depth = cause.Depth + 1
	}
	if depth > c.lane.outputs.limits.Depth {
		return fmt.Errorf("%w: event %d is the %dth in a chain of events causing events", ErrFeedbackFull, c.sequence, depth)
	}
	h.Time = c.time
	h.ID = event.DeriveID(c.handler.hash, c.causeID(), c.ordinal)
	h.CausationID = c.event.ID()
	if h.CorrelationID = c.event.CorrelationID(); h.CorrelationID.IsZero() {
		h.CorrelationID = c.event.ID()
	}
	h.HasOrigin = true
	h.Origin = event.Origin{Handler: c.handler.hash, Cause: c.cause, Ordinal: c.ordinal, Depth: depth}
	if h.Trace = c.trace; h.Trace.IsZero() {
		h.Trace = c.event.Trace()
	}
	h.Producer = c.handler.id
	if h.Key = o.Key; h.Key == "" {
		h.Key = c.Key()
	}
	h.StreamVersion = o.StreamVersion
	return nil
}
