package headrace

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/internal/snapshot"
	"github.com/headrace/headrace/journal"
)

// Retention says how much of the log an engine gives up once snapshots make up for it. Whatever it says, what is
// needed stays: the log behind the oldest snapshot that is kept, events that were parked there, what followers with a
// checkpoint have not read, and what another hold of the journal keeps. The zero value gives up nothing.
type Retention struct {
	MaxAge   time.Duration // segments whose last event is older go; 0 = no bound
	MaxBytes int64         // the oldest segments go while all take more; 0 = no bound

	// FollowerExpiry is how long the checkpoint of a follower that does not run keeps the log from being given
	// up, from when it was saved last. Default 0: for ever, so one that is gone for good fills the disk. Who comes back
	// later finds its events gone: journal.ErrOutOfRange.
	FollowerExpiry time.Duration
}

func (r Retention) isZero() bool { return r.MaxAge == 0 && r.MaxBytes == 0 }

func (r Retention) validate() error {
	if r.MaxAge < 0 || r.MaxBytes < 0 || r.FollowerExpiry < 0 {
		return fmt.Errorf("headrace: Retention: a bound is negative in %+v", r)
	}
	return nil
}

// Names of the engine's holds in the journal.
const (
	holdPrefix   = "headrace."
	holdSnapshot = holdPrefix + "snapshot"
	holdParked   = holdPrefix + "parked"
	holdFollower = holdPrefix + "follower/"
	holdBackup   = holdPrefix + "backup"
)

// Trim gives up what r says, whole segments from the oldest on. The engine does so by itself behind every snapshot, by
// Options.Retention. The report names, as HeldBy, what keeps a segment that r gives up: the snapshots (as long as there
// are fewer than SnapshotOptions.Keep that fit, everything), parked events, a follower.
//
// It reads and checks every snapshot that is relied on, so it takes as long. Errors are ErrClosed, ErrHalted,
// ErrWouldDeadlock in a handler, and those of journal.Journal.Trim.
func (e *Engine) Trim(r Retention) (journal.TrimReport, error) {
	if err := r.validate(); err != nil {
		return journal.TrimReport{}, err
	}
	if e.inMemory() {
		return journal.TrimReport{}, ErrNoLog
	}
	if handlers.OnLane(e.lanes) { // a snapshot that is being taken waits for the lane
		return journal.TrimReport{}, ErrWouldDeadlock
	}
	if err := e.snapshots.begin(e.ctx); err != nil {
		return journal.TrimReport{}, e.stopped(context.Background(), err, "")
	}
	defer e.snapshots.end()
	return e.snapshots.trim(r)
}

// retain is Trim by the options, behind a snapshot.
func (n *snapshots) retain() {
	r := n.engine.options.Retention
	if r.isZero() {
		return
	}
	rep, err := n.trim(r)
	switch {
	case err != nil:
		n.engine.log.Error("headrace: the log was not trimmed", "error", err)
	case rep.Removed > 0:
		n.engine.log.Info("headrace: trimmed", "segments", rep.Removed, "bytes", rep.Bytes, "first", rep.First)
	}
}

func (n *snapshots) trim(r Retention) (journal.TrimReport, error) {
	e := n.engine
	for seq := range n.kept { // nothing is given up for a file that cannot be read back
		if _, err := snapshot.Read(n.dir, seq); err != nil {
			e.log.Error("headrace: damaged snapshot", "sequence", seq, "error", err)
			delete(n.kept, seq)
		}
	}
	if err := errors.Join(n.hold(), e.holdFollowers(r.FollowerExpiry)); err != nil {
		return journal.TrimReport{First: e.journal.FirstSequence()}, err
	}
	return e.journal.Trim(journal.Retention{MaxAge: r.MaxAge, MaxBytes: r.MaxBytes})
}

// hold makes the journal keep what the snapshots need: all of it, while there are too few.
func (n *snapshots) hold() error {
	j := n.engine.journal
	sequence, needs := j.FirstSequence(), j.FirstSequence()
	if len(n.kept) >= n.engine.options.Snapshots.Keep {
		first := true
		for seq, need := range n.kept {
			if first || seq < sequence {
				sequence = seq
			}
			if first || need < needs {
				needs = need
			}
			first = false
		}
	}
	err := j.Hold(holdSnapshot, max(sequence, j.FirstSequence()), time.Time{})
	if needs < sequence {
		return errors.Join(err, j.Hold(holdParked, max(needs, j.FirstSequence()), time.Time{}))
	}
	return errors.Join(err, j.Release(holdParked))
}

// holdFollowers makes the journal keep what followers have not read.
func (e *Engine) holdFollowers(expiry time.Duration) error {
	holds, err := e.journal.Holds()
	if err != nil {
		return err
	}
	stale := map[string]int64{}
	for _, h := range holds {
		if strings.HasPrefix(h.Name, holdFollower) {
			stale[h.Name] = h.Sequence
		}
	}
	want, err := e.followersAt(expiry)
	if err != nil {
		return err
	}
	var faults []error
	for name, seq := range want {
		if old, ok := stale[name]; !ok || old != seq {
			if err := e.journal.Hold(name, seq, time.Time{}); !errors.Is(err, journal.ErrOutOfRange) { // else it is too late
				faults = append(faults, err)
			}
		}
		delete(stale, name)
	}
	for name := range stale {
		faults = append(faults, e.journal.Release(name))
	}
	return errors.Join(faults...)
}

// followersAt returns what each follower still needs: those that run from where they are, those with a checkpoint from
// that event on, by which they will know the log again.
func (e *Engine) followersAt(expiry time.Duration) (map[string]int64, error) {
	at := map[string]int64{}
	first := e.journal.FirstSequence()
	need := func(name string, seq int64) {
		if old, ok := at[holdFollower+name]; !ok || seq < old {
			at[holdFollower+name] = seq
		}
	}
	e.mu.Lock()
	running := map[string]bool{}
	for f := range e.reading {
		running[f.options.Name] = true
		need(f.options.Name, max(first, f.reads.Load()))
	}
	e.mu.Unlock()
	for _, l := range e.lanes {
		if l.Away() {
			need("paused/"+l.Name(), max(first, l.Sequence()))
		}
	}
	dir := filepath.Join(e.dir, checkpointFolder)
	files, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, file := range files {
		name := file.Name()
		if !file.Type().IsRegular() || !validName(name) {
			continue
		}
		c, err := handlers.LoadCheckpoint(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		if expiry > 0 && !running[name] {
			if st, err := file.Info(); err == nil && time.Since(st.ModTime()) > expiry {
				continue
			}
		}
		if c.Sequence >= first { // else what it needs is gone
			need(name, c.Sequence)
		}
	}
	return at, nil
}
