package handlers

import (
	"errors"
	"fmt"
	"time"

	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/event/pack"
)

// ErrNoTimers reports that an event was to be scheduled in a topology that has no timers.
var ErrNoTimers = errors.New("handlers: no lane keeps timers; register a handler that reacts, or call Topology.Timers")

// Scheduled says that an event waits for its time. Its key is the key that the event will have.
type Scheduled struct {
	Due     int64  // unix nanoseconds
	Name    string // of the timer; "" = none
	Type    string // of the event
	Kind    event.Kind
	Version uint16
	Payload []byte
}

// Cancelled says that the timer with this name, if one waits, does not fire.
type Cancelled struct{ Name string }

// Tick is the clock's: time has come for some that wait. Those that are due at the tick's time in the
// journal fire in answer to it, up to MaxEvents with payloads of together MaxBytes, but at least one.
type Tick struct {
	MaxEvents int
	MaxBytes  int
}

// AppendMsgpack implements event.PayloadAppender.
func (s *Scheduled) AppendMsgpack(dst []byte) ([]byte, error) {
	dst = pack.AppendArrayHeader(dst, 6)
	dst = pack.AppendInt(dst, s.Due)
	dst = pack.AppendString(dst, s.Name)
	dst = pack.AppendString(dst, s.Type)
	dst = pack.AppendUint(dst, uint64(s.Kind))
	dst = pack.AppendUint(dst, uint64(s.Version))
	return pack.AppendBytes(dst, s.Payload), nil
}

// DecodeMsgpackBytes implements event.PayloadDecoder.
func (s *Scheduled) DecodeMsgpackBytes(payload []byte) error {
	r := pack.NewReader(payload)
	r.Tuple(6)
	s.Due = r.Int64()
	s.Name = r.Str()
	s.Type = r.Str()
	s.Kind = event.Kind(r.Uint8())
	s.Version = r.Uint16()
	s.Payload = r.Bytes()
	return r.Close()
}

// ScheduleOptions are what a scheduled event may have besides its payload; the zero value is the default.
type ScheduleOptions struct {
	// Name makes a timer that can be cancelled. A name belongs to one timer at a time in the whole engine:
	// scheduling under it again replaces the one that waits. Default: a timer without a name.
	Name string

	Key string // of the event; default: the key of the event that is being handled
}

// Schedule makes v an event at a later time: it stands in the log behind the first tick of the engine's
// clock whose time is at or past at, with the correlation of the event being handled, caused by
// the Scheduled event that this call emits. A time in the past is as soon as possible. What
// waits survives crashes; what comes due while no engine runs fires when one opens.
//
// Errors are those of Emit, and ErrNoTimers.
func Schedule[T any](c *Context, v T, at time.Time, o ScheduleOptions) error {
	if emits, err := c.mayEmit(); !emits {
		return err
	}
	return c.emitted(schedule(c, &v, at, o))
}

func schedule[T any](c *Context, v *T, at time.Time, o ScheduleOptions) error {
	if !c.lane.timers {
		return ErrNoTimers
	}
	s, err := NewScheduled(c.lane.types, v, at, o.Name)
	if err != nil {
		return err
	}
	key := o.Key
	if key == "" {
		key = c.Key()
	}
	if err := s.Fits(c.lane.outputs.limits.EventBytes, key); err != nil {
		return err
	}
	return emit(c, s, EmitOptions{Key: key})
}

// Fits returns an ErrTooLarge if the event, once fired under key, would be larger than limitBytes.
func (s *Scheduled) Fits(limitBytes int, key string) error {
	if size := len(s.Payload) + len(key) + firedHeaderBytes; size > limitBytes {
		return fmt.Errorf("%w: %s of %d bytes to be scheduled, limit %d", ErrTooLarge, s.Type, size, limitBytes)
	}
	return nil
}

// Cancel keeps the timer with this name from firing; if none waits, it does nothing. Errors are those of
// Schedule.
func Cancel(c *Context, name string) error {
	emits, err := c.mayEmit()
	switch {
	case !emits:
		return err
	case !c.lane.timers:
		return c.emitted(ErrNoTimers)
	}
	return c.emitted(emit(c, &Cancelled{Name: name}, EmitOptions{}))
}

// firedHeaderBytes is what the envelope of a fired event takes at most, without its key.
const firedHeaderBytes = 256

// NewScheduled returns the event that schedules v.
func NewScheduled[T any](t *Types, v *T, at time.Time, name string) (*Scheduled, error) {
	bound, codec, err := Lookup[T](t)
	if err == nil {
		err = bound.Owned()
	}
	if err != nil {
		return nil, err
	}
	due := at.UnixNano()
	if !time.Unix(0, due).Equal(at) {
		return nil, &event.FieldError{Field: "Time", Reason: "outside the years 1678 to 2261", Err: event.ErrHeader}
	}
	s := &Scheduled{Due: due, Name: name, Type: codec.Name(), Kind: codec.Kind(), Version: codec.Version()}
	s.Payload, err = codec.AppendPayload(nil, v)
	return s, err
}
