package headrace

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/internal/snapshot"
	"github.com/headrace/headrace/journal"
)

// BackupOptions configures Backup; the zero value is the default.
type BackupOptions struct {
	// Progress, if not nil, is called now and then with the bytes of the log copied and to copy.
	Progress func(done, total int64)
	// Archives says how to read archived segments when the copy is verified.
	Archives journal.ArchiveAccess
	// NoVerify leaves out the reading of the copy's log at the end, for somebody who verifies it elsewhere. The copy's
	// snapshots are read in any case.
	NoVerify bool
}

// BackupReport is what Backup did.
type BackupReport struct {
	journal.BackupReport
	// Snapshots are those in the copy that an engine, or a Restore, can begin with, newest first.
	Snapshots []SnapshotInfo
	// Damaged says which snapshots of the source could not be read, and were not copied.
	Damaged []error
	// Checkpoints is how many followers have their checkpoint in the copy.
	Checkpoints int
}

// Backup copies the journal in dir, and what an engine keeps beside it, to the directory to: the log up to its
// durable sequence, as journal.Backup does, the snapshots and the checkpoints of followers. It reads only, takes no lock
// of dir, and does not disturb an engine that runs there. Done again it copies what is new. It never removes
// anything from the copy, so that Restore can go back to any sequence from the copy's first snapshot on.
//
// What lies beside the log is copied before the log, and so is never newer than it. A checkpoint ahead of what is durable
// is set back to the end of the copy. Where the log's beginning was removed, the copy has a snapshot that makes up for it:
// if one is trimmed away while it is copied, Backup begins again. The copy opens as any journal does; but do not
// back up into it again then.
//
// Errors: those of journal.Backup and, where the copy is verified, of journal.Verify; ErrNoSnapshot if the log's
// beginning was removed and no snapshot in the copy makes up for it.
func Backup(dir, to string, o BackupOptions) (BackupReport, error) {
	var rep BackupReport
	b := &backup{dir: dir, to: to, options: o}
	attempt := 1
	log, err := journal.Backup(dir, to, journal.BackupOptions{Progress: o.Progress, Beside: b.beside, After: b.after, Again: func(err error) bool {
		attempt++
		trimmed := errors.Is(err, fs.ErrNotExist) && !errors.Is(err, journal.ErrNotFound) || errors.Is(err, ErrNoSnapshot) ||
			errors.Is(err, journal.ErrBackupGap)
		return trimmed && attempt <= backupAttempts
	}})
	rep = BackupReport{BackupReport: log, Snapshots: b.snapshots, Damaged: b.damaged, Checkpoints: b.saved}
	if err != nil {
		return rep, fmt.Errorf("headrace: back up %s: %w", dir, err)
	}
	if o.NoVerify {
		return rep, nil
	}
	v, err := journal.Verify(to, journal.VerifyOptions{Archives: o.Archives})
	if err == nil && v.Last != rep.Last {
		err = fmt.Errorf("it ends at sequence %d, want %d", v.Last, rep.Last)
	}
	if err != nil {
		return rep, fmt.Errorf("headrace: the copy %s does not verify: %w", to, err)
	}
	return rep, nil
}

// backupAttempts is how often Backup copies what an engine trims away meanwhile.
const backupAttempts = 10

// Backup is the package's Backup of the engine's own directory, of all that is written when it is called: it syncs
// first, also in durability mode None. The engine trims nothing that is to be copied until it returns. Errors also: ErrNoLog,
// ErrClosed, ErrHalted.
func (e *Engine) Backup(to string, o BackupOptions) (BackupReport, error) {
	if e.inMemory() {
		return BackupReport{}, ErrNoLog
	}
	if err := e.journal.Sync(); err != nil {
		return BackupReport{}, e.stopped(context.Background(), err, "")
	}
	e.backing.Lock()
	defer e.backing.Unlock()
	// It expires, so that one which a crash leaves does not fill the disk.
	if err := e.journal.Hold(holdBackup, e.journal.FirstSequence(), time.Now().Add(24*time.Hour)); err != nil && !errors.Is(err, journal.ErrOutOfRange) {
		return BackupReport{}, e.stopped(context.Background(), err, "")
	}
	rep, err := Backup(e.dir, to, o)
	if rerr := e.journal.Release(holdBackup); err == nil && !errors.Is(rerr, journal.ErrClosed) {
		err = rerr
	}
	return rep, err
}

// backup is one call of Backup; what it did is that of its last attempt.
type backup struct {
	dir, to     string
	options     BackupOptions
	damaged     []error
	checkpoints map[string]handlers.Checkpoint // of the source, as of before its log was copied
	snapshots   []SnapshotInfo
	saved       int // checkpoints
}

// beside copies what lies beside the log. It comes before the log, and has the lock of the copy.
func (b *backup) beside() error {
	b.damaged, b.snapshots, b.saved = nil, nil, 0
	from, to := snapshot.Dir(b.dir), snapshot.Dir(b.to)
	if err := snapshot.Clean(to); err != nil {
		return err
	}
	all, err := snapshot.List(from)
	if err != nil {
		return err
	}
	for _, seq := range all {
		f, err := snapshot.Read(from, seq)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue // given up meanwhile
		case errors.Is(err, snapshot.ErrDamaged), errors.Is(err, snapshot.ErrVersion):
			b.damaged = append(b.damaged, fmt.Errorf("snapshot %d: %w", seq, err))
			continue
		case err != nil:
			return err
		}
		if there, err := snapshot.Read(to, seq); err == nil && there.Digest == f.Digest {
			continue
		}
		if _, err := snapshot.Write(to, f, nil); err != nil {
			return err
		}
	}
	b.checkpoints, err = readCheckpoints(b.dir)
	return err
}

// after completes a copy whose log is there. It too has the lock of the copy.
func (b *backup) after(rep journal.BackupReport) error {
	log := &logEnds{dir: b.to, first: rep.First, last: rep.Last, archives: b.options.Archives}
	if _, err := log.snapshots(b.to, func(f *snapshot.File) error {
		b.snapshots = append(b.snapshots, infoOf(f, snapshot.Path(snapshot.Dir(b.to), f.Sequence), f.Bytes()))
		return nil
	}); err != nil {
		return err
	}
	var err error
	b.saved, err = log.writeCheckpoints(b.to, b.checkpoints)
	return err
}
