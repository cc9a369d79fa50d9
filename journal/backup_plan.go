package journal

import (
	"bytes"
	"fmt"
)

// What a backup has to copy, and whether the copy may go on at all: it must be the beginning of what the journal has now.
// Segments that were made after two histories parted have different salts, and so different headers; the one in which they
// parted is told by its records.

// backingUp is one call of Backup.
type backingUp struct {
	st    storage
	log   *durableLog
	copy  *survey  // of the copy's directory; it has no segments
	have  []*found // the copy's segments
	ahead *found   // of have, the newest, if it has more than is proven of the journal
}

// plan returns the parts that the copy lacks.
func (b *backingUp) plan() (todo []*found, err error) {
	parts := b.log.parts
	there := make(map[string]*found, len(b.have))
	for _, c := range b.have {
		if err := b.copy.readPages(c); err != nil {
			return nil, err
		}
		if c.hdrErr == nil && c.hdr.uuid != parts[0].hdr.uuid {
			return nil, corrupt(c, 16, c.first, fmt.Errorf("%w: the copy is not of it", ErrForeign))
		}
		there[c.name] = c
	}
	if err := b.adjoins(); err != nil {
		return nil, err
	}
	if err := b.isOurs(); err != nil {
		return nil, err
	}
	for _, p := range parts {
		c := there[p.name]
		if c == nil || c.hdrErr != nil {
			if b.ahead != nil && !p.sealed {
				return nil, b.fork(b.ahead, fmt.Sprintf("%s before it is damaged or missing, and the journal has not all of it", p.name))
			}
			todo = append(todo, p)
			continue
		}
		keep, err := b.compare(c, p)
		if err != nil {
			return nil, err
		}
		if !keep {
			todo = append(todo, p)
		}
	}
	return todo, nil
}

// adjoins returns ErrBackupGap if the parts do not go on where what the copy has ends: a segment that the copy has
// a part of, or none, was removed.
func (b *backingUp) adjoins() error {
	first := b.log.parts[0]
	var last *found // of the copy's segments before the parts
	for _, c := range b.have {
		if c.id < first.id {
			last = c
		}
	}
	if last == nil || last.hdrErr != nil {
		return nil // damage is for Verify
	}
	if err := b.findEnd(last); err != nil {
		return err
	}
	if last.sealed && last.lastKnown+1 == first.first {
		return nil
	}
	return fmt.Errorf("%w: the copy ends with sequence %d, the journal begins with %d; back up into another directory",
		ErrBackupGap, last.lastKnown, first.first)
}

// isOurs checks that each segment of the copy, but for those that were trimmed, is one of the journal's.
func (b *backingUp) isOurs() error {
	parts := b.log.parts
	ours := make(map[string]*found, len(b.log.segs))
	for _, seg := range b.log.segs {
		ours[seg.name] = seg
	}
	for _, c := range b.have {
		switch seg := ours[c.name]; {
		case c.id < parts[0].id:
		case seg == nil:
			return b.fork(c, fmt.Sprintf("the journal has no segment %s", c.name))
		case c.hdrErr == nil && seg.hdrErr == nil && c.hdr.plain() != seg.hdr.plain():
			return b.fork(c, fmt.Sprintf("%s is another segment of that name", c.name))
		case c.id > parts[len(parts)-1].id:
			if c.hdrErr != nil || !b.log.mayLag() {
				return b.behind(c)
			}
			if err := b.findEnd(c); err != nil {
				return err
			}
			b.ahead = c
		}
	}
	return nil
}

// fork is the refusal because of a segment of the copy.
func (b *backingUp) fork(c *found, why string) error {
	return fmt.Errorf("%w: %s: %s; restore the copy, or back up into another directory", ErrBackupFork, b.copy.dir, why)
}

// behind is the refusal of a copy that has more than the journal.
func (b *backingUp) behind(c *found) error {
	last := b.log.parts[len(b.log.parts)-1].pair.sequence
	return b.fork(c, fmt.Sprintf("it goes on to sequence %d, the journal ends with %d", max(c.pair.sequence, c.lastKnown, c.first-1), last))
}

// compare tells whether c, of the copy, which has p's header, has all that is durable of p. It refuses where one is not the
// beginning of the other.
func (b *backingUp) compare(c, p *found) (keep bool, err error) {
	if err := b.findEnd(c); err != nil {
		return false, err
	}
	if p.sealed && c.end > p.pair.offset {
		return false, b.fork(c, fmt.Sprintf("%s ends with sequence %d, the copy's with %d", c.name, p.pair.sequence, c.lastKnown))
	}
	short := min(c.end, p.pair.offset)
	from := int64(recordsOffset)
	whole := c.sealed && p.sealed && c.end == p.pair.offset && c.lastKnown == p.pair.sequence && c.lastTime == p.lastTime
	if whole { // most segments are: what two histories made of one differs in its last records, and a repair marks the seal
		from = max(from, short-c.tailBytes())
	}
	same, err := b.sameRecords(c, p, from, short)
	if !same && p.archive == nil && b.log.s.archivedSince(p) {
		if _, err := b.log.s.promisedPart(p, true); err != nil {
			return false, err
		}
		return b.compare(c, p)
	}
	switch {
	case isAccess(err) && whole:
		return true, nil // as far as can be told without a key
	case isAccess(err):
		return false, nil
	case err != nil:
		return false, err
	case !same:
		return false, b.different(c, p)
	case c.end <= p.pair.offset:
		return whole && (c.archive != nil || c.size == c.hdr.size) && c.promisesAll(), nil
	case !b.log.mayLag():
		return false, b.behind(c)
	}
	if b.ahead == nil { // else the copy has segments behind this one
		b.ahead = c
	}
	return true, nil
}

// promisesAll tells whether the copy's control page promises all that it has, as it did when it was written.
func (s *found) promisesAll() bool {
	return s.pair.generation > 0 && s.pair.offset == s.end && s.pair.sequence == s.lastKnown
}

// tailBytes is how much of the end of a sealed segment tells whose it is: seal, index and some records.
func (s *found) tailBytes() int64 { return segmentReserve(s.hdr.size) + pageBytes }

// findEnd finds out how far c, a segment of the copy, reaches: to where its control page says or, if that is damaged, as far
// as its records verify.
func (b *backingUp) findEnd(c *found) error {
	if a := c.archive; a != nil {
		c.end, c.lastKnown, c.lastTime, c.sealed = a.end, a.last, a.lastTime, true
		return nil
	}
	if c.pair.generation > 0 && c.pair.offset >= recordsOffset && c.pair.offset <= min(c.size, c.hdr.size) && c.pair.offset%recordAlign == 0 {
		c.end, c.lastKnown = c.pair.offset, c.pair.sequence
		return b.copy.readSeal(c)
	}
	return b.copy.withMap(c, func(m []byte) error {
		r := scanSegment(m, &c.hdr, c.hdr.size, minTime)
		c.end, c.lastKnown, c.lastTime, c.sealed = r.end, r.last, r.time, r.sealed
		return nil
	})
}

// sameRecords tells whether [from, to) of the two segments is the same.
func (b *backingUp) sameRecords(c, p *found, from, to int64) (same bool, err error) {
	err = b.copy.withRecords(c, func(mc []byte, loadC loader) error {
		return b.log.s.withRecords(p, func(mp []byte, loadP loader) error {
			same, err = equalRecords(mc, loadC, mp, loadP, from, to)
			return err
		})
	})
	return same, err
}

func equalRecords(a []byte, loadA loader, b []byte, loadB loader, from, to int64) (bool, error) {
	if to > int64(min(len(a), len(b))) {
		return false, nil
	}
	for off := from; off < to; {
		end := min(to, off+1<<20)
		for _, load := range []loader{loadA, loadB} {
			if load == nil {
				continue
			}
			loaded, err := load(off)
			if err != nil {
				return false, err
			}
			end = min(end, loaded)
		}
		if !bytes.Equal(a[off:end], b[off:end]) {
			return false, nil
		}
		off = end
	}
	return true, nil
}

// different says what it means that the records of c and p are not the same: one of them is damaged, or they are two
// histories. A damaged copy is replaced if the journal has all of it.
func (b *backingUp) different(c, p *found) error {
	if err := b.log.s.withRecords(p, func(m []byte, load loader) error { return verifies(m, load, p, p.pair.offset) }); err != nil {
		return err
	}
	err := b.copy.withRecords(c, func(m []byte, load loader) error { return verifies(m, load, c, c.end) })
	switch {
	case err == nil:
		return b.fork(c, fmt.Sprintf("%s has other records", c.name))
	case isCorruption(err) && c.end <= p.pair.offset:
		return nil
	case isCorruption(err):
		return fmt.Errorf("%w; that is of the copy: back up into another directory", err)
	}
	return err
}

// verifies checks the records of a segment up to end.
func verifies(m []byte, load loader, seg *found, end int64) error {
	r := scanLoaded(m, &seg.hdr, end, minTime, load, nil)
	if isCorruption(r.cause) || isAccess(r.cause) {
		return r.cause
	}
	if r.end < end {
		return corrupt(seg, r.at, r.atSeq, r.cause)
	}
	return nil
}
