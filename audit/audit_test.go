package audit_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace/audit"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/journal"
)

func TestEvents_WhoWhatWhenWhy(t *testing.T) {
	dir, _ := sample(t, 0)
	l := openLog(t, dir, audit.Options{Registry: types()})
	all := entries(t, l, audit.Query{Key: "order-A"})
	var said []string
	for _, e := range all {
		said = append(said, fmt.Sprintf("%s by %s of %d: %s", e.Type, e.Who(), e.Cause, e.Data))
	}
	first := all[0].Sequence
	require.Equal(t, []string{
		`shop.place-order by web of 0: {"Order":"A","Note":""}`,
		fmt.Sprintf(`shop.order-placed by handler orders of %d: {"Order":"A"}`, first),
		fmt.Sprintf(`shop.charge by handler payments of %d: {"order":"A","cents":100}`, first+1),
		fmt.Sprintf(`shop.charge by handler payments of %d: {"order":"A","cents":23}`, first+1),
	}, said[:4])
	require.Len(t, said, 8)
	require.Equal(t, start, all[0].Journaled)
	require.Equal(t, "command", all[0].Kind)
	require.True(t, all[0].Idempotent)
	require.Equal(t, c1.String(), all[2].Correlation)
	require.Equal(t, all[1].ID, all[2].Causation)
	require.EqualValues(t, 2, all[3].Outputs)
	require.EqualValues(t, 1, all[3].Ordinal)
	require.EqualValues(t, 2, all[3].Version)
	// Without the registry the payload is shown as its msgpack says: names of fields, not those of JSON.
	raw := entries(t, openLog(t, dir, audit.Options{}), audit.Query{Key: "order-A"})
	require.JSONEq(t, `{"Order":"A","Cents":100}`, string(raw[2].Data))
}

// Every bound against a look at all events.
func TestEvents_Bounds(t *testing.T) {
	dir, _ := sample(t, 20)
	l := openLog(t, dir, audit.Options{})
	all := entries(t, l, audit.Query{})
	id := all[len(all)-4].ID
	parsed, err := event.ParseID(id)
	require.NoError(t, err)
	middle := all[len(all)/2]
	for name, c := range map[string]struct {
		q    audit.Query
		want func(e audit.Entry) bool
	}{
		"from and until": {audit.Query{From: 9, Until: 12}, func(e audit.Entry) bool { return e.Sequence >= 9 && e.Sequence <= 12 }},
		"since":          {audit.Query{Since: middle.Journaled}, func(e audit.Entry) bool { return !e.Journaled.Before(middle.Journaled) }},
		"to":             {audit.Query{To: middle.Journaled}, func(e audit.Entry) bool { return !e.Journaled.After(middle.Journaled) }},
		"since and from": {audit.Query{Since: middle.Journaled, From: middle.Sequence + 3}, func(e audit.Entry) bool { return e.Sequence >= middle.Sequence+3 }},
		"since far ago":  {audit.Query{Since: time.Date(1, 1, 1, 0, 0, 0, 1, time.UTC)}, func(audit.Entry) bool { return true }},
		"since tomorrow": {audit.Query{Since: start.AddDate(1, 0, 0)}, func(audit.Entry) bool { return false }},
		"producer":       {audit.Query{Producer: "payments"}, func(e audit.Entry) bool { return e.Handler == "payments" }},
		"types":          {audit.Query{Types: []string{"shop.charge", "shop.place-order"}}, func(e audit.Entry) bool { return e.Type == "shop.charge" || e.Type == "shop.place-order" }},
		"types and key":  {audit.Query{Types: []string{"shop.charge"}, Key: "=order-B"}, func(e audit.Entry) bool { return e.Type == "shop.charge" && e.Key == "=order-B" }},
		"correlation":    {audit.Query{Correlation: parsed}, func(e audit.Entry) bool { return e.ID == id || e.Correlation == id }},
		"engine's own":   {audit.Query{Types: []string{"headrace.type-assigned"}}, func(e audit.Entry) bool { return e.TypeID == 1 }},
	} {
		var want []audit.Entry
		for _, e := range all {
			if c.want(e) {
				want = append(want, e)
			}
		}
		// A log that has not read the beginning knows the names too.
		require.Equal(t, want, entries(t, openLog(t, dir, audit.Options{}), c.q), name)
		require.Equal(t, want, entries(t, l, c.q), name)
	}
	for text, q := range map[string]audit.Query{
		"from -1 until 0: sequences are not negative": {From: -1}, "from 0 until -1: sequences are not negative": {Until: -1},
		"from 5 until 4: nothing lies between": {From: 5, Until: 4}, "nothing lies between": {Since: start.Add(1), To: start},
	} {
		require.ErrorContains(t, l.Events(limit(t), q, func(audit.Entry) error { return nil }), text)
	}
	mine := errors.New("mine")
	require.ErrorIs(t, l.Events(limit(t), audit.Query{}, func(audit.Entry) error { return mine }), mine)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, l.Events(ctx, audit.Query{}, func(audit.Entry) error { return nil }), context.Canceled)
}

func TestEvents_BesideAnEngine(t *testing.T) {
	dir := t.TempDir()
	e, _ := shop(t, dir)
	l := openLog(t, dir, audit.Options{})
	before := len(entries(t, l, audit.Query{}))
	web, err := e.Producer("web")
	require.NoError(t, err)
	publish(t, web, placeOrder{Order: "late"}, "k")
	settle(t, e)
	require.Len(t, entries(t, l, audit.Query{}), before+4)
	require.Len(t, entries(t, l, audit.Query{Key: "k"}), 4)
	require.NoError(t, e.Close(limit(t)))
}

func TestTrace_TreeAndText(t *testing.T) {
	dir, _ := sample(t, 3)
	l := openLog(t, dir, audit.Options{Registry: types()})
	tree, err := l.Trace(limit(t), c1, audit.TraceOptions{})
	require.NoError(t, err)
	require.Equal(t, 8, tree.Events)
	first := tree.First
	s := func(n int64) string { return fmt.Sprint(first + n) }
	want := "conversation " + c1.String() + ": 8 events, " + s(0) + " to " + s(11) + `
` + s(0) + `  2030-01-01T12:00:00Z  shop.place-order  command by web  key order-A  {"Order":"A","Note":""}
├─ ` + s(1) + `  2030-01-01T12:00:00Z  shop.order-placed  by handler orders  key order-A  {"Order":"A"}
│  ├─ ` + s(2) + `  2030-01-01T12:00:00Z  shop.charge  by handler payments  key order-A  {"order":"A","cents":100}
│  └─ ` + s(3) + `  2030-01-01T12:00:00Z  shop.charge  by handler payments  key order-A  {"order":"A","cents":23}
└─ ` + s(8) + `  2030-01-01T12:02:00Z  shop.place-order  command by web  key order-A  {"Order":"A2","Note":""}
   └─ ` + s(9) + `  2030-01-01T12:02:00Z  shop.order-placed  by handler orders  key order-A  {"Order":"A2"}
      ├─ ` + s(10) + `  2030-01-01T12:02:00Z  shop.charge  by handler payments  key order-A  {"order":"A2","cents":100}
      └─ ` + s(11) + `  2030-01-01T12:02:00Z  shop.charge  by handler payments  key order-A  {"order":"A2","cents":23}
`
	require.Equal(t, want, string(tree.AppendText(nil)))

	text, err := json.Marshal(tree)
	require.NoError(t, err)
	var back audit.Tree
	require.NoError(t, json.Unmarshal(text, &back))
	require.Equal(t, want, string(back.AppendText(nil)))

	other, err := l.Trace(limit(t), c2, audit.TraceOptions{})
	require.NoError(t, err)
	require.NotContains(t, string(other.AppendText(nil)), "\x1b", "data must not command the terminal")
	require.Contains(t, string(other.AppendText(nil)), `\u001b[31m=cmd()`)

	id, err := l.Correlation(limit(t), first+11)
	require.NoError(t, err)
	require.Equal(t, c1, id)
	id, err = l.Correlation(limit(t), first)
	require.NoError(t, err)
	require.Equal(t, c1, id)
	_, err = l.Correlation(limit(t), 1<<40)
	require.ErrorIs(t, err, audit.ErrNotFound)
	none, err := l.Trace(limit(t), event.NewID(), audit.TraceOptions{})
	require.NoError(t, err)
	require.Contains(t, string(none.AppendText(nil)), "0 events\n")
	_, err = l.Trace(limit(t), event.ID{}, audit.TraceOptions{})
	require.ErrorIs(t, err, event.ErrID)
}

func TestTrace_Bounds(t *testing.T) {
	dir, _ := sample(t, 0)
	l := openLog(t, dir, audit.Options{})
	count := func(tree *audit.Tree) (n, deeper int) {
		var walk func(nodes []*audit.Node)
		walk = func(nodes []*audit.Node) {
			for _, c := range nodes {
				n++
				deeper += c.Deeper
				walk(c.Children)
			}
		}
		walk(tree.Roots)
		return n, deeper
	}
	for events := 1; events <= 9; events++ {
		tree, err := l.Trace(limit(t), c1, audit.TraceOptions{MaxEvents: events})
		require.NoError(t, err)
		n, _ := count(tree)
		require.Equal(t, min(events, 8), n)
		require.Equal(t, 8, tree.Events)
		require.Equal(t, 8-n, tree.Omitted)
	}
	for depth, want := range []int{0, 1, 3, 6, 8} {
		if depth == 0 {
			continue
		}
		tree, err := l.Trace(limit(t), c1, audit.TraceOptions{MaxDepth: depth})
		require.NoError(t, err)
		n, deeper := count(tree)
		require.Equal(t, want, n, "depth %d", depth)
		require.Equal(t, 8-want, deeper, "depth %d", depth)
		require.Equal(t, 8-want, tree.Omitted)
		require.Equal(t, want < 8, strings.Contains(string(tree.AppendText(nil)), "below"))
	}
	tree, err := l.Trace(limit(t), c1, audit.TraceOptions{MaxDataBytes: 12})
	require.NoError(t, err)
	require.Positive(t, tree.Roots[0].DataOmitted)
	require.Nil(t, tree.Roots[0].Data)
	for _, o := range []audit.TraceOptions{{MaxEvents: -1}, {MaxEvents: 1<<20 + 1}, {MaxDepth: -1}, {MaxDepth: 1001}, {MaxDataBytes: 64<<20 + 1}} {
		_, err := l.Trace(limit(t), c1, o)
		require.Error(t, err)
	}
}

func TestOpen_NoJournal(t *testing.T) {
	_, err := audit.Open(t.TempDir(), audit.Options{})
	require.ErrorIs(t, err, journal.ErrNotFound)
}
