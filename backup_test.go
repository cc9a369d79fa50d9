package headrace_test

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/internal/snapshot"
	"github.com/headrace/headrace/journal"
)

// replayed returns what the log of dir, and its snapshots, come to.
func replayed(t testing.TB, dir string, l luck) []handlers.StateHash {
	t.Helper()
	w := newWorld(t, l)
	_, err := headrace.Replay(dir, w.topology, headrace.ReplayOptions{})
	require.NoError(t, err)
	return w.hashes(t)
}

// Copies are made while events come, snapshots are taken and the log is trimmed. One that was begun early, and so holds
// the whole log, and those begun late, which need a snapshot, lead to the same states.
func TestBackup_HotWhileTrimming_RestoredElsewhereIsTheSame(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	l := luck{seed: seed, fixed: true} // what is parked would keep the log from being trimmed
	o, clock := withClock(newYear)
	o.Journal.SegmentBytes = 64 << 10
	o.Journal.Durability = journal.Batch()
	o.Snapshots.Keep = 1
	dir, early := t.TempDir(), t.TempDir()
	w := newWorld(t, l)
	e, err := headrace.Open(dir, w.topology, o)
	require.NoError(t, err)

	rounds := 6
	driven := make(chan struct{})
	go func() {
		defer close(driven)
		for i := range int64(rounds) {
			drive(t, e, clock, rng, 150, 1+150*i)
			take(t, e)
			if _, err := headrace.Backup(dir, early, headrace.BackupOptions{}); err != nil {
				t.Error(err)
			}
			if _, err := e.Trim(headrace.Retention{MaxBytes: 1}); err != nil {
				t.Error(err)
			}
		}
	}()
	type copied struct {
		dir string
		rep headrace.BackupReport
	}
	var late []copied
	for running := true; running; {
		select {
		case <-driven:
			running = false // one more
		default:
		}
		to := t.TempDir()
		rep, err := headrace.Backup(dir, to, headrace.BackupOptions{})
		require.NoError(t, err, "seed %d", seed)
		if rep.First > 1 && (len(late) < 3 || !running) {
			require.NotEmpty(t, rep.Snapshots)
			late = append(late, copied{to, rep})
		}
	}
	require.NotEmpty(t, late)
	rep, err := headrace.Backup(dir, early, headrace.BackupOptions{})
	require.NoError(t, err)
	require.EqualValues(t, 1, rep.First)
	for _, c := range late {
		one, two := t.TempDir(), t.TempDir()
		r, err := headrace.Restore(limit(t), early, one, headrace.RestoreOptions{Until: c.rep.Last})
		require.NoError(t, err)
		for _, s := range r.Snapshots {
			require.LessOrEqual(t, s.Sequence, c.rep.Last)
		}
		_, err = headrace.Restore(limit(t), c.dir, two, headrace.RestoreOptions{})
		require.NoError(t, err)
		require.Equal(t, replayed(t, one, l), replayed(t, two, l), "seed %d, as of %d", seed, c.rep.Last)
		for _, dir := range []string{one, two} { // an engine goes on from there
			o, _ := withClock(newYear)
			e, err := headrace.Open(dir, newWorld(t, l).topology, o)
			require.NoError(t, err)
			closeEngine(t, e)
		}
	}

	// All that is there, twice: the second time most of it is in the copy.
	last := t.TempDir()
	rep, err = e.Backup(last, headrace.BackupOptions{})
	require.NoError(t, err)
	require.NotEmpty(t, rep.Snapshots)
	closeEngine(t, e)
	live := w.hashes(t)
	rep, err = headrace.Backup(dir, last, headrace.BackupOptions{})
	require.NoError(t, err)
	require.Equal(t, 1, rep.Copied)
	target := t.TempDir()
	_, err = headrace.Restore(limit(t), last, target, headrace.RestoreOptions{})
	require.NoError(t, err)
	o, _ = withClock(clock.Now())
	w = newWorld(t, l)
	e, err = headrace.Open(target, w.topology, o)
	require.NoError(t, err)
	require.Equal(t, 0, len(e.Stats().Snapshots.PassedOver))
	closeEngine(t, e)
	require.Equal(t, live, w.hashes(t), "seed %d", seed)
	v, err := headrace.VerifySnapshots(early, func() *headrace.Topology { return newWorld(t, l).topology }, headrace.VerifyOptions{})
	require.NoError(t, err, "seed %d", seed)
	require.Zero(t, v.Base)
}

// firstOf returns the first sequence of the journal in dir.
func firstOf(dir string) (int64, error) {
	r, err := journal.OpenReader(dir, 0, journal.ReaderOptions{})
	if err != nil {
		return 0, err
	}
	return r.Sequence() + 1, r.Close()
}

// trimmedLog is a closed journal of the counted topology whose beginning was removed, with snapshots at two sequences.
func trimmedLog(t testing.TB) (dir string, first, second int64) {
	dir = t.TempDir()
	o, clock := withClock(newYear)
	o.Journal.SegmentBytes = 64 << 10
	e, _ := openCounted(t, dir, o)
	p := producer(t, e, "web")
	deposits := func() {
		for i := range int64(700) {
			publish(t, p, deposit{i % 3, i})
		}
		clock.Advance(time.Hour)
	}
	deposits()
	first = take(t, e).Sequence
	deposits()
	second = take(t, e).Sequence
	deposits()
	_, err := e.Trim(headrace.Retention{MaxBytes: 1})
	require.NoError(t, err)
	// A follower that has handled all of it.
	n := 0
	err = e.Follow(limit(t), headrace.FollowOptions{Name: "mails", From: second, Until: second + 100}, func(context.Context, handlers.Delivery) error { n++; return nil })
	require.NoError(t, err)
	require.Positive(t, n)
	closeEngine(t, e)
	at, err := firstOf(dir)
	require.NoError(t, err)
	require.Greater(t, at, int64(1))
	return dir, first, second
}

func TestRestore_ToAPointInTime_BeginsWithASnapshotAtOrBeforeIt(t *testing.T) {
	dir, first, second := trimmedLog(t)
	copied := t.TempDir()
	rep, err := headrace.Backup(dir, copied, headrace.BackupOptions{})
	require.NoError(t, err)
	require.Len(t, rep.Snapshots, 2)
	require.Equal(t, 1, rep.Checkpoints)

	restored := func(o headrace.RestoreOptions) (headrace.RestoreReport, till) {
		t.Helper()
		to := t.TempDir()
		rep, err := headrace.Restore(limit(t), copied, to, o)
		require.NoError(t, err)
		e, s := openCounted(t, to, small())
		require.Equal(t, rep.Snapshots[0].Sequence, e.Stats().Snapshots.OpenedAt)
		closeEngine(t, e)
		_, err = headrace.VerifySnapshots(to, func() *headrace.Topology { return n2(t) }, headrace.VerifyOptions{})
		require.NoError(t, err)
		return rep, tillOf(s)
	}
	all, s := restored(headrace.RestoreOptions{})
	require.Len(t, all.Snapshots, 2)
	require.Empty(t, all.PassedOver)
	require.Equal(t, 2100, s.Events)

	one, s := restored(headrace.RestoreOptions{Until: second - 1})
	require.Len(t, one.Snapshots, 1)
	require.Equal(t, first, one.Snapshots[0].Sequence)
	require.Len(t, one.PassedOver, 1)
	require.Equal(t, 1400, s.Events)
	require.Equal(t, 1, one.Checkpoints)

	// By time: the snapshots stand an hour before what follows them.
	f, err := snapshot.Read(snapshot.Dir(dir), second)
	require.NoError(t, err)
	byTime, _ := restored(headrace.RestoreOptions{UntilTime: time.Unix(0, f.Time-1)})
	require.Len(t, byTime.Snapshots, 1)
	require.Equal(t, first, byTime.Snapshots[0].Sequence)

	// Nothing that begins later makes up for the log's beginning.
	nowhere := filepath.Join(t.TempDir(), "new")
	_, err = headrace.Restore(limit(t), copied, nowhere, headrace.RestoreOptions{Until: first - 1})
	require.ErrorIs(t, err, headrace.ErrNoSnapshot)
	require.NoDirExists(t, nowhere)
	_, err = headrace.Restore(limit(t), copied, nowhere, headrace.RestoreOptions{UntilTime: newYear})
	require.ErrorIs(t, err, headrace.ErrNoSnapshot)
	require.NoDirExists(t, nowhere)
}

// What an unfinished restore has left beside the log is no part of the next one.
func TestRestore_AfterAnUnfinishedOne(t *testing.T) {
	dir, _, second := trimmedLog(t)
	to := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(to, "RESTORING"), nil, 0o600))
	require.NoError(t, os.MkdirAll(snapshot.Dir(to), 0o700))
	require.NoError(t, os.WriteFile(snapshot.Path(snapshot.Dir(to), 99999), []byte("junk"), 0o600))
	_, err := headrace.Open(to, n2(t), small())
	require.ErrorIs(t, err, journal.ErrRestoring)
	rep, err := headrace.Restore(limit(t), dir, to, headrace.RestoreOptions{})
	require.NoError(t, err)
	require.Equal(t, second, rep.Snapshots[0].Sequence)
	require.NoFileExists(t, snapshot.Path(snapshot.Dir(to), 99999))
	e, _ := openCounted(t, to, small())
	closeEngine(t, e)
	_, err = headrace.Restore(limit(t), dir, to, headrace.RestoreOptions{})
	require.ErrorIs(t, err, journal.ErrNotEmpty)
}

// A follower goes on in the copy where it was, or, where it was ahead of the copy, at its end.
func TestRestore_CheckpointsAheadOfTheEnd_AreSetBack(t *testing.T) {
	dir, _, second := trimmedLog(t)
	for _, until := range []int64{0, second + 50} {
		to := t.TempDir()
		rep, err := headrace.Restore(limit(t), dir, to, headrace.RestoreOptions{Until: until})
		require.NoError(t, err)
		require.Equal(t, 1, rep.Checkpoints)
		e, _ := openCounted(t, to, small())
		seq := publish(t, producer(t, e, "web"), deposit{1, 1})
		var got []int64
		err = e.Follow(limit(t), headrace.FollowOptions{Name: "mails", Until: seq}, func(_ context.Context, d handlers.Delivery) error {
			got = append(got, d.Sequence)
			return nil
		})
		require.NoError(t, err)
		want := second + 101
		if until > 0 {
			want = rep.Last + 1
		}
		require.GreaterOrEqual(t, got[0], want)
		require.LessOrEqual(t, got[0], want+1, "the engine's own events are not delivered")
		closeEngine(t, e)
	}
}

func TestBackup_Refusals(t *testing.T) {
	dir, _, second := trimmedLog(t)
	// A copy that the log was trimmed past does not go on.
	stale := t.TempDir()
	o := small()
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "checkpoints"))) // which would keep the log
	e, _ := openCounted(t, dir, o)
	_, err := e.Backup(stale, headrace.BackupOptions{})
	require.NoError(t, err)
	p := producer(t, e, "web")
	for range 2 {
		for i := range int64(1500) {
			publish(t, p, deposit{i % 3, i})
		}
		take(t, e)
	}
	_, err = e.Trim(headrace.Retention{MaxBytes: 1})
	require.NoError(t, err)
	_, err = e.Backup(stale, headrace.BackupOptions{})
	require.ErrorIs(t, err, journal.ErrBackupGap)
	fresh := t.TempDir()
	rep, err := e.Backup(fresh, headrace.BackupOptions{})
	require.NoError(t, err)
	require.Greater(t, rep.First, second)
	closeEngine(t, e)

	// A damaged snapshot is left out and named; without any, the copy would not open.
	for i, seq := range snapshotsIn(t, dir) {
		path := snapshot.Path(snapshot.Dir(dir), seq)
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		data[len(data)-1] ^= 1
		require.NoError(t, os.WriteFile(path, data, 0o600))
		rep, err := headrace.Backup(dir, t.TempDir(), headrace.BackupOptions{})
		require.Len(t, rep.Damaged, i+1)
		require.ErrorIs(t, rep.Damaged[i], headrace.ErrSnapshotDamaged)
		if i == 0 {
			require.NoError(t, err)
		}
	}
	_, err = headrace.Restore(limit(t), dir, t.TempDir(), headrace.RestoreOptions{})
	require.ErrorIs(t, err, headrace.ErrNoSnapshot)

	m, err := headrace.OpenMemory(n2(t), headrace.Options{})
	require.NoError(t, err)
	_, err = m.Backup(t.TempDir(), headrace.BackupOptions{})
	require.ErrorIs(t, err, headrace.ErrNoLog)
	closeEngine(t, m)
}

// A snapshot whose answers were cut off, by a restore of the log alone, does not count.
func TestOpen_SnapshotWithoutItsAnswers_IsPassedOver(t *testing.T) {
	dir, _, second := twoSnapshots(t, small(), 50)
	f, err := snapshot.Read(snapshot.Dir(dir), second)
	require.NoError(t, err)
	f.Complete = second + 10
	_, err = snapshot.Write(snapshot.Dir(dir), f, nil)
	require.NoError(t, err)
	to := t.TempDir()
	_, err = journal.Restore(limit(t), dir, to, journal.RestoreOptions{Until: second + 5})
	require.NoError(t, err)
	require.NoError(t, os.Mkdir(snapshot.Dir(to), 0o700))
	copyInto(t, snapshot.Dir(dir), snapshot.Dir(to))
	e, _ := openCounted(t, to, small())
	require.Less(t, e.Stats().Snapshots.OpenedAt, second)
	require.Len(t, e.Stats().Snapshots.PassedOver, 1)
	closeEngine(t, e)
}
