package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// fakeBench delivers the right sum unless told otherwise, and notes when it runs.
type fakeBench struct {
	name   string
	w      Work
	log    *[]string
	wrong  uint64 // added to the sum
	err    error
	closed *int
	block  chan struct{} // not nil: Round waits for it
}

func (b *fakeBench) Round() (Result, error) {
	if b.block != nil {
		<-b.block
	}
	*b.log = append(*b.log, b.name)
	return Result{Elapsed: time.Millisecond, Sum: ringSum(b.w) + b.wrong}, b.err
}

func (b *fakeBench) Close() error {
	if b.closed != nil {
		*b.closed++
	}
	return nil
}

func fakeSystem(b *fakeBench) System {
	return System{Name: b.name, Open: func(w Work) (Bench, error) {
		b.w = w
		return b, nil
	}}
}

func fakeScenario(benches ...*fakeBench) (sc Scenario, log *[]string) {
	log = new([]string)
	sc = Scenario{Name: "fake/work", About: "nothing", Work: Work{Events: 1000, Batch: 1}, Want: ringSum}
	for _, b := range benches {
		b.log = log
		sc.Systems = append(sc.Systems, fakeSystem(b))
	}
	return sc, log
}

func testSettings(t *testing.T) Settings {
	return Settings{Rounds: 3, Warmup: 1, Scale: 1, Timeout: time.Minute, Dir: t.TempDir()}
}

func TestRunScenario_RoundsInterleaveAndRotate(t *testing.T) {
	sc, log := fakeScenario(&fakeBench{name: "a"}, &fakeBench{name: "b"}, &fakeBench{name: "c"})
	out, err := runScenario(context.Background(), sc, testSettings(t))
	require.NoError(t, err)
	require.Equal(t, "abc bac cab acb", joinRounds(*log, 3))
	require.Len(t, out.Stats, 3)
	for _, st := range out.Stats {
		require.InDelta(t, 1e6, st.Median, 1) // 1,000 events in 1 ms
	}
}

func joinRounds(log []string, n int) string {
	var b strings.Builder
	for i, name := range log {
		if i > 0 && i%n == 0 {
			b.WriteByte(' ')
		}
		b.WriteString(name)
	}
	return b.String()
}

func TestRunScenario_Failures(t *testing.T) {
	boom := errors.New("boom")
	tests := map[string]struct {
		bad   *fakeBench
		check func(t *testing.T, err error)
	}{
		"wrong_sum": {&fakeBench{name: "bad", wrong: 1}, func(t *testing.T, err error) {
			var sum *SumError
			require.ErrorAs(t, err, &sum)
			require.Equal(t, sum.Want+1, sum.Got)
		}},
		"error": {&fakeBench{name: "bad", err: boom}, func(t *testing.T, err error) {
			require.ErrorIs(t, err, boom)
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			closed := 0
			tt.bad.closed = &closed
			sc, _ := fakeScenario(&fakeBench{name: "good", closed: &closed}, tt.bad)
			set := testSettings(t)
			_, err := runScenario(context.Background(), sc, set)
			var re *RoundError
			require.ErrorAs(t, err, &re)
			require.Equal(t, "bad", re.System)
			require.Equal(t, 1, re.Round)
			tt.check(t, err)
			require.Equal(t, 2, closed, "benches closed")
			requireEmpty(t, set.Dir)
		})
	}
}

func TestRunScenario_OpenFailsClosesTheOthers(t *testing.T) {
	closed := 0
	boom := errors.New("boom")
	sc, _ := fakeScenario(&fakeBench{name: "good", closed: &closed})
	sc.Systems = append(sc.Systems, System{"bad", func(w Work) (Bench, error) { return nil, boom }})
	set := testSettings(t)
	_, err := runScenario(context.Background(), sc, set)
	require.ErrorIs(t, err, boom)
	require.Equal(t, 1, closed)
	requireEmpty(t, set.Dir)
}

func TestRunScenario_HangingRoundTimesOut(t *testing.T) {
	block := make(chan struct{})
	defer close(block)
	sc, _ := fakeScenario(&fakeBench{name: "stuck", block: block})
	set := testSettings(t)
	set.Timeout = time.Millisecond
	_, err := runScenario(context.Background(), sc, set)
	require.ErrorIs(t, err, ErrTimeout)
}

func TestRunScenario_CancelledContextStops(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	sc, log := fakeScenario(&fakeBench{name: "a"})
	_, err := runScenario(ctx, sc, testSettings(t))
	require.ErrorIs(t, err, context.Canceled)
	require.Empty(t, *log)
}

// pacedBench records as many latencies as it is told to.
type pacedBench struct {
	fakeBench
	records int
}

func (b *pacedBench) Paced(h *Histogram) (Result, error) {
	for range b.records {
		h.Record(time.Microsecond)
	}
	w := b.w
	w.Events = w.PacedEvents
	return Result{Elapsed: time.Millisecond, Sum: ringSum(w)}, nil
}

func TestRunScenario_PacedRoundsAreMergedWithoutWarmup(t *testing.T) {
	for _, records := range []int{10, 9} {
		b := &pacedBench{fakeBench: fakeBench{name: "a", log: new([]string)}, records: records}
		sc := Scenario{Name: "fake/paced", Work: Work{Events: 5, Batch: 1, PacedEvents: 10, PacedRate: 1000}, Want: ringSum}
		sc.Systems = []System{{"a", func(w Work) (Bench, error) { b.w = w; return b, nil }}}
		out, err := runScenario(context.Background(), sc, testSettings(t))
		if records == 9 {
			require.ErrorContains(t, err, "9 events recorded")
			continue
		}
		require.NoError(t, err)
		require.EqualValues(t, 30, out.Stats[0].Latency.Count())
	}
}

// A scenario of latencies alone runs no other rounds, and shows the rate that was reached.
func TestRunScenario_LatencyOnly(t *testing.T) {
	b := &pacedBench{fakeBench: fakeBench{name: "a", log: new([]string)}, records: 10}
	sc := Scenario{Name: "fake/latency", Work: Work{Batch: 1, PacedEvents: 10, PacedRate: 1000}, Want: ringSum, LatencyOnly: true}
	sc.Systems = []System{{"a", func(w Work) (Bench, error) { b.w = w; return b, nil }}}
	out, err := runScenario(context.Background(), sc, testSettings(t))
	require.NoError(t, err)
	require.Empty(t, *b.log, "rounds without pace")
	require.InDelta(t, 1e4, out.Stats[0].Median, 1) // 10 events in 1 ms
	require.EqualValues(t, 30, out.Stats[0].Latency.Count())

	plain, _ := fakeScenario(&fakeBench{name: "plain"})
	plain.LatencyOnly = true
	_, err = runScenario(context.Background(), plain, testSettings(t))
	require.ErrorContains(t, err, "no latency part")
}

func TestRotation(t *testing.T) {
	require.Equal(t, []int{0, 1, 2}, rotation(0, 3))
	require.Equal(t, []int{1, 0, 2}, rotation(1, 3))
	require.Equal(t, []int{2, 0, 1}, rotation(2, 3))
	require.Equal(t, []int{2, 1, 0}, rotation(5, 3))
	require.Equal(t, []int{0}, rotation(7, 1))
}

func TestEmptyDir(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "log", "deep"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), []byte("x"), 0o600))
	require.NoError(t, emptyDir(dir))
	requireEmpty(t, dir)
}

func requireEmpty(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, entries)
}
