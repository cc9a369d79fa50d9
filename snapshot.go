package headrace

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/internal/snapshot"
)

// SnapshotOptions says when an engine takes snapshots by itself, and how many it keeps. The zero value takes none;
// Engine.Snapshot takes one at any time. The bounds can be combined: the first that is reached counts, and
// none takes a snapshot where nothing has happened since the last.
type SnapshotOptions struct {
	EveryEvents int64         // after so many sequences; 0 = no bound
	EveryBytes  int64         // after so many bytes of the log, about; 0 = no bound
	Every       time.Duration // by Options.Clock; 0 = no bound
	AtClose     bool          // when the engine closes in order: the next Open then replays nothing

	// Keep is how many stay, in [1, 1000]. Default 2: if the newest turns out to be damaged, the one before it serves.
	Keep int

	// FromStart makes Open replay the whole log, whatever snapshots there are.
	FromStart bool
}

const (
	defaultKeep = 2
	maxKeep     = 1000
)

// automatic tells whether the engine takes snapshots by itself.
func (o SnapshotOptions) automatic() bool {
	return o.EveryEvents > 0 || o.EveryBytes > 0 || o.Every > 0
}

// SnapshotInfo describes a snapshot.
type SnapshotInfo struct {
	Sequence int64     // it holds what the log up to here leads to
	Complete int64     // handlers' answers to events up to Sequence stand up to here, and were durable before it had its name
	Time     time.Time // of the event Sequence
	Created  time.Time
	Path     string
	Bytes    int64             // of the file
	SHA256   [sha256.Size]byte // covers every byte of it

	// Pause is how long the lane that stood still longest did so, Took how long all of it took until the file was
	// durable. Only Engine.Snapshot knows them.
	Pause time.Duration
	Took  time.Duration
	// States is what the snapshot holds of the lanes.
	States []handlers.StateHash
}

var (
	// ErrNoSnapshot reports a log whose beginning was removed, and no snapshot that makes up for it. What it joins
	// says for each snapshot what does not fit.
	ErrNoSnapshot = errors.New("headrace: no snapshot to begin with")

	// ErrSnapshotDamaged reports a snapshot whose bytes are not what was written.
	ErrSnapshotDamaged = snapshot.ErrDamaged
)

// UndeclaredStateError names the lanes that keep a snapshot from being taken: their handlers may remember what
// nobody has declared with handlers.Keep, or have a state that cannot be encoded. It wraps handlers.ErrNotKept.
type UndeclaredStateError struct {
	Lanes []string
	Err   error // says for each of them why
}

func (e *UndeclaredStateError) Error() string {
	return fmt.Sprintf("headrace: no snapshot without the state of %s: %v", strings.Join(e.Lanes, ", "), e.Err)
}

func (e *UndeclaredStateError) Unwrap() error { return e.Err }

// undeclared returns an *UndeclaredStateError if some lane cannot be part of a snapshot.
func (t *Topology) undeclared() error {
	u := new(UndeclaredStateError)
	var faults []error
	for _, p := range t.lanes {
		if p.projector == nil && p.lane.Empty() {
			continue
		}
		if err := p.lane.Undeclared(); err != nil {
			u.Lanes, faults = append(u.Lanes, p.lane.Name()), append(faults, err)
		}
	}
	if len(faults) == 0 {
		return nil
	}
	u.Err = errors.Join(faults...)
	return u
}

// Snapshots lists the snapshots of the journal in dir, newest first. It checks headers, and leaves the contents to
// VerifySnapshots; one that cannot be read is in damaged. It only reads, and works beside an engine.
func Snapshots(dir string) (good []SnapshotInfo, damaged []error, err error) {
	folder := snapshot.Dir(dir)
	all, err := snapshot.List(folder)
	if err != nil {
		return nil, nil, fmt.Errorf("headrace: snapshots: %w", err)
	}
	for _, seq := range all {
		f, bytes, err := snapshot.ReadTable(folder, seq)
		if err != nil {
			damaged = append(damaged, fmt.Errorf("snapshot %d: %w", seq, err))
			continue
		}
		good = append(good, infoOf(f, snapshot.Path(folder, seq), bytes))
	}
	return good, damaged, nil
}

func infoOf(f *snapshot.File, path string, bytes int64) SnapshotInfo {
	info := SnapshotInfo{
		Sequence: f.Sequence, Complete: f.Complete, Time: time.Unix(0, f.Time).UTC(), Created: time.Unix(0, f.Created).UTC(),
		Path: path, Bytes: bytes, SHA256: f.Digest,
	}
	for i := range f.Sections {
		if s := &f.Sections[i]; s.Kind == snapshot.KindState {
			info.States = append(info.States, handlers.StateHash{Lane: s.Lane, Name: s.Name, Bytes: len(s.Data), SHA256: s.Hash})
		}
	}
	return info
}

// SnapshotStats is what an engine knows of its snapshots.
type SnapshotStats struct {
	OpenedAt   int64   // sequence of the snapshot that Open began with, 0 = it replayed the whole log
	PassedOver []error // why newer ones were not used
	Taken      int64   // by this engine
	Failed     int64   // of those that it meant to take by itself
	Err        error   // of the last one that failed, nil if one was taken since
	Last       SnapshotInfo
}

// Snapshot takes a snapshot and returns when it is durable. Open begins with it then, and replays only what the log
// holds behind it.
//
// It publishes an event, handlers.SnapshotMarked. When a lane comes to that event it encodes its states, and stands
// still meanwhile, longer the larger they are: SnapshotInfo.Pause says how long. The
// lanes do so each for itself, and everything else happens beside them. The snapshot counts, and gets its name, once
// every answer to an event up to there is durable.
//
// Errors: *UndeclaredStateError; ErrWouldDeadlock in a handler; ErrClosed, ErrHalted; that of ctx; those of the file
// system. An error leaves the snapshots as they were.
func (e *Engine) Snapshot(ctx context.Context) (SnapshotInfo, error) {
	if e.inMemory() {
		return SnapshotInfo{}, ErrNoLog
	}
	if handlers.InLane(ctx) || handlers.OnLane(e.lanes) {
		return SnapshotInfo{}, ErrWouldDeadlock
	}
	if err := e.snapshots.begin(ctx); err != nil {
		return SnapshotInfo{}, err
	}
	defer e.snapshots.end()
	return e.snapshots.take(ctx, e.capture)
}
