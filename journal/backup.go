package journal

import (
	"errors"
	"path/filepath"
	"strconv"
	"strings"
)

// BackupOptions configure Backup.
type BackupOptions struct {
	// Progress, if not nil, is called now and then with the bytes copied and to copy.
	Progress func(done, total int64)
	// Beside, if not nil, copies what lies beside the log. It is called once an attempt, before anything of the log is
	// copied; its error ends the attempt. So what it copies is never newer than the log.
	Beside func() error
	// After, if not nil, is called when the log is there; its error ends the attempt.
	After func(BackupReport) error
	// Again, if not nil, is asked after an attempt that failed whether to begin anew. A copy that had no segments when
	// Backup was called, and was overtaken by Trim, is removed then; of any other, ErrBackupGap is final.
	Again func(err error) bool
	// All of these are called under the lock of the copy, which is held from the first attempt to the last.
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
// its own is another history, as is a journal that was restored from an earlier state, cut or repaired:
// what the copy has and the journal has not stays, and Backup refuses with ErrBackupFork.
//
// Every record that is copied is verified in the copy before that gets its name, so that damage of dir is found and does
// not replace what the copy has; of archived segments the checksums of their blocks. What was there already is not read
// again, but for the newest segment and the ends of the others: run Verify. Where no writer has dir open, and none had in
// this boot, all is copied that the next Open would keep.
//
// It takes the locks of the copy while it runs. Each file appears under its name once it is whole,
// so that an interrupted backup leaves a shorter copy and spares, which the next one removes. The copy has a mark of its
// own end, so that its newest segment is missed if it gets lost. Holds are not copied.
//
// A segment that is removed from dir while it is copied is fs.ErrNotExist: run it again, or see BackupOptions.Again.
//
// Errors: ErrNotFound; ErrDirectory;
// ErrOverlap where one of dir and to is, or lies in, the other, by whatever names;
// ErrLocked where a writer has the copy; *CorruptionError where dir is damaged or the copy is of another journal (ErrForeign);
// ErrBackupGap where the journal begins behind the end of the copy; ErrBackupFork; *NoSpaceError.
func Backup(dir, to string, o BackupOptions) (BackupReport, error) {
	rep, err := backup(osStorage{}, dir, to, o)
	return rep, named(err)
}

// Conditions of Backup.
var (
	// ErrBackupGap reports a copy that cannot go on, because what follows its end was removed from the journal since.
	ErrBackupGap = errors.New("journal: the journal was trimmed past the end of the copy")
	// ErrBackupFork reports a copy that has records which the journal has not, or has others in their place: one of them
	// went on from an earlier state, or was repaired. Nothing was changed. Restore the copy, or back up into another directory.
	ErrBackupFork = errors.New("journal: the copy has another history than the journal")
)

func backup(st storage, dir, to string, o BackupOptions) (rep BackupReport, err error) {
	if err := checkSource(st, dir, to); err != nil {
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
	have, _, _, err := listSegments(st, to)
	if err != nil {
		return rep, err
	}
	for made := len(have) == 0; ; {
		rep, err = backUp(st, dir, to, o)
		gap := errors.Is(err, ErrBackupGap)
		if err == nil || gap && !made || o.Again == nil || !o.Again(err) {
			return rep, err
		}
		if gap { // an attempt before this one was overtaken
			if err := removeCopy(st, to); err != nil {
				return rep, err
			}
		}
	}
}

// removeCopy removes the segments of a copy that nobody was told of, and what is of them.
func removeCopy(st storage, to string) error {
	segs, _, _, err := listSegments(st, to)
	if err != nil {
		return err
	}
	names := []string{progressName, chainName}
	for _, seg := range segs {
		names = append(names, seg.name)
	}
	for _, name := range names {
		if err := removeIfThere(st, filepath.Join(to, name)); err != nil {
			return err
		}
	}
	return st.syncDir(to)
}

// backUp is one attempt of a backup. What is durable is found under the lock of the copy: else another backup could bring in
// meanwhile what this one does not know.
func backUp(st storage, dir, to string, o BackupOptions) (rep BackupReport, err error) {
	log, err := durableIn(st, dir)
	if err != nil {
		return rep, err
	}
	have, spares, _, err := listSegments(st, to)
	if err != nil {
		return rep, err
	}
	for _, name := range spares {
		if !isSpare(name) {
			continue // somebody else's
		}
		if err := st.remove(filepath.Join(to, name)); err != nil {
			return rep, err
		}
	}
	b := &backingUp{st: st, log: log, copy: &survey{st: st, dir: to}, have: have}
	todo, err := b.plan()
	if err != nil {
		return rep, err
	}
	if o.Beside != nil {
		if err := o.Beside(); err != nil {
			return rep, err
		}
	}
	if rep, err = b.carryOut(todo, o.Progress); err != nil {
		return rep, err
	}
	if o.After != nil {
		if err := o.After(rep); err != nil {
			return rep, err
		}
	}
	return rep, st.syncDir(to) // what an earlier call named, and could not sync, too
}

// carryOut copies the segments of todo, then what tells of them.
func (b *backingUp) carryOut(todo []*found, progress func(done, total int64)) (rep BackupReport, err error) {
	st, dir, to, parts := b.st, b.log.s.dir, b.copy.dir, b.log.parts
	total := int64(0)
	for _, p := range todo {
		total += p.pair.offset
	}
	rep.First, rep.Kept = parts[0].first, len(parts)-len(todo)
	if len(b.have) > 0 {
		rep.First = min(rep.First, b.have[0].first) // removed from the source since
	}
	for _, p := range todo {
		if err := copySegment(st, dir, to, p, func(n int64) {
			if rep.Bytes += n; progress != nil {
				progress(rep.Bytes, total)
			}
		}); err != nil {
			return rep, errorf("back up %s: %w", p.name, noSpaceIn(to, p.hdr.size, err))
		}
		rep.Copied++
	}
	if rep.Links, err = copyChain(st, dir, to, parts); err != nil {
		return rep, err
	}
	end := parts[len(parts)-1]
	if b.ahead != nil {
		end = b.ahead
		end.pair = pair{max(end.pair.generation, 1), end.end, end.lastKnown} // its control page may be damaged
	}
	rep.Last = end.pair.sequence
	return rep, writeMark(st, to, end)
}

// noSpaceIn makes the kernel's word for a full disk a *NoSpaceError, for a file of n bytes in dir.
func noSpaceIn(dir string, n int64, err error) error {
	if isNoSpace(err) && !errors.Is(err, ErrNoSpace) {
		return &NoSpaceError{Dir: dir, Bytes: n, Err: err}
	}
	return err
}

// isSpare tells whether name is one that a file of a journal has while it is written.
func isSpare(name string) bool {
	base, ok := strings.CutSuffix(name, spareSuffix)
	if _, _, segment := parseSegmentName(base); segment || base == chainName || base == progressName || base == holdsName {
		return ok
	}
	_, err := strconv.ParseUint(base, 16, 64)
	return ok && err == nil && len(base) == 16
}
