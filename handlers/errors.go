package handlers

import (
	"errors"
	"fmt"
)

var (
	// ErrSequence reports that ring and journal disagree about the number of an event: somebody
	// else writes to the journal. Nothing after it is journaled.
	ErrSequence = errors.New("handlers: ring and journal disagree about the sequence")

	// ErrFeedbackFull reports that handlers emit faster than their events are taken up, beyond the
	// limit in bytes, or that a chain of events causing events is deeper than the limit.
	ErrFeedbackFull = errors.New("handlers: feedback lane is full")

	// ErrReadOnly reports an Emit from a lane that may not emit, such as a projection's.
	ErrReadOnly = errors.New("handlers: this lane may not emit")

	// ErrOwned reports an event of a type that only the Decide handlers of one lane may emit, because
	// that lane folds it ahead of the log (see Evolve).
	ErrOwned = errors.New("handlers: events of this type belong to one lane; send it a command")

	// ErrBatchTooLarge reports events that do not fit one atomic batch: outputs of one handler for one event, or
	// those of a publisher's batch.
	ErrBatchTooLarge = errors.New("handlers: events do not fit one atomic batch")

	// ErrNotInHandler reports an Emit outside the handler call that its Context belongs to.
	ErrNotInHandler = errors.New("handlers: context used outside its handler")

	// ErrIDConflict reports an event id that was already used for an event of another type.
	ErrIDConflict = errors.New("handlers: event id was used for another type")

	// ErrTooLarge reports an event larger than the limit; the error says both sizes.
	ErrTooLarge = errors.New("handlers: event too large")

	// ErrDiverged reports a checkpoint that names a record which the journal does not hold: the
	// log was cut below it, or it is another log.
	ErrDiverged = errors.New("handlers: checkpoint does not match the journal")

	// ErrCheckpoint reports a checkpoint file that cannot be understood.
	ErrCheckpoint = errors.New("handlers: damaged checkpoint")
)

// HandlerError reports a handler that returned an error or panicked. The event stays unhandled: the
// lane stops before it.
type HandlerError struct {
	Lane     string // the lane it ran on
	Handler  string // its stable id; empty for a fold, and where the event could not be read at all
	Sequence int64  // of the event
	Type     string // name of the event's type
	Err      error  // what it returned, or a *PanicError
}

func (e *HandlerError) Error() string {
	if e.Handler == "" {
		return fmt.Sprintf("handlers: lane %q failed on event %d (%s): %v", e.Lane, e.Sequence, e.Type, e.Err)
	}
	return fmt.Sprintf("handlers: lane %q: handler %q failed on event %d (%s): %v", e.Lane, e.Handler, e.Sequence, e.Type, e.Err)
}

// Unwrap returns the cause.
func (e *HandlerError) Unwrap() error { return e.Err }

// PanicError is the cause of a HandlerError when the handler panicked.
type PanicError struct {
	Value any    // what it panicked with
	Stack []byte // where, as debug.Stack formats it
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Unwrap returns the panic's value where that is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}
