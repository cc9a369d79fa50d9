package pack

import (
	"encoding/binary"
	"math"
	"time"
)

// Reader reads msgpack values from a slice, in order.
//
// The first error sticks: from then on every read returns the zero value and does not move, so
// that a decoder may read all of its fields and look at Err or Close once. Only Str and
// Bytes allocate. A Reader belongs to one goroutine; a copy of it reads on independently.
type Reader struct {
	b   []byte
	pos int
	err error
}

// NewReader returns a Reader at the start of b, which must not change while it is read.
func NewReader(b []byte) Reader { return Reader{b: b} }

// Err returns the first error, an [*Error], or nil.
func (r *Reader) Err() error { return r.err }

// Offset returns how many bytes were read.
func (r *Reader) Offset() int { return r.pos }

// Len returns how many bytes are left.
func (r *Reader) Len() int { return len(r.b) - r.pos }

// Close returns the first error, or one that wraps ErrTrailing when bytes are left.
func (r *Reader) Close() error {
	if r.err == nil && r.pos != len(r.b) {
		r.fail(ErrTrailing)
	}
	return r.err
}

func (r *Reader) fail(err error) {
	if r.err == nil {
		r.err = &Error{r.pos, err}
	}
}

// wrong records why the next value is not of the kind that was asked for.
func (r *Reader) wrong() {
	switch _, ok := headAt(r.b, r.pos); {
	case ok:
		r.fail(ErrType)
	case r.pos < len(r.b) && r.b[r.pos] == codeNever:
		r.fail(ErrCode)
	default:
		r.fail(ErrTruncated)
	}
}

// Kind returns the kind of the next value without reading it, KindNone at the end of the input,
// after an error, or where the next value is broken.
func (r *Reader) Kind() Kind {
	if r.err != nil {
		return KindNone
	}
	h, ok := headAt(r.b, r.pos)
	if !ok {
		return KindNone
	}
	return h.kind
}

// Nil reads a nil if that is the next value, and says so.
func (r *Reader) Nil() bool {
	if r.err == nil && r.pos < len(r.b) && r.b[r.pos] == codeNil {
		r.pos++
		return true
	}
	return false
}

// Bool reads a boolean.
func (r *Reader) Bool() bool {
	if r.err == nil && r.pos < len(r.b) && r.b[r.pos]|1 == codeTrue {
		r.pos++
		return r.b[r.pos-1] == codeTrue
	}
	r.wrong()
	return false
}

// integer reads an integer: v as two's complement, and whether it is below zero.
func (r *Reader) integer() (v uint64, negative, ok bool) {
	if r.err != nil {
		return 0, false, false
	}
	if r.pos >= len(r.b) {
		r.fail(ErrTruncated)
		return 0, false, false
	}
	b := r.b[r.pos:]
	c := b[0]
	if c < codeFixMap {
		r.pos++
		return uint64(c), false, true
	}
	if c >= codeNegFix {
		r.pos++
		return uint64(int64(int8(c))), true, true
	}
	if c < codeUint8 || c > codeInt64 || len(b) < int(sizeOf[c]) {
		r.wrong()
		return 0, false, false
	}
	switch c {
	case codeUint8:
		v = uint64(b[1])
	case codeUint16:
		v = uint64(binary.BigEndian.Uint16(b[1:]))
	case codeUint32:
		v = uint64(binary.BigEndian.Uint32(b[1:]))
	case codeUint64:
		v = binary.BigEndian.Uint64(b[1:])
	case codeInt8:
		v = uint64(int64(int8(b[1])))
	case codeInt16:
		v = uint64(int64(int16(binary.BigEndian.Uint16(b[1:]))))
	case codeInt32:
		v = uint64(int64(int32(binary.BigEndian.Uint32(b[1:]))))
	default:
		v = binary.BigEndian.Uint64(b[1:])
	}
	r.pos += int(sizeOf[c])
	return v, c >= codeInt8 && int64(v) < 0, true
}

// Int64 reads an integer of any size; ErrRange when it is above the largest int64.
func (r *Reader) Int64() int64 {
	start := r.pos
	v, negative, ok := r.integer()
	if ok && !negative && v > math.MaxInt64 {
		r.pos = start
		r.fail(ErrRange)
		return 0
	}
	return int64(v)
}

// Uint64 reads an integer of any size; ErrRange when it is below zero.
func (r *Reader) Uint64() uint64 {
	start := r.pos
	v, negative, _ := r.integer()
	if negative {
		r.pos = start
		r.fail(ErrRange)
		return 0
	}
	return v
}

// Int reads an integer; ErrRange when it does not fit an int.
func (r *Reader) Int() int { return int(r.within(math.MinInt, math.MaxInt)) }

// Int32 reads an integer; ErrRange when it does not fit an int32.
func (r *Reader) Int32() int32 { return int32(r.within(math.MinInt32, math.MaxInt32)) }

// Uint32 reads an integer; ErrRange when it does not fit a uint32.
func (r *Reader) Uint32() uint32 { return uint32(r.within(0, math.MaxUint32)) }

// Uint16 reads an integer; ErrRange when it does not fit a uint16.
func (r *Reader) Uint16() uint16 { return uint16(r.within(0, math.MaxUint16)) }

// Uint8 reads an integer; ErrRange when it does not fit a uint8.
func (r *Reader) Uint8() uint8 { return uint8(r.within(0, math.MaxUint8)) }

func (r *Reader) within(low, high int64) int64 {
	start := r.pos
	n := r.Int64()
	if n < low || n > high {
		r.pos = start
		r.fail(ErrRange)
		return 0
	}
	return n
}

// Float64 reads a float of either size, or an integer, as JSON does not tell the two apart.
func (r *Reader) Float64() float64 {
	if r.err == nil && r.pos < len(r.b) {
		b := r.b[r.pos:]
		switch {
		case b[0] == codeFloat64 && len(b) >= 9:
			r.pos += 9
			return math.Float64frombits(binary.BigEndian.Uint64(b[1:]))
		case b[0] == codeFloat32 && len(b) >= 5:
			r.pos += 5
			return float64(math.Float32frombits(binary.BigEndian.Uint32(b[1:])))
		}
	}
	v, negative, _ := r.integer()
	if negative {
		return float64(int64(v))
	}
	return float64(v)
}

// Float32 reads what Float64 reads, rounded to float32.
func (r *Reader) Float32() float32 { return float32(r.Float64()) }

// data reads the string or binary that comes next; nil counts as an empty one.
func (r *Reader) data() []byte {
	if r.err != nil || r.Nil() {
		return nil
	}
	h, ok := headAt(r.b, r.pos)
	if !ok || h.kind != KindString && h.kind != KindBytes {
		r.wrong()
		return nil
	}
	start := r.pos + h.size
	if h.n > len(r.b)-start {
		r.fail(ErrTruncated)
		return nil
	}
	r.pos = start + h.n
	return r.b[start:r.pos:r.pos]
}

// Str reads a string or binary as a string of its own; nil gives "".
func (r *Reader) Str() string { return string(r.data()) }

// Bytes reads a string or binary as a slice of its own; nil gives nil.
func (r *Reader) Bytes() []byte {
	v := r.data()
	if v == nil {
		return nil
	}
	return append(make([]byte, 0, len(v)), v...)
}

// View reads a string or binary as a slice of the input, which must not be changed and lives as
// long as the input does; nil gives nil. It does not allocate.
func (r *Reader) View() []byte { return r.data() }

// Time reads a timestamp extension, in UTC.
func (r *Reader) Time() time.Time {
	if r.err != nil {
		return time.Time{}
	}
	h, ok := headAt(r.b, r.pos)
	if !ok || h.kind != KindExtension || h.ext != extTime {
		r.wrong()
		return time.Time{}
	}
	start := r.pos + h.size
	if h.n > len(r.b)-start {
		r.fail(ErrTruncated)
		return time.Time{}
	}
	t, ok := timestamp(r.b[start : start+h.n])
	if !ok {
		r.fail(ErrRange)
		return time.Time{}
	}
	r.pos = start + h.n
	return t
}

func timestamp(b []byte) (time.Time, bool) {
	var secs, nanos uint64
	switch len(b) {
	case 4:
		secs = uint64(binary.BigEndian.Uint32(b))
	case 8:
		v := binary.BigEndian.Uint64(b)
		secs, nanos = v&(1<<34-1), v>>34
	case 12:
		nanos, secs = uint64(binary.BigEndian.Uint32(b)), binary.BigEndian.Uint64(b[4:])
	default:
		return time.Time{}, false
	}
	return time.Unix(int64(secs), int64(nanos)).UTC(), nanos < 1e9
}

func (r *Reader) header(kind Kind) int {
	if r.err != nil {
		return 0
	}
	h, ok := headAt(r.b, r.pos)
	if !ok || h.kind != kind {
		r.wrong()
		return 0
	}
	least := int64(h.n)
	if kind == KindMap {
		least *= 2
	}
	if least > int64(len(r.b)-r.pos-h.size) {
		r.fail(ErrTruncated)
		return 0
	}
	r.pos += h.size
	return h.n
}

// ArrayHeader reads the start of an array and returns its length, which is never more than the
// bytes left, so that it is safe to allocate for. Nil counts as an empty array.
func (r *Reader) ArrayHeader() int {
	if r.Nil() {
		return 0
	}
	return r.header(KindArray)
}

// MapHeader reads the start of a map and returns its number of pairs, which is never more than
// half the bytes left. Nil counts as an empty map.
func (r *Reader) MapHeader() int {
	if r.Nil() {
		return 0
	}
	return r.header(KindMap)
}

// Tuple reads the start of an array of n elements; ErrCount when it has another length.
func (r *Reader) Tuple(n int) {
	start := r.pos
	if got := r.header(KindArray); r.err == nil && got != n {
		r.pos = start
		r.fail(ErrCount)
	}
}

// Raw reads the next value, whatever it is, and returns its bytes as a slice of the input.
func (r *Reader) Raw() []byte {
	if r.err != nil {
		return nil
	}
	s := scanner{b: r.b}
	end, err := s.values(r.pos, 1, 0)
	if err != nil {
		r.err = err
		return nil
	}
	start := r.pos
	r.pos = end
	return r.b[start:end:end]
}

// Skip reads the next value and forgets it.
func (r *Reader) Skip() { r.Raw() }
