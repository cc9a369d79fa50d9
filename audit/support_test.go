package audit_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/audit"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/headracetest"
	"github.com/headrace/headrace/journal"
)

type placeOrder struct{ Order, Note string }
type orderPlaced struct{ Order string }
type charge struct {
	Order string `json:"order"`
	Cents int    `json:"cents"`
}

var (
	start = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	c1    = event.IDFromName("conversation 1")
	c2    = event.IDFromName("conversation 2")
)

func types() *event.Registry {
	r := event.NewRegistry()
	event.MustRegister[placeOrder](r, "shop.place-order", 1, event.TypeOptions{Kind: event.Command})
	event.MustRegister[orderPlaced](r, "shop.order-placed", 1)
	event.MustRegister[charge](r, "shop.charge", 2)
	return r
}

// shop is an engine that answers place-order with order-placed, and that with two charges.
func shop(t testing.TB, dir string) (*headrace.Engine, *headracetest.Clock) {
	t.Helper()
	top := headrace.NewTopology(types())
	handlers.On(top.Logic(), "orders", func(c *handlers.Context, p placeOrder) error {
		return handlers.Emit(c, orderPlaced{p.Order})
	})
	handlers.On(top.Logic(), "payments", func(c *handlers.Context, p orderPlaced) error {
		if err := handlers.Emit(c, charge{p.Order, 100}); err != nil {
			return err
		}
		return handlers.Emit(c, charge{p.Order, 23})
	})
	clock := headracetest.NewClock(start)
	e, err := headrace.Open(dir, top, headrace.Options{
		Clock: clock, Slots: 64, Journal: journal.Options{SegmentBytes: journal.MinSegmentBytes, Chain: true, Durability: journal.None()},
	})
	require.NoError(t, err)
	return e, clock
}

// limit is a context that turns a hang into a failure.
func limit(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// sample is a log of two conversations and n orders of conversations of their own, a minute each, and
// the root over all of it.
func sample(t testing.TB, n int) (dir string, root journal.Hash) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "log")
	e, clock := shop(t, dir)
	ctx := limit(t)
	web, err := e.Producer("web")
	require.NoError(t, err)
	order := func(v placeOrder, m headrace.Meta) {
		t.Helper()
		_, err := headrace.Publish(ctx, web, v, m)
		require.NoError(t, err)
		settle(t, e)
		clock.Advance(time.Minute)
	}
	order(placeOrder{Order: "A"}, headrace.Meta{Key: "order-A", ID: c1})
	order(placeOrder{Order: "B", Note: "\x1b[31m=cmd()"}, headrace.Meta{Key: "=order-B", ID: c2})
	order(placeOrder{Order: "A2"}, headrace.Meta{Key: "order-A", CorrelationID: c1, CausationID: c1})
	for range n {
		order(placeOrder{Order: "X", Note: "filler"}, headrace.Meta{Key: "order-X"})
	}
	require.NoError(t, e.WaitDurable(ctx, e.Written()))
	require.NoError(t, e.Close(ctx))
	// What Close has written is chained when the journal is opened again.
	j, err := journal.Open(dir, journal.Options{SegmentBytes: journal.MinSegmentBytes, Chain: true})
	require.NoError(t, err)
	link, err := j.ChainNow(ctx)
	require.NoError(t, err)
	require.NoError(t, j.Close())
	return dir, link.Root
}

// settle waits until nothing is on its way.
func settle(t testing.TB, e *headrace.Engine) {
	t.Helper()
	require.NoError(t, e.WaitIdle(limit(t)))
}

func openLog(t testing.TB, dir string, o audit.Options) *audit.Log {
	t.Helper()
	l, err := audit.Open(dir, o)
	require.NoError(t, err)
	return l
}

func entries(t testing.TB, l *audit.Log, q audit.Query) (all []audit.Entry) {
	t.Helper()
	require.NoError(t, l.Events(limit(t), q, func(e audit.Entry) error { all = append(all, e); return nil }))
	return all
}

func publish[T any](t testing.TB, p *headrace.Producer, v T, key string) int64 {
	t.Helper()
	seq, err := headrace.Publish(limit(t), p, v, headrace.Meta{Key: key})
	require.NoError(t, err)
	return seq
}
