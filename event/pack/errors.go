package pack

import (
	"errors"
	"strconv"
)

// MaxDepth is the deepest nesting of arrays and maps that is read or written: a value inside
// MaxDepth containers is the last one allowed.
const MaxDepth = 128

// The conditions an [Error] wraps.
var (
	// ErrTruncated means that the bytes end before the value does, or that a length promises
	// more than is there.
	ErrTruncated = errors.New("pack: input ends inside a value")
	// ErrType means that the value is not of the kind that was asked for.
	ErrType = errors.New("pack: value has another type")
	// ErrRange means that a number does not fit the Go type that was asked for.
	ErrRange = errors.New("pack: number out of range")
	// ErrCount means that an array or map has another number of elements than was asked for.
	ErrCount = errors.New("pack: unexpected number of elements")
	// ErrCode means the byte 0xc1, which msgpack never uses.
	ErrCode = errors.New("pack: invalid code 0xc1")
	// ErrDepth means nesting beyond MaxDepth.
	ErrDepth = errors.New("pack: nested too deeply")
	// ErrTrailing means that bytes follow the last value.
	ErrTrailing = errors.New("pack: bytes left over after the value")
)

// Error reports where input is not what it should be. errors.Is finds the condition.
type Error struct {
	Offset int   // bytes from the start of the input
	Err    error // one of the conditions above
}

func (e *Error) Error() string {
	return e.Err.Error() + " at offset " + strconv.Itoa(e.Offset)
}

// Unwrap returns the condition.
func (e *Error) Unwrap() error { return e.Err }
