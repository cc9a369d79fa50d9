package journal

// The page cache keeps a file in the pieces in which it was first written to: records that come 10 KiB at
// a time lie in single pages, scattered over the memory, and who reads them again spends most of the time
// on the copy out of these. So in the modes that seldom sync a writer that uses pwrite writes zeros to the
// whole piece when it comes to the first byte of it, and then its records over them while the piece is still
// in the processor's own cache. To the kernel that is one allocation instead of 16, which pays for the zeros
// and more. In the modes that sync each batch the disk would have to write what is zero as well.

// fillBytes is how long a piece is: as long as may be beside the records in a processor's own cache.
const fillBytes = int64(len(zeroPage))

// fillAhead writes zeros to the rest of the piece in which the records end that are in the buffer, if nobody
// did. They go to the file after it: nothing that the file already has is behind the buffer's beginning.
func (j *Journal) fillAhead() error {
	w := &j.w
	s := w.seg
	if w.off <= s.filled || !j.fills() {
		return nil
	}
	from := max(s.filled, w.base, w.off&^(fillBytes-1)) // what is before it comes in one large piece anyway
	to := min((w.off+fillBytes-1)&^(fillBytes-1), s.hdr.size)
	s.filled = to
	if to == from {
		return nil
	}
	return j.writeAt(zeroPage[:to-from], from)
}

// fills tells whether pieces are written as a whole first. A file system in memory makes single pages of them
// all the same.
func (j *Journal) fills() bool {
	return !j.diskless && (j.o.Durability.mode == modeNone || j.o.Durability.mode == modeInterval)
}
