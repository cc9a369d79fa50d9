package aggregate_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/aggregate"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/headracetest"
	"github.com/headrace/headrace/journal"
)

type (
	open      struct{ Owner string }
	deposit   struct{ Amount int64 }
	withdraw  struct{ Amount int64 }
	opened    struct{ Owner string }
	deposited struct{ Amount int64 }
	withdrawn struct{ Amount int64 }
)

type account struct {
	Owner   string
	Balance int64
}

func types() *event.Registry {
	r := event.NewRegistry()
	event.MustRegister[open](r, "open", 1, event.TypeOptions{Kind: event.Command})
	event.MustRegister[deposit](r, "deposit", 1, event.TypeOptions{Kind: event.Command})
	event.MustRegister[withdraw](r, "withdraw", 1, event.TypeOptions{Kind: event.Command})
	event.MustRegister[opened](r, "opened", 1)
	event.MustRegister[deposited](r, "deposited", 1)
	event.MustRegister[withdrawn](r, "withdrawn", 1)
	return r
}

func accounts() *aggregate.Definition[account] {
	d := aggregate.Define[account]("account")
	aggregate.Evolve(d, func(a *account, e opened) { a.Owner = e.Owner })
	aggregate.Evolve(d, func(a *account, e deposited) { a.Balance += e.Amount })
	aggregate.Evolve(d, func(a *account, e withdrawn) { a.Balance -= e.Amount })
	aggregate.Handle(d, func(c *aggregate.Context[account], cmd open) error {
		if c.Exists() {
			return c.Reject("exists", "account %q is %s's", c.Key(), c.State().Owner)
		}
		return aggregate.Emit(c, opened(cmd))
	})
	aggregate.Handle(d, func(c *aggregate.Context[account], cmd deposit) error {
		if !c.Exists() {
			return c.Reject("unknown", "no account %q", c.Key())
		}
		return aggregate.Emit(c, deposited(cmd))
	})
	aggregate.Handle(d, func(c *aggregate.Context[account], cmd withdraw) error {
		if c.State().Balance < cmd.Amount {
			return c.Reject("funds", "%d of %d", cmd.Amount, c.State().Balance)
		}
		// In two events, which are one answer.
		if err := aggregate.Emit(c, withdrawn{cmd.Amount - cmd.Amount/2}); err != nil {
			return err
		}
		return aggregate.Emit(c, withdrawn{cmd.Amount / 2})
	})
	return d
}

type bank struct {
	*headrace.Engine
	web   *headrace.Producer
	table *handlers.Projection[aggregate.Table[account]]
}

func topology(t testing.TB) (*headrace.Topology, *handlers.Projection[aggregate.Table[account]]) {
	t.Helper()
	top := headrace.NewTopology(types())
	d := accounts()
	require.NoError(t, d.Attach(top.Logic()))
	table := d.Projection("accounts")
	top.Project(table, headrace.LaneOptions{})
	return top, table
}

func start(t testing.TB, dir string) bank {
	t.Helper()
	top, table := topology(t)
	e, err := headrace.Open(dir, top, headrace.Options{Journal: journal.Options{SegmentBytes: 64 << 10, Durability: journal.None()}})
	require.NoError(t, err)
	web, err := e.Producer("web")
	require.NoError(t, err)
	return bank{e, web, table}
}

func limit(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func (b bank) stop(t testing.TB) {
	t.Helper()
	require.NoError(t, b.Close(limit(t)))
}

func (b bank) get(key string) (account, int64) {
	var a account
	var version int64
	b.table.View(func(table *aggregate.Table[account], _ int64) {
		if e, ok := table.Get(key); ok {
			a, version = *e.State, e.Version
		}
	})
	return a, version
}

func key(k string) headrace.Meta { return headrace.Meta{Key: k} }

func TestAggregate_DecidesOnWhatWasDecidedBefore(t *testing.T) {
	b := start(t, t.TempDir())
	_, err := headrace.Call[opened](limit(t), b.web, open{"Ada"}, key("1"))
	require.NoError(t, err)
	_, err = headrace.Call[deposited](limit(t), b.web, deposit{100}, key("1"))
	require.NoError(t, err)

	// All at once: the ring holds many commands before the first answer comes back.
	var wg sync.WaitGroup
	var mu sync.Mutex
	taken, refused := int64(0), 0
	for range 40 {
		wg.Go(func() {
			_, err := headrace.Call[withdrawn](limit(t), b.web, withdraw{7}, key("1"))
			mu.Lock()
			defer mu.Unlock()
			var r *headrace.RejectedError
			switch {
			case err == nil:
				taken += 7
			case assertAs(err, &r):
				refused++
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	require.Equal(t, int64(98), taken, "14 times 7, and never below zero")
	require.Equal(t, 26, refused)
	b.stop(t)
	a, version := b.get("1")
	require.Equal(t, account{"Ada", 2}, a)
	require.Equal(t, int64(2+14*2), version)
}

func assertAs(err error, r **headrace.RejectedError) bool {
	e, ok := err.(*headrace.RejectedError)
	*r = e
	return ok
}

func TestAggregate_Rejections(t *testing.T) {
	app := headracetest.New(t, func() *headrace.Topology { top, _ := topology(t); return top }, headracetest.Options{})
	x := func(v any) any { return headracetest.Key("x", v) }
	seen := func(v any, version int64) any { // by somebody who wants to write that version
		return headrace.Message{Value: v, Meta: headrace.Meta{Key: "x", StreamVersion: version}}
	}
	app.When(x(deposit{1})).ThenRejected("unknown").
		When(deposit{1}).ThenRejected(aggregate.NoKeyCode).
		When(seen(open{"Ada"}, 1)).Then(opened{"Ada"}).
		When(seen(open{"Bob"}, 1)).ThenRejected(aggregate.ConflictCode).
		When(seen(deposit{5}, 2)).EveryCrash().Then(deposited{5}).
		When(seen(deposit{5}, 2)).EveryCrash().ThenRejected(aggregate.ConflictCode).
		When(x(withdraw{9})).Then(handlers.Rejected{Code: "funds", Reason: "9 of 5"}).
		ReplayEqualsLive()

	b := start(t, t.TempDir())
	defer b.stop(t)
	_, err := headrace.Call[deposited](limit(t), b.web, deposit{1}, key("x"))
	var r *headrace.RejectedError
	require.ErrorAs(t, err, &r)
	require.Equal(t, "unknown", r.Code)
	require.Greater(t, r.Sequence, r.Command)
	_, err = headrace.Publish(limit(t), b.web, deposited{1}, key("x"))
	require.ErrorIs(t, err, handlers.ErrOwned)
	_, err = b.web.PublishBatch(limit(t), []headrace.Message{{Value: deposited{1}, Meta: key("x")}})
	require.ErrorIs(t, err, handlers.ErrOwned)
}

// TestAggregate_CrashAnywhere cuts the log at every record after a run of random commands: whatever the
// crash took is decided again, and the books are right: no entity below zero, numbers without gaps, one
// answer for each command.
func TestAggregate_CrashAnywhere(t *testing.T) {
	dir := t.TempDir()
	b := start(t, dir)
	rnd := rand.New(rand.NewPCG(7, 7))
	for range 30 {
		k := key(fmt.Sprint(rnd.IntN(3)))
		var err error
		switch rnd.IntN(4) {
		case 0:
			_, err = headrace.Publish(limit(t), b.web, open{"Ada"}, k)
		case 1:
			_, err = headrace.Publish(limit(t), b.web, deposit{rnd.Int64N(50)}, k)
		default:
			_, err = headrace.Publish(limit(t), b.web, withdraw{rnd.Int64N(60)}, k)
		}
		require.NoError(t, err)
	}
	b.stop(t)
	files, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	whole, err := os.ReadFile(files[0])
	require.NoError(t, err)
	used := usedBytes(whole)
	step := 1
	if testing.Short() {
		step = 7
	}
	tried := 0
	for cut := 8192; cut < used; cut += 8 * step {
		if !atRecord(whole, cut) {
			continue
		}
		tried++
		crashed := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(crashed, filepath.Base(files[0])), whole[:cut], 0o600))
		c := start(t, crashed)
		last, err := headrace.Publish(limit(t), c.web, deposit{0}, key("none"))
		require.NoError(t, err)
		c.stop(t)
		check(t, crashed, cut)
		require.Positive(t, last)
	}
	require.Greater(t, tried, 10)
	t.Logf("%d cuts", tried)
}

// check reads the log and holds it against a plain account of the commands in it.
func check(t *testing.T, dir string, cut int) {
	t.Helper()
	r, err := journal.OpenReader(dir, 1, journal.ReaderOptions{})
	require.NoError(t, err)
	defer r.Close()
	answers := map[event.ID]int{}
	outputs := map[event.ID]int{}
	var commands []event.ID
	version := map[string]int64{}
	_, err = r.Read(func(rec journal.Record) error {
		if rec.Kind != journal.KindEvent || rec.Type < handlers.FirstUserType && rec.Type != 15 {
			return nil
		}
		v, err := event.Parse(rec.Body)
		if err != nil {
			return err
		}
		if o, ok := v.Origin(); ok {
			answers[v.CausationID()]++
			outputs[v.CausationID()] = int(o.Outputs)
			if n := v.StreamVersion(); n != 0 {
				version[v.Key()]++
				require.Equal(t, version[v.Key()], n, "cut %d: event %d", cut, rec.Sequence)
			}
			return nil
		}
		commands = append(commands, v.ID())
		return nil
	})
	require.NoError(t, err)
	for _, id := range commands {
		require.Equal(t, outputs[id], answers[id], "cut %d: a command is answered once", cut)
		require.Positive(t, answers[id], "cut %d: every command is answered", cut)
	}
	top, table := topology(t)
	_, err = headrace.Replay(dir, top, headrace.ReplayOptions{})
	require.NoError(t, err)
	table.View(func(tb *aggregate.Table[account], _ int64) {
		for k, e := range tb.All() {
			require.GreaterOrEqual(t, e.State.Balance, int64(0), "cut %d: %s", cut, k)
			require.Equal(t, version[k], e.Version, "cut %d: %s", cut, k)
		}
	})
}

// usedBytes is where the records of a segment end; atRecord tells whether one begins at off.
func usedBytes(segment []byte) int {
	end := len(segment)
	for end > 8192 && segment[end-1] == 0 {
		end--
	}
	return end
}

func atRecord(segment []byte, off int) bool {
	for at := 8192; at <= off; {
		if at == off {
			return true
		}
		length := int(uint32(segment[at]) | uint32(segment[at+1])<<8 | uint32(segment[at+2])<<16 | uint32(segment[at+3])<<24)
		if length < 32 {
			return false
		}
		at += (length + 7) &^ 7
	}
	return false
}

func TestDefinition_Faults(t *testing.T) {
	top := headrace.NewTopology(types())
	d := aggregate.Define[account]("empty")
	require.ErrorIs(t, d.Attach(top.Logic()), aggregate.ErrDefinition)
	aggregate.Evolve(d, (func(*account, opened))(nil))
	aggregate.Handle(d, (func(*aggregate.Context[account], open) error)(nil))
	err := d.Attach(top.Logic())
	require.ErrorContains(t, err, "a fold is nil")
	require.ErrorContains(t, err, "a handler is nil")
	ok := accounts()
	require.NoError(t, ok.Attach(top.Logic()))
	require.ErrorContains(t, ok.Attach(top.Logic()), "attached already")
}

// An event that the aggregate does not evolve has no place in its stream: neither one of nobody's nor one of
// another aggregate on the same lane.
func TestEmit_NotEvolved(t *testing.T) {
	top := headrace.NewTopology(types())
	other := aggregate.Define[int]("other")
	aggregate.Evolve(other, func(n *int, e withdrawn) { *n++ })
	require.NoError(t, other.Attach(top.Logic()))
	d := aggregate.Define[account]("account")
	aggregate.Evolve(d, func(a *account, e opened) {})
	got := make(chan error, 2)
	aggregate.Handle(d, func(c *aggregate.Context[account], cmd open) error {
		got <- aggregate.Emit(c, deposited{1})
		got <- aggregate.Emit(c, withdrawn{1})
		return aggregate.Emit(c, opened(cmd))
	})
	require.NoError(t, d.Attach(top.Logic()))
	e, err := headrace.Open(t.TempDir(), top, headrace.Options{Journal: journal.Options{SegmentBytes: 64 << 10, Durability: journal.None()}})
	require.NoError(t, err)
	web, err := e.Producer("web")
	require.NoError(t, err)
	_, err = headrace.Call[opened](limit(t), web, open{"me"}, key("k"))
	require.NoError(t, err)
	require.ErrorIs(t, <-got, aggregate.ErrNotEvolved)
	require.ErrorIs(t, <-got, aggregate.ErrNotEvolved)
	require.NoError(t, e.Close(limit(t)))
}

// noted is appended to an account's stream by others.
type noted struct{ Text string }

// Others write to the stream of an entity: the numbers are shared, the entity goes its own way, and a crash anywhere
// leaves it so.
func TestAggregate_BesideAppends(t *testing.T) {
	dir := t.TempDir()
	with := func() bank {
		r := types()
		event.MustRegister[noted](r, "noted", 1)
		top := headrace.NewTopology(r)
		d := accounts()
		require.NoError(t, d.Attach(top.Logic()))
		table := d.Projection("accounts")
		top.Project(table, headrace.LaneOptions{})
		e, err := headrace.Open(dir, top, headrace.Options{Journal: journal.Options{SegmentBytes: 64 << 10, Durability: journal.None()}})
		require.NoError(t, err)
		web, err := e.Producer("web")
		require.NoError(t, err)
		return bank{e, web, table}
	}
	b := with()
	_, err := headrace.Call[opened](limit(t), b.web, open{"Ada"}, key("1"))
	require.NoError(t, err)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for range 50 {
				if _, err := b.Append(limit(t), "1", headrace.ExpectAny, headrace.Message{Value: noted{"x"}}); err != nil {
					t.Error(err)
				}
				if _, err := headrace.Call[deposited](limit(t), b.web, deposit{1}, key("1")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for range 2 {
		n := int64(0)
		for d, err := range b.ReadStream(limit(t), "1", 0, headrace.StreamOptions{}) {
			require.NoError(t, err)
			n++
			require.Equal(t, n, d.Event.StreamVersion())
		}
		_, err = b.Append(limit(t), "1", n, headrace.Message{Value: deposited{1}})
		require.ErrorIs(t, err, handlers.ErrOwned)
		_, err = b.Append(limit(t), "1", n, headrace.Message{Value: noted{"last"}})
		require.NoError(t, err)
		require.NoError(t, b.table.WaitFor(limit(t), b.Written()))
		a, version := b.get("1")
		require.LessOrEqual(t, version, n)
		_, err = headrace.Call[deposited](limit(t), b.web, deposit{1}, headrace.Meta{Key: "1", StreamVersion: version + 1})
		require.NoError(t, err, "what others append is no change of the entity")
		_, err = headrace.Call[deposited](limit(t), b.web, deposit{1}, headrace.Meta{Key: "1", StreamVersion: version + 1})
		var r *headrace.RejectedError
		require.ErrorAs(t, err, &r)
		require.Equal(t, aggregate.ConflictCode, r.Code)
		require.GreaterOrEqual(t, a.Balance, int64(100))
		b.stop(t)
		b = with()
	}
	a, _ := b.get("1")
	require.Equal(t, account{"Ada", 102}, a)
	b.stop(t)
}
