package journal

import (
	"errors"
	"fmt"
	"hash/crc32"
	"path/filepath"
)

// write makes the mended segment of a step under the name tmp, whole and synced.
func (p *RepairPlan) write(tmp string, s *RepairStep) (err error) {
	v := s.v
	if v.hdr.salt == 0 {
		rnd := systemRandomness()
		v.hdr.salt = rnd.salt()
	}
	f, err := p.st.create(tmp, v.hdr.size)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	page := newPages(1)
	v.hdr.encode(page)
	if _, err := f.WriteAt(page, 0); err != nil {
		return err
	}
	at := int64(recordsOffset)
	for _, w := range v.wounds {
		if w.off >= v.end {
			break
		}
		if err := p.copyRange(f, v, at, w.off); err != nil {
			return err
		}
		if at = w.end; w.padding {
			continue
		}
		if err := fill(f, &v.hdr, w); err != nil {
			return err
		}
	}
	if err := p.copyRange(f, v, at, v.end); err != nil {
		return err
	}
	end := v.end
	if v.lostEnd > 0 {
		end += v.lostEnd * recordHeaderBytes
		if err := fill(f, &v.hdr, wound{off: v.end, end: end, first: v.last + 1, lost: v.lostEnd, time: v.time}); err != nil {
			return err
		}
	}
	if err := f.sync(); err != nil {
		return err
	}
	// Read back what was made: it must verify up to the end, and says what the index holds.
	seg := &found{name: filepath.Base(tmp), first: v.hdr.first, id: v.hdr.id, size: v.hdr.size, hdr: v.hdr}
	sv := &survey{st: p.st, dir: p.Dir}
	if err := sv.withMap(seg, func(m []byte) error { seg.scan = scanSegment(m, &v.hdr, end, minTime); return nil }); err != nil {
		return err
	}
	if r := &seg.scan; r.end != end || r.last != v.last+v.lostEnd {
		return fmt.Errorf("%w: the copy reads to sequence %d, offset %s, and not to %d, %s: %v", ErrRepair,
			r.last, thousands(r.end), v.last+v.lostEnd, thousands(end), r.cause)
	}
	seg.end, seg.lastKnown, seg.lastTime = seg.scan.end, seg.scan.last, seg.scan.time
	if seg.scan.records == 0 {
		seg.lastTime = max(v.time, 0)
	}
	if s.seal {
		if err := sv.sealAt(seg, sealRepaired); err != nil {
			return err
		}
	}
	// The control page last: what it promises has been synced.
	pages := headPages(&v.hdr, pair{offset: seg.end, sequence: seg.lastKnown})
	if _, err := f.WriteAt(pages[controlOffset:recordsOffset], controlOffset); err != nil {
		return err
	}
	return f.sync()
}

// copyRange copies [from, to) of v's segment to f.
func (p *RepairPlan) copyRange(f file, v *salvaged, from, to int64) error {
	if from >= to {
		return nil
	}
	src, err := p.st.open(filepath.Join(p.Dir, v.seg.name), false)
	if err != nil {
		return err
	}
	defer src.close()
	return copyRange(f, src, from, to, nil)
}

// maxFill bounds the length of one record that fills a wound.
const maxFill = 1 << 30

// fill writes lost records, one a sequence, over a wound, and blank ones over what is left of it. Its bytes
// are zero in f. Bodies are zero and stay unwritten.
func fill(f file, h *header, w wound) error {
	var t frameTail
	var rec []byte
	at, left := w.off, w.lost
	for at < w.end {
		length := int64(recordHeaderBytes)
		if left <= 1 { // the last one takes the room that there is
			if length = w.end - at; length > maxFill {
				length = maxFill
				if rest := w.end - at - length; rest < recordHeaderBytes {
					length -= recordHeaderBytes
				}
			}
		}
		kind, sequence := KindLost, w.first+(w.lost-left)
		if left <= 0 {
			kind, sequence = KindBlank, w.first+w.lost-1
		}
		w3 := packWord3(0, kind, 0, lagUnknown)
		crc := t.sum(zeroSum(length-recordHeaderBytes), h.salt, uint64(at), uint64(length), uint64(sequence), uint64(w.time), w3)
		rec = le.AppendUint64(rec, uint64(length)|uint64(crc)<<32)
		rec = le.AppendUint64(rec, uint64(sequence))
		rec = le.AppendUint64(rec, uint64(w.time))
		rec = le.AppendUint64(rec, w3)
		at += length
		left--
		if length > recordHeaderBytes || len(rec) >= len(zeroPage) || at >= w.end {
			from := at - length - int64(len(rec)-recordHeaderBytes)
			if _, err := f.WriteAt(rec, from); err != nil {
				return err
			}
			rec = rec[:0]
		}
	}
	return nil
}

// zeroSum is the CRC32C of n zeros.
func zeroSum(n int64) (crc uint32) {
	for n > 0 {
		k := min(n, int64(len(zeroPage)))
		crc = crc32.Update(crc, castagnoli, zeroPage[:k])
		n -= k
	}
	return crc
}
