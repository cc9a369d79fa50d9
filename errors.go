package headrace

import (
	"errors"
	"fmt"

	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/journal"
	"github.com/headrace/headrace/ring"
)

var (
	// ErrClosed reports a call on an engine that was closed, or is closing.
	ErrClosed = errors.New("headrace: engine is closed")

	// ErrHalted reports a call on an engine that stopped by itself. The error wraps the cause: a
	// *handlers.HandlerError, journal.ErrNoSpace, handlers.ErrFeedbackFull, …
	ErrHalted = errors.New("headrace: engine has halted")

	// ErrWouldDeadlock reports a call from inside a handler, the call of an effect or a follower's function that would
	// wait for what it comes from. A handler publishes with handlers.Emit.
	ErrWouldDeadlock = errors.New("headrace: call from inside a handler, an effect or a follower would wait for itself")

	// ErrWouldBlock reports a TryPublish where Publish would wait.
	ErrWouldBlock = errors.New("headrace: publishing now would wait")

	// ErrEmptyBatch reports a batch without messages.
	ErrEmptyBatch = errors.New("headrace: batch is empty")

	// ErrPartialRepeat reports a batch of which only a part was published before. It is not the batch of
	// the first time, and nothing of it was published now.
	ErrPartialRepeat = errors.New("headrace: some events of the batch were published before")

	// ErrCalling reports a Call with an id for which another Call waits.
	ErrCalling = errors.New("headrace: a call with this id is waiting")

	// ErrNoHandler reports a Call of a command that no handler of the engine could answer. It was not published.
	ErrNoHandler = errors.New("headrace: nobody here handles this command")

	// ErrUnknownLane reports the name of a lane or projection that the topology does not have.
	ErrUnknownLane = errors.New("headrace: no lane of this name")

	// ErrFollowing reports a second follower with the name of one that runs.
	ErrFollowing = errors.New("headrace: a follower of this name is running")

	// ErrTopology reports a topology that was used before, or that contradicts itself.
	ErrTopology = errors.New("headrace: unusable topology")

	// ErrHandlerID reports a handler with an id that the log knows as that of one which was renamed or
	// retired, and a rename to an id that another handler has.
	ErrHandlerID = errors.New("headrace: handler id is taken in this log")

	// ErrProducerName reports a producer name that is empty, longer than 255 bytes, or no UTF-8.
	ErrProducerName = errors.New("headrace: producer name must have 1 to 255 bytes of UTF-8")

	// ErrNotParked reports an event that the handler named has not parked, or that is not the first of
	// those which wait for its key.
	ErrNotParked = errors.New("headrace: the handler has not parked this event")

	// ErrLog reports a log that does not begin as an engine's, or one with a system event that this
	// version cannot understand.
	ErrLog = errors.New("headrace: not a log that this engine can read")

	// ErrLostEvents reports a log in which a repair left lost records: state that is computed from
	// it is not the state that was. Options.AcceptLost, and ReplayOptions.AcceptLost, go on.
	ErrLostEvents = errors.New("headrace: the log has lost events")
)

// errEmitInstead is ErrWouldDeadlock of what publishes.
var errEmitInstead = fmt.Errorf("%w; a handler on a lane publishes with handlers.Emit", ErrWouldDeadlock)

// translate turns the ring's conditions into the engine's and adds the cause of a halt.
func (e *Engine) translate(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ring.ErrHalted):
		return e.haltError()
	case errors.Is(err, ring.ErrClosed):
		return ErrClosed
	case errors.Is(err, ring.ErrWouldDeadlock):
		return ErrWouldDeadlock
	}
	return err
}

func (e *Engine) haltError() error {
	if cause := e.Err(); cause != nil {
		return fmt.Errorf("%w: %w", ErrHalted, cause)
	}
	return ErrHalted
}

// RejectedError is the answer of a handler that rejects a command: the world goes on, and the command
// has changed nothing. It stands in the log as a handlers.Rejected.
type RejectedError struct {
	Command  int64  // sequence of the command
	Sequence int64  // sequence of the rejection
	Code     string // for programs, such as "insufficient-funds"
	Reason   string // for people
}

func (e *RejectedError) Error() string {
	return fmt.Sprintf("headrace: command %d was rejected (%s): %s", e.Command, e.Code, e.Reason)
}

// FailedError is the end of a Call whose handler has failed and has a failure policy. With the outcome
// handlers.OutcomeRetry the command is tried again later; its answer will be in the log, and nobody waits for it.
type FailedError struct {
	Command  int64 // sequence of the command
	Sequence int64 // sequence of the outcome
	Outcome  handlers.Failed
}

func (e *FailedError) Error() string {
	return fmt.Sprintf("headrace: command %d failed (%s: %s), outcome %s", e.Command, e.Outcome.Reason, e.Outcome.Message, e.Outcome.Outcome)
}

// TrimmedError is the end of a Call or an Append with an id that was used before, where the log does not have the answer
// any more: Retention has given it up. It was done once, and is not done again. A command that the log has given up was
// handled: one that is parked, or that an effect has not answered, keeps the log. What it came to is in the state that it
// changed, a read model say. It wraps journal.ErrOutOfRange.
//
// How long an answer can be asked for is how far the log reaches back; how long an id is known, Options.DedupWindow.
type TrimmedError struct {
	Sequence int64 // of the command, or the first event appended, the first time
	First    int64 // with which the log begins now
}

func (e *TrimmedError) Error() string {
	return fmt.Sprintf("headrace: it was done before, as event %d; what came of it is not in the log any more, which begins with event %d", e.Sequence, e.First)
}

func (e *TrimmedError) Unwrap() error { return journal.ErrOutOfRange }
