package aggregate

import (
	"fmt"
	"reflect"

	"github.com/headrace/headrace/handlers"
)

// Context is what a decision sees: the command's context, and the entity that it is about. It is valid
// inside the call.
type Context[S any] struct {
	*handlers.Context
	table   *Table[S]
	owns    map[reflect.Type]bool
	state   *S
	key     string
	version int64 // of the entity, before this decision
}

// begin finds the entity. It rejects a command without a key, and one that expects another version.
func (c *Context[S]) begin(hc *handlers.Context) (rejected bool, err error) {
	c.Context, c.key, c.state, c.version = hc, hc.Key(), nil, 0
	if c.key == "" {
		return true, c.Reject(NoKeyCode, "a command of type %s needs a key: it names the entity", hc.Type())
	}
	if e, ok := c.table.entities[c.key]; ok {
		c.state, c.version = &e.state, e.version
	} else {
		c.state = new(S)
	}
	if next := hc.Event().StreamVersion(); next != 0 && next != c.version+1 {
		return true, c.Reject(ConflictCode, "%q is in version %d, the command expects %d", c.key, c.version, next-1)
	}
	return false, nil
}

// State is the entity's state before this decision, the zero S for one without events. It must not be
// changed.
func (c *Context[S]) State() *S { return c.state }

// Version is the number of the entity's last event before this decision, 0 for one without. What others have
// appended to the stream since is not the entity's, and does not count.
func (c *Context[S]) Version() int64 { return c.version }

// Exists tells whether the entity has events.
func (c *Context[S]) Exists() bool { return c.version > 0 }

// Emit adds an event to the entity's stream. All that one decision emits gets into the log together, or
// not at all. Errors are those of handlers.Emit, and ErrNotEvolved for a type that this aggregate does
// not evolve: if nobody does, it belongs into handlers.Emit.
func Emit[E, S any](c *Context[S], e E) error {
	if t := reflect.TypeFor[E](); !c.owns[t] {
		return fmt.Errorf("%w: %q does not evolve %v", ErrNotEvolved, c.key, t)
	}
	return handlers.EmitWith(c.Context, e, handlers.EmitOptions{Key: c.key, StreamVersion: handlers.NextVersion})
}

// Reject answers the command with a handlers.Rejected, which headrace.Call returns to its caller as an
// error. What the decision has emitted before stays. It returns nil, or the error of emitting, so that a
// handler can return it.
func (c *Context[S]) Reject(code, format string, args ...any) error {
	return handlers.Reject(c.Context, code, fmt.Sprintf(format, args...))
}
