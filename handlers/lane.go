package handlers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"

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
// Register handlers with On, Fold, Decide and Evolve before the lane is bound to an engine. At replay the engine calls
// Replay for each record of the journal; live, the lane is a consumer of the ring.
type Lane struct {
	name      string
	registers []register
	reactions []*reaction // by registration; one a handler id
	decides   []*reaction // those of them that decide
	evolves   bool        // it has entities: see Evolve
	policies  map[string]FailurePolicy
	parks     bool // some handler parks
	states    []kept
	declared  bool          // all that its handlers remember is in states
	declaring bool          // inside Declared
	timerSet  *Timers       // nil: they are not on this lane
	outside   *sync.RWMutex // of a lane that keeps states: also its lock
	faults    []error
	effect    *Effect  // nil: it has handlers
	batch     *batcher // nil: they get events one by one

	// set by Bind
	ctx       context.Context
	types     *Types
	byType    []dispatcher // by type id; nil = nobody asks for it
	binding   int          // while they are bound: place among registers
	outputs   *outputs     // nil = this lane may not emit
	timers    bool         // handlers may schedule
	clock     Clock
	streams   *Streams
	reread    func(from, to int64, fn func(journal.Record) error) error
	published bool // stands before the journal: handlers see the publisher's time
	release   func(seq int64)
	slot      func(seq int64) *Slot
	observer  Observer
	told      func(Failed)

	away      atomic.Bool // what comes through the ring is passed over: see Pause
	paused    atomic.Bool
	passed    int64 // while away: up to here it was; guarded by lock
	rejoining sync.Mutex
	stirring  sync.Mutex
	stirred   chan struct{} // closed when a lane that is away gets on; nil: nobody waits

	lock     sync.Locker  // held while events are applied; nil if nobody looks in from outside
	applied  int64        // highest sequence applied; guarded by lock where there is one
	shown    atomic.Int64 // applied, at the end of the last span
	call     Context
	repeat   Context       // of an event that is delivered again
	ahead    Context       // of what Evolve registered
	evolving *reaction     // the handler of ahead
	keyText  string        // the last key that was asked for as a string
	routine  atomic.Uint64 // the goroutine it runs on, live; 0 before that
	settled  int64         // at Open: what handlers that decide owe stands behind it

	wish   atomic.Pointer[wish] // nil: nobody wants an image
	sizes  map[string]int       // of states, as they were encoded last
	loaded int64                // the states were loaded as of here; 0: they come from the log
	base   *Image               // what a rebuild begins with; nil: the empty states
}

// NewLane returns a lane without handlers. Its name is for errors and statistics.
func NewLane(name string) *Lane { return &Lane{name: name} }

// Name returns the lane's name.
func (l *Lane) Name() string { return l.name }

// HandlerIDs returns the stable ids of the lane's handlers that may emit, in order of registration.
func (l *Lane) HandlerIDs() []string {
	ids := make([]string, len(l.reactions))
	for i, r := range l.reactions {
		ids[i] = r.id
	}
	return ids
}

// Policies returns the ids of the handlers that have a failure policy, in no order.
func (l *Lane) Policies() []string { return slices.Collect(maps.Keys(l.policies)) }

// Empty reports whether nothing is registered on the lane.
func (l *Lane) Empty() bool { return len(l.registers) == 0 && len(l.faults) == 0 }

func (l *Lane) dispatcher(typeID uint16) dispatcher {
	if int(typeID) < len(l.byType) {
		return l.byType[typeID]
	}
	return nil
}

// Binding is what a lane needs of its engine.
type Binding struct {
	Context    context.Context              // ends when the engine halts
	Types      *Types                       // of this log
	Emits      bool                         // the lane may emit; until EmitTo what it emits is dropped
	Limits     Limits                       // on what it emits
	Watermarks map[string]int64             // by handler id: up to which cause the log holds its answers
	Published  bool                         // the lane does not stand behind the journal
	Outcomes   map[uint64]map[int64]Outcome // by hash of the handler and the cause that they answer
	Clock      Clock                        // default: the system's is not asked
	Timers     bool                         // some lane keeps timers: handlers may schedule
	Observer   Observer                     // nil: nobody watches
	Told       func(Failed)                 // told of outcomes that are new; nil: nobody is
	Formerly   map[string][]string          // by handler id: the ids that it had before, the first one first
	Streams    *Streams                     // where events get their numbers; nil if the lane only reads
}

// Bind makes the lane ready to run, and reports all faults of its registrations joined: ids, nil
// functions, types that are not registered.
func (l *Lane) Bind(b Binding) error {
	if l.types != nil {
		return fmt.Errorf("handlers: lane %q already serves another engine or replay", l.name)
	}
	faults := append([]error(nil), l.faults...)
	l.ctx, l.types, l.published, l.byType, l.outputs = b.Context, b.Types, b.Published, nil, nil
	l.timers, l.clock, l.observer, l.told, l.streams = b.Timers, b.Clock, b.Observer, b.Told, b.Streams
	if b.Emits {
		l.outputs = &outputs{limits: b.Limits}
	}
	faults = append(faults, l.bindHandlers()...)
	l.settled = math.MaxInt64
	for _, r := range l.reactions {
		if r.former = b.Formerly[r.id]; len(r.former) > 0 {
			r.hash = event.HandlerID(r.former[0])
		}
		r.watermark = b.Watermarks[r.id]
		if r.role == roleDecide {
			l.decides = append(l.decides, r)
			l.settled = min(l.settled, r.watermark)
		}
	}
	for _, s := range l.states {
		s.prepare()
	}
	faults = append(faults, l.bindPolicies(b)...)
	if l.effect != nil {
		l.outputs = nil // its calls have their own
		if err := l.effect.bind(b); err != nil {
			faults = append(faults, err)
		}
	}
	l.call.lane, l.ahead.lane = l, l
	l.ahead.pass, l.evolving = passAhead, &reaction{role: roleEvolve}
	return errors.Join(faults...)
}

// bindHandlers finds the types of the registrations.
func (l *Lane) bindHandlers() (faults []error) {
	fault := func(r *reaction, err error) {
		faults = append(faults, fmt.Errorf("handlers: lane %q: handler %q: %w", l.name, r.id, err))
	}
	for i, reg := range l.registers {
		if l.binding = i; reg.filtered != nil {
			continue // when it is known which types are decoded
		}
		id, d, err := reg.bind(l, l.types)
		if err != nil {
			fault(reg.handler, err)
			continue
		}
		for _, id := range append(l.types.Old(id), id) {
			l.dispatch(id, d)
		}
	}
	for i, reg := range l.registers {
		if l.binding = i; reg.filtered == nil {
			continue
		}
		var err error
		if reg.handler.role == roleBatch {
			err = l.batch.bind(l)
		} else {
			err = l.bindFiltered(reg.filtered)
		}
		if err != nil {
			fault(reg.handler, err)
		}
	}
	for _, d := range l.byType {
		if d != nil {
			d.arrange()
		}
	}
	return faults
}

func (l *Lane) dispatch(id uint16, d dispatcher) {
	for int(id) >= len(l.byType) {
		l.byType = append(l.byType, nil)
	}
	l.byType[id] = d
}

// bindPolicies gives a parking to the handlers that have a policy, and to those that had one: what they
// parked is still in the log.
func (l *Lane) bindPolicies(b Binding) (faults []error) {
	fault := func(id string, why any) {
		faults = append(faults, fmt.Errorf("handlers: lane %q: OnFailure(%q): %v", l.name, id, why))
	}
	known := map[string]bool{}
	for _, r := range l.reactions {
		known[r.id] = true
		policy, has := l.policies[r.id]
		policy, err := policy.withDefaults()
		switch {
		case r.role == roleEffect: // has its own
		case err != nil:
			fault(r.id, err)
		case has && l.outputs == nil:
			fault(r.id, "a lane that cannot emit has no outcomes")
		case has && r.role != roleDecide && l.undeclared() != nil:
			fault(r.id, "what it has changed when it fails can only be undone if the lane declares all of its state with Keep; or register it with Decide")
		case has && r.role != roleDecide && l.evolves:
			fault(r.id, "a lane that evolves is ahead of the log, and cannot be rebuilt from it; register it with Decide")
		case has && b.Published:
			fault(r.id, "the lane does not stand behind the journal, from which events are delivered again")
		case has || len(b.Outcomes[r.hash]) > 0:
			r.parking = newParking(policy, b.Outcomes[r.hash])
			r.parked = r.parking
			l.parks = true
		}
	}
	for id := range l.policies {
		if !known[id] {
			fault(id, "the lane has no such handler")
		}
	}
	return faults
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
	if l.away.Load() {
		l.passBy(first, span)
		return nil
	}
	defer l.visible()
	defer l.catch(&err)
	l.call.pass = passLive
	if l.batch != nil {
		return l.handleBatches(first, span)
	}
	for i := range span {
		s := &span[i]
		seq := first + int64(i)
		if seq <= l.applied { // read from the log, before the lane has rejoined the ring
			if s.Type == markedID {
				l.notMarked()
			}
			continue
		}
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
		if s.Type == markedID {
			l.marked(s.Body)
		}
	}
	return nil
}

// Replay handles one record of the journal, before the lane goes live. It decides nothing: see Settle.
func (l *Lane) Replay(rec journal.Record) (err error) {
	if rec.Sequence <= l.loaded {
		return nil
	}
	if l.lock != nil {
		l.lock.Lock()
		defer l.lock.Unlock()
	}
	return l.replay(rec)
}

// ReplaySpan is Replay for records in a row, with one turn of the lane's lock. After an error n is the place of the record
// that it failed on.
func (l *Lane) ReplaySpan(records []journal.Record) (n int, err error) {
	if l.lock != nil {
		l.lock.Lock()
		defer l.lock.Unlock()
	}
	defer l.visible()
	defer l.catch(&err)
	for n = range records {
		rec := &records[n]
		if rec.Sequence <= l.loaded {
			continue
		}
		l.call.pass = passReplay
		if l.batch != nil {
			err = l.replayBatch(*rec)
		} else {
			if rec.Kind == journal.KindEvent {
				err = l.handle(rec.Sequence, rec.Time, rec.Type, rec.Body)
			}
			if err == nil {
				l.applied = rec.Sequence
			}
		}
		if err != nil {
			return n, err
		}
	}
	return len(records), nil
}

// replay is Replay with the lock held.
func (l *Lane) replay(rec journal.Record) (err error) {
	defer l.visible()
	defer l.catch(&err)
	l.call.pass = passReplay
	if l.batch != nil {
		return l.replayBatch(rec)
	}
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
	if l.effect != nil {
		return l.effect.handle(seq, time, typeID, body)
	}
	d := l.dispatcher(typeID)
	forParking := typeID < FirstUserType && l.parks && (typeID == redeliverID || typeID == discardedID)
	if !forParking && (d == nil || l.call.pass == passReplay && d.decides()) {
		return nil
	}
	c := &l.call
	c.sequence, c.cause, c.time, c.typeID, c.handler = seq, seq, time, typeID, nil
	var err error
	if c.event, err = event.Parse(body); err != nil {
		return l.call.failure(err)
	}
	if l.published {
		c.time = c.event.Time()
	}
	if forParking {
		if err := l.parkingEvent(c); err != nil || d == nil {
			return err
		}
	}
	return d.run(c)
}

// failure says which handler failed on which event.
func (c *Context) failure(err error) error {
	if c.pass == passAhead {
		return err // the handler that emitted it fails
	}
	e := &HandlerError{Lane: c.lane.name, Sequence: c.sequence, Type: c.lane.types.Name(c.typeID), Err: err}
	if c.handler != nil {
		e.Handler = c.handler.id
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
	return l.call.failure(ring.ErrGoexit)
}

// catch turns a handler's panic into an error. A Goexit cannot be stopped; Interrupted tells of it.
func (l *Lane) catch(err *error) {
	if v := recover(); v != nil {
		*err = l.call.failure(&PanicError{Value: v, Stack: debug.Stack()})
		l.call.handler = nil
	}
}

// Goroutine is the id of the goroutine that the lane runs on, or 0 before its first live event.
func (l *Lane) Goroutine() uint64 { return l.routine.Load() }
