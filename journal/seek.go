package journal

import (
	"errors"
	"fmt"
	"sort"
	"time"
)

// NewReaderAt is NewReader from the first record whose time is t or later. If there is none yet,
// the reader waits for it like any other: earlier ones are passed over.
//
// Errors: ErrClosed; the Options' faults.
func (j *Journal) NewReaderAt(t time.Time, o ReaderOptions) (*Reader, error) {
	r, err := j.NewReader(0, o)
	if err == nil {
		err = r.SeekTime(t)
	}
	return r, err
}

// OpenReaderAt is OpenReader from the first record whose time is t or later. Errors: those of
// OpenReader.
func OpenReaderAt(dir string, t time.Time, o ReaderOptions) (*Reader, error) {
	r, err := OpenReader(dir, 0, o)
	if err == nil {
		err = r.SeekTime(t)
	}
	return r, err
}

// SeekTo makes from the next sequence to deliver (0: the oldest that the journal holds). It may lie
// beyond the end. Errors: ErrOutOfRange; ErrClosed.
func (r *Reader) SeekTo(from int64) error {
	first, err := r.oldest()
	if err != nil {
		return err
	}
	if from == 0 {
		from = first
	}
	if from < first {
		return fmt.Errorf("%w: %d, the first is %d", ErrOutOfRange, from, first)
	}
	r.rewind(from)
	r.unbound()
	return nil
}

// SeekTime makes the first record whose time is t or later the next to deliver. Times are those
// of the records, which never decrease; of several with one time the first is found. The place is
// looked for at the next Read: among the segments by halving, reading one record of each, and
// inside the segment through its index.
//
// Errors: ErrClosed.
func (r *Reader) SeekTime(t time.Time) error {
	if err := r.SeekTo(0); err != nil {
		return err
	}
	r.from, r.timed, r.picky = t.UnixNano(), true, true
	return nil
}

// SeekTail makes the last n sequences behind the reader's gate the next to deliver; fewer if
// there are not so many, none for n = 0. Errors: ErrClosed; those of Read.
func (r *Reader) SeekTail(n int64) error {
	first, err := r.oldest()
	if err != nil {
		return err
	}
	last, err := r.newest()
	if err != nil {
		return err
	}
	if n < 0 {
		return fmt.Errorf("journal: seek the last %d sequences: want at least 0", n)
	}
	return r.SeekTo(max(first, last-min(n, last)+1))
}

// unbound forgets a SeekTime.
func (r *Reader) unbound() {
	r.timed, r.from, r.picky = false, minTime, r.types != nil
}

const minTime = -1 << 63

// oldest returns the first sequence that the journal holds.
func (r *Reader) oldest() (int64, error) {
	if r.closed {
		return 0, ErrClosed
	}
	segs, err := r.list()
	if err != nil {
		return 0, err
	}
	if len(segs) == 0 {
		return 0, fmt.Errorf("%w: %s", ErrNotFound, r.dir)
	}
	return segs[0].first, nil
}

// newest returns the last sequence behind the reader's gate; the one before the first if there
// is none. It ends the mapping of the current segment.
func (r *Reader) newest() (last int64, err error) {
	if r.j != nil {
		last = r.j.Written()
	} else if last, err = r.newestOutside(); err != nil {
		return 0, err
	}
	if r.o.UpTo == Durable {
		durable, err := r.Durable()
		if err != nil {
			return 0, err
		}
		last = min(last, durable)
	}
	if r.o.Until > 0 {
		last = min(last, r.o.Until)
	}
	return last, nil
}

// newestOutside finds the last sequence in a directory: what the newest segment's writer
// committed, if that can be believed, otherwise what a survey leaves.
func (r *Reader) newestOutside() (last int64, err error) {
	segs, err := r.list()
	if err != nil {
		return 0, err
	}
	if len(segs) == 0 {
		return 0, fmt.Errorf("%w: %s", ErrNotFound, r.dir)
	}
	if err := r.leave(); err != nil {
		return 0, err
	}
	s := segs[len(segs)-1]
	err = r.mapSegment(segmentID{s.first, s.id})
	vouched := false
	if err == nil {
		err = guard(s.name, r.seg.mem, func() error {
			if vouched = r.vouched(); vouched {
				_, last = r.committed()
			}
			return nil
		})
		err = errors.Join(err, r.leave())
	}
	if err == nil && vouched {
		return max(last, s.first-1), nil
	}
	if err != nil && !isCorruption(err) && !errors.Is(err, ErrFault) {
		return 0, err
	}
	sv, err := takeSurvey(r.st, r.dir, surveying{})
	if err != nil {
		return 0, err
	}
	last = segs[0].first - 1
	if sv.keep > 0 {
		last = sv.segs[sv.keep-1].lastKnown
	}
	return last, nil
}

func isCorruption(err error) bool {
	var c *CorruptionError
	return errors.As(err, &c)
}

// findTime returns the index of the last segment of ids whose first record is older than the
// time to find, 0 if there is none: the place is in it, or where the next one begins. A segment
// that cannot tell counts as young, so that the search ends before it and not behind.
func (r *Reader) findTime(ids []segmentID) int {
	young := sort.Search(len(ids), func(i int) bool {
		t, ok := r.firstTime(ids[i])
		return !ok || t >= r.from
	})
	return max(0, young-1)
}

// firstTime returns the time of a segment's first record, verified.
func (r *Reader) firstTime(id segmentID) (t int64, ok bool) {
	if r.mapSegment(id) != nil {
		return 0, false
	}
	seg := r.seg
	err := guard(seg.name, seg.mem, func() error {
		if len(seg.mem) < recordsOffset {
			return ErrSize
		}
		r.vouched()
		end, _ := r.committed()
		end = min(end, int64(len(seg.mem)))
		if _, err := seg.load(recordsOffset); err != nil {
			return err
		}
		f, _, _, err := readFrame(seg.mem, recordsOffset, end, seg.hdr.salt)
		t = f.time
		return err
	})
	return t, errors.Join(err, r.leave()) == nil
}
