package headrace_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
)

// Projections are paused, resumed and rebuilt at random while events flow: whoever looks in sees the events up to the
// sequence that View says, all of them and each once; the ring goes on; in the end nothing is missing.
func TestProjection_PauseResumeRebuild_WhileEventsFlow(t *testing.T) {
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	o := small()
	o.Slots = 128
	b := newBatched(headrace.Written, 5)
	e := open(t, dir, app{topology: b.topology}, o)
	look := func(p *handlers.Projection[tally]) (at int64) {
		p.View(func(s *tally, sequence int64) {
			at = sequence
			var sum tally
			for i, seq := range s.Seen {
				if i > 0 && seq <= s.Seen[i-1] {
					t.Errorf("seed %d: event %d after %d", seed, seq, s.Seen[i-1])
				}
				if seq > sequence {
					t.Errorf("seed %d: event %d in a state at %d", seed, seq, sequence)
				}
			}
			if sum.Count = len(s.Seen); sum.Count != s.Count {
				t.Errorf("seed %d: half a state", seed)
			}
		})
		return at
	}
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, name := range []string{"one", "many"} {
		own := rand.New(rand.NewPCG(rng.Uint64(), 1))
		p := map[string]*handlers.Projection[tally]{"one": b.one, "many": b.many}[name]
		wg.Go(func() {
			for ctx.Err() == nil {
				var err error
				switch own.IntN(4) {
				case 0:
					err = e.Pause(name)
					if at := look(p); err == nil && at != look(p) {
						t.Error("it moves while it is paused")
					}
				case 1:
					err = e.Resume(name)
				case 2:
					err = e.Rebuild(context.Background(), name)
				default:
					look(p)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	publishParts(t, e, rng, 3, 200)
	stop()
	wg.Wait()
	for _, name := range []string{"one", "many"} {
		require.NoError(t, e.Resume(name))
		require.NoError(t, e.Resume(name))
	}
	last := e.Stats().Ring.Cursor
	require.NoError(t, b.one.WaitFor(limit(t), last))
	require.NoError(t, e.WaitFor(limit(t), "many", last))
	require.GreaterOrEqual(t, look(b.one), last)
	one, many, lane := b.states()
	require.Equal(t, lane, one, "seed %d", seed)
	require.Equal(t, lane, many, "seed %d", seed)
	require.Empty(t, b.cuts.bad)
	closeEngine(t, e)

	again := newBatched(headrace.Written, 5)
	e = open(t, dir, app{topology: again.topology}, o)
	one, _, _ = again.states()
	require.Equal(t, lane, one)
	closeEngine(t, e)
}

// A projection that is paused holds up nobody, is seen to be, and keeps snapshots from being taken.
func TestProjection_Paused(t *testing.T) {
	a := newApp(t)
	a.topology.Logic().Stateless()
	e := open(t, t.TempDir(), a, small())
	p := producer(t, e, "web")
	require.NoError(t, e.WaitFor(limit(t), "bank", publish(t, p, deposit{1, 1})))
	require.NoError(t, e.Pause("bank"))
	require.NoError(t, e.Pause("bank"))
	before, at := a.state()
	var last int64
	for i := range int64(1000) { // several times around the ring
		last = publish(t, p, deposit{1, i})
	}
	settleLogic(t, e)
	after, same := a.state()
	require.Equal(t, before, after)
	require.Equal(t, at, same)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, a.bank.WaitFor(ctx, last), context.Canceled)
	for _, l := range e.Health().Lanes {
		require.Equal(t, l.Name == "bank", l.Paused)
		if l.Name == "bank" {
			require.Equal(t, at, l.Sequence)
			require.GreaterOrEqual(t, l.Lag, int64(1000))
		}
	}
	_, err := e.Snapshot(limit(t))
	require.ErrorIs(t, err, handlers.ErrPaused)
	waits := make(chan error, 1)
	go func() { waits <- a.bank.WaitFor(limit(t), last) }()
	require.NoError(t, e.Resume("bank"))
	require.NoError(t, <-waits)
	settleLogic(t, e)
	require.NoError(t, a.bank.WaitFor(limit(t), e.Stats().Ring.Cursor))
	state, _ := a.state()
	require.Equal(t, 1001, state.Answers)
	for errors.Is(err, handlers.ErrPaused) { // it has all, and is about to be in the ring again
		_, err = e.Snapshot(limit(t))
	}
	require.NoError(t, err)
	require.NoError(t, e.Pause("bank")) // and so the engine closes
	closeEngine(t, e)
	require.ErrorIs(t, e.Resume("bank"), headrace.ErrClosed)
	require.ErrorIs(t, e.Rebuild(limit(t), "bank"), headrace.ErrClosed)
	require.ErrorIs(t, e.Pause("bank"), headrace.ErrClosed)
}

func TestProjection_PauseAndRebuild_Misuse(t *testing.T) {
	r := event.NewRegistry()
	event.MustRegister[note](r, "note", 1)
	top := headrace.NewTopology(r)
	broken := false
	type hidden struct{ n int }
	secret := handlers.NewProjection("secret", &hidden{})
	handlers.Apply(secret, func(s *hidden, _ *handlers.Context, n note) error {
		if s.n++; broken {
			return errBroken
		}
		return nil
	})
	top.Project(secret, headrace.LaneOptions{})
	early := handlers.NewProjection("early", &[]string{})
	handlers.Apply(early, func(*[]string, *handlers.Context, note) error { return nil })
	top.Project(early, headrace.LaneOptions{Behind: headrace.Published})
	handlers.Fold(top.Logic(), func(*handlers.Context, note) error { return nil })
	e := open(t, t.TempDir(), app{topology: top}, small())
	publish(t, producer(t, e, "web"), note{"x"})
	require.NoError(t, secret.WaitFor(limit(t), e.Stats().Ring.Cursor))
	for _, f := range []func(string) error{e.Pause, e.Resume, func(name string) error { return e.Rebuild(limit(t), name) }} {
		require.ErrorIs(t, f("nobody"), headrace.ErrUnknownLane)
		require.ErrorIs(t, f("logic"), headrace.ErrNotProjection)
		require.ErrorIs(t, f("early"), headrace.ErrNotProjection)
	}
	require.NoError(t, e.Resume("secret"), "it is not paused")
	require.ErrorIs(t, e.Rebuild(limit(t), "secret"), handlers.ErrNotKept)
	closeEngine(t, e)

	// With Fresh it can be rebuilt; a failure is the call's, and the live one goes on.
	top = headrace.NewTopology(r)
	secret = handlers.NewProjection("secret", &hidden{})
	secret.Fresh(func() *hidden { return &hidden{n: 100} })
	handlers.Apply(secret, func(s *hidden, _ *handlers.Context, n note) error {
		if s.n++; broken {
			panic(errBroken)
		}
		return nil
	})
	top.Project(secret, headrace.LaneOptions{})
	e = open(t, t.TempDir(), app{topology: top}, small())
	seq := publish(t, producer(t, e, "web"), note{"x"})
	require.NoError(t, secret.WaitFor(limit(t), seq))
	read := func() (n int) { secret.View(func(s *hidden, _ int64) { n = s.n }); return n }
	require.Equal(t, 1, read())
	require.NoError(t, e.Rebuild(limit(t), "secret"))
	require.Equal(t, 101, read())
	broken = true
	var h *handlers.HandlerError
	require.ErrorAs(t, e.Rebuild(limit(t), "secret"), &h)
	require.Equal(t, 101, read())
	broken = false

	// What fails when it catches up halts the engine.
	require.NoError(t, e.Pause("secret"))
	seq = publish(t, producer(t, e, "web"), note{"x"})
	require.NoError(t, e.WaitWritten(limit(t), seq))
	require.NoError(t, e.WaitFor(limit(t), "journal", seq))
	broken = true
	require.NoError(t, e.Resume("secret"))
	err := secret.WaitFor(limit(t), seq)
	if err != nil {
		require.True(t, errors.Is(err, headrace.ErrHalted) || errors.Is(err, errBroken), err)
	}
	<-e.Halted()
	require.ErrorIs(t, e.Close(limit(t)), errBroken)

	m, err := headrace.OpenMemory(newApp(t).topology, headrace.Options{})
	require.NoError(t, err)
	require.ErrorIs(t, m.Pause("bank"), headrace.ErrNoLog)
	closeEngine(t, m)
}

// Pause does not return while a handler runs.
func TestProjection_PauseWaitsForItsHandler(t *testing.T) {
	top := headrace.NewTopology(registry(t))
	inside, release := make(chan struct{}), make(chan struct{})
	var left atomic.Bool
	p := handlers.NewProjection("slow", new(int))
	handlers.Apply(p, func(*int, *handlers.Context, note) error {
		close(inside)
		<-release
		left.Store(true)
		return nil
	})
	top.Project(p, headrace.LaneOptions{})
	e := open(t, t.TempDir(), app{topology: top}, small())
	publish(t, producer(t, e, "web"), note{"x"})
	<-inside
	go func() {
		for range 1000 { // time for a Pause that does not wait
			runtime.Gosched()
		}
		close(release)
	}()
	require.NoError(t, e.Pause("slow"))
	require.True(t, left.Load())
	closeEngine(t, e)
}
