package headrace

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync/atomic"

	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
)

// Gate is a place in the graph: what has happened to an event before a lane sees it.
type Gate int

const (
	// Written: the event is in the page cache. It survives the death of the process.
	Written Gate = iota
	// Durable: the event is synced. It survives a power cut. In durability mode None nothing is
	// promised, and Durable is the same as Written.
	Durable
	// Published: the event is in the ring and nowhere else. For what may act on an event that a
	// crash takes back, such as metrics.
	Published
)

func (g Gate) String() string {
	switch g {
	case Written:
		return "written"
	case Durable:
		return "durable"
	case Published:
		return "published"
	}
	return fmt.Sprintf("Gate(%d)", int(g))
}

// LaneOptions places a lane; the zero value is the default.
type LaneOptions struct {
	Behind   Gate // default Written
	MaxBatch int  // events handled at most before the lane's sequence moves: [1, Slots]; default 256
}

// Projector is what a topology can run as a read model; handlers.Projection is one.
type Projector interface {
	Name() string
	Lane() *handlers.Lane
	Running(wait func(ctx context.Context, seq int64) error)
}

// Topology says which handlers an application has and where they stand. It holds their state, so
// one topology serves one engine or one replay: make it in a function, and call that again for
// another.
//
// It is not safe for concurrent use.
type Topology struct {
	registry  *event.Registry
	logic     *handlers.Lane
	lanes     []placed
	fromStart map[string]bool
	renames   []handlerRenamed
	retires   []string
	byMany    map[string]bool  // command types
	timers    *handlers.Timers // nil = none
	timersOn  *handlers.Lane   // the lane that keeps them
	faults    []error
	used      atomic.Bool
}

type placed struct {
	lane      *handlers.Lane
	emits     bool
	options   LaneOptions
	projector Projector
	effect    *handlers.Effect
}

// NewTopology returns a topology for the types of registry, with an empty logic lane.
func NewTopology(registry *event.Registry) *Topology {
	t := &Topology{registry: registry, logic: handlers.NewLane("logic"), fromStart: map[string]bool{}, byMany: map[string]bool{}}
	t.add(placed{lane: t.logic, emits: true})
	return t
}

// Registry returns the types that the topology was made for.
func (t *Topology) Registry() *event.Registry { return t.registry }

// Logic is the lane for handlers that react: they run one after the other on one goroutine, behind
// the journal, and may Emit. Register with handlers.On.
func (t *Topology) Logic() *handlers.Lane { return t.logic }

// PlaceLogic places the logic lane. Without it the lane has the default options.
func (t *Topology) PlaceLogic(o LaneOptions) {
	t.checkPlace(t.logic.Name(), o)
	t.lanes[0].options = o
}

// Lane adds another lane for handlers that react, beside the logic lane. What handlers on
// different lanes emit interleaves differently at each run; the log keeps how it was.
func (t *Topology) Lane(name string, o LaneOptions) *handlers.Lane {
	l := handlers.NewLane(name)
	t.add(placed{lane: l, emits: true, options: o})
	return l
}

// Project adds a read model on a lane of its own.
func (t *Topology) Project(p Projector, o LaneOptions) {
	if v := reflect.ValueOf(p); !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
		t.faults = append(t.faults, fmt.Errorf("%w: Project: the projection is nil", ErrTopology))
		return
	}
	t.add(placed{lane: p.Lane(), options: o, projector: p})
}

// ReactFromStart makes the handler with this id, when the log does not know it yet, react to the whole
// past. By default a handler that is new reads the past and answers only what comes after it. Once the
// log knows it, this has no effect.
func (t *Topology) ReactFromStart(id string) { t.fromStart[id] = true }

// Timers makes the logic lane keep timers, so that events can be scheduled. It is only needed where no
// lane has a handler that reacts: else the first of them keeps timers anyway.
func (t *Topology) Timers() { t.keepTimers(t.logic) }

func (t *Topology) keepTimers(l *handlers.Lane) {
	if t.timers == nil {
		t.timers, t.timersOn = handlers.NewTimers(), l
		t.timers.Register(l)
	}
}

// placeTimers puts the timers on the first lane that reacts behind the journal, where ticks have their time.
func (t *Topology) placeTimers() {
	for _, p := range t.reacting() {
		if !p.lane.Empty() && p.options.Behind != Published && p.effect == nil && !p.lane.Batches() {
			t.keepTimers(p.lane)
		}
	}
	if len(t.effects()) > 0 {
		t.keepTimers(t.logic) // for their retries
	}
}

func (t *Topology) add(p placed) {
	name := p.lane.Name()
	if name == "" || name == journalStage || name == syncStage {
		t.faults = append(t.faults, fmt.Errorf("%w: lane name %q is taken by the engine", ErrTopology, name))
	}
	for _, q := range t.lanes {
		if q.lane.Name() == name {
			t.faults = append(t.faults, fmt.Errorf("%w: two lanes are named %q", ErrTopology, name))
		}
	}
	t.checkPlace(name, p.options)
	t.lanes = append(t.lanes, p)
}

func (t *Topology) checkPlace(name string, o LaneOptions) {
	if o.Behind < Written || o.Behind > Published {
		t.faults = append(t.faults, fmt.Errorf("%w: lane %q stands behind %v", ErrTopology, name, o.Behind))
	}
	if o.MaxBatch < 0 {
		t.faults = append(t.faults, fmt.Errorf("%w: lane %q: MaxBatch %d is negative", ErrTopology, name, o.MaxBatch))
	}
}

// use takes the topology for one engine or replay, and reports its faults. slots is the size of the
// ring, 0 if there is none.
func (t *Topology) use(slots int) error {
	if t == nil || t.registry == nil {
		return fmt.Errorf("%w: no registry", ErrTopology)
	}
	if t.used.Swap(true) {
		return fmt.Errorf("%w: it was given to an engine or a replay before, perhaps one that did not open; make a new one", ErrTopology)
	}
	t.placeTimers()
	faults := t.faults
	seen := map[string]string{}
	ids := map[string]bool{}
	for _, p := range t.reacting() {
		for _, id := range p.lane.HandlerIDs() {
			if other, dup := seen[id]; dup {
				faults = append(faults, fmt.Errorf("%w: handler %q is on lanes %q and %q", ErrTopology, id, other, p.lane.Name()))
			}
			seen[id], ids[id] = p.lane.Name(), true
		}
	}
	for _, p := range t.lanes {
		if slots > 0 && p.options.MaxBatch > slots {
			faults = append(faults, fmt.Errorf("%w: lane %q: MaxBatch %d is more than the ring's %d slots", ErrTopology, p.lane.Name(), p.options.MaxBatch, slots))
		}
	}
	if slots > 0 {
		faults = append(faults, t.checkCommands()...)
	}
	faults = append(faults, t.checkNames(ids)...)
	for id := range t.fromStart {
		if !ids[id] {
			faults = append(faults, fmt.Errorf("%w: ReactFromStart(%q): no such handler", ErrTopology, id))
		}
	}
	t.registry.Freeze()
	return errors.Join(faults...)
}

// AnsweredByMany allows events of a command type, by name, to be handled by several handlers that may emit.
func (t *Topology) AnsweredByMany(command string) { t.byMany[command] = true }

// checkCommands finds command types that more than one handler answers: who has sent the command could not
// tell whose answer it gets. Folds and projections do not answer. A command that nobody answers here may be
// for another program that reads the log: that is no fault, but Open logs it, and a Call of it is ErrNoHandler.
func (t *Topology) checkCommands() []error {
	var faults []error
	for _, c := range t.registry.Types() {
		if c.Kind() != event.Command || t.byMany[c.Name()] {
			continue
		}
		var ids []string
		for _, p := range t.reacting() {
			ids = append(ids, p.lane.Answering(c.GoType())...)
		}
		slices.Sort(ids)
		ids = slices.Compact(ids) // one that is there twice is another fault
		if len(ids) > 1 {
			faults = append(faults, fmt.Errorf("%w: command %q is answered by %d handlers, %q and %q among them; only AnsweredByMany allows that",
				ErrTopology, c.Name(), len(ids), ids[0], ids[1]))
		}
	}
	return faults
}

// usedLanes returns the lanes that something is registered on.
func (t *Topology) usedLanes() []placed {
	var lanes []placed
	for _, p := range t.lanes {
		if p.projector != nil || !p.lane.Empty() {
			lanes = append(lanes, p)
		}
	}
	return lanes
}

// reacting returns the lanes whose handlers may emit.
func (t *Topology) reacting() []placed {
	var lanes []placed
	for _, p := range t.lanes {
		if p.emits {
			lanes = append(lanes, p)
		}
	}
	return lanes
}

// bind makes every lane ready for one log. Those that are bound already get to know the types that the log has.
func (t *Topology) bind(b handlers.Binding, bound []placed) error {
	var faults []error
	for _, p := range t.lanes {
		var err error
		if slices.ContainsFunc(bound, func(q placed) bool { return q.lane == p.lane }) {
			err = p.lane.Rebind(b.Types)
		} else {
			err = p.bind(b)
		}
		if err != nil {
			faults = append(faults, err)
		}
	}
	return errors.Join(faults...)
}

func (p placed) bind(b handlers.Binding) error {
	b.Emits = p.emits
	b.Published = p.options.Behind == Published
	if !p.emits { // what the log says of handlers that may emit is not said of a read model that has the name of one
		b.Outcomes, b.Formerly = nil, nil
	}
	return p.lane.Bind(b)
}
