package journal

import (
	"errors"
	"fmt"
	"os"
)

// What is durable of a journal, as far as it can be proven without opening it: what Backup, Restore, Archive and Trim go by.

// durableLog is the segments of a journal and what is durable of them.
type durableLog struct {
	s     *survey
	segs  []*found // all
	parts []*found // the first of segs, all but the last of them whole; their pairs say how far
}

// durableIn finds what is durable in dir. Errors: ErrNotFound; *CorruptionError; those of the operating system.
func durableIn(st storage, dir string) (*durableLog, error) {
	segs, _, _, err := listSegments(st, dir)
	if errors.Is(err, os.ErrNotExist) || err == nil && len(segs) == 0 {
		return nil, fmt.Errorf("%w: %s", ErrNotFound, dir)
	}
	if err != nil {
		return nil, err
	}
	return durableOf(st, dir, segs)
}

// durableOf is durableIn of these segments.
func durableOf(st storage, dir string, segs []*found) (*durableLog, error) {
	s, err := newSurvey(st, dir)
	if err != nil {
		return nil, err
	}
	for _, seg := range segs {
		if err := s.readPages(seg); err != nil {
			return nil, err
		}
	}
	d := &durableLog{s: s, segs: segs}
	if !s.locked && !s.marked && !segs[len(segs)-1].here {
		err := d.asOpenWould(st, dir)
		if !st.locked(dir) {
			return d, err
		}
		d.segs, s.locked = segs, true // a writer came meanwhile: what it finds was promised before is durable
	}
	d.parts, err = s.promisedParts(segs)
	return d, err
}

// mayLag tells whether the journal may have more that is durable than what is proven: a writer is in the middle of
// recovery, or the page cache cannot be trusted.
func (d *durableLog) mayLag() bool { return d.s.locked || d.s.marked }

// asOpenWould takes the journal as the next Open will, where nobody has written to it since this boot: what the page cache
// has of it came from the disk, and recovery loses none of it, even where the promises of the last syncs did not get there.
func (d *durableLog) asOpenWould(st storage, dir string) error {
	s, err := takeSurvey(st, dir, surveying{})
	if err != nil {
		return err
	}
	d.segs, d.parts = s.segs, nil
	for _, seg := range s.segs[:s.keep] {
		if err := seg.archiveIsWhole(); err != nil {
			return err
		}
		seg.pair = pair{max(seg.pair.generation, 1), seg.end, seg.lastKnown}
		if d.parts = append(d.parts, seg); !seg.sealed {
			break
		}
	}
	if len(d.parts) == 0 {
		return fmt.Errorf("%w: %s: nothing in it is durable yet", ErrNotFound, dir)
	}
	return nil
}

// archiveIsWhole checks that head and control page of an archived segment say the same, if it is one.
func (s *found) archiveIsWhole() error {
	if a := s.archive; a != nil && (a.end != s.pair.offset || a.last != s.pair.sequence) {
		return corrupt(s, recordsOffset, s.first, fmt.Errorf("%w: head and control page differ", ErrArchive))
	}
	return nil
}

// promisedParts returns the segments as far as they are promised to be synced. A segment is synced before the next one is,
// so that the promise of a later one is that of all before it, which have their seals then.
func (s *survey) promisedParts(segs []*found) (parts []*found, err error) {
	proven := 0 // segments before the last one that promises anything
	for i, seg := range segs {
		if seg.pair.generation > 0 {
			proven = i
		}
	}
	for i, seg := range segs {
		switch {
		case seg.hdrErr != nil && i > proven && seg.pair.generation == 0:
			return parts, nil // being made
		case seg.hdrErr != nil:
			return nil, badHeader(seg)
		case seg.hdr.uuid != segs[0].hdr.uuid:
			return nil, corrupt(seg, 16, seg.first, ErrForeign)
		case i > 0 && seg.first != parts[i-1].pair.sequence+1:
			return nil, corrupt(seg, recordsOffset, parts[i-1].pair.sequence+1, fmt.Errorf("%w: segment starts at %d, the one before it ends at %d",
				ErrGap, seg.first, parts[i-1].pair.sequence))
		}
		whole, err := s.promisedPart(seg, i < proven)
		if err != nil && seg.archive == nil && s.archivedSince(seg) {
			whole, err = s.promisedPart(seg, i < proven)
		}
		if err != nil {
			return nil, err
		}
		if seg.pair.generation == 0 {
			break
		}
		if parts = append(parts, seg); !whole {
			break
		}
	}
	if len(parts) == 0 {
		return nil, fmt.Errorf("%w: %s: nothing in it is durable yet", ErrNotFound, s.dir)
	}
	if last := parts[len(parts)-1]; !s.locked && len(parts) == len(segs) && s.mark.behind(segs, last.pair.sequence) {
		return nil, s.missing(last.pair.sequence)
	}
	return parts, nil
}

// promisedPart finds out how far a segment is promised, and whether that is all of it, which proven says that it must be.
func (s *survey) promisedPart(seg *found, proven bool) (whole bool, err error) {
	if a := seg.archive; a != nil {
		seg.lastTime, seg.sealed = a.lastTime, true
		return true, seg.archiveIsWhole()
	}
	p := seg.pair
	if p.generation > 0 && (p.offset < recordsOffset || p.offset > min(seg.size, seg.hdr.size) || p.offset%recordAlign != 0) {
		return false, corrupt(seg, ctlPair0, seg.first, ErrLength)
	}
	if err := s.readSeal(seg); err != nil || seg.sealed {
		return seg.sealed, err
	}
	if proven {
		return true, s.findSeal(seg)
	}
	if s.mark.promised(seg) > p.sequence {
		return false, corrupt(seg, ctlPair0, seg.first, fmt.Errorf("%w: the durable pair says less than the last Close", ErrChecksum))
	}
	return false, nil
}

// archivedSince tells whether a segment that was plain when it was looked at is archived by now, and takes it as that.
func (s *survey) archivedSince(seg *found) bool {
	now := &found{name: seg.name, first: seg.first, id: seg.id}
	if s.readPages(now) != nil || now.archive == nil {
		return false
	}
	*seg = *now
	return true
}

// findSeal looks for the seal of a segment whose own promise does not reach it, although it was synced whole: the promise
// had not reached the disk, or is damaged.
func (s *survey) findSeal(seg *found) error {
	return s.withMap(seg, func(m []byte) error {
		r := scanSegment(m, &seg.hdr, seg.hdr.size, minTime)
		if !r.sealed {
			return corrupt(seg, r.at, r.atSeq, fmt.Errorf("%w: a later segment promises it", r.cause))
		}
		seg.pair = pair{max(seg.pair.generation, 1), r.end, r.last}
		seg.lastTime, seg.sealed = r.time, true
		return nil
	})
}

// readSeal finds out whether the durable part of a plain segment ends with its seal.
func (s *survey) readSeal(seg *found) error {
	seg.sealed = false
	return s.withMap(seg, func(m []byte) error {
		at := seg.pair.offset - sealRecordBytes
		if at < recordsOffset || seg.pair.offset > int64(len(m)) {
			return nil
		}
		f, _, next, err := readFrame(m, at, seg.pair.offset, seg.hdr.salt)
		seg.lastTime = f.time
		seg.sealed = err == nil && f.kind == KindSeal && next == seg.pair.offset
		return nil
	})
}
