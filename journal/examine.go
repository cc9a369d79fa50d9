package journal

import (
	"errors"
	"fmt"
	"os"
)

// examine judges the segments in order and fills in the verdict. The error is a refusal:
// a *CorruptionError, or one that wraps ErrFormatVersion or ErrDirectory.
//
// The cases, for the first place p in a segment that is not a good record. "here" means that the
// writer's boot and mount are the present ones: the process died but the page cache is whole.
// "promised" means that the durable pair, the mark of the last Close, or a valid record at or behind p in
// this or a later segment, says that the sequence expected at p was synced.
//
//	header      p                    then
//	later       anywhere             refused as a later version, before anything else is judged
//	foreign     anywhere             corruption, likewise
//	good        after the seal       next segment
//	good        beyond the file      newest: cut file, all before it is kept; else corruption
//	good        promised             corruption
//	good        below committed      here: corruption; otherwise committed proves nothing
//	good        clean, newest        the end: zeros up to the end of the file
//	good        next segment goes on only the seal is missing: write it; what stands there is
//	                                 zeroed if here, else kept aside
//	good        here, newest         one unfinished record or batch: zero it, go on
//	good        anything else        torn tail: keep it and later segments aside, cut, seal
//	short       newest               cut file: the segment goes aside
//	short       not newest           corruption
//	bad         promised, or here    corruption
//	bad         anything else        made but never synced: it and later ones go aside
//	missing     promised             corruption: the mark of the last Close names it
//
// TestRecover_TableOfCases runs every combination against a second statement of these rules.
func (s *survey) examine() error {
	if err := s.examineKin(); err != nil {
		return err
	}
	if err := s.examineSegments(); err != nil {
		return err
	}
	return s.examineMark()
}

func (s *survey) examineSegments() error {
	lastKnown, lastTime := int64(0), int64(0)
	for i, seg := range s.segs {
		newest := i == len(s.segs)-1
		if s.tell != nil {
			s.tell(i, len(s.segs))
		}
		if seg.hdrErr != nil {
			return s.examineHeader(i)
		}
		switch {
		case i > 0 && seg.first != lastKnown+1:
			return corrupt(seg, recordsOffset, lastKnown+1,
				fmt.Errorf("%w: segment starts at %d, the one before it ends at %d", ErrGap, seg.first, lastKnown))
		case seg.size > seg.hdr.size, seg.size < seg.hdr.size && !newest:
			return corrupt(seg, min(seg.size, seg.hdr.size), 0, fmt.Errorf("%w: %s bytes, the header says %s",
				ErrSize, thousands(seg.size), thousands(seg.hdr.size)))
		case seg.size < recordsOffset:
			s.isCut, s.durableLost = true, max(0, s.promisedOf(seg)-(seg.first-1))
			return s.tearFrom(i)
		}
		if err := s.examineRecords(i, lastTime); err != nil {
			return err
		}
		if s.torn || s.wipe {
			return nil
		}
		s.keep = i + 1
		lastKnown, lastTime = seg.lastKnown, seg.lastTime
	}
	return nil
}

// examineKin refuses segments of a later version or of another journal before anything else is judged: a
// tear in front of them would put them aside, and no crash made them.
func (s *survey) examineKin() error {
	var kin *found
	for _, seg := range s.segs {
		switch {
		case errors.Is(seg.hdrErr, ErrFormatVersion):
			return errorf("%s: %w", seg.name, seg.hdrErr)
		case seg.hdrErr != nil:
		case kin == nil:
			kin = seg
		case seg.hdr.uuid != kin.hdr.uuid:
			return corrupt(seg, 16, seg.first, ErrForeign)
		}
	}
	return nil
}

// tearFrom gives up segment i and all after it: none of their records was ever promised.
func (s *survey) tearFrom(i int) error {
	s.keep, s.torn = i, true
	if s.tearCause == nil {
		s.tearCause = s.segs[i].hdrErr
	}
	return nil
}

// examineHeader judges segment i, whose header cannot be read.
func (s *survey) examineHeader(i int) error {
	seg, newest := s.segs[i], i == len(s.segs)-1
	bad := corrupt(seg, 0, seg.first, seg.hdrErr)
	switch {
	case seg.size < recordsOffset && !newest:
		return bad
	case seg.size < pageBytes:
		s.isCut, s.durableLost = true, max(0, s.mark.promised(seg)-(seg.first-1))
		return s.tearFrom(i)
	case seg.here || seg.pair.generation > 0 || s.live || s.mark.promised(seg) > 0:
		return bad
	}
	if i > 0 && s.segs[i-1].hdr.uuid != seg.hdr.uuid && seg.hdr.uuid != [16]byte{} && seg.size < recordsOffset {
		return bad
	}
	// The salt field may be good although the page is not. Records that verify with it and
	// promise anything in this segment prove that the header had been synced with them.
	budget := int64(0)
	for k := i; k < len(s.segs); k++ {
		later := s.segs[k]
		if later.archive != nil {
			return bad
		}
		stored, err := s.dataBytes(later, recordsOffset, later.size)
		if err != nil {
			return err
		}
		budget += lookAheadFactor * stored
		h := later.hdr
		h.first = later.first
		h.size = later.size
		at := int64(0)
		err = s.withMapAndHoles(later, later.size, func(m []byte, dataAfter func(int64) (int64, error)) (err error) {
			if salt, ok := findSalt(m, h.salt, h.first); ok && later.hdrErr != nil {
				h.salt = salt
			}
			at, err = lookAhead(m, &h, recordsOffset, int64(len(m)), seg.first, dataAfter, &budget)
			return err
		})
		if err != nil {
			return corrupt(seg, 0, seg.first, err)
		}
		if at != 0 || k > i && later.pair.sequence >= seg.first {
			return bad
		}
	}
	return s.tearFrom(i)
}

// examineRecords judges the records of segment i, whose header is good.
func (s *survey) examineRecords(i int, prevTime int64) error {
	seg, newest := s.segs[i], i == len(s.segs)-1
	if seg.archive != nil && !s.archived {
		seg.asHeadSays()
		return nil
	}
	if !s.all && !newest && s.sealAtHint(i) {
		return nil
	}
	stop := seg.hdr.size
	live := s.live && newest
	if live {
		// What is behind the committed offset is being written right now.
		stop = min(stop, seg.committed)
	}
	err := s.withRecords(seg, func(m []byte, load loader) error {
		seg.scan = scanLoaded(m, &seg.hdr, stop, prevTime, load, s.pace)
		return nil
	})
	if s.live && errors.Is(err, os.ErrNotExist) {
		seg.gone = true
		if seg.lastKnown, seg.lastTime = seg.first-1, prevTime; !newest {
			seg.lastKnown = s.segs[i+1].first - 1
		}
		return nil
	}
	if s.skip && seg.archive != nil && (isUnreadable(err) || isUnreadable(seg.scan.cause)) {
		seg.unread = true
		seg.asHeadSays()
		return nil
	}
	if err != nil {
		return corrupt(seg, recordsOffset, seg.first, err)
	}
	r := &seg.scan
	if s.pace.ended(r.cause) || isCorruption(r.cause) || isAccess(r.cause) {
		return r.cause // the last two from an archive
	}
	if seg.archive != nil && !r.sealed {
		return corrupt(seg, r.at, r.atSeq, r.cause)
	}
	seg.scanned = true
	seg.end, seg.lastKnown, seg.lastTime, seg.sealed = r.end, r.last, r.time, r.sealed
	seg.synced = seg.archive != nil
	if r.sealed {
		// Zeros behind the seal may be missing; nothing else is.
		s.isCut = s.isCut || newest && seg.cut()
		return nil
	}
	bad := corrupt(seg, r.at, r.atSeq, r.cause)
	if live {
		if r.end < stop {
			return bad
		}
		return nil
	}

	if promised := seg.pair.offset > r.end || s.promisedOf(seg) > r.last; promised ||
		seg.here && seg.committed > r.end && seg.committed <= seg.hdr.size {
		if !seg.cut() || !s.beyondCut(seg) {
			return bad
		}
		s.durableLost = max(0, s.promisedOf(seg)-r.last)
	}
	dataEnd, err := s.dataEnd(seg, r.end)
	if err != nil {
		return err
	}
	clean := dataEnd == r.end && r.at == r.end
	var next *found
	if !newest {
		next = s.segs[i+1]
	}
	switch {
	case newest && clean && !seg.cut():
		return nil
	case next != nil && next.hdrErr == nil && next.first == r.last+1:
		seg.reseal = true
		return nil
	}
	if at, where, err := s.promisedBehind(i, r.at, r.last+1); err != nil {
		return corrupt(seg, r.at, r.atSeq, err)
	} else if where != nil {
		return corrupt(seg, r.at, r.atSeq, fmt.Errorf("%w (%s: the record at offset %s promises it)", r.cause, where.name, thousands(at)))
	}
	switch {
	case newest && seg.here && !seg.cut():
		s.wipe = true
	case seg.here && !seg.cut():
		return bad // a process's death cannot lose what a later segment goes on from
	default:
		s.torn, s.isCut, s.tearCause = true, seg.cut(), r.cause
	}
	s.keep = i + 1
	return nil
}

// asHeadSays takes an archived segment at its word: it was sealed, durable and verified when it was archived, and readers
// verify it again.
func (s *found) asHeadSays() {
	a := s.archive
	s.end, s.lastKnown, s.lastTime, s.sealed, s.synced = a.end, a.last, a.lastTime, true, true
}

// promisedOf is the last sequence of seg that its durable pair, or the last Close, says was synced.
func (s *survey) promisedOf(seg *found) int64 { return max(seg.pair.sequence, s.mark.promised(seg)) }

// beyondCut tells whether the record at which the scan stopped reaches past the end of the file.
func (s *survey) beyondCut(seg *found) bool {
	at := seg.scan.at
	if at+recordHeaderBytes > seg.size {
		return true
	}
	beyond := false
	err := s.withMap(seg, func(m []byte) error {
		n := int64(le.Uint32(m[at:]))
		beyond = n >= recordHeaderBytes && n <= seg.hdr.size-at && at+(n+recordAlign-1)&^(recordAlign-1) > seg.size
		return nil
	})
	return err == nil && beyond
}

// promisedBehind looks behind offset p of segment i, and in all later segments, for a proof that
// sequence want had been synced.
func (s *survey) promisedBehind(i int, p, want int64) (at int64, where *found, err error) {
	budget := int64(0)
	for k := i; k < len(s.segs); k++ {
		seg := s.segs[k]
		if seg.pair.sequence >= want && (k > i || !seg.cut()) {
			return ctlPair0, seg, nil
		}
		if seg.archive != nil {
			continue
		}
		from := int64(recordsOffset)
		if k == i {
			from = p
		}
		end, err := s.dataEnd(seg, from)
		if err != nil {
			return 0, nil, err
		}
		if end = (end + recordAlign - 1) &^ (recordAlign - 1); end <= from {
			continue
		}
		stored, err := s.dataBytes(seg, from, end)
		if err != nil {
			return 0, nil, err
		}
		budget += lookAheadFactor * stored
		err = s.withMapAndHoles(seg, seg.size, func(m []byte, dataAfter func(int64) (int64, error)) (err error) {
			at, err = lookAhead(m, &seg.hdr, from, end, want, dataAfter, &budget)
			return err
		})
		if err != nil || at != 0 {
			return at, seg, err
		}
	}
	return 0, nil, nil
}

// sealAtHint finds the seal of an older segment without reading its records. It is good enough
// where the page cache is whole, or where something proves that the segment was synced: then
// damage inside is corruption whoever finds it, and readers do.
func (s *survey) sealAtHint(i int) bool {
	seg, next := s.segs[i], s.segs[i+1]
	if next.hdrErr != nil {
		return false
	}
	hint := int64(0)
	if seg.here {
		hint = seg.committed
	}
	seg.synced = false
	proven := seg.pair.sequence >= next.first-1 && seg.pair.offset > recordsOffset
	if proven {
		hint = max(hint, seg.pair.offset)
	}
	for _, later := range s.segs[i+1:] {
		if later.hdrErr == nil && later.pair.generation > 0 && later.pair.sequence >= next.first-1 {
			proven = true
			hint = max(hint, seg.committed)
			break
		}
	}
	at := hint - sealRecordBytes
	if !proven && !seg.here || at < recordsOffset || hint > seg.size || hint%recordAlign != 0 {
		return false
	}
	ok := false
	err := s.withMap(seg, func(m []byte) error {
		f, body, end, err := readFrame(m, at, int64(len(m)), seg.hdr.salt)
		if err != nil || f.kind != KindSeal || end != hint || seg.scan.seal.decode(body) != nil {
			return nil
		}
		if sl := &seg.scan.seal; sl.lastSequence == next.first-1 && f.sequence == sl.lastSequence {
			seg.end, seg.lastKnown, seg.lastTime, seg.sealed = end, sl.lastSequence, sl.lastTime, true
			ok = true
		}
		return nil
	})
	seg.synced = ok && seg.pair.offset >= seg.end && seg.pair.sequence >= seg.lastKnown
	return err == nil && ok
}
