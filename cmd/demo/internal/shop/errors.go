package shop

import (
	"errors"
	"fmt"
)

// Conditions that callers tell apart with errors.Is.
var (
	// ErrHeader means input that does not begin with the header of the retail file.
	ErrHeader = errors.New("shop: not the header of the retail file")
	// ErrSyntax means text that is not what its column holds: no number, no time, no CSV.
	ErrSyntax = errors.New("shop: malformed")
	// ErrMissing means an empty field that must not be.
	ErrMissing = errors.New("shop: missing")
	// ErrTooLong means text or an order beyond the limits of this package.
	ErrTooLong = errors.New("shop: too long")
	// ErrPrecision means money finer than a thousandth.
	ErrPrecision = errors.New("shop: finer than a thousandth")
	// ErrOutOfRange means a number beyond the limits of this package.
	ErrOutOfRange = errors.New("shop: out of range")
	// ErrOverflow means a total that int64 thousandths cannot hold.
	ErrOverflow = errors.New("shop: total overflows")
	// ErrShort means a source that ends before the row to go on at: not the one the log was fed with.
	ErrShort = errors.New("shop: source ends before the row to go on at")
	// ErrSource means an order of another source than those before it.
	ErrSource = errors.New("shop: another source")
	// ErrGap means an order that does not follow the one before it: rows are missing or doubled.
	ErrGap = errors.New("shop: rows missing or doubled")
	// ErrPayload means msgpack that is no payload of this package's types.
	ErrPayload = errors.New("shop: not a payload of this type")
)

// RowError reports a row of the source that cannot be read. The import stops there; no row is
// skipped.
type RowError struct {
	Row    int64  // data row, from 1; 0 is the header
	Line   int    // line of the uncompressed text where the field or the row starts, from 1; 0 = not known
	Column string // name of the column; "" where the row as a whole is at fault
	Value  string // the field, cut to 64 bytes
	Err    error  // cause, such as ErrSyntax or ErrPrecision
}

func (e *RowError) Error() string {
	where := fmt.Sprintf("row %d", e.Row)
	if e.Line > 0 {
		where += fmt.Sprintf(" (line %d)", e.Line)
	}
	if e.Column == "" {
		return fmt.Sprintf("shop: %s: %v", where, e.Err)
	}
	return fmt.Sprintf("shop: %s, column %s: %q: %v", where, e.Column, e.Value, e.Err)
}

// Unwrap returns the cause.
func (e *RowError) Unwrap() error { return e.Err }

// OrderError reports an order that breaks a limit of this package. It cannot be encoded, and bytes
// that say so are not decoded.
type OrderError struct {
	Invoice string
	Line    int    // line at fault, from 1; 0 = the order as a whole
	Field   string // field at fault
	Err     error  // ErrMissing, ErrTooLong, ErrOutOfRange or ErrSyntax
}

func (e *OrderError) Error() string {
	if e.Line > 0 {
		return fmt.Sprintf("shop: order %q, line %d, %s: %v", e.Invoice, e.Line, e.Field, e.Err)
	}
	return fmt.Sprintf("shop: order %q, %s: %v", e.Invoice, e.Field, e.Err)
}

// Unwrap returns the cause.
func (e *OrderError) Unwrap() error { return e.Err }
