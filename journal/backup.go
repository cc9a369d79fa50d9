package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// BackupOptions configure Backup.
type BackupOptions struct {
	// Progress, if not nil, is called now and then with the bytes copied and to copy.
	Progress func(done, total int64)
	// Beside, if not nil, copies what lies beside the log. It is called once, before anything of the log is
	// copied and under the lock of the copy; its error ends the backup. So what it copies is never newer than the log.
	Beside func() error
}

// BackupReport is what Backup did.
type BackupReport struct {
	First, Last int64 // sequences that the copy now holds; Last is First-1 if none
	Copied      int   // segments copied, in whole or in part
	Kept        int   // sealed segments that the copy had already
	Bytes       int64 // read and written
	Links       int   // of the chain
}

// Backup copies the journal in dir to the directory to, up to its durable sequence, and syncs the
// copy. It reads only, takes no lock of dir and does not disturb a writer. Done again it copies
// only what is new: sealed segments that are whole in the copy stay as they are. The copy is a
// journal by itself: Verify checks it, Open continues it. A copy that was continued by a writer of
// its own is another history; do not back up into it again.
//
// It takes the locks of the copy while it runs. Each file appears under its name once it is whole,
// so that an interrupted backup leaves a shorter copy and spares, which the next one removes.
//
// A segment that is removed from dir while it is copied is fs.ErrNotExist: run it again.
//
// Errors: ErrNotFound; ErrDirectory where dir and to are one directory, by whatever names, or to is empty;
// ErrLocked where a writer has the copy; *CorruptionError where a header is
// damaged or the copy is of another journal; ErrBackupGap where the journal begins behind the end of
// the copy; *NoSpaceError. Records are not verified: run Verify.
func Backup(dir, to string, o BackupOptions) (BackupReport, error) {
	if to == "" {
		return BackupReport{}, fmt.Errorf("%w: the name of the copy is empty", ErrDirectory)
	}
	if sameFile(dir, to) { // it would cut what is written and not durable
		return BackupReport{}, fmt.Errorf("%w: %s is both source and copy (%s)", ErrDirectory, dir, to)
	}
	return backup(osStorage{}, dir, to, o)
}

// sameFile tells whether both names, which may be relative or lead over links, are there and name one directory.
func sameFile(a, b string) bool {
	x, errA := os.Stat(a)
	y, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(x, y)
}

func backup(st storage, dir, to string, o BackupOptions) (rep BackupReport, err error) {
	if filepath.Clean(dir) == filepath.Clean(to) {
		return rep, fmt.Errorf("%w: %s is both source and copy", ErrDirectory, dir)
	}
	parts, err := durableParts(st, dir)
	if err != nil {
		return rep, err
	}
	if err := st.mkdir(to); err != nil {
		return rep, err
	}
	lock, err := st.lock(to)
	if err != nil {
		return rep, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	have, spares, _, err := listSegments(st, to)
	if err != nil {
		return rep, err
	}
	for _, name := range spares {
		if err := st.remove(filepath.Join(to, name)); err != nil {
			return rep, err
		}
	}
	todo, err := planBackup(st, to, have, parts)
	if err != nil {
		return rep, err
	}
	if o.Beside != nil {
		if err := o.Beside(); err != nil {
			return rep, err
		}
	}
	total := int64(0)
	for _, p := range todo {
		total += p.pair.offset
	}
	rep.First, rep.Kept = parts[0].first, len(parts)-len(todo)
	if len(have) > 0 {
		rep.First = min(rep.First, have[0].first) // removed from the source since
	}
	rep.Last = parts[len(parts)-1].pair.sequence
	for _, p := range todo {
		if err := copySegment(st, dir, to, p, func(n int64) {
			if rep.Bytes += n; o.Progress != nil {
				o.Progress(rep.Bytes, total)
			}
		}); err != nil {
			if isNoSpace(err) {
				err = &NoSpaceError{Dir: to, Bytes: p.hdr.size, Err: err}
			}
			return rep, fmt.Errorf("journal: back up %s: %w", p.name, err)
		}
		rep.Copied++
	}
	rep.Links, err = copyChain(st, dir, to, parts)
	return rep, err
}

// durableParts returns the segments of dir as far as they are proven to be synced: all but the
// last of them whole. Their pairs say how far.
func durableParts(st storage, dir string) (parts []*found, err error) {
	segs, _, _, err := listSegments(st, dir)
	if errors.Is(err, os.ErrNotExist) || err == nil && len(segs) == 0 {
		return nil, fmt.Errorf("%w: %s", ErrNotFound, dir)
	}
	if err != nil {
		return nil, err
	}
	return durableOf(st, dir, segs)
}

// durableOf is durableParts of these segments, the first ones of which they are.
func durableOf(st storage, dir string, segs []*found) (parts []*found, err error) {
	s, err := newSurvey(st, dir)
	if err != nil {
		return nil, err
	}
	for i, seg := range segs {
		if err := s.readPages(seg); err != nil {
			return nil, err
		}
		switch {
		case seg.hdrErr != nil && seg.pair.generation == 0 && len(parts) > 0:
			return parts, nil // being made
		case seg.hdrErr != nil:
			return nil, badHeader(seg)
		case seg.pair.generation == 0:
			if len(parts) == 0 {
				return nil, fmt.Errorf("%w: %s: nothing in it is durable yet", ErrNotFound, dir)
			}
			return parts, nil
		case seg.pair.offset < recordsOffset || seg.pair.offset > min(seg.size, seg.hdr.size) || seg.pair.offset%recordAlign != 0:
			return nil, corrupt(seg, ctlPair0, seg.first, ErrLength)
		case i > 0 && seg.hdr.uuid != segs[0].hdr.uuid:
			return nil, corrupt(seg, 16, seg.first, ErrForeign)
		}
		if a := seg.archive; a != nil {
			seg.lastTime, seg.sealed = a.lastTime, a.end == seg.pair.offset && a.last == seg.pair.sequence
			if !seg.sealed {
				return nil, corrupt(seg, recordsOffset, seg.first, fmt.Errorf("%w: head and control page differ", ErrArchive))
			}
			parts = append(parts, seg)
			continue
		}
		if err := s.readSeal(seg); err != nil {
			return nil, err
		}
		if parts = append(parts, seg); !seg.sealed {
			return parts, nil
		}
	}
	return parts, nil
}

// readSeal finds out whether the durable part of a plain segment ends with its seal.
func (s *survey) readSeal(seg *found) error {
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

// planBackup returns the parts that the copy lacks.
func planBackup(st storage, to string, have, parts []*found) (todo []*found, err error) {
	s := &survey{st: st, dir: to}
	there := make(map[string]*found, len(have))
	for _, seg := range have {
		if err := s.readPages(seg); err != nil {
			return nil, err
		}
		if seg.hdrErr == nil && seg.hdr.uuid != parts[0].hdr.uuid {
			return nil, corrupt(seg, 16, seg.first, fmt.Errorf("%w: the copy is not of it", ErrForeign))
		}
		there[seg.name] = seg
	}
	if err := s.adjoins(have, parts); err != nil {
		return nil, err
	}
	for _, p := range parts {
		c := there[p.name]
		if p.sealed && c != nil && c.hdr.plain() == p.hdr.plain() && c.hdrErr == nil && c.size == p.size &&
			c.pair.offset == p.pair.offset && c.pair.sequence == p.pair.sequence {
			continue
		}
		todo = append(todo, p)
	}
	return todo, nil
}

// adjoins returns ErrBackupGap if the parts do not go on where what the copy has ends: a segment that the copy has
// a part of, or none, was removed.
func (s *survey) adjoins(have, parts []*found) error {
	var last *found // of the copy's segments before the parts
	for _, seg := range have {
		if seg.id < parts[0].id {
			last = seg
		}
	}
	if last == nil || last.hdrErr != nil {
		return nil // damage is for Verify
	}
	if last.archive != nil {
		last.sealed = true
	} else if err := s.readSeal(last); err != nil {
		return err
	}
	if last.sealed && last.pair.sequence+1 == parts[0].first {
		return nil
	}
	return fmt.Errorf("%w: the copy ends with sequence %d, the journal begins with %d; back up into another directory",
		ErrBackupGap, last.pair.sequence, parts[0].first)
}

// ErrBackupGap reports a copy that cannot go on, because what follows its end was removed from the journal since.
var ErrBackupGap = errors.New("journal: the journal was trimmed past the end of the copy")

// copySegment copies what is durable of p.
func copySegment(st storage, dir, to string, p *found, copied func(int64)) error {
	if p.archive != nil {
		return copyFile(st, filepath.Join(dir, p.name), to, p.name, p.fileBytes, copied)
	}
	src, err := st.open(filepath.Join(dir, p.name), false)
	if err != nil {
		return err
	}
	defer src.close()
	mark := make([]byte, 12)
	if err := readFull(src, mark, 0); err != nil {
		return err
	}
	if saysArchived(mark) { // since it was looked at
		n, err := src.size()
		if err != nil {
			return err
		}
		return copyFile(st, filepath.Join(dir, p.name), to, p.name, n, copied)
	}
	tmp := fmt.Sprintf("%016x%s", p.id, spareSuffix)
	return writeWhole(st, to, tmp, p.name, p.hdr.size, func(dst file) error {
		if _, err := dst.WriteAt(headPages(&p.hdr, p.pair), 0); err != nil {
			return err
		}
		copied(recordsOffset)
		return copyRange(dst, src, recordsOffset, p.pair.offset, copied)
	})
}

// copyFile copies the first n bytes of a file into the directory to, durably, under a name that
// appears once it is whole.
func copyFile(st storage, from, to, name string, n int64, copied func(int64)) error {
	src, err := st.open(from, false)
	if err != nil {
		return err
	}
	defer src.close()
	return writeWhole(st, to, name+spareSuffix, name, n, func(dst file) error {
		return copyRange(dst, src, 0, n, copied)
	})
}

// copyChain copies the links of what parts hold.
func copyChain(st storage, dir, to string, parts []*found) (n int, err error) {
	links, _, err := readChain(st, dir, parts[0].hdr.uuid)
	if err != nil || len(links) == 0 {
		return 0, err
	}
	covered := func(l *Link) bool {
		i := len(parts) - 1
		for i >= 0 && parts[i].id > l.Segment {
			i--
		}
		switch {
		case i < 0:
			return true // of a segment that was removed
		case parts[i].id != l.Segment:
			return false // of one that is newer than the copy
		case parts[i].sealed || l.Tail && l.Last < parts[i].pair.sequence:
			return true
		case !l.Tail || l.Last > parts[i].pair.sequence:
			return false
		}
		// It may cover a checkpoint behind the last event that the copy does not have.
		path := filepath.Join(to, parts[i].name)
		got, _, err := hashSegment(st, path, ArchiveAccess{}, hashing{end: parts[i].pair.offset, records: l.Records})
		return err == nil && got.Records == l.Records && got.Tree == l.Tree
	}
	path := filepath.Join(to, chainName)
	f, err := st.open(path, true)
	if errors.Is(err, os.ErrNotExist) {
		f, err = st.create(path, 0)
	}
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	b := make([]byte, linkBytes)
	for i := range links {
		l := &links[i]
		if !covered(l) {
			break
		}
		l.encode(b)
		if _, err := f.WriteAt(b, int64(n)*linkBytes); err != nil {
			return n, err
		}
		n++
	}
	return n, errors.Join(f.sync(), st.syncDir(to))
}
