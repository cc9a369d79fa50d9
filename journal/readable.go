package journal

import (
	"errors"
	"time"
)

// How far a reader may read: the gate, what is committed, and what a survey leaves after a crash.

// gate returns the highest sequence that may be delivered now.
func (r *Reader) gate() int64 {
	gate := int64(1<<63 - 1)
	if r.o.UpTo == Durable {
		if r.j != nil {
			gate = r.j.Durable()
		} else {
			gate = r.durableOutside()
		}
	}
	if r.o.Until > 0 {
		gate = min(gate, r.o.Until)
	}
	return gate
}

// durableOutside reads the durable pair that the writer, if any, stored last: of this segment,
// or of a later one, because a pair of an older segment may itself have been lost.
func (r *Reader) durableOutside() int64 {
	d := loadPair(r.seg.mem, r.seg.hdr.id).sequence
	if s, ok := r.standing(); ok {
		d = max(d, s.durableSequence)
	}
	if _, last := r.committed(); d >= last {
		return d
	}
	segs, err := r.list()
	if err != nil {
		return d
	}
	s, err := newSurvey(r.st, r.dir)
	for i := len(segs) - 1; err == nil && i >= 0 && segs[i].id > r.seg.hdr.id; i-- {
		if s.readPages(segs[i]) == nil && segs[i].hdrErr == nil && segs[i].pair.generation > 0 {
			return max(d, segs[i].pair.sequence)
		}
	}
	return d
}

// end returns the offset up to which the current segment may be read, and what to report there.
func (r *Reader) end() (int64, error) {
	if r.seg.arc != nil {
		return r.seg.arc.head.end, nil // it was sealed and durable when it was archived
	}
	size := int64(len(r.seg.mem))
	alive := r.j != nil || r.vouched()
	committed, _ := r.committed()
	if alive {
		r.limits = nil
		if committed < recordsOffset || committed > r.seg.hdr.size || committed%recordAlign != 0 {
			return r.off, &CorruptionError{r.seg.name, ctlCommittedOffset, r.next, ErrLength}
		}
		if committed > size {
			return size, &CorruptionError{r.seg.name, size, r.next, ErrSize}
		}
		return committed, nil
	}
	if r.limits == nil && r.settled(committed) {
		return committed, nil
	}
	// The writer is gone. Judge as recovery would.
	if r.limits == nil {
		if err := r.survey(); err != nil {
			return r.off, err
		}
	}
	l, ok := r.limits[r.seg.hdr.id]
	if !ok {
		return r.off, nil
	}
	return l.end, l.err
}

// vouched tells whether the committed offset holds: its writer lives. It is a bare number, and one that
// nobody keeps up is not believed: whoever finds the writer gone judges by the records.
func (r *Reader) vouched() bool {
	if now := time.Now(); now.Sub(r.locked) > 5*time.Millisecond {
		r.locked, r.isLive = now, r.st.locked(r.dir)
		if r.isLive && r.view == nil {
			r.view = viewProgress(r.st, r.dir)
		}
	}
	return r.isLive
}

// standing returns what a writer that uses pwrite says of the current segment, while it lives.
func (r *Reader) standing() (s standing, ok bool) {
	switch {
	case r.j != nil && r.j.progress != nil:
		s, ok = loadStanding(r.j.progress.heap, r.seg.hdr.id)
	case r.j == nil && r.isLive && r.view != nil:
		s, ok = r.view.standing(r.seg.hdr.id)
	}
	return s, ok && s.plausible(r.seg.hdr.size)
}

// committed returns how far the current segment is committed, as its control page and PROGRESS say.
func (r *Reader) committed() (offset, sequence int64) {
	offset = int64(load64(r.seg.mem, ctlCommittedOffset))
	sequence = int64(load64(r.seg.mem, ctlCommittedSequence))
	if s, ok := r.standing(); ok {
		offset, sequence = max(offset, s.offset), max(sequence, s.sequence)
	}
	return offset, sequence
}

// settled tells whether the committed offset is that of the durable pair, which has a checksum, and
// nothing stands behind it: so it is after Close, and there is nothing to judge.
func (r *Reader) settled(committed int64) bool {
	p := loadPair(r.seg.mem, r.seg.hdr.id)
	if p.generation == 0 || p.offset != committed || committed < recordsOffset || committed%recordAlign != 0 {
		return false
	}
	size := int64(len(r.seg.mem))
	return committed == size || committed+recordAlign <= size && load64(r.seg.mem, committed) == 0
}

// survey judges the whole directory and remembers how far each segment may be read.
func (r *Reader) survey() error {
	s, err := takeSurvey(r.st, r.dir, surveying{})
	var bad *CorruptionError
	if err != nil && (s == nil || !errors.As(err, &bad)) {
		return err
	}
	r.limits, r.refused = make(map[uint64]limit, len(s.segs)), bad != nil
	for i, seg := range s.segs {
		if err == nil && i >= s.keep {
			break
		}
		l := limit{end: seg.end}
		if bad != nil && seg.name == bad.Segment {
			l.err = bad
			l.end = max(l.end, recordsOffset)
		}
		if seg.scanned || seg.sealed || l.err != nil {
			r.limits[seg.id] = l
		}
		if l.err != nil {
			break
		}
	}
	return nil
}
