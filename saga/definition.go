package saga

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
)

// ErrDefinition reports a definition that cannot be used as it is.
var ErrDefinition = errors.New("saga: unusable definition")

// Definition says which steps a saga has and what each does. D is what an instance remembers: it
// stands in every Moved event, so keep it small; msgpack must be able to carry it.
//
// Make one with Define and fill it before Attach. It is not safe for concurrent use.
type Definition[D any] struct {
	name        string
	codec       *event.Type[Moved[D]]
	steps       []*Step[D]
	keys        map[reflect.Type]any // func(E) string, by E
	routes      map[reflect.Type]*route[D]
	order       []*route[D] // by registration
	completed   func(*Context[D]) error
	compensated func(*Context[D]) error
	faults      []error
	starts      bool // some event begins an instance
	attached    bool
}

// Step is one step of a definition.
type Step[D any] struct {
	saga    *Definition[D]
	index   int
	name    string
	options StepOptions
	do      func(*Context[D]) error
	undo    func(*Context[D]) error
	awaited bool // an event says that it is done or has failed
	undone  bool // an event says that it is undone
}

// StepOptions configures a step; the zero value is the default.
type StepOptions struct {
	// Timeout is how long the answer to Do may take, at most 100 years. Default 0: for ever.
	Timeout time.Duration
	// Retries is how often the step is taken again when it has run out of time, before it is undone.
	Retries int
	// UndoTimeout is how long the answer to Undo may take. Default Timeout.
	UndoTimeout time.Duration
	// UndoRetries is how often an undoing is taken again when it has run out of time, before the
	// instance is stuck. Default 0: not once.
	UndoRetries int
}

// maxTimeout keeps deadlines inside the times that an event may have.
const maxTimeout = 100 * 365 * 24 * time.Hour

// Define returns a definition without steps, and registers its event types with r: Moved[D] under
// "saga." and the name, so each definition needs a D of its own. The name, 1 to 200 bytes without a slash, is also the id of
// the handler that decides: it stands in the log, so keep it.
//
// What is wrong is reported by Attach.
func Define[D any](name string, r *event.Registry) *Definition[D] {
	d := &Definition[D]{name: name, keys: map[reflect.Type]any{}, routes: map[reflect.Type]*route[D]{}}
	if name == "" || len(name) > 200 || strings.Contains(name, "/") {
		d.fault("the name %q must have 1 to 200 bytes, and no slash", name)
		return d
	}
	if err := register[D](r, name); err != nil {
		d.faults = append(d.faults, err)
		return d
	}
	d.codec, _ = event.CodecOf[Moved[D]](r)
	return d
}

func (d *Definition[D]) fault(format string, args ...any) {
	d.faults = append(d.faults, fmt.Errorf("%w: %q: %s", ErrDefinition, d.name, fmt.Sprintf(format, args...)))
}

// Step adds a step behind those that there are. Its name, 1 to 255 bytes without a slash and unique in the definition,
// stands in the log. A version of the program that removes or renames a step must let the instances
// in it end first: one that stands in a step that nobody knows fails.
func (d *Definition[D]) Step(name string, o StepOptions) *Step[D] {
	if name == "" || len(name) > 255 || strings.Contains(name, "/") {
		d.fault("step name %q must have 1 to 255 bytes, and no slash", name)
	}
	if d.step(name) != nil {
		d.fault("two steps are named %q", name)
	}
	if o.Timeout < 0 || o.UndoTimeout < 0 || o.Retries < 0 || o.UndoRetries < 0 {
		d.fault("step %q: an option is negative: %+v", name, o)
	}
	if o.Timeout > maxTimeout || o.UndoTimeout > maxTimeout {
		d.fault("step %q: a timeout is longer than 100 years: %+v; 0 waits for ever", name, o)
	}
	if o.UndoTimeout == 0 {
		o.UndoTimeout = o.Timeout
	}
	s := &Step[D]{saga: d, index: len(d.steps), name: name, options: o}
	d.steps = append(d.steps, s)
	return s
}

func (d *Definition[D]) step(name string) *Step[D] {
	for _, s := range d.steps {
		if s.name == name {
			return s
		}
	}
	return nil
}

// Key says which instance an event of type E is for. By default it is the event's key.
func Key[E, D any](d *Definition[D], fn func(e E) string) {
	t := reflect.TypeFor[E]()
	if _, ok := d.keys[t]; ok {
		d.fault("two keys for %v", t)
	}
	if fn == nil {
		d.fault("the key of %v is nil", t)
	}
	d.keys[t] = fn
}

// Start says that an event of type E begins an instance, unless there is one with its key already. An event
// without a key, of its own or by Key, is no instance's, here as in Done and the others: it begins none.
func Start[E, D any](d *Definition[D], fn func(data *D, e E)) {
	d.starts = true
	on(d, 2, func(m *move[D], e E) (bool, error) {
		if m.exists {
			return false, nil
		}
		if fn != nil {
			fn(&m.next.Data, e)
		}
		return true, m.forward(0)
	})
}

// Do says how a step is taken: fn sends commands, and may note things in Data. It is called once for
// each attempt.
func Do[D any](s *Step[D], fn func(c *Context[D]) error) { s.do = fn }

// Done says that an event of type E, for an instance in this step, means that it is done. fn notes
// what the event says; nil notes nothing.
func Done[E, D any](s *Step[D], fn func(data *D, e E)) {
	s.awaited = true
	on(s.saga, 1, func(m *move[D], e E) (bool, error) {
		if !m.in(Doing, s) {
			return false, nil
		}
		if fn != nil {
			fn(&m.next.Data, e)
		}
		return true, m.forward(s.index + 1)
	})
}

// Failed says that an event of type E, for an instance in this step, means that it has failed and has left
// nothing behind. fn returns the reason; "" means that this event tells no failure, so that one type can
// carry both answers: Failed is asked before Done.
func Failed[E, D any](s *Step[D], fn func(data *D, e E) (reason string)) {
	s.awaited = true
	if fn == nil {
		s.saga.fault("step %q: Failed needs a function, which says why", s.name)
		return
	}
	on(s.saga, 0, func(m *move[D], e E) (bool, error) {
		if !m.in(Doing, s) {
			return false, nil
		}
		reason := fn(&m.next.Data, e)
		if reason == "" {
			return false, m.copyNow() // whatever fn has changed, in maps and slices too
		}
		m.next.Failed, m.next.Reason = s.name, reason
		return true, m.back(s.index - 1)
	})
}

// Undo says how a step is undone: fn sends commands.
func Undo[D any](s *Step[D], fn func(c *Context[D]) error) { s.undo = fn }

// Undone says that an event of type E, for an instance in which this step is being undone, means that it
// is undone.
func Undone[E, D any](s *Step[D], fn func(data *D, e E)) {
	s.undone = true
	on(s.saga, 1, func(m *move[D], e E) (bool, error) {
		if !m.in(Undoing, s) {
			return false, nil
		}
		if fn != nil {
			fn(&m.next.Data, e)
		}
		return true, m.back(s.index - 1)
	})
}

// Completed says what is sent when every step is done.
func Completed[D any](d *Definition[D], fn func(c *Context[D]) error) { d.completed = fn }

// Compensated says what is sent when every step is undone.
func Compensated[D any](d *Definition[D], fn func(c *Context[D]) error) { d.compensated = fn }

// route is what a definition does with one type of events.
type route[D any] struct {
	attach func(l *handlers.Lane, t *handlers.State[Table[D]])
	tries  any // *tries[E, D]
}

// tries are the reactions to events of type E; those of a lower rank are asked first.
type tries[E, D any] [3][]func(m *move[D], e E) (taken bool, err error)

// on adds a reaction to events of type E.
func on[E, D any](d *Definition[D], rank int, fn func(m *move[D], e E) (bool, error)) {
	t := reflect.TypeFor[E]()
	r, ok := d.routes[t]
	if !ok {
		all := new(tries[E, D])
		r = &route[D]{tries: all, attach: func(l *handlers.Lane, table *handlers.State[Table[D]]) {
			key, _ := d.keys[t].(func(E) string)
			handlers.Decide(l, d.name, func(c *handlers.Context, e E) error {
				of := c.Key()
				if key != nil {
					of = key(e)
				}
				if of == "" {
					return nil // nobody's
				}
				m, err := d.begin(c, table.Of(c), of)
				if err != nil {
					return err
				}
				return m.try(func() (bool, error) { return all.first(m, e) })
			})
		}}
		d.routes[t] = r
		d.order = append(d.order, r)
	}
	all := r.tries.(*tries[E, D])
	all[rank] = append(all[rank], fn)
}

// first asks until one has taken the event.
func (t *tries[E, D]) first(m *move[D], e E) (bool, error) {
	for _, rank := range t {
		for _, try := range rank {
			if taken, err := try(m, e); taken || err != nil {
				return taken, err
			}
		}
	}
	return false, nil
}

// Attach puts the saga on a lane, once. Errors: ErrDefinition and those of event.Register, all faults
// joined.
func (d *Definition[D]) Attach(l *handlers.Lane) error {
	if d.attached {
		d.fault("it is attached already")
	}
	if len(d.steps) == 0 {
		d.fault("it has no step")
	}
	if !d.starts {
		d.fault("no event begins an instance: it needs Start")
	}
	for t := range d.keys {
		if d.routes[t] == nil {
			d.fault("a key of %v, which means nothing to it", t)
		}
	}
	for _, s := range d.steps {
		if s.do == nil {
			d.fault("step %q does nothing: it needs Do", s.name)
		}
		if s.undone && s.undo == nil {
			d.fault("step %q has Undone and no Undo", s.name)
		}
		if s.options.Timeout > 0 && !s.awaited {
			d.fault("step %q has a timeout and awaits nothing", s.name)
		}
	}
	if err := errors.Join(d.faults...); err != nil {
		return err
	}
	d.attached = true
	on(d, 0, d.outOfTime)
	on(d, 0, d.resumed)
	l.Declared(func() {
		table := handlers.Keep(l, "saga/"+d.name, newTable[D])
		handlers.Evolve(l, func(c *handlers.Context, m Moved[D]) error { return table.Of(c).fold(c, m) })
		for _, r := range d.order {
			r.attach(l, table)
		}
	})
	return nil
}

// Projection returns a read model of the instances, to be read from outside.
func (d *Definition[D]) Projection(name string) *handlers.Projection[Table[D]] {
	p := handlers.NewProjection(name, newTable[D]())
	handlers.Apply(p, func(t *Table[D], c *handlers.Context, m Moved[D]) error { return t.fold(c, m) })
	return p
}
