package headrace_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/journal"
)

// Whatever does not return keeps the directory, no longer than it runs; Close may be called again meanwhile.
func TestEngine_Close_AgainForWhatWasLate(t *testing.T) {
	late := map[string]struct {
		named  string // in the errors
		halts  bool   // it keeps the engine from ending in order
		follow bool
		add    func(top *headrace.Topology, block func())
	}{
		"a handler": {named: `lane "logic"`, halts: true, add: func(top *headrace.Topology, block func()) {
			handlers.On(top.Logic(), "slow", func(*handlers.Context, deposit) error { block(); return nil })
		}},
		"the call of an effect": {named: `effect "slow"`, halts: true, add: func(top *headrace.Topology, block func()) {
			x := handlers.NewEffect("slow", func(*handlers.EffectContext, deposit) error { block(); return nil }, handlers.EffectOptions{})
			top.Effect(x, headrace.LaneOptions{})
		}},
		"a follower":            {named: `follower "slow"`, follow: true},
		"a nameless follower":   {named: "a follower without a name, behind event ", follow: true},
		"a follower in a group": {named: `follower "slow"`, follow: true},
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
				publish(t, producer(t, e, "web"), deposit{Amount: 1})
				<-entered
				if c.follow { // or whether the lanes were done is chance
					require.NoError(t, e.WaitIdle(limit(t)))
				}
				ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
				defer cancel()
				first := e.Close(ctx)
				require.ErrorIs(t, first, context.DeadlineExceeded)
				require.ErrorContains(t, first, c.named)
				require.ErrorContains(t, first, "stays open")
				_, err := headrace.Open(dir, headrace.NewTopology(event.NewRegistry()), small())
				require.ErrorIs(t, err, journal.ErrLocked)

				ctx, cancel = context.WithCancel(context.Background())
				cancel()
				err = e.Close(ctx)
				require.ErrorIs(t, err, context.Canceled)
				require.ErrorContains(t, err, c.named)
				require.Equal(t, headrace.StateClosing, e.Health().State)

				close(leave)
				if again {
					err = e.Close(limit(t))
					require.Equal(t, err, e.Close(ctx), "it is over")
					if c.halts {
						require.ErrorIs(t, err, context.DeadlineExceeded)
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
