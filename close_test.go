package headrace_test

import (
	"context"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/journal"
	"github.com/headrace/headrace/ring"
)

// Whatever does not return keeps the directory, no longer than it runs; Close may be called again meanwhile.
func TestEngine_Close_AgainForWhatWasLate(t *testing.T) {
	late := map[string]struct {
		named  string // in the errors
		halts  bool   // it keeps the engine from ending in order
		follow bool
		resume bool   // it was paused
		waits  string // where Close waits for it first, while its context allows
		add    func(top *headrace.Topology, block func())
	}{
		"a handler": {named: `lane "logic"`, halts: true, waits: "drain", add: func(top *headrace.Topology, block func()) {
			handlers.On(top.Logic(), "slow", func(*handlers.Context, deposit) error { block(); return nil })
		}},
		"the call of an effect": {named: `effect "slow"`, halts: true, waits: "stopEffects", add: func(top *headrace.Topology, block func()) {
			x := handlers.NewEffect("slow", func(*handlers.EffectContext, deposit) error { block(); return nil }, handlers.EffectOptions{})
			top.Effect(x, headrace.LaneOptions{})
		}},
		"a projection that catches up": {named: `projection "slow", which is catching up,`, halts: true, resume: true, waits: "drain",
			add: func(top *headrace.Topology, block func()) {
				slow := handlers.NewProjection("slow", &bank{})
				handlers.Apply(slow, func(*bank, *handlers.Context, deposit) error { block(); return nil })
				top.Project(slow, headrace.LaneOptions{})
			}},
		"a follower":            {named: `follower "slow"`, follow: true, waits: "awaitFollowers"},
		"a nameless follower":   {named: "a follower without a name, behind event ", follow: true, waits: "awaitFollowers"},
		"a follower in a group": {named: `follower "slow"`, follow: true, waits: "awaitFollowers"},
	}
	headrace.SetHaltGrace(t, time.Millisecond)
	for name, c := range late {
		for _, again := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				entered, leave := make(chan struct{}), make(chan struct{})
				block := func() { close(entered); <-leave }
				top := headrace.NewTopology(registry(t))
				if c.add != nil {
					c.add(top, block)
				}
				dir := t.TempDir()
				e := open(t, dir, app{topology: top}, small())
				followed := make(chan error, 1)
				if c.follow {
					fn := func(context.Context, handlers.Delivery) error { block(); return nil }
					o := headrace.FollowOptions{Name: "slow", Provisional: true}
					follow := func() error { return e.Follow(context.Background(), o, fn) }
					switch name {
					case "a nameless follower":
						o.Name = ""
					case "a follower in a group":
						follow = func() error { return e.FollowShared(context.Background(), o, 1, fn) }
					}
					go func() { followed <- follow() }()
				}
				if c.resume {
					require.NoError(t, e.Pause("slow"))
				}
				publish(t, producer(t, e, "web"), deposit{Amount: 1})
				if c.resume { // it has let the event go by
					await(t, func() bool {
						return !slices.ContainsFunc(e.Stats().Ring.Consumers, func(s ring.ConsumerStats) bool { return s.Lag > 0 })
					})
					require.NoError(t, e.Resume("slow"))
				}
				<-entered
				if c.follow { // or whether the lanes were done is chance
					require.NoError(t, e.WaitIdle(limit(t)))
				}
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				closed := make(chan error, 1)
				go func() { closed <- e.Close(ctx) }()
				await(t, func() bool { return goroutineIn(c.waits) != "" })
				cancel()
				first := <-closed
				require.ErrorIs(t, first, context.Canceled)
				require.ErrorContains(t, first, c.named)
				require.ErrorContains(t, first, "stays open")
				// Whoever closes the directory waits for it; or has not waited, and is done.
				await(t, func() bool {
					return e.Health().State != headrace.StateClosing || slices.Contains(waiting, goroutineIn("awaitAll"))
				})
				_, err := headrace.Open(dir, headrace.NewTopology(event.NewRegistry()), small())
				require.ErrorIs(t, err, journal.ErrLocked)

				err = e.Close(ctx)
				require.ErrorIs(t, err, context.Canceled)
				require.ErrorContains(t, err, "still closing")
				require.ErrorContains(t, err, c.named)
				require.Equal(t, headrace.StateClosing, e.Health().State)

				close(leave)
				if again {
					err = e.Close(limit(t))
					require.Equal(t, err, e.Close(ctx), "it is over")
					if c.halts {
						require.ErrorIs(t, err, context.Canceled)
						require.NotContains(t, err.Error(), "stays open")
					} else {
						require.NoError(t, err)
					}
				} else {
					await(t, func() bool { return e.Health().State == headrace.StateClosed })
				}
				if c.follow {
					<-followed
				}
				closeEngine(t, open(t, dir, newApp(t), small()))
			})
		}
	}
}

// waiting is what goroutines are that another one has to let go on.
var waiting = []string{"chan receive", "select", "sync.WaitGroup.Wait", "sync.Cond.Wait"}

// goroutineIn returns the state of a goroutine that is in the engine's method, "" for none.
func goroutineIn(method string) string {
	all := make([]byte, 1<<20)
	for g := range strings.SplitSeq(string(all[:runtime.Stack(all, true)]), "\n\n") {
		if strings.Contains(g, "headrace.(*Engine)."+method+"(") {
			_, state, _ := strings.Cut(g, "[")
			state, _, _ = strings.Cut(state, "]")
			state, _, _ = strings.Cut(state, ",") // for how long
			return state
		}
	}
	return ""
}

// Who has ended is not late, however far behind a halt has left it.
func TestEngine_Close_NamesNobodyWhoHasEnded(t *testing.T) {
	headrace.SetHaltGrace(t, time.Millisecond)
	entered, leave, handling := make(chan struct{}), make(chan struct{}), make(chan struct{}, 2)
	e := open(t, t.TempDir(), newAppWith(t, func(c *handlers.Context, d deposit) error {
		handling <- struct{}{}
		<-c.Done() // the second deposit stays unhandled
		return nil
	}), small())
	followed := make(chan error, 1)
	go func() {
		followed <- e.Follow(context.Background(), headrace.FollowOptions{Name: "slow", Provisional: true},
			func(context.Context, handlers.Delivery) error { close(entered); <-leave; return errEnough })
	}()
	p := producer(t, e, "web")
	publish(t, p, deposit{Amount: 1})
	<-handling // by itself: what is handled in one piece with it would be handled to the end
	require.NoError(t, e.WaitFor(limit(t), "journal", publish(t, p, deposit{Amount: 2})))
	<-entered
	require.ErrorIs(t, e.Close(over()), context.Canceled)
	await(t, func() bool { return goroutineIn("awaitAll") == "sync.WaitGroup.Wait" }) // for the follower: the lanes have ended
	require.EqualError(t, e.Close(over()), `headrace: still closing: follower "slow" has not returned: context canceled`)
	close(leave)
	<-followed
	require.ErrorContains(t, e.Close(limit(t)), `lane "logic" is late`)
}
