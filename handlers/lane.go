package handlers

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/journal"
	"github.com/headrace/headrace/ring"
)

// FirstUserType is the lowest type id of an application's events; those below are the engine's
// own, and no handler sees them.
const FirstUserType = 16

// Lane is a sequence of typed handlers that run on one goroutine: for each event, in the order in which
// they were registered. So they need no locks among themselves, and compute the same at every
// replay.
//
// Register handlers with On before the lane is bound to an engine. At replay the engine calls
// Replay for each record of the journal; live, the lane is a consumer of the ring.
type Lane struct {
	name      string
	registers []register
	reactions []*reaction // by registration; one a handler id
	faults    []error

	// set by Bind
	ctx       context.Context
	types     *Types
	byType    []dispatcher // by type id; nil = nobody asks for it
	outputs   *outputs     // nil = this lane may not emit
	published bool         // stands before the journal: handlers see the publisher's time
	release   func(seq int64)

	lock    sync.Locker  // held while events are applied; nil if nobody looks in from outside
	applied int64        // highest sequence applied; guarded by lock where there is one
	shown   atomic.Int64 // applied, at the end of the last span
	call    Context
	keyText string        // the last key that was asked for as a string
	routine atomic.Uint64 // the goroutine it runs on, live; 0 before that
}

type register struct {
	handler *reaction
	bind    func(l *Lane, t *Types) (typeID uint16, d dispatcher, err error)
}

// reaction is one handler with its stable id.
type reaction struct {
	id        string
	hash      uint64
	watermark int64 // up to here the log holds its answers: emit nothing
}

// dispatcher decodes one type once and calls all who asked for it.
type dispatcher interface {
	run(c *Context) error
}

type typed[T any] struct {
	codec  *event.Type[T]
	shares bool // copies of a T share memory that can be changed
	value  T
	calls  []call[T]
}

type call[T any] struct {
	handler *reaction
	fn      func(*Context, T) error
}

// NewLane returns a lane without handlers. Its name is for errors and statistics.
func NewLane(name string) *Lane { return &Lane{name: name} }

// Name returns the lane's name.
func (l *Lane) Name() string { return l.name }

// HandlerIDs returns the stable ids of the lane's handlers, in order of registration.
func (l *Lane) HandlerIDs() []string {
	ids := make([]string, len(l.reactions))
	for i, r := range l.reactions {
		ids[i] = r.id
	}
	return ids
}

// On registers fn for events of Go type T under a stable id, 1 to 255 bytes. The id stands in the log
// with everything that the handler emits: keep it when the code changes. One id may handle several
// types; the same id for the same type twice is a fault, which Bind reports. After Bind it has no
// effect.
//
// fn owns its T: strings and slices in it are copies. It runs on the lane's goroutine. If it returns
// an error or panics, the lane stops before the event, and with it the engine.
func On[T any](l *Lane, id string, fn func(*Context, T) error) {
	if id == "" || len(id) > 255 || !utf8.ValidString(id) {
		l.faults = append(l.faults, fmt.Errorf("handlers: lane %q: handler id %q must have 1 to 255 bytes of UTF-8", l.name, id))
		return
	}
	if fn == nil {
		l.faults = append(l.faults, fmt.Errorf("handlers: lane %q: handler %q is nil", l.name, id))
		return
	}
	r := l.reaction(id)
	l.registers = append(l.registers, register{handler: r, bind: func(l *Lane, t *Types) (uint16, dispatcher, error) {
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
		d.calls = append(d.calls, call[T]{r, fn})
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

func (l *Lane) reaction(id string) *reaction {
	for _, r := range l.reactions {
		if r.id == id {
			return r
		}
	}
	r := &reaction{id: id, hash: event.HandlerID(id)}
	l.reactions = append(l.reactions, r)
	return r
}

func (l *Lane) dispatcher(typeID uint16) dispatcher {
	if int(typeID) < len(l.byType) {
		return l.byType[typeID]
	}
	return nil
}

// Binding is what a lane needs of its engine.
type Binding struct {
	Context    context.Context  // ends when the engine halts
	Types      *Types           // of this log
	Emits      bool             // the lane may emit; until EmitTo what it emits is dropped
	Limits     Limits           // on what it emits
	Watermarks map[string]int64 // by handler id: up to which cause the log holds its answers
	Published  bool             // the lane does not stand behind the journal
}

// Bind makes the lane ready to run, and reports all faults of its registrations joined: ids, nil
// functions, types that are not registered.
func (l *Lane) Bind(b Binding) error {
	if l.types != nil {
		return fmt.Errorf("handlers: lane %q already serves another engine or replay", l.name)
	}
	faults := append([]error(nil), l.faults...)
	l.ctx, l.types, l.published, l.byType, l.outputs = b.Context, b.Types, b.Published, nil, nil
	if b.Emits {
		l.outputs = &outputs{limits: b.Limits}
	}
	for _, reg := range l.registers {
		id, d, err := reg.bind(l, b.Types)
		if err != nil {
			faults = append(faults, fmt.Errorf("handlers: lane %q: handler %q: %w", l.name, reg.handler.id, err))
			continue
		}
		for _, id := range append(b.Types.Old(id), id) {
			for int(id) >= len(l.byType) {
				l.byType = append(l.byType, nil)
			}
			l.byType[id] = d
		}
	}
	for _, r := range l.reactions {
		r.watermark = b.Watermarks[r.id]
	}
	l.call.lane = l
	return errors.Join(faults...)
}

// Releasing gives the lane the means to give slots back in the middle of a span: ring.Consumer's
// Release. It is the engine's to call, before the ring starts.
func (l *Lane) Releasing(release func(seq int64)) { l.release = release }

// EmitTo says where the lane's outputs go from now on: to the journal while it is replayed, then
// to the feedback lane. It is the engine's to call, while the lane stands still.
func (l *Lane) EmitTo(s sink) {
	if l.outputs != nil {
		l.outputs.sink = s
	}
}

// HandleSpan handles a span of the live ring. It is the ring's to call.
func (l *Lane) HandleSpan(first int64, span []Slot) (err error) {
	if l.routine.Load() == 0 {
		l.routine.Store(goroutineID())
	}
	if l.lock != nil {
		l.lock.Lock()
		defer l.lock.Unlock()
	}
	defer l.visible()
	defer l.catch(&err)
	for i := range span {
		s := &span[i]
		seq := first + int64(i)
		if s.Kind == journal.KindEvent {
			if l.outputs != nil && l.outputs.sink.loaded() {
				l.release(l.applied) // the slots handled so far are what the outputs wait for
				l.outputs.sink.relax(l.applied)
			}
			var t int64
			if !l.published { // else the journaler may be stamping it just now
				t = s.Time
			}
			if err := l.handle(seq, t, s.Type, s.Body); err != nil {
				return err
			}
		}
		l.applied = seq
	}
	return nil
}

// Replay handles one record of the journal, before the lane goes live.
func (l *Lane) Replay(rec journal.Record) (err error) {
	if l.lock != nil {
		l.lock.Lock()
		defer l.lock.Unlock()
	}
	defer l.visible()
	defer l.catch(&err)
	if rec.Kind == journal.KindEvent {
		if err := l.handle(rec.Sequence, rec.Time, rec.Type, rec.Body); err != nil {
			return err
		}
	}
	l.applied = rec.Sequence
	return nil
}

// visible shows how far the state is to those who do not take the lock.
func (l *Lane) visible() { l.shown.Store(l.applied) }

func (l *Lane) handle(seq, time int64, typeID uint16, body []byte) error {
	d := l.dispatcher(typeID)
	if d == nil {
		return nil
	}
	c := &l.call
	c.sequence, c.time, c.typeID, c.handler = seq, time, typeID, nil
	var err error
	if c.event, err = event.Parse(body); err != nil {
		return l.failure(err)
	}
	if l.published {
		c.time = c.event.Time()
	}
	return d.run(c)
}

func (d *typed[T]) run(c *Context) error {
	if err := d.codec.DecodeVersion(c.event.Version(), c.event.Payload(), &d.value); err != nil {
		return c.lane.failure(err)
	}
	for i := range d.calls {
		if i > 0 && d.shares { // the handler before may have changed what it owned
			if err := d.codec.DecodeVersion(c.event.Version(), c.event.Payload(), &d.value); err != nil {
				return c.lane.failure(err)
			}
		}
		c.begin(d.calls[i].handler)
		err := d.calls[i].fn(c, d.value)
		if err == nil {
			err = c.commit()
		}
		if err != nil {
			err = c.lane.failure(err)
			c.handler = nil
			return err
		}
		c.handler = nil
	}
	return nil
}

func (c *Context) begin(r *reaction) {
	c.handler, c.ordinal, c.seeded = r, 0, false
	if out := c.lane.outputs; out != nil {
		out.reset()
	}
}

func (c *Context) commit() error {
	if c.lane.outputs == nil {
		return nil
	}
	return c.lane.outputs.commit()
}

// key is the event's key as a string, made once an event.
func (c *Context) key() string {
	l := c.lane
	if k := c.event.KeyBytes(); l.keyText != string(k) {
		l.keyText = string(k)
	}
	return l.keyText
}

// failure says which handler failed on which event.
func (l *Lane) failure(err error) error {
	e := &HandlerError{Lane: l.name, Sequence: l.call.sequence, Type: l.types.Name(l.call.typeID), Err: err}
	if l.call.handler != nil {
		e.Handler = l.call.handler.id
	}
	return e
}

// Interrupted returns a *HandlerError for the handler that ended the lane's goroutine with
// runtime.Goexit, with ring.ErrGoexit as its cause, and nil if none did. The lane's goroutine must
// have ended.
func (l *Lane) Interrupted() error {
	if l.call.handler == nil {
		return nil
	}
	return l.failure(ring.ErrGoexit)
}

// catch turns a handler's panic into an error. A Goexit cannot be stopped; Interrupted tells of it.
func (l *Lane) catch(err *error) {
	if v := recover(); v != nil {
		*err = l.failure(&PanicError{Value: v, Stack: debug.Stack()})
		l.call.handler = nil
	}
}

// Goroutine is the id of the goroutine that the lane runs on, or 0 before its first live event.
func (l *Lane) Goroutine() uint64 { return l.routine.Load() }
