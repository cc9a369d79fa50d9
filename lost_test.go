package headrace_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/internal/snapshot"
	"github.com/headrace/headrace/journal"
)

// A log in which a repair has left lost records is refused until somebody accepts that the state is another.
func TestOpen_LostEvents(t *testing.T) {
	dir := t.TempDir()
	e, _ := openCounted(t, dir, small())
	p := producer(t, e, "web")
	for i := range int64(100) {
		seq, err := headrace.Publish(limit(t), p, deposit{1, i}, headrace.Meta{Key: "here it is"})
		require.NoError(t, err)
		require.NoError(t, e.WaitDurable(limit(t), seq))
	}
	closeEngine(t, e)
	files, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	require.NoError(t, err)
	data, err := os.ReadFile(files[0])
	require.NoError(t, err)
	at := bytes.Index(data, []byte("here it is")) // in the first deposit
	data[at] ^= 4
	require.NoError(t, os.WriteFile(files[0], data, 0o600))
	plan, err := journal.PlanRepair(dir, journal.RepairOptions{})
	require.NoError(t, err)
	require.NoError(t, plan.Apply(nil))

	_, err = headrace.Open(dir, n2(t), small())
	require.ErrorIs(t, err, headrace.ErrLostEvents)
	require.ErrorContains(t, err, "AcceptLost")
	_, err = headrace.Replay(dir, n2(t), headrace.ReplayOptions{})
	require.ErrorIs(t, err, headrace.ErrLostEvents)
	_, err = headrace.VerifySnapshots(dir, func() *headrace.Topology { return n2(t) }, headrace.VerifyOptions{})
	require.ErrorIs(t, err, headrace.ErrLostEvents)

	_, err = headrace.Replay(dir, n2(t), headrace.ReplayOptions{AcceptLost: true})
	require.NoError(t, err)
	o := small()
	o.AcceptLost = true
	e, s := openCounted(t, dir, o)
	s.View(func(s *till, _ int64) {
		require.Equal(t, 99, s.Events)
	})
	take(t, e)
	closeEngine(t, e)
	// What was accepted once has to be accepted again, also behind a snapshot.
	_, err = headrace.Open(dir, n2(t), small())
	require.ErrorIs(t, err, headrace.ErrLostEvents)
	e, _ = openCounted(t, dir, o)
	require.Positive(t, e.Stats().Snapshots.OpenedAt)
	closeEngine(t, e)
}

// Whatever step of writing a snapshot the process dies at, the next engine comes to what a replay of the whole log does:
// parked keys, timers, streams, states that Evolve changes, read models.
func TestSnapshot_DeathAtEveryStep_LeadsToTheNaiveState(t *testing.T) {
	l := luck{seed: 11}
	o, clock := withClock(newYear)
	dir := t.TempDir()
	w := newWorld(t, l)
	e, err := headrace.Open(dir, w.topology, o)
	require.NoError(t, err)
	rng := rand.New(rand.NewPCG(11, 1))
	left := map[string]string{}
	for i := range int64(2) {
		drive(t, e, clock, rng, 60, 1+100*i)
		require.NoError(t, e.WaitIdle(limit(t)))
		headrace.OnSnapshotStep(t, func(step string) error {
			require.NoError(t, e.WaitIdle(limit(t)))
			left[step] = copyAll(t, dir)
			return nil
		})
		take(t, e)
	}
	closeEngine(t, e)
	require.Len(t, left, len(snapshot.Steps))
	for step, dir := range left {
		naive := newWorld(t, l)
		_, err := headrace.Replay(dir, naive.topology, headrace.ReplayOptions{FromStart: true})
		require.NoError(t, err, step)
		again := newWorld(t, l)
		o, _ := withClock(clock.Now())
		e, err := headrace.Open(dir, again.topology, o)
		require.NoError(t, err, step)
		require.NoError(t, e.WaitIdle(limit(t)), step)
		require.Equal(t, naive.hashes(t), again.hashes(t), step)
		require.Positive(t, e.Stats().Snapshots.OpenedAt, step)
		closeEngine(t, e)
		_, err = headrace.VerifySnapshots(dir, func() *headrace.Topology { return newWorld(t, l).topology }, headrace.VerifyOptions{})
		require.NoError(t, err, step)
		half, err := filepath.Glob(filepath.Join(snapshot.Dir(dir), "*~"))
		require.NoError(t, err)
		require.Empty(t, half, step)
	}
}

func TestWaitIdle_EndsWithItsContextAndTheEngine(t *testing.T) {
	e := open(t, t.TempDir(), newApp(t), small())
	require.NoError(t, e.WaitIdle(limit(t)))
	publish(t, producer(t, e, "web"), deposit{1, 1})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := e.WaitIdle(ctx); err != nil { // it may have been idle already
		require.ErrorIs(t, err, context.Canceled)
	}
	require.NoError(t, e.WaitIdle(limit(t)))
	closeEngine(t, e)
}
