package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// A durable pair lies in the segment that it is about, and is lost with it: a newest segment that is zeroed, or removed,
// as a whole takes the promise of its records along, and what is left looks like a journal that ends earlier. So a Close
// that came to its end leaves a mark in PROGRESS, behind the slots: what is durable, and in which segment.
//
// Unlike the slots the mark is synced, after all that it promises, and has a checksum: it is believed in every boot. It is
// never taken back, since what was durable at that Close stays so: Open leaves it, and it holds after a later life that was
// killed, until the next Close says more. Where Open gives up what it promises, the file having been cut, the numbers are
// given out again in a segment with a higher id, to which the mark says nothing; and after a repair they are lost records.
// One that is torn says nothing. An older version that opens the journal clears the whole file.
type mark struct {
	segment     uint64 // id of the newest segment; 0: there is no mark
	first, last int64  // its first sequence, and the last one that is durable
	uuid        [16]byte
}

const (
	markOffset = 512 // a sector that the slots are not in
	markBytes  = 48
)

func (m *mark) put(b []byte) {
	le.PutUint64(b, m.segment)
	le.PutUint64(b[8:], uint64(m.first))
	le.PutUint64(b[16:], uint64(m.last))
	copy(b[24:40], m.uuid[:])
	le.PutUint64(b[40:], uint64(checksum(b[:40])))
}

// loadMark reads the mark of a page; the zero mark if there is none that verifies.
func loadMark(page []byte) (m mark) {
	b := page[markOffset : markOffset+markBytes]
	if le.Uint64(b[40:]) != uint64(checksum(b[:40])) {
		return mark{}
	}
	m = mark{segment: le.Uint64(b), first: int64(le.Uint64(b[8:])), last: int64(le.Uint64(b[16:]))}
	copy(m.uuid[:], b[24:40])
	if m.segment == 0 || m.first < 1 || m.last < m.first-1 {
		return mark{}
	}
	return m
}

// promised is the last sequence of seg that the mark says was durable; 0 if it says nothing of it.
func (m *mark) promised(seg *found) int64 {
	if m.segment == 0 || m.segment != seg.id || m.first != seg.first || m.last < m.first || seg.hdrErr == nil && seg.hdr.uuid != m.uuid {
		return 0
	}
	return m.last
}

// behind tells whether the mark is of a segment behind those that there are, which reach to last, and promises more.
func (m *mark) behind(segs []*found, last int64) bool {
	switch {
	case m.segment == 0:
		return false
	case len(segs) == 0:
		return true
	}
	for _, seg := range segs {
		if seg.hdrErr == nil && seg.hdr.uuid != m.uuid {
			return false // of another journal
		}
	}
	return m.segment > segs[len(segs)-1].id && m.last > last
}

// errMissing is the cause where a file is gone.
var errMissing = errors.New("the file is missing")

// examineMark refuses a journal that lacks the segment of the mark, after everything else was judged.
func (s *survey) examineMark() error {
	last := int64(0)
	if n := len(s.segs); n > 0 {
		last = s.segs[n-1].first - 1
		if s.keep == n {
			last = s.segs[n-1].lastKnown
		}
	}
	if s.live || !s.mark.behind(s.segs, last) {
		return nil
	}
	return s.missing(last)
}

// missing is the refusal of a journal that ends with last and lacks the segment of the mark.
func (s *survey) missing(last int64) error {
	m := &s.mark
	return &CorruptionError{segmentName(m.first, m.segment), 0, min(m.first, last+1),
		fmt.Errorf("%w; the last Close says in %s that %d was durable", errMissing, progressName, m.last)}
}

// leaveMark tells in PROGRESS, durably, that all up to last is durable; s is the newest segment. Where there is no space
// for the file, there is no mark.
func (j *Journal) leaveMark(s *segment, last int64) error {
	if last < j.first.Load() {
		return nil // there is nothing to miss
	}
	path := filepath.Join(j.dir, progressName)
	f, err := j.st.open(path, true)
	made := errors.Is(err, os.ErrNotExist)
	if made {
		f, err = j.st.create(path, pageBytes)
	}
	if err == nil {
		m := mark{segment: s.hdr.id, first: s.hdr.first, last: last, uuid: j.uuid}
		var b [markBytes]byte
		m.put(b[:])
		if _, err = f.WriteAt(b[:], markOffset); err == nil {
			err = f.sync()
		}
		err = errors.Join(err, f.close())
	}
	if err == nil && made {
		err = j.st.syncDir(j.dir)
	}
	if isNoSpace(err) {
		j.o.Logger.Warn("journal: no space for "+progressName+": this Close leaves no mark", "dir", j.dir, "err", err)
		return nil
	}
	if err != nil {
		err = errorf("%s: %w", progressName, err)
	}
	return err
}
