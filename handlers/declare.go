package handlers

import (
	"errors"
	"fmt"
)

// Stateless says that the lane's handlers remember nothing from one event to the next but what Keep declares: a
// lane whose handlers only answer events can then be part of a snapshot.
func (l *Lane) Stateless() { l.declared = true }

// Declared calls register. What that registers on the lane keeps its state with Keep, all of it; nothing is said about
// the lane's other handlers. It is for packages that bring handlers of their own, such as aggregate.
func (l *Lane) Declared(register func()) {
	before := l.declaring
	l.declaring = true
	defer func() { l.declaring = before }()
	register()
}

// Undeclared returns an error that wraps ErrNotKept if the lane cannot be part of a snapshot, and nil if it can: all
// its state is declared, and every state can be encoded. A handler that only decides has none.
func (l *Lane) Undeclared() error {
	var faults []error
	if err := l.undeclared(); err != nil {
		faults = append(faults, err)
	}
	for _, s := range l.states {
		if err := s.try(); err != nil {
			faults = append(faults, err)
		}
	}
	return errors.Join(faults...)
}

// undeclared names a handler whose state nobody has declared.
func (l *Lane) undeclared() error {
	if l.declared {
		return nil
	}
	for _, reg := range l.registers {
		r := reg.handler
		if reg.declared || r.role == roleDecide || r.id == TimersHandler {
			continue
		}
		what := fmt.Sprintf("handler %q", r.id)
		if r.id == "" {
			what = "a fold of " + reg.of()
		}
		return fmt.Errorf("%w: lane %q: nobody has declared what %s remembers: use Keep, or Lane.Stateless if it is nothing", ErrNotKept, l.name, what)
	}
	return nil
}
