package headrace_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/journal"
	"github.com/headrace/headrace/ring"
)

// A topology with what is nil is refused, all of it in one error; nothing panics.
func TestOpen_NilParts_AreFaults(t *testing.T) {
	for _, inMemory := range []bool{false, true} {
		r := registry(t)
		top := headrace.NewTopology(r)
		top.Project(nil, headrace.LaneOptions{})
		top.Project((*handlers.Projection[bank])(nil), headrace.LaneOptions{})
		top.Effect(nil, headrace.LaneOptions{})
		top.Project(handlers.NewProjection[bank]("stateless", nil), headrace.LaneOptions{})
		var err error
		if inMemory {
			_, err = headrace.OpenMemory(top, headrace.Options{})
		} else {
			_, err = headrace.Open(t.TempDir(), top, small())
		}
		require.ErrorIs(t, err, headrace.ErrTopology)
		require.Equal(t, 2, strings.Count(err.Error(), "the projection is nil"))
		require.ErrorContains(t, err, "Effect: it is nil")
	}
	top := headrace.NewTopology(registry(t))
	top.Project(handlers.NewProjection[bank]("stateless", nil), headrace.LaneOptions{})
	_, err := headrace.Open(t.TempDir(), top, small())
	require.ErrorContains(t, err, `projection "stateless": its state is nil`)
	e, err := headrace.Open(t.TempDir(), headrace.NewTopology(new(event.Registry)), small())
	require.NoError(t, err, "the zero registry is empty")
	closeEngine(t, e)
}

// Where nobody could answer a command, Call says so instead of waiting, and publishes nothing.
func TestCall_NobodyHandlesIt(t *testing.T) {
	top := headrace.NewTopology(registry(t))
	seen := handlers.NewProjection("seen", &bank{})
	handlers.Apply(seen, func(b *bank, _ *handlers.Context, _ deposit) error { b.Answers++; return nil })
	top.Project(seen, headrace.LaneOptions{}) // it reads, and does not answer
	handlers.Fold(top.Logic(), func(*handlers.Context, deposit) error { return nil })
	handlers.OnFiltered(top.Logic(), "others", handlers.Filter{Types: []string{"bank.note"}}, func(*handlers.Context) error { return nil })
	dir := t.TempDir()
	var out buffer
	o := small()
	o.Logger = slog.New(slog.NewTextHandler(&out, nil))
	e := open(t, dir, app{topology: top}, o)
	require.Contains(t, out.String(), `nobody here handles; a Call of one is refused" types=[bank.deposit]`)
	p := producer(t, e, "web")
	before := e.Stats().Ring.Cursor
	id := event.NewID()
	for _, m := range []headrace.Meta{{}, {ID: id}} {
		_, err := headrace.Call[deposited](limit(t), p, deposit{}, m)
		require.ErrorIs(t, err, headrace.ErrNoHandler)
		require.ErrorContains(t, err, "headrace_test.deposit")
	}
	require.Equal(t, before, e.Stats().Ring.Cursor, "it was published")
	_, err := headrace.Call[deposited](limit(t), p, keyed{}, headrace.Meta{})
	require.ErrorIs(t, err, event.ErrUnregistered)

	// One that was published otherwise, and that nobody has answered.
	_, err = headrace.Publish(limit(t), p, deposit{}, headrace.Meta{ID: id})
	require.NoError(t, err)
	_, err = headrace.Call[deposited](limit(t), p, deposit{}, headrace.Meta{ID: id})
	require.ErrorIs(t, err, headrace.ErrNoHandler)
	closeEngine(t, e)

	// A handler that was there has answered it: the answer is found without it.
	e = open(t, dir, newApp(t), small())
	reply, err := headrace.Call[deposited](limit(t), producer(t, e, "web"), deposit{Amount: 7}, headrace.Meta{ID: event.IDFromName("7")})
	require.NoError(t, err)
	closeEngine(t, e)
	e = open(t, dir, newAppWith(t, nil), small())
	again, err := headrace.Call[deposited](limit(t), producer(t, e, "web"), deposit{Amount: 7}, headrace.Meta{ID: event.IDFromName("7")})
	require.NoError(t, err)
	require.Equal(t, reply, again)
	closeEngine(t, e)
}

// Handlers by filter, deciding ones and effects may answer.
func TestCall_WhoMayAnswer(t *testing.T) {
	answer := func(c *handlers.Context) error { return handlers.Emit(c, deposited{}) }
	for name, register := range map[string]func(top *headrace.Topology){
		"by filter": func(top *headrace.Topology) {
			handlers.OnFiltered(top.Logic(), "any", handlers.Filter{Types: []string{"bank.deposit"}}, answer)
		},
		"decides": func(top *headrace.Topology) {
			handlers.Decide(top.Logic(), "teller", func(c *handlers.Context, _ deposit) error { return answer(c) })
		},
		"on another lane": func(top *headrace.Topology) {
			handlers.On(top.Lane("other", headrace.LaneOptions{}), "teller", func(c *handlers.Context, _ deposit) error { return answer(c) })
		},
		"effect": func(top *headrace.Topology) {
			top.Effect(handlers.NewEffect("teller", func(c *handlers.EffectContext, _ deposit) error {
				return handlers.Report(c, deposited{})
			}, handlers.EffectOptions{}), headrace.LaneOptions{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			top := headrace.NewTopology(registry(t))
			handlers.Fold(top.Logic(), func(*handlers.Context, deposited) error { return nil })
			register(top)
			var out buffer
			o := small()
			o.Logger = slog.New(slog.NewTextHandler(&out, nil))
			e := open(t, t.TempDir(), app{topology: top}, o)
			require.NotContains(t, out.String(), "nobody here handles")
			_, err := headrace.Call[deposited](limit(t), producer(t, e, "web"), deposit{}, headrace.Meta{})
			require.NoError(t, err)
			closeEngine(t, e)
		})
	}
}

// over is a context of nobody's that has ended: what waits with it waits no longer than its own grace.
func over() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// A follower's function, with whatever context and on whatever goroutine it runs, may not close the engine; and then goes on.
func TestClose_InAFollower_IsRefused(t *testing.T) {
	for name, follow := range map[string]func(e *headrace.Engine, fn func() error) error{
		"follow": func(e *headrace.Engine, fn func() error) error {
			return e.Follow(limit(t), headrace.FollowOptions{}, func(context.Context, handlers.Delivery) error { return fn() })
		},
		"passed": func(e *headrace.Engine, fn func() error) error {
			o := headrace.FollowOptions{Filter: handlers.Filter{Keys: []string{"nobody's"}}, Passed: func(handlers.Checkpoint) error { return fn() }}
			return e.Follow(limit(t), o, func(context.Context, handlers.Delivery) error { return nil })
		},
		"batch": func(e *headrace.Engine, fn func() error) error {
			return e.FollowBatch(limit(t), headrace.FollowOptions{}, 0, func(context.Context, []handlers.Delivery) error { return fn() })
		},
		"one member": func(e *headrace.Engine, fn func() error) error {
			return e.FollowShared(limit(t), headrace.FollowOptions{Name: "g"}, 1, func(context.Context, handlers.Delivery) error { return fn() })
		},
		"members": func(e *headrace.Engine, fn func() error) error {
			return e.FollowShared(limit(t), headrace.FollowOptions{Name: "g"}, 3, func(context.Context, handlers.Delivery) error { return fn() })
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := open(t, t.TempDir(), newApp(t), small())
			publish(t, producer(t, e, "web"), note{"x"})
			tried := make(chan error, 1)
			done := make(chan error, 1)
			go func() {
				done <- follow(e, func() error {
					select {
					case tried <- e.Close(over()):
					default:
					}
					return nil
				})
			}()
			require.ErrorIs(t, <-tried, headrace.ErrWouldDeadlock)
			closeEngine(t, e)
			require.NoError(t, <-done)
		})
	}
}

// The call of an effect waits for nothing that waits for it.
func TestEffect_WaitingForItself_IsRefused(t *testing.T) {
	var e *headrace.Engine
	var x *handlers.Effect
	got := make(chan error, 6)
	opened := make(chan struct{})
	x = handlers.NewEffect("gateway", func(c *handlers.EffectContext, _ note) error {
		<-opened
		for _, ctx := range []context.Context{c, over()} {
			got <- e.Close(ctx)
			got <- e.WaitIdle(ctx)
			got <- x.WaitIdle(ctx)
		}
		return nil
	}, handlers.EffectOptions{})
	top := headrace.NewTopology(registry(t))
	top.Effect(x, headrace.LaneOptions{})
	e = open(t, t.TempDir(), app{topology: top}, small())
	publish(t, producer(t, e, "web"), note{"x"})
	close(opened)
	for i := range cap(got) {
		err := <-got
		if i%3 < 2 {
			require.ErrorIs(t, err, headrace.ErrWouldDeadlock, "call %d", i)
		} else {
			require.ErrorIs(t, err, ring.ErrWouldDeadlock, "call %d", i)
		}
	}
	require.NoError(t, e.WaitIdle(limit(t)))
	closeEngine(t, e)
}

// What an effect publishes does not wait for its own queue, with whatever context.
func TestEffect_Publishes_WithAnotherContext(t *testing.T) {
	var e *headrace.Engine
	const n = 8
	done := make(chan error, n)
	opened := make(chan struct{})
	x := handlers.NewEffect("gateway", func(*handlers.EffectContext, note) error {
		<-opened
		_, err := headrace.Publish(context.Background(), producer(t, e, "gateway"), deposited{}, headrace.Meta{})
		done <- err
		return nil
	}, handlers.EffectOptions{Workers: 1, MaxWaiting: 1})
	top := headrace.NewTopology(registry(t))
	top.Effect(x, headrace.LaneOptions{})
	e = open(t, t.TempDir(), app{topology: top}, small())
	p := producer(t, e, "web")
	go func() {
		for range n {
			if _, err := headrace.Publish(limit(t), p, note{"x"}, headrace.Meta{}); err != nil {
				t.Error(err)
			}
		}
	}()
	await(t, func() bool {
		_, err := p.TryPublish(deposited{}, headrace.Meta{})
		return errors.Is(err, headrace.ErrWouldBlock)
	})
	close(opened)
	for range n {
		require.NoError(t, <-done)
	}
	closeEngine(t, e)
}

// A handler that publishes with an id, or from a source, that somebody outside is at is not let wait: who is at it may wait
// for the ring, which waits for the handler.
func TestHandler_RepeatsWhatIsOnItsWay_IsRefused(t *testing.T) {
	id := event.NewID()
	metas := []headrace.Meta{{ID: id}, {Source: "queue", SourceOffset: 1}}
	for _, m := range metas {
		var e *headrace.Engine
		begun, full, got := make(chan struct{}), make(chan struct{}), make(chan error, 1)
		a := newAppWith(t, func(*handlers.Context, deposit) error {
			close(begun)
			<-full
			_, err := headrace.Publish(context.Background(), producer(t, e, "inside"), note{}, m)
			got <- err
			return nil
		})
		e = open(t, t.TempDir(), a, small())
		p := producer(t, e, "web")
		publish(t, p, deposit{})
		<-begun
		for { // until the ring is full behind the handler
			if _, err := p.TryPublish(note{}, headrace.Meta{}); err != nil {
				require.ErrorIs(t, err, headrace.ErrWouldBlock)
				break
			}
		}
		outside := make(chan error, 1)
		go func() {
			_, err := headrace.Publish(limit(t), producer(t, e, "outside"), note{}, m)
			outside <- err
		}()
		await(t, func() bool { return e.Stats().Ring.Waiting == 1 })
		close(full)
		require.ErrorIs(t, <-got, headrace.ErrWouldDeadlock)
		require.NoError(t, <-outside)
		closeEngine(t, e)
	}
}

// A handler that trims is not let wait for a snapshot, which waits for its lane.
func TestTrim_InAHandler_IsRefused(t *testing.T) {
	var e *headrace.Engine
	got := make(chan error, 1)
	a := newAppWith(t, func(*handlers.Context, deposit) error {
		_, err := e.Trim(headrace.Retention{})
		got <- err
		return nil
	})
	e = open(t, t.TempDir(), a, small())
	publish(t, producer(t, e, "web"), deposit{})
	require.ErrorIs(t, <-got, headrace.ErrWouldDeadlock)
	closeEngine(t, e)
}

// A Call whose time is over says what it has waited for.
func TestCall_Timeout_SaysWhatForIt(t *testing.T) {
	a := newAppWith(t, func(*handlers.Context, deposit) error { return nil })
	e := open(t, t.TempDir(), a, small())
	ctx, cancel := context.WithCancel(context.Background())
	command := e.Written() + 1
	go func() {
		if err := e.WaitFor(limit(t), "logic", command); err != nil {
			t.Error(err)
		}
		cancel()
	}()
	_, err := headrace.Call[deposited](ctx, producer(t, e, "web"), deposit{}, headrace.Meta{})
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "bank.deposited")
	closeEngine(t, e)
}

// Who tries again after an Open that failed is told to make a new topology, not that an engine runs somewhere.
func TestOpen_TopologyOfAnOpenThatFailed_IsRefused(t *testing.T) {
	dir := t.TempDir()
	first, err := headrace.Open(dir, headrace.NewTopology(registry(t)), small())
	require.NoError(t, err)
	top := headrace.NewTopology(registry(t))
	_, err = headrace.Open(dir, top, small())
	require.ErrorIs(t, err, journal.ErrLocked)
	closeEngine(t, first)
	_, err = headrace.Open(dir, top, small())
	require.ErrorIs(t, err, headrace.ErrTopology)
	require.ErrorContains(t, err, "make a new one")
}

// A projection's handlers have no ids: what fails on it names the lane, and no empty handler.
func TestHandlerError_WithoutAnID_NamesTheLane(t *testing.T) {
	type upside struct{ N int }
	r := event.NewRegistry()
	event.MustRegister[upside](r, "upside", 1)
	top := headrace.NewTopology(r)
	handlers.Fold(top.Logic(), func(*handlers.Context, upside) error { return errors.New("down") })
	eng, err := headrace.Open(t.TempDir(), top, small())
	require.NoError(t, err)
	p, err := eng.Producer("p")
	require.NoError(t, err)
	_, err = headrace.Publish(t.Context(), p, upside{1}, headrace.Meta{})
	require.NoError(t, err)
	<-eng.Halted()
	var failed *handlers.HandlerError
	require.ErrorAs(t, eng.Close(t.Context()), &failed)
	require.Empty(t, failed.Handler)
	require.Equal(t, `handlers: lane "logic" failed on event 2 (upside): down`, failed.Error())
}
