package saga_test

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/headracetest"
	"github.com/headrace/headrace/journal"
	"github.com/headrace/headrace/saga"
)

type (
	placed   struct{ Total int64 }
	reserve  struct{}
	reserved struct{ Place string }
	release  struct{ Place string }
	released struct{}
	pay      struct {
		Amount int64
		Key    string
	}
	paid struct {
		OK  bool
		Why string
	}
	refund    struct{ Key string }
	refunded  struct{}
	ship      struct{}
	shipped   struct{}
	unship    struct{}
	completed struct{}
	cancelled struct{ Reason string }
	told      struct{}
)

type order struct {
	Total int64
	Place string
	Notes map[string]int
}

func types() *event.Registry {
	r := event.NewRegistry()
	event.MustRegister[placed](r, "placed", 1)
	event.MustRegister[reserve](r, "reserve", 1)
	event.MustRegister[reserved](r, "reserved", 1)
	event.MustRegister[release](r, "release", 1)
	event.MustRegister[released](r, "released", 1)
	event.MustRegister[pay](r, "pay", 1)
	event.MustRegister[paid](r, "paid", 1)
	event.MustRegister[refund](r, "refund", 1)
	event.MustRegister[refunded](r, "refunded", 1)
	event.MustRegister[ship](r, "ship", 1)
	event.MustRegister[shipped](r, "shipped", 1)
	event.MustRegister[unship](r, "unship", 1)
	event.MustRegister[completed](r, "completed", 1)
	event.MustRegister[cancelled](r, "cancelled", 1)
	event.MustRegister[told](r, "told", 1)
	return r
}

func define(r *event.Registry) *saga.Definition[order] {
	type c = *saga.Context[order]
	d := saga.Define[order]("order", r)
	saga.Start(d, func(o *order, e placed) { o.Total, o.Notes = e.Total, map[string]int{"placed": 1} })

	s := d.Step("reserve", saga.StepOptions{Timeout: time.Minute})
	saga.Do(s, func(c c) error { return saga.Send(c, reserve{}) })
	saga.Done(s, func(o *order, e reserved) { o.Place = e.Place; o.Notes["reserved"]++ })
	saga.Undo(s, func(c c) error { return saga.Send(c, release{c.Data().Place}) })
	saga.Undone[released](s, nil)

	s = d.Step("tell", saga.StepOptions{}) // awaits nothing, and needs no undoing
	saga.Do(s, func(c c) error { return saga.Send(c, told{}) })

	s = d.Step("pay", saga.StepOptions{Timeout: time.Minute, Retries: 1, UndoTimeout: time.Minute, UndoRetries: 1})
	saga.Do(s, func(c c) error { return saga.Send(c, pay{c.Data().Total, c.CommandKey()}) })
	saga.Done[paid](s, nil)
	saga.Failed(s, func(o *order, e paid) string {
		if e.OK {
			return ""
		}
		return e.Why
	})
	saga.Undo(s, func(c c) error { return saga.Send(c, refund{c.CommandKey()}) })
	saga.Undone[refunded](s, nil)

	s = d.Step("ship", saga.StepOptions{})
	saga.Do(s, func(c c) error { return saga.Send(c, ship{}) })
	saga.Done[shipped](s, nil)
	saga.Failed(s, func(o *order, e unship) string { return "lost" })

	saga.Completed(d, func(c c) error { return saga.Send(c, completed{}) })
	saga.Compensated(d, func(c c) error { return saga.Send(c, cancelled{c.Failed() + ": " + c.Reason()}) })
	return d
}

// shop is an engine with the saga, and all that was said about one order.
type shop struct {
	*headrace.Engine
	t   *testing.T
	out *headrace.Producer
}

func topology() (*headrace.Topology, *handlers.Projection[saga.Table[order]]) {
	r := types()
	d := define(r)
	top := headrace.NewTopology(r)
	if err := d.Attach(top.Logic()); err != nil {
		panic(err)
	}
	table := d.Projection("sagas")
	top.Project(table, headrace.LaneOptions{})
	return top, table
}

func start(t *testing.T, dir string, clock *headracetest.Clock) shop {
	t.Helper()
	top, _ := topology()
	e, err := headrace.Open(dir, top, headrace.Options{Clock: clock, Journal: journal.Options{SegmentBytes: 64 << 10, Durability: journal.None()}})
	require.NoError(t, err)
	out, err := e.Producer("outside")
	require.NoError(t, err)
	return shop{e, t, out}
}

func limit(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func say[T any](s shop, v T) {
	s.t.Helper()
	_, err := headrace.Publish(limit(s.t), s.out, v, headrace.Meta{Key: "17"})
	require.NoError(s.t, err)
}

// story closes the engine and tells the log: the types of the events of order 17, Moved as what it says.
func (s shop) story(dir string) string {
	s.t.Helper()
	require.NoError(s.t, s.Close(limit(s.t)))
	return tell(s.t, dir)
}

func tell(t *testing.T, dir string) string {
	t.Helper()
	r := types()
	d := define(r)
	top := headrace.NewTopology(r)
	var said []string
	note := handlers.NewProjection("story", new(int))
	heard[placed](note, &said)
	heard[reserve](note, &said)
	heard[reserved](note, &said)
	heard[release](note, &said)
	heard[released](note, &said)
	heard[pay](note, &said)
	heard[paid](note, &said)
	heard[refund](note, &said)
	heard[refunded](note, &said)
	heard[ship](note, &said)
	heard[shipped](note, &said)
	heard[completed](note, &said)
	heard[told](note, &said)
	handlers.Apply(note, func(_ *int, c *handlers.Context, e cancelled) error {
		said = append(said, "cancelled("+e.Reason+")")
		return nil
	})
	handlers.Apply(note, func(_ *int, c *handlers.Context, m saga.Moved[order]) error {
		said = append(said, fmt.Sprintf("[%v %s %d]", m.Phase, m.Step, m.Attempt))
		return nil
	})
	top.Project(note, headrace.LaneOptions{})
	_ = d
	_, err := headrace.Replay(dir, top, headrace.ReplayOptions{})
	require.NoError(t, err)
	return strings.Join(said, " ")
}

func heard[T any](p *handlers.Projection[int], said *[]string) {
	handlers.Apply(p, func(_ *int, c *handlers.Context, _ T) error {
		*said = append(*said, c.Type())
		return nil
	})
}

func TestSaga_Completed(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir, headracetest.NewClock(time.Unix(1000, 0)))
	say(s, placed{100})
	say(s, reserved{"A1"})
	say(s, reserved{"B2"}) // again: passed over
	say(s, paid{OK: true})
	say(s, shipped{})
	say(s, unship{}) // too late
	require.Equal(t, "placed reserved reserved paid shipped [doing reserve 0] reserve [doing pay 0] told pay "+
		"[doing ship 0] ship [completed ship 0] completed", inOrder(s.story(dir)))
}

// inOrder puts what came from outside before the answers, which interleave with it.
func inOrder(story string) string {
	var outside, inside []string
	for _, w := range fields(story) {
		switch {
		case strings.HasPrefix(w, "["), w == "reserve", w == "pay", w == "ship", w == "told", w == "release", w == "refund",
			w == "completed", strings.HasPrefix(w, "cancelled"):
			inside = append(inside, w)
		default:
			outside = append(outside, w)
		}
	}
	return strings.Join(append(outside, inside...), " ")
}

// fields splits at spaces outside brackets.
func fields(s string) []string {
	var all []string
	depth := 0
	word := ""
	for _, c := range s + " " {
		switch {
		case c == '[' || c == '(':
			depth++
		case c == ']' || c == ')':
			depth--
		}
		if c == ' ' && depth == 0 {
			all, word = append(all, word), ""
			continue
		}
		word += string(c)
	}
	return all
}

func inside(story string) string {
	parts := strings.SplitN(inOrder(story), "[", 2)
	return "[" + parts[1]
}

func TestSaga_PaymentDeclined_CompensatesInReverse(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir, headracetest.NewClock(time.Unix(1000, 0)))
	say(s, placed{100})
	say(s, reserved{"A1"})
	say(s, paid{Why: "declined"})
	say(s, released{})
	require.Equal(t, "[doing reserve 0] reserve [doing pay 0] told pay [undoing reserve 0] release "+
		"[compensated reserve 0] cancelled(pay: declined)", inside(s.story(dir)))
}

func TestSaga_FailedShipping_UndoesPaymentFirst(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir, headracetest.NewClock(time.Unix(1000, 0)))
	for _, step := range []func(){
		func() { say(s, placed{100}) }, func() { say(s, reserved{"A1"}) }, func() { say(s, paid{OK: true}) },
		func() { say(s, unship{}) }, func() { say(s, released{}) }, // not yet: payment comes first
		func() { say(s, refunded{}) }, func() { say(s, released{}) },
	} {
		step()
	}
	require.Equal(t, "[doing reserve 0] reserve [doing pay 0] told pay [doing ship 0] ship [undoing pay 0] refund "+
		"[undoing reserve 0] release [compensated reserve 0] cancelled(ship: lost)", inside(s.story(dir)))
}

// TestSaga_Timeouts: the payment is tried again, then undone because it may have worked; its undoing is
// tried again and gets stuck, until somebody resumes it. In between the engine crashes: deadlines survive.
func TestSaga_Timeouts(t *testing.T) {
	app := headracetest.NewWith(t, topology, headracetest.Options{})
	say := func(v any) any { return headracetest.Key("17", v) }
	app.When(say(placed{100})).EveryCrash().ThenIncludes(reserve{}).
		Crash().When(say(reserved{"A1"})).EveryCrash().ThenIncludes(told{}).
		Crash().WhenAdvanced(59 * time.Second).ThenNothing().
		Crash().Advance(2 * time.Second).                           // pay again
		Crash().Advance(61 * time.Second).Advance(61 * time.Second) // in doubt: refund, and refund again
	app.When(say(paid{OK: true})).ThenNothing().
		Crash().Advance(61 * time.Second).WhenAdvanced(time.Hour).ThenNothing(). // stuck
		When(say(saga.Resume{Saga: "another"})).ThenNothing().
		When(say(saga.Resume{Saga: "order"})).And().
		When(say(refunded{})).ThenIncludes(release{"A1"}).
		When(say(released{})).EveryCrash().ThenIncludes(cancelled{"pay: timed out"}).
		ReplayEqualsLive()
	app.Parts().View(func(tb *saga.Table[order], _ int64) {
		i, ok := tb.Get("17")
		require.True(t, ok)
		require.Equal(t, saga.Compensate, i.Phase)
		require.Equal(t, order{100, "A1", map[string]int{"placed": 1, "reserved": 1}}, i.Data)
	})
	require.Equal(t, "[doing reserve 0] reserve [doing pay 0] told pay [doing pay 1] pay [undoing pay 0] refund "+
		"[undoing pay 1] refund [stuck pay 1] [undoing pay 0] refund [undoing reserve 0] release [compensated reserve 0] "+
		"cancelled(pay: timed out)", inside(tell(t, app.Dir())))
}

func TestAttach_Faults(t *testing.T) {
	r := types()
	top := headrace.NewTopology(r)
	d := saga.Define[order]("x", r)
	require.ErrorContains(t, d.Attach(top.Logic()), "no step")
	s := d.Step("a", saga.StepOptions{Timeout: -1})
	d.Step("a", saga.StepOptions{})
	saga.Undone[released](s, nil)
	err := d.Attach(top.Logic())
	for _, want := range []string{"two steps", "negative", "needs Do", "Undone and no Undo"} {
		require.ErrorContains(t, err, want)
	}
	require.ErrorIs(t, err, saga.ErrDefinition)
	require.ErrorIs(t, saga.Define[order]("x", r).Attach(top.Logic()), event.ErrDuplicateType)
	require.ErrorIs(t, saga.Define[int]("", r).Attach(top.Logic()), saga.ErrDefinition)
}

// A Failed that tells no failure has changed nothing, in maps neither.
func TestFailed_NoReason_ChangesNothing(t *testing.T) {
	type c = *saga.Context[order]
	r := types()
	d := saga.Define[order]("order", r)
	saga.Start(d, func(o *order, e placed) { o.Notes = map[string]int{} })
	s := d.Step("pay", saga.StepOptions{})
	saga.Do(s, func(c) error { return nil })
	saga.Failed(s, func(o *order, e paid) string { o.Notes["failed"]++; o.Total++; return e.Why })
	saga.Done[paid](s, nil)
	top := headrace.NewTopology(r)
	require.NoError(t, d.Attach(top.Logic()))
	table := d.Projection("sagas")
	top.Project(table, headrace.LaneOptions{})
	e, err := headrace.Open(t.TempDir(), top, headrace.Options{Journal: journal.Options{SegmentBytes: 64 << 10, Durability: journal.None()}})
	require.NoError(t, err)
	out, err := e.Producer("outside")
	require.NoError(t, err)
	for _, v := range []any{placed{1}, paid{OK: true}} {
		_, err := out.Publish(limit(t), v, headrace.Meta{Key: "17"})
		require.NoError(t, err)
	}
	require.NoError(t, e.Close(limit(t)))
	table.View(func(tab *saga.Table[order], _ int64) {
		i, _ := tab.Get("17")
		require.Equal(t, saga.Complete, i.Phase)
		require.Zero(t, i.Data.Total)
		require.Empty(t, i.Data.Notes)
	})
}

// A command without a key goes nowhere: above all not to the instance's own.
func TestSendTo_NoKey(t *testing.T) {
	type c = *saga.Context[order]
	r := types()
	d := saga.Define[order]("order", r)
	saga.Start[placed](d, nil)
	s := d.Step("pay", saga.StepOptions{})
	saga.Do(s, func(c c) error { _ = saga.SendTo(c, "", pay{}); return nil })
	saga.Done[paid](s, nil)
	top := headrace.NewTopology(r)
	require.NoError(t, d.Attach(top.Logic()))
	e, err := headrace.Open(t.TempDir(), top, headrace.Options{Journal: journal.Options{SegmentBytes: 64 << 10, Durability: journal.None()}})
	require.NoError(t, err)
	out, err := e.Producer("outside")
	require.NoError(t, err)
	_, err = out.Publish(limit(t), placed{1}, headrace.Meta{Key: "17"})
	require.NoError(t, err)
	<-e.Halted()
	require.ErrorIs(t, e.Close(limit(t)), saga.ErrNoKey)
}

// Neither timers nor command keys of two instances, steps or sagas are the same.
func TestAttach_NamesAndFunctions(t *testing.T) {
	r := types()
	require.ErrorContains(t, saga.Define[int]("a/b", r).Attach(headrace.NewTopology(r).Logic()), "slash")
	d := saga.Define[order]("x", r)
	saga.Done[paid](d.Step("a/undo", saga.StepOptions{}), nil)
	saga.Failed[paid](d.Step("b", saga.StepOptions{}), nil)
	saga.Key[reserved](d, nil)
	saga.Key(d, func(shipped) string { return "" })
	err := d.Attach(headrace.NewTopology(r).Logic())
	for _, want := range []string{"slash", "says why", "is nil", "needs Start", "means nothing"} {
		require.ErrorContains(t, err, want)
	}
}

func TestContext_CommandKey(t *testing.T) {
	type c = *saga.Context[order]
	var keys []string
	note := func(c c) error { keys = append(keys, c.CommandKey()); return nil }
	r := types()
	d := saga.Define[order]("order", r)
	saga.Start[placed](d, nil)
	for _, name := range []string{"undo", "pay"} {
		s := d.Step(name, saga.StepOptions{})
		saga.Do(s, note)
		saga.Undo(s, note)
	}
	s := d.Step("ship", saga.StepOptions{})
	saga.Do(s, note)
	saga.Failed(s, func(o *order, e paid) string { return "x" })
	top := headrace.NewTopology(r)
	require.NoError(t, d.Attach(top.Logic()))
	e, err := headrace.Open(t.TempDir(), top, headrace.Options{Journal: journal.Options{SegmentBytes: 64 << 10, Durability: journal.None()}})
	require.NoError(t, err)
	out, err := e.Producer("outside")
	require.NoError(t, err)
	for _, key := range []string{"17", "17/pay"} {
		for _, v := range []any{placed{1}, paid{}} {
			_, err := out.Publish(limit(t), v, headrace.Meta{Key: key})
			require.NoError(t, err)
		}
	}
	require.NoError(t, e.Close(limit(t)))
	seen := map[string]bool{}
	for _, k := range keys {
		require.False(t, seen[k], k)
		seen[k] = true
	}
	require.Len(t, keys, 10)
}

// An undoing has the time of its step where it has none of its own; a deadline of what is over, and a Resume of what is not
// stuck, change nothing; where nothing is awaited no timer is left.
func TestSaga_DeadlinesOfWhatIsOver(t *testing.T) {
	say := func(v any) any { return headracetest.Key("17", v) }
	phase := func(app *headracetest.App[*handlers.Projection[saga.Table[order]]]) (p saga.Phase, step string) {
		app.Parts().View(func(tb *saga.Table[order], _ int64) {
			i, _ := tb.Get("17")
			p, step = i.Phase, i.Step
		})
		return p, step
	}
	app := headracetest.NewWith(t, topology, headracetest.Options{})
	app.When(say(placed{100}), say(reserved{"A1"})).And()
	stale := saga.Deadline{Saga: "order", Phase: saga.Doing, Step: "reserve", Version: 1} // in the log behind its answer
	app.When(say(stale)).ThenNothing().
		When(say(saga.Resume{Saga: "order"})).ThenNothing()
	require.EqualValues(t, 1, app.Engine().Health().Timers)
	app.When(say(paid{OK: true})).ThenIncludes(ship{})
	require.Zero(t, app.Engine().Health().Timers, "shipping has no time")
	app.WhenAdvanced(time.Hour).ThenNothing()

	app = headracetest.NewWith(t, topology, headracetest.Options{})
	app.When(say(placed{100}), say(reserved{"A1"}), say(paid{Why: "declined"})).ThenIncludes(release{"A1"})
	app.Advance(61 * time.Second)
	p, step := phase(app)
	require.Equal(t, saga.Stuck, p)
	require.Equal(t, "reserve", step)
}

// A timeout that is meant to be for ever would have a deadline that no event can have.
func TestAttach_TimeoutTooLong(t *testing.T) {
	for _, o := range []saga.StepOptions{{Timeout: math.MaxInt64}, {Timeout: time.Minute, UndoTimeout: math.MaxInt64}} {
		r := types()
		d := saga.Define[order]("order", r)
		saga.Start[placed](d, nil)
		s := d.Step("reserve", o)
		saga.Do(s, func(*saga.Context[order]) error { return nil })
		saga.Done[reserved](s, nil)
		err := d.Attach(headrace.NewTopology(r).Logic())
		require.ErrorIs(t, err, saga.ErrDefinition)
		require.ErrorContains(t, err, "0 waits for ever")
	}
}
