package headrace_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
)

// A handler that fails takes back what it has changed itself, and nothing of what handlers before it made
// of the same event.
func TestKeep_HandlersBeforeTheOneThatFails_StandLiveAndAtReplay(t *testing.T) {
	build := func() (*headrace.Topology, *handlers.State[till]) {
		top := headrace.NewTopology(registry(t))
		l := top.Logic()
		state := handlers.Keep(l, "till", newTill)
		handlers.Fold(l, func(c *handlers.Context, d deposit) error { state.Of(c).Events++; return nil })
		handlers.On(l, "unlucky", func(c *handlers.Context, d deposit) error {
			state.Of(c).Events += 1000
			if d.Amount%4 == 1 {
				return errBroken
			}
			return nil
		})
		handlers.On(l, "till", func(c *handlers.Context, d deposit) error {
			state.Of(c).Sums[d.Account] += d.Amount
			if d.Amount%2 == 1 {
				return errBroken
			}
			return nil
		})
		top.AnsweredByMany("bank.deposit")
		l.OnFailure("unlucky", handlers.FailurePolicy{Then: handlers.ThenSkip})
		l.OnFailure("till", handlers.FailurePolicy{Then: handlers.ThenSkip})
		return top, state
	}
	dir := t.TempDir()
	top, state := build()
	e, err := headrace.Open(dir, top, small())
	require.NoError(t, err)
	for i := range int64(8) {
		publish(t, producer(t, e, "p"), deposit{1, i})
	}
	closeEngine(t, e)
	want := till{Sums: map[int64]int64{1: 0 + 2 + 4 + 6}, Events: 8 + 6*1000}
	require.Equal(t, want, tillOf(state))
	again, replayed := build()
	_, err = headrace.Replay(dir, again, headrace.ReplayOptions{})
	require.NoError(t, err)
	require.Equal(t, want, tillOf(replayed))
}

func TestKeep_NothingMade_IsAFault(t *testing.T) {
	top := headrace.NewTopology(registry(t))
	handlers.Keep(top.Logic(), "till", func() *till { return nil })
	_, err := headrace.Open(t.TempDir(), top, small())
	require.ErrorContains(t, err, "makes nil")
}

// What a handler with a timeout derives from its Context ends with that, and looks at nothing of it afterwards.
func TestFailure_Timeout_DerivedContexts(t *testing.T) {
	top := headrace.NewTopology(registry(t))
	type key struct{}
	handlers.Decide(top.Logic(), "work", func(c *handlers.Context, d deposit) error {
		ctx, cancel := context.WithTimeout(context.WithValue(c, key{}, d.Amount), time.Hour)
		defer cancel()
		seen := make(chan any)
		go func() { seen <- ctx.Value(key{}) }()
		if <-seen != any(d.Amount) || !handlers.InLane(ctx) {
			return errBroken
		}
		return ctx.Err()
	})
	top.Logic().OnFailure("work", handlers.FailurePolicy{Timeout: time.Hour})
	e, err := headrace.Open(t.TempDir(), top, small())
	require.NoError(t, err)
	for i := range int64(300) {
		publish(t, producer(t, e, "p"), deposit{1, i})
	}
	closeEngine(t, e)
}

// A Call that is repeated after its handler has failed gets what came of the command in the end.
func TestCall_RepeatedAfterAFailure_GetsTheAnswer(t *testing.T) {
	dir, id := t.TempDir(), event.NewID()
	o, clock := withClock(newYear)
	top := headrace.NewTopology(registry(t))
	handlers.Decide(top.Logic(), "teller", func(c *handlers.Context, d deposit) error {
		if c.Attempt() < 3 {
			return errBroken
		}
		return handlers.Emit(c, deposited(d))
	})
	top.Logic().OnFailure("teller", handlers.FailurePolicy{Retries: 1, Then: handlers.ThenDeadLetter})
	e := open(t, dir, app{topology: top}, o)
	call := func() (headrace.Reply[deposited], error) {
		return headrace.Call[deposited](limit(t), producer(t, e, "p"), deposit{1, 7}, headrace.Meta{Key: "1", ID: id})
	}
	var f *headrace.FailedError
	for range 2 { // the second time nothing else has come of it
		_, err := call()
		require.ErrorAs(t, err, &f)
		require.Equal(t, handlers.OutcomeRetry, f.Outcome.Outcome)
	}
	command := f.Command
	clock.Advance(time.Hour)
	awaitParked(t, e, func(p []handlers.Parked) bool { return len(p) == 1 && p[0].Dead })
	_, err := call()
	require.ErrorAs(t, err, &f)
	require.Equal(t, handlers.OutcomeDead, f.Outcome.Outcome)
	_, err = e.Redrive(limit(t), "teller", command)
	require.NoError(t, err)
	awaitParked(t, e, func(p []handlers.Parked) bool { return len(p) == 0 })
	r, err := call()
	require.NoError(t, err)
	require.Equal(t, deposited{1, 7}, r.Value)
	require.Equal(t, command, r.Command)
	closeEngine(t, e)
}

// The answer to a repeated Call may stand in the log under a former name of its type.
func TestCall_AnswerUnderAFormerName(t *testing.T) {
	dir, id := t.TempDir(), event.NewID()
	type ask struct{ N int }
	type answer struct{ N int }
	for _, name := range []string{"answer", "reply"} {
		reg := event.NewRegistry()
		event.MustRegister[ask](reg, "ask", 1)
		event.MustRegister[answer](reg, name, 1)
		if name == "reply" {
			require.NoError(t, reg.Rename("answer", name))
		}
		top := headrace.NewTopology(reg)
		handlers.On(top.Logic(), "h", func(c *handlers.Context, a ask) error { return handlers.Emit(c, answer(a)) })
		e := open(t, dir, app{topology: top}, small())
		r, err := headrace.Call[answer](limit(t), producer(t, e, "p"), ask{5}, headrace.Meta{ID: id})
		require.NoError(t, err, name)
		require.Equal(t, answer{5}, r.Value)
		closeEngine(t, e)
	}
}

// Whoever sends a command that is as large as can be, and has it rejected with its own words, stops nobody.
func TestReject_LongReason_IsCut(t *testing.T) {
	text := strings.Repeat("é", 1<<20)
	a := newAppWith(t, func(c *handlers.Context, d deposit) error { return handlers.Reject(c, text, text) })
	e := open(t, t.TempDir(), a, small())
	_, err := headrace.Call[deposited](limit(t), producer(t, e, "p"), deposit{1, 7}, headrace.Meta{})
	var r *headrace.RejectedError
	require.ErrorAs(t, err, &r)
	require.LessOrEqual(t, len(r.Reason), 4096)
	require.True(t, strings.HasPrefix(text, r.Reason), "between two runes")
	require.LessOrEqual(t, len(r.Code), 256)
	closeEngine(t, e)
}

// A command that is published for later keeps the version that it expects.
func TestPublishAt_KeepsTheStreamVersion(t *testing.T) {
	o, _ := withClock(newYear)
	versions := make(chan int64, 1)
	a := newAppWith(t, func(c *handlers.Context, d deposit) error {
		versions <- c.Event().StreamVersion()
		return nil
	})
	e := open(t, t.TempDir(), a, o)
	_, err := headrace.PublishAt(limit(t), producer(t, e, "p"), deposit{1, 1}, newYear, "", headrace.Meta{Key: "k", StreamVersion: 3})
	require.NoError(t, err)
	require.EqualValues(t, 3, <-versions)
	closeEngine(t, e)
}

// A handler that fails again when its event is delivered again takes back what it has changed; the handlers before it have
// had the event the first time, and do not have it again.
func TestKeep_HandlersBefore_WhenItIsTriedAgain(t *testing.T) {
	build := func() (*headrace.Topology, *handlers.State[till]) {
		top := headrace.NewTopology(registry(t))
		l := top.Logic()
		state := handlers.Keep(l, "till", newTill)
		handlers.Fold(l, func(c *handlers.Context, d deposit) error { state.Of(c).Events++; return nil })
		handlers.On(l, "unlucky", func(c *handlers.Context, d deposit) error {
			state.Of(c).Events += 1000
			if c.Attempt() < 3 {
				return errBroken
			}
			return nil
		})
		l.OnFailure("unlucky", handlers.FailurePolicy{Retries: 2, Backoff: handlers.Backoff{First: time.Second}})
		return top, state
	}
	dir := t.TempDir()
	o, clock := withClock(newYear)
	top, state := build()
	e, err := headrace.Open(dir, top, o)
	require.NoError(t, err)
	publish(t, producer(t, e, "p"), deposit{1, 1})
	for attempt := 1; attempt <= 2; attempt++ {
		require.NoError(t, e.WaitIdle(limit(t)))
		require.Equal(t, 1, tillOf(state).Events, "after attempt %d", attempt)
		clock.Advance(time.Minute)
	}
	require.NoError(t, e.WaitIdle(limit(t)))
	closeEngine(t, e)
	require.Equal(t, 1001, tillOf(state).Events)
	again, replayed := build()
	_, err = headrace.Replay(dir, again, headrace.ReplayOptions{})
	require.NoError(t, err)
	require.Equal(t, tillOf(state), tillOf(replayed))
}
