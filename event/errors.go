package event

import (
	"errors"
	"fmt"
)

// Conditions that callers tell apart with errors.Is. The types below carry the details.
var (
	// ErrMalformed means bytes that are no event body, or no payload of the type they claim.
	ErrMalformed = errors.New("event: malformed")
	// ErrFieldTooLong means a header field that does not fit the layout.
	ErrFieldTooLong = errors.New("event: field too long")
	// ErrHeader means a header field with a value that has no meaning.
	ErrHeader = errors.New("event: invalid header field")
	// ErrTooLarge means a payload above MaxPayloadBytes.
	ErrTooLarge = errors.New("event: payload too large")
	// ErrTooDeep means a value nested beyond pack.MaxDepth, or one that contains itself.
	ErrTooDeep = errors.New("event: value nested too deeply or in a cycle")
	// ErrVersion means a payload in a version that cannot be lifted to the registered one.
	ErrVersion = errors.New("event: version not supported")
	// ErrUnregistered means a Go type or name that the registry does not know.
	ErrUnregistered = errors.New("event: type not registered")
	// ErrDuplicateType means a name, a Go type or an upcaster registered twice.
	ErrDuplicateType = errors.New("event: registered twice")
	// ErrTypeName means a type name that is empty, too long or not printable.
	ErrTypeName = errors.New("event: invalid type name")
	// ErrTypeUnsupported means a Go type that msgpack cannot carry there and back.
	ErrTypeUnsupported = errors.New("event: Go type not supported")
	// ErrFrozen means a registration after Freeze.
	ErrFrozen = errors.New("event: registry is frozen")
	// ErrCatalogConflict means a type id or name already bound to another.
	ErrCatalogConflict = errors.New("event: catalog conflict")
	// ErrCatalogFull means that all type ids are in use.
	ErrCatalogFull = errors.New("event: catalog full")
	// ErrID means text that is no id.
	ErrID = errors.New("event: invalid id")
	// ErrTrace means text that is no W3C traceparent.
	ErrTrace = errors.New("event: invalid traceparent")
	// ErrJSON means JSON that is no event.
	ErrJSON = errors.New("event: invalid JSON event")
)

// MalformedError says where a body or a payload is wrong. It is an ErrMalformed.
type MalformedError struct {
	Offset int    // bytes from the start of what was read
	Reason string // what is wrong there
	Err    error  // cause, where another package found it
}

func (e *MalformedError) Error() string {
	return fmt.Sprintf("event: malformed at offset %d: %s", e.Offset, e.Reason)
}

// Is reports whether target is ErrMalformed.
func (e *MalformedError) Is(target error) bool { return target == ErrMalformed }

// Unwrap returns the cause, or nil.
func (e *MalformedError) Unwrap() error { return e.Err }

// FieldError names the header field that cannot be written. It is an ErrFieldTooLong or an
// ErrHeader.
type FieldError struct {
	Field  string
	Reason string
	Err    error // ErrFieldTooLong or ErrHeader
}

func (e *FieldError) Error() string { return e.Err.Error() + ": " + e.Field + " " + e.Reason }

// Unwrap returns ErrFieldTooLong or ErrHeader.
func (e *FieldError) Unwrap() error { return e.Err }

// EncodeError reports a value that could not be encoded. Err is ErrTooLarge, ErrTooDeep, a
// *PanicError, or what the type's encoder returned.
type EncodeError struct {
	Type string // registered name
	Err  error
}

func (e *EncodeError) Error() string { return "event: encode " + e.Type + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *EncodeError) Unwrap() error { return e.Err }

// DecodeError reports a payload that could not be decoded. Err is a *MalformedError, a
// *VersionError, a *PanicError, or what the type's decoder or an upcaster returned.
type DecodeError struct {
	Type string // registered name
	Err  error
}

func (e *DecodeError) Error() string { return "event: decode " + e.Type + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *DecodeError) Unwrap() error { return e.Err }

// PanicError is a panic in a type's own encoder, decoder or upcaster, caught.
type PanicError struct {
	Value any    // what it panicked with
	Stack []byte // of the panicking goroutine
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Unwrap returns Value where it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// VersionError reports a version that cannot be read: newer than the registered one, or older
// with no upcaster for the step from Missing to Missing+1. It is an ErrVersion.
type VersionError struct {
	Type       string // registered name
	Got        uint16 // version of the payload
	Registered uint16 // version that this process knows
	Missing    uint16 // first step without an upcaster; 0 when Got is the newer one
}

func (e *VersionError) Error() string {
	if e.Got > e.Registered {
		return fmt.Sprintf("event: %s has version %d, newer than the registered version %d; "+
			"upgrade this program", e.Type, e.Got, e.Registered)
	}
	return fmt.Sprintf("event: %s has version %d, the registered version is %d, and no upcaster "+
		"leads from %d to %d", e.Type, e.Got, e.Registered, e.Missing, e.Missing+1)
}

// Is reports whether target is ErrVersion.
func (e *VersionError) Is(target error) bool { return target == ErrVersion }
