package headrace_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/journal"
)

// Whatever waits says, when its time is over, what it has waited for.
func TestWaits_SayWhatFor(t *testing.T) {
	entered, leave := make(chan struct{}, 1), make(chan struct{})
	block := func() { entered <- struct{}{}; <-leave }
	a := newAppWith(t, func(_ *handlers.Context, d deposit) error {
		if d.Amount == 1 {
			block()
		}
		return nil
	})
	a.topology.Effect(handlers.NewEffect("gateway", func(*handlers.EffectContext, deposited) error { block(); return nil },
		handlers.EffectOptions{}), headrace.LaneOptions{})
	a.topology.AnsweredByMany("bank.deposit")
	o := small()
	o.Journal.Durability = journal.Interval(time.Hour)
	e := open(t, t.TempDir(), a, o)
	p := producer(t, e, "web")
	says := func(err error, text string) {
		t.Helper()
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorContains(t, err, text)
	}
	seq := publish(t, p, deposit{Amount: 1})
	<-entered
	over := over()
	says(e.WaitFor(over, "logic", seq), `lane "logic" is at`)
	says(e.WaitFor(over, "logic", seq+5), " of ")
	says(e.WaitWritten(over, seq+5), `lane "journal" is at`)
	says(e.WaitIdle(over), `lane "logic" is at`)
	require.NoError(t, e.WaitWritten(limit(t), seq))
	says(e.WaitDurable(over, seq), " is not durable, only ")
	leave <- struct{}{}
	require.NoError(t, e.WaitIdle(limit(t)))

	seq = publish(t, p, deposited{})
	<-entered
	for _, lane := range []string{"logic", "bank", "gateway"} {
		require.NoError(t, e.WaitFor(limit(t), lane, seq))
	}
	says(e.WaitIdle(over), `effect "gateway" has 1 calls running and 0 waiting`)
	leave <- struct{}{}
	require.NoError(t, e.WaitIdle(limit(t)))

	require.NoError(t, e.Pause("bank"))
	seq = publish(t, p, deposit{Amount: 2})
	require.NoError(t, e.WaitFor(limit(t), "logic", seq))
	// The ring passes a paused one by, some time.
	await(t, func() bool { return !strings.Contains(e.WaitFor(over, "bank", seq).Error(), `lane "bank" is at`) })
	says(e.WaitFor(over, "bank", seq), "is paused, at ")
	closeEngine(t, e)
}
