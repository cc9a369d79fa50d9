package ring

import (
	"errors"
	"fmt"
	"strings"
)

// Conditions that callers test for with errors.Is.
var (
	// ErrClosed: the ring was closed; nothing can be claimed any more.
	ErrClosed = errors.New("ring: closed")
	// ErrHalted: the ring was stopped before everything was handled. Where a consumer's failure
	// is the cause, the error also wraps its *ConsumerError.
	ErrHalted = errors.New("ring: halted")
	// ErrFull: TryClaim found fewer free slots than it needs.
	ErrFull = errors.New("ring: full")
	// ErrClaimSize: a claim of less than 1 event, or of more than the ring has slots.
	ErrClaimSize = errors.New("ring: claim size out of range")
	// ErrNoMemory: the system refuses the memory for as many slots of that size.
	ErrNoMemory = errors.New("ring: no memory")
	// ErrStarted: the call belongs before Start.
	ErrStarted = errors.New("ring: already started")
	// ErrNotStarted: Close found events in a ring that was never started; nobody handled them.
	ErrNotStarted = errors.New("ring: not started")
	// ErrNoConsumers: Start without a consumer; nothing would ever free a slot.
	ErrNoConsumers = errors.New("ring: no consumers")
	// ErrWouldDeadlock: a handler called something that waits for the handler's own return, or for a
	// handler that waits for this one, by however many others.
	ErrWouldDeadlock = errors.New("ring: the handler would wait for itself")
	// ErrLeft: the consumer has left the ring.
	ErrLeft = errors.New("ring: consumer has left")
	// ErrLastConsumer: the only consumer cannot leave; nothing would ever free a slot.
	ErrLastConsumer = errors.New("ring: the last consumer cannot leave")
	// ErrRewindRange: a handler asked for a Rewind to an event that is released or not of its span.
	ErrRewindRange = errors.New("ring: rewind out of range")
	// ErrParkedFull: a handler failed on more events than ErrorPolicy.MaxParked allows to park.
	ErrParkedFull = errors.New("ring: too many parked events")
	// ErrGoexit: a handler ended its goroutine with runtime.Goexit.
	ErrGoexit = errors.New("ring: handler called runtime.Goexit")
)

// GoneError reports a consumer that cannot begin at From, because producers may be overwriting the
// event. Nothing was changed.
type GoneError struct {
	From   int64 // ConsumerOptions.From
	Oldest int64 // about the least sequence that could be had instead; it grows all the time
}

func (e *GoneError) Error() string {
	return fmt.Sprintf("ring: sequence %d is not in the ring any more; the oldest is about %d", e.From, e.Oldest)
}

// OptionError reports one field of Options or ConsumerOptions, or one argument, that is out of
// range.
type OptionError struct {
	Field  string // name of the field or argument
	Reason string // what is wrong, with the value, and what is allowed
}

func (e *OptionError) Error() string { return "ring: " + e.Field + ": " + e.Reason }

func optionError(field, format string, args ...any) error {
	return &OptionError{Field: field, Reason: fmt.Sprintf(format, args...)}
}

// ConsumerError reports a handler that failed on [Sequence, Last] for good: what its ErrorPolicy
// allowed was tried before. Unless the policy goes on, the ring has failed with it.
type ConsumerError struct {
	Consumer string // name of the consumer
	Sequence int64  // first event that the handler failed on; see ErrorPolicy
	Last     int64  // last of them, >= Sequence
	Attempts int    // how often it failed on Sequence
	Err      error  // what it returned; *PanicError if it panicked; ErrGoexit
	Stack    []byte // the stack of a panic; nil otherwise
}

func (e *ConsumerError) Error() string { return "ring: " + e.text() }

func (e *ConsumerError) text() string {
	return fmt.Sprintf("consumer %q failed on the span from sequence %d: %v", e.Consumer, e.Sequence, e.Err)
}

// Unwrap returns the cause.
func (e *ConsumerError) Unwrap() error { return e.Err }

// failure is what producers and others get to see of it: ErrHalted and its cause in one error.
type failure struct{ cause *ConsumerError }

func (f *failure) Error() string   { return "ring: halted: " + f.cause.text() }
func (f *failure) Unwrap() []error { return []error{ErrHalted, f.cause} }

// PanicError is a panic of a handler as an error.
type PanicError struct {
	Value any // what was passed to panic
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Unwrap returns the panic's value where that is an error, else nil.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// DrainError reports a Close that gave up waiting. The ring stays closed to producers and goes on
// draining; Close may be called again, or Halt.
type DrainError struct {
	Claimed   int64           // last sequence that was claimed
	Published int64           // last sequence published without a gap; below Claimed a producer is late
	Late      []ConsumerStats // consumers that have not handled Claimed
	Err       error           // the context's error
}

func (e *DrainError) Error() string {
	var b strings.Builder
	b.WriteString("ring: close: ")
	if e.Published < e.Claimed {
		fmt.Fprintf(&b, "sequence %d is claimed but not published; ", e.Published+1)
	}
	for _, c := range e.Late {
		fmt.Fprintf(&b, "consumer %q is at %d of %d; ", c.Name, c.Cursor, e.Claimed)
	}
	b.WriteString(e.Err.Error())
	return b.String()
}

// Unwrap returns the context's error.
func (e *DrainError) Unwrap() error { return e.Err }
