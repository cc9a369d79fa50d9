package journal

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
	run run    // of the records in it
}

const (
	windowBytes = 256 << 10 // well inside of what a processor keeps close by
	windowFirst = 32 << 10  // until it shows that more than a few records are read
	windowLeast = 2 << 10   // below it a system call costs more than the faults
)

// lacks tells whether the record at off is not in the window as a whole.
func (w *window) lacks(off int64) bool {
	rel := off - w.at
	if rel < 0 || rel+recordHeaderBytes > w.n {
		return true
	}
	return rel+int64(le.Uint32(w.buf[rel:])) > w.n
}

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
func (w *window) drop() {
	w.n = 0
	w.run.drop()
}
