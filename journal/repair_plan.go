package journal

import (
	"errors"
	"fmt"
)

// PlanRepair says what a repair of the journal in dir would do. It changes nothing. A plan without
// steps means that there is nothing to repair.
//
// A repair never runs by itself. It keeps every record that verifies in its place, with its
// sequence, time and checksum. What no longer verifies becomes lost records, one for each
// sequence, so that sequences have no gap and none is given out twice; readers see them
// as KindLost. A segment whose file is missing between others, or that the chain proves to have
// been there, becomes a segment of lost records. Each file is copied to the directory aside
// before it is replaced.
//
// Errors: ErrNotFound; ErrLocked while a writer has the journal; ErrFormatVersion; ErrDirectory;
// ErrRepair; those of the operating system.
func PlanRepair(dir string, o RepairOptions) (*RepairPlan, error) {
	p, err := planRepair(osStorage{}, dir, o)
	return p, named(err)
}

func planRepair(st storage, dir string, o RepairOptions) (*RepairPlan, error) {
	if st.locked(dir) {
		return nil, fmt.Errorf("%w: %s: repair needs the journal for itself", ErrLocked, dir)
	}
	return makePlan(st, dir, o)
}

func makePlan(st storage, dir string, o RepairOptions) (*RepairPlan, error) {
	if o.MaxLost == 0 {
		o.MaxLost = DefaultMaxLost
	}
	if o.MaxLost < 1 {
		return nil, fmt.Errorf("journal: repair options: MaxLost: %d, want at least 1", o.MaxLost)
	}
	p := &RepairPlan{Dir: dir, st: st, o: o}
	rep, err := verify(unlocked{st}, dir, VerifyOptions{Archives: o.Archives})
	if err == nil && rep.DurableLost == 0 {
		p.Torn = rep.Torn
		return p, nil
	}
	// A newest file that was cut is no damage to Open, which gives the numbers out again; whoever
	// asks for a repair first gets lost records for what had been promised.
	if err != nil && !isCorruption(err) {
		return nil, err
	}
	damage := err
	var at *CorruptionError
	errors.As(err, &at)
	// Every segment, whatever a survey would have said about those behind the damage.
	p.s = &survey{st: st, dir: dir, surveying: surveying{all: true, access: o.Archives}, now: st.identity(dir)}
	if p.s.progress, p.s.mark, err = readProgress(st, dir); err != nil {
		return nil, err
	}
	if p.s.segs, p.s.spares, p.s.marked, err = listSegments(st, dir); err != nil {
		return nil, err
	}
	if len(p.s.segs) == 0 {
		return nil, errorf("%w: no segment is left in %s: bring the files back from a copy; or, to begin anew, remove %s: %w",
			ErrRepair, dir, progressName, damage)
	}
	for _, seg := range p.s.segs {
		if err := p.s.readPages(seg); err != nil {
			return nil, err
		}
		if errors.Is(seg.hdrErr, ErrFormatVersion) {
			return nil, errorf("%s: %w", seg.name, seg.hdrErr)
		}
		if seg.hdr.archived && (seg.hdrErr != nil || at != nil && seg.name == at.Segment) {
			return nil, errorf("%w: %s is archived: its blocks cannot be mended; bring the file back from a copy: %w", ErrRepair, seg.name, damage)
		}
		if seg.misnamed {
			return nil, p.misnamed(seg)
		}
	}
	links, chainFault := p.chain()
	if err := p.segments(p.promising(links)); err != nil {
		return nil, err
	}
	if err := p.cutChain(links, chainFault); err != nil {
		return nil, err
	}
	if len(p.Steps) == 0 {
		err := fmt.Errorf("%w: %s: nothing is known against what is wrong", ErrRepair, dir)
		if damage != nil {
			err = errorf("%w: %w", err, damage)
		}
		return nil, err
	}
	return p, nil
}

// misnamed says what to do about a segment that has the header of another.
func (p *RepairPlan) misnamed(seg *found) error {
	own := segmentName(seg.hdr.first, seg.hdr.id)
	for _, s := range p.s.segs {
		if s.name == own {
			return fmt.Errorf("%w: %s has the header of %s, which is there too: move %s out of the directory; what it should have held is then lost",
				ErrRepair, seg.name, own, seg.name)
		}
	}
	return fmt.Errorf("%w: %s has the header of %s: give it that name back, or move it out of the directory", ErrRepair, seg.name, own)
}

// unlocked hides a lock that Apply holds itself.
type unlocked struct{ storage }

func (unlocked) locked(string) bool { return false }

// uuid is the identity that most segments have whose header can be read.
func (p *RepairPlan) uuid() (best [16]byte) {
	count, most := map[[16]byte]int{}, 0
	for _, seg := range p.s.segs {
		if seg.hdrErr == nil {
			count[seg.hdr.uuid]++
			if n := count[seg.hdr.uuid]; n > most {
				best, most = seg.hdr.uuid, n
			}
		}
	}
	return best
}

// chain reads the links, as far as they are links.
func (p *RepairPlan) chain() ([]Link, error) {
	links, _, err := readChain(p.st, p.Dir, p.uuid())
	return links, err
}

// promising returns the links that say how far segments reach: those of whole ones, and a tail link, or else what the
// last Close says, where the segment that it is about is gone.
func (p *RepairPlan) promising(links []Link) (all []Link) {
	for i := range links {
		if l := &links[i]; !l.Tail || i == len(links)-1 && l.Segment > p.s.segs[len(p.s.segs)-1].id {
			all = append(all, *l)
		}
	}
	newest := p.s.segs[len(p.s.segs)-1]
	if m := &p.s.mark; m.last >= m.first && m.behind(p.s.segs, newest.first-1) && (len(all) == 0 || all[len(all)-1].Last < m.last) {
		for len(all) > 0 && all[len(all)-1].Segment >= m.segment {
			all = all[:len(all)-1] // a tail link of the same segment, from before
		}
		all = append(all, Link{Segment: m.segment, First: m.first, Last: m.last})
	}
	return all
}

// segments plans what becomes of each segment.
func (p *RepairPlan) segments(links []Link) error {
	segs := p.s.segs
	uuid := p.uuid()
	lastTime, lastID := int64(0), uint64(0)
	next := segs[0].first
	for i, seg := range segs {
		if seg.first < next {
			return fmt.Errorf("%w: %s starts at %d, but the segments before it reach to %d: move the one aside that does not belong",
				ErrRepair, seg.name, seg.first, next-1)
		}
		if seg.first > next {
			if err := p.missing(links, uuid, lastID, seg.id, next, seg.first-1, lastTime); err != nil {
				return err
			}
		}
		v := &salvaged{seg: seg, hdr: seg.hdr}
		if err := p.read(v, uuid, lastTime); err != nil {
			return err
		}
		newest := i == len(segs)-1 && (len(links) == 0 || links[len(links)-1].Segment <= seg.id)
		until, rewrite := v.last, v.fault != nil
		if v.sealed {
			until = v.sealEnd
		}
		if !newest {
			if after := p.after(i, links); !v.sealed || after < v.last || i+1 < len(segs) && segs[i+1].id == seg.id+1 {
				until = after // else there was another segment in between
			}
			if until < v.last {
				return fmt.Errorf("%w: %s reaches to %d, but the next segment starts at %d: move the one aside that does not belong",
					ErrRepair, seg.name, v.last, until+1)
			}
			rewrite = rewrite || !v.sealed || until > v.last
			if !v.sealed {
				v.note(v.stop, fmt.Errorf("%w: it is missing", ErrSeal))
			}
		} else if !v.sealed {
			var err error
			if until, rewrite, err = p.tail(i, v); err != nil {
				return err
			}
		}
		if v.inBatch && until <= v.last {
			v.dropBatch()
		}
		if need := until - v.last; v.rebuilt && v.kept == 0 && need > 0 && need <= p.o.MaxLost {
			v.hdr.size = max(v.hdr.size, sizeForLost(need)) // nothing of it is left that had a place
		}
		room := max(0, (v.hdr.size-sealRecordBytes-v.end)/recordHeaderBytes)
		v.lostEnd = min(until-v.last, room)
		if rewrite && seg.archive != nil {
			return fmt.Errorf("%w: %s is archived, and would have to reach to sequence %d: bring the files back from a copy", ErrRepair, seg.name, until)
		}
		if rewrite {
			if err := p.add(RepairRewrite, v, !newest || v.sealed); err != nil {
				return err
			}
		}
		next = v.last + v.lostEnd + 1
		lastTime, lastID = v.time, seg.id
	}
	for _, l := range links {
		if l.Segment > lastID {
			lastTime = max(lastTime, l.LastTime)
			if err := p.missing(links, uuid, lastID, l.Segment+1, next, l.Last, lastTime); err != nil {
				return err
			}
			next, lastID = l.Last+1, l.Segment
		}
	}
	return nil
}

// read salvages v's segment, with a header made anew where it has none.
func (p *RepairPlan) read(v *salvaged, uuid [16]byte, lastTime int64) error {
	seg := v.seg
	v.time = lastTime
	if a := seg.archive; a != nil { // verified whole before the damage that is elsewhere, or after
		v.end, v.stop, v.sealEnd, v.last, v.time, v.sealed = a.end, a.end, a.last, a.last, a.lastTime, true
		return nil
	}
	switch {
	case seg.hdrErr != nil, seg.hdr.uuid != uuid:
		fault, foreign := seg.hdrErr, seg.hdrErr == nil
		if foreign {
			fault = ErrForeign
		}
		var ok bool
		var err error
		if v.hdr, ok, err = p.s.rebuildHeader(seg, uuid); err != nil {
			return err
		}
		v.note(0, fault)
		v.rebuilt = true
		if !ok || foreign {
			v.end, v.stop, v.last = recordsOffset, recordsOffset, v.hdr.first-1
			v.hdr.salt = 0 // Apply draws one
			return nil
		}
	case seg.size != seg.hdr.size:
		v.note(min(seg.size, seg.hdr.size), fmt.Errorf("%w: %s bytes, the header says %s", ErrSize, thousands(seg.size), thousands(seg.hdr.size)))
	}
	return p.s.salvage(v, lastTime)
}

// after returns the last sequence that segment i must reach, as what follows it says.
func (p *RepairPlan) after(i int, links []Link) int64 {
	segs := p.s.segs
	for _, l := range links {
		if l.Segment == segs[i].id && l.Last >= segs[i].first-1 && (i+1 == len(segs) || l.Last < segs[i+1].first) {
			return l.Last
		}
	}
	if i+1 < len(segs) {
		return segs[i+1].first - 1
	}
	for _, l := range links {
		if l.Segment > segs[i].id {
			return l.First - 1
		}
	}
	return segs[i].first - 1
}

// tail says what to do about the end of the newest segment, which is not sealed: nothing where a crash
// explains it, which Open knows how to handle.
func (p *RepairPlan) tail(i int, v *salvaged) (until int64, rewrite bool, err error) {
	seg := v.seg
	promised := max(seg.pair.sequence, p.s.mark.promised(seg))
	if seg.here {
		promised = max(promised, seg.committedSeq)
	}
	until = v.last
	if room := (v.hdr.size - v.end) / recordHeaderBytes; promised-until > room {
		promised = 0 // not a number that the segment could have reached
	}
	until = max(until, promised)
	if v.rebuilt || until > v.last {
		v.note(v.stop, ErrHole)
		return until, true, nil
	}
	if v.inBatch && promised <= v.last {
		until = max(promised, v.whole.sequence)
	}
	if v.fault == nil {
		return until, false, nil
	}
	at, want := v.firstWound()
	if at < seg.pair.offset || seg.here && at < seg.committed || len(v.wounds) > 0 && v.wounds[0].padding {
		return until, true, nil
	}
	// An error is a file that pretends more than can be checked: no crash writes that.
	_, where, err := p.s.promisedBehind(i, at, want)
	return until, where != nil || err != nil, nil
}

// missing plans a segment of lost records [first, last] between the ids after and before.
func (p *RepairPlan) missing(links []Link, uuid [16]byte, after, before uint64, first, last, time int64) error {
	id := after + 1
	for _, l := range links {
		if l.Segment > after && l.Segment < before && l.First == first {
			id = l.Segment
		}
	}
	if id >= before {
		return fmt.Errorf("%w: sequences %d to %d are missing, and there was no segment that could have held them: bring the files back as they were",
			ErrRepair, first, last)
	}
	n := last - first + 1
	if n > p.o.MaxLost {
		return p.tooMany(n)
	}
	size := sizeForLost(n)
	if size >= MaxSegmentBytes {
		return p.tooMany(n)
	}
	v := &salvaged{hdr: header{uuid: uuid, id: id, first: first, size: size}, rebuilt: true,
		end: recordsOffset, stop: recordsOffset, last: first - 1, time: time, lostEnd: n}
	v.note(0, errMissing)
	return p.add(RepairMake, v, true)
}

// sizeForLost is the size of a segment that takes n lost records, index and seal.
func sizeForLost(n int64) int64 {
	size := max(MinSegmentBytes, (recordsOffset+n*recordHeaderBytes+pageBytes-1)&^(pageBytes-1))
	return size + segmentReserve(size+segmentReserve(size))
}

func (p *RepairPlan) tooMany(n int64) error {
	return fmt.Errorf("%w: %s sequences would be given up, MaxLost is %s: is there a file that does not belong?",
		ErrRepair, thousands(n), thousands(p.o.MaxLost))
}
