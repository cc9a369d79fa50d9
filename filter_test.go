package headrace_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/vmihailenco/msgpack/v5"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
)

type (
	orderPlaced struct{ N int }
	orderPaid   struct{ N int }
	lineAdded   struct{ N int }
)

// topics is a topology whose subscribers note what they see.
type topics struct {
	topology *headrace.Topology
	mu       sync.Mutex
	seen     map[string][]string
	model    *handlers.Projection[[]string]
}

func (s *topics) note(who string, c *handlers.Context) string {
	text := fmt.Sprint(c.Type(), "/", c.Key())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen[who] = append(s.seen[who], text)
	return text
}

// topicRegistry knows only some of the types if it is of a program that has forgotten the others.
func topicRegistry(forgotten bool) *event.Registry {
	r := event.NewRegistry()
	event.MustRegister[orderPlaced](r, "orders.placed", 1, event.TypeOptions{Kind: event.Command})
	event.MustRegister[note](r, "notes", 1)
	if !forgotten {
		event.MustRegister[orderPaid](r, "orders.paid", 1)
		event.MustRegister[lineAdded](r, "orders.line.added", 1, event.TypeOptions{Kind: event.Document})
	}
	return r
}

func newTopics(r *event.Registry, model handlers.Filter) *topics {
	s := &topics{topology: headrace.NewTopology(r), seen: map[string][]string{}}
	l := s.topology.Logic()
	l.Stateless()
	see := func(who string) func(*handlers.Context) error {
		return func(c *handlers.Context) error { s.note(who, c); return nil }
	}
	handlers.OnFiltered(l, "first", handlers.Filter{Types: []string{"orders.*"}}, see("first"))
	handlers.On(l, "typed", func(c *handlers.Context, e orderPlaced) error {
		s.note("typed", c)
		return handlers.Emit(c, note{fmt.Sprint("placed ", e.N)})
	})
	handlers.OnFiltered(l, "keyed", handlers.Filter{KeyPrefix: "vip-", Kinds: []event.Kind{event.Command, event.Document}}, func(c *handlers.Context) error {
		s.note("keyed", c)
		v, ok, err := handlers.As[orderPlaced](c)
		if err == nil && ok {
			err = handlers.Emit(c, note{fmt.Sprint("vip placed ", v.N)})
		}
		return err
	})
	handlers.FoldFiltered(l, handlers.Filter{Types: []string{">"}}, see("all"))
	s.model = handlers.NewProjection("model", &[]string{})
	handlers.ApplyFiltered(s.model, model, func(m *[]string, c *handlers.Context) error {
		*m = append(*m, fmt.Sprint(c.Type(), "/", c.Key()))
		return nil
	})
	s.topology.Project(s.model, headrace.LaneOptions{})
	return s
}

func (s *topics) all(who string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen[who])
}

func (s *topics) read() (got []string) {
	s.model.View(func(m *[]string, _ int64) { got = slices.Clone(*m) })
	return got
}

var orders = handlers.Filter{Types: []string{"orders.>"}}

func TestFilter_LanesProjectionsAndFollowers_SeeTheSame(t *testing.T) {
	dir := t.TempDir()
	s := newTopics(topicRegistry(false), orders)
	e := open(t, dir, app{topology: s.topology}, small())
	p := producer(t, e, "web")
	for i := range 3 {
		m := headrace.Meta{Key: "vip-1"}
		if i == 1 {
			m.Key = "other"
		}
		for _, v := range []any{orderPlaced{i}, orderPaid{i}, lineAdded{i}} {
			_, err := p.Publish(limit(t), v, m)
			require.NoError(t, err)
		}
	}
	settleLogic(t, e)
	require.NoError(t, s.model.WaitFor(limit(t), e.Stats().Ring.Cursor))
	placed := []string{"orders.placed/vip-1", "orders.placed/other", "orders.placed/vip-1"}
	require.Equal(t, placed, s.all("typed"))
	var first, whole []string
	for _, key := range []string{"/vip-1", "/other", "/vip-1"} {
		first = append(first, "orders.placed"+key, "orders.paid"+key)
		whole = append(whole, "orders.placed"+key, "orders.paid"+key, "orders.line.added"+key)
	}
	require.Equal(t, first, s.all("first"))
	require.Equal(t, whole, s.read())
	require.Equal(t, []string{"orders.placed/vip-1", "orders.line.added/vip-1", "orders.placed/vip-1", "orders.line.added/vip-1"}, s.all("keyed"))
	require.Len(t, s.all("all"), 9+3+2, "nine from outside, an answer to each order, one more to each of a vip; none of the engine's own")

	var got []string
	passed := 0
	err := e.Follow(limit(t), headrace.FollowOptions{
		Filter: handlers.Filter{Types: []string{"*.*"}, Keys: []string{"vip-1"}}, Until: e.Written(),
		Passed: func(handlers.Checkpoint) error { passed++; return nil },
	}, func(_ context.Context, d handlers.Delivery) error {
		got = append(got, d.Type)
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, []string{"orders.placed", "orders.paid", "orders.placed", "orders.paid"}, got)
	require.EqualValues(t, e.Written(), len(got)+passed, "each record is delivered or passed over")
	closeEngine(t, e)

	// Replayed by a program that does not know all of the types, the same handlers see the same events.
	again := newTopics(topicRegistry(true), orders)
	e = open(t, dir, app{topology: again.topology}, small())
	require.Equal(t, whole, again.read())
	for who, all := range s.seen {
		require.Equal(t, all, again.all(who))
	}
	log := readLog(t, dir)
	closeEngine(t, e)
	require.Equal(t, log[:e.Written()], readLog(t, dir)[:e.Written()], "replay emits nothing")
}

// A snapshot knows what its read models have seen: with another filter they begin anew.
func TestFilter_Changed_ReadsTheLogAnew(t *testing.T) {
	dir := t.TempDir()
	o := small()
	o.Snapshots.AtClose = true
	s := newTopics(topicRegistry(false), handlers.Filter{Types: []string{"orders.paid"}})
	e := open(t, dir, app{topology: s.topology}, o)
	for i := range 5 {
		publish(t, producer(t, e, "web"), orderPaid{i})
		publish(t, producer(t, e, "web"), lineAdded{i})
	}
	closeEngine(t, e)
	for _, c := range []struct {
		filter handlers.Filter
		want   int
	}{{handlers.Filter{Types: []string{"orders.paid"}}, 5}, {orders, 10}, {handlers.Filter{Types: []string{"orders.line.*"}}, 5}} {
		s := newTopics(topicRegistry(false), c.filter)
		e := open(t, dir, app{topology: s.topology}, o)
		require.NotZero(t, e.Stats().Snapshots.OpenedAt)
		require.Len(t, s.read(), c.want)
		closeEngine(t, e)
	}
}

// A type that was renamed is matched by each name that it has and had, whichever of them an event was written under; a snapshot
// of a read model that had not matched it under the former one is not gone on from.
func TestFilter_FormerNames(t *testing.T) {
	dir := t.TempDir()
	o := small()
	o.Snapshots.AtClose = true
	filters := map[string]handlers.Filter{
		"former": {Types: []string{"till.cash"}}, "present": {Types: []string{"orders.*"}}, "neither": {Types: []string{"till.other"}},
	}
	run := func(r *event.Registry) (*headrace.Engine, func(who string) int) {
		top := headrace.NewTopology(r)
		models := map[string]*handlers.Projection[int]{}
		for name, f := range filters {
			models[name] = handlers.NewProjection(name, new(int))
			handlers.ApplyFiltered(models[name], f, func(n *int, _ *handlers.Context) error { *n++; return nil })
			top.Project(models[name], headrace.LaneOptions{})
		}
		e := open(t, dir, app{topology: top}, o)
		for range 3 {
			publish(t, producer(t, e, "till"), orderPaid{1})
		}
		return e, func(who string) (n int) {
			require.NoError(t, models[who].WaitFor(limit(t), e.Stats().Ring.Cursor))
			models[who].View(func(v *int, _ int64) { n = *v })
			return n
		}
	}
	before := event.NewRegistry()
	event.MustRegister[orderPaid](before, "till.cash", 1)
	e, count := run(before)
	require.Equal(t, [3]int{3, 0, 0}, [3]int{count("former"), count("present"), count("neither")})
	closeEngine(t, e)

	after := event.NewRegistry()
	event.MustRegister[orderPaid](after, "orders.paid", 1)
	require.NoError(t, after.Rename("till.cash", "orders.paid"))
	e, count = run(after)
	require.Equal(t, [3]int{6, 6, 0}, [3]int{count("former"), count("present"), count("neither")})
	for name, f := range filters {
		n := 0
		err := e.Follow(limit(t), headrace.FollowOptions{Filter: f, Provisional: true, Until: e.Stats().Ring.Cursor}, func(context.Context, handlers.Delivery) error {
			n++
			return nil
		})
		require.NoError(t, err)
		require.Equal(t, count(name), n, name)
	}
	closeEngine(t, e)
}

// What a handler by filter cannot handle parks its key, and is tried again with the same eyes.
func TestFilter_FailurePolicy_ParksAndRedrives(t *testing.T) {
	broken := true
	top := headrace.NewTopology(topicRegistry(false))
	l := top.Logic()
	done := handlers.Keep(l, "done", func() *[]int { return &[]int{} })
	handlers.OnFiltered(l, "ship", handlers.Filter{Types: []string{"orders.paid"}, KeyPrefix: "k"}, func(c *handlers.Context) error {
		v, _, err := handlers.As[orderPaid](c)
		if err == nil && v.N == 1 && broken {
			err = errBroken
		}
		if err == nil {
			*done.Of(c) = append(*done.Of(c), v.N)
			err = handlers.Emit(c, note{"shipped"})
		}
		return err
	})
	l.OnFailure("ship", handlers.FailurePolicy{Then: handlers.ThenDeadLetter})
	e := open(t, t.TempDir(), app{topology: top}, small())
	p := producer(t, e, "web")
	var poison int64
	for i, key := range []string{"k1", "k1", "k1", "k2", "other"} {
		seq, err := p.Publish(limit(t), orderPaid{i}, headrace.Meta{Key: key})
		require.NoError(t, err)
		if i == 1 {
			poison = seq
		}
	}
	settleLogic(t, e)
	done.View(func(v *[]int, _ int64) { require.Equal(t, []int{0, 3}, *v) })
	broken = false
	_, err := e.Redrive(limit(t), "ship", poison)
	require.NoError(t, err)
	settleLogic(t, e)
	closeEngine(t, e)
	done.View(func(v *[]int, _ int64) { require.Equal(t, []int{0, 3, 1, 2}, *v) })
	require.Empty(t, e.Parked())
}

func TestFilter_Faults_AreReportedAtOpen(t *testing.T) {
	top := headrace.NewTopology(topicRegistry(false))
	l := top.Logic()
	nothing := func(*handlers.Context) error { return nil }
	handlers.OnFiltered(l, "bad", handlers.Filter{Types: []string{"orders.>.x"}}, nothing)
	handlers.OnFiltered(l, "nil", handlers.Filter{}, nil)
	handlers.FoldFiltered(l, handlers.Filter{}, nil)
	handlers.OnFiltered(l, "", handlers.Filter{}, nothing)
	handlers.On(l, "twice", func(*handlers.Context, orderPaid) error { return nil })
	handlers.OnFiltered(l, "twice", orders, nothing)
	p := handlers.NewProjection("model", &[]string{})
	handlers.ApplyFiltered(p, handlers.Filter{}, nil)
	top.Project(p, headrace.LaneOptions{})
	_, err := headrace.Open(t.TempDir(), top, small())
	require.ErrorIs(t, err, handlers.ErrFilter)
	for _, want := range []string{`"orders.>.x"`, `handler "nil" is nil`, "a fold of events by all is nil", `handler id ""`, `registered twice for orders.paid`, `handler "model" is nil`} {
		require.ErrorContains(t, err, want)
	}

	e := open(t, t.TempDir(), newApp(t), small())
	err = e.Follow(limit(t), headrace.FollowOptions{Filter: handlers.Filter{Types: []string{"a..b"}}}, nil)
	require.ErrorIs(t, err, handlers.ErrFilter)
	require.ErrorContains(t, err, "FollowOptions.Filter")
	require.ErrorContains(t, e.Follow(limit(t), headrace.FollowOptions{}, nil), "function is nil")
	closeEngine(t, e)
}

// A handler by filter costs nothing for an event that is not for it, and no allocation for one that is.
func TestFilter_Handlers_DoNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	top := headrace.NewTopology(registry(t))
	seen := 0
	handlers.FoldFiltered(top.Logic(), handlers.Filter{Types: []string{"bank.*"}, Kinds: []event.Kind{event.Command}, Keys: []string{"a", "b"}}, func(c *handlers.Context) error {
		seen++
		return nil
	})
	e := open(t, t.TempDir(), app{topology: top}, small())
	p := producer(t, e, "web")
	ctx := context.Background()
	round := func() {
		for i := range 200 {
			key := "c"
			if i%2 == 0 {
				key = "a"
			}
			if _, err := headrace.Publish(ctx, p, deposit{1, 2}, headrace.Meta{Key: key}); err != nil {
				t.Error(err)
			}
		}
	}
	round()
	require.NoError(t, e.WaitFor(ctx, "logic", e.Stats().Ring.Cursor))
	perEvent := testing.AllocsPerRun(20, round) / 200
	closeEngine(t, e)
	require.Less(t, perEvent, 0.1)
	require.Equal(t, 22*100, seen)
	require.False(t, strings.Contains(e.Health().State, "halted"))
}

// A filter is what it was when it was registered, whatever becomes of its slices.
func TestFilter_IsCopied(t *testing.T) {
	f := handlers.Filter{Types: []string{"orders.paid"}, Kinds: []event.Kind{event.Notification, event.Document}, Keys: []string{"k"}}
	s := newTopics(topicRegistry(false), f)
	f.Types[0], f.Kinds[0], f.Kinds[1], f.Keys[0] = "nothing", event.Command, event.Command, "other"
	e := open(t, t.TempDir(), app{topology: s.topology}, small())
	_, err := producer(t, e, "web").Publish(limit(t), orderPaid{1}, headrace.Meta{Key: "k"})
	require.NoError(t, err)
	closeEngine(t, e)
	require.Len(t, s.read(), 1)
}

// strict has payloads that cannot be decoded.
type strict struct{ N int }

func (s *strict) EncodeMsgpack(e *msgpack.Encoder) error { return e.EncodeInt(int64(s.N)) }
func (s *strict) DecodeMsgpack(*msgpack.Decoder) error   { return errRefusing }

// As tells an event of another type from one that cannot be decoded.
func TestAs_OfThisType_Undecodable(t *testing.T) {
	r := registry(t)
	event.MustRegister[strict](r, "strict", 1)
	top := headrace.NewTopology(r)
	var said []string
	handlers.FoldFiltered(top.Logic(), handlers.Filter{Types: []string{"strict", "bank.note"}}, func(c *handlers.Context) error {
		_, ok, err := handlers.As[strict](c)
		_, _, unknown := handlers.As[orderPaid](c)
		said = append(said, fmt.Sprint(c.Type(), " ", ok, " ", errors.Is(err, errRefusing), " ", errors.Is(unknown, event.ErrUnregistered)))
		return nil
	})
	e := open(t, t.TempDir(), app{topology: top}, small())
	publish(t, producer(t, e, "web"), strict{1})
	publish(t, producer(t, e, "web"), note{"x"})
	closeEngine(t, e)
	require.Equal(t, []string{"strict true true true", "bank.note false false true"}, said)
}

// An event that is said to be of a type and does not decode as one is an error, and not an event of another type.
func TestAs_WhatDoesNotDecode(t *testing.T) {
	dir := t.TempDir()
	was := event.NewRegistry()
	event.MustRegister[note](was, "bank.deposit", 1, event.TypeOptions{Kind: event.Command})
	e, err := headrace.Open(dir, headrace.NewTopology(was), small())
	require.NoError(t, err)
	seq := publish(t, producer(t, e, "web"), note{"no deposit"})
	closeEngine(t, e)

	var of []bool
	var failed error
	top := headrace.NewTopology(registry(t))
	handlers.FoldFiltered(top.Logic(), handlers.Filter{Types: []string{"bank.deposit"}}, func(c *handlers.Context) error {
		_, is, err := handlers.As[deposit](c)
		_, other, none := handlers.As[deposited](c)
		of, failed = append(of, is, other), err
		return none
	})
	_, err = headrace.Replay(dir, top, headrace.ReplayOptions{AcceptSchema: true})
	require.NoError(t, err)
	require.Equal(t, []bool{true, false}, of)
	require.ErrorContains(t, failed, fmt.Sprintf("event %d (bank.deposit)", seq))
}
