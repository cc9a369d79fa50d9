package handlers

import (
	"fmt"
	"reflect"
	"slices"
	"unicode/utf8"

	"github.com/headrace/headrace/event"
)

// role is what a handler does with an event, and so when it runs.
type role uint8

const (
	roleOn     role = iota // changes state and emits; runs at every replay
	roleFold               // changes state; runs at every replay
	roleEvolve             // changes state, as soon as its event is emitted
	roleDecide             // emits; runs once for each event
	roleEffect             // calls the world outside, beside the lane
	roleBatch              // changes state, by many events at once; runs at every replay
)

// reaction is one handler. Those that emit have a stable id.
type reaction struct {
	role      role
	id        string
	former    []string // the ids that it had before
	hash      uint64   // of its first id: what the log knows it by
	parking   *parking // nil: the lane stops when it fails
	parked    *parking // the same, for those who look in from outside while the lane is rebuilt
	watermark int64    // up to here the log holds its answers: emit nothing, decide nothing
}

// named tells whether id is or was the handler's.
func (r *reaction) named(id string) bool { return r.id == id || slices.Contains(r.former, id) }

func (r *reaction) emits() bool {
	return r.role == roleOn || r.role == roleDecide || r.role == roleEffect
}

// On registers fn for events of Go type T under a stable id, 1 to 255 bytes. The id stands in the log
// with everything that the handler emits: keep it when the code changes. One id may handle several
// types; the same id for the same type twice is a fault, which Bind reports. After Bind it has no
// effect.
//
// fn runs for every event, at every replay too, and may change the lane's state and emit. It
// owns its T: strings and slices in it are copies. It runs on the lane's goroutine. If it returns
// an error or panics, the lane stops before the event, and with it the engine.
func On[T any](l *Lane, id string, fn func(*Context, T) error) { registerID(l, roleOn, id, fn) }

// Fold registers fn for events of Go type T, as On does, but for a handler that changes state and
// never emits: Emit in it is ErrReadOnly. It needs no id.
func Fold[T any](l *Lane, fn func(*Context, T) error) { registerPlain(l, roleFold, fn) }

// Decide registers fn for events of Go type T under a stable id, as On does, but for a handler that
// emits and never changes state. It reads what Fold and Evolve made of the log, and what it
// emits is all that it leaves behind; state changes when that is folded.
//
// So it runs once for each event, not at replay: whatever its code computes today, the log's answer
// stands, and an event that only Decide handlers of the lane want is not even decoded. And one that
// fails leaves nothing to undo. After a crash it runs for the events to which the log has no answer
// of it, when the lane has folded all of the log: it sees more then than it would have seen live, but
// never less, and all of what was decided before.
//
// For one event, Decide handlers run after the lane's other handlers, in the order of registration.
func Decide[T any](l *Lane, id string, fn func(*Context, T) error) {
	registerID(l, roleDecide, id, fn)
}

// Evolve registers fn as a fold of events of Go type T that this lane's Decide handlers emit, and
// nobody else: the lane owns T. fn runs at once when an event has been emitted, before the lane
// handles anything else, so the next decision sees it, although the event stands later in the log.
// When it comes back through the log it is not folded again.
//
// The state that fn changes must be changed by Evolve alone, and read by Evolve and Decide alone: what a
// lane has emitted is always in the order in which the log gets it, so live and at replay the state
// goes through the same steps; but how far it is ahead of the other handlers of the lane is
// different each time. For the same reason Context.Sequence is that of the event's cause there, Time is
// the time of the cause, and what the fold sees is what the log holds of the event: decoded anew. fn
// cannot emit.
//
// Publishing a T from outside, or emitting one in another handler, is ErrOwned. Two lanes that evolve one
// type are a fault.
func Evolve[T any](l *Lane, fn func(*Context, T) error) { registerPlain(l, roleEvolve, fn) }

func registerID[T any](l *Lane, as role, id string, fn func(*Context, T) error) {
	if r, ok := l.identify(as, id, fn == nil); ok {
		add(l, r, fn)
	}
}

// identify returns the handler with an id that may have another function, and notes what is wrong.
func (l *Lane) identify(as role, id string, isNil bool) (*reaction, bool) {
	if id == "" || len(id) > 255 || !utf8.ValidString(id) {
		l.faults = append(l.faults, fmt.Errorf("handlers: lane %q: handler id %q must have 1 to 255 bytes of UTF-8", l.name, id))
		return nil, false
	}
	if isNil {
		l.faults = append(l.faults, fmt.Errorf("handlers: lane %q: handler %q is nil", l.name, id))
		return nil, false
	}
	r, ok := l.reaction(as, id)
	if !ok {
		// Its answers would not stand in the order of their causes: after a crash Decide comes after On.
		l.faults = append(l.faults, fmt.Errorf("handlers: lane %q: handler %q is used with On and with Decide; give each an id of its own", l.name, id))
	}
	return r, ok
}

func registerPlain[T any](l *Lane, as role, fn func(*Context, T) error) {
	if fn == nil {
		l.faults = append(l.faults, fmt.Errorf("handlers: lane %q: a fold of %s is nil", l.name, reflect.TypeFor[T]()))
		return
	}
	add(l, &reaction{role: as}, fn)
}

// reaction returns the handler with this id, and false if it has another role.
func (l *Lane) reaction(as role, id string) (*reaction, bool) {
	for _, r := range l.reactions {
		if r.id == id {
			return r, r.role == as
		}
	}
	r := &reaction{role: as, id: id, hash: event.HandlerID(id)}
	l.reactions = append(l.reactions, r)
	return r, true
}

// register is a registration that waits for Bind.
type register struct {
	handler  *reaction
	goType   reflect.Type
	filtered *filtered // nil: it is for one type, by bind
	declared bool      // its state is, whatever the lane's other handlers do
	bind     func(l *Lane, t *Types) (typeID uint16, d dispatcher, err error)
}

// Answering returns the ids of the handlers that may answer events of Go type t: those of On and Decide,
// in order of registration.
func (l *Lane) Answering(t reflect.Type) []string {
	var ids []string
	for _, reg := range l.registers {
		if reg.goType == t && reg.handler.emits() {
			ids = append(ids, reg.handler.id)
		}
	}
	return ids
}

// Answers tells whether a handler of the lane may answer events with this type id, by type or by filter. The lane is bound.
func (l *Lane) Answers(typeID uint16) bool {
	d := l.dispatcher(typeID)
	return d != nil && (l.outputs != nil || l.effect != nil) && d.emits()
}

func add[T any](l *Lane, r *reaction, fn func(*Context, T) error) {
	l.registers = append(l.registers, register{handler: r, goType: reflect.TypeFor[T](), declared: l.declaring, bind: func(l *Lane, t *Types) (uint16, dispatcher, error) {
		bound, codec, err := Lookup[T](t)
		if err != nil {
			return 0, nil, err
		}
		d, ok := l.dispatcher(bound.ID).(*typed[T])
		if !ok {
			d = &typed[T]{codec: codec, shares: shares(reflect.TypeFor[T]())}
		}
		for _, c := range d.calls {
			if c.handler == r {
				return 0, nil, fmt.Errorf("registered twice for %s", codec.Name())
			}
		}
		if r.role == roleEvolve {
			if bound.owner != nil && bound.owner != l {
				return 0, nil, fmt.Errorf("%s belongs to lane %q, which evolves it too", codec.Name(), bound.owner.name)
			}
			bound.owner, l.evolves = l, true
		}
		d.calls = append(d.calls, call[T]{handler: r, fn: fn, order: l.binding})
		return bound.ID, d, nil
	}})
}

// shares tells whether copies of a value of type t have memory in common that one of them can change.
func shares(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Slice, reflect.Map, reflect.Pointer, reflect.Interface:
		return true
	case reflect.Array:
		return shares(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if shares(t.Field(i).Type) {
				return true
			}
		}
	}
	return false
}
