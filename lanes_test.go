package headrace_test

import (
	"context"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/journal"
)

// A lane behind a gate never sees an event that has not passed it.
func TestLane_Gates(t *testing.T) {
	for _, mode := range []journal.Durability{journal.Interval(2e6), journal.Group(1e6, 1<<16), journal.Batch()} {
		t.Run(mode.String(), func(t *testing.T) {
			o := small()
			o.Slots = 64
			o.Journal.Durability = mode
			top := headrace.NewTopology(registry(t))
			var e atomic.Pointer[headrace.Engine]
			var early atomic.Int64
			counts := map[headrace.Gate]*handlers.Projection[int]{}
			for _, gate := range []headrace.Gate{headrace.Written, headrace.Durable, headrace.Published} {
				p := handlers.NewProjection(gate.String(), new(int))
				handlers.Apply(p, func(n *int, c *handlers.Context, d deposit) error {
					*n++
					if eng := e.Load(); eng != nil {
						if gate == headrace.Written && eng.Written() < c.Sequence() || gate == headrace.Durable && eng.Durable() < c.Sequence() {
							early.Add(1)
						}
					}
					return nil
				})
				top.Project(p, headrace.LaneOptions{Behind: gate, MaxBatch: 16})
				counts[gate] = p
			}
			eng, err := headrace.Open(t.TempDir(), top, o)
			require.NoError(t, err)
			e.Store(eng)
			p := producer(t, eng, "web")
			var last int64
			for range 2000 {
				last = publish(t, p, deposit{})
			}
			require.NoError(t, counts[headrace.Durable].WaitFor(limit(t), last))
			require.NoError(t, eng.WaitFor(limit(t), "written", last))
			require.ErrorIs(t, eng.WaitFor(limit(t), "nobody", last), headrace.ErrUnknownLane)
			closeEngine(t, eng)
			require.Zero(t, early.Load())
			for gate, p := range counts {
				p.View(func(n *int, _ int64) { require.Equal(t, 2000, *n, "behind %v", gate) })
			}
		})
	}
}

func TestProjection_ViewSeesAKnownSequence(t *testing.T) {
	top := headrace.NewTopology(registry(t))
	type sum struct{ n, total int64 }
	p := handlers.NewProjection("sum", &sum{})
	handlers.Apply(p, func(s *sum, c *handlers.Context, d deposit) error {
		s.n++
		s.total += d.Amount
		return nil
	})
	top.Project(p, headrace.LaneOptions{MaxBatch: 7})
	require.ErrorIs(t, p.WaitFor(limit(t), 1), handlers.ErrNotRunning)
	e, err := headrace.Open(t.TempDir(), top, small())
	require.NoError(t, err)
	first := publish(t, producer(t, e, "web"), deposit{Amount: 1})
	for i := int64(2); i <= 3000; i++ {
		seq := publish(t, producer(t, e, "web"), deposit{Amount: i})
		if i%50 == 0 {
			require.NoError(t, p.WaitFor(limit(t), seq))
		}
		p.View(func(s *sum, at int64) {
			n := max(0, at-first+1)
			require.Equal(t, n, s.n, "at %d", at)
			require.Equal(t, n*(n+1)/2, s.total)
			if i%50 == 0 {
				require.Equal(t, seq, at)
			}
		})
	}
	closeEngine(t, e)
}

func TestReplay_Until_IsTheStateOfThen(t *testing.T) {
	dir := t.TempDir()
	a := newApp(t)
	e := open(t, dir, a, small())
	type sample struct {
		state bank
		at    int64
	}
	var samples []sample
	p := producer(t, e, "web")
	for i := range int64(500) {
		publish(t, p, deposit{Account: i % 5, Amount: i})
		if i%25 == 0 {
			s, at := a.state()
			samples = append(samples, sample{s, at})
		}
	}
	// Beside the running engine, too.
	for _, s := range samples {
		if s.at == 0 {
			continue
		}
		b := newApp(t)
		got, err := headrace.Replay(dir, b.topology, headrace.ReplayOptions{Until: s.at})
		require.NoError(t, err)
		state, at := b.state()
		require.Equal(t, s.at, at)
		require.Equal(t, s.at, got.LastSequence)
		require.Equal(t, s.state, state)
	}
	closeEngine(t, e)
	_, err := headrace.Replay(dir, newApp(t).topology, headrace.ReplayOptions{Until: -1})
	require.ErrorContains(t, err, "Until")
	_, err = headrace.Replay(t.TempDir(), newApp(t).topology, headrace.ReplayOptions{})
	require.ErrorIs(t, err, journal.ErrNotFound)
}

func TestPublish_AllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	top := headrace.NewTopology(registry(t))
	handlers.On(top.Logic(), "teller", func(c *handlers.Context, d deposit) error {
		return handlers.Emit(c, deposited(d))
	})
	sum := handlers.NewProjection("sum", new(int64))
	handlers.Apply(sum, func(s *int64, _ *handlers.Context, d deposited) error { *s += d.Amount; return nil })
	top.Project(sum, headrace.LaneOptions{})
	o := headrace.Options{Journal: journal.Options{SegmentBytes: 256 << 20, Durability: journal.None()}}
	e, err := headrace.Open(t.TempDir(), top, o)
	require.NoError(t, err)
	p := producer(t, e, "web")
	ctx := context.Background()
	var last int64
	round := func() {
		for i := range int64(1000) {
			seq, err := headrace.Publish(ctx, p, deposit{Account: i, Amount: 1}, headrace.Meta{Key: "account"})
			if err != nil {
				panic(err)
			}
			last = seq
		}
		if err := sum.WaitFor(ctx, last); err != nil {
			panic(err)
		}
	}
	round()
	perRound := testing.AllocsPerRun(20, round)
	require.Less(t, perRound, 100.0, "for 1000 events, journaled, handled, answered and projected")
	closeEngine(t, e)
}

func TestEngine_FullDisk_IsAnErrorAndTheLogWhole(t *testing.T) {
	dir := tinyDisk(t, "2m")
	o := small()
	o.Journal.SegmentBytes = 256 << 10
	e := open(t, dir, newApp(t), o)
	p := producer(t, e, "web")
	var err error
	var written int64
	for i := int64(0); err == nil; i++ {
		var seq int64
		if seq, err = headrace.Publish(limit(t), p, deposit{Amount: i}, headrace.Meta{}); err == nil && i%10 == 0 {
			if err = e.WaitWritten(limit(t), seq); err == nil {
				written = seq
			}
		}
	}
	require.ErrorIs(t, err, headrace.ErrHalted)
	require.ErrorIs(t, err, journal.ErrNoSpace)
	require.ErrorIs(t, e.Close(limit(t)), journal.ErrNoSpace)

	// On a larger disk the same log goes on.
	moved := copyDir(t, dir)
	a := newApp(t)
	e = open(t, moved, a, o)
	require.GreaterOrEqual(t, e.Written(), written)
	publish(t, producer(t, e, "web"), deposit{})
	closeEngine(t, e)
	checkAnswers(t, readLog(t, moved))
}

type inUse struct{ goroutines, descriptors, mappings int }

func resources(t *testing.T) inUse {
	t.Helper()
	runtime.GC()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("no /proc here")
	}
	maps, err := os.ReadFile("/proc/self/maps")
	require.NoError(t, err)
	return inUse{runtime.NumGoroutine(), len(fds), strings.Count(string(maps), ".seg")}
}
