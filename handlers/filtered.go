package handlers

import (
	"fmt"
	"slices"

	"github.com/headrace/headrace/event"
)

// filtered is a registration for all events that pass a filter, whatever their types.
type filtered struct {
	filter  Filter
	match   *Match // set when it is bound
	handler *reaction
	fn      func(*Context) error
}

// OnFiltered registers fn under a stable id, as On does, for all events that pass f: of types that other handlers decode,
// and of such as no Go type is registered for. fn finds the event in its Context, and its value, if it wants that, with
// As. It sees what its id has not seen only from where On would.
//
// An id may be used for types and for filters, but not twice for one event type. A handler by filter does not
// count as the one that answers a command. A filter that means nothing is a fault, which Bind reports: it wraps
// ErrFilter.
//
// What passes f is part of what a snapshot is compared by: a lane that remembers something and whose filter changes
// needs the log from its beginning.
func OnFiltered(l *Lane, id string, f Filter, fn func(*Context) error) {
	r, ok := l.identify(roleOn, id, fn == nil)
	if ok {
		l.addFiltered(r, f, fn)
	}
}

// FoldFiltered registers fn for all events that pass f, for a handler that changes state and never emits. See Fold and
// OnFiltered.
func FoldFiltered(l *Lane, f Filter, fn func(*Context) error) {
	if fn == nil {
		l.faults = append(l.faults, fmt.Errorf("handlers: lane %q: a fold of events by %v is nil", l.name, f))
		return
	}
	l.addFiltered(&reaction{role: roleFold}, f, fn)
}

// ApplyFiltered registers fn for all events that pass f. See Apply and OnFiltered.
func ApplyFiltered[S any](p *Projection[S], f Filter, fn func(s *S, c *Context) error) {
	if fn == nil {
		OnFiltered(p.lane, p.lane.name, f, nil)
		return
	}
	OnFiltered(p.lane, p.lane.name, f, func(c *Context) error { return fn(stateIn[S](c), c) })
}

// As returns the event of c as a T. ok is false if it is of another type; an error means that it is of this one
// and cannot be decoded, or that T is not registered. The T is the caller's: strings and slices in it are copies.
func As[T any](c *Context) (v T, ok bool, err error) {
	bound, codec, err := Lookup[T](c.lane.types)
	if err != nil || !c.lane.types.is(bound.ID, c.typeID) {
		return v, false, err
	}
	if err := codec.DecodeVersion(c.event.Version(), c.event.Payload(), &v); err != nil {
		return v, true, fmt.Errorf("handlers: event %d (%s): %w", c.sequence, c.Type(), err)
	}
	return v, true, nil
}

func (l *Lane) addFiltered(r *reaction, f Filter, fn func(*Context) error) *filtered {
	if err := f.Validate(); err != nil {
		l.faults = append(l.faults, fmt.Errorf("handlers: lane %q: handler %q: %w", l.name, r.id, err))
		return nil
	}
	f.Types, f.Kinds, f.Keys = slices.Clone(f.Types), slices.Clone(f.Kinds), slices.Clone(f.Keys)
	x := &filtered{filter: f, handler: r, fn: fn}
	l.registers = append(l.registers, register{handler: r, filtered: x, declared: l.declaring})
	return x
}

// bindFiltered puts a registration beside those for the types that pass.
func (l *Lane) bindFiltered(f *filtered) (err error) {
	if f.match == nil { // else it serves a lane beside this one
		if f.match, err = NewMatch(f.filter, l.types); err != nil {
			return err
		}
	}
	for _, id := range l.types.ids() {
		if !f.match.Type(id) {
			continue
		}
		d := l.dispatcher(id)
		if d == nil {
			d = &typed[undecoded]{}
			l.dispatch(id, d)
		}
		if !d.addFiltered(f, l.binding) {
			return fmt.Errorf("registered twice for %s", l.types.Name(id))
		}
	}
	return nil
}

// undecoded stands for the Go type of events that nobody decodes.
type undecoded struct{}

func (d *typed[T]) addFiltered(f *filtered, order int) bool {
	for _, k := range d.calls {
		if k.handler == f.handler {
			return k.filter == f // under another name of the type
		}
	}
	d.calls = append(d.calls, call[T]{handler: f.handler, fn: func(c *Context, _ T) error { return f.fn(c) }, order: order, filter: f})
	return true
}

// image is what a snapshot says of the events that pass.
func (f *filtered) image(r *event.Registry) string {
	return "filter " + f.filter.String() + f.filter.renames(r)
}

// of says which events a registration is for, for people.
func (reg *register) of() string {
	if reg.filtered != nil {
		return fmt.Sprintf("events by filter (%v)", reg.filtered.filter)
	}
	return reg.goType.String()
}
