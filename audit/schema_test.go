package audit_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/audit"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/event/schema"
)

// What the log says is what the registries said.
func TestSchema_IsTheRegistrys(t *testing.T) {
	type refund struct{ Order, Why string }
	dir := t.TempDir()
	later := func() *event.Registry {
		r := event.NewRegistry()
		event.MustRegister[refund](r, "shop.charge", 3)
		event.MustRegister[orderPlaced](r, "shop.placed", 1)
		require.NoError(t, r.Rename("shop.order-placed", "shop.placed"))
		for v := range uint16(2) {
			require.NoError(t, r.Upcast("shop.charge", v+1, func(_, p []byte) ([]byte, error) { return p, nil }))
		}
		return r
	}
	e, _ := shop(t, dir)
	require.NoError(t, e.Close(limit(t)))
	l := openLog(t, dir, audit.Options{})
	now, history, err := l.Schema()
	require.NoError(t, err)
	require.Equal(t, schema.Of(types()), now)
	require.Len(t, history, 3)

	next, err := headrace.Open(dir, headrace.NewTopology(later()), headrace.Options{})
	require.NoError(t, err)
	require.NoError(t, next.Close(limit(t)))
	now, history, err = l.Schema()
	require.NoError(t, err)
	require.Len(t, history, 5)
	want := schema.Of(later())
	require.Equal(t, []schema.Type{schema.Of(types()).Types[0], want.Types[1], want.Types[0]}, now.Types)
	text, err := now.AppendJSON(nil)
	require.NoError(t, err)
	back, err := schema.Parse(text)
	require.NoError(t, err)
	require.Equal(t, now, back)
}
