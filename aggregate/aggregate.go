package aggregate

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/headrace/headrace/handlers"
)

var (
	// ErrVersionGap reports an event whose number in its stream does not follow that of the event before. Either
	// somebody else wrote it, or the log has lost some.
	ErrVersionGap = errors.New("aggregate: event does not follow the last one of its stream")
	// ErrDefinition reports a definition that cannot be used as it is.
	ErrDefinition = errors.New("aggregate: unusable definition")
	// ErrNotEvolved reports an Emit of a type that this aggregate does not evolve: it has no place in the stream.
	ErrNotEvolved = errors.New("aggregate: event does not change the entity")
)

// Codes of the rejections that this package makes by itself.
const (
	ConflictCode = "version-conflict" // the entity is not in the version that the command expects
	NoKeyCode    = "no-key"           // the command names no entity
)

// Definition says what a kind of entities is: how events change their state S, and how commands are
// decided. The zero S is the state of one without events.
//
// Make one with Define and fill it before Attach and Projection. It is not safe for concurrent use.
type Definition[S any] struct {
	name     string
	owns     map[reflect.Type]bool // types of the events that it evolves
	evolves  []func(l *handlers.Lane, t *handlers.State[Table[S]])
	projects []func(p *handlers.Projection[Table[S]])
	decides  []func(l *handlers.Lane, t *handlers.State[Table[S]])
	faults   []error
	attached bool
}

// Define returns an empty definition. The name, 1 to 255 bytes, is the id of the handler that decides: it
// stands in the log, so keep it.
func Define[S any](name string) *Definition[S] {
	return &Definition[S]{name: name, owns: map[reflect.Type]bool{}}
}

// Evolve registers how an event of type E changes the state. fn cannot fail: what was decided has
// happened. It must depend on nothing but its arguments.
func Evolve[E, S any](d *Definition[S], fn func(s *S, e E)) {
	if fn == nil {
		d.faults = append(d.faults, fmt.Errorf("%w: %q: a fold is nil", ErrDefinition, d.name))
		return
	}
	d.owns[reflect.TypeFor[E]()] = true
	d.evolves = append(d.evolves, func(l *handlers.Lane, t *handlers.State[Table[S]]) {
		handlers.Evolve(l, func(c *handlers.Context, e E) error { return fold(t.Of(c), c, fn, e) })
	})
	d.projects = append(d.projects, func(p *handlers.Projection[Table[S]]) {
		handlers.Apply(p, func(t *Table[S], c *handlers.Context, e E) error { return fold(t, c, fn, e) })
	})
}

func fold[E, S any](t *Table[S], c *handlers.Context, fn func(*S, E), e E) error {
	en := t.entity(c.Key())
	v := c.Event().StreamVersion()
	if v <= en.version { // that none is missing in the stream the engine has seen to
		return fmt.Errorf("%w: %s of %q has number %d after %d", ErrVersionGap, c.Type(), c.Key(), v, en.version)
	}
	fn(&en.state, e)
	en.version = v
	en.sequence = c.Sequence()
	return nil
}

// Handle registers the decision on a command of type C. fn looks at the state and emits events, or
// rejects; an error that it returns is a failure of the program and stops the lane, or does what the
// failure policy says.
func Handle[C, S any](d *Definition[S], fn func(c *Context[S], cmd C) error) {
	if fn == nil {
		d.faults = append(d.faults, fmt.Errorf("%w: %q: a handler is nil", ErrDefinition, d.name))
		return
	}
	d.decides = append(d.decides, func(l *handlers.Lane, t *handlers.State[Table[S]]) {
		// One context for all calls: a lane has one goroutine.
		ac := &Context[S]{owns: d.owns}
		handlers.Decide(l, d.name, func(c *handlers.Context, cmd C) error {
			ac.table = t.Of(c)
			if rejected, err := ac.begin(c); rejected || err != nil {
				return err
			}
			return fn(ac, cmd)
		})
	})
}

// Attach puts the aggregate on a lane, once. Errors: ErrDefinition, all faults joined.
func (d *Definition[S]) Attach(l *handlers.Lane) error {
	faults := d.faults
	if d.attached {
		faults = append(faults, fmt.Errorf("%w: %q is attached already", ErrDefinition, d.name))
	}
	if len(d.evolves) == 0 {
		faults = append(faults, fmt.Errorf("%w: %q evolves no event", ErrDefinition, d.name))
	}
	if err := errors.Join(faults...); err != nil {
		return err
	}
	d.attached = true
	l.Declared(func() {
		t := handlers.Keep(l, stateName(d.name), newTable[S])
		for _, evolve := range d.evolves {
			evolve(l, t)
		}
		for _, decide := range d.decides {
			decide(l, t)
		}
	})
	return nil
}

// stateName is the name of the table among the lane's states.
func stateName(name string) string { return "aggregate/" + name }

// Projection returns a read model of the same fold: every entity as the log has it at the projection's
// sequence, to be read from outside, waited for, and replayed to any point.
func (d *Definition[S]) Projection(name string) *handlers.Projection[Table[S]] {
	p := handlers.NewProjection(name, newTable[S]())
	for _, project := range d.projects {
		project(p)
	}
	return p
}
