package event

import (
	"encoding/binary"
	"unicode/utf8"
)

// View is an event body, checked and ready to be read in place: in a ring slot, in a mapped
// segment, anywhere. It is a small value; pass it by value.
//
// A View and every slice that it returns live as long as the body does, which for a handler is
// the call, and must not be changed. Strings and the Header are copies. No accessor fails. The
// zero View has no body: every accessor of it returns the zero value.
type View struct {
	body  []byte
	flags uint16
	head  uint16 // length of the header, offset of the payload

	// Offset and length of the bytes of the groups without a fixed place; 0 where absent.
	producer, key, extensions          uint16
	producerLen, keyLen, extensionsLen uint16
}

// Parse checks body and returns a View of it. It reads all of the header and nothing of the
// payload, which the type's decoder checks. It never panics and does not allocate unless it fails:
// with a [*MalformedError], an ErrMalformed that says where.
//
// Flag bits that this version does not know are accepted, and what they brought is skipped:
// View.UnknownFlags tells. Nothing else is: a header must be exactly as long as its groups, and
// reserved bytes zero.
func Parse(body []byte) (View, error) {
	if len(body) < fixedBytes {
		return View{}, malformed(len(body), "body ends inside the header")
	}
	v := View{
		body:  body,
		flags: binary.LittleEndian.Uint16(body[offFlags:]),
		head:  binary.LittleEndian.Uint16(body[offHeader:]),
	}
	switch kind := body[offKind]; {
	case body[0] != layoutV1:
		return View{}, malformed(0, "unknown layout; written by a newer version?")
	case kind == 0 || kind > byte(Document):
		return View{}, malformed(offKind, "unknown kind")
	case binary.LittleEndian.Uint16(body[offVersion:]) == 0:
		return View{}, malformed(offVersion, "version 0")
	case v.head < fixedBytes || int(v.head) > len(body):
		return View{}, malformed(offHeader, "header length out of range")
	case v.ID() == ID{}:
		return View{}, malformed(offID, "id is zero")
	}
	if v.flags&^flagIdempotent == 0 {
		if v.head != fixedBytes {
			return View{}, malformed(fixedBytes, "header longer than its groups")
		}
		return v, nil
	}
	if err := v.parseGroups(); err != nil {
		return View{}, err
	}
	return v, nil
}

// parseGroups walks over the groups in the order of their bits.
func (v *View) parseGroups() error {
	h := v.body[:v.head]
	pos := fixedBytes
	for bit := flagCorrelation; bit <= flagCausation; bit <<= 1 {
		if v.flags&bit == 0 {
			continue
		}
		if len(h)-pos < idBytes {
			return malformed(pos, "header ends inside a group")
		}
		g := h[pos : pos+idBytes]
		if binary.LittleEndian.Uint64(g)|binary.LittleEndian.Uint64(g[8:]) == 0 {
			return malformed(pos, "id is zero")
		}
		pos += idBytes
	}
	if v.flags&flagOrigin != 0 {
		if len(h)-pos < originBytes {
			return malformed(pos, "header ends inside a group")
		}
		if binary.LittleEndian.Uint32(h[pos+28:]) != 0 {
			return malformed(pos+28, "reserved bytes are not zero")
		}
		pos += originBytes
	}
	if v.flags&flagTrace != 0 {
		if len(h)-pos < traceBytes {
			return malformed(pos, "header ends inside a group")
		}
		if binary.LittleEndian.Uint64(h[pos+24:]) > 0xff {
			return malformed(pos+25, "reserved bytes are not zero")
		}
		if !v.trace(h[pos:]).valid() {
			return malformed(pos, "trace without its ids")
		}
		pos += traceBytes
	}
	var err error
	if v.flags&flagProducer != 0 {
		if v.producer, v.producerLen, pos, err = field(h, pos, 1, true); err != nil {
			return err
		}
	}
	if v.flags&flagKey != 0 {
		if v.key, v.keyLen, pos, err = field(h, pos, 2, true); err != nil {
			return err
		}
	}
	if v.flags&flagExtensions != 0 {
		if v.extensions, v.extensionsLen, pos, err = field(h, pos, 2, false); err != nil {
			return err
		}
	}
	if v.flags&flagStreamVersion != 0 {
		if len(h)-pos < streamVersionBytes {
			return malformed(pos, "header ends inside a group")
		}
		if int64(binary.LittleEndian.Uint64(h[pos:])) <= 0 {
			return malformed(pos, "stream version below 1")
		}
		pos += streamVersionBytes
	}
	if v.flags&flagSource != 0 {
		if _, _, pos, err = field(h, pos, 1, true); err != nil {
			return err
		}
		if len(h)-pos < sourceOffsetBytes {
			return malformed(pos, "header ends inside a group")
		}
		if int64(binary.LittleEndian.Uint64(h[pos:])) < 0 {
			return malformed(pos, "offset below 0")
		}
		pos += sourceOffsetBytes
	}
	if pos != len(h) && v.flags&^flagsKnown == 0 {
		return malformed(pos, "header longer than its groups")
	}
	return nil
}

// groupBytes is the length of a group that has a fixed one.
func groupBytes(bit uint16) int {
	if bit <= flagCausation {
		return idBytes
	}
	return originBytes // as long as traceBytes
}

// field reads a length of lenBytes at pos and the bytes behind it.
func field(h []byte, pos, lenBytes int, text bool) (off, n uint16, end int, err error) {
	if len(h)-pos < lenBytes {
		return 0, 0, 0, malformed(pos, "header ends inside a group")
	}
	size := int(h[pos])
	if lenBytes == 2 {
		size |= int(h[pos+1]) << 8
	}
	start := pos + lenBytes
	switch {
	case size == 0:
		return 0, 0, 0, malformed(pos, "empty group")
	case len(h)-start < size:
		return 0, 0, 0, malformed(pos, "group longer than the header")
	case text && !plain(h[start:start+size]) && !utf8.Valid(h[start:start+size]):
		return 0, 0, 0, malformed(start, "text is not UTF-8")
	}
	return uint16(start), uint16(size), start + size, nil
}

// plain reports whether b is ASCII, and short: most names and keys are, and a call costs more.
func plain(b []byte) bool {
	if len(b) > 32 {
		return false
	}
	var all byte
	for _, c := range b {
		all |= c
	}
	return all < utf8.RuneSelf
}

func malformed(offset int, reason string) error {
	return &MalformedError{Offset: offset, Reason: reason}
}

// IsZero reports whether v has no body.
func (v View) IsZero() bool { return v.body == nil }

// Body returns the whole body.
func (v View) Body() []byte { return v.body }

// Payload returns the bytes behind the header: msgpack, as the type's encoder wrote it.
func (v View) Payload() []byte { return v.body[v.head:] }

// Kind returns the kind.
func (v View) Kind() Kind {
	if v.body == nil {
		return 0
	}
	return Kind(v.body[offKind])
}

// Version returns the version of the type that the payload is in, from 1.
func (v View) Version() uint16 {
	if v.body == nil {
		return 0
	}
	return binary.LittleEndian.Uint16(v.body[offVersion:])
}

// Time returns when the event happened, in unix nanoseconds.
func (v View) Time() int64 {
	if v.body == nil {
		return 0
	}
	return int64(binary.LittleEndian.Uint64(v.body[offTime:]))
}

// ID returns the event's id.
func (v View) ID() ID {
	if v.body == nil {
		return ID{}
	}
	return ID(v.body[offID : offID+idBytes])
}

// CorrelationID returns the id of the conversation, zero for none.
func (v View) CorrelationID() ID {
	if v.flags&flagCorrelation == 0 {
		return ID{}
	}
	return ID(v.body[fixedBytes : fixedBytes+idBytes])
}

// CausationID returns the id of the event that led to this one, zero for none.
func (v View) CausationID() ID {
	if v.flags&flagCausation == 0 {
		return ID{}
	}
	at := v.at(flagCausation)
	return ID(v.body[at : at+idBytes])
}

// at is the offset of a group with a fixed length: the ones before it have one too.
func (v *View) at(bit uint16) int {
	pos := fixedBytes
	for b := flagCorrelation; b < bit; b <<= 1 {
		if v.flags&b != 0 {
			pos += groupBytes(b)
		}
	}
	return pos
}

// Origin returns which handler put the event out and for what; false for one from outside.
func (v View) Origin() (Origin, bool) {
	if v.flags&flagOrigin == 0 {
		return Origin{}, false
	}
	g := v.body[v.at(flagOrigin):][:originBytes]
	return Origin{
		Handler: binary.LittleEndian.Uint64(g),
		Cause:   int64(binary.LittleEndian.Uint64(g[8:])),
		Ordinal: binary.LittleEndian.Uint32(g[16:]),
		Outputs: binary.LittleEndian.Uint32(g[20:]),
		Depth:   binary.LittleEndian.Uint32(g[24:]),
	}, true
}

// Trace returns the trace context, zero for none.
func (v View) Trace() Trace {
	if v.flags&flagTrace == 0 {
		return Trace{}
	}
	return v.trace(v.body[v.at(flagTrace):])
}

func (v *View) trace(g []byte) Trace {
	return Trace{TraceID: [16]byte(g[:16]), SpanID: [8]byte(g[16:24]), Flags: g[24]}
}

// Producer returns who published the event, "" for none.
func (v View) Producer() string { return string(v.ProducerBytes()) }

// ProducerBytes is Producer in place, nil for none.
func (v View) ProducerBytes() []byte { return v.slice(v.producer, v.producerLen) }

// Key returns what the event is about, "" for none.
func (v View) Key() string { return string(v.KeyBytes()) }

// KeyBytes is Key in place, nil for none.
func (v View) KeyBytes() []byte { return v.slice(v.key, v.keyLen) }

// Extensions returns the bytes kept for later versions of this package, nil for none.
func (v View) Extensions() []byte { return v.slice(v.extensions, v.extensionsLen) }

func (v *View) slice(off, n uint16) []byte {
	if n == 0 {
		return nil
	}
	end := int(off) + int(n)
	return v.body[off:end:end]
}

// StreamVersion returns the event's number in the stream that its key names, from 1; 0 for none.
func (v View) StreamVersion() int64 {
	if v.flags&flagStreamVersion == 0 {
		return 0
	}
	return int64(binary.LittleEndian.Uint64(v.body[v.versionAt():]))
}

// versionAt is the offset of the stream version: it stands behind the last group of those before it.
func (v *View) versionAt() int {
	switch {
	case v.extensionsLen > 0:
		return int(v.extensions) + int(v.extensionsLen)
	case v.keyLen > 0:
		return int(v.key) + int(v.keyLen)
	case v.producerLen > 0:
		return int(v.producer) + int(v.producerLen)
	}
	return v.at(flagProducer)
}

// SourceBytes returns where outside the event comes from, in place, nil for nowhere.
func (v View) SourceBytes() []byte {
	if v.flags&flagSource == 0 {
		return nil
	}
	at := v.sourceAt()
	return v.slice(uint16(at+1), uint16(v.body[at]))
}

// Source is SourceBytes as a string.
func (v View) Source() string { return string(v.SourceBytes()) }

// SourceOffset returns the event's place in its source, 0 where it has none.
func (v View) SourceOffset() int64 {
	if v.flags&flagSource == 0 {
		return 0
	}
	at := v.sourceAt()
	return int64(binary.LittleEndian.Uint64(v.body[at+1+int(v.body[at]):]))
}

// sourceAt is the offset of the source: it stands behind the stream version.
func (v *View) sourceAt() int {
	at := v.versionAt()
	if v.flags&flagStreamVersion != 0 {
		at += streamVersionBytes
	}
	return at
}

// Idempotent reports whether the publisher chose the id, so that another event with it is a
// repeat.
func (v View) Idempotent() bool { return v.flags&flagIdempotent != 0 }

// UnknownFlags returns the flag bits that this version does not know, 0 as a rule.
func (v View) UnknownFlags() uint16 { return v.flags &^ flagsKnown }

// Header returns a copy of the header. AppendHeader of it gives the same bytes again, unless
// UnknownFlags is not 0.
func (v View) Header() Header {
	h := Header{
		Kind:          v.Kind(),
		Version:       v.Version(),
		Time:          v.Time(),
		ID:            v.ID(),
		CorrelationID: v.CorrelationID(),
		CausationID:   v.CausationID(),
		Trace:         v.Trace(),
		Producer:      v.Producer(),
		Key:           v.Key(),
		StreamVersion: v.StreamVersion(),
		Source:        v.Source(),
		SourceOffset:  v.SourceOffset(),
		Idempotent:    v.Idempotent(),
	}
	h.Origin, h.HasOrigin = v.Origin()
	if x := v.Extensions(); x != nil {
		h.Extensions = append([]byte(nil), x...)
	}
	return h
}
