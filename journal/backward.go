package journal

import (
	"errors"
	"runtime/debug"
)

// Reading backwards. Records can only be found from the front, so a segment is cut into
// stretches of some 64 KiB at places that are known, or found by one pass over it, and each
// stretch is read forwards, verified, and delivered from its end.

// stretchBytes is about how long a stretch is; a single record may make it longer.
const stretchBytes = 64 << 10

// ReadBackward delivers the records before the place at which the reader stands, the last one
// first, down to the oldest; the sequence of the reader goes back with them, so that Read goes
// on from there forwards, and ReadBackward, after an ErrStop, further back. The gate, Until,
// UntilTime, Types and SeekTime's moment hold as they do for Read; records of the journal itself
// are not delivered. Views, the meaning of fn's errors and what is verified are Read's.
//
//	err := r.SeekTail(0)         // behind the last record
//	n, err := r.ReadBackward(fn) // from there back
//
// Memory: the offsets of some 64 KiB of records, and of one place for every 64 KiB of a segment.
// Errors: those of Read.
func (r *Reader) ReadBackward(fn func(Record) error) (n int, err error) {
	if r.closed {
		return 0, ErrClosed
	}
	oldest, err := r.oldest()
	if err != nil {
		return 0, err
	}
	last, err := r.newest()
	if err != nil {
		return 0, err
	}
	oldestTime := r.from
	next := min(r.Sequence(), last) + 1
	if r.timed {
		next = oldest
	}
	r.rewind(next)
	b := backward{r: r, fn: fn, next: next, oldestTime: oldestTime}
	for b.next > oldest && !b.over {
		before := b.next
		if err = b.segment(); err != nil {
			break
		}
		if b.next >= before {
			break // the segments in between were removed meanwhile
		}
	}
	r.rewind(b.next)
	if errors.Is(err, ErrStop) {
		err = nil
	}
	return b.n, err
}

// backward is one call of ReadBackward.
type backward struct {
	r          *Reader
	fn         func(Record) error
	next       int64 // records below it are still to deliver
	oldestTime int64
	n          int
	over       bool // the records get too old
	reached    int64
	frames     []place
}

// segment delivers what is before next in the segment that holds next-1.
func (b *backward) segment() (err error) {
	r := b.r
	r.timed = false
	r.next, r.skip = b.next-1, 0
	if _, err := r.enter(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.leave()) }()
	// Of several segments that start there, all but the last hold no event.
	first := r.at.first
	for len(r.ids) > 0 && r.ids[0].first == first {
		id := r.ids[0]
		if err := errors.Join(r.leave(), r.mapSegment(id)); err != nil {
			return err
		}
		r.ids = r.ids[1:]
	}
	if r.seg == nil { // recovery will put it aside: what there is ends before it
		b.next = first
		return nil
	}
	seg := r.seg
	old := debug.SetPanicOnFault(true)
	defer restoreFault(old, seg.name, seg.mem, &err)
	end, limitErr := r.end()
	places, err := b.places(end)
	if err != nil {
		return err
	}
	if b.reached < b.next && limitErr != nil {
		return limitErr
	}
	for i := len(places) - 1; i >= 0 && !b.over; i-- {
		stop := end
		if i+1 < len(places) {
			stop = places[i+1].offset
		}
		if err := b.stretch(places[i], stop); err != nil {
			return err
		}
	}
	return nil
}

// places returns where the stretches of the current segment begin, up to the one with next-1: by
// its index, or by one pass over it.
func (b *backward) places(end int64) (places []place, err error) {
	seg := b.r.seg
	if v, sl, ok := findIndex(seg, end); ok && v.len() > 0 && v.at(0).offset == recordsOffset {
		for i := range v.len() {
			if p := v.at(i); p.sequence < b.next {
				places = append(places, p)
			}
		}
		b.reached = sl.lastSequence + 1
		return places, nil
	}
	p := place{sequence: seg.hdr.first, time: minTime, offset: recordsOffset}
	mark := int64(0)
	for p.offset < end && p.sequence < b.next {
		if p.offset >= mark {
			places = append(places, p)
			mark = p.offset + stretchBytes
		}
		if _, err := seg.load(p.offset); err != nil {
			return nil, err
		}
		f, _, next, err := readFrame(seg.mem, p.offset, end, seg.hdr.salt)
		if err == nil {
			err = follows(&f, p.sequence, p.time)
		}
		if err != nil {
			return nil, &CorruptionError{seg.name, p.offset, p.sequence, err}
		}
		if f.kind.advances() {
			p.sequence = f.sequence + 1
		}
		p.offset, p.time = next, f.time
	}
	b.reached = p.sequence
	return places, nil
}

// stretch delivers the records from p to stop that are before next, the last first.
func (b *backward) stretch(p place, stop int64) error {
	r, seg := b.r, b.r.seg
	b.frames = b.frames[:0]
	for p.offset < stop && p.sequence < b.next {
		if _, err := seg.load(p.offset); err != nil {
			return err
		}
		f, _, next, err := readFrame(seg.mem, p.offset, stop, seg.hdr.salt)
		if err == nil {
			err = follows(&f, p.sequence, p.time)
		}
		if err != nil {
			return &CorruptionError{seg.name, p.offset, p.sequence, err}
		}
		if f.kind.advances() {
			b.frames = append(b.frames, place{f.sequence, f.time, p.offset})
			p.sequence = f.sequence + 1
		}
		p.offset, p.time = next, f.time
	}
	rec := Record{Segment: seg.hdr.id}
	for i := len(b.frames) - 1; i >= 0; i-- {
		at := b.frames[i]
		if at.time < b.oldestTime {
			b.over = true
			return nil
		}
		if _, err := seg.load(at.offset); err != nil {
			return err
		}
		f, body, _, err := readFrame(seg.mem, at.offset, stop, seg.hdr.salt)
		if err != nil {
			return &CorruptionError{seg.name, at.offset, at.sequence, err}
		}
		pass := r.types == nil || r.types.wants(f.kind, f.typ)
		if pass && (r.o.UntilTime == 0 || f.time <= r.o.UntilTime) {
			rec.Sequence, rec.Time, rec.Type = f.sequence, f.time, f.typ
			rec.Kind, rec.Flags, rec.CRC = f.kind, f.flags, f.crc
			rec.Body, rec.Offset = body, at.offset
			if err := b.fn(rec); err != nil {
				if errors.Is(err, ErrStop) {
					b.next = f.sequence
					b.n++
				}
				return err
			}
			b.n++
		}
		b.next = f.sequence
	}
	return nil
}
