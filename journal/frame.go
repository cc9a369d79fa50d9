package journal

import "github.com/headrace/headrace/internal/crc"

// frame is a record's header, decoded.
type frame struct {
	length   uint32 // header and body
	crc      uint32
	sequence int64
	time     int64
	typ      uint16
	kind     Kind
	flags    Flags
	lag      uint32
}

// recordBytes is the room that a record with n bytes of body takes, padding included.
func recordBytes(n int) int64 {
	return (recordHeaderBytes + int64(n) + recordAlign - 1) &^ (recordAlign - 1)
}

// frameTail is the scratch for what a record's checksum covers after its body: salt, offset,
// length, and bytes 8 to 32 of its header.
type frameTail crc.Words

// sum goes on from the checksum of the body.
func (t *frameTail) sum(body uint32, salt, offset, length, w1, w2, w3 uint64) uint32 {
	*t = frameTail{salt, offset, length, w1, w2, w3}
	return crc.Tail(body, (*crc.Words)(t))
}

// frame is the checksum of body and what follows.
func (t *frameTail) frame(body []byte, salt, offset, length, w1, w2, w3 uint64) uint32 {
	*t = frameTail{salt, offset, length, w1, w2, w3}
	return crc.Frame(body, (*crc.Words)(t))
}

// packWord3 makes bytes 24 to 32 of a header.
func packWord3(typ uint16, kind Kind, flags Flags, lag uint32) uint64 {
	return uint64(typ) | uint64(kind)<<16 | uint64(flags)<<24 | uint64(lag)<<32
}

// lagOf is the durable lag to store with a record.
func lagOf(sequence, durable int64) uint32 {
	if d := sequence - durable; d >= 0 && d < lagUnknown {
		return uint32(d)
	}
	return lagUnknown
}

// promises returns the sequence that the record says was durable when it was written, or 0.
func (f *frame) promises() int64 {
	if f.lag == lagUnknown {
		return 0
	}
	return f.sequence - int64(f.lag)
}

// peekFrame decodes the header at off, which lies in m, without judging it.
func peekFrame(m []byte, off int64) (f frame) {
	h := m[off : off+recordHeaderBytes : off+recordHeaderBytes]
	w0, w3 := le.Uint64(h), le.Uint64(h[24:])
	f.length, f.crc = uint32(w0), uint32(w0>>32)
	f.sequence = int64(le.Uint64(h[8:]))
	f.time = int64(le.Uint64(h[16:]))
	f.typ, f.kind, f.flags, f.lag = uint16(w3), Kind(w3>>16), Flags(w3>>24), uint32(w3>>32)
	return f
}

// readFrame decodes and verifies the record at off in m[:end]: length, kind, flags, padding and
// checksum, not its place in the sequence. It returns the header, the body's view and the
// offset after the record, or a cause such as ErrChecksum. A zero length is ErrHole.
func readFrame(m []byte, off, end int64, salt uint64) (f frame, body []byte, next int64, err error) {
	return readFrameAt(m, off, end, off, salt)
}

// readFrameAt is readFrame where the record at off of m stands at offset of its segment.
func readFrameAt(m []byte, off, end, offset int64, salt uint64) (f frame, body []byte, next int64, err error) {
	if off+recordHeaderBytes > end {
		if end-off >= 8 && le.Uint32(m[off:]) != 0 || end < off {
			return f, nil, 0, ErrLength
		}
		return f, nil, 0, ErrHole
	}
	h := m[off : off+recordHeaderBytes : off+recordHeaderBytes]
	w0, w3 := le.Uint64(h), le.Uint64(h[24:])
	f.length, f.crc = uint32(w0), uint32(w0>>32)
	f.sequence, f.time = int64(le.Uint64(h[8:])), int64(le.Uint64(h[16:]))
	f.typ, f.kind, f.flags, f.lag = uint16(w3), Kind(w3>>16), Flags(w3>>24), uint32(w3>>32)
	if f.length == 0 {
		return f, nil, 0, ErrHole
	}
	stop := off + int64(f.length)
	next = (stop + recordAlign - 1) &^ (recordAlign - 1)
	if f.length < recordHeaderBytes || next > end {
		return f, nil, 0, ErrLength
	}
	body = m[off+recordHeaderBytes : stop : stop]
	if crc.Record(m[off:stop], salt, uint64(offset)) != f.crc {
		return f, nil, 0, ErrChecksum
	}
	if f.kind < KindEvent || f.kind > kindLast || f.flags&^FlagBatch != 0 {
		return f, nil, 0, ErrKind
	}
	for i := stop; i < next; i++ {
		if m[i] != 0 {
			return f, nil, 0, ErrPadding
		}
	}
	return f, body, next, nil
}

// eventLength returns the length of the event at off in m, header and body; ok says that its length,
// kind, flags and padding are those of an event. Its checksum and place are for the caller to check.
func eventLength(m []byte, off int64) (n int64, ok bool) {
	if off+recordHeaderBytes > int64(len(m)) {
		return 0, false
	}
	h := m[off : off+recordHeaderBytes : off+recordHeaderBytes]
	n = int64(le.Uint32(h))
	if n < recordHeaderBytes || n > int64(len(m))-off || !isEvent(le.Uint64(h[24:])) {
		return 0, false
	}
	return n, padded(m, off+n)
}

// isEvent tells whether kind and flags in bytes 24 to 32 of a header are those of an event.
func isEvent(w3 uint64) bool { return w3>>16&0xFEFF == uint64(KindEvent) }

// padded tells whether m holds zeros from stop, where a record ends, to where the next one begins.
func padded(m []byte, stop int64) bool {
	over := stop & (recordAlign - 1)
	if over == 0 {
		return true
	}
	at := stop - over
	return at+recordAlign <= int64(len(m)) && le.Uint64(m[at:at+recordAlign:at+recordAlign])>>(8*uint(over)) == 0
}

// advances tells whether records of kind k take a sequence of their own.
func (k Kind) advances() bool { return k == KindEvent || k == KindVoid || k == KindLost }

// checksum is the CRC32C of b.
func checksum(b []byte) uint32 { return crc.Body(b) }
