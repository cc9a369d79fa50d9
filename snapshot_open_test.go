package headrace_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/internal/snapshot"
	"github.com/headrace/headrace/journal"
)

// counted is the smallest topology with a state: it counts deposits, and answers them.
func counted(t testing.TB) (*headrace.Topology, *handlers.State[till]) {
	top := headrace.NewTopology(registry(t))
	s := handlers.Keep(top.Logic(), "till", newTill)
	handlers.On(top.Logic(), "count", func(c *handlers.Context, d deposit) error {
		s.Of(c).Events++
		s.Of(c).Sums[d.Account] += d.Amount
		return handlers.Emit(c, deposited(d))
	})
	return top, s
}

func openCounted(t testing.TB, dir string, o headrace.Options) (*headrace.Engine, *handlers.State[till]) {
	t.Helper()
	top, s := counted(t)
	e, err := headrace.Open(dir, top, o)
	require.NoError(t, err)
	return e, s
}

// twoSnapshots is a closed journal with deposits before, between and behind two snapshots.
func twoSnapshots(t testing.TB, o headrace.Options, each int) (dir string, first, second int64) {
	dir = t.TempDir()
	e, _ := openCounted(t, dir, o)
	p := producer(t, e, "web")
	deposits := func() {
		for i := range int64(each) {
			publish(t, p, deposit{i % 3, i})
		}
	}
	deposits()
	first = take(t, e).Sequence
	deposits()
	second = take(t, e).Sequence
	deposits()
	closeEngine(t, e)
	return dir, first, second
}

func TestOpen_DamagedSnapshot_OlderOneThenTheWholeLog(t *testing.T) {
	dir, first, second := twoSnapshots(t, small(), 5)
	path := snapshot.Path(snapshot.Dir(dir), second)
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	step := 29
	if os.Getenv("HEADRACE_LONG") != "" {
		step = 1
	}
	for i := 0; i < len(whole); i += step {
		bad := bytes.Clone(whole)
		bad[i] ^= 1 << (i % 8)
		require.NoError(t, os.WriteFile(path, bad, 0o600))
		top, s := counted(t)
		got, err := headrace.Replay(dir, top, headrace.ReplayOptions{})
		require.NoError(t, err)
		require.Equal(t, first, got.Snapshot, "byte %d", i)
		require.ErrorIs(t, errors.Join(got.PassedOver...), headrace.ErrSnapshotDamaged)
		require.Equal(t, 15, tillOf(s).Events)
	}
	e, s := openCounted(t, dir, small())
	require.Equal(t, first, e.Stats().Snapshots.OpenedAt)
	require.Equal(t, 15, tillOf(s).Events)
	closeEngine(t, e)
	older := snapshot.Path(snapshot.Dir(dir), first)
	require.NoError(t, os.Truncate(older, 100))
	e, s = openCounted(t, dir, small())
	require.Zero(t, e.Stats().Snapshots.OpenedAt)
	require.Len(t, e.Stats().Snapshots.PassedOver, 2)
	require.Equal(t, 15, tillOf(s).Events)
	closeEngine(t, e)
	_, damaged, err := headrace.Snapshots(dir)
	require.NoError(t, err)
	require.NotEmpty(t, damaged)
}

// What a snapshot does not fit is never guessed: state is what the whole log leads to.
func TestOpen_ChangedTopology_ReplaysTheLog(t *testing.T) {
	type other struct {
		Sums   map[int64]int64
		Events int
		More   string
	}
	for name, c := range map[string]struct {
		change func(t testing.TB, top *headrace.Topology)
		fits   bool
		why    string
	}{
		"nothing": {fits: true, change: func(t testing.TB, top *headrace.Topology) {
			s := handlers.Keep(top.Logic(), "till", newTill)
			handlers.On(top.Logic(), "count", func(c *handlers.Context, d deposit) error { s.Of(c).Events++; return handlers.Emit(c, deposited(d)) })
		}},
		"type of the state": {why: "the type of state \"till\" has changed", change: func(t testing.TB, top *headrace.Topology) {
			s := handlers.Keep(top.Logic(), "till", func() *other { return &other{} })
			handlers.On(top.Logic(), "count", func(c *handlers.Context, d deposit) error { s.Of(c).Events++; return handlers.Emit(c, deposited(d)) })
		}},
		"another fold": {why: "is new", change: func(t testing.TB, top *headrace.Topology) {
			s := handlers.Keep(top.Logic(), "till", newTill)
			handlers.On(top.Logic(), "count", func(c *handlers.Context, d deposit) error { s.Of(c).Events++; return handlers.Emit(c, deposited(d)) })
			handlers.Fold(top.Logic(), func(c *handlers.Context, d deposited) error { return nil })
		}},
		"a handler less": {why: "is gone", change: func(t testing.TB, top *headrace.Topology) {
			handlers.Keep(top.Logic(), "till", newTill)
		}},
		"renamed handler": {fits: true, change: func(t testing.TB, top *headrace.Topology) {
			s := handlers.Keep(top.Logic(), "till", newTill)
			handlers.On(top.Logic(), "sum", func(c *handlers.Context, d deposit) error { s.Of(c).Events++; return handlers.Emit(c, deposited(d)) })
			top.RenameHandler("count", "sum")
		}},
		"a new lane with a state": {why: "lane \"second\" is new", change: func(t testing.TB, top *headrace.Topology) {
			s := handlers.Keep(top.Logic(), "till", newTill)
			handlers.On(top.Logic(), "count", func(c *handlers.Context, d deposit) error { s.Of(c).Events++; return handlers.Emit(c, deposited(d)) })
			l := top.Lane("second", headrace.LaneOptions{})
			n := handlers.Keep(l, "n", func() *int { return new(int) })
			handlers.Fold(l, func(c *handlers.Context, d deposit) error { *n.Of(c)++; return nil })
		}},
		"decides from now on": {fits: true, change: func(t testing.TB, top *headrace.Topology) {
			s := handlers.Keep(top.Logic(), "till", newTill)
			handlers.On(top.Logic(), "count", func(c *handlers.Context, d deposit) error { s.Of(c).Events++; return handlers.Emit(c, deposited(d)) })
			handlers.Decide(top.Logic(), "notes", func(c *handlers.Context, d deposited) error { return handlers.Emit(c, note{"new"}) })
		}},
		"decides from the start": {why: "wants to answer the log from its start", change: func(t testing.TB, top *headrace.Topology) {
			s := handlers.Keep(top.Logic(), "till", newTill)
			handlers.On(top.Logic(), "count", func(c *handlers.Context, d deposit) error { s.Of(c).Events++; return handlers.Emit(c, deposited(d)) })
			handlers.Decide(top.Logic(), "notes", func(c *handlers.Context, d deposited) error { return handlers.Emit(c, note{"new"}) })
			top.ReactFromStart("notes")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			dir, _, second := twoSnapshots(t, small(), 5)
			top := headrace.NewTopology(registry(t))
			c.change(t, top)
			e, err := headrace.Open(dir, top, small())
			require.NoError(t, err)
			stats := e.Stats().Snapshots
			if c.fits {
				require.Equal(t, second, stats.OpenedAt, "%v", stats.PassedOver)
			} else {
				require.Zero(t, stats.OpenedAt)
				require.ErrorContains(t, errors.Join(stats.PassedOver...), c.why)
			}
			closeEngine(t, e)
			if c.why == "wants to answer the log from its start" {
				notes := 0
				for _, l := range readLog(t, dir) {
					if l.header.Producer == "notes" {
						notes++
					}
				}
				require.Equal(t, 15, notes)
			}
		})
	}
}

// A read model that is new is made from the log, while the others go on from the snapshot.
func TestOpen_NewProjection_AloneFromTheLog(t *testing.T) {
	dir, _, second := twoSnapshots(t, small(), 5)
	top, s := counted(t)
	n := handlers.NewProjection("n", new(int))
	handlers.Apply(n, func(n *int, _ *handlers.Context, _ deposited) error { *n++; return nil })
	top.Project(n, headrace.LaneOptions{})
	e, err := headrace.Open(dir, top, small())
	require.NoError(t, err)
	require.Equal(t, second, e.Stats().Snapshots.OpenedAt)
	n.View(func(n *int, at int64) { require.Equal(t, 15, *n) })
	require.Equal(t, 15, tillOf(s).Events)
	closeEngine(t, e)
}

func TestSnapshot_UndeclaredState_IsNamed(t *testing.T) {
	e := open(t, t.TempDir(), newApp(t), small())
	_, err := e.Snapshot(limit(t))
	var u *headrace.UndeclaredStateError
	require.ErrorAs(t, err, &u)
	require.Equal(t, []string{"logic"}, u.Lanes)
	require.ErrorIs(t, err, handlers.ErrNotKept)
	closeEngine(t, e)
	_, err = e.Snapshot(limit(t))
	require.Error(t, err)

	o := small()
	o.Snapshots.EveryEvents = 10
	_, err = headrace.Open(t.TempDir(), newApp(t).topology, o)
	require.ErrorIs(t, err, headrace.ErrTopology)
	require.ErrorAs(t, err, &u)

	a := newApp(t)
	a.topology.Logic().Stateless()
	e, err = headrace.Open(t.TempDir(), a.topology, small())
	require.NoError(t, err)
	take(t, e)
	closeEngine(t, e)
	_, err = e.Snapshot(limit(t))
	require.ErrorIs(t, err, headrace.ErrClosed)
}

// A power cut at the moment at which a snapshot gets its name: the log has all answers to what the snapshot holds.
func TestSnapshot_PowerCutAtItsBirth_LosesNoAnswer(t *testing.T) {
	for round := range 5 {
		dir := t.TempDir()
		o := small()
		o.Journal.SegmentBytes = 64 << 20
		e, _ := openCounted(t, dir, o)
		p := producer(t, e, "web")
		stop := make(chan struct{})
		done := make(chan struct{})
		go func() {
			defer close(done)
			for i := range int64(60_000) { // what a slow disk leaves time for must not fill the segment
				select {
				case <-stop:
					return
				default:
				}
				if _, err := headrace.Publish(context.Background(), p, deposit{i % 3, i}, headrace.Meta{}); err != nil {
					return
				}
			}
		}()
		require.NoError(t, e.WaitWritten(limit(t), int64(50*(round+1))))
		var cut string
		headrace.OnSnapshotStep(t, func(step string) error {
			if step == "done" {
				durable := e.Durable() // at this moment; the copy is of a log at rest
				close(stop)
				<-done
				require.NoError(t, e.WaitIdle(limit(t)))
				cut = copyAll(t, dir)
				cutBehind(t, cut, durable)
			}
			return nil
		})
		at := take(t, e).Sequence
		headrace.OnSnapshotStep(t, nil)
		closeEngine(t, e)

		e, s := openCounted(t, cut, o)
		require.Equal(t, at, e.Stats().Snapshots.OpenedAt, "%v", e.Stats().Snapshots.PassedOver)
		closeEngine(t, e)
		checkAnswers(t, readLog(t, cut))
		top, again := counted(t)
		_, err := headrace.Replay(cut, top, headrace.ReplayOptions{FromStart: true})
		require.NoError(t, err)
		require.Equal(t, tillOf(again), tillOf(s))
	}
}

// cutBehind takes every record behind a sequence from the only segment of a journal, as a power cut may.
func cutBehind(t testing.TB, dir string, last int64) {
	r, err := journal.OpenReader(dir, last+1, journal.ReaderOptions{Internal: true})
	require.NoError(t, err)
	end := int64(0)
	_, err = r.Read(func(rec journal.Record) error {
		end = rec.Offset
		return journal.ErrStop
	})
	require.NoError(t, err)
	require.NoError(t, r.Close())
	files, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	if end > 0 {
		require.NoError(t, os.Truncate(files[0], end))
	}
}

func TestTrim_BehindSnapshots_ThenOpen(t *testing.T) {
	o := small()
	dir := t.TempDir()
	e, _ := openCounted(t, dir, o)
	p := producer(t, e, "web")
	deposits := func() {
		for i := range int64(600) {
			publish(t, p, deposit{i % 3, i})
		}
	}
	deposits()
	rep, err := e.Trim(headrace.Retention{MaxBytes: 1})
	require.NoError(t, err)
	require.Zero(t, rep.Removed, "no snapshot, no trimming")
	take(t, e)
	deposits()
	rep, err = e.Trim(headrace.Retention{MaxBytes: 1})
	require.NoError(t, err)
	require.Zero(t, rep.Removed, "one snapshot, where two are to be kept")
	take(t, e)
	deposits()
	rep, err = e.Trim(headrace.Retention{MaxBytes: 1})
	require.NoError(t, err)
	require.Positive(t, rep.Removed)
	require.Contains(t, rep.HeldBy, "headrace.snapshot")
	closeEngine(t, e)

	e, s := openCounted(t, dir, o)
	require.Positive(t, e.Stats().Snapshots.OpenedAt)
	require.Equal(t, 1800, tillOf(s).Events)
	closeEngine(t, e)
	v, err := headrace.VerifySnapshots(dir, func() *headrace.Topology { top, _ := counted(t); return top }, headrace.VerifyOptions{})
	require.NoError(t, err)
	require.Positive(t, v.Base)

	// Nothing but the log would do, and it is not there any more.
	top, _ := counted(t)
	n := handlers.NewProjection("n", new(int))
	handlers.Apply(n, func(n *int, _ *handlers.Context, _ deposited) error { *n++; return nil })
	top.Project(n, headrace.LaneOptions{})
	_, err = headrace.Open(dir, top, o)
	require.ErrorIs(t, err, headrace.ErrNoSnapshot)
	require.ErrorContains(t, err, `lane "n" is new`)
	_, err = headrace.Replay(dir, n2(t), headrace.ReplayOptions{FromStart: true})
	require.ErrorIs(t, err, headrace.ErrNoSnapshot)
	_, err = headrace.Replay(dir, n2(t), headrace.ReplayOptions{Until: 5})
	require.ErrorIs(t, err, headrace.ErrNoSnapshot, "as of a time that is gone")
}

// A follower that is at work keeps what it has not read, although it has no checkpoint yet.
func TestTrim_HeldByAFollowerAtWork(t *testing.T) {
	o := small()
	o.Snapshots.Keep = 1
	e, _ := openCounted(t, t.TempDir(), o)
	p := producer(t, e, "web")
	began, let, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	publish(t, p, deposit{1, 1})
	go func() {
		seen := 0
		ended <- e.Follow(limit(t), headrace.FollowOptions{Name: "at-work", Provisional: true, Until: 1000}, func(context.Context, handlers.Delivery) error {
			if seen++; seen == 1 {
				close(began)
				<-let
			}
			return nil
		})
	}()
	<-began
	for i := range int64(1200) {
		publish(t, p, deposit{1, i})
	}
	take(t, e)
	rep, err := e.Trim(headrace.Retention{MaxBytes: 1})
	require.NoError(t, err)
	require.Zero(t, rep.Removed)
	require.Contains(t, rep.HeldBy, "headrace.follower/at-work")
	close(let)
	require.NoError(t, <-ended)
	rep, err = e.Trim(headrace.Retention{MaxBytes: 1})
	require.NoError(t, err)
	require.Positive(t, rep.Removed)
	closeEngine(t, e)
}

func n2(t testing.TB) *headrace.Topology { top, _ := counted(t); return top }

// Retention never goes beyond what a follower, or a parked event, still needs.
func TestTrim_HeldByFollowersAndParkedEvents(t *testing.T) {
	o, clock := withClock(newYear)
	o.Journal.SegmentBytes = 64 << 10
	o.Snapshots.Keep = 1
	dir := t.TempDir()
	l := luck{fixed: true}
	w := newWorld(t, l)
	e, err := headrace.Open(dir, w.topology, o)
	require.NoError(t, err)
	stop := errors.New("stop")
	drive(t, e, clock, rand.New(rand.NewPCG(1, 1)), 20, 1)
	err = e.Follow(limit(t), headrace.FollowOptions{Name: "slow", Provisional: true}, func(_ context.Context, d handlers.Delivery) error {
		if d.Sequence > 30 {
			return stop
		}
		return nil
	})
	require.ErrorIs(t, err, stop)
	drive(t, e, clock, rand.New(rand.NewPCG(1, 2)), 600, 100)
	take(t, e)
	drive(t, e, clock, rand.New(rand.NewPCG(1, 3)), 600, 1000)
	take(t, e)
	rep, err := e.Trim(headrace.Retention{MaxBytes: 1})
	require.NoError(t, err)
	require.Zero(t, rep.Removed)
	require.Contains(t, rep.HeldBy, "headrace.follower/slow")
	seen := 0
	require.NoError(t, e.Follow(limit(t), headrace.FollowOptions{Name: "slow", Provisional: true, Until: e.Written()}, func(context.Context, handlers.Delivery) error { seen++; return nil }))
	require.Positive(t, seen)

	// A group that runs holds it too, before it has a checkpoint.
	begun, end, group := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		group <- e.FollowShared(context.Background(), headrace.FollowOptions{Name: "group", Provisional: true}, 1, func(context.Context, handlers.Delivery) error {
			close(begun)
			<-end
			return stop
		})
	}()
	<-begun
	rep, err = e.Trim(headrace.Retention{MaxBytes: 1})
	require.NoError(t, err)
	require.Zero(t, rep.Removed)
	require.Contains(t, rep.HeldBy, "headrace.follower/group")
	close(end)
	require.ErrorIs(t, <-group, stop)
	require.NoError(t, e.FollowShared(limit(t), headrace.FollowOptions{Name: "group", Provisional: true, Until: e.Written()}, 1, nothing))
	rep, err = e.Trim(headrace.Retention{MaxBytes: 1})
	require.NoError(t, err)
	require.Positive(t, rep.Removed)
	closeEngine(t, e)

	// A dead letter keeps its event, and goes through when it is redriven behind everything that was trimmed.
	dir = t.TempDir()
	broken := true
	parks := func() (*headrace.Topology, *handlers.State[till]) {
		return tillApp(t, &handlers.FailurePolicy{Then: handlers.ThenDeadLetter}, func(d deposit, _ int) error {
			if broken && d.Account == 9 {
				return errBroken
			}
			return nil
		})
	}
	o.Journal.SegmentBytes = 64 << 10
	top, _ := parks()
	e, err = headrace.Open(dir, top, o)
	require.NoError(t, err)
	p := producer(t, e, "web")
	dead, err := headrace.Publish(limit(t), p, deposit{9, 1}, headrace.Meta{Key: "nine"})
	require.NoError(t, err)
	for i := range int64(1200) {
		publish(t, p, deposit{1, i})
	}
	settleLogic(t, e)
	take(t, e)
	rep, err = e.Trim(headrace.Retention{MaxBytes: 1})
	require.NoError(t, err)
	require.Zero(t, rep.Removed)
	require.Contains(t, rep.HeldBy, "headrace.parked")
	closeEngine(t, e)
	broken = false
	top, s := parks()
	e, err = headrace.Open(dir, top, o)
	require.NoError(t, err)
	require.Positive(t, e.Stats().Snapshots.OpenedAt)
	_, err = e.Redrive(limit(t), "till", dead)
	require.NoError(t, err)
	settleLogic(t, e)
	require.Equal(t, int64(1), tillOf(s).Sums[9])
	closeEngine(t, e)
}

// A replay that ends between a cause and its Failed event knows that the handler failed: that was so live.
func TestReplay_UntilBetweenCauseAndOutcome(t *testing.T) {
	dir := t.TempDir()
	o, clock := withClock(newYear)
	seed := rand.Uint64()
	l := luck{seed: seed}
	w := newWorld(t, l)
	e, err := headrace.Open(dir, w.topology, o)
	require.NoError(t, err)
	drive(t, e, clock, rand.New(rand.NewPCG(seed, 1)), 60, 1)
	closeEngine(t, e)
	end := e.Written()
	for until := int64(1); until <= end; until += 1 + end/60 {
		again := newWorld(t, l) // a handler that ran again would fail again
		got, err := headrace.Replay(dir, again.topology, headrace.ReplayOptions{Until: until})
		require.NoError(t, err, "seed %d, until %d of %d", seed, until, end)
		require.Equal(t, until, got.LastSequence)
	}
}

func TestReplay_AsOfTime_FromTheNearestSnapshot(t *testing.T) {
	dir := t.TempDir()
	o, clock := withClock(newYear)
	o.Snapshots.Keep = 10
	e, s := openCounted(t, dir, o)
	p := producer(t, e, "web")
	type moment struct {
		at       time.Time
		sequence int64
		events   int
	}
	var moments []moment
	for i := range int64(12) {
		publish(t, p, deposit{1, i})
		settleLogic(t, e)
		if i%4 == 3 {
			take(t, e)
		}
		moments = append(moments, moment{clock.Now(), e.Written(), tillOf(s).Events})
		clock.Advance(time.Hour)
	}
	closeEngine(t, e)
	snaps := snapshotsIn(t, dir)
	require.Len(t, snaps, 3)
	for i, m := range moments {
		for _, o := range []headrace.ReplayOptions{
			{UntilTime: m.at}, {UntilTime: m.at.Add(time.Hour - 1)}, {Until: m.sequence}, {UntilTime: m.at, FromStart: true},
		} {
			top, s := counted(t)
			got, err := headrace.Replay(dir, top, o)
			require.NoError(t, err)
			require.Equal(t, m.sequence, got.LastSequence, "%d: %+v", i, o)
			require.Equal(t, m.events, tillOf(s).Events)
			want := int64(0)
			for _, seq := range snaps {
				if seq <= m.sequence && want == 0 && !o.FromStart {
					want = seq
				}
			}
			require.Equal(t, want, got.Snapshot)
			require.Empty(t, got.PassedOver, "what is of a later time is not passed over")
		}
	}
	top, s := counted(t)
	got, err := headrace.Replay(dir, top, headrace.ReplayOptions{UntilTime: newYear.Add(-time.Hour)})
	require.NoError(t, err)
	require.Zero(t, got.LastSequence)
	require.Zero(t, tillOf(s).Events)
}

func TestSnapshots_ByThemselves_AndKept(t *testing.T) {
	dir := t.TempDir()
	o, clock := withClock(newYear)
	o.Snapshots = headrace.SnapshotOptions{EveryEvents: 40, Keep: 3, AtClose: true}
	e, _ := openCounted(t, dir, o)
	p := producer(t, e, "web")
	for e.Stats().Snapshots.Taken < 5 {
		publish(t, p, deposit{1, 1})
	}
	closeEngine(t, e)
	require.Len(t, snapshotsIn(t, dir), 3)
	last := snapshotsIn(t, dir)[0]
	require.Equal(t, e.Written(), last)

	o.Snapshots = headrace.SnapshotOptions{Every: time.Hour, EveryBytes: 1 << 30}
	e, _ = openCounted(t, dir, o)
	require.Equal(t, last, e.Stats().Snapshots.OpenedAt)
	publish(t, producer(t, e, "web"), deposit{1, 1})
	await(t, func() bool { // in steps: a clock that races on while a slow disk syncs comes to its end
		clock.Advance(time.Hour)
		return e.Stats().Snapshots.Taken > 0
	})
	closeEngine(t, e)

	o.Snapshots = headrace.SnapshotOptions{EveryBytes: 8 << 10}
	e, _ = openCounted(t, dir, o)
	for e.Stats().Snapshots.Taken < 2 {
		publish(t, producer(t, e, "web"), deposit{1, 1})
	}
	closeEngine(t, e)
}

// An id that was published before the snapshot is a repeat behind it.
func TestSnapshot_RemembersIDs(t *testing.T) {
	dir := t.TempDir()
	e, _ := openCounted(t, dir, small())
	m := headrace.Meta{ID: event.NewID()}
	seq, err := headrace.Publish(limit(t), producer(t, e, "web"), deposit{1, 1}, m)
	require.NoError(t, err)
	take(t, e)
	closeEngine(t, e)
	e, _ = openCounted(t, dir, small())
	require.Positive(t, e.Stats().Snapshots.OpenedAt)
	again, err := headrace.Publish(limit(t), producer(t, e, "web"), deposit{1, 1}, m)
	require.NoError(t, err)
	require.Equal(t, seq, again)
	closeEngine(t, e)
}

// A snapshot that lies is found.
func TestVerifySnapshots_FindsAStateThatTheLogDoesNotLeadTo(t *testing.T) {
	dir, _, second := twoSnapshots(t, small(), 5)
	folder := snapshot.Dir(dir)
	f, err := snapshot.Read(folder, second)
	require.NoError(t, err)
	s := f.Section(snapshot.KindState, "logic", "till")
	other, state := counted(t)
	e, err := headrace.Open(t.TempDir(), other, small())
	require.NoError(t, err)
	closeEngine(t, e)
	_ = state
	s.Data = other.Logic().Image().States[0].Data
	_, err = snapshot.Write(folder, f, nil)
	require.NoError(t, err)
	rep, err := headrace.VerifySnapshots(dir, func() *headrace.Topology { return n2(t) }, headrace.VerifyOptions{})
	var m *headrace.StateMismatchError
	require.ErrorAs(t, err, &m)
	require.Equal(t, second, m.Snapshot)
	require.Equal(t, "till", m.Name)
	require.NoError(t, rep.Snapshots[1].Err)
	require.Contains(t, fmt.Sprint(err), "lead")
}

// A handler that had nothing to answer since a snapshot owes nothing from before it, also after a kill, when no Close
// has noted how far it was: the snapshot is what the next engine begins with.
func TestSnapshot_HandlerThatAnswersSeldom_AfterAKill(t *testing.T) {
	seldom := func() *headrace.Topology {
		top := headrace.NewTopology(registry(t))
		s := handlers.Keep(top.Logic(), "till", newTill)
		handlers.On(top.Logic(), "seldom", func(c *handlers.Context, d deposit) error {
			s.Of(c).Sums[d.Account] += d.Amount
			if d.Amount != 1 {
				return nil
			}
			return handlers.Emit(c, deposited(d))
		})
		return top
	}
	dir := t.TempDir()
	e, err := headrace.Open(dir, seldom(), small())
	require.NoError(t, err)
	p := producer(t, e, "web")
	deposits := func(from, to int64) {
		for i := from; i <= to; i++ {
			publish(t, p, deposit{i % 3, i})
		}
	}
	deposits(1, 20)
	at := take(t, e).Sequence
	deposits(21, 25)
	require.NoError(t, e.WaitIdle(limit(t)))
	killed := copyAll(t, dir)
	closeEngine(t, e)

	top := seldom()
	e, err = headrace.Open(killed, top, small())
	require.NoError(t, err)
	require.Equal(t, at, e.Stats().Snapshots.OpenedAt, "%v", e.Stats().Snapshots.PassedOver)
	require.Empty(t, e.Stats().Snapshots.PassedOver)
	closeEngine(t, e)
	whole := seldom()
	_, err = headrace.Replay(killed, whole, headrace.ReplayOptions{FromStart: true})
	require.NoError(t, err)
	live, err := top.Hashes()
	require.NoError(t, err)
	replayed, err := whole.Hashes()
	require.NoError(t, err)
	require.Equal(t, replayed, live)
}

// Two handlers that change one state by the same events, in another order than before, may make another state of them.
func TestOpen_HandlersInAnotherOrder_ReplaysTheLog(t *testing.T) {
	dir := t.TempDir()
	build := func(first, second string) (*headrace.Topology, *handlers.State[[]string]) {
		top := headrace.NewTopology(registry(t))
		s := handlers.Keep(top.Logic(), "order", func() *[]string { return new([]string) })
		for _, id := range []string{first, second} {
			handlers.On(top.Logic(), id, func(c *handlers.Context, _ deposit) error {
				*s.Of(c) = append(*s.Of(c), id)
				return nil
			})
		}
		top.AnsweredByMany("bank.deposit")
		return top, s
	}
	top, _ := build("a", "b")
	e := openTop(t, dir, top)
	publish(t, producer(t, e, "web"), deposit{})
	_, err := e.Snapshot(limit(t))
	require.NoError(t, err)
	closeEngine(t, e)
	top, s := build("b", "a")
	e = openTop(t, dir, top)
	require.Zero(t, e.Stats().Snapshots.OpenedAt)
	require.ErrorContains(t, errors.Join(e.Stats().Snapshots.PassedOver...), "another order")
	s.View(func(v *[]string, _ int64) { require.Equal(t, []string{"b", "a"}, *v) })
	closeEngine(t, e)
}

// A snapshot of another log, with events of the same numbers, is passed over.
func TestOpen_SnapshotOfAnotherLog_IsPassedOver(t *testing.T) {
	dirs := [2]string{t.TempDir(), t.TempDir()}
	for i, dir := range dirs {
		top, _ := counted(t)
		e := openTop(t, dir, top)
		for range 10 * (i + 1) {
			publish(t, producer(t, e, "web"), deposit{Account: 1, Amount: int64(i + 1)})
		}
		require.NoError(t, e.WaitIdle(limit(t)))
		if i == 0 {
			_, err := e.Snapshot(limit(t))
			require.NoError(t, err)
		}
		closeEngine(t, e)
	}
	require.NoError(t, os.CopyFS(filepath.Join(dirs[1], "snapshots"), os.DirFS(filepath.Join(dirs[0], "snapshots"))))
	top, s := counted(t)
	e := openTop(t, dirs[1], top)
	require.Zero(t, e.Stats().Snapshots.OpenedAt)
	require.ErrorContains(t, errors.Join(e.Stats().Snapshots.PassedOver...), "another event")
	require.Equal(t, 20, tillOf(s).Events)
	closeEngine(t, e)
}
