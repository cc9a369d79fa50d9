package headrace_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/journal"
	"github.com/headrace/headrace/ring"
)

// trail is a state that says in which order its lane saw what.
type trail struct{ Hash, Count int64 }

func (s *trail) take(seq, v int64) {
	s.Hash = (s.Hash*31+seq)*31 + v
	s.Count++
}

// trails is a topology of several lanes over the same events; each is told on what it handles.
func trails(t testing.TB, lanes []string, told func(lane string, seq int64) error) *headrace.Topology {
	top := headrace.NewTopology(registry(t))
	handlers.On(top.Logic(), "teller", func(c *handlers.Context, d deposit) error { return handlers.Emit(c, deposited(d)) })
	top.Logic().Stateless()
	for _, name := range lanes {
		p := handlers.NewProjection(name, new(trail))
		handlers.Apply(p, func(s *trail, c *handlers.Context, d deposit) error {
			s.take(c.Sequence(), d.Amount)
			return told(name, c.Sequence())
		})
		handlers.Apply(p, func(s *trail, c *handlers.Context, d deposited) error {
			s.take(c.Sequence(), -d.Amount)
			return nil
		})
		top.Project(p, headrace.LaneOptions{})
	}
	return top
}

func fine(string, int64) error { return nil }

// trailLog writes a log of n deposits and their answers, and returns the sequence before the first, and the live hashes.
func trailLog(t *testing.T, lanes []string, n int64) (dir string, before int64, live []handlers.StateHash) {
	dir = t.TempDir()
	top := trails(t, lanes, fine)
	e, err := headrace.Open(dir, top, small())
	require.NoError(t, err)
	before = e.Written()
	p := producer(t, e, "web")
	for i := range n {
		publish(t, p, deposit{i % 7, i})
	}
	closeEngine(t, e)
	live, err = top.Hashes()
	require.NoError(t, err)
	return dir, before, live
}

// depositsOf returns the sequences of the deposits in a log. How they and their answers alternate differs from run to run.
func depositsOf(t *testing.T, dir string) (deposits []int64) {
	top := trails(t, []string{"x"}, func(_ string, seq int64) error { deposits = append(deposits, seq); return nil })
	_, err := headrace.Replay(dir, top, headrace.ReplayOptions{})
	require.NoError(t, err)
	return deposits
}

// awaitGoroutines waits until no more than n are left: one that has said that it is done may still be on its way out.
func awaitGoroutines(t *testing.T, n int) {
	t.Helper()
	for ctx := limit(t); runtime.NumGoroutine() > n; runtime.Gosched() {
		require.NoError(t, ctx.Err(), "a goroutine is left")
	}
}

func processors(t *testing.T, n int) {
	was := runtime.GOMAXPROCS(n)
	t.Cleanup(func() { runtime.GOMAXPROCS(was) })
}

// replayLaneAfterLane is what a lane comes to that reads the log alone.
func replayLaneAfterLane(t *testing.T, dir string, until int64) trail {
	r, err := journal.OpenReader(dir, 0, journal.ReaderOptions{Until: until})
	require.NoError(t, err)
	defer r.Close()
	var s trail
	codec, _ := registry(t).ByName("bank.deposit")
	_, err = r.Read(func(rec journal.Record) error {
		if rec.Kind != journal.KindEvent || rec.Type < handlers.FirstUserType {
			return nil
		}
		v, err := event.Parse(rec.Body)
		if err != nil {
			return err
		}
		sign := int64(1)
		if _, answer := v.Origin(); answer {
			sign = -1
		}
		got, err := codec.DecodeAny(1, v.Payload())
		if err != nil {
			return err
		}
		s.take(rec.Sequence, sign*got.(*deposit).Amount)
		return nil
	})
	require.NoError(t, err)
	return s
}

func TestReplay_SideBySide_IsWhatLaneAfterLaneIs(t *testing.T) {
	lanes := []string{"a", "b", "c"}
	dir, before, live := trailLog(t, lanes, 1500)
	for _, procs := range []int{1, 2, 4} {
		for _, span := range []int{1, 7, 256, 1024} {
			t.Run(fmt.Sprintf("procs=%d/span=%d", procs, span), func(t *testing.T) {
				processors(t, procs)
				top := trails(t, lanes, fine)
				_, err := headrace.Replay(dir, top, headrace.ReplayOptions{}.WithSpan(span))
				require.NoError(t, err)
				got, err := top.Hashes()
				require.NoError(t, err)
				require.Equal(t, live, got)

				until := before + 1000
				want := replayLaneAfterLane(t, dir, until)
				p := handlers.NewProjection("alone", new(trail))
				handlers.Apply(p, func(s *trail, c *handlers.Context, d deposit) error { s.take(c.Sequence(), d.Amount); return nil })
				handlers.Apply(p, func(s *trail, c *handlers.Context, d deposited) error { s.take(c.Sequence(), -d.Amount); return nil })
				part := trails(t, lanes, fine)
				part.Project(p, headrace.LaneOptions{})
				_, err = headrace.Replay(dir, part, headrace.ReplayOptions{Until: until}.WithSpan(span))
				require.NoError(t, err)
				p.View(func(s *trail, seq int64) {
					require.Equal(t, want, *s)
					require.Equal(t, until, seq)
				})
			})
		}
	}
}

// A lane that fails at a later event fails first; one fails at an earlier event afterwards, and another at the same.
func TestReplay_SideBySide_TheLowestFailureIsReported(t *testing.T) {
	lanes := []string{"late", "early", "same"}
	dir, _, _ := trailLog(t, lanes, 1500)
	deposits := depositsOf(t, dir)
	early, late := deposits[99], deposits[100]
	for _, seq := range deposits[100:] { // the reader must get there while a lane stands at early
		if seq <= early+500 {
			late = seq
		}
	}
	require.LessOrEqual(t, late, early+500)
	oops := errors.New("oops")
	for name, fail := range map[string]func() error{
		"error":  func() error { return oops },
		"panic":  func() error { panic(oops) },
		"goexit": func() error { runtime.Goexit(); return nil },
	} {
		for _, procs := range []int{1, 2, 4} {
			t.Run(fmt.Sprintf("%s/procs=%d", name, procs), func(t *testing.T) {
				processors(t, procs)
				goroutines := runtime.NumGoroutine()
				gone := make(chan struct{})
				top := trails(t, lanes, func(lane string, seq int64) error {
					switch {
					case lane == "late" && seq == late:
						close(gone)
						return errors.New("too late")
					case lane != "late" && seq == early:
						<-gone
						return fail()
					}
					return nil
				})
				_, err := headrace.Replay(dir, top, headrace.ReplayOptions{}.WithSpan(256))
				var at *handlers.HandlerError
				require.ErrorAs(t, err, &at)
				require.Equal(t, early, at.Sequence)
				require.Equal(t, "early", at.Lane)
				switch name {
				case "error":
					require.ErrorIs(t, err, oops)
				case "panic":
					var p *handlers.PanicError
					require.ErrorAs(t, err, &p)
				case "goexit":
					require.ErrorIs(t, err, ring.ErrGoexit)
				}
				awaitGoroutines(t, goroutines)
			})
		}
	}
}

// Two lanes fail on the first record of a span: the second one does first, and the first one is reported.
func TestReplay_SideBySide_FailuresOnOneRecord(t *testing.T) {
	lanes := []string{"first", "second"}
	dir, _, _ := trailLog(t, lanes, 300)
	deposits := depositsOf(t, dir)
	var before, at int64 // near enough that a lane may be at one while another is at the other
	for i := 1; i < len(deposits) && at == 0; i++ {
		if deposits[i]-deposits[i-1] <= 2 {
			before, at = deposits[i-1], deposits[i]
		}
	}
	require.Positive(t, at)
	for range 20 {
		failing := make(chan struct{})
		_, err := headrace.Replay(dir, trails(t, lanes, func(lane string, seq int64) error {
			switch {
			case lane == "first" && seq == before:
				<-failing
				for range 2000 { // time for the other one to have failed
					runtime.Gosched()
				}
			case seq == at:
				if lane == "second" {
					close(failing)
				}
				return errBroken
			}
			return nil
		}), headrace.ReplayOptions{}.WithSpan(1))
		var failed *handlers.HandlerError
		require.ErrorAs(t, err, &failed)
		require.Equal(t, "first", failed.Lane)
		require.Equal(t, at, failed.Sequence)
	}
}

// What two lanes and an effect have parked, retries owed and dead letters, timers, and states, wherever the replay ends.
func TestReplay_SideBySide_ParksAsInTurn(t *testing.T) {
	seed := rand.Uint64()
	l := luck{seed: seed, never: 401}
	build := func() *world {
		w := newWorld(t, l)
		w.topology.Effect(handlers.NewEffect("mail", func(c *handlers.EffectContext, d deposit) error {
			return l.fails("mail", d.Amount, c.Attempt())
		}, handlers.EffectOptions{Workers: 2, Failure: handlers.FailurePolicy{
			Retries: 2, Backoff: handlers.Backoff{First: time.Second}, Then: handlers.ThenDeadLetter,
		}}), headrace.LaneOptions{})
		return w
	}
	dir := t.TempDir()
	o, clock := withClock(newYear)
	live := build()
	e, err := headrace.Open(dir, live.topology, o)
	require.NoError(t, err)
	rng := rand.New(rand.NewPCG(seed, 3))
	first := e.Written()
	drive(t, e, clock, rng, 400, 1)
	// All of them fail on the last one, and the clock stands still: it is parked until the end of the log.
	never := publish(t, producer(t, e, "app"), deposit{0, l.never})
	parks := []string{"till", "credit", "mail"}
	await(t, func() bool {
		for _, id := range parks {
			if !slices.ContainsFunc(e.Parked(), func(p handlers.Parked) bool { return p.Handler == id && p.Sequence == never }) {
				return false
			}
		}
		return true
	})
	closeEngine(t, e)
	last := e.Written()
	for i := range 12 {
		until := last
		if i > 0 {
			until = first + 1 + rng.Int64N(last-first)
		}
		what := fmt.Sprintf("seed %d, until %d", seed, until)
		want := build()
		wantFound, err := headrace.Replay(dir, want.topology, headrace.ReplayOptions{Until: until}.InTurn())
		require.NoError(t, err, what)
		if until == last {
			for _, id := range parks {
				require.True(t, slices.ContainsFunc(want.topology.Parked(), func(p handlers.Parked) bool {
					return p.Handler == id && p.Sequence == never
				}), "%s: %s has not parked %d", what, id, never)
			}
		}
		for _, span := range []int{1, 7, 0} {
			got := build()
			found, err := headrace.Replay(dir, got.topology, headrace.ReplayOptions{Until: until}.WithSpan(span))
			require.NoError(t, err, what)
			require.Equal(t, wantFound, found, what)
			require.Equal(t, want.hashes(t), got.hashes(t), what)
			require.Equal(t, want.topology.Parked(), got.topology.Parked(), what)
		}
	}
}

// The log fails, or its reader panics, while lanes are at work: they have ended when that is seen, and a lane that has failed
// before it is what is reported.
func TestReplay_SideBySide_TheReaderFails(t *testing.T) {
	lanes := []string{"a", "b"}
	dir, _, _ := trailLog(t, lanes, 300)
	at := depositsOf(t, dir)[99] // where lanes wait until the reader has failed; at least 200 records stand behind it
	torn, oops := errors.New("torn"), errors.New("oops")
	for _, lane := range []bool{false, true} {
		for _, what := range []any{torn, "torn"} {
			for _, behind := range []int64{1, 30} { // in the span that is being filled, perhaps; in another one
				t.Run(fmt.Sprintf("%T/lane=%v/behind=%d", what, lane, behind), func(t *testing.T) {
					goroutines := runtime.NumGoroutine()
					var busy atomic.Int64  // calls under way
					var there atomic.Int64 // lanes that wait until the reader has failed
					failing := make(chan struct{})
					top := trails(t, lanes, func(name string, seq int64) error {
						busy.Add(1)
						defer busy.Add(-1)
						if seq < at {
							return nil
						}
						there.Add(1)
						<-failing
						for range 2000 {
							runtime.Gosched()
						}
						if lane && name == "b" {
							return oops
						}
						return nil
					})
					replay := func() error {
						_, err := headrace.Replay(dir, top, headrace.ReplayOptions{}.WithReader(16, func(seq int64) error {
							if seq < at+behind {
								return nil
							}
							if behind > 16 { // what is behind a whole span has been handed on: both lanes come to it
								await(t, func() bool { return there.Load() == int64(len(lanes)) })
							}
							close(failing)
							if err, ok := what.(error); ok {
								return err
							}
							panic(what)
						}))
						return err
					}
					if _, fails := what.(error); !fails {
						require.PanicsWithValue(t, what, func() { _ = replay() })
					} else if err := replay(); lane {
						require.ErrorIs(t, err, oops)
						var failed *handlers.HandlerError
						require.ErrorAs(t, err, &failed)
						require.Equal(t, at, failed.Sequence)
					} else {
						require.ErrorIs(t, err, torn)
					}
					require.Zero(t, busy.Load(), "a handler runs on")
					awaitGoroutines(t, goroutines)
				})
			}
		}
	}
}
