package headrace

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/internal/snapshot"
)

// Hashes returns what every lane comes to: the hash of each state, and, where there is something in it, of what each
// handler has parked (Name "parked/" and its id) and of the timers (no lane, Name "timers"). Two topologies with
// equal hashes will do the same from here on. It is for a topology that was replayed, or one whose engine is at rest.
//
// Errors: *UndeclaredStateError.
func (t *Topology) Hashes() ([]handlers.StateHash, error) {
	if err := t.undeclared(); err != nil {
		return nil, err
	}
	var all []handlers.StateHash
	for _, p := range t.lanes {
		if p.projector == nil && p.lane.Empty() {
			continue
		}
		img := p.lane.Image()
		if img.Err != nil {
			return nil, fmt.Errorf("headrace: lane %q: %w", img.Lane, img.Err)
		}
		for _, s := range img.States {
			all = append(all, hashOf(img.Lane, s.Name, s.Data))
		}
		for _, p := range img.Parked {
			if p.Oldest != 0 {
				all = append(all, hashOf(img.Lane, parkedName+p.Handler, p.Data))
			}
		}
		if t.timers != nil && img.Timers != nil && t.timers.Pending() > 0 {
			all = append(all, hashOf("", timersName, img.Timers))
		}
	}
	return all, nil
}

const (
	parkedName = "parked/"
	timersName = "timers"
)

func hashOf(lane, name string, data []byte) handlers.StateHash {
	return handlers.StateHash{Lane: lane, Name: name, Bytes: len(data), SHA256: sha256.Sum256(data)}
}

// hashes is Topology.Hashes of a snapshot, for the lanes and handlers that t has.
func (o *opening) hashes(t *Topology) []handlers.StateHash {
	var all []handlers.StateHash
	for _, p := range t.lanes {
		img := o.images[p.lane.Name()]
		if img == nil {
			continue
		}
		for _, s := range img.States {
			all = append(all, hashOf(img.Lane, s.Name, s.Data))
		}
		for _, k := range img.Parked {
			if k.Oldest != 0 && slices.Contains(p.lane.HandlerIDs(), k.Handler) {
				all = append(all, hashOf(img.Lane, parkedName+k.Handler, k.Data))
			}
		}
	}
	if t.timers != nil && len(o.timers) > 1 { // an empty array is one byte
		all = append(all, hashOf("", timersName, o.timers))
	}
	return all
}

// VerifyOptions configures VerifySnapshots; the zero value is the default.
type VerifyOptions struct {
	AcceptLost, AcceptSchema bool // as in Options
}

// VerifyReport is what VerifySnapshots found.
type VerifyReport struct {
	LastSequence int64
	// Base is the snapshot that the others are held against, 0 for the log from its beginning.
	Base      int64
	Hashes    []handlers.StateHash // at LastSequence, from Base
	Snapshots []SnapshotVerdict    // newest first
}

// SnapshotVerdict is what is to be said of one snapshot.
type SnapshotVerdict struct {
	Sequence int64
	// Err is nil if the snapshot leads to where Base does, and holds what Base leads to at its sequence. Else it is a
	// *StateMismatchError, ErrSnapshotDamaged, or why it does not fit the topology.
	Err error
}

// ErrStateMismatch reports a state that differs between a snapshot and the log.
var ErrStateMismatch = errors.New("headrace: snapshot and log lead to different states")

// StateMismatchError names what differs. It wraps ErrStateMismatch.
type StateMismatchError struct {
	Snapshot int64 // sequence
	At       int64 // sequence at which the states were compared: that of the snapshot, or the last of the log
	// Lane and Name are of the first state that differs; Want is its hash from the log, Got from the snapshot. One
	// that is zero means that there is none.
	Lane, Name string
	Want, Got  [sha256.Size]byte
}

func (e *StateMismatchError) Error() string {
	return fmt.Sprintf("headrace: snapshot %d: at event %d, %q of lane %q has hash %.8x, the log leads to %.8x", e.Snapshot, e.At, e.Name, e.Lane, e.Got, e.Want)
}

func (e *StateMismatchError) Unwrap() error { return ErrStateMismatch }

// VerifySnapshots proves that the snapshots of the journal in dir say what the log says: it replays the log from its
// beginning, and from each snapshot, and compares every state, what is parked and the timers, by hash, at the snapshot's
// sequence and at the end. Where the log's beginning was removed, the oldest snapshot that fits stands for it. topology
// makes a new topology for each replay. It reads only, also beside an engine.
//
// The error is that of the replay, or the first that a verdict holds. A snapshot that does not fit the topology is no
// error of the call, but has a verdict.
func VerifySnapshots(dir string, topology func() *Topology, o VerifyOptions) (rep VerifyReport, err error) {
	v := &verifier{dir: dir, topology: topology, options: o}
	base, hashes, err := v.replay(ReplayOptions{FromStart: true, AcceptLost: o.AcceptLost, AcceptSchema: o.AcceptSchema})
	all, lerr := snapshot.List(snapshot.Dir(dir))
	if lerr != nil {
		return rep, fmt.Errorf("headrace: snapshots: %w", lerr)
	}
	for i := len(all) - 1; errors.Is(err, ErrLog) && i >= 0; i-- {
		var serr error
		if base, hashes, serr = v.replay(ReplayOptions{only: all[i], AcceptLost: o.AcceptLost, AcceptSchema: o.AcceptSchema}); serr == nil {
			rep.Base, err = all[i], nil
		}
	}
	if err != nil {
		return rep, err
	}
	rep.LastSequence, rep.Hashes = base.LastSequence, hashes
	for _, seq := range all {
		if seq > rep.LastSequence {
			continue // taken meanwhile
		}
		verdict := SnapshotVerdict{seq, v.verify(seq, rep)}
		rep.Snapshots = append(rep.Snapshots, verdict)
		if err == nil && (errors.Is(verdict.Err, ErrStateMismatch) || errors.Is(verdict.Err, ErrSnapshotDamaged)) {
			err = verdict.Err
		}
	}
	return rep, err
}

// verifier is one VerifySnapshots under way.
type verifier struct {
	dir      string
	topology func() *Topology
	options  VerifyOptions
}

func (v *verifier) replay(o ReplayOptions) (Replayed, []handlers.StateHash, error) {
	t := v.topology()
	r, err := Replay(v.dir, t, o)
	if err != nil {
		return r, nil, err
	}
	hashes, err := t.Hashes()
	return r, hashes, err
}

// verify compares the snapshot at seq with the base of rep.
func (v *verifier) verify(seq int64, rep VerifyReport) error {
	f, err := snapshot.Read(snapshot.Dir(v.dir), seq)
	if err != nil {
		return fmt.Errorf("headrace: snapshot %d: %w", seq, err)
	}
	o, err := open(f)
	if err != nil {
		return fmt.Errorf("headrace: snapshot %d: %w: %w", seq, ErrSnapshotDamaged, err)
	}
	end := ReplayOptions{only: seq, Until: rep.LastSequence, AcceptLost: v.options.AcceptLost, AcceptSchema: v.options.AcceptSchema}
	if _, got, err := v.replay(end); err != nil {
		return err
	} else if err := compareHashes(seq, rep.LastSequence, rep.Hashes, got); err != nil {
		return err
	}
	if seq <= rep.Base {
		return nil // there is nothing before it to compare with
	}
	there := ReplayOptions{FromStart: rep.Base == 0, only: rep.Base, Until: seq, AcceptLost: v.options.AcceptLost, AcceptSchema: v.options.AcceptSchema}
	t := v.topology()
	if _, err := Replay(v.dir, t, there); err != nil {
		return err
	}
	want, err := t.Hashes()
	if err != nil {
		return err
	}
	return compareHashes(seq, seq, want, o.hashes(t))
}

// compareHashes returns a *StateMismatchError for the first difference.
func compareHashes(seq, at int64, want, got []handlers.StateHash) error {
	find := func(all []handlers.StateHash, s handlers.StateHash) (sum [sha256.Size]byte) {
		if i := slices.IndexFunc(all, func(o handlers.StateHash) bool { return o.Lane == s.Lane && o.Name == s.Name }); i >= 0 {
			sum = all[i].SHA256
		}
		return sum
	}
	for _, s := range append(slices.Clone(want), got...) {
		if w, g := find(want, s), find(got, s); w != g {
			return &StateMismatchError{Snapshot: seq, At: at, Lane: s.Lane, Name: s.Name, Want: w, Got: g}
		}
	}
	return nil
}
