package journal

import "github.com/headrace/headrace/internal/crc"

// window is a piece of a segment that a reader copied out of the page cache, to verify and decode
// records in.
//
// Every page of a new mapping costs a fault, or its share of a call that makes pages present, at
// the first access; where a hypervisor keeps page tables of its own, microseconds. Copying a record
// of 128 bytes costs 10 to 20 ns. So what is read in sequence is copied, and the mapping serves for
// what is read here and there.
//
// Copying on another goroutine does not pay: what a second processor has written costs as much to
// fetch from its cache as the copy took.
type window struct {
	buf []byte
	at  int64 // buf[:n] is what lies at [at, at+n) of the segment
	n   int64
	own []byte // to copy to

	// buf[from:sound] are records that were verified, all of them events; their places in the
	// sequence were not.
	from, sound int64
}

const (
	windowBytes = 256 << 10 // well inside of what a processor keeps close by
	windowFirst = 32 << 10  // until it shows that more than a few records are read
	windowLeast = 2 << 10   // below it a system call costs more than the faults

	verifyBytes = 4 << 10 // are verified at a time: whoever reads one record pays for no more
)

// lacks tells whether the record at off is not in the window as a whole.
func (w *window) lacks(off int64) bool {
	rel := off - w.at
	if rel < 0 || rel+recordHeaderBytes > w.n {
		return true
	}
	return rel+int64(le.Uint32(w.buf[rel:])) > w.n
}

// verified tells whether the record at rel of the window was verified and is an event.
func (w *window) verified(rel int64) bool { return rel >= w.from && rel < w.sound }

// fill makes the window begin at off, which is a record's, and end at end at the latest. Where that
// is not worth it, or cannot be read, the window is empty: the mapping will show why.
func (w *window) fill(f file, off, end int64) {
	more := w.n == int64(len(w.own)) && w.n > 0 && off >= w.at && off <= w.at+w.n
	if off == w.at && w.n == windowBytes {
		return // the record is larger than a window
	}
	w.drop()
	w.at = off
	if end-off < windowLeast {
		return
	}
	if size := windowFirst; w.own == nil || more && len(w.own) == size && end-off > int64(size) {
		if more {
			size = windowBytes
		}
		w.own = wordsToBytes(make([]uint64, size/8))
	}
	w.buf = w.own
	n := min(end-off, int64(len(w.own)))
	if k, _ := f.ReadAt(w.buf[:n], off); int64(k) == n {
		w.n = n
	}
}

// show makes the window m, which lies at off of an archived segment and was unpacked there.
func (w *window) show(m []byte, off int64) {
	w.drop()
	w.buf, w.at, w.n = m, off, int64(len(m))
}

// drop forgets what is in the window.
func (w *window) drop() { w.n, w.from, w.sound = 0, 0, 0 }

// verify looks at some records from rel on, the first one included, up to the first that is not a
// good event.
func (w *window) verify(rel int64, salt uint64) {
	w.from, w.sound = rel, rel
	m := w.buf[:w.n]
	stop := min(w.n, rel+verifyBytes)
	for w.sound < stop {
		at := w.sound
		n, ok := eventLength(m, at)
		if !ok {
			return
		}
		// Records of the same length, three at a time.
		step := (n + recordAlign - 1) &^ (recordAlign - 1)
		second, third := at+step, at+2*step
		if third+n <= w.n {
			n2, ok2 := eventLength(m, second)
			n3, ok3 := eventLength(m, third)
			if ok2 && ok3 && n2 == n && n3 == n {
				a, b, c := crc.Records3(m[at:third+n], int(n), int(step), salt, uint64(w.at+at))
				if a == le.Uint32(m[at+4:]) && b == le.Uint32(m[second+4:]) && c == le.Uint32(m[third+4:]) {
					w.sound = third + step
					continue
				}
			}
		}
		if crc.Record(m[at:at+n], salt, uint64(w.at+at)) != le.Uint32(m[at+4:]) {
			return
		}
		w.sound = at + step
	}
}
