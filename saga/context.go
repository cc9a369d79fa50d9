package saga

import (
	"errors"
	"fmt"

	"github.com/headrace/headrace/handlers"
)

// ErrNoKey reports a SendTo without a key.
var ErrNoKey = errors.New("saga: SendTo needs a key")

// Context is what the functions of a definition see: the context of the event that leads to the step, and
// the instance. It is valid inside the call.
type Context[D any] struct {
	*handlers.Context
	m *move[D]
}

// Key is the instance's key.
func (c *Context[D]) Key() string { return c.m.key }

// Data is what the instance remembers. Changes of it are part of the step.
func (c *Context[D]) Data() *D { return &c.m.next.Data }

// Step is the name of the step that is being taken or undone.
func (c *Context[D]) Step() string { return c.m.next.Step }

// Attempt is how often the step was taken or undone before.
func (c *Context[D]) Attempt() int { return c.m.next.Attempt }

// Failed is the step that made the instance turn round, Reason why; both "" while it goes forward.
func (c *Context[D]) Failed() string { return c.m.next.Failed }

// Reason is why the instance turned round.
func (c *Context[D]) Reason() string { return c.m.next.Reason }

// CommandKey names what this step does for this instance, and is the same for every attempt, also after a
// crash: an idempotency key for an outside party. Undoing a step has another key than taking it.
func (c *Context[D]) CommandKey() string {
	what := "/do/"
	if c.m.next.Phase == Undoing {
		what = "/undo/"
	}
	// The instance's key comes last: it may contain slashes, the names may not.
	return c.m.d.name + "/" + c.m.next.Step + what + c.m.key
}

// Send emits an event or a command under the instance's key, in one atomic batch with the change of the
// instance. An event that cannot be emitted fails the handler when the function has returned.
func Send[E, D any](c *Context[D], e E) error { return SendTo(c, c.m.key, e) }

// SendTo is Send under another key, for a command to an aggregate with keys of its own: its answers are
// found by Key. An empty key names nothing, and is ErrNoKey, which fails the handler.
func SendTo[E, D any](c *Context[D], key string, e E) error {
	hc := c.m.c
	if key == "" { // an Emit without one would take the key of the event that is handled
		err := fmt.Errorf("%w: %T of saga %q, instance %q", ErrNoKey, e, c.m.d.name, c.m.key)
		c.m.sends = append(c.m.sends, func() error { return err })
		return err
	}
	c.m.sends = append(c.m.sends, func() error { return handlers.EmitWith(hc, e, handlers.EmitOptions{Key: key}) })
	return nil
}
