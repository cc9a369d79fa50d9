package event

import (
	"encoding/binary"
	"strconv"
	"unicode/utf8"
)

// Origin says which handler put an event out, and for what. It is what recovery needs to know
// which outputs the log already holds.
type Origin struct {
	Handler uint64 // HandlerID of the handler
	Cause   int64  // sequence of the event that it reacted to
	Ordinal uint32 // place among the outputs for Cause, from 0
	Outputs uint32 // outputs for Cause, all of them
	Depth   uint32 // length of the cascade: 1 for a reaction to an event from outside
}

// Header is everything of an event but its payload, as it goes into AppendHeader. The journal's
// record holds the rest: type id, sequence, time of journaling.
type Header struct {
	Kind    Kind   // 0 is Notification
	Version uint16 // of the type, from 1; 0 is 1
	Time    int64  // when it happened, unix nanoseconds; any value

	ID            ID // required
	CorrelationID ID // of the whole conversation; zero = none
	CausationID   ID // of the event that led to this one; zero = none

	Origin    Origin // meaningful when HasOrigin
	HasOrigin bool

	Trace Trace // zero = none; else both of its ids are set

	Producer string // who published it: UTF-8, up to 255 bytes; "" = none
	Key      string // what it is about, such as an order number: UTF-8; "" = none

	// StreamVersion is the event's number in its stream, which is its Key: from 1; 0 = none. Of a command it is what the
	// command expects.
	StreamVersion int64

	// Source is where outside the event comes from, and SourceOffset its place there, at least 0: UTF-8, up to 255
	// bytes; "" = nowhere.
	Source       string
	SourceOffset int64

	// Idempotent says that the publisher chose ID, so that another event with it is a repeat.
	Idempotent bool

	// Extensions is kept for later versions of this package: opaque bytes; empty = none.
	Extensions []byte
}

// MaxHeaderBytes is the limit of a header in a body: what a u16 counts. Key and Extensions share
// what the rest leaves of it.
const MaxHeaderBytes = 1<<16 - 1

// MinBodyBytes is the length of a body without optional groups and without payload.
const MinBodyBytes = fixedBytes

const (
	layoutV1   = 1
	fixedBytes = 32

	offKind    = 1
	offVersion = 2
	offFlags   = 4
	offHeader  = 6
	offTime    = 8
	offID      = 16
)

// Flag bits, in the order in which their groups follow the fixed part.
const (
	flagCorrelation uint16 = 1 << iota
	flagCausation
	flagOrigin
	flagTrace
	flagProducer
	flagKey
	flagExtensions
	flagIdempotent // no group
	flagStreamVersion
	flagSource

	flagsKnown = 1<<iota - 1
)

// Bytes of the groups with a fixed length.
const (
	idBytes     = 16
	originBytes = 32
	traceBytes  = 32

	streamVersionBytes = 8
	sourceOffsetBytes  = 8
)

// AppendHeader appends h in the layout of a body; the payload goes right behind it. It does not
// allocate when dst has room, and returns dst as it was, with a [*FieldError], when a field is too
// long (ErrFieldTooLong) or without meaning (ErrHeader): an ID of zero, a kind that does not
// exist, text that is not UTF-8, a trace with only one of its ids, a negative stream version, a negative offset or one
// without a source.
func AppendHeader(dst []byte, h *Header) ([]byte, error) {
	kind, version := h.Kind, h.Version
	if kind == 0 {
		kind = Notification
	}
	if version == 0 {
		version = 1
	}
	size := fixedBytes
	var flags uint16
	if h.CorrelationID != (ID{}) {
		flags |= flagCorrelation
		size += idBytes
	}
	if h.CausationID != (ID{}) {
		flags |= flagCausation
		size += idBytes
	}
	if h.HasOrigin {
		flags |= flagOrigin
		size += originBytes
	}
	if h.Trace != (Trace{}) {
		flags |= flagTrace
		size += traceBytes
	}
	if h.Producer != "" {
		flags |= flagProducer
		size += 1 + len(h.Producer)
	}
	if h.Key != "" {
		flags |= flagKey
		size += 2 + len(h.Key)
	}
	if len(h.Extensions) != 0 {
		flags |= flagExtensions
		size += 2 + len(h.Extensions)
	}
	if h.Idempotent {
		flags |= flagIdempotent
	}
	if h.StreamVersion != 0 {
		flags |= flagStreamVersion
		size += streamVersionBytes
	}
	if h.Source != "" {
		flags |= flagSource
		size += 1 + len(h.Source) + sourceOffsetBytes
	}
	if err := h.check(kind, size); err != nil {
		return dst, err
	}

	start := len(dst)
	if cap(dst)-start < size {
		dst = append(dst, make([]byte, size)...)
	} else {
		dst = dst[:start+size]
	}
	b := dst[start:]
	b[0] = layoutV1
	b[offKind] = byte(kind)
	binary.LittleEndian.PutUint16(b[offVersion:], version)
	binary.LittleEndian.PutUint16(b[offFlags:], flags)
	binary.LittleEndian.PutUint16(b[offHeader:], uint16(size))
	binary.LittleEndian.PutUint64(b[offTime:], uint64(h.Time))
	copy(b[offID:], h.ID[:])
	h.putGroups(b[fixedBytes:], flags)
	return dst, nil
}

// putGroups writes the groups that flags names; b is exactly as long as they are.
func (h *Header) putGroups(b []byte, flags uint16) {
	if flags&flagCorrelation != 0 {
		b = b[copy(b, h.CorrelationID[:]):]
	}
	if flags&flagCausation != 0 {
		b = b[copy(b, h.CausationID[:]):]
	}
	if flags&flagOrigin != 0 {
		g := b[:originBytes]
		binary.LittleEndian.PutUint64(g, h.Origin.Handler)
		binary.LittleEndian.PutUint64(g[8:], uint64(h.Origin.Cause))
		binary.LittleEndian.PutUint32(g[16:], h.Origin.Ordinal)
		binary.LittleEndian.PutUint32(g[20:], h.Origin.Outputs)
		binary.LittleEndian.PutUint32(g[24:], h.Origin.Depth)
		binary.LittleEndian.PutUint32(g[28:], 0)
		b = b[originBytes:]
	}
	if flags&flagTrace != 0 {
		g := b[:traceBytes]
		copy(g, h.Trace.TraceID[:])
		copy(g[16:], h.Trace.SpanID[:])
		binary.LittleEndian.PutUint64(g[24:], uint64(h.Trace.Flags))
		b = b[traceBytes:]
	}
	if flags&flagProducer != 0 {
		b[0] = byte(len(h.Producer))
		b = b[1+copy(b[1:], h.Producer):]
	}
	if flags&flagKey != 0 {
		binary.LittleEndian.PutUint16(b, uint16(len(h.Key)))
		b = b[2+copy(b[2:], h.Key):]
	}
	if flags&flagExtensions != 0 {
		binary.LittleEndian.PutUint16(b, uint16(len(h.Extensions)))
		b = b[2+copy(b[2:], h.Extensions):]
	}
	if flags&flagStreamVersion != 0 {
		binary.LittleEndian.PutUint64(b, uint64(h.StreamVersion))
		b = b[streamVersionBytes:]
	}
	if flags&flagSource != 0 {
		b[0] = byte(len(h.Source))
		binary.LittleEndian.PutUint64(b[1+copy(b[1:], h.Source):], uint64(h.SourceOffset))
	}
}

// check is the one place that decides what may be written. size is the header's, in bytes.
func (h *Header) check(kind Kind, size int) error {
	switch {
	case kind > Document:
		return &FieldError{"Kind", "does not exist: " + kind.String(), ErrHeader}
	case h.ID == ID{}:
		return &FieldError{"ID", "is zero", ErrHeader}
	case h.Trace != (Trace{}) && !h.Trace.valid():
		return &FieldError{"Trace", "lacks its trace id or span id", ErrHeader}
	case len(h.Producer) > 255:
		return &FieldError{"Producer", tooLong(len(h.Producer), 255), ErrFieldTooLong}
	case len(h.Key) > MaxHeaderBytes:
		return &FieldError{"Key", tooLong(len(h.Key), MaxHeaderBytes), ErrFieldTooLong}
	case len(h.Extensions) > MaxHeaderBytes:
		return &FieldError{"Extensions", tooLong(len(h.Extensions), MaxHeaderBytes), ErrFieldTooLong}
	case size > MaxHeaderBytes:
		return &FieldError{"Header", tooLong(size, MaxHeaderBytes), ErrFieldTooLong}
	case h.StreamVersion < 0:
		return &FieldError{"StreamVersion", "is negative", ErrHeader}
	case len(h.Source) > 255:
		return &FieldError{"Source", tooLong(len(h.Source), 255), ErrFieldTooLong}
	case h.SourceOffset < 0:
		return &FieldError{"SourceOffset", "is negative", ErrHeader}
	case h.SourceOffset != 0 && h.Source == "":
		return &FieldError{"SourceOffset", "has no source", ErrHeader}
	case !utf8.ValidString(h.Source):
		return &FieldError{"Source", "is not UTF-8", ErrHeader}
	case !utf8.ValidString(h.Producer):
		return &FieldError{"Producer", "is not UTF-8", ErrHeader}
	case !utf8.ValidString(h.Key):
		return &FieldError{"Key", "is not UTF-8", ErrHeader}
	}
	return nil
}

func tooLong(got, limit int) string {
	return "has " + strconv.Itoa(got) + " bytes, the limit is " + strconv.Itoa(limit)
}
