package headracetest_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/headracetest"
)

// unlike is an application whose topologies differ: build gets the number of the one that is made, 1 for the live one.
func unlike(build func(n int, top *headrace.Topology)) func() *headrace.Topology {
	n := 0
	return func() *headrace.Topology {
		types := event.NewRegistry()
		event.MustRegister[Pay](types, "pay", 1, event.TypeOptions{Kind: event.Command})
		event.MustRegister[Paid](types, "paid", 1)
		event.MustRegister[Deposited](types, "deposited", 1)
		top := headrace.NewTopology(types)
		top.Logic().Stateless()
		n++
		build(n, top)
		return top
	}
}

// A state that is there live alone, or replayed alone, is a difference; a snapshot that does not fit is no proof.
func TestReplayEqualsLive_StatesOfOneSide(t *testing.T) {
	keep := func(top *headrace.Topology) *handlers.Lane {
		l := top.Lane("extra", headrace.LaneOptions{})
		s := handlers.Keep(l, "count", func() *secret { return new(secret) })
		handlers.On(l, "counter", func(c *handlers.Context, _ Paid) error { s.Of(c).N++; return nil })
		return l
	}
	for name, c := range map[string]struct {
		build func(n int, top *headrace.Topology)
		want  string
	}{
		"live alone": {func(n int, top *headrace.Topology) {
			if n == 1 {
				keep(top)
			}
		}, `count of lane "extra": live 1 bytes, replayed none`},
		"replayed alone": {func(n int, top *headrace.Topology) {
			if n > 1 {
				keep(top)
			}
		}, `count of lane "extra": live none, replayed 1 bytes`},
		"another handler": {func(n int, top *headrace.Topology) {
			if l := keep(top); n == 3 { // behind the snapshot
				handlers.On(l, "more", func(*handlers.Context, Deposited) error { return nil })
			}
		}, "the snapshot does not fit: "},
		"the same": {func(_ int, top *headrace.Topology) { keep(top) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			text := failure(t, func(tb testing.TB) {
				headracetest.New(tb, unlike(c.build), headracetest.Options{}).When(Paid{1}).And().ReplayEqualsLive()
			})
			if c.want == "" {
				require.Empty(t, text)
			}
			require.Contains(t, text, c.want)
		})
	}
}

// A crash at any place, not at the first alone: what a handler has told another one in memory is gone only behind its answer.
func TestApp_EveryCrash_TriesEachPlace(t *testing.T) {
	text := failure(t, func(tb testing.TB) {
		headracetest.New(tb, unlike(func(_ int, top *headrace.Topology) {
			told := int64(0)
			handlers.Decide(top.Logic(), "payer", func(c *handlers.Context, p Pay) error { told = p.Amount; return handlers.Emit(c, Paid(p)) })
			handlers.Decide(top.Logic(), "books", func(c *handlers.Context, _ Paid) error { return handlers.Emit(c, Deposited{told}) })
		}), headracetest.Options{}).When(Pay{7}).EveryCrash()
	})
	require.Contains(t, text, `- deposited {"Amount":7}`)
	require.Contains(t, text, `+ deposited {"Amount":0}`)
}

// What a rejection or a failure is expected to say, it must say.
func TestThen_ReasonsAndFailures(t *testing.T) {
	build := unlike(func(_ int, top *headrace.Topology) {
		handlers.Decide(top.Logic(), "payer", func(c *handlers.Context, p Pay) error {
			if p.Amount == 0 {
				return errors.New("the printer is on fire")
			}
			return handlers.Reject(c, "closed", "on Sunday")
		})
		top.Logic().OnFailure("payer", handlers.FailurePolicy{Then: handlers.ThenSkip})
	})
	for _, c := range []struct {
		amount int64
		then   any
		fits   bool
	}{
		{1, handlers.Rejected{Code: "closed"}, true},
		{1, handlers.Rejected{Code: "closed", Reason: "on Sunday"}, true},
		{1, handlers.Rejected{Code: "closed", Reason: "on Monday"}, false},
		{1, &handlers.Rejected{Code: "open"}, false},
		{0, handlers.Failed{}, true},
		{0, handlers.Failed{Handler: "payer", Outcome: handlers.OutcomeSkipped, Attempt: 1}, true},
		{0, handlers.Failed{Handler: "printer"}, false},
		{0, &handlers.Failed{Handler: "payer", Outcome: handlers.OutcomeDead}, false},
		{0, handlers.Failed{Attempt: 2}, false},
	} {
		text := failure(t, func(tb testing.TB) {
			headracetest.New(tb, build, headracetest.Options{}).When(Pay{c.amount}).Then(c.then)
		})
		require.Equal(t, c.fits, text == "", "%+v: %s", c.then, text)
	}
}

// What kind an event is told to be decides whether it is given to a stream.
func TestGiven_KindOfTheMessage(t *testing.T) {
	asked, told := key(Paid{1}), key(Pay{1})
	asked.Meta.Kind, told.Meta.Kind = event.Command, event.Notification
	for want, given := range [][]any{{asked, key(Pay{2})}, {told, asked}, {told, key(Paid{2})}} {
		app := headracetest.New(t, unlike(func(int, *headrace.Topology) {}), headracetest.Options{}).Given(given...)
		require.EqualValues(t, want, app.Engine().StreamVersion("ada"))
	}
}

// A circuit that opens closes when its time has come on the way, not at the end of it; one that stays open ends the waiting.
func TestApp_Advance_Circuits(t *testing.T) {
	for _, mended := range []bool{true, false} {
		var app *headracetest.App[struct{}]
		var called []time.Time
		app = headracetest.New(t, unlike(func(_ int, top *headrace.Topology) {
			top.Effect(handlers.NewEffect("gateway", func(c *handlers.EffectContext, p Pay) error {
				called = append(called, app.Clock().Now())
				if len(called) == 1 || !mended {
					return errors.New("down")
				}
				return handlers.Report(c, Paid(p))
			}, handlers.EffectOptions{
				Workers: 1, Circuit: handlers.Circuit{Failures: 1, OpenFor: 10 * time.Minute}, Failure: handlers.FailurePolicy{Then: handlers.ThenDeadLetter},
			}), headrace.LaneOptions{})
		}), headracetest.Options{})
		begin := app.Clock().Now()
		app.Publish(Pay{1}, Pay{2})
		step := app.WhenAdvanced(time.Hour)
		require.Equal(t, []time.Time{begin, begin.Add(10 * time.Minute)}, called)
		if mended {
			step.Then(Paid{2})
		}
	}
}

// Who has stopped waiting for a clock gets nothing from it.
func TestClock_Reach_Stopped(t *testing.T) {
	begin := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	c := headracetest.NewClock(begin)
	gone, stop := c.Reach(begin.Add(time.Hour))
	waits, _ := c.Reach(begin.Add(time.Hour))
	stop()
	c.Advance(time.Hour)
	require.Equal(t, begin.Add(time.Hour), <-waits)
	require.Empty(t, gone)
}

// A test that ends leaves no engine behind.
func TestApp_Cleanup_ClosesTheEngine(t *testing.T) {
	var e *headrace.Engine
	t.Run("a test", func(t *testing.T) {
		e = headracetest.New(t, unlike(func(int, *headrace.Topology) {}), headracetest.Options{}).Engine()
		require.Equal(t, headrace.StateRunning, e.Health().State)
	})
	require.NotEqual(t, headrace.StateRunning, e.Health().State)
}
