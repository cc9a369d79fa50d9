package journal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
)

// maxNames bounds how many names a journal's directory may hold: 64 TiB of default segments.
const maxNames = 1 << 20

// lookAheadFactor times the bytes looked at bounds the bytes hashed in looking ahead.
const lookAheadFactor = 16

// found is one segment file as a survey sees it, before it changes anything.
type found struct {
	name         string // base name
	first        int64  // from the name, as is id
	id           uint64
	size         int64  // of the file
	hdr          header // as far as it could be read
	hdrErr       error
	misnamed     bool // the header is good, and another file's
	pair         pair
	committed    int64 // offset; whatever the page says
	committedSeq int64
	here         bool // written in this boot and mount: the page cache is whole
	scan         scan // if scanned
	scanned      bool
	lastKnown    int64 // last sequence
	lastTime     int64
	end          int64 // after the last good record
	sealed       bool
	synced       bool // something proves that all of it was synced
	told         bool // PROGRESS says something of it that holds: committed and pair are the higher of both
	reseal       bool // complete, but its seal is missing
	unread       bool // archived, and nobody has the key or the codec
	gone         bool // retention removed it while the survey was on its way

	archive   *archiveHead // nil: plain
	fileBytes int64        // of the file; size is that of the segment, if it is archived
}

func (s *found) cut() bool { return s.hdrErr == nil && s.size < s.hdr.size }

// surveying says how thorough a survey is.
type surveying struct {
	all  bool // scan every segment
	live bool // a writer is at work: what is past the committed offset is its business

	archived bool // scan archived segments too, which may need keys; without, their heads tell
	access   ArchiveAccess
	skip     bool  // take those that nobody here has the key or the codec of at the word of their heads
	pace     *pace // of scanning

	tell func(done, total int) // called before each segment, if not nil
}

// survey is the state of a directory and the verdict on it. Making one changes nothing.
type survey struct {
	st     storage
	dir    string
	segs   []*found
	spares []string
	marked bool // a sync failed in an earlier life
	surveying
	now identity

	progress []byte // a copy of the file PROGRESS, if there is one
	mark     mark   // that the last Close left there
	locked   bool   // a writer has the directory

	// The verdict. keep is how many segments stay; if torn, the last of them is cut at its
	// end; if wipe, the unfinished bytes after its end are zeroed and it goes on.
	keep        int
	torn        bool
	wipe        bool
	isCut       bool
	durableLost int64
	tearCause   error
}

// listSegments returns the segments of dir in order, and the spares.
func listSegments(st storage, dir string) (segs []*found, spares []string, marked bool, err error) {
	names, err := st.list(dir, maxNames)
	if err != nil {
		return nil, nil, false, err
	}
	for _, name := range names {
		switch name {
		case failedName:
			marked = true
		case restoringName:
			return nil, nil, false, fmt.Errorf("%w: %s", ErrRestoring, dir)
		}
		if filepath.Ext(name) == spareSuffix {
			spares = append(spares, name)
		}
		if first, id, ok := parseSegmentName(name); ok {
			segs = append(segs, &found{name: name, first: first, id: id})
		}
	}
	sort.Slice(segs, func(i, k int) bool {
		if segs[i].first != segs[k].first {
			return segs[i].first < segs[k].first
		}
		return segs[i].id < segs[k].id
	})
	for i := 1; i < len(segs); i++ {
		if segs[i].id <= segs[i-1].id {
			return nil, nil, false, fmt.Errorf("%w: %s: segment ids of %s and %s do not ascend: one of them has a wrong name or does not belong; give it back its name, or move it out of the directory",
				ErrDirectory, dir, segs[i-1].name, segs[i].name)
		}
	}
	return segs, spares, marked, nil
}

// readPages reads a segment's header and control pages.
func (s *survey) readPages(seg *found) error {
	f, arc, err := openPlain(s.st, filepath.Join(s.dir, seg.name), ArchiveAccess{})
	if isCorruption(err) || errors.Is(err, ErrFormatVersion) {
		return s.readDamaged(seg, err)
	}
	if err != nil {
		return err
	}
	defer f.close()
	if arc != nil {
		seg.archive = &arc.head
	}
	if s.marked {
		f.dropCache()
	}
	if seg.size, err = f.size(); err != nil {
		return err
	}
	if seg.fileBytes = seg.size; arc != nil {
		seg.fileBytes = arc.head.bytes
	}
	pages := newPages(2)
	n, err := f.ReadAt(pages[:min(int64(len(pages)), seg.size)], 0)
	if err != nil && n < int(min(int64(len(pages)), seg.size)) {
		return err
	}
	if seg.hdrErr = seg.hdr.decode(pages[:pageBytes]); seg.size < pageBytes {
		seg.hdrErr = fmt.Errorf("%w: %d bytes", ErrHeader, seg.size)
	}
	if seg.hdrErr == nil && (seg.hdr.first != seg.first || seg.hdr.id != seg.id) {
		seg.hdrErr, seg.misnamed = fmt.Errorf("%w: of another name", ErrHeader), true
	}
	if seg.hdrErr != nil && seg.size > recordsOffset {
		mark := make([]byte, len(archiveMagic))
		if err := readFull(f, mark, recordsOffset); err != nil && err != io.ErrUnexpectedEOF {
			return err
		}
		seg.hdr.archived = string(mark) == archiveMagic // for Repair, which must not take it for plain
	}
	seg.pair = loadPair(pages, seg.id)
	seg.committed = int64(load64(pages, ctlCommittedOffset))
	seg.committedSeq = int64(load64(pages, ctlCommittedSequence))
	id, ok := loadIdentity(pages, seg.id)
	seg.here = ok && id.known() && id == s.now && !s.marked
	if p, ok := s.standing(seg); ok && p.plausible(min(seg.size, seg.hdr.size)) {
		seg.committed, seg.committedSeq = max(seg.committed, p.offset), max(seg.committedSeq, p.sequence)
		seg.told = true
		if p.durableOffset > seg.pair.offset && p.durableOffset <= p.offset && p.durableOffset%recordAlign == 0 {
			seg.pair = pair{max(seg.pair.generation, 1), p.durableOffset, max(seg.pair.sequence, p.durableSequence)}
		}
	}
	return nil
}

// newSurvey is one for reading pages beside a writer, or after its death. Only then does it matter what recovery asks for,
// whether boot and mount are those of the writer and whether a sync had failed: followers of a live one come by often.
func newSurvey(st storage, dir string) (s *survey, err error) {
	s = &survey{st: st, dir: dir, locked: st.locked(dir)}
	if !s.locked {
		s.now = st.identity(dir)
		if s.marked, err = hasFailed(st, dir); err != nil {
			return nil, err
		}
	}
	s.progress, s.mark, err = readProgress(st, dir)
	return s, err
}

// hasFailed tells whether a sync failed in an earlier life.
func hasFailed(st storage, dir string) (bool, error) {
	f, err := st.open(filepath.Join(dir, failedName), false)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, f.close()
}

// standing is what PROGRESS says of a segment, where it can be believed: its writer lives, or died
// under the same boot and mount.
func (s *survey) standing(seg *found) (p standing, ok bool) {
	if s.progress == nil || seg.hdrErr != nil || !s.locked && !seg.here {
		return p, false
	}
	return loadStanding(s.progress, seg.id)
}

// readDamaged is readPages of an archived segment whose head is damaged, or of the future.
func (s *survey) readDamaged(seg *found, cause error) error {
	f, err := s.st.open(filepath.Join(s.dir, seg.name), false)
	if err != nil {
		return err
	}
	defer f.close()
	if seg.fileBytes, err = f.size(); err != nil {
		return err
	}
	pages := newPages(2)
	if err := readFull(f, pages, 0); err != nil && err != io.ErrUnexpectedEOF {
		return err
	}
	seg.size = seg.fileBytes
	_ = seg.hdr.decode(pages[:pageBytes])
	seg.pair = loadPair(pages, seg.id)
	var c *CorruptionError
	if seg.hdrErr = cause; errors.As(cause, &c) {
		seg.hdrErr = c.Err
	}
	return nil
}

// newPages allocates n pages with the alignment of a word.
func newPages(n int) []byte { return wordsToBytes(make([]uint64, n*pageBytes/8)) }

// withMap runs f on a read-only mapping of the segment, as much of it as the file has and its
// header claims; faults become errors.
func (s *survey) withMap(seg *found, f func(m []byte) error) error {
	return s.withMapOf(seg, min(seg.size, seg.hdr.size), f)
}

// withRecords is withMap of a segment that may be archived: load makes records readable, nil if all
// are.
func (s *survey) withRecords(seg *found, f func(m []byte, load loader) error) (err error) {
	if seg.archive == nil {
		return s.withMap(seg, func(m []byte) error { return f(m, nil) })
	}
	fl, arc, err := openPlain(s.st, filepath.Join(s.dir, seg.name), s.access)
	if err != nil {
		return err
	}
	defer fl.close()
	m, err := fl.mmap(seg.hdr.size, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, fl.munmap(m)) }()
	return f(m, arc.load)
}

// withMapOf is withMap for the first n bytes, which the file has.
func (s *survey) withMapOf(seg *found, n int64, f func(m []byte) error) (err error) {
	return s.withMapAndHoles(seg, n, func(m []byte, _ func(int64) (int64, error)) error { return f(m) })
}

// withMapAndHoles is withMapOf for those who also want to know where the file has no data.
func (s *survey) withMapAndHoles(seg *found, n int64, f func(m []byte, dataAfter func(int64) (int64, error)) error) (err error) {
	fl, err := s.st.open(filepath.Join(s.dir, seg.name), false)
	if err != nil {
		return err
	}
	defer fl.close()
	if n <= 0 {
		return f(nil, fl.dataAfter)
	}
	m, err := fl.mmap(n, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, fl.munmap(m)) }()
	return guard(seg.name, m, func() error { return f(m, fl.dataAfter) })
}

// corrupt makes the refusal for seg.
func corrupt(seg *found, off, sequence int64, cause error) error {
	return &CorruptionError{Segment: seg.name, Offset: off, Sequence: sequence, Err: cause}
}

// badHeader is the refusal for a segment whose header cannot be read, or is of a later version, which is no damage.
func badHeader(seg *found) error {
	if errors.Is(seg.hdrErr, ErrFormatVersion) {
		return errorf("%s: %w", seg.name, seg.hdrErr)
	}
	return corrupt(seg, 0, seg.first, seg.hdrErr)
}

// takeSurvey reads the directory and judges it; see examine. A missing directory is os.ErrNotExist.
func takeSurvey(st storage, dir string, how surveying) (*survey, error) {
	s := &survey{st: st, dir: dir, surveying: how, now: st.identity(dir)}
	var err error
	s.locked = s.live
	if s.progress, s.mark, err = readProgress(st, dir); err != nil {
		return nil, err
	}
	if s.segs, s.spares, s.marked, err = listSegments(st, dir); err != nil {
		return nil, err
	}
	for i := 0; i < len(s.segs); i++ {
		if err := s.readPages(s.segs[i]); err != nil {
			if s.live && errors.Is(err, os.ErrNotExist) {
				s.segs = append(s.segs[:i], s.segs[i+1:]...)
				i--
				continue
			}
			return nil, err
		}
	}
	if err := s.examine(); err != nil || !s.live {
		return s, err
	}
	return s.withoutRemoved()
}

// withoutRemoved is the survey beside a live writer without the segments that retention took meanwhile, oldest
// first; another one where it took all of them.
func (s *survey) withoutRemoved() (*survey, error) {
	n := len(s.segs)
	for n > 0 && !s.segs[n-1].gone {
		n--
	}
	if n > 0 && n == len(s.segs) {
		return takeSurvey(s.st, s.dir, s.surveying)
	}
	s.segs, s.keep = s.segs[n:], s.keep-n
	return s, nil
}

// dataBytes is how many bytes of [from, to) the segment's file stores, as far as the file system tells:
// what looking at them may cost is measured by that, not by the length that a file pretends.
func (s *survey) dataBytes(seg *found, from, to int64) (n int64, err error) {
	f, err := s.st.open(filepath.Join(s.dir, seg.name), false)
	if err != nil {
		return 0, err
	}
	defer f.close()
	h, ok := f.(interface{ holeAfter(int64) (int64, error) })
	if !ok {
		return max(0, to-from), nil
	}
	for from < to {
		if from, err = f.dataAfter(from); err != nil || from >= to {
			return n, err
		}
		hole, err := h.holeAfter(from)
		if err != nil || hole <= from {
			return n, err
		}
		n += min(hole, to) - from
		from = hole
	}
	return n, nil
}

// dataEnd returns the offset after the last byte of the segment's file, from off on, that is
// not zero; off if all of them are.
func (s *survey) dataEnd(seg *found, off int64) (int64, error) {
	f, err := s.st.open(filepath.Join(s.dir, seg.name), false)
	if err != nil {
		return 0, err
	}
	defer f.close()
	end := off
	buf := make([]byte, len(zeroPage))
	for off < seg.size {
		if off, err = f.dataAfter(off); err != nil {
			return 0, err
		}
		n := min(int64(len(buf)), seg.size-off)
		if n <= 0 {
			break
		}
		if k, err := f.ReadAt(buf[:n], off); err != nil && int64(k) < n {
			return 0, err
		}
		if b := buf[:n]; !isZero(b) {
			for b[len(b)-1] == 0 {
				b = b[:len(b)-1]
			}
			end = off + int64(len(b))
		}
		off += n
	}
	return end, nil
}
