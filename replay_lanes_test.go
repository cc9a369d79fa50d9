package headrace_test

import (
	"errors"
	"fmt"
	"runtime"
	"testing"

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
	dir, before, _ := trailLog(t, lanes, 1500)
	deposits := map[int64]bool{}
	_, err := headrace.Replay(dir, trails(t, []string{"x"}, func(_ string, seq int64) error { deposits[seq] = true; return nil }), headrace.ReplayOptions{})
	require.NoError(t, err)
	at := func(seq int64) int64 { // a deposit
		for !deposits[seq] {
			seq++
		}
		return seq
	}
	early, late := at(before+100), at(before+700)
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
				for ctx := limit(t); runtime.NumGoroutine() > goroutines && ctx.Err() == nil; {
					runtime.Gosched()
				}
				require.LessOrEqual(t, runtime.NumGoroutine(), goroutines, "a goroutine is left")
			})
		}
	}
}
