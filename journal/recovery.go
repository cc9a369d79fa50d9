package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
)

// Recovery says what Open found and did. The zero value of a field means that nothing of the
// kind happened.
type Recovery struct {
	Created  bool  // the journal is new
	Clean    bool  // nothing was cut, zeroed or put aside
	First    int64 // first sequence that the journal holds
	Last     int64 // last sequence; First-1 if there is none
	Segments int   // segment files kept

	// A torn tail, or a cut file. Torn names the segment that was cut, or the first one that
	// was put aside whole, TornOffset where, TornCause what stood there.
	Torn       string
	TornOffset int64
	TornCause  error
	AsideFiles []string // under aside/ in the journal's directory
	AsideBytes int64
	// WrittenLost is how many sequences after Last the torn segment's control page claims to
	// have been committed. After a power cut the claim itself may be old.
	WrittenLost int64

	// Cut reports that the newest segment's file was shorter than its header says, which no
	// crash explains: somebody truncated it. DurableLost is how many sequences after Last had
	// been promised durable.
	Cut         bool
	DurableLost int64

	// Unfinished is the bytes of one unfinished record, atomic batch or seal that the death of the
	// process left and that were zeroed. Nobody had been told of it.
	Unfinished int64
	// SyncFailed reports that the last writer met a failed sync: what it had not synced was
	// read back from the disk, not from the page cache.
	SyncFailed bool
}

// apply makes the verdict true on disk. Each step may be cut short by a crash and done again:
//
//  1. copy the torn tail under aside/, sync it            (again: the same copy)
//  2. move later segments there, newest first, sync       (again: those that are left)
//  3. zero the tail, sync                                 (again: less to zero, or a clean end)
//  4. write the seal at the tear, sync                    (again: a sealed segment)
//  5. the caller makes the next segment
//
// After step 3 alone the journal ends cleanly and simply goes on in that segment.
func (s *survey) apply(rec *Recovery) error {
	rec.Clean = true
	rec.SyncFailed = s.marked
	var last *found
	if s.keep > 0 {
		last = s.segs[s.keep-1]
	}
	for _, seg := range s.segs[:s.keep] {
		if !seg.reseal {
			continue
		}
		rec.Clean = false
		if seg.here {
			if err := s.clearUnfinished(seg, rec); err != nil {
				return err
			}
		} else {
			if err := s.keepAside(seg, rec); err != nil {
				return err
			}
			if err := s.zeroTail(seg); err != nil {
				return err
			}
		}
		if err := s.sealAt(seg, 0); err != nil {
			return err
		}
	}
	if last != nil && last.sealed && last.cut() {
		// Another segment follows, and an earlier one that is short is damage.
		rec.Clean, rec.Cut, rec.Torn, rec.TornOffset = false, true, last.name, last.size
		if err := s.extend(last); err != nil {
			return err
		}
	}
	switch {
	case s.wipe:
		return s.clearUnfinished(last, rec)
	case !s.torn:
		return nil
	}

	rec.Clean = false
	rec.Cut, rec.DurableLost, rec.TornCause = s.isCut, s.durableLost, s.tearCause
	tornHere := last != nil && last.scanned && !last.sealed && !last.reseal
	if tornHere {
		rec.Torn, rec.TornOffset = last.name, last.end
		rec.WrittenLost = max(0, last.committedSeq-last.lastKnown)
		if err := s.keepAside(last, rec); err != nil {
			return err
		}
	} else {
		rec.Torn = s.segs[s.keep].name
	}
	if err := s.moveAside(s.segs[s.keep:], rec); err != nil {
		return err
	}
	if !tornHere {
		return nil
	}
	if last.cut() {
		if err := s.extend(last); err != nil {
			return err
		}
	}
	if err := s.zeroTail(last); err != nil {
		return err
	}
	return s.sealAt(last, sealAtTear)
}

// asideDir makes sure of the directory for what recovery puts aside.
func (s *survey) asideDir() (string, error) {
	dir := filepath.Join(s.dir, asideName)
	return dir, s.st.mkdir(dir)
}

// keepAside copies the bytes after the segment's good end under aside/.
func (s *survey) keepAside(seg *found, rec *Recovery) error {
	end, err := s.dataEnd(seg, seg.end)
	if err != nil || end == seg.end {
		return err
	}
	dir, err := s.asideDir()
	if err != nil {
		return err
	}
	src, err := s.st.open(filepath.Join(s.dir, seg.name), false)
	if err != nil {
		return err
	}
	defer src.close()
	tail := io.NewSectionReader(src, seg.end, end-seg.end)
	base := fmt.Sprintf("%s.%d.tail", seg.name, seg.end)
	name, have, err := s.asideNameFor(dir, base, tail)
	if err != nil {
		return err
	}
	if !have {
		if err := s.copyAside(dir, name, tail, end-seg.end); err != nil {
			return errorf("keep the torn tail aside: %w", err)
		}
	}
	rec.AsideFiles = append(rec.AsideFiles, name)
	rec.AsideBytes += end - seg.end
	return nil
}

// asideNameFor finds a name for content under dir: base, or base.1 and so on where another
// content has it. have is true if the very content is there already.
func (s *survey) asideNameFor(dir, base string, content *io.SectionReader) (name string, have bool, err error) {
	names, err := s.st.list(dir, maxNames)
	if err != nil {
		return "", false, err
	}
	taken := make(map[string]bool, len(names))
	for _, n := range names {
		taken[n] = true
	}
	name = base
	for i := 1; taken[name]; i++ {
		if content != nil && s.sameContent(filepath.Join(dir, name), content) {
			return name, true, nil
		}
		name = fmt.Sprintf("%s.%d", base, i)
	}
	return name, false, nil
}

func (s *survey) sameContent(path string, content *io.SectionReader) bool {
	f, err := s.st.open(path, false)
	if err != nil {
		return false
	}
	defer f.close()
	if n, err := f.size(); err != nil || n != content.Size() {
		return false
	}
	a, b := make([]byte, 64<<10), make([]byte, 64<<10)
	for off := int64(0); off < content.Size(); {
		n := min(int64(len(a)), content.Size()-off)
		if k, err := f.ReadAt(a[:n], off); int64(k) < n && err != nil {
			return false
		}
		if k, err := content.ReadAt(b[:n], off); int64(k) < n && err != nil {
			return false
		}
		if !bytes.Equal(a[:n], b[:n]) {
			return false
		}
		off += n
	}
	return true
}

// copyAside writes content under a temporary name, syncs it, and gives it its name.
func (s *survey) copyAside(dir, name string, content *io.SectionReader, n int64) error {
	err := writeWhole(s.st, dir, name+spareSuffix, name, n, func(f file) error {
		_, err := io.Copy(io.NewOffsetWriter(f, 0), content)
		return err
	})
	if isNoSpace(err) {
		return &NoSpaceError{Dir: dir, Bytes: n, Err: err}
	}
	return err
}

// moveAside moves whole segments under aside/, the newest first, so that what is left is always
// the beginning of a journal.
func (s *survey) moveAside(segs []*found, rec *Recovery) error {
	if len(segs) == 0 {
		return nil
	}
	dir, err := s.asideDir()
	if err != nil {
		return err
	}
	for i := len(segs) - 1; i >= 0; i-- {
		name, _, err := s.asideNameFor(dir, segs[i].name, nil)
		if err == nil {
			err = s.st.rename(filepath.Join(s.dir, segs[i].name), filepath.Join(dir, name))
		}
		if err == nil {
			err = s.st.syncDir(dir)
		}
		if err == nil {
			err = s.st.syncDir(s.dir)
		}
		if err != nil {
			return errorf("put %s aside: %w", segs[i].name, err)
		}
		rec.AsideFiles = append(rec.AsideFiles, name)
		rec.AsideBytes += segs[i].size
	}
	return nil
}

// change opens the segment for writing, runs f and syncs.
func (s *survey) change(seg *found, f func(fl file) error) (err error) {
	fl, err := s.st.open(filepath.Join(s.dir, seg.name), true)
	if err != nil {
		return err
	}
	defer func() {
		if e := fl.close(); err == nil {
			err = e
		}
	}()
	if err := f(fl); err != nil {
		return err
	}
	return fl.sync()
}

// clearUnfinished zeroes what a dead process left unfinished behind the segment's good end.
func (s *survey) clearUnfinished(seg *found, rec *Recovery) error {
	end, err := s.dataEnd(seg, seg.end)
	if err != nil || end == seg.end {
		return err
	}
	rec.Clean = false
	rec.Unfinished += end - seg.end
	return s.zeroTail(seg)
}

// extend gives a cut file its size back. Blocks it needs for the seal only: nobody will write
// behind that, and the size that a header claims is no reason to fill a disk.
func (s *survey) extend(seg *found) error {
	err := s.change(seg, func(f file) error {
		if err := f.allocate(min(seg.hdr.size, seg.end+seg.scan.index.recordBytes()+sealRecordBytes)); err != nil {
			return err
		}
		return f.extend(seg.hdr.size)
	})
	if err == nil {
		seg.size = seg.hdr.size
	} else if isNoSpace(err) {
		err = &NoSpaceError{Dir: s.dir, Bytes: seg.hdr.size, Err: err}
	}
	return err
}

// zeroTail overwrites with zeros what is not zero after the segment's good end.
func (s *survey) zeroTail(seg *found) error {
	end, err := s.dataEnd(seg, seg.end)
	if err != nil || end == seg.end {
		return err
	}
	return s.change(seg, func(f file) error { return writeZeros(f, seg.end, end) })
}

// sealAt writes index and seal at the segment's good end, in one piece: readers do not look there
// yet. A crash that leaves the index alone leaves a good record, which the next seal points at.
func (s *survey) sealAt(seg *found, flags uint32) error {
	if seg.end+sealRecordBytes > seg.hdr.size {
		return corrupt(seg, seg.end, seg.lastKnown+1, fmt.Errorf("%w: no room", ErrSeal))
	}
	var t frameTail
	sl := seal{flags: flags, lastSequence: seg.lastKnown, lastTime: seg.lastTime, indexOffset: uint64(seg.scan.indexAt)}
	unknown := seg.lastKnown - lagUnknown
	index := &seg.scan.index
	indexBytes := index.recordBytes()
	if seg.scan.indexAt > 0 || len(index.places) == 0 || seg.end+indexBytes+sealRecordBytes > seg.hdr.size {
		indexBytes = 0
	}
	rec := make([]byte, indexBytes+sealRecordBytes)
	if indexBytes > 0 {
		sl.indexOffset = uint64(seg.end)
		le.PutUint64(rec, index.put(rec[:indexBytes], seg.end, seg.hdr.salt, seg.lastKnown, seg.lastTime, unknown, &t))
	}
	at := seg.end + indexBytes
	le.PutUint64(rec[indexBytes:], putSeal(rec[indexBytes:], at, seg.hdr.salt, &sl, unknown, &t))
	err := s.change(seg, func(f file) error {
		_, err := f.WriteAt(rec, seg.end)
		return err
	})
	if err == nil {
		seg.end += int64(len(rec))
		seg.sealed, seg.reseal = true, false
	}
	return err
}

// settle syncs the segments whose records nothing proves to be synced, and writes the durable
// pair and committed offset of every sealed one. From here on the whole journal is durable.
func (s *survey) settle() error {
	for _, seg := range s.segs[:s.keep] {
		// Readers in this process go by the committed offset, which may be older than the pair.
		if seg.synced && seg.committed == seg.end && seg.committedSeq == seg.lastKnown {
			continue
		}
		err := s.change(seg, func(f file) error { return nil })
		if err == nil && seg.sealed {
			err = s.settlePair(seg)
		}
		if err != nil {
			return errorf("%s: sync before use: %w", seg.name, err)
		}
	}
	return s.st.syncDir(s.dir)
}

// settlePair stores the promise that all of a sealed segment is synced.
func (s *survey) settlePair(seg *found) error {
	return s.control(seg, func(m []byte) {
		seg.pair = pair{seg.pair.generation + 1, seg.end, seg.lastKnown}
		storePair(m, seg.id, seg.pair)
		store64(m, ctlCommittedOffset, uint64(seg.end))
		store64(m, ctlCommittedSequence, uint64(seg.lastKnown))
	})
}

// control lets f change the control page of a segment.
func (s *survey) control(seg *found, f func(m []byte)) (err error) {
	fl, err := s.st.open(filepath.Join(s.dir, seg.name), true)
	if err != nil {
		return err
	}
	defer fl.close()
	m, err := fl.mmap(recordsOffset, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, fl.munmap(m)) }()
	return guard(seg.name, m, func() error { f(m); return nil })
}
