package pack

import (
	"encoding/binary"
	"math"
	"time"
)

// Codes of the msgpack specification.
const (
	codeFixMap   = 0x80
	codeFixArray = 0x90
	codeFixStr   = 0xa0
	codeNil      = 0xc0
	codeNever    = 0xc1
	codeFalse    = 0xc2
	codeTrue     = 0xc3
	codeBin8     = 0xc4
	codeBin16    = 0xc5
	codeBin32    = 0xc6
	codeExt8     = 0xc7
	codeExt16    = 0xc8
	codeExt32    = 0xc9
	codeFloat32  = 0xca
	codeFloat64  = 0xcb
	codeUint8    = 0xcc
	codeUint16   = 0xcd
	codeUint32   = 0xce
	codeUint64   = 0xcf
	codeInt8     = 0xd0
	codeInt16    = 0xd1
	codeInt32    = 0xd2
	codeInt64    = 0xd3
	codeFixExt1  = 0xd4
	codeFixExt16 = 0xd8
	codeStr8     = 0xd9
	codeStr16    = 0xda
	codeStr32    = 0xdb
	codeArray16  = 0xdc
	codeArray32  = 0xdd
	codeMap16    = 0xde
	codeMap32    = 0xdf
	codeNegFix   = 0xe0
)

// extTime is the extension type of timestamps.
const extTime = -1

// AppendNil appends nil.
func AppendNil(dst []byte) []byte { return append(dst, codeNil) }

// AppendBool appends b.
func AppendBool(dst []byte, b bool) []byte {
	if b {
		return append(dst, codeTrue)
	}
	return append(dst, codeFalse)
}

// AppendInt appends n in the fewest bytes: 1, 2, 3, 5 or 9.
func AppendInt(dst []byte, n int64) []byte {
	switch {
	case n >= 0:
		return AppendUint(dst, uint64(n))
	case n >= -32:
		return append(dst, byte(n))
	case n >= math.MinInt8:
		return append(dst, codeInt8, byte(n))
	case n >= math.MinInt16:
		return append(dst, codeInt16, byte(n>>8), byte(n))
	case n >= math.MinInt32:
		return binary.BigEndian.AppendUint32(append(dst, codeInt32), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, codeInt64), uint64(n))
}

// AppendUint appends n in the fewest bytes: 1, 2, 3, 5 or 9.
func AppendUint(dst []byte, n uint64) []byte {
	switch {
	case n <= math.MaxInt8:
		return append(dst, byte(n))
	case n <= math.MaxUint8:
		return append(dst, codeUint8, byte(n))
	case n <= math.MaxUint16:
		return append(dst, codeUint16, byte(n>>8), byte(n))
	case n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(dst, codeUint32), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, codeUint64), n)
}

// AppendFloat32 appends f in 5 bytes.
func AppendFloat32(dst []byte, f float32) []byte {
	return binary.BigEndian.AppendUint32(append(dst, codeFloat32), math.Float32bits(f))
}

// AppendFloat64 appends f in 9 bytes.
func AppendFloat64(dst []byte, f float64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, codeFloat64), math.Float64bits(f))
}

// AppendString appends s as a string. Its length must be below 1<<32.
func AppendString(dst []byte, s string) []byte {
	n := len(s)
	switch {
	case n < 32:
		dst = append(dst, codeFixStr|byte(n))
	case n <= math.MaxUint8:
		dst = append(dst, codeStr8, byte(n))
	case n <= math.MaxUint16:
		dst = append(dst, codeStr16, byte(n>>8), byte(n))
	default:
		dst = binary.BigEndian.AppendUint32(append(dst, codeStr32), uint32(n))
	}
	return append(dst, s...)
}

// AppendBytes appends b as binary, or nil where b is nil. Its length must be below 1<<32.
func AppendBytes(dst, b []byte) []byte {
	n := len(b)
	switch {
	case b == nil:
		return append(dst, codeNil)
	case n <= math.MaxUint8:
		dst = append(dst, codeBin8, byte(n))
	case n <= math.MaxUint16:
		dst = append(dst, codeBin16, byte(n>>8), byte(n))
	default:
		dst = binary.BigEndian.AppendUint32(append(dst, codeBin32), uint32(n))
	}
	return append(dst, b...)
}

// AppendArrayHeader starts an array: the next n values are its elements. n is in [0, 1<<32).
func AppendArrayHeader(dst []byte, n int) []byte {
	switch {
	case n < 16:
		return append(dst, codeFixArray|byte(n))
	case n <= math.MaxUint16:
		return append(dst, codeArray16, byte(n>>8), byte(n))
	}
	return binary.BigEndian.AppendUint32(append(dst, codeArray32), uint32(n))
}

// AppendMapHeader starts a map: the next 2*n values are its keys and values in turn. n is in
// [0, 1<<32). Append keys in a fixed order, so that equal values give equal bytes.
func AppendMapHeader(dst []byte, n int) []byte {
	switch {
	case n < 16:
		return append(dst, codeFixMap|byte(n))
	case n <= math.MaxUint16:
		return append(dst, codeMap16, byte(n>>8), byte(n))
	}
	return binary.BigEndian.AppendUint32(append(dst, codeMap32), uint32(n))
}

// AppendTime appends t as msgpack's timestamp extension: the instant in nanoseconds, without its
// location. It takes 6, 10 or 15 bytes.
func AppendTime(dst []byte, t time.Time) []byte {
	secs, nanos := uint64(t.Unix()), uint32(t.Nanosecond())
	switch {
	case secs>>32 == 0 && nanos == 0:
		dst = append(dst, codeFixExt1+2, 0xff)
		return binary.BigEndian.AppendUint32(dst, uint32(secs))
	case secs>>34 == 0:
		dst = append(dst, codeFixExt1+3, 0xff)
		return binary.BigEndian.AppendUint64(dst, uint64(nanos)<<34|secs)
	}
	dst = append(dst, codeExt8, 12, 0xff)
	dst = binary.BigEndian.AppendUint32(dst, nanos)
	return binary.BigEndian.AppendUint64(dst, secs)
}
