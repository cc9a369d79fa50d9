package headrace_test

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace"
)

// Whatever the engine has done, whenever snapshots were taken: live state, replay from zero, and every snapshot with its
// tail are one; so are the states at each snapshot.
func TestSnapshot_LiveEqualsReplayEqualsSnapshotAndTail(t *testing.T) {
	seed := rand.Uint64()
	rounds, lives := 1, 2
	if os.Getenv("HEADRACE_LONG") != "" {
		rounds, lives = 20, 4
	}
	for round := range rounds {
		for procs := 1; procs <= 4; procs++ {
			snapshotRound(t, seed+uint64(round), procs, lives)
		}
	}
}

func snapshotRound(t *testing.T, seed uint64, procs, lives int) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
	rng := rand.New(rand.NewPCG(seed, uint64(procs)))
	dir := t.TempDir()
	l := luck{seed: seed}
	from := int64(1)
	for life := range lives {
		o, clock := withClock(newYear)
		o.Snapshots.Keep = 100
		o.Snapshots.AtClose = rng.IntN(2) == 0
		o.Slots = 64 << rng.IntN(4) // and so the size of batches
		o.Journal.SegmentBytes = 1 << 20
		w := newWorld(t, l)
		e, err := headrace.Open(dir, w.topology, o)
		require.NoError(t, err, "seed %d, procs %d, life %d", seed, procs, life)
		if all := snapshotsIn(t, dir); len(all) > 0 {
			require.Equal(t, all[0], e.Stats().Snapshots.OpenedAt, "%v", e.Stats().Snapshots.PassedOver)
		}
		for range 2 {
			n := 10 + rng.IntN(60)
			drive(t, e, clock, rng, n, from)
			from += int64(n)
			take(t, e)
		}
		drive(t, e, clock, rng, 30, from)
		from += 30
		closeEngine(t, e)
		live := w.hashes(t)

		rep, err := headrace.VerifySnapshots(dir, func() *headrace.Topology { return newWorld(t, l).topology }, headrace.VerifyOptions{})
		require.NoError(t, err, "seed %d, procs %d, life %d", seed, procs, life)
		require.Equal(t, live, rep.Hashes, "seed %d, procs %d, life %d", seed, procs, life)
		require.Len(t, rep.Snapshots, len(snapshotsIn(t, dir)))
		for _, s := range rep.Snapshots {
			require.NoError(t, s.Err)
		}
	}
}

// A snapshot may be due as soon as the engine is open, since the log has grown after the last one; and it may be taken
// before Open has got any further.
func TestSnapshot_DueAtOpen_IsTaken(t *testing.T) {
	dir := t.TempDir()
	o, clock := withClock(newYear)
	e, err := headrace.Open(dir, newWorld(t, luck{fixed: true}).topology, o)
	require.NoError(t, err)
	drive(t, e, clock, rand.New(rand.NewPCG(1, 1)), 20, 1)
	closeEngine(t, e)
	o, _ = withClock(newYear)
	o.Snapshots.EveryEvents = 1
	o.Snapshots.FromStart = true
	taken := make(chan struct{}, 100)
	o.Logger = slog.New(saysWhen{"headrace: snapshot", func() { offer(taken) }})
	early := false
	headrace.OnSnapshotsRun(t, func() {
		<-taken
		early = true
	})
	e, err = headrace.Open(dir, newWorld(t, luck{fixed: true}).topology, o)
	require.NoError(t, err)
	require.True(t, early)
	require.Positive(t, e.Stats().Snapshots.Taken)
	closeEngine(t, e)
}

// saysWhen is a log in which one message counts.
type saysWhen struct {
	message string
	then    func()
}

func (s saysWhen) Handle(_ context.Context, r slog.Record) error {
	if r.Message == s.message {
		s.then()
	}
	return nil
}

func (s saysWhen) Enabled(context.Context, slog.Level) bool { return true }
func (s saysWhen) WithAttrs([]slog.Attr) slog.Handler       { return s }
func (s saysWhen) WithGroup(string) slog.Handler            { return s }

// offer sends unless that would wait.
func offer(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
