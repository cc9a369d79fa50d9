package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// How a reader finds its segment, and goes on to the next.

// list returns the segments that there are now. A directory that is gone is ErrNotFound.
func (r *Reader) list() ([]*found, error) {
	segs, _, _, err := listSegments(r.st, r.dir)
	if errors.Is(err, os.ErrNotExist) {
		err = errorf("%w: %w", ErrNotFound, err)
	}
	return segs, err
}

// enter maps the segment that holds the next sequence. ok is false if there is none yet.
func (r *Reader) enter() (ok bool, err error) {
	segs, err := r.list()
	if err != nil {
		return false, err
	}
	r.ids = r.ids[:0]
	for _, s := range segs {
		r.ids = append(r.ids, segmentID{s.first, s.id})
	}
	// The last one that starts at or before the next sequence; of several that start there,
	// the first, since the others are empty or go on from it.
	// For a time, every segment may be the one: findTime decides.
	i := -1
	for k, s := range r.ids {
		if (s.first <= r.next || r.timed) && (i < 0 || s.first > r.ids[i].first) {
			i = k
		}
	}
	if i < 0 {
		if len(r.ids) == 0 {
			return false, fmt.Errorf("%w: %s", ErrNotFound, r.dir)
		}
		return false, fmt.Errorf("%w: %d, the first is %d", ErrOutOfRange, r.next, r.ids[0].first)
	}
	timed := r.timed
	if timed {
		i = r.findTime(r.ids[:i+1])
		r.next, r.timed = r.ids[i].first, false
	}
	want := r.next
	if timed {
		want = minTime
	}
	s := r.ids[i]
	r.ids, r.at = r.ids[i+1:], s
	if err := r.mapSegment(s); err != nil {
		return false, r.excused(r.gone(err, s.first), s.id)
	}
	r.off, r.time, r.atSeal = recordsOffset, 0, false
	if r.seg.hdr.first < want {
		// From the nearest place that the index knows, else from the start: everything on
		// the way is verified too, and not delivered.
		r.next = r.seg.hdr.first
		return true, r.jump(want)
	}
	if timed {
		return true, r.jump(minTime)
	}
	return true, nil
}

// advance goes on from a sealed segment to the next one.
func (r *Reader) advance() (ok bool, err error) {
	cur := segmentID{r.seg.hdr.first, r.seg.hdr.id}
	if len(r.ids) == 0 {
		segs, err := r.list()
		if err != nil {
			return false, err
		}
		for _, s := range segs {
			if s.id > cur.id {
				r.ids = append(r.ids, segmentID{s.first, s.id})
			}
		}
	}
	if len(r.ids) == 0 {
		return false, nil // sealed, and the next is not made yet
	}
	next := r.ids[0]
	if next.first != r.next {
		if err := r.removed(); err != nil {
			return false, err
		}
		return false, &CorruptionError{segmentName(next.first, next.id), recordsOffset, r.next,
			fmt.Errorf("%w: the segment starts at %d", ErrGap, next.first)}
	}
	time := r.time
	old := r.seg
	r.seg = nil
	if err := r.mapSegment(next); err != nil {
		r.seg = old
		return false, r.excused(r.gone(err, next.first), next.id)
	}
	r.ids = r.ids[1:]
	r.off, r.time, r.atSeal = recordsOffset, time, false
	err = old.f.munmap(old.mem)
	if e := old.f.close(); err == nil {
		err = e
	}
	return true, err
}

// excused returns nil for the error of a segment that no writer stands for and that recovery will
// put aside: its name reached the disk before a power cut and its header did not. Nothing in it was
// acknowledged, so the journal ends before it.
func (r *Reader) excused(err error, id uint64) error {
	var bad *CorruptionError
	if !errors.As(err, &bad) || r.j != nil || r.vouched() {
		return err
	}
	if e := r.survey(); e != nil {
		return e
	}
	l, kept := r.limits[id]
	switch {
	case l.err != nil:
		return l.err
	case kept || r.refused:
		return err
	}
	return nil
}

// gone turns the error of a segment that vanished into one that says so.
func (r *Reader) gone(err error, first int64) error {
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w: the segment with %d was removed", ErrOutOfRange, first)
	}
	return err
}

// removed returns an error if what the reader would deliver next is no longer there.
func (r *Reader) removed() error {
	first, err := r.oldest()
	if err == nil && first > r.next {
		err = fmt.Errorf("%w: %d, the first is %d", ErrOutOfRange, r.next, first)
	}
	return err
}

// mapSegment opens and maps a segment and checks that it belongs here.
func (r *Reader) mapSegment(id segmentID) error {
	name := segmentName(id.first, id.id)
	path := filepath.Join(r.dir, name)
	f, err := r.st.open(path, false)
	if err != nil {
		return err
	}
	seg := &readSegment{name: name, f: f}
	size, err := f.size()
	page := newPages(1)
	if err == nil && size >= recordsOffset {
		_, err = f.ReadAt(page, 0)
	}
	if err == nil {
		err = seg.hdr.decode(page)
		switch {
		case errors.Is(err, ErrFormatVersion):
			err = errorf("%s: %w", name, err)
		case err == nil && (seg.hdr.first != id.first || seg.hdr.id != id.id):
			err = fmt.Errorf("%w: of another name", ErrHeader)
			fallthrough
		case err != nil:
			err = &CorruptionError{name, 0, id.first, err}
		case r.uuid != [16]byte{} && r.uuid != seg.hdr.uuid:
			err = &CorruptionError{name, 16, id.first, ErrForeign}
		case seg.hdr.archived:
			if seg.arc, err = wrapArchive(f, path, &seg.hdr, r.o.Archives); err != nil {
				return err
			}
			f, seg.f, size = seg.arc, seg.arc, seg.hdr.size
		case size > seg.hdr.size:
			err = &CorruptionError{name, seg.hdr.size, id.first, ErrSize}
		}
	}
	if err == nil {
		seg.mem, err = f.mmap(min(size, seg.hdr.size), false)
	}
	if err != nil {
		f.close()
		return err
	}
	r.uuid = seg.hdr.uuid
	r.seg = seg
	r.win.drop()
	return nil
}
