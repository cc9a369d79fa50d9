package saga_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/headracetest"
	"github.com/headrace/headrace/journal"
	"github.com/headrace/headrace/saga"
)

// An engine in memory and one with a log lead a saga through its deadlines to the same instance.
func TestSaga_InMemory_AsWithALog(t *testing.T) {
	var ended []saga.Instance[order]
	for _, memory := range []bool{true, false} {
		clock := headracetest.NewClock(time.Unix(1000, 0))
		top, table := topology()
		o := headrace.Options{Clock: clock}
		var e *headrace.Engine
		var err error
		if memory {
			e, err = headrace.OpenMemory(top, o)
		} else {
			o.Journal = journal.Options{SegmentBytes: 64 << 10, Durability: journal.None()}
			e, err = headrace.Open(t.TempDir(), top, o)
		}
		require.NoError(t, err)
		out, err := e.Producer("outside")
		require.NoError(t, err)
		s := shop{e, t, out}
		rest := func() { require.NoError(t, e.WaitIdle(limit(t))) }

		say(s, placed{100})
		rest()
		say(s, reserved{"A1"})
		rest()
		for range 4 { // paying is tried twice, then it is in doubt: refunded, twice
			clock.Advance(61 * time.Second)
			rest()
		}
		say(s, saga.Resume{Saga: "order"})
		rest()
		say(s, refunded{})
		rest()
		say(s, released{})
		rest()
		table.View(func(tb *saga.Table[order], _ int64) {
			i, ok := tb.Get("17")
			require.True(t, ok)
			i.Sequence = 0 // a log has entries of its own in between
			ended = append(ended, i)
		})
		require.NoError(t, e.Close(limit(t)))
	}
	require.Equal(t, saga.Compensate, ended[0].Phase)
	require.Equal(t, ended[1], ended[0])
}
