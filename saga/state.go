package saga

import (
	"fmt"

	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
)

// Phase is where an instance stands.
type Phase uint8

const (
	// Doing: the current step was taken, and its answer is awaited.
	Doing Phase = iota + 1
	// Undoing: the current step is being undone.
	Undoing
	// Complete: every step is done. It is an end.
	Complete
	// Compensate: every step that was taken is undone. It is an end.
	Compensate
	// Stuck: the current step could not be undone. It waits for Resume.
	Stuck
)

var phaseNames = [...]string{"none", "doing", "undoing", "completed", "compensated", "stuck"}

func (p Phase) String() string {
	if int(p) < len(phaseNames) {
		return phaseNames[p]
	}
	return fmt.Sprintf("Phase(%d)", uint8(p))
}

// Over tells whether nothing more will happen.
func (p Phase) Over() bool { return p == Complete || p == Compensate }

// Moved says that an instance has changed. Its key is the instance's. D is the definition's data.
type Moved[D any] struct {
	Phase   Phase
	Step    string // the current one; where the saga is over, the last
	Attempt int    // of the current step or undoing, from 0
	Failed  string // the step that made it turn round, "" for none
	Reason  string // why
	Data    D
}

// Deadline is the event that a step's time ends with. Only this package emits it.
type Deadline struct {
	Saga    string
	Phase   Phase
	Step    string
	Attempt int
	Version int64 // of the instance when the deadline was set: one of another version is passed over
}

// Resume is the command that lets a stuck instance try again to undo its current step. Its key is the
// instance's.
type Resume struct{ Saga string }

// Names of this package's event types. That of Moved is the definition's name behind MovedPrefix.
const (
	MovedPrefix  = "saga."
	DeadlineName = "headrace-saga.deadline"
	ResumeName   = "headrace-saga.resume"
)

// Instance is what is known of one instance.
type Instance[D any] struct {
	Moved[D]
	Version  int64 // changes so far
	Sequence int64 // of the last change; in the lane, of its cause
}

// Table is the instances of one definition, by key.
type Table[D any] struct{ instances map[string]*Instance[D] }

func newTable[D any]() *Table[D] { return &Table[D]{map[string]*Instance[D]{}} }

// Get returns the instance with this key.
func (t *Table[D]) Get(key string) (Instance[D], bool) {
	i, ok := t.instances[key]
	if !ok {
		return Instance[D]{}, false
	}
	return *i, true
}

// Len is how many instances there are, those that are over included.
func (t *Table[D]) Len() int { return len(t.instances) }

// Each calls fn for every instance, in no order.
func (t *Table[D]) Each(fn func(key string, i Instance[D])) {
	for key, i := range t.instances {
		fn(key, *i)
	}
}

// ErrVersionGap reports a change that does not follow the one before it.
var ErrVersionGap = fmt.Errorf("saga: change does not follow the last one of its instance")

func (t *Table[D]) fold(c *handlers.Context, m Moved[D]) error {
	i, ok := t.instances[c.Key()]
	if !ok {
		i = new(Instance[D])
		t.instances[c.Key()] = i
	}
	n := c.Event().StreamVersion()
	if n <= i.Version { // it counts the changes, and what others write to the stream
		return fmt.Errorf("%w: %q has change %d after %d", ErrVersionGap, c.Key(), n, i.Version)
	}
	i.Moved, i.Version, i.Sequence = m, i.Version+1, c.Sequence()
	return nil
}

// register makes the types known that a definition needs, the common ones unless another one has.
func register[D any](r *event.Registry, name string) error {
	if _, err := event.Register[Moved[D]](r, MovedPrefix+name, 1); err != nil {
		return err
	}
	if _, ok := r.ByName(DeadlineName); ok {
		return nil
	}
	_, err := event.Register[Deadline](r, DeadlineName, 1)
	if err == nil {
		_, err = event.Register[Resume](r, ResumeName, 1)
	}
	return err
}
