package handlers

import (
	"fmt"
	"time"

	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/journal"
)

// Delivery is one event as a follower sees it, or a batch handler. Event is a view that is valid inside the call.
type Delivery struct {
	Sequence int64
	Time     time.Time // of journaling
	Type     string    // the type's name
	Event    event.View

	types  *Types
	typeID uint16
	at     Checkpoint
}

// Checkpoint is where a follower is that has handled the event: to be kept with what it has made of it, and given to
// headrace.FollowOptions.After.
func (d Delivery) Checkpoint() Checkpoint { return d.at }

// NewDelivery reads an event record.
func NewDelivery(t *Types, rec journal.Record) (Delivery, error) {
	v, err := event.Parse(rec.Body)
	if err != nil {
		return Delivery{}, fmt.Errorf("handlers: event %d: %w", rec.Sequence, err)
	}
	return Delivery{
		Sequence: rec.Sequence,
		Time:     time.Unix(0, rec.Time).UTC(),
		Type:     t.Name(rec.Type),
		Event:    v,
		types:    t,
		typeID:   rec.Type,
		at:       CheckpointOf(rec),
	}, nil
}

// newDelivery is an event as a lane sees it, of a type that passes m.
func newDelivery(t *Types, m *Match, seq, unixNano int64, typeID uint16, v event.View) Delivery {
	return Delivery{Sequence: seq, Time: time.Unix(0, unixNano).UTC(), Type: m.names[typeID], Event: v, types: t, typeID: typeID}
}

// Clone returns d with a copy of the event, which stays valid. buf is what the copy may lie in.
func (d Delivery) Clone(buf []byte) Delivery {
	v, err := event.Parse(append(buf[:0], d.Event.Body()...))
	if err == nil { // as it was for the same bytes before
		d.Event = v
	}
	return d
}

// Decode returns the event of Go type T in d. ok is false if d is of another type; an error means that
// it is of this one and cannot be decoded, or that T is not registered.
func Decode[T any](d Delivery) (v T, ok bool, err error) {
	bound, codec, err := Lookup[T](d.types)
	if err != nil || !d.types.is(bound.ID, d.typeID) {
		return v, false, err
	}
	if err := codec.DecodeVersion(d.Event.Version(), d.Event.Payload(), &v); err != nil {
		return v, true, fmt.Errorf("handlers: event %d (%s): %w", d.Sequence, d.Type, err)
	}
	return v, true, nil
}

// AppendJSON appends the event in its JSON form (see event.AppendJSON).
func (d Delivery) AppendJSON(dst []byte) ([]byte, error) {
	return event.AppendJSON(dst, d.types.registry, d.Type, d.Sequence, d.Event)
}
