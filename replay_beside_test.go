package headrace_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/headracetest"
	"github.com/headrace/headrace/journal"
)

// lateType and laterType get into a log when it is opened with them.
type (
	lateType  struct{ N int64 }
	laterType struct{ N int64 }
)

// quiet is a topology in which all lanes but the read models only decide, so that Replay reads the log once.
type quiet struct {
	topology *headrace.Topology
	model    *handlers.Projection[trail] // of each type
	kept     *handlers.State[till]       // of the lane that decides
	told     func(seq int64) error       // by model, for deposits
}

// newQuiet registers further types before its own. l says on which deposits the teller fails; where policy is nil, it does not.
func newQuiet(t testing.TB, l luck, policy *handlers.FailurePolicy, further ...func(*event.Registry, *quiet)) *quiet {
	r := event.NewRegistry()
	q := &quiet{topology: headrace.NewTopology(r), model: handlers.NewProjection("model", new(trail)), told: func(int64) error { return nil }}
	q.topology.AnsweredByMany("bank.deposit")
	for _, f := range further {
		f(r, q)
	}
	event.MustRegister[deposit](r, "bank.deposit", 1, event.TypeOptions{Kind: event.Command})
	event.MustRegister[deposited](r, "bank.deposited", 1)
	event.MustRegister[note](r, "bank.note", 1)
	logic := q.topology.Logic()
	q.kept = handlers.Keep(logic, "kept", newTill)
	handlers.Decide(logic, "teller", func(c *handlers.Context, d deposit) error {
		if policy != nil {
			if err := l.fails("teller", d.Amount, c.Attempt()); err != nil {
				return err
			}
		}
		if d.Amount%7 == 0 {
			at := c.Time().Add(time.Duration(d.Amount%5) * time.Second)
			return handlers.Schedule(c, note{"later"}, at, handlers.ScheduleOptions{})
		}
		return handlers.Emit(c, deposited(d))
	})
	if policy != nil {
		logic.OnFailure("teller", *policy)
	}
	handlers.Apply(q.model, func(s *trail, c *handlers.Context, d deposit) error {
		s.take(c.Sequence(), d.Amount)
		return q.told(c.Sequence())
	})
	handlers.Apply(q.model, func(s *trail, c *handlers.Context, d deposited) error { s.take(c.Sequence(), -d.Amount); return nil })
	handlers.Apply(q.model, func(s *trail, c *handlers.Context, f handlers.Failed) error {
		s.take(c.Sequence(), f.Cause)
		return nil
	})
	q.topology.Project(q.model, headrace.LaneOptions{})

	all := handlers.NewProjection("all", new(trail))
	handlers.ApplyFiltered(all, handlers.Filter{}, func(s *trail, c *handlers.Context) error {
		s.take(c.Sequence(), int64(len(c.Type())))
		return nil
	})
	q.topology.Project(all, headrace.LaneOptions{})

	many := handlers.NewProjection("many", new(trail))
	handlers.ApplyBatch(many, handlers.Filter{Types: []string{"bank.>"}}, 50, func(s *trail, _ *handlers.Context, events []handlers.Delivery) error {
		for _, d := range events {
			s.take(d.Sequence, int64(len(d.Type)))
		}
		return nil
	})
	q.topology.Project(many, headrace.LaneOptions{})
	return q
}

func withLate(r *event.Registry, q *quiet) {
	event.MustRegister[lateType](r, "bank.late", 1)
	handlers.Apply(q.model, func(s *trail, c *handlers.Context, e lateType) error { s.take(c.Sequence(), 1000+e.N); return nil })
}

func withLater(r *event.Registry, q *quiet) {
	event.MustRegister[laterType](r, "bank.later", 1)
	handlers.Apply(q.model, func(s *trail, c *handlers.Context, e laterType) error { s.take(c.Sequence(), 2000+e.N); return nil })
}

// withMail has an effect that fails, retries and gives up.
func withMail(l luck) func(*event.Registry, *quiet) {
	return func(_ *event.Registry, q *quiet) {
		q.topology.Effect(handlers.NewEffect("mail", func(c *handlers.EffectContext, d deposit) error {
			return l.fails("mail", d.Amount, c.Attempt())
		}, handlers.EffectOptions{Workers: 2, Failure: handlers.FailurePolicy{
			Retries: 2, Backoff: handlers.Backoff{First: time.Second}, Then: handlers.ThenDeadLetter,
		}}), headrace.LaneOptions{})
	}
}

func (q *quiet) hashes(t testing.TB) []handlers.StateHash {
	t.Helper()
	all, err := q.topology.Hashes()
	require.NoError(t, err)
	return all
}

// run opens an engine for q, has do publish, and closes it.
func (q *quiet) run(t *testing.T, dir string, o headrace.Options, do func(e *headrace.Engine, p *headrace.Producer)) {
	t.Helper()
	e, err := headrace.Open(dir, q.topology, o)
	require.NoError(t, err)
	do(e, producer(t, e, "web"))
	closeEngine(t, e)
}

// besideEquals replays with read models beside the first pass, and when it is over, up to several ends, and compares.
func besideEquals(t *testing.T, what, dir string, o headrace.ReplayOptions, ends []int64, build func() *quiet) {
	t.Helper()
	for _, until := range ends {
		o.Until = until
		what := fmt.Sprintf("%s, until %d", what, until)
		want := build()
		found, err := headrace.Replay(dir, want.topology, o.InTurn())
		require.NoError(t, err, what)
		for _, span := range []int{1, 7, 0} {
			got := build()
			again, err := headrace.Replay(dir, got.topology, o.WithSpan(span))
			require.NoError(t, err, what)
			require.Equal(t, found, again, what)
			require.Equal(t, want.hashes(t), got.hashes(t), what)
			require.Equal(t, want.topology.Parked(), got.topology.Parked(), what)
			got.model.View(func(_ *trail, seq int64) { require.Equal(t, found.LastSequence, seq, what) })
			got.kept.View(func(_ *till, seq int64) { require.Equal(t, found.LastSequence, seq, what) })
		}
	}
}

// The teller fails and parks, timers wait and fire, and the next version of the program has no policy for it: whatever the end,
// a replay with the read models beside the first pass comes to what one behind it does, and to the live state.
func TestReplay_Beside_IsWhatItIsBehind(t *testing.T) {
	seed := rand.Uint64()
	for _, fails := range []string{"nothing", "teller", "mail"} {
		l := luck{seed: seed, fixed: fails == "nothing"}
		var first, then []func(*event.Registry, *quiet)
		policy := &handlers.FailurePolicy{Retries: 2, Backoff: handlers.Backoff{First: time.Second}, Then: handlers.ThenDeadLetter}
		if fails == "mail" {
			first, policy = append(first, withMail(l)), nil
			then = first
		}
		then = append(then, withLate) // its types come behind those that are there
		dir, what := t.TempDir(), fmt.Sprintf("seed %d, %s fails", seed, fails)
		o, clock := withClock(newYear)
		rng := rand.New(rand.NewPCG(seed, 5))
		newQuiet(t, l, policy, first...).run(t, dir, o, func(e *headrace.Engine, p *headrace.Producer) {
			for i := range int64(300) {
				_, err := headrace.Publish(limit(t), p, deposit{i % 5, i + rng.Int64N(3)}, headrace.Meta{Key: fmt.Sprint(i % 9)})
				require.NoError(t, err, what)
				if i%40 == 0 {
					advance(t, e, clock)
				}
			}
		})
		var last int64
		live := newQuiet(t, l, nil, then...)
		live.run(t, dir, o, func(e *headrace.Engine, p *headrace.Producer) {
			for i := range int64(60) {
				publish(t, p, lateType{i})
				publish(t, p, deposit{i % 5, 2 * i})
			}
			require.NoError(t, e.WaitIdle(limit(t)), what)
			last = e.Written()
		})
		ends := []int64{last, 1, 2, 10}
		for range 6 {
			ends = append(ends, 1+rng.Int64N(last))
		}
		besideEquals(t, what, dir, headrace.ReplayOptions{}, ends, func() *quiet { return newQuiet(t, l, nil, then...) })
		besideEquals(t, what, dir, headrace.ReplayOptions{}, ends, func() *quiet { return newQuiet(t, l, nil, first...) })
		again := newQuiet(t, l, nil, then...)
		_, err := headrace.Replay(dir, again.topology, headrace.ReplayOptions{})
		require.NoError(t, err, what)
		require.Equal(t, live.hashes(t), again.hashes(t), what)
	}
}

// advance lets timers come due.
func advance(t *testing.T, e *headrace.Engine, clock *headracetest.Clock) {
	t.Helper()
	require.NoError(t, e.WaitIdle(limit(t)))
	clock.Advance(3 * time.Second)
	require.NoError(t, e.WaitIdle(limit(t)))
}

// A type comes into the log between others that the program knows and the log does not yet: the ids that these would have
// got so far are those of others.
func TestReplay_Beside_TypesThatComeLater(t *testing.T) {
	dir := t.TempDir()
	var last int64
	type types = []func(*event.Registry, *quiet)
	runs := []struct {
		further types
		publish func(p *headrace.Producer, i int64)
	}{
		{nil, func(*headrace.Producer, int64) {}},
		{types{withLate}, func(p *headrace.Producer, i int64) { publish(t, p, lateType{i}) }},
		{types{withLater}, func(p *headrace.Producer, i int64) { publish(t, p, laterType{i}) }},
		{types{withLate, withLater}, func(*headrace.Producer, int64) {}},
	}
	for _, r := range runs {
		newQuiet(t, luck{}, nil, r.further...).run(t, dir, small(), func(e *headrace.Engine, p *headrace.Producer) {
			for i := range int64(40) {
				publish(t, p, deposit{1, 1 + 7*i})
				r.publish(p, i)
			}
			last = e.Written()
		})
	}
	ends := []int64{last, last - 100, last / 2, last / 3}
	for _, further := range []types{nil, {withLate}, {withLater}, {withLate, withLater}, {withLater, withLate}} {
		besideEquals(t, fmt.Sprint(len(further), " further types"), dir, headrace.ReplayOptions{}, ends, func() *quiet {
			return newQuiet(t, luck{}, nil, further...)
		})
	}
}

// What the first pass finds counts before the failure of a handler, wherever both stand; and of handlers' failures the lowest.
func TestReplay_Beside_TheFirstPassCountsFirst(t *testing.T) {
	dir := t.TempDir()
	var first int64
	newQuiet(t, luck{}, nil).run(t, dir, small(), func(e *headrace.Engine, p *headrace.Producer) {
		first = e.Written() + 1
		for i := range int64(2000) {
			_, err := headrace.Publish(limit(t), p, deposit{1, 1 + 7*i}, headrace.Meta{Key: fmt.Sprintf("the key of %04d", i)})
			require.NoError(t, err)
		}
	})
	failing := func() *quiet {
		q := newQuiet(t, luck{}, nil)
		q.told = func(seq int64) error {
			if seq == first {
				return errBroken
			}
			return nil
		}
		return q
	}
	goroutines := runtime.NumGoroutine()
	wantFound, want := headrace.Replay(dir, failing().topology, headrace.ReplayOptions{}.InTurn())
	require.ErrorIs(t, want, errBroken)
	for _, span := range []int{1, 0} {
		found, err := headrace.Replay(dir, failing().topology, headrace.ReplayOptions{}.WithSpan(span))
		require.Equal(t, want.Error(), err.Error())
		var at *handlers.HandlerError
		require.ErrorAs(t, err, &at)
		require.Equal(t, first, at.Sequence)
		require.Equal(t, wantFound, found)
	}

	files, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	require.NoError(t, err)
	damaged := false
	for _, f := range files {
		data, err := os.ReadFile(f)
		require.NoError(t, err)
		if at := bytes.Index(data, []byte("the key of 1500")); at >= 0 {
			data[at] ^= 4
			require.NoError(t, os.WriteFile(f, data, 0o600))
			damaged = true
			break
		}
	}
	require.True(t, damaged)
	for _, build := range []func() *quiet{failing, func() *quiet { return newQuiet(t, luck{}, nil) }} {
		_, want := headrace.Replay(dir, build().topology, headrace.ReplayOptions{}.InTurn())
		found, err := headrace.Replay(dir, build().topology, headrace.ReplayOptions{})
		var bad *journal.CorruptionError
		require.ErrorAs(t, err, &bad)
		require.Equal(t, want.Error(), err.Error())
		require.Zero(t, found)
	}
	awaitGoroutines(t, goroutines)
}

// Lost records are an error, and where they are accepted the read models come to the same: what was lost may have been what
// says which type an id stands for.
func TestReplay_Beside_LostRecords(t *testing.T) {
	dir := t.TempDir()
	newQuiet(t, luck{}, nil).run(t, dir, small(), func(e *headrace.Engine, p *headrace.Producer) {
		for i := range int64(50) {
			publish(t, p, deposit{1, 1 + 7*i})
		}
	})
	newQuiet(t, luck{}, nil, withLate).run(t, dir, small(), func(e *headrace.Engine, p *headrace.Producer) {
		for i := range int64(50) {
			publish(t, p, lateType{i})
			publish(t, p, deposit{1, 1 + 7*i})
		}
	})
	var last int64
	newQuiet(t, luck{}, nil, withLater).run(t, dir, small(), func(e *headrace.Engine, p *headrace.Producer) {
		for i := range int64(20) {
			publish(t, p, laterType{i})
		}
		last = e.Written()
	})
	files, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	require.NoError(t, err)
	data, err := os.ReadFile(files[0])
	require.NoError(t, err)
	at := bytes.Index(data, []byte("bank.late")) // in the record that says its id
	require.Positive(t, at)
	data[at] ^= 4
	require.NoError(t, os.WriteFile(files[0], data, 0o600))
	plan, err := journal.PlanRepair(dir, journal.RepairOptions{})
	require.NoError(t, err)
	require.NoError(t, plan.Apply(nil))

	_, want := headrace.Replay(dir, newQuiet(t, luck{}, nil).topology, headrace.ReplayOptions{}.InTurn())
	require.ErrorIs(t, want, headrace.ErrLostEvents)
	found, err := headrace.Replay(dir, newQuiet(t, luck{}, nil).topology, headrace.ReplayOptions{})
	require.Equal(t, want.Error(), err.Error())
	require.Zero(t, found)
	for _, further := range [][]func(*event.Registry, *quiet){{}, {withLate}, {withLater}} {
		besideEquals(t, "lost", dir, headrace.ReplayOptions{AcceptLost: true}, []int64{last, last - 10, 40}, func() *quiet {
			return newQuiet(t, luck{}, nil, further...)
		})
	}
}

// The reader gets each record once, and lanes have handled some before it has got them all.
func TestReplay_Beside_ReadsOnce(t *testing.T) {
	dir := t.TempDir()
	var last int64
	newQuiet(t, luck{}, nil).run(t, dir, small(), func(e *headrace.Engine, p *headrace.Producer) {
		for i := range int64(200) {
			publish(t, p, deposit{1, 1 + 7*i})
		}
		require.NoError(t, e.WaitIdle(limit(t)))
		last = e.Written()
	})
	q := newQuiet(t, luck{}, nil)
	handled := make(chan struct{})
	q.told = func(int64) error {
		select {
		case <-handled:
		default:
			close(handled)
		}
		return nil
	}
	var read int64
	_, err := headrace.Replay(dir, q.topology, headrace.ReplayOptions{}.WithReader(8, func(seq int64) error {
		if read++; seq == last {
			<-handled
		}
		return nil
	}))
	require.NoError(t, err)
	require.Equal(t, last, read)
}

// The log's reader fails or panics while read models are at work: they have ended when that is seen.
func TestReplay_Beside_TheReaderFails(t *testing.T) {
	dir := t.TempDir()
	newQuiet(t, luck{}, nil).run(t, dir, small(), func(e *headrace.Engine, p *headrace.Producer) {
		for i := range int64(200) {
			publish(t, p, deposit{1, 1 + 7*i})
		}
	})
	torn := errors.New("torn")
	for _, panics := range []bool{false, true} {
		goroutines := runtime.NumGoroutine()
		q := newQuiet(t, luck{}, nil)
		failing, busy := make(chan struct{}), 0
		q.told = func(int64) error {
			busy++
			<-failing
			for range 2000 {
				runtime.Gosched()
			}
			busy--
			return errBroken // the pass counts before it
		}
		replay := func() error {
			_, err := headrace.Replay(dir, q.topology, headrace.ReplayOptions{}.WithReader(8, func(seq int64) error {
				if seq < 100 {
					return nil
				}
				close(failing)
				if panics {
					panic(torn)
				}
				return torn
			}))
			return err
		}
		if panics {
			require.PanicsWithValue(t, torn, func() { _ = replay() })
		} else {
			require.ErrorIs(t, replay(), torn)
		}
		require.Zero(t, busy, "a handler runs on")
		awaitGoroutines(t, goroutines)
	}
}

// A topology that does not fit the log, or is faulty, fails as it did when it was bound behind the first pass.
func TestReplay_Beside_Faults(t *testing.T) {
	dir := t.TempDir()
	newQuiet(t, luck{}, nil, withLate).run(t, dir, small(), func(e *headrace.Engine, p *headrace.Producer) {
		for i := range int64(20) {
			publish(t, p, deposit{1, 1 + 7*i})
			publish(t, p, lateType{i})
		}
	})
	for name, spoil := range map[string]func(*event.Registry, *quiet){
		"unregistered": func(_ *event.Registry, q *quiet) {
			handlers.Apply(q.model, func(*trail, *handlers.Context, laterType) error { return nil })
		},
		"twice": func(_ *event.Registry, q *quiet) {
			handlers.Apply(q.model, func(*trail, *handlers.Context, deposit) error { return nil })
		},
		"policy": func(_ *event.Registry, q *quiet) {
			q.model.Lane().OnFailure("model", handlers.FailurePolicy{Then: handlers.ThenSkip})
		},
		"nil": func(_ *event.Registry, q *quiet) { handlers.Apply[deposit](q.model, nil) },
		"serves": func(_ *event.Registry, q *quiet) {
			other := newQuiet(t, luck{}, nil)
			_, err := headrace.Replay(dir, other.topology, headrace.ReplayOptions{})
			require.NoError(t, err)
			p := handlers.NewProjection("shared", new(trail))
			other = newQuiet(t, luck{}, nil)
			other.topology.Project(p, headrace.LaneOptions{})
			_, err = headrace.Replay(dir, other.topology, headrace.ReplayOptions{})
			require.NoError(t, err)
			q.topology.Project(p, headrace.LaneOptions{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, want := headrace.Replay(dir, newQuiet(t, luck{}, nil, spoil).topology, headrace.ReplayOptions{}.InTurn())
			require.Error(t, want)
			_, err := headrace.Replay(dir, newQuiet(t, luck{}, nil, spoil).topology, headrace.ReplayOptions{})
			require.EqualError(t, err, want.Error())
		})
	}
}

// A read model may have the name of a handler. What that has failed on, the read model has not; nor is it renamed with it.
func TestProjection_NamedAsAHandler(t *testing.T) {
	build := func(handler string, renamed bool) (*headrace.Topology, *handlers.Projection[trail]) {
		top := headrace.NewTopology(registry(t))
		handlers.Decide(top.Logic(), handler, func(c *handlers.Context, d deposit) error {
			if d.Amount%3 == 0 {
				return errBroken
			}
			return nil
		})
		top.Logic().OnFailure(handler, handlers.FailurePolicy{Then: handlers.ThenSkip})
		if renamed {
			top.RenameHandler("teller", handler)
		}
		p := handlers.NewProjection("bank", new(trail))
		handlers.Apply(p, func(s *trail, c *handlers.Context, d deposit) error {
			s.take(c.Sequence(), int64(c.Rand().Uint32()))
			return nil
		})
		top.Project(p, headrace.LaneOptions{})
		return top, p
	}
	for _, renamed := range []bool{false, true} {
		dir := t.TempDir()
		first := "bank"
		if renamed {
			first = "teller"
		}
		top, p := build(first, false)
		e, err := headrace.Open(dir, top, small())
		require.NoError(t, err)
		for i := range int64(30) {
			publish(t, producer(t, e, "web"), deposit{1, i})
		}
		closeEngine(t, e)
		var live trail
		p.View(func(s *trail, _ int64) { live = *s })
		require.EqualValues(t, 30, live.Count)

		top, p = build("bank", renamed)
		_, err = headrace.Replay(dir, top, headrace.ReplayOptions{})
		require.NoError(t, err)
		p.View(func(s *trail, _ int64) { require.Equal(t, live, *s) })
		top, p = build("bank", renamed)
		e, err = headrace.Open(dir, top, small())
		require.NoError(t, err)
		closeEngine(t, e)
		p.View(func(s *trail, _ int64) { require.Equal(t, live, *s) })
	}
}
