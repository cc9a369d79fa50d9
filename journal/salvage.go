package journal

import (
	"errors"
	"fmt"
	"math/bits"
)

// Salvage is how Repair reads a segment: not up to the first bad record, as everyone else, but
// past it, to whatever verifies behind. A record's checksum covers its offset and the segment's
// salt, so that nothing verifies in a place where it was not written.

// salvaged is what is left of one segment.
type salvaged struct {
	seg     *found // nil: the file is missing
	hdr     header
	rebuilt bool       // the header is not the file's
	wounds  []wound    // ascending; what is between them is kept
	end     int64      // after the last kept record, index and seal at the end not counted
	last    int64      // last sequence before end, those lost in wounds included
	time    int64      // of the last record before end
	kept    int64      // records before end that stay, indexes not counted
	inBatch bool       // the record before end says that its atomic batch goes on
	whole   place      // where the last batch that is complete ends: sequence, time and offset
	sealEnd int64      // if sealed: the last sequence that the seal follows
	sealed  bool       // a good seal followed
	stop    int64      // where nothing good was found any more; == end after a seal
	fault   error      // the first one, nil if all is well
	at      int64      // where it is
	lostEnd int64      // sequences to be given up behind end
	indexes [][2]int64 // index records before end, which name places that a wound may move
}

// wound is a stretch of a segment in which no record verifies.
type wound struct {
	off, end int64
	first    int64 // first sequence that is lost in it
	lost     int64 // how many; 0: a blank record fills it
	time     int64
	padding  bool // the record is good; what follows its body is not zero
}

// note keeps the first fault.
func (v *salvaged) note(at int64, err error) {
	if v.fault == nil {
		v.at, v.fault = at, err
	}
}

// salvage reads seg with the header in v, which is good. It changes nothing.
func (s *survey) salvage(v *salvaged, prevTime int64) error {
	seg := v.seg
	data, err := s.dataEnd(seg, recordsOffset)
	if err != nil {
		return err
	}
	stored, err := s.dataBytes(seg, recordsOffset, data)
	if err != nil {
		return err
	}
	budget := max(leastBudget, lookAheadFactor*stored)
	n := min(seg.size, v.hdr.size)
	v.end, v.last, v.time = recordsOffset, v.hdr.first-1, prevTime
	v.whole = place{v.last, prevTime, recordsOffset}
	if n <= recordsOffset {
		v.stop = recordsOffset
		return nil
	}
	return s.withMapAndHoles(seg, n, func(m []byte, dataAfter func(int64) (int64, error)) error {
		return v.walk(m, min(data, n), dataAfter, &budget)
	})
}

// leastBudget is how many bytes Repair hashes in looking for records however little a segment stores.
const leastBudget = 1 << 20

// walk goes through the records in m; data is where its last byte is that is not zero.
func (v *salvaged) walk(m []byte, data int64, dataAfter func(int64) (int64, error), budget *int64) error {
	at, next, now := int64(recordsOffset), v.hdr.first, v.time
	for {
		f, body, after, err := readFrame(m, at, int64(len(m)), v.hdr.salt)
		padding := errors.Is(err, ErrPadding)
		if padding {
			stop := at + int64(f.length)
			after, body, err = (stop+recordAlign-1)&^(recordAlign-1), m[at+recordHeaderBytes:stop], nil
		}
		if err == nil {
			err = follows(&f, next, now)
		}
		var sl seal
		if err == nil && f.kind == KindSeal {
			if err = sl.decode(body); err == nil && sl.lastSequence != f.sequence {
				err = fmt.Errorf("%w: last sequence %d", ErrSeal, sl.lastSequence)
			}
		}
		if err == nil && f.kind == KindIndex {
			err = checkIndex(m, &v.hdr, body, at)
		}
		if err != nil {
			if at >= data && errors.Is(err, ErrHole) {
				v.stop = at
				return nil // zeros to the end
			}
			v.note(at, err)
			found, lost, err := v.resync(m, at, next, now, dataAfter, budget)
			if err != nil {
				return err
			}
			if found == 0 {
				v.stop = at
				return nil
			}
			v.wounds = append(v.wounds, wound{off: at, end: found, first: next, lost: lost, time: now})
			at, next = found, next+lost
			v.inBatch = false // what fills the wound ends a batch
			continue
		}
		if f.kind == KindSeal {
			v.sealed, v.stop, v.sealEnd = true, after, next-1
			if padding || data > after {
				v.note(after, fmt.Errorf("%w after the seal", ErrPadding))
			}
			return nil
		}
		if padding {
			v.note(at, ErrPadding)
			v.wounds = append(v.wounds, wound{off: at + int64(f.length), end: after, padding: true})
		}
		if f.kind.advances() {
			next++
		}
		if f.kind == KindIndex {
			v.indexes = append(v.indexes, [2]int64{at, after})
		} else {
			// An index at the end is made anew; one that a crash left in the middle stays.
			v.end, v.last, v.time = after, next-1, f.time
			v.kept++
			if v.inBatch = f.flags&FlagBatch != 0; !v.inBatch {
				v.whole = place{v.last, v.time, v.end}
			}
		}
		at, now = after, f.time
	}
}

// dropBatch takes back the unfinished atomic batch at the end.
func (v *salvaged) dropBatch() {
	if v.inBatch {
		v.inBatch = false
		v.end, v.last, v.time = v.whole.offset, v.whole.sequence, v.whole.time
	}
}

// firstWound is where the first record is that cannot be read, and the sequence expected there.
func (v *salvaged) firstWound() (at, sequence int64) {
	for _, w := range v.wounds {
		if !w.padding {
			return w.off, w.first
		}
	}
	return v.stop, v.last + 1
}

// resync finds the next record behind at that can belong there. lost is how many sequences are
// missing before it.
func (v *salvaged) resync(m []byte, at, next, now int64, dataAfter func(int64) (int64, error), budget *int64) (found, lost int64, err error) {
	stop := int64(len(m))
	for off := at + recordHeaderBytes; off+recordHeaderBytes <= stop; off += recordAlign {
		if off%int64(len(zeroPage)) == 0 {
			if off, err = skipHole(off, dataAfter); err != nil {
				return 0, 0, err
			}
			if off+recordHeaderBytes > stop {
				break
			}
		}
		length := int64(le.Uint32(m[off:]))
		if length < recordHeaderBytes || length > stop-off {
			continue
		}
		f := peekFrame(m, off)
		if f.kind < KindEvent || f.kind > kindLast || f.flags&^FlagBatch != 0 || f.time < now {
			continue
		}
		lost := f.sequence - next
		if !f.kind.advances() {
			lost++
		}
		if lost < 0 || lost > (off-at)/recordHeaderBytes {
			continue
		}
		if length > *budget {
			continue // made for the purpose, or a length that is damaged itself
		}
		*budget -= length
		if _, _, _, err := readFrame(m, off, stop, v.hdr.salt); err == nil || errors.Is(err, ErrPadding) {
			return off, lost, nil
		}
	}
	return 0, 0, nil
}

// skipHole returns the first offset from off on, a multiple of 8, at which there may be data.
func skipHole(off int64, dataAfter func(int64) (int64, error)) (int64, error) {
	at, err := dataAfter(off)
	return max(off, at&^(recordAlign-1)), err
}

// rebuildHeader makes a header for a segment whose own cannot be read: what its name, its length
// and the journal say, and the salt that its records were written with. ok is false if no
// salt makes them verify.
func (s *survey) rebuildHeader(seg *found, uuid [16]byte) (h header, ok bool, err error) {
	h = header{uuid: uuid, id: seg.id, first: seg.first, created: seg.hdr.created, size: seg.hdr.size, salt: seg.hdr.salt}
	fits := h.size >= MinSegmentBytes && h.size < MaxSegmentBytes && h.size%pageBytes == 0
	if !fits || h.size < seg.size || h.size > 2*seg.size {
		h.size = min(max(MinSegmentBytes, (seg.size+pageBytes-1)&^(pageBytes-1)), MaxSegmentBytes-pageBytes)
	}
	if seg.size <= recordsOffset {
		return h, false, nil
	}
	err = s.withMapOf(seg, min(seg.size, h.size), func(m []byte) error {
		h.salt, ok = findSalt(m, h.salt, h.first)
		return nil
	})
	return h, ok, err
}

// findSalt finds a salt with which the records in m verify. A record's checksum is an affine function
// of the salt, the same in each: so two neighbours that agree on what the salt contributed give
// it away, and any salt that contributes the same is as good as the lost one.
func findSalt(m []byte, stored uint64, first int64) (salt uint64, ok bool) {
	const tries = 256
	var t frameTail
	before, have := uint32(0), false
	at := int64(recordsOffset)
	for range tries {
		if at+recordHeaderBytes > int64(len(m)) {
			return 0, false
		}
		f := peekFrame(m, at)
		length := int64(f.length)
		if length < recordHeaderBytes || length > int64(len(m))-at || f.kind < KindEvent || f.kind > kindLast || f.sequence < first-1 {
			return 0, false
		}
		body := checksum(m[at+recordHeaderBytes : at+length])
		zero := t.sum(body, 0, uint64(at), uint64(length), le.Uint64(m[at+8:]), le.Uint64(m[at+16:]), le.Uint64(m[at+24:]))
		share := zero ^ f.crc
		if stored != 0 && share == saltShare(stored) {
			return stored, true
		}
		if have && share == before {
			return solveSalt(share)
		}
		before, have = share, true
		at += (length + recordAlign - 1) &^ (recordAlign - 1)
	}
	return 0, false
}

// saltShare is what a salt contributes to the checksum of any record: it is linear.
func saltShare(salt uint64) uint32 {
	var t frameTail
	return t.sum(0, salt, 0, 0, 0, 0, 0) ^ t.sum(0, 0, 0, 0, 0, 0, 0)
}

// solveSalt returns a salt, not zero, that contributes share.
func solveSalt(share uint32) (salt uint64, ok bool) {
	if share == 0 {
		salt, share = 1<<32, saltShare(1<<32)
	}
	// Gauss: rows[b] has b as its highest bit.
	var rows, from [32]uint32
	for i := range 32 {
		v, src := saltShare(1<<i), uint32(1)<<i
		for v != 0 {
			b := 31 - bits.LeadingZeros32(v)
			if rows[b] == 0 {
				rows[b], from[b] = v, src
				break
			}
			v, src = v^rows[b], src^from[b]
		}
	}
	low := uint32(0)
	for share != 0 {
		b := 31 - bits.LeadingZeros32(share)
		if rows[b] == 0 {
			return 0, false
		}
		share, low = share^rows[b], low^from[b]
	}
	salt |= uint64(low)
	return salt, salt != 0
}
