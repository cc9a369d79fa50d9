package event

import (
	"encoding/hex"
	"fmt"
)

// Trace is the W3C trace context of an event's creation: which span published it. The zero Trace
// stands for none. The tracestate is not carried.
type Trace struct {
	TraceID [16]byte
	SpanID  [8]byte
	Flags   byte // bit 0: sampled
}

// IsZero reports whether there is no trace context.
func (t Trace) IsZero() bool { return t == Trace{} }

// valid reports whether t is what W3C calls valid: neither id is zero.
func (t Trace) valid() bool { return t.TraceID != [16]byte{} && t.SpanID != [8]byte{} }

// String returns the traceparent header, such as
// "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", or "" for none.
func (t Trace) String() string {
	if t.IsZero() {
		return ""
	}
	var b [55]byte
	b[0], b[1], b[2] = '0', '0', '-'
	hex.Encode(b[3:35], t.TraceID[:])
	b[35] = '-'
	hex.Encode(b[36:52], t.SpanID[:])
	b[52] = '-'
	hex.Encode(b[53:55], []byte{t.Flags})
	return string(b[:])
}

// ParseTrace reads a traceparent header as W3C Trace Context, level 1, says: of version 00 it
// must be the whole, of later versions the start that is known is taken. "" gives the zero Trace;
// anything else is an ErrTrace.
func ParseTrace(s string) (Trace, error) {
	if s == "" {
		return Trace{}, nil
	}
	var t Trace
	var version [1]byte
	var flags [1]byte
	ok := len(s) >= 55 && s[2] == '-' && s[35] == '-' && s[52] == '-' &&
		lowerHex(version[:], s[0:2]) && lowerHex(t.TraceID[:], s[3:35]) &&
		lowerHex(t.SpanID[:], s[36:52]) && lowerHex(flags[:], s[53:55]) &&
		version[0] != 0xff && (len(s) == 55 || version[0] != 0 && s[55] == '-') && t.valid()
	if !ok {
		return Trace{}, fmt.Errorf("%w: %q", ErrTrace, s)
	}
	t.Flags = flags[0]
	return t, nil
}

func lowerHex(dst []byte, s string) bool {
	for i := 0; i < len(s); i++ {
		digit, ok := unhex(s[i])
		if !ok || s[i] >= 'A' && s[i] <= 'F' {
			return false
		}
		dst[i/2] = dst[i/2]<<4 | digit
	}
	return true
}
