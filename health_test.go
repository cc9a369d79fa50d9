package headrace_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/headracetest"
	"github.com/headrace/headrace/journal"
)

func TestHealth_SaysHowItIs(t *testing.T) {
	dir := t.TempDir()
	top, _ := teller(t, "a")
	closeEngine(t, openTop(t, dir, top))

	top = headrace.NewTopology(registry(t))
	handlers.Decide(top.Logic(), "picky", func(c *handlers.Context, d deposit) error {
		if d.Amount < 0 {
			return errors.New("negative")
		}
		return nil
	})
	top.Logic().OnFailure("picky", handlers.FailurePolicy{Then: handlers.ThenDeadLetter})
	entered, release := make(chan struct{}), make(chan struct{})
	slow := handlers.NewProjection("slow", new(int))
	handlers.Apply(slow, func(*int, *handlers.Context, note) error { close(entered); <-release; return nil })
	top.Project(slow, headrace.LaneOptions{})
	e := openTop(t, dir, top)
	web := producer(t, e, "web")
	for _, amount := range []int64{-1, 2, 3} {
		_, err := headrace.Publish(limit(t), web, deposit{1, amount}, headrace.Meta{Key: "one"})
		require.NoError(t, err)
	}
	settleLogic(t, e)
	at := publish(t, web, note{"x"})
	last := publish(t, web, note{"y"})
	<-entered
	require.NoError(t, e.WaitFor(limit(t), "logic", last))
	following := make(chan int64)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		ended <- e.Follow(ctx, headrace.FollowOptions{Name: "mails", Provisional: true, From: at}, func(ctx context.Context, d handlers.Delivery) error {
			select {
			case following <- d.Sequence:
			case <-ctx.Done():
			}
			return ctx.Err()
		})
	}()
	require.Equal(t, at, <-following)
	await(t, func() bool { f := e.Health().Followers; return len(f) == 1 && f[0].Sequence == at })

	h := e.Health()
	require.Equal(t, headrace.StateRunning, h.State)
	require.Empty(t, h.Error)
	require.Equal(t, last, h.Published)
	require.Equal(t, last, h.Written)
	require.Equal(t, h.Written-h.Durable, h.AtRisk.Events)
	require.Equal(t, []string{"a"}, h.MissingHandlers)
	require.Equal(t, 1, h.DeadLetters)
	require.Equal(t, 1, h.ParkedKeys)
	require.Equal(t, 2, h.WaitingEvents)
	require.Equal(t, []headrace.Position{{Name: "mails", Sequence: at, Lag: 1}}, h.Followers)
	lanes := map[string]int64{}
	for _, l := range h.Lanes {
		lanes[l.Name] = l.Lag
	}
	require.Equal(t, int64(2), lanes["slow"])
	require.Equal(t, int64(0), lanes["logic"])
	require.Contains(t, lanes, "journal")
	require.NoError(t, e.WaitDurable(limit(t), last))
	h = e.Health()
	require.Zero(t, h.AtRisk.Events)
	require.False(t, h.LastSync.IsZero())
	text, err := json.Marshal(h)
	require.NoError(t, err)
	var back headrace.Health
	require.NoError(t, json.Unmarshal(text, &back))
	require.Equal(t, h.Lanes, back.Lanes)

	stop()
	require.ErrorIs(t, <-ended, context.Canceled)
	require.Empty(t, e.Health().Followers)
	close(release)
	_ = e.Close(limit(t)) // the second note closes a closed channel: it halts
	require.Equal(t, headrace.StateHalted, e.Health().State)
	require.Contains(t, e.Health().Error, "slow")
}

// What a power cut would take, in events, bytes and time; timers; circuits that keep calls back.
func TestHealth_LossWindow_Timers_Circuits(t *testing.T) {
	o, clock := withClock(newYear)
	o.Journal.Durability = journal.Interval(time.Hour)
	top := headrace.NewTopology(registry(t))
	top.Effect(handlers.NewEffect("gateway", func(*handlers.EffectContext, deposit) error { return errBroken },
		handlers.EffectOptions{Failure: handlers.FailurePolicy{Then: handlers.ThenSkip}, Circuit: handlers.Circuit{Failures: 1, OpenFor: time.Minute}}), headrace.LaneOptions{})
	e, err := headrace.Open(t.TempDir(), top, o)
	require.NoError(t, err)
	web := producer(t, e, "web")
	before := e.Health()
	require.Zero(t, before.Timers)
	require.Empty(t, before.OpenCircuits)
	const n = 10
	for range n {
		publish(t, web, note{strings.Repeat("x", 100)})
	}
	_, err = headrace.PublishAt(limit(t), web, note{"later"}, newYear.Add(time.Hour), "", headrace.Meta{})
	require.NoError(t, err)
	require.NoError(t, e.WaitIdle(limit(t)))
	h := e.Health()
	require.EqualValues(t, 1, h.Timers)
	require.Equal(t, h.Written-h.Durable, h.AtRisk.Events)
	require.GreaterOrEqual(t, h.AtRisk.Events, int64(n+1))
	require.Greater(t, h.AtRisk.Bytes, int64(n*100))
	require.Less(t, h.AtRisk.Bytes, int64(n*1000))
	await(t, func() bool { return e.Health().AtRisk.Age > 0 })

	publish(t, web, deposit{})
	require.NoError(t, e.WaitIdle(limit(t)))
	require.Equal(t, []string{"gateway"}, e.Health().OpenCircuits)
	clock.Advance(time.Hour)
	await(t, func() bool { h := e.Health(); return h.Timers == 0 })
	closeEngine(t, e)
	require.Zero(t, e.Health().AtRisk)
}

func TestHealth_AfterClose(t *testing.T) {
	e := open(t, t.TempDir(), newApp(t), small())
	closeEngine(t, e)
	require.Equal(t, headrace.StateClosed, e.Health().State)
}

// buffer is what a logger writes to.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func TestLogger_SaysWhatAnOperatorShouldKnow(t *testing.T) {
	clock := headracetest.NewClock(newYear)
	var out buffer
	o := small()
	o.Slots, o.Clock, o.Logger = 64, clock, slog.New(slog.NewTextHandler(&out, nil))
	top := headrace.NewTopology(registry(t))
	handlers.Decide(top.Logic(), "picky", func(c *handlers.Context, d deposit) error { return errors.New("no") })
	top.Logic().OnFailure("picky", handlers.FailurePolicy{Retries: 1, Then: handlers.ThenDeadLetter})
	release := make(chan struct{})
	slow := handlers.NewProjection("slow", new(int))
	handlers.Apply(slow, func(*int, *handlers.Context, note) error { <-release; return nil })
	top.Project(slow, headrace.LaneOptions{MaxBatch: 64})
	e, err := headrace.Open(t.TempDir(), top, o)
	require.NoError(t, err)
	publish(t, producer(t, e, "web"), deposit{1, 1})
	settleLogic(t, e)
	require.Contains(t, out.String(), "tried again")
	clock.Advance(time.Hour)
	await(t, func() bool { return strings.Contains(out.String(), "dead letter") })
	last := int64(0)
	for range 60 {
		last = publish(t, producer(t, e, "web"), note{"x"})
	}
	require.NoError(t, e.WaitFor(limit(t), "logic", last)) // only one is behind
	await(t, func() bool {
		clock.Advance(time.Second)
		return strings.Contains(out.String(), "lane=slow")
	})
	close(release)
	await(t, func() bool {
		clock.Advance(time.Second)
		return strings.Contains(out.String(), "caught up")
	})
	require.Equal(t, 1, strings.Count(out.String(), "about to wait"), "once each time")
	closeEngine(t, e)
}

// watcher is an Observer that notes what it is told.
type watcher struct {
	mu   sync.Mutex
	said []string
}

type watcherKey struct{}

var (
	publishTrace = event.Trace{TraceID: [16]byte{1}, SpanID: [8]byte{1}}
	handleTrace  = event.Trace{TraceID: [16]byte{1}, SpanID: [8]byte{2}}
)

func (w *watcher) say(s ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.said = append(w.said, strings.Join(s, " "))
}

func (w *watcher) all() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.said...)
}

func (w *watcher) Publishing(_ context.Context, p headrace.Publishing) (event.Trace, func(int64, error)) {
	return publishTrace, func(seq int64, err error) {
		ok := "ok"
		if err != nil || seq == 0 {
			ok = "failed"
		}
		w.say("publish", p.Type, p.Key, ok)
	}
}

func (w *watcher) Handle(ctx context.Context, h handlers.Handling) (context.Context, event.Trace, func(error)) {
	trace := h.Event.Trace()
	return context.WithValue(ctx, watcherKey{}, h.Handler), handleTrace, func(err error) {
		s := "ok"
		if err != nil {
			s = err.Error()
		}
		w.say("handle", h.Handler, h.Type, s, string('0'+rune(trace.SpanID[0])))
	}
}

func TestObserver_SeesWhatIsLive_AndNoReplay(t *testing.T) {
	dir := t.TempDir()
	build := func() (*headrace.Topology, *[]any) {
		top := headrace.NewTopology(registry(t))
		var values []any
		handlers.On(top.Logic(), "teller", func(c *handlers.Context, d deposit) error {
			values = append(values, c.Value(watcherKey{}))
			return handlers.Emit(c, deposited(d))
		})
		handlers.Decide(top.Logic(), "picky", func(c *handlers.Context, d deposited) error {
			if d.Amount < 0 {
				panic("negative")
			}
			return nil
		})
		top.Logic().OnFailure("picky", handlers.FailurePolicy{Then: handlers.ThenSkip})
		handlers.Fold(top.Logic(), func(*handlers.Context, deposited) error { return nil })
		return top, &values
	}
	w := &watcher{}
	o := small()
	o.Observer = w
	top, values := build()
	e, err := headrace.Open(dir, top, o)
	require.NoError(t, err)
	web := producer(t, e, "web")
	_, err = headrace.Publish(limit(t), web, deposit{1, 1}, headrace.Meta{Key: "k"})
	require.NoError(t, err)
	settleLogic(t, e)
	_, err = headrace.Publish(limit(t), web, refusing{}, headrace.Meta{})
	require.Error(t, err)
	settleLogic(t, e)
	_, err = web.PublishBatch(limit(t), []headrace.Message{{Value: deposit{1, -1}}, {Value: note{"n"}}})
	require.NoError(t, err)
	settleLogic(t, e)
	closeEngine(t, e)
	require.Equal(t, []string{
		"publish bank.deposit k ok",
		"publish bank.refusing  failed",
		"publish bank.deposit  ok", "publish bank.note  ok",
		"handle teller bank.deposit ok 1",
		"handle picky bank.deposited ok 2",
		"handle teller bank.deposit ok 1",
		"handle picky bank.deposited " + handlers.ErrInterrupted.Error() + " 2",
	}, byKind(w.all()))
	require.Equal(t, []any{"teller", "teller"}, *values)

	again := &watcher{}
	o.Observer = again
	top, values = build()
	e, err = headrace.Open(dir, top, o)
	require.NoError(t, err)
	require.Empty(t, again.all(), "a replay is not watched")
	require.Equal(t, []any{nil, nil}, *values)
	closeEngine(t, e)
}

// byKind puts the ends of publishes before what handlers did, each in order: which of the goroutines speaks first is
// chance.
func byKind(said []string) (sorted []string) {
	for _, kind := range []string{"publish", "handle"} {
		for _, s := range said {
			if strings.HasPrefix(s, kind) {
				sorted = append(sorted, s)
			}
		}
	}
	return sorted
}

// BenchmarkHealth is what a probe costs, on an engine with a handler and a read model.
func BenchmarkHealth(b *testing.B) {
	e := open(b, b.TempDir(), newApp(b), small())
	publish(b, producer(b, e, "web"), deposit{1, 1})
	b.ReportAllocs()
	for b.Loop() {
		_ = e.Health()
	}
	closeEngine(b, e)
}
