package headrace_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/vmihailenco/msgpack/v5"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/internal/system"
	"github.com/headrace/headrace/journal"
	"github.com/headrace/headrace/ring"
)

func TestEngine_Reopen_StateIsRebuilt(t *testing.T) {
	for _, mode := range []journal.Durability{journal.None(), journal.Interval(1e6), journal.Group(1e6, 1<<16), journal.Batch()} {
		t.Run(mode.String(), func(t *testing.T) {
			dir, o := t.TempDir(), small()
			o.Journal.Durability = mode
			var want bank
			var wantLast int64
			for round := range 3 {
				a := newApp(t)
				e := open(t, dir, a, o)
				before, _ := a.state()
				require.Equal(t, want.Order, before.Order, "after reopening %d times", round)
				p := producer(t, e, "web")
				var last int64
				for i := range int64(1000) {
					last = publish(t, p, deposit{Account: i % 7, Amount: i + int64(round)})
				}
				require.NoError(t, e.WaitDurable(limit(t), last))
				require.GreaterOrEqual(t, e.Durable(), last)
				closeEngine(t, e)
				want, wantLast = a.state()
				require.Equal(t, 1000*(round+1), want.Answers)
			}
			a := newApp(t)
			got, err := headrace.Replay(dir, a.topology, headrace.ReplayOptions{})
			require.NoError(t, err)
			state, at := a.state()
			require.Equal(t, want, state)
			require.Equal(t, wantLast, at)
			require.Equal(t, wantLast, got.LastSequence)
			require.Equal(t, wantLast, got.DurableSequence)
		})
	}
}

func TestEngine_PerProducerOrder(t *testing.T) {
	a := newApp(t)
	e := open(t, t.TempDir(), a, small())
	const producers, each = 4, 2000
	var wg sync.WaitGroup
	for n := range producers {
		p := producer(t, e, fmt.Sprint("producer ", n))
		wg.Add(1)
		go func() {
			defer wg.Done()
			last := int64(0)
			for i := range each {
				seq, err := headrace.Publish(context.Background(), p, deposit{Account: int64(n), Amount: int64(n*each + i)}, headrace.Meta{})
				if err != nil || seq <= last {
					t.Errorf("producer %d, event %d: sequence %d after %d: %v", n, i, seq, last, err)
					return
				}
				last = seq
			}
		}()
	}
	wg.Wait()
	closeEngine(t, e)
	state, _ := a.state()
	next := map[int64]int64{}
	for _, amount := range state.Order {
		n := amount / each
		require.Equal(t, next[n], amount%each, "producer %d", n)
		next[n]++
	}
	require.Len(t, state.Order, producers*each)
}

func TestEngine_HandlerFails_EverybodyIsTold(t *testing.T) {
	boom := errors.New("boom")
	for name, fail := range map[string]func() error{
		"error": func() error { return boom },
		"panic": func() error { panic(boom) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			told := make(chan error, 1)
			o := small()
			o.OnError = func(err error) { told <- err }
			teller := func(c *handlers.Context, d deposit) error {
				if d.Amount == 13 {
					return fail()
				}
				return handlers.Emit(c, deposited(d))
			}
			a := newAppWith(t, teller)
			e := open(t, dir, a, o)
			p := producer(t, e, "web")
			publish(t, p, deposit{Amount: 1})
			bad := publish(t, p, deposit{Amount: 13})

			check := func(err error) {
				t.Helper()
				var he *handlers.HandlerError
				require.ErrorAs(t, err, &he)
				require.ErrorIs(t, err, boom)
				require.Equal(t, "teller", he.Handler)
				require.Equal(t, bad, he.Sequence)
				require.Equal(t, "bank.deposit", he.Type)
			}
			<-e.Halted()
			check(<-told)
			check(e.Err())
			_, err := headrace.Publish(limit(t), p, deposit{}, headrace.Meta{})
			require.ErrorIs(t, err, headrace.ErrHalted)
			check(err)
			err = e.WaitWritten(limit(t), bad+1000)
			require.ErrorIs(t, err, headrace.ErrHalted)
			check(err)
			check(a.bank.WaitFor(limit(t), bad+1000))
			check(e.Close(limit(t)))
			check(e.Close(limit(t)))

			_, err = headrace.Open(dir, newAppWith(t, teller).topology, small())
			check(err)

			fixed := newApp(t)
			e = open(t, dir, fixed, small())
			closeEngine(t, e)
			state, _ := fixed.state()
			require.Equal(t, []int64{1, 13}, state.Order)
		})
	}
}

// A handler that ends its goroutine, live and at replay: an error, not a hang.
func TestEngine_HandlerGoexit(t *testing.T) {
	dir := t.TempDir()
	quits := func(*handlers.Context, deposit) error { runtime.Goexit(); return nil }
	e := open(t, dir, newAppWith(t, quits), small())
	publish(t, producer(t, e, "web"), deposit{})
	<-e.Halted()
	require.ErrorIs(t, e.Err(), ring.ErrGoexit)
	var live, replayed *handlers.HandlerError
	require.ErrorAs(t, e.Err(), &live)
	require.Equal(t, "logic", live.Lane)
	require.NotEmpty(t, live.Handler)
	require.ErrorIs(t, e.Close(limit(t)), ring.ErrGoexit)
	_, err := headrace.Open(dir, newAppWith(t, quits).topology, small())
	require.ErrorIs(t, err, ring.ErrGoexit)
	require.ErrorAs(t, err, &replayed)
	require.Equal(t, live, replayed)
	a := newApp(t)
	closeEngine(t, open(t, dir, a, small()))
	state, _ := a.state()
	require.Equal(t, 1, state.Answers)
}

func TestPublish_WhatCannotBeEncoded_IsAnErrorAndAVoid(t *testing.T) {
	dir := t.TempDir()
	o := small()
	o.Journal.MaxBodyBytes = 4 << 10
	a := newApp(t)
	e := open(t, dir, a, o)
	p := producer(t, e, "web")

	_, err := headrace.Publish(limit(t), p, note{strings.Repeat("x", 5<<10)}, headrace.Meta{})
	require.ErrorIs(t, err, handlers.ErrTooLarge)
	require.ErrorContains(t, err, "bank.note")
	require.ErrorContains(t, err, "4096")

	var ee *event.EncodeError
	_, err = headrace.Publish(limit(t), p, refusing{}, headrace.Meta{})
	require.ErrorAs(t, err, &ee)
	require.ErrorIs(t, err, errRefusing)
	_, err = headrace.Publish(limit(t), p, refusing{Panic: true}, headrace.Meta{})
	require.ErrorAs(t, err, &ee)

	_, err = headrace.Publish(limit(t), p, deposit{}, headrace.Meta{Key: strings.Repeat("k", 1<<16)})
	require.ErrorIs(t, err, event.ErrFieldTooLong)
	_, err = headrace.Publish(limit(t), p, struct{ Unknown int }{}, headrace.Meta{})
	require.ErrorIs(t, err, event.ErrUnregistered)

	last := publish(t, p, deposit{Amount: 5})
	require.NoError(t, e.WaitWritten(limit(t), last))
	closeEngine(t, e)

	voids := 0
	for i, l := range readLog(t, dir) {
		require.Equal(t, int64(i+1), l.seq)
		if l.kind == journal.KindVoid {
			voids++
		}
	}
	require.Equal(t, 4, voids)
	again := newApp(t)
	closeEngine(t, open(t, dir, again, o))
	state, _ := again.state()
	require.Equal(t, []int64{5}, state.Order)
}

func TestPublish_LargerThanASlot_BoundedMemory(t *testing.T) {
	dir := t.TempDir()
	o := small()
	o.OverflowBytes = 64 << 10
	top := headrace.NewTopology(registry(t))
	sum := handlers.NewProjection("sum", new(int))
	handlers.Apply(sum, func(s *int, c *handlers.Context, n note) error {
		for _, b := range []byte(n.Text) {
			*s += int(b)
		}
		return nil
	})
	top.Project(sum, headrace.LaneOptions{})
	e, err := headrace.Open(dir, top, o)
	require.NoError(t, err)
	p := producer(t, e, "web")
	want := 0
	for i := range 300 {
		text := strings.Repeat(string(rune('a'+i%26)), 100+97*i)
		for _, b := range []byte(text) {
			want += int(b)
		}
		publish(t, p, note{text})
		require.LessOrEqual(t, e.Stats().OverflowBytes, int64(64<<10+256<<10))
	}
	closeEngine(t, e)
	sum.View(func(s *int, _ int64) { require.Equal(t, want, *s) })
}

func TestEngine_Closed_IsAnError(t *testing.T) {
	a := newApp(t)
	e := open(t, t.TempDir(), a, small())
	p := producer(t, e, "web")
	seq := publish(t, p, deposit{Amount: 1})
	closeEngine(t, e)
	_, err := headrace.Publish(limit(t), p, deposit{}, headrace.Meta{})
	require.ErrorIs(t, err, headrace.ErrClosed)
	require.NoError(t, e.WaitWritten(limit(t), seq))
	require.NoError(t, e.WaitDurable(limit(t), seq))
	require.ErrorIs(t, e.WaitWritten(limit(t), seq+100), headrace.ErrClosed)
	require.ErrorIs(t, e.Follow(limit(t), headrace.FollowOptions{}, nil), headrace.ErrClosed)
	closeEngine(t, e)
}

func TestOpen_SecondEngine_IsRefused(t *testing.T) {
	dir := t.TempDir()
	e := open(t, dir, newApp(t), small())
	_, err := headrace.Open(dir, newApp(t).topology, small())
	require.ErrorIs(t, err, journal.ErrLocked)
	closeEngine(t, e)
	closeEngine(t, open(t, dir, newApp(t), small()))
}

func TestOpen_Faults_AreAllReported(t *testing.T) {
	_, err := headrace.Open(t.TempDir(), newApp(t).topology, headrace.Options{Slots: 100, SlotBytes: 1, DedupWindow: -1, CascadeDepth: -1})
	for _, field := range []string{"Slots", "SlotBytes", "DedupWindow", "CascadeDepth"} {
		require.ErrorContains(t, err, "Options."+field)
	}

	top := headrace.NewTopology(registry(t))
	handlers.On(top.Logic(), "", func(*handlers.Context, deposit) error { return nil })
	handlers.On[deposit](top.Logic(), "nil", nil)
	handlers.On(top.Logic(), "twice", func(*handlers.Context, deposit) error { return nil })
	handlers.On(top.Logic(), "twice", func(*handlers.Context, deposit) error { return nil })
	handlers.On(top.Logic(), "stranger", func(*handlers.Context, int) error { return nil })
	_, err = headrace.Open(t.TempDir(), top, small())
	require.ErrorIs(t, err, event.ErrUnregistered)
	for _, text := range []string{`"nil" is nil`, "1 to 255 bytes", "registered twice", "stranger"} {
		require.ErrorContains(t, err, text)
	}
	_, err = headrace.Open(t.TempDir(), top, small())
	require.ErrorIs(t, err, headrace.ErrTopology, "a topology serves once")

	top = headrace.NewTopology(registry(t))
	top.Lane("logic", headrace.LaneOptions{})
	top.Lane("journal", headrace.LaneOptions{Behind: 77, MaxBatch: -1})
	top.ReactFromStart("nobody")
	_, err = headrace.Open(t.TempDir(), top, small())
	for _, text := range []string{`two lanes are named "logic"`, `"journal" is taken`, "Gate(77)", "MaxBatch -1", `ReactFromStart("nobody")`} {
		require.ErrorContains(t, err, text)
	}
}

func TestHandler_BlockingCalls_AreRefused(t *testing.T) {
	var e *headrace.Engine
	var p *headrace.Producer
	got := make(chan []error, 1)
	ready := make(chan struct{})
	a := newAppWith(t, func(c *handlers.Context, d deposit) error {
		<-ready
		var errs []error
		_, err := headrace.Publish(c, p, deposit{}, headrace.Meta{})
		errs = append(errs, err)
		ctx, cancel := context.WithCancel(c)
		defer cancel()
		_, err = headrace.Publish(ctx, p, deposit{}, headrace.Meta{})
		errs = append(errs, err, e.WaitFor(c, "logic", 1<<40), e.WaitWritten(context.Background(), 1<<40), e.Close(context.Background()))
		// A context that hides where it comes from: refused as soon as it would wait.
		for err = nil; err == nil; {
			_, err = headrace.Publish(context.Background(), p, note{}, headrace.Meta{})
		}
		got <- append(errs, err)
		return nil
	})
	e = open(t, t.TempDir(), a, small())
	p = producer(t, e, "web")
	publish(t, p, deposit{})
	close(ready)
	for i, err := range <-got {
		require.ErrorIs(t, err, headrace.ErrWouldDeadlock, "call %d", i)
		publishes := i < 2 || i == 5
		require.Equal(t, publishes, strings.Contains(err.Error(), "handlers.Emit"), "call %d: %v", i, err)
	}
	closeEngine(t, e)
}

func TestEngine_CloseAgainAndAgain_LeavesNothing(t *testing.T) {
	dir := t.TempDir()
	run := func() {
		a := newApp(t)
		e := open(t, dir, a, small())
		p := producer(t, e, "web")
		for i := range int64(50) {
			publish(t, p, deposit{Amount: i})
		}
		closeEngine(t, e)
	}
	run()
	before := resources(t)
	for range 20 {
		run()
	}
	after := resources(t)
	require.LessOrEqual(t, after.descriptors, before.descriptors, "descriptors")
	require.LessOrEqual(t, after.mappings, before.mappings, "mappings of segments")
	for ctx := limit(t); runtime.NumGoroutine() > before.goroutines; runtime.Gosched() {
		require.NoError(t, ctx.Err(), "goroutines") // one that has said that it is done may still be on its way out
	}
}

// Close in the middle of publishing: what was accepted is in the log, once and with its answer; the
// rest was refused.
func TestEngine_CloseUnderLoad_AcceptedAndAnswered(t *testing.T) {
	for range 30 {
		dir := t.TempDir()
		e := open(t, dir, newApp(t), small())
		var accepted sync.Map
		var wg sync.WaitGroup
		begun := make(chan struct{}, 3)
		for n := range 3 {
			p := producer(t, e, fmt.Sprint(n))
			wg.Go(func() {
				for i := range int64(1 << 40) {
					seq, err := headrace.Publish(context.Background(), p, deposit{Amount: i}, headrace.Meta{})
					if err != nil {
						if !errors.Is(err, headrace.ErrClosed) {
							t.Error(err)
						}
						return
					}
					accepted.Store(seq, true)
					if i == 20 {
						begun <- struct{}{}
					}
				}
			})
		}
		<-begun
		closeEngine(t, e)
		wg.Wait()
		log := readLog(t, dir)
		checkAnswers(t, log)
		accepted.Range(func(seq, _ any) bool {
			require.LessOrEqual(t, seq.(int64), int64(len(log)))
			l := log[seq.(int64)-1]
			require.Equal(t, journal.KindEvent, l.kind)
			require.False(t, l.header.HasOrigin)
			return true
		})
	}
}

// slowDeposit is encoded while the test holds it.
type slowDeposit struct{ hold, entered chan struct{} }

func (s *slowDeposit) EncodeMsgpack(e *msgpack.Encoder) error {
	close(s.entered)
	<-s.hold
	return e.EncodeNil()
}
func (s *slowDeposit) DecodeMsgpack(d *msgpack.Decoder) error { return d.DecodeNil() }

// Close waits for an event that is being encoded, and for its answer.
func TestEngine_Close_WaitsForWhoIsInside(t *testing.T) {
	for range 20 {
		reg := event.NewRegistry()
		event.MustRegister[slowDeposit](reg, "slow", 1)
		event.MustRegister[note](reg, "note", 1)
		top := headrace.NewTopology(reg)
		handlers.On(top.Logic(), "teller", func(c *handlers.Context, _ slowDeposit) error { return handlers.Emit(c, note{}) })
		dir := t.TempDir()
		e, err := headrace.Open(dir, top, small())
		require.NoError(t, err)
		p := producer(t, e, "web")
		v := slowDeposit{make(chan struct{}), make(chan struct{})}
		published, closed := make(chan error, 1), make(chan error, 1)
		go func() {
			_, err := headrace.Publish(context.Background(), p, v, headrace.Meta{})
			published <- err
		}()
		<-v.entered
		go func() { closed <- e.Close(limit(t)) }()
		for err = nil; !errors.Is(err, headrace.ErrClosed); { // until closing has begun
			err = e.Follow(limit(t), headrace.FollowOptions{Until: 1}, func(context.Context, handlers.Delivery) error { return nil })
		}
		for range 1000 { // a Close that did not wait would be past its drain by now
			runtime.Gosched()
		}
		close(v.hold)
		require.NoError(t, <-published)
		require.NoError(t, <-closed)
		log := readLog(t, dir)
		checkAnswers(t, log)
		require.True(t, log[len(log)-1].header.HasOrigin)
	}
}

// A context that has ended halts the engine also where nothing is left to do: the log then says nothing of an end in order.
func TestEngine_CloseWithoutTime_Halts(t *testing.T) {
	closings := func(dir string) (n int) {
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
	dir := t.TempDir()
	const often = 60 // whether what is left to wait for is waited for would be chance
	for round := range often {
		halts := round < often-1
		top, _ := counted(t)
		e, err := headrace.Open(dir, top, small())
		require.NoError(t, err)
		publish(t, producer(t, e, "web"), deposit{1, 1})
		require.NoError(t, e.WaitIdle(limit(t)))
		ctx, cancel := context.WithCancel(limit(t))
		if halts {
			cancel()
		}
		err = e.Close(ctx)
		cancel()
		if halts {
			require.ErrorIs(t, err, context.Canceled)
			require.Zero(t, closings(dir))
			continue
		}
		require.NoError(t, err)
		require.Equal(t, 1, closings(dir))
	}
}

func TestEngine_CloseWithDeadline_NamesTheLateLane(t *testing.T) {
	entered := make(chan struct{})
	a := newAppWith(t, func(c *handlers.Context, d deposit) error {
		close(entered)
		<-c.Done()
		return c.Err()
	})
	dir := t.TempDir()
	e := open(t, dir, a, small())
	publish(t, producer(t, e, "web"), deposit{Amount: 1})
	<-entered
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	err := e.Close(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, `"logic"`)
	require.Equal(t, err, e.Close(limit(t)))

	again := newApp(t)
	closeEngine(t, open(t, dir, again, small()))
	state, _ := again.state()
	require.Equal(t, []int64{1}, state.Order, "what was written is handled after the next Open")
}
