package journal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Conditions of Restore.
var (
	// ErrNotEmpty reports a directory to restore into that has something in it.
	ErrNotEmpty = errors.New("journal: the directory to restore into is not empty")
	// ErrRestoring reports a directory in which a restore was begun and not finished: what is there
	// may be a part of a journal. Restore again, from the same source or another.
	ErrRestoring = errors.New("journal: a restore into the directory was not finished; run it again")
)

// restoringName marks a directory in which a restore is not finished.
const restoringName = "RESTORING"

// RestoreOptions configure Restore. The zero value restores all that is durable.
type RestoreOptions struct {
	// Until, if not 0, is the last sequence to restore.
	Until int64
	// UntilTime, if not 0, is the last time to restore, in unix nanoseconds. Times never decrease,
	// so what is restored is everything up to then.
	UntilTime int64
	// Archives says how to read archived segments: they are verified, and the one in which the end
	// lies is restored plain. Verify's other wishes, such as an anchor, are for Verify.
	Archives ArchiveAccess
	// Progress, if not nil, is called now and then with the bytes copied and to copy.
	Progress func(done, total int64)
	// Beside, if not nil, restores what lies beside the log, in Folders of dir. It is called when the log is there
	// and verified, and nobody can open it yet; its error ends the restore, unfinished. Folders may be there
	// from an unfinished restore, with whatever that has left in them.
	Beside  func(RestoreReport) error
	Folders []string
}

// RestoreReport is what Restore did.
type RestoreReport struct {
	First, Last int64 // sequences that the journal now holds; Last is First-1 if none
	Segments    int
	Bytes       int64 // copied
	Links       int   // of the chain
	Cut         bool  // it ends before what the source holds
}

// Restore makes the journal in dir what the one in from is, or was at the sequence or the time that o
// gives: an atomic batch that does not end by then is left out as a whole. from is a copy that Backup
// made, or any journal, also one that is written to. dir must be empty, or missing; lost+found and
// an unfinished restore count as empty. The source is verified before anything is written, the
// result when it is done.
//
// The result is a journal of the same UUID that Open continues. A copy and its source, or two restores,
// that are both continued are different histories with one name.
//
// Until it is finished nobody opens dir: see ErrRestoring. It takes the writer's lock of dir.
//
// Errors: ErrNotEmpty; ErrNotFound; ErrDirectory; ErrOverlap where one directory is, or lies in, the other; ErrOutOfRange if the source begins after Until; *CorruptionError;
// *AccessError; *NoSpaceError; ErrLocked; ctx's.
func Restore(ctx context.Context, from, dir string, o RestoreOptions) (RestoreReport, error) {
	rep, err := restore(ctx, osStorage{}, from, dir, o)
	return rep, named(err)
}

func restore(ctx context.Context, st storage, from, dir string, o RestoreOptions) (rep RestoreReport, err error) {
	if o.Until < 0 {
		return rep, fmt.Errorf("journal: restore until sequence %d: want at least 0", o.Until)
	}
	if err := checkSource(st, from, dir); err != nil {
		return rep, err
	}
	if _, err := verifyAt(st, from, VerifyOptions{Archives: o.Archives}, newPace(ctx, 0)); err != nil {
		return rep, err
	}
	log, err := durableIn(st, from)
	if err != nil {
		return rep, err
	}
	parts, end, err := cutParts(st, from, log.parts, o)
	if err != nil {
		return rep, err
	}
	if err := st.mkdir(dir); err != nil {
		return rep, err
	}
	lock, err := st.lock(dir)
	if err != nil {
		return rep, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if err := clearForRestore(st, dir, o.Folders); err != nil {
		return rep, err
	}
	rep, err = copyParts(ctx, st, from, dir, parts, end, o)
	if err != nil {
		return rep, err
	}
	v, err := verifyRestored(ctx, st, dir, o)
	if err != nil {
		return rep, errorf("what was restored does not verify: %w", err)
	}
	if v.Last != rep.Last || v.First != rep.First {
		return rep, fmt.Errorf("journal: restored are sequences %d to %d, want %d to %d", v.First, v.Last, rep.First, rep.Last)
	}
	if o.Beside != nil {
		if err := o.Beside(rep); err != nil {
			return rep, err
		}
	}
	if err := st.remove(filepath.Join(dir, restoringName)); err != nil {
		return rep, err
	}
	return rep, st.syncDir(dir)
}

// cutEnd is where a restore ends inside its last segment.
type cutEnd struct {
	cut  bool // the last segment is not restored whole
	pair pair
}

// cutParts returns the parts up to the end that o asks for, and that end.
func cutParts(st storage, from string, parts []*found, o RestoreOptions) ([]*found, cutEnd, error) {
	var end cutEnd
	if o.Until == 0 && o.UntilTime == 0 {
		return parts, end, nil
	}
	if o.Until > 0 && parts[0].first > o.Until+1 {
		return nil, end, fmt.Errorf("%w: restore until %d, the first is %d", ErrOutOfRange, o.Until, parts[0].first)
	}
	late := func(f *frame) bool {
		return o.Until > 0 && f.sequence > o.Until || o.UntilTime != 0 && f.time > o.UntilTime
	}
	for i, p := range parts {
		whole := (o.Until == 0 || p.pair.sequence <= o.Until) && (o.UntilTime == 0 || p.sealed && p.lastTime <= o.UntilTime)
		if whole {
			continue
		}
		s := &survey{st: st, dir: from, surveying: surveying{access: o.Archives}}
		end.pair = pair{1, recordsOffset, p.first - 1}
		err := s.withRecords(p, func(m []byte, load loader) error {
			loaded, last := int64(0), p.first-1
			for off := int64(recordsOffset); off < p.pair.offset; {
				if load != nil && off >= loaded {
					var err error
					if loaded, err = load(off); err != nil {
						return err
					}
				}
				f, _, next, err := readFrame(m, off, p.pair.offset, p.hdr.salt)
				if err != nil {
					return corrupt(p, off, last+1, err)
				}
				if late(&f) || f.kind == KindSeal || f.kind == KindIndex {
					return nil
				}
				if f.kind.advances() {
					last = f.sequence
				}
				if off = next; f.flags&FlagBatch == 0 {
					end.pair.offset, end.pair.sequence = off, last
				}
			}
			return nil
		})
		if err != nil {
			return nil, end, err
		}
		end.cut = end.pair.offset < p.pair.offset
		return parts[:i+1], end, nil
	}
	return parts, end, nil
}

// clearForRestore marks dir, which must be as good as empty, and removes what an earlier restore left, but for folders.
func clearForRestore(st storage, dir string, folders []string) error {
	names, err := st.list(dir, maxNames)
	if err != nil {
		return err
	}
	begun := false
	for _, name := range names {
		begun = begun || name == restoringName
	}
	for _, name := range names {
		ours := name == lockName || name == restoringName || name == "lost+found" ||
			begun && (name == chainName || name == progressName || slices.Contains(folders, name) || strings.HasSuffix(name, segmentSuffix) || strings.HasSuffix(name, spareSuffix))
		if !ours {
			return fmt.Errorf("%w: %s has %s", ErrNotEmpty, dir, name)
		}
	}
	mark := filepath.Join(dir, restoringName)
	if !begun {
		f, err := st.create(mark, 0)
		if err == nil {
			err = errors.Join(f.sync(), f.close())
		}
		if err == nil {
			err = st.syncDir(dir)
		}
		if err != nil {
			return err
		}
	}
	for _, name := range names {
		if name == lockName || name == restoringName || name == "lost+found" || slices.Contains(folders, name) {
			continue
		}
		if err := st.remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return st.syncDir(dir)
}

// copyParts copies segments and chain.
func copyParts(ctx context.Context, st storage, from, dir string, parts []*found, end cutEnd, o RestoreOptions) (rep RestoreReport, err error) {
	total := int64(0)
	for _, p := range parts {
		total += p.pair.offset
	}
	copied := func(n int64) {
		if rep.Bytes += n; o.Progress != nil {
			o.Progress(rep.Bytes, total)
		}
	}
	rep.First, rep.Cut = parts[0].first, end.cut
	for i, p := range parts {
		if err := ctx.Err(); err != nil {
			return rep, err
		}
		if end.cut && i == len(parts)-1 {
			err = copyCut(st, from, dir, p, end.pair, o.Archives, copied)
			p.pair, p.sealed = end.pair, false
		} else {
			err = copySegment(st, from, dir, p, copied)
		}
		if err != nil {
			return rep, noSpaceIn(dir, p.hdr.size, err)
		}
		rep.Segments++
	}
	last := parts[len(parts)-1]
	rep.Last = last.pair.sequence
	if rep.Links, err = copyChain(st, from, dir, parts); err != nil {
		return rep, err
	}
	return rep, writeMark(st, dir, last)
}

// copyCut copies the first records of p, up to where to says, as a plain segment that goes on.
func copyCut(st storage, from, dir string, p *found, to pair, access ArchiveAccess, copied func(int64)) error {
	hdr := p.hdr.plain()
	return writeWhole(st, dir, p.name+spareSuffix, p.name, p.hdr.size, func(dst file) error {
		if _, err := dst.WriteAt(headPages(&hdr, to), 0); err != nil {
			return err
		}
		copied(recordsOffset)
		s := &survey{st: st, dir: from, surveying: surveying{access: access}}
		return s.withRecords(p, func(m []byte, load loader) error {
			for off := int64(recordsOffset); off < to.offset; {
				stop := min(off+1<<20, to.offset)
				if load != nil {
					loaded, err := load(off)
					if err != nil {
						return err
					}
					stop = min(loaded, to.offset)
				}
				if _, err := dst.WriteAt(m[off:stop], off); err != nil {
					return err
				}
				copied(stop - off)
				off = stop
			}
			return nil
		})
	})
}

// verifyRestored verifies dir although it is marked.
func verifyRestored(ctx context.Context, st storage, dir string, o RestoreOptions) (Report, error) {
	return verifyAt(restoringStorage{st}, dir, VerifyOptions{Archives: o.Archives}, newPace(ctx, 0))
}

// restoringStorage hides the mark, and the lock that the restore itself holds.
type restoringStorage struct{ storage }

func (restoringStorage) locked(string) bool { return false }

func (s restoringStorage) list(dir string, limit int) ([]string, error) {
	names, err := s.storage.list(dir, limit)
	for i, name := range names {
		if name == restoringName {
			names[i] = lockName
		}
	}
	return names, err
}
