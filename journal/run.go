package journal

import "github.com/headrace/headrace/internal/crc"

// run is some events in a row that lie in a window, were verified and decoded, and are in their places:
// each has the sequence after that of the one before it, and no earlier time. They only have to be
// handed out.
//
// They are decoded some time before that, because a Record is passed on through memory, and the
// processor has to wait for a load that takes together what was stored in several pieces a moment ago.
type run struct {
	recs [runRecords]Record
	at   int // recs[at:n] are not handed out yet
	n    int
}

const (
	runRecords = 96       // a multiple of three
	runFirst   = 4 << 10  // bytes: whoever reads one record pays for no more
	runBytes   = 16 << 10 // once a run was handed out to its end
)

// drop forgets what is left.
func (q *run) drop() { q.at, q.n = 0, 0 }

// begins tells whether the next record to hand out is that at off, behind one with that time.
func (q *run) begins(off, sequence, time int64) bool {
	if q.at >= q.n {
		return false
	}
	rec := &q.recs[q.at]
	return rec.Offset == off && rec.Sequence == sequence && rec.Time >= time
}

// expected is what the next event has to be.
type expected struct {
	segment, salt  uint64
	sequence       int64
	time, lastTime int64 // neither before nor after them
}

// fill takes events from rel of w on, up to the first record that is no good event or not what is expected.
func (q *run) fill(w *window, rel int64, e expected) {
	room := int64(runFirst)
	if q.n > 0 && q.at == q.n {
		room = runBytes
	}
	q.drop()
	m := w.buf[:w.n]
	at, stop := rel, min(w.n, rel+room)
	for at < stop && q.n+3 <= len(q.recs) {
		length, good := w.sound(at, e.salt)
		if good == 0 {
			return
		}
		for range good {
			h := m[at : at+recordHeaderBytes : at+recordHeaderBytes]
			sequence, time, w3 := int64(le.Uint64(h[8:])), int64(le.Uint64(h[16:])), le.Uint64(h[24:])
			if sequence != e.sequence || time < e.time || time > e.lastTime {
				return
			}
			rec := &q.recs[q.n]
			rec.Sequence, rec.Time, rec.Type = sequence, time, uint16(w3)
			rec.Kind, rec.Flags, rec.CRC = KindEvent, Flags(w3>>24), le.Uint32(h[4:])
			rec.Body = m[at+recordHeaderBytes : at+length : at+length]
			rec.Offset, rec.Segment = w.at+at, e.segment
			e.sequence, e.time = sequence+1, time
			at += (length + recordAlign - 1) &^ (recordAlign - 1)
			q.n++
		}
	}
}

// sound verifies the record at rel of the window, or three of the same length that begin there, which takes
// little longer. It returns how many of them are good events, 3, 1 or 0, and the length of each.
func (w *window) sound(rel int64, salt uint64) (length int64, good int) {
	m := w.buf[:w.n]
	length, ok := eventLength(m, rel)
	if !ok {
		return 0, 0
	}
	step := (length + recordAlign - 1) &^ (recordAlign - 1)
	second, third := rel+step, rel+2*step
	if third+step <= w.n && alike(m, second, length) && alike(m, third, length) &&
		(step == length || padded(m, second+length) && padded(m, third+length)) {
		a, b, c := crc.Records3(m[rel:third+length], int(length), int(step), salt, uint64(w.at+rel))
		if a == le.Uint32(m[rel+4:]) && b == le.Uint32(m[second+4:]) && c == le.Uint32(m[third+4:]) {
			return length, 3
		}
	}
	if crc.Record(m[rel:rel+length], salt, uint64(w.at+rel)) != le.Uint32(m[rel+4:]) {
		return 0, 0
	}
	return length, 1
}

// alike tells whether the record at off of m has n bytes, header and body, and is an event; its padding
// is for the caller to check.
func alike(m []byte, off, n int64) bool {
	h := m[off : off+recordHeaderBytes : off+recordHeaderBytes]
	return int64(le.Uint32(h)) == n && isEvent(le.Uint64(h[24:]))
}
