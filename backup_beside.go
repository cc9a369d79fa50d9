package headrace

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/internal/snapshot"
	"github.com/headrace/headrace/journal"
)

// logEnds is a copy of a log, or a part of one, against which what lies beside it is held.
type logEnds struct {
	dir         string // where its records are
	first, last int64  // sequences
	archives    journal.ArchiveAccess
}

// record returns one of its records.
func (l *logEnds) record(seq int64) (rec journal.Record, found bool, err error) {
	open := opener(func(from int64, o journal.ReaderOptions) (*journal.Reader, error) {
		o.Archives = l.archives
		return journal.OpenReader(l.dir, from, o)
	})
	err = open.reread(seq, seq, func(r journal.Record) error {
		r.Body = nil // a view
		rec, found = r, true
		return nil
	})
	return rec, found, err
}

// snapshots calls fn for each snapshot of the journal in dir that an engine could begin with if the log were this
// one, newest first, and says why others are none. The error is fn's, or ErrNoSnapshot if one is needed and there is none.
func (l *logEnds) snapshots(dir string, fn func(*snapshot.File) error) (why []error, err error) {
	folder := snapshot.Dir(dir)
	all, err := snapshot.List(folder)
	if err != nil {
		return nil, err
	}
	headless, good := false, 0
	for _, seq := range all {
		f, err := snapshot.Read(folder, seq)
		if err == nil {
			var o *opening
			if o, err = open(f); err == nil {
				headless = headless || o.known.begin < l.first
				err = l.carries(o)
			}
		}
		if err != nil {
			why = append(why, fmt.Errorf("snapshot %d: %w", seq, err))
			continue
		}
		if good++; fn != nil {
			if err := fn(f); err != nil {
				return why, err
			}
		}
	}
	if good == 0 && len(all) > 0 && !headless { // none could be read
		rec, found, err := l.record(l.first)
		if err != nil {
			return why, err
		}
		headless = found && rec.Type != typeAssignedID && rec.Type != handlerAddedID
	}
	if headless && good == 0 {
		err = errors.Join(append([]error{fmt.Errorf("%w: the log begins with event %d and ends with %d", ErrNoSnapshot, l.first, l.last)}, why...)...)
	}
	return why, err
}

// carries returns nil if the log has all that a snapshot needs.
func (l *logEnds) carries(o *opening) error {
	switch {
	case o.Needs < l.first:
		return fmt.Errorf("it needs the log from event %d on, which begins with %d", o.Needs, l.first)
	case o.Complete > l.last:
		return fmt.Errorf("it needs the log up to event %d, which ends with %d", o.Complete, l.last)
	}
	rec, found, err := l.record(o.Sequence)
	if err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("the log has no event %d", o.Sequence)
	}
	return o.check(rec)
}

// readCheckpoints reads what followers of the journal in dir have.
func readCheckpoints(dir string) (map[string]handlers.Checkpoint, error) {
	files, err := os.ReadDir(filepath.Join(dir, checkpointFolder))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	all := map[string]handlers.Checkpoint{}
	for _, f := range files {
		if !f.Type().IsRegular() || !validName(f.Name()) {
			continue
		}
		c, err := handlers.LoadCheckpoint(filepath.Join(dir, checkpointFolder, f.Name()))
		if err != nil {
			return nil, err
		}
		if c != (handlers.Checkpoint{}) {
			all[f.Name()] = c
		}
	}
	return all, nil
}

// writeCheckpoints saves checkpoints in dir, beside this log. One that is ahead of it is set back to its end.
func (l *logEnds) writeCheckpoints(dir string, all map[string]handlers.Checkpoint) (n int, err error) {
	var end handlers.Checkpoint
	for name, c := range all {
		if c.Sequence > l.last {
			if l.last < l.first {
				continue // there is nothing yet that it could have handled
			}
			if end.Sequence == 0 {
				rec, found, err := l.record(l.last)
				if err != nil || !found {
					return n, errors.Join(err, fmt.Errorf("no event %d in the log", l.last))
				}
				end = handlers.CheckpointOf(rec)
			}
			c = end
		}
		if err := c.Save(filepath.Join(dir, checkpointFolder, name)); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// besideFolders are the folders of a journal's directory that are an engine's.
func besideFolders() []string { return []string{checkpointFolder, filepath.Base(snapshot.Dir(""))} }

// clearBeside removes what an unfinished restore has left of them.
func clearBeside(dir string) (err error) {
	for _, name := range besideFolders() {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, name)))
	}
	return err
}
