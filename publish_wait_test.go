package headrace_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
)

// Whatever a publisher may wait for: TryPublish does not, and Publish waits no longer than its context.
func TestPublish_WaitsForEachThing_NoLongerThanAsked(t *testing.T) {
	large := note{strings.Repeat("x", 8<<10)}
	for name, c := range map[string]struct {
		options func(o *headrace.Options)
		meta    headrace.Meta
		fill    func(t *testing.T, e *headrace.Engine, p *headrace.Producer) // makes it wait
		loud    bool                                                         // a handler puts out more than producers wait for
		says    string                                                       // in the error, when the time is over
	}{
		"large events on their way": {
			options: func(o *headrace.Options) { o.OverflowBytes = 64 << 10 },
			fill: func(t *testing.T, e *headrace.Engine, p *headrace.Producer) {
				for e.Stats().OverflowBytes < 64<<10 {
					_, err := p.TryPublish(large, headrace.Meta{})
					require.NoError(t, err)
				}
				require.Positive(t, e.Stats().Ring.Remaining, "it is not the ring")
			},
			says: `bytes, and lane "blocked" is at `,
		},
		"an id on its way": {
			meta: headrace.Meta{ID: event.IDFromName("x")}, fill: fillRing, says: event.IDFromName("x").String() + " is just being published",
		},
		"a source on its way": {
			meta: headrace.Meta{Source: "queue", SourceOffset: 1}, fill: fillRing, says: `source "queue" is just being published`,
		},
		"the ring":            {fill: fillRing, says: `no room in the ring: lane "blocked" is at `},
		"a queue for effects": {says: `effect "gateway" has 1 calls running and 3 waiting`},
		"what handlers put out": {
			options: func(o *headrace.Options) { o.FeedbackBytes = 64 << 10 }, fill: fillRing, loud: true, says: `bytes that handlers have emitted go first, and lane "blocked" is at `,
		},
	} {
		t.Run(name, func(t *testing.T) {
			entered, full, leave := make(chan struct{}), make(chan struct{}), make(chan struct{})
			top := headrace.NewTopology(registry(t))
			blocked := top.Lane("blocked", headrace.LaneOptions{})
			handlers.On(blocked, "blocked", func(_ *handlers.Context, d deposit) error {
				if d.Amount == 1 {
					close(entered)
					<-leave
				}
				return nil
			})
			handlers.On(top.Logic(), "loud", func(c *handlers.Context, n note) error {
				if n.Text == "say more" {
					<-full
					return handlers.Emit(c, large)
				}
				return nil
			})
			calls := handlers.NewEffect("gateway", func(c *handlers.EffectContext, _ deposited) error { <-leave; return nil },
				handlers.EffectOptions{Workers: 1, MaxWaiting: 1})
			top.Effect(calls, headrace.LaneOptions{})
			top.AnsweredByMany("bank.deposit")
			o := small()
			if c.options != nil {
				c.options(&o)
			}
			e := open(t, t.TempDir(), app{topology: top}, o)
			p := producer(t, e, "web")
			outside := make(chan error, 1)
			switch {
			case c.fill == nil:
				for range 4 {
					publish(t, p, deposited{})
				}
				await(t, func() bool { return calls.Stats().Waiting > 1 })
				close(entered)
			default:
				publish(t, p, deposit{Amount: 1})
				<-entered
				if c.loud {
					publish(t, p, note{"say more"})
				}
				c.fill(t, e, p)
				close(full)
				if c.loud {
					await(t, func() bool { return e.Health().FeedbackBytes > 8<<10 })
				}
			}
			if !c.meta.ID.IsZero() || c.meta.Source != "" {
				go func() {
					_, err := headrace.Publish(limit(t), producer(t, e, "outside"), deposited{}, c.meta)
					outside <- err
				}()
				await(t, func() bool { return e.Stats().Ring.Waiting == 1 })
			} else {
				outside <- nil
			}
			await(t, func() bool { // who is behind is the one that is blocked, and named
				return !slices.ContainsFunc(e.Health().Lanes, func(l headrace.Position) bool { return l.Lag > 0 && l.Name != "blocked" })
			})
			_, err := p.TryPublish(deposited{}, c.meta)
			require.ErrorIs(t, err, headrace.ErrWouldBlock)
			over := over()
			_, err = headrace.Publish(over, p, deposited{}, c.meta)
			require.ErrorIs(t, err, context.Canceled)
			require.ErrorContains(t, err, c.says)
			_, err = p.PublishBatch(over, []headrace.Message{{Value: deposited{}, Meta: c.meta}, {Value: deposited{}}})
			require.ErrorIs(t, err, context.Canceled)
			require.ErrorContains(t, err, c.says)
			close(leave)
			require.NoError(t, <-outside)
			closeEngine(t, e)
		})
	}
}

// fillRing publishes until the ring is full.
func fillRing(t *testing.T, e *headrace.Engine, p *headrace.Producer) {
	for {
		if _, err := p.TryPublish(note{"x"}, headrace.Meta{}); err != nil {
			require.ErrorIs(t, err, headrace.ErrWouldBlock)
			return
		}
	}
}
