package headrace

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/headrace/headrace/internal/snapshot"
	"github.com/headrace/headrace/journal"
)

// RestoreOptions configures Restore. The zero value restores all that is durable.
type RestoreOptions struct {
	// Until is the last sequence to restore; 0 = no end.
	Until int64
	// UntilTime is the last time to restore, that of the journal's records. Default: no end.
	UntilTime time.Time
	// Archives says how to read archived segments.
	Archives journal.ArchiveAccess
	// Progress, if not nil, is called now and then with the bytes of the log copied and to copy.
	Progress func(done, total int64)
}

// RestoreReport is what Restore did.
type RestoreReport struct {
	journal.RestoreReport
	Snapshots []SnapshotInfo // restored, newest first
	// PassedOver says why other snapshots of the source were not restored: they are newer than the end that was
	// asked for, say, or damaged.
	PassedOver  []error
	Checkpoints int // of followers
}

// Restore makes the journal in dir, which must be empty or missing, what the one in from is, or was at the sequence or
// time that o gives, with the snapshots and followers' checkpoints that fit: as journal.Restore, which says more. From
// is a copy that Backup made, or the journal of any engine, also of one that runs.
//
// A snapshot fits if it is no later than the end, and so is every answer that its handlers had given: else the log
// ahead of it would lack them. Where the log's beginning was removed, one must fit. A checkpoint ahead of the end is set
// back to it: what its follower has done with later events stays done.
//
// Errors: ErrNoSnapshot, before anything is written if that can be known; those of journal.Restore.
func Restore(ctx context.Context, from, dir string, o RestoreOptions) (RestoreReport, error) {
	var rep RestoreReport
	if !o.UntilTime.IsZero() && !time.Unix(0, o.UntilTime.UnixNano()).Equal(o.UntilTime) {
		return rep, fmt.Errorf("headrace: RestoreOptions.UntilTime = %v: want a time in the years 1678 to 2261", o.UntilTime)
	}
	end := journal.RestoreOptions{Until: o.Until, Archives: o.Archives, Progress: o.Progress, Folders: besideFolders()}
	if !o.UntilTime.IsZero() {
		end.UntilTime = o.UntilTime.UnixNano()
	}
	log := &logEnds{dir: from, archives: o.Archives}
	if err := log.until(end); err != nil {
		return rep, err
	}
	if _, err := log.snapshots(from, nil); err != nil {
		return rep, fmt.Errorf("headrace: restore %s: %w", from, err)
	}
	end.Beside = func(r journal.RestoreReport) (err error) {
		log.first, log.last = r.First, r.Last
		rep.RestoreReport = r
		if err := clearBeside(dir); err != nil {
			return err
		}
		rep.PassedOver, err = log.snapshots(from, func(f *snapshot.File) error {
			path, err := snapshot.Write(snapshot.Dir(dir), f, nil)
			if err == nil {
				rep.Snapshots = append(rep.Snapshots, infoOf(f, path, f.Bytes()))
			}
			return err
		})
		if err != nil {
			return err
		}
		all, err := readCheckpoints(from)
		if err == nil {
			rep.Checkpoints, err = log.writeCheckpoints(dir, all)
		}
		return err
	}
	r, err := journal.Restore(ctx, from, dir, end)
	rep.RestoreReport = r
	return rep, err
}

// until finds the log's ends, as far as a restore with these bounds goes; what is not durable may be in it.
func (l *logEnds) until(o journal.RestoreOptions) error {
	r, err := journal.OpenReader(l.dir, 0, journal.ReaderOptions{Archives: l.archives})
	if err != nil {
		return err
	}
	l.first = r.Sequence() + 1
	l.last, err = r.Durable()
	if err := errors.Join(err, r.Close()); err != nil {
		return err
	}
	if o.Until > 0 {
		l.last = min(l.last, o.Until)
	}
	if o.UntilTime == 0 {
		return nil
	}
	return l.untilTime(o.UntilTime)
}

// untilTime moves the end back to the last record of that time at the latest.
func (l *logEnds) untilTime(end int64) error {
	r, err := journal.OpenReader(l.dir, 0, journal.ReaderOptions{Archives: l.archives})
	if err != nil {
		return err
	}
	if err = r.SeekTime(time.Unix(0, end).Add(1)); err == nil {
		_, err = r.Read(func(rec journal.Record) error {
			l.last = min(l.last, rec.Sequence-1)
			return journal.ErrStop
		})
	}
	return errors.Join(err, r.Close())
}
