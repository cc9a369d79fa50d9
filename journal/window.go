package journal

// window is a piece of a segment that a reader copied out of the page cache, to decode records in.
//
// Every page of a new mapping costs a fault, or its share of a call that makes pages present, at
// the first access; where a hypervisor keeps page tables of its own, microseconds. Copying a record
// of 128 bytes costs 10 to 20 ns. So what is read in sequence is copied, and the mapping serves for
// what is read here and there.
type window struct {
	buf []byte
	at  int64 // buf[:n] is what lies at [at, at+n) of the segment
	n   int64
	own []byte // to copy to
}

const (
	windowBytes = 128 << 10 // half of what a processor keeps close by
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
	if off == w.at && w.n == windowBytes {
		return // the record is larger than a window
	}
	w.at, w.n = off, 0
	if end-off < windowLeast {
		return
	}
	if w.own == nil {
		w.own = wordsToBytes(make([]uint64, windowBytes/8))
	}
	w.buf = w.own
	n := min(end-off, windowBytes)
	if k, _ := f.ReadAt(w.buf[:n], off); int64(k) == n {
		w.n = n
	}
}

// show makes the window m, which lies at off of an archived segment and was unpacked there.
func (w *window) show(m []byte, off int64) { w.buf, w.at, w.n = m, off, int64(len(m)) }

// drop forgets what is in the window.
func (w *window) drop() { w.n = 0 }
