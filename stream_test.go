package headrace_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
)

func noted(texts ...string) []headrace.Message {
	var all []headrace.Message
	for _, s := range texts {
		all = append(all, headrace.Message{Value: note{s}})
	}
	return all
}

func TestAppend_Expectations(t *testing.T) {
	dir := t.TempDir()
	e := open(t, dir, newApp(t), small())
	ctx := limit(t)
	stale := func(err error, expected, actual int64) {
		t.Helper()
		var v *headrace.VersionError
		require.ErrorAs(t, err, &v)
		require.Equal(t, headrace.VersionError{Stream: "s", Expected: expected, Actual: actual}, *v)
	}
	_, err := e.Append(ctx, "s", headrace.ExpectExists, noted("x")...)
	stale(err, headrace.ExpectExists, 0)
	_, err = e.Append(ctx, "s", 3, noted("x")...)
	stale(err, 3, 0)
	one, err := e.Append(ctx, "s", headrace.ExpectNone, noted("a", "b", "c")...)
	require.NoError(t, err)
	require.Equal(t, int64(3), one.Version)
	_, err = e.Append(ctx, "s", headrace.ExpectNone, noted("x")...)
	stale(err, headrace.ExpectNone, 3)
	_, err = e.Append(ctx, "s", 2, noted("x")...)
	stale(err, 2, 3)
	two, err := e.Append(ctx, "s", 3, noted("d")...)
	require.NoError(t, err)
	require.Equal(t, headrace.Appended{Sequence: one.Sequence + 3, Version: 4}, two)
	_, err = e.Append(ctx, "s", headrace.ExpectAny, noted("e")...)
	require.NoError(t, err)
	_, err = e.Append(ctx, "s", headrace.ExpectExists, noted("f")...)
	require.NoError(t, err)
	require.Equal(t, int64(6), e.StreamVersion("s"))
	require.Zero(t, e.StreamVersion("other"))

	for name, bad := range map[string]func() error{
		"no stream":   func() error { _, err := e.Append(ctx, "", headrace.ExpectAny, noted("x")...); return err },
		"expectation": func() error { _, err := e.Append(ctx, "s", -3, noted("x")...); return err },
		"another key": func() error { return appendOne(e, headrace.Message{Value: note{}, Meta: headrace.Meta{Key: "t"}}) },
		"own number": func() error {
			return appendOne(e, headrace.Message{Value: note{}, Meta: headrace.Meta{StreamVersion: 7}})
		},
		"command": func() error { return appendOne(e, headrace.Message{Value: deposit{}}) },
		"made a command": func() error {
			return appendOne(e, headrace.Message{Value: note{}, Meta: headrace.Meta{Kind: event.Command}})
		},
	} {
		var field *event.FieldError
		require.ErrorAs(t, bad(), &field, name)
	}
	_, err = e.Append(ctx, "s", headrace.ExpectAny)
	require.ErrorIs(t, err, headrace.ErrEmptyBatch)
	require.ErrorIs(t, appendOne(e, headrace.Message{Value: 7}), event.ErrUnregistered)
	require.ErrorIs(t, appendOne(e, headrace.Message{Value: refusing{}}), errRefusing)
	_, err = headrace.Publish(ctx, producer(t, e, "web"), note{}, headrace.Meta{Key: "s", StreamVersion: 7})
	require.ErrorIs(t, err, event.ErrHeader)
	require.Equal(t, int64(6), e.StreamVersion("s"), "what fails takes no number")
	closeEngine(t, e)
	_, err = e.Append(ctx, "s", headrace.ExpectAny, noted("x")...)
	require.ErrorIs(t, err, headrace.ErrClosed)
	log := readLog(t, dir)
	for i, l := range log {
		if l.seq == one.Sequence {
			require.NotZero(t, l.flags, "several events are one atomic batch")
			require.Equal(t, int64(1), log[i].header.StreamVersion)
			require.Equal(t, int64(3), log[i+2].header.StreamVersion)
		}
	}
}

func appendOne(e *headrace.Engine, m headrace.Message) error {
	_, err := e.Append(context.Background(), "s", headrace.ExpectAny, m)
	return err
}

func TestAppend_RepeatedById(t *testing.T) {
	dir := t.TempDir()
	batch := noted("a", "b")
	for i := range batch {
		batch[i].Meta.ID = event.NewID()
	}
	e := open(t, dir, newApp(t), small())
	_, err := e.Append(limit(t), "s", headrace.ExpectNone, noted("before")...)
	require.NoError(t, err)
	first, err := e.Append(limit(t), "s", 1, batch...)
	require.NoError(t, err)
	want := headrace.Appended{Sequence: first.Sequence, Version: 3, Repeated: true}
	for range 2 {
		again, err := e.Append(limit(t), "s", 1, batch...) // the version that it expected is gone
		require.NoError(t, err)
		require.Equal(t, want, again)
		_, err = e.Append(limit(t), "s", headrace.ExpectAny, batch[0], headrace.Message{Value: note{"new"}})
		require.ErrorIs(t, err, headrace.ErrPartialRepeat)
		_, err = e.Append(limit(t), "other", headrace.ExpectAny, batch...)
		require.ErrorIs(t, err, handlers.ErrIDConflict)
		closeEngine(t, e)
		e = open(t, dir, newApp(t), small())
	}
	require.Equal(t, int64(3), e.StreamVersion("s"))
	closeEngine(t, e)
}

func TestAppend_InAHandler_WouldDeadlock(t *testing.T) {
	var e *headrace.Engine
	got := make(chan error, 2)
	started := make(chan struct{})
	a := newAppWith(t, func(c *handlers.Context, _ deposit) error {
		<-started
		_, err := e.Append(c, "s", headrace.ExpectAny, noted("x")...)
		got <- err
		_, err = e.Append(context.Background(), "s", headrace.ExpectAny, noted("x")...)
		got <- err
		return nil
	})
	e = open(t, t.TempDir(), a, small())
	close(started)
	publish(t, producer(t, e, "web"), deposit{})
	require.ErrorIs(t, <-got, headrace.ErrWouldDeadlock)
	require.ErrorIs(t, <-got, headrace.ErrWouldDeadlock)
	closeEngine(t, e)
}

func TestEmit_NumberThatDoesNotFollow_StopsTheLane(t *testing.T) {
	a := newAppWith(t, func(c *handlers.Context, d deposit) error {
		return handlers.EmitWith(c, note{}, handlers.EmitOptions{StreamVersion: d.Amount})
	})
	e := open(t, t.TempDir(), a, small())
	for i := range int64(3) {
		_, err := headrace.Publish(limit(t), producer(t, e, "web"), deposit{Amount: i + 1}, headrace.Meta{Key: "s"})
		require.NoError(t, err)
	}
	_, err := headrace.Publish(limit(t), producer(t, e, "web"), deposit{Amount: 5}, headrace.Meta{Key: "s"})
	require.NoError(t, err)
	<-e.Halted()
	var v *headrace.VersionError
	require.ErrorAs(t, e.Close(limit(t)), &v)
	require.Equal(t, headrace.VersionError{Stream: "s", Expected: 4, Actual: 3}, *v)
}

// A handler's batch that fails after its events have got their numbers gives them back: whoever appends next, before the engine
// has halted or in the next one, goes on without a gap.
func TestEmit_FailsBehindItsNumbers_TakesNone(t *testing.T) {
	to := func(c *handlers.Context, stream string, version int64) error {
		return handlers.EmitWith(c, note{"x"}, handlers.EmitOptions{Key: stream, StreamVersion: version})
	}
	refuses := func(*handlers.Context, note) error { return errRefusing }
	for name, emits := range map[string]struct {
		fold  func(*handlers.Context, note) error
		third int64 // the number of the third event
	}{
		"a later number does not follow": {nil, 9},
		"it cannot be folded":            {refuses, handlers.NextVersion},
		"the fold panics":                {func(*handlers.Context, note) error { panic("fold") }, handlers.NextVersion},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			top := headrace.NewTopology(registry(t))
			handlers.Decide(top.Logic(), "teller", func(c *handlers.Context, _ deposit) error {
				return errors.Join(to(c, "s", handlers.NextVersion), to(c, "t", handlers.NextVersion), to(c, "s", emits.third))
			})
			if emits.fold != nil {
				handlers.Evolve(top.Logic(), emits.fold)
			}
			e, err := headrace.Open(dir, top, small())
			require.NoError(t, err)
			publish(t, producer(t, e, "web"), deposit{1, 1})
			<-e.Halted()
			require.Zero(t, e.StreamVersion("s"))
			require.Zero(t, e.StreamVersion("t"))
			require.Error(t, e.Close(limit(t)))

			e = open(t, dir, newAppWith(t, nil), small())
			for i, stream := range []string{"s", "t", "s"} {
				expected := int64(i / 2)
				done, err := e.Append(limit(t), stream, expected, noted("a")...)
				require.NoError(t, err)
				require.Equal(t, expected+1, done.Version)
			}
			closeEngine(t, e)
			require.NoError(t, e.Err())
		})
	}
}

// streamed is one event of the reference: the log, read with nothing but the journal.
type streamed struct {
	seq, version int64
}

func reference(log []logged) map[string][]streamed {
	all := map[string][]streamed{}
	for _, l := range log {
		if h := l.header; l.typeID >= handlers.FirstUserType && h.Kind != event.Command && h.StreamVersion > 0 {
			all[h.Key] = append(all[h.Key], streamed{l.seq, h.StreamVersion})
		}
	}
	return all
}

// Many append and expect the version that they have seen, while a lane decides into the same streams. The log then has every number
// once and in order; as many appends succeeded as the log has; and ReadStream finds what the reference finds,
// live and after opening again, with an index that keeps everything, nothing, and next to nothing.
func TestStreams_AppendsBesideDecisions(t *testing.T) {
	const streams, rounds = 5, 60
	for _, indexBytes := range []int64{0, -1, 40} {
		t.Run(fmt.Sprint("index=", indexBytes), func(t *testing.T) {
			dir := t.TempDir()
			o := small()
			o.StreamIndexBytes = indexBytes
			decide := func() app {
				a := newAppWith(t, nil)
				handlers.Evolve(a.topology.Logic(), func(*handlers.Context, deposited) error {
					runtime.Gosched() // between the number and the queue
					return nil
				})
				handlers.Decide(a.topology.Logic(), "teller", func(c *handlers.Context, d deposit) error {
					next := handlers.EmitOptions{StreamVersion: handlers.NextVersion}
					if err := handlers.EmitWith(c, deposited(d), next); err != nil {
						return err
					}
					return handlers.EmitWith(c, note{"of a handler"}, next)
				})
				return a
			}
			e := open(t, dir, decide(), o)
			ctx := limit(t)
			var wg sync.WaitGroup
			var mu sync.Mutex
			appended := map[string]int64{}
			for w := range 4 {
				wg.Go(func() {
					rnd := rand.New(rand.NewPCG(uint64(w), 1))
					p, err := e.Producer(fmt.Sprint("writer-", w))
					if err != nil {
						t.Error(err)
						return
					}
					for range rounds {
						s := fmt.Sprint("s-", rnd.IntN(streams))
						if rnd.IntN(3) == 0 {
							if _, err := headrace.Publish(ctx, p, deposit{1, 1}, headrace.Meta{Key: s}); err != nil {
								t.Error(err)
							}
							continue
						}
						n := 1 + rnd.IntN(3)
						done, err := p.Append(ctx, s, e.StreamVersion(s), noted(make([]string, n)...)...)
						var stale *headrace.VersionError
						if errors.As(err, &stale) {
							if stale.Actual == stale.Expected || stale.Stream != s {
								t.Error(err)
							}
							continue
						}
						if err != nil {
							t.Error(err)
							continue
						}
						seen := 0 // its own writes
						for d, err := range e.ReadStream(ctx, s, done.Version-int64(n)+1, headrace.StreamOptions{}) {
							if err != nil {
								t.Error(err)
							}
							if d.Sequence == done.Sequence+int64(seen) && seen < n {
								seen++
							}
						}
						if seen != n {
							t.Errorf("%d of %d events are there", seen, n)
						}
						mu.Lock()
						appended[s] += int64(n)
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			require.NoError(t, e.WaitFor(ctx, "logic", e.Written()))
			crashed := copyDir(t, dir)
			closeEngine(t, e)
			want := reference(readLog(t, dir))
			for s, events := range want {
				own := int64(0)
				for i, x := range events {
					require.Equal(t, int64(i+1), x.version, "stream %s", s)
				}
				for _, l := range readLog(t, dir) {
					if l.header.Key == s && l.header.StreamVersion > 0 && !l.header.HasOrigin {
						own++
					}
				}
				require.Equal(t, appended[s], own, "stream %s", s)
			}
			for _, d := range []string{dir, crashed} {
				e = open(t, d, decide(), o)
				compareStreams(t, e, reference(readLog(t, d)))
				if d == dir {
					_, err := e.Append(ctx, "s-0", int64(len(want["s-0"])), noted("goes on")...)
					require.NoError(t, err)
				}
				closeEngine(t, e)
			}
		})
	}
}

// Answers of several events that a crash has taken are decided at Open, and are then where ReadStream looks for them.
func TestStreams_OwedAnswers_AreFound(t *testing.T) {
	teller := func() app {
		a := newAppWith(t, nil)
		handlers.Evolve(a.topology.Logic(), func(*handlers.Context, deposited) error { return nil })
		handlers.Decide(a.topology.Logic(), "teller", func(c *handlers.Context, d deposit) error {
			next := handlers.EmitOptions{StreamVersion: handlers.NextVersion}
			return errors.Join(handlers.EmitWith(c, deposited(d), next), handlers.EmitWith(c, note{"1"}, next), handlers.EmitWith(c, note{"2"}, next))
		})
		return a
	}
	dir, o := t.TempDir(), small()
	e := open(t, dir, teller(), o)
	p := producer(t, e, "web")
	var seq int64
	for i := range int64(3) {
		var err error
		seq, err = headrace.Publish(limit(t), p, deposit{i, i}, headrace.Meta{Key: "s"})
		require.NoError(t, err)
		require.NoError(t, e.WaitIdle(limit(t)))
	}
	crashed := copyDir(t, dir)
	closeEngine(t, e)
	cutBehind(t, crashed, seq)

	e = open(t, crashed, teller(), o)
	want := reference(readLog(t, crashed))
	require.Len(t, want["s"], 9)
	compareStreams(t, e, want)
	closeEngine(t, e)
}

// compareStreams holds ReadStream against the reference for every stream, random starts and bounds, both directions.
func compareStreams(t *testing.T, e *headrace.Engine, want map[string][]streamed) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(3, 3))
	for s, events := range want {
		require.Equal(t, int64(len(events)), e.StreamVersion(s))
		for range 12 {
			from := rnd.Int64N(int64(len(events)) + 2)
			o := headrace.StreamOptions{Backward: rnd.IntN(2) == 0}
			if rnd.IntN(2) == 0 {
				o.UntilSequence = events[rnd.IntN(len(events))].seq - rnd.Int64N(2)
			}
			expect := slices.Clone(events)
			if o.UntilSequence > 0 {
				expect = slices.DeleteFunc(expect, func(x streamed) bool { return x.seq > o.UntilSequence })
			}
			expect = slices.DeleteFunc(expect, func(x streamed) bool {
				return from > 0 && (o.Backward && x.version > from || !o.Backward && x.version < from)
			})
			if o.Backward {
				slices.Reverse(expect)
			}
			var got []streamed
			for d, err := range e.ReadStream(limit(t), s, from, o) {
				require.NoError(t, err)
				require.Equal(t, s, d.Event.Key())
				got = append(got, streamed{d.Sequence, d.Event.StreamVersion()})
			}
			require.Len(t, got, len(expect), "stream %s from %d, %+v", s, from, o)
			require.True(t, slices.Equal(expect, got), "stream %s from %d, %+v", s, from, o)
		}
	}
}

func TestReadStream_UntilTime_BreakAndErrors(t *testing.T) {
	e := open(t, t.TempDir(), newApp(t), small())
	ctx := limit(t)
	var times []time.Time
	for range 300 {
		done, err := e.Append(ctx, "s", headrace.ExpectAny, noted("x")...)
		require.NoError(t, err)
		require.NoError(t, e.WaitWritten(ctx, done.Sequence))
	}
	for d, err := range e.ReadStream(ctx, "s", 0, headrace.StreamOptions{}) {
		require.NoError(t, err)
		times = append(times, d.Time)
	}
	require.Len(t, times, 300)
	for _, at := range []int{0, 127, 128, 200, 299} {
		want := 0
		for _, x := range times {
			if !x.After(times[at]) {
				want++
			}
		}
		for _, backward := range []bool{false, true} {
			n := 0
			for _, err := range e.ReadStream(ctx, "s", 0, headrace.StreamOptions{UntilTime: times[at], Backward: backward}) {
				require.NoError(t, err)
				n++
			}
			require.Equal(t, want, n)
		}
	}
	for range e.ReadStream(ctx, "s", 0, headrace.StreamOptions{}) {
		break // and nothing panics
	}
	for range e.ReadStream(ctx, "nobody", 0, headrace.StreamOptions{}) {
		t.Fatal("it has no events")
	}
	over, cancel := context.WithCancel(ctx)
	cancel()
	n := 0
	for _, err := range e.ReadStream(over, "s", 0, headrace.StreamOptions{}) {
		require.ErrorIs(t, err, context.Canceled)
		n++
	}
	require.Equal(t, 1, n)
	for _, err := range e.ReadStream(ctx, "s", -1, headrace.StreamOptions{}) {
		require.ErrorContains(t, err, "want at least 0")
	}
	closeEngine(t, e)
}
