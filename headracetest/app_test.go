package headracetest_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/aggregate"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/headracetest"
	"github.com/headrace/headrace/internal/system"
	"github.com/headrace/headrace/journal"
)

type (
	Deposit   struct{ Amount int64 }
	Withdraw  struct{ Amount int64 }
	Deposited struct{ Amount int64 }
	Withdrawn struct{ Amount int64 }
	Remind    struct{ Text string }
	Reminded  struct{ Text string }
	Pay       struct{ Amount int64 }
	Paid      struct{ Amount int64 }

	Account struct{ Balance int64 }
	Sums    struct{ In, Out int64 }
)

// parts is what the tests look at, and how they break the application.
type parts struct{ sums *handlers.Projection[Sums] }

// faults are the ways in which an application is broken.
type faults struct {
	clock   bool          // a handler asks the system, as it were
	hidden  *atomic.Int64 // a handler remembers something that is not in its state
	lossy   bool          // a state's encoding leaves something out
	unnamed bool          // a lane has a state that nobody has declared
	stuck   bool          // a handler answers itself for ever
}

type secret struct{ N, Lost int64 }

func (s *secret) AppendSnapshot(dst []byte) ([]byte, error) {
	return fmt.Appendf(dst, "%d", s.N), nil
}
func (s *secret) DecodeSnapshot(data []byte) error {
	_, err := fmt.Sscan(string(data), &s.N)
	return err
}
func (s *secret) SnapshotSchema() string { return "secret" }

var ticks atomic.Int64

func bank(f faults) func() (*headrace.Topology, parts) {
	return func() (*headrace.Topology, parts) {
		types := event.NewRegistry()
		event.MustRegister[Deposit](types, "deposit", 1, event.TypeOptions{Kind: event.Command})
		event.MustRegister[Withdraw](types, "withdraw", 1, event.TypeOptions{Kind: event.Command})
		event.MustRegister[Deposited](types, "deposited", 1)
		event.MustRegister[Withdrawn](types, "withdrawn", 1)
		event.MustRegister[Remind](types, "remind", 1, event.TypeOptions{Kind: event.Command})
		event.MustRegister[Reminded](types, "reminded", 1)
		event.MustRegister[Pay](types, "pay", 1, event.TypeOptions{Kind: event.Command})
		event.MustRegister[Paid](types, "paid", 1)
		top := headrace.NewTopology(types)

		accounts := aggregate.Define[Account]("account")
		aggregate.Evolve(accounts, func(a *Account, e Deposited) { a.Balance += e.Amount })
		aggregate.Evolve(accounts, func(a *Account, e Withdrawn) { a.Balance -= e.Amount })
		aggregate.Handle(accounts, func(c *aggregate.Context[Account], cmd Deposit) error { return aggregate.Emit(c, Deposited(cmd)) })
		aggregate.Handle(accounts, func(c *aggregate.Context[Account], cmd Withdraw) error {
			if c.State().Balance < cmd.Amount {
				return c.Reject("insufficient-funds", "balance is %d", c.State().Balance)
			}
			return aggregate.Emit(c, Withdrawn(cmd))
		})
		if err := accounts.Attach(top.Logic()); err != nil {
			panic(err)
		}

		side := top.Lane("side", headrace.LaneOptions{})
		state := handlers.Keep(side, "seen", func() *secret { return new(secret) })
		handlers.On(side, "reminders", func(c *handlers.Context, r Remind) error {
			s := state.Of(c)
			s.N++
			if f.clock {
				s.N += ticks.Add(1)
			}
			if f.hidden != nil {
				r.Text = fmt.Sprint(r.Text, f.hidden.Add(1))
			}
			if f.stuck {
				return handlers.Emit(c, r)
			}
			return handlers.Schedule(c, Reminded(r), c.Time().Add(time.Hour), handlers.ScheduleOptions{})
		})
		handlers.On(side, "again", func(c *handlers.Context, r Reminded) error {
			if r.Text != "twice" {
				return nil
			}
			return handlers.Schedule(c, Reminded{"second"}, c.Time().Add(time.Hour), handlers.ScheduleOptions{})
		})
		if f.unnamed {
			n := 0
			l := top.Lane("unnamed", headrace.LaneOptions{})
			handlers.Fold(l, func(*handlers.Context, Deposited) error { n++; return nil })
		}
		if f.lossy {
			l := top.Lane("lossy", headrace.LaneOptions{})
			lossy := handlers.Keep(l, "lossy", func() *forgetful { return new(forgetful) })
			handlers.Fold(l, func(c *handlers.Context, d Deposited) error { lossy.Of(c).N += d.Amount; return nil })
		}
		top.Effect(handlers.NewEffect("gateway", func(c *handlers.EffectContext, p Pay) error {
			return handlers.Report(c, Paid(p))
		}, handlers.EffectOptions{}), headrace.LaneOptions{})

		sums := handlers.NewProjection("sums", new(Sums))
		handlers.Apply(sums, func(s *Sums, _ *handlers.Context, e Deposited) error { s.In += e.Amount; return nil })
		handlers.Apply(sums, func(s *Sums, _ *handlers.Context, e Withdrawn) error { s.Out += e.Amount; return nil })
		top.Project(sums, headrace.LaneOptions{})
		return top, parts{sums}
	}
}

// forgetful comes back from a snapshot with something else.
type forgetful struct{ N int64 }

func (s *forgetful) AppendSnapshot(dst []byte) ([]byte, error) {
	return fmt.Appendf(dst, "%d", s.N), nil
}
func (s *forgetful) DecodeSnapshot(data []byte) error {
	_, err := fmt.Sscan(string(data), &s.N)
	s.N /= 2
	return err
}
func (s *forgetful) SnapshotSchema() string { return "forgetful" }

func key(v any) headrace.Message { return headracetest.Key("ada", v) }

func TestApp_GivenWhenThen(t *testing.T) {
	app := headracetest.NewWith(t, bank(faults{}), headracetest.Options{})
	app.Given(key(Deposited{100}), key(Deposit{5}), Remind{"past"}).
		When(key(Withdraw{70})).Then(Withdrawn{70}).
		When(key(Withdraw{70})).ThenRejected("insufficient-funds").
		When(headracetest.Key("bob", Withdraw{1})).Then(handlers.Rejected{Code: "insufficient-funds", Reason: "balance is 0"}).
		When(key(Deposit{1}), key(Deposit{2})).Then(key(Deposited{1}), &headrace.Message{Value: &Deposited{2}}).
		When(Pay{3}).Then(Paid{3}).
		When(key(Deposit{4}), key(Withdraw{9})).ThenIncludes(Withdrawn{9}).
		When(Reminded{"x"}).ThenNothing().
		ReplayEqualsLive()
	require.Equal(t, []any{&Deposited{8}}, app.When(key(Deposit{8})).Events())
	app.Parts().sums.View(func(s *Sums, _ int64) { require.Equal(t, Sums{115, 79}, *s) })
	require.Zero(t, closings(t, app.Dir()))
	app.Reopen().ReplayEqualsLive()
	require.Positive(t, closings(t, app.Dir()))
	app.Parts().sums.View(func(s *Sums, _ int64) { require.Equal(t, Sums{115, 79}, *s) })
}

func TestApp_Advance_FiresEachTimerAtItsTime(t *testing.T) {
	app := headracetest.NewWith(t, bank(faults{}), headracetest.Options{})
	app.When(Remind{"twice"}).ThenNothing()
	app.WhenAdvanced(59 * time.Minute).ThenNothing()
	app.WhenAdvanced(time.Minute).EveryCrash().Then(Reminded{"twice"})
	app.When(Remind{"twice"}).And().WhenAdvanced(10*time.Hour).Then(Reminded{"second"}, Reminded{"twice"}, Reminded{"second"})
	app.ReplayEqualsLive()
	require.Equal(t, time.Date(2030, 1, 1, 11, 0, 0, 0, time.UTC), app.Clock().Now())
}

// A crash closes nothing, takes nothing that was in the log, and what was owed is answered.
func TestApp_Crash_AnywhereLosesNothing(t *testing.T) {
	app := headracetest.NewWith(t, bank(faults{}), headracetest.Options{})
	want := int64(0)
	for i := range int64(8) {
		for k := range int64(20) {
			app.Publish(key(Deposit{i + k}), Pay{k})
			want += i + k
		}
		ctx := t.Context()
		require.NoError(t, app.Engine().WaitWritten(ctx, app.Engine().Health().Published))
		app.Crash().Settle()
		require.Zero(t, closings(t, app.Dir()), "crash %d", i)
		app.Parts().sums.View(func(s *Sums, _ int64) { require.Equal(t, want, s.In, "crash %d", i) })
		require.Zero(t, app.Engine().Stats().Effects[0].Waiting)
		app.ReplayEqualsLive()
	}
}

// closings is how often the engine of a log was closed in order.
func closings(t *testing.T, dir string) (n int) {
	r, err := journal.OpenReader(dir, 0, journal.ReaderOptions{Internal: true, Types: []uint16{system.ProgressID}})
	require.NoError(t, err)
	defer r.Close()
	_, err = r.Read(func(rec journal.Record) error {
		if rec.Kind == journal.KindCheckpoint && rec.Type == system.ProgressID {
			n++
		}
		return nil
	})
	require.NoError(t, err)
	return n
}

func TestApp_EveryCrash(t *testing.T) {
	app := headracetest.NewWith(t, bank(faults{}), headracetest.Options{})
	app.Given(key(Deposited{100}))
	app.When(key(Withdraw{1}), key(Withdraw{200}), Pay{1}, key(Withdraw{2})).EveryCrash().
		ThenIncludes(Withdrawn{1}, handlers.Rejected{Code: "insufficient-funds"}, Withdrawn{2})
}

// fakeT is a testing.TB whose test may fail.
type fakeT struct {
	testing.TB
	text strings.Builder
}

func (f *fakeT) Fatalf(format string, args ...any) {
	fmt.Fprintf(&f.text, format, args...)
	runtime.Goexit()
}

// failure runs a test and returns how it failed, "" if it did not.
func failure(t *testing.T, fn func(t testing.TB)) string {
	t.Helper()
	f := &fakeT{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		fn(f)
	}()
	<-done
	return f.text.String()
}

// Whatever an application does wrong, its test says so.
func TestApp_Faults_AreFound(t *testing.T) {
	for _, c := range []struct {
		name string
		f    faults
		test func(app *headracetest.App[parts])
		want []string
	}{
		{"other event", faults{}, func(a *headracetest.App[parts]) { a.When(key(Deposit{1})).Then(Deposited{2}) },
			[]string{`- deposited {"Amount":2}`, `+ deposited "ada" {"Amount":1}`}},
		{"other key", faults{}, func(a *headracetest.App[parts]) {
			a.When(key(Deposit{1})).Then(headracetest.Key("bob", Deposited{1}))
		}, []string{`- deposited "bob" {"Amount":1}`, `+ deposited "ada"`}},
		{"missing", faults{}, func(a *headracetest.App[parts]) { a.When(key(Deposit{1})).Then(Deposited{1}, Withdrawn{3}) },
			[]string{`      deposited "ada" {"Amount":1}`, `- withdrawn {"Amount":3}`}},
		{"too many", faults{}, func(a *headracetest.App[parts]) { a.When(key(Deposit{1})).ThenNothing() }, []string{`+ deposited "ada" {"Amount":1}`}},
		{"other order", faults{}, func(a *headracetest.App[parts]) {
			a.When(key(Deposit{1}), key(Deposit{2})).ThenIncludes(Deposited{2}, Deposited{1})
		}, []string{"events are missing, from deposited {\"Amount\":1} on", `- deposited {"Amount":2}`}},
		{"rejected", faults{}, func(a *headracetest.App[parts]) { a.When(key(Withdraw{1})).Then(Withdrawn{1}) },
			[]string{`- withdrawn {"Amount":1}`, `+ headrace.rejected "ada" {"Code":"insufficient-funds","Reason":"balance is 0"}`}},
		{"other code", faults{}, func(a *headracetest.App[parts]) { a.When(key(Withdraw{1})).ThenRejected("closed") }, []string{`"Code":"closed"`}},
		{"no type", faults{}, func(a *headracetest.App[parts]) { a.When(key(Deposit{1})).Then(parts{}) }, []string{"parts", "not registered"}},
		{"no type published", faults{}, func(a *headracetest.App[parts]) { a.When(7) }, []string{"event 1, int"}},
		{"no event", faults{}, func(a *headracetest.App[parts]) { a.When() }, []string{"WhenAdvanced"}},
		{"owned", faults{}, func(a *headracetest.App[parts]) { a.When(key(Deposited{1})) }, []string{"Deposited"}},
		{"given late", faults{}, func(a *headracetest.App[parts]) { a.Settle().Given(key(Deposited{1})) }, []string{"Given comes before everything else"}},
		{"clock", faults{clock: true}, func(a *headracetest.App[parts]) { a.When(Remind{"x"}).And().ReplayEqualsLive() },
			[]string{`from its beginning leads to other states`, `seen of lane "side": live `}},
		{"lossy", faults{lossy: true}, func(a *headracetest.App[parts]) { a.When(key(Deposit{9})).And().ReplayEqualsLive() },
			[]string{`from a snapshot leads to other states`, `lossy of lane "lossy"`}},
		{"unnamed", faults{unnamed: true}, func(a *headracetest.App[parts]) { a.ReplayEqualsLive() }, []string{`"unnamed"`, "declared"}},
		{"hidden", faults{hidden: new(atomic.Int64)}, func(a *headracetest.App[parts]) {
			a.When(Remind{"x"}, Remind{"y"}).And()
			a.WhenAdvanced(time.Hour).Then(Reminded{"x1"}, Reminded{"y2"}).When(Remind{"z"}).EveryCrash()
		}, nil},
		{"stuck", faults{stuck: true}, func(a *headracetest.App[parts]) { a.When(Remind{"x"}) }, []string{"halted", "reminders"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := failure(t, func(tb testing.TB) {
				c.test(headracetest.NewWith(tb, bank(c.f), headracetest.Options{Engine: headrace.Options{CascadeDepth: 50}}))
			})
			if c.want == nil {
				require.Empty(t, text)
				return
			}
			require.NotEmpty(t, text)
			for _, w := range c.want {
				require.Contains(t, text, w)
			}
		})
	}
}

// A handler whose answer depends on what a crash takes away gives another answer after it.
func TestApp_EveryCrash_FindsAnAnswerFromMemory(t *testing.T) {
	n := new(atomic.Int64)
	text := failure(t, func(tb testing.TB) {
		app := headracetest.New(tb, func() *headrace.Topology {
			types := event.NewRegistry()
			event.MustRegister[Pay](types, "pay", 1)
			event.MustRegister[Paid](types, "paid", 1)
			top := headrace.NewTopology(types)
			handlers.On(top.Logic(), "payer", func(c *handlers.Context, p Pay) error { return handlers.Emit(c, Paid{n.Add(1)}) })
			return top
		}, headracetest.Options{})
		app.When(Pay{1}).EveryCrash()
	})
	require.Contains(t, text, `- paid {"Amount":1}`)
	require.Contains(t, text, `+ paid {"Amount":2}`)
}

func TestApp_HandlerFails_TellsWhy(t *testing.T) {
	broken := errors.New("the printer is on fire")
	fail := func(p handlers.FailurePolicy) func() *headrace.Topology {
		return func() *headrace.Topology {
			types := event.NewRegistry()
			event.MustRegister[Pay](types, "pay", 1)
			top := headrace.NewTopology(types)
			handlers.Decide(top.Logic(), "payer", func(c *handlers.Context, _ Pay) error { return broken })
			if p != (handlers.FailurePolicy{}) {
				top.Logic().OnFailure("payer", p)
			}
			return top
		}
	}
	text := failure(t, func(tb testing.TB) {
		headracetest.New(tb, fail(handlers.FailurePolicy{}), headracetest.Options{}).When(Pay{1})
	})
	require.Contains(t, text, broken.Error())
	require.Contains(t, text, "payer")
	app := headracetest.New(t, fail(handlers.FailurePolicy{Then: handlers.ThenDeadLetter}), headracetest.Options{})
	app.When(key(Pay{1})).Then(handlers.Failed{Handler: "payer", Outcome: handlers.OutcomeDead})
	require.Len(t, app.Engine().DeadLetters(), 1)
}
