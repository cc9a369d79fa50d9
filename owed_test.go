package headrace_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vmihailenco/msgpack/v5"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/journal"
)

// What a handler owes to the log may be far more than the feedback lane holds.
func TestOpen_OwesMoreThanTheFeedbackLaneHolds(t *testing.T) {
	dir := t.TempDir()
	o := small()
	o.FeedbackBytes = 64 << 10
	o.Journal.SegmentBytes = 1 << 20
	top := headrace.NewTopology(registry(t))
	e, err := headrace.Open(dir, top, o)
	require.NoError(t, err)
	for i := range int64(1000) {
		publish(t, producer(t, e, "web"), deposit{Amount: i})
	}
	closeEngine(t, e)
	for range 2 { // the second time it owes nothing
		top := headrace.NewTopology(registry(t))
		handlers.On(top.Logic(), "verbose", func(c *handlers.Context, d deposit) error {
			return errors.Join(handlers.Emit(c, note{strings.Repeat("x", 500)}), handlers.Emit(c, deposited(d)))
		})
		handlers.On(top.Logic(), "chain", func(c *handlers.Context, d deposited) error {
			return handlers.Emit(c, note{"seen"})
		})
		top.ReactFromStart("verbose")
		top.ReactFromStart("chain")
		notes := handlers.NewProjection("notes", new(int))
		handlers.Apply(notes, func(n *int, _ *handlers.Context, _ note) error { *n++; return nil })
		top.Project(notes, headrace.LaneOptions{})
		e, err := headrace.Open(dir, top, o)
		require.NoError(t, err)
		notes.View(func(n *int, at int64) {
			require.Equal(t, 2000, *n, "open returns when the state contains what was owed")
			require.Equal(t, e.Written(), at)
		})
		closeEngine(t, e)
	}
}

// Answers larger than commands, as fast as it goes: producers wait, and nothing halts.
func TestEmit_LargeAnswersUnderLoad(t *testing.T) {
	o := small()
	o.Slots = 1024
	o.FeedbackBytes = 2 << 20
	o.Journal.SegmentBytes = 4 << 20
	text := strings.Repeat("x", 16<<10)
	a := newAppWith(t, func(c *handlers.Context, d deposit) error { return handlers.Emit(c, note{text}) })
	e := open(t, t.TempDir(), a, o)
	var wg sync.WaitGroup
	for n := range 3 {
		p := producer(t, e, fmt.Sprint(n))
		wg.Go(func() {
			for i := range int64(1000) {
				if _, err := headrace.Publish(context.Background(), p, deposit{Amount: i}, headrace.Meta{}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	closeEngine(t, e)
}

// A handler that was not there while commands came in still owes them its answers.
func TestHandler_AwayForAWhile_AnswersWhatItMissed(t *testing.T) {
	dir := t.TempDir()
	closeEngine(t, open(t, dir, newApp(t), small()))
	e := open(t, dir, newAppWith(t, nil), small())
	for i := range int64(10) {
		publish(t, producer(t, e, "web"), deposit{Amount: i})
	}
	closeEngine(t, e)
	a := newApp(t)
	closeEngine(t, open(t, dir, a, small()))
	state, _ := a.state()
	require.Equal(t, 10, state.Answers)
}

// A handler that swallows the error of Emit would count one thing live and another at replay.
func TestEmit_ErrorCannotBeSwallowed(t *testing.T) {
	o := small()
	o.Journal.MaxBodyBytes = 1 << 10
	e := open(t, t.TempDir(), newAppWith(t, func(c *handlers.Context, d deposit) error {
		if err := handlers.Emit(c, note{strings.Repeat("x", 5000)}); errors.Is(err, handlers.ErrTooLarge) {
			return nil
		}
		return errors.New("it was emitted")
	}), o)
	publish(t, producer(t, e, "web"), deposit{})
	<-e.Halted()
	require.ErrorIs(t, e.Close(limit(t)), handlers.ErrTooLarge)
}

func TestPublish_OneLargeEvent_DoesNotMakeTheSmallOnesLarge(t *testing.T) {
	o := small()
	o.Slots = 1024
	o.Journal.SegmentBytes = 16 << 20
	e := open(t, t.TempDir(), newApp(t), o)
	p := producer(t, e, "web")
	publish(t, p, note{strings.Repeat("x", 1<<20)})
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range 3000 {
		publish(t, p, note{"x"})
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	require.Less(t, after.HeapAlloc, before.HeapAlloc+20<<20)
	closeEngine(t, e)
}

func TestPublish_ManyLargeAtOnce(t *testing.T) {
	o := small()
	o.OverflowBytes = 64 << 10
	o.Journal.SegmentBytes = 4 << 20
	e := open(t, t.TempDir(), newApp(t), o)
	text := strings.Repeat("x", 80<<10)
	var wg sync.WaitGroup
	for n := range 8 {
		p := producer(t, e, fmt.Sprint(n))
		wg.Go(func() {
			for range 100 {
				if _, err := headrace.Publish(limit(t), p, note{text}, headrace.Meta{}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	closeEngine(t, e)
}

// Close does not wait for the clock when a lane stands behind durable.
func TestEngine_Close_SyncsForThoseBehindDurable(t *testing.T) {
	o := small()
	o.Journal.Durability = journal.Interval(time.Hour)
	top := headrace.NewTopology(registry(t))
	l := top.Lane("outside", headrace.LaneOptions{Behind: headrace.Durable})
	handlers.On(l, "chain", func(c *handlers.Context, d deposit) error {
		if d.Amount == 0 {
			return nil
		}
		return handlers.Emit(c, deposit{Amount: d.Amount - 1})
	})
	count := handlers.NewProjection("count", new(int))
	handlers.Apply(count, func(n *int, _ *handlers.Context, _ deposit) error { *n++; return nil })
	top.Project(count, headrace.LaneOptions{Behind: headrace.Durable})
	e, err := headrace.Open(t.TempDir(), top, o)
	require.NoError(t, err)
	publish(t, producer(t, e, "web"), deposit{Amount: 5})
	closeEngine(t, e)
	count.View(func(n *int, _ int64) { require.Equal(t, 6, *n) })
}

type bytesEvent struct{ B []byte }

// Each of two handlers of a type gets an event of its own to change.
func TestLane_HandlersOwnWhatTheyGet(t *testing.T) {
	reg := event.NewRegistry()
	event.MustRegister[bytesEvent](reg, "bytes", 1)
	top := headrace.NewTopology(reg)
	seen := make(chan []byte, 2)
	for _, id := range []string{"a", "b"} {
		handlers.On(top.Logic(), id, func(_ *handlers.Context, e bytesEvent) error {
			seen <- bytes.Clone(e.B)
			e.B[0] = 99
			return nil
		})
	}
	e, err := headrace.Open(t.TempDir(), top, small())
	require.NoError(t, err)
	publish(t, producer(t, e, "web"), bytesEvent{[]byte{1, 2}})
	closeEngine(t, e)
	require.Equal(t, []byte{1, 2}, <-seen)
	require.Equal(t, []byte{1, 2}, <-seen)
}

func TestReplay_TypesThatTheLogDoesNotKnow(t *testing.T) {
	dir := t.TempDir()
	closeEngine(t, open(t, dir, newApp(t), small()))
	reg := registry(t)
	event.MustRegister[bytesEvent](reg, "fresh", 1)
	top := headrace.NewTopology(reg)
	handlers.On(top.Logic(), "fresh", func(*handlers.Context, bytesEvent) error { return nil })
	_, err := headrace.Replay(dir, top, headrace.ReplayOptions{})
	require.NoError(t, err)
}

// exits ends the goroutine that encodes it, if it is told to.
type exits struct{ Now bool }

func (x *exits) EncodeMsgpack(e *msgpack.Encoder) error {
	if x.Now {
		runtime.Goexit()
	}
	return e.EncodeNil()
}
func (x *exits) DecodeMsgpack(d *msgpack.Decoder) error { return d.DecodeNil() }

// An encoder that ends its goroutine leaves no claim behind.
func TestPublish_EncoderEndsItsGoroutine(t *testing.T) {
	reg := event.NewRegistry()
	event.MustRegister[exits](reg, "exits", 1)
	e, err := headrace.Open(t.TempDir(), headrace.NewTopology(reg), small())
	require.NoError(t, err)
	p := producer(t, e, "web")
	id := event.IDFromName("x")
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = headrace.Publish(context.Background(), p, exits{true}, headrace.Meta{ID: id})
	}()
	<-done
	seq, err := headrace.Publish(limit(t), p, exits{}, headrace.Meta{ID: id})
	require.NoError(t, err)
	require.NoError(t, e.WaitWritten(limit(t), seq))
	closeEngine(t, e)
}

func TestFollow_OneOfAName_AndNoClosingFromInside(t *testing.T) {
	e := open(t, t.TempDir(), newApp(t), small())
	publish(t, producer(t, e, "web"), deposit{})
	err := e.Follow(limit(t), headrace.FollowOptions{Name: "a", Provisional: true}, func(ctx context.Context, _ handlers.Delivery) error {
		require.ErrorIs(t, e.Close(ctx), headrace.ErrWouldDeadlock)
		require.ErrorIs(t, e.Follow(ctx, headrace.FollowOptions{Name: "a"}, nil), headrace.ErrFollowing)
		return journal.ErrStop // the function's errors come back as they are, whatever they mean elsewhere
	})
	require.ErrorIs(t, err, journal.ErrStop)
	closeEngine(t, e)
}

func TestOpen_ManyHandlersInSmallSegments(t *testing.T) {
	o := small()
	o.Journal.MaxBodyBytes = 1 << 10 // the smallest, for the engine's own records too
	top := headrace.NewTopology(registry(t))
	top.AnsweredByMany("bank.deposit")
	for i := range 1000 {
		handlers.On(top.Logic(), fmt.Sprintf("handler %d %s", i, strings.Repeat("x", 100)), func(*handlers.Context, deposit) error { return nil })
	}
	e, err := headrace.Open(t.TempDir(), top, o)
	require.NoError(t, err)
	closeEngine(t, e)
}

func TestOpen_ProjectionOfAnotherEngine_IsRefused(t *testing.T) {
	a := newApp(t)
	closeEngine(t, open(t, t.TempDir(), a, small()))
	top := headrace.NewTopology(registry(t))
	top.Project(a.bank, headrace.LaneOptions{MaxBatch: 1 << 20})
	_, err := headrace.Open(t.TempDir(), top, headrace.Options{SlotBytes: 1})
	require.ErrorContains(t, err, "MaxBatch")
	require.ErrorContains(t, err, "SlotBytes")
	top = headrace.NewTopology(registry(t))
	top.Project(a.bank, headrace.LaneOptions{})
	_, err = headrace.Open(t.TempDir(), top, small())
	require.ErrorContains(t, err, "already serves")
}

func TestPublish_TimeThatDoesNotFit(t *testing.T) {
	e := open(t, t.TempDir(), newApp(t), small())
	var fe *event.FieldError
	for _, year := range []int{1, 1600, 2400} {
		_, err := headrace.Publish(limit(t), producer(t, e, "web"), deposit{}, headrace.Meta{Time: time.Date(year, 1, 1, 0, 0, 0, 1, time.UTC)})
		require.ErrorAs(t, err, &fe, "year %d", year)
		require.Equal(t, "Time", fe.Field)
	}
	_, err := e.Producer("\xff")
	require.ErrorIs(t, err, headrace.ErrProducerName)
	closeEngine(t, e)
}

// A log whose beginning was removed, or that no engine wrote, would replay to a state that never was.
func TestOpen_LogWithoutItsBeginning_IsRefused(t *testing.T) {
	dir := t.TempDir()
	j, err := journal.Open(dir, journal.Options{SegmentBytes: journal.MinSegmentBytes})
	require.NoError(t, err)
	_, err = j.Append(journal.Entry{Type: 17, Body: []byte("something")})
	require.NoError(t, err)
	require.NoError(t, j.Close())
	_, err = headrace.Open(dir, newApp(t).topology, small())
	require.ErrorIs(t, err, headrace.ErrLog)
	_, err = headrace.Replay(dir, newApp(t).topology, headrace.ReplayOptions{})
	require.ErrorIs(t, err, headrace.ErrLog)
}

// A Close that cannot wait tells the follower so, and the follower its caller.
func TestFollow_CloseCannotWait(t *testing.T) {
	e := open(t, t.TempDir(), newApp(t), small())
	publish(t, producer(t, e, "web"), deposit{})
	begun, done := make(chan struct{}), make(chan error)
	var once sync.Once
	go func() {
		done <- e.Follow(context.Background(), headrace.FollowOptions{Provisional: true}, func(ctx context.Context, _ handlers.Delivery) error {
			once.Do(func() { close(begun) })
			<-ctx.Done()
			return nil
		})
	}()
	<-begun
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = e.Close(ctx) // whether the lanes were done is chance
	require.ErrorIs(t, <-done, headrace.ErrClosed)
}
