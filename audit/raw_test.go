package audit_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/audit"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/journal"
)

// raw is an event as some program may have written it.
type raw struct {
	header  event.Header
	payload string
}

// rawLog is a log that no engine has written: its types have no names.
func rawLog(t testing.TB, all ...raw) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "log")
	j, err := journal.Open(dir, journal.Options{SegmentBytes: journal.MinSegmentBytes, Durability: journal.None()})
	require.NoError(t, err)
	for i, r := range all {
		body, err := event.AppendHeader(nil, &r.header)
		require.NoError(t, err)
		_, err = j.Append(journal.Entry{Type: 20, Time: start.Add(time.Duration(i) * time.Second).UnixNano(), Body: append(body, r.payload...)})
		require.NoError(t, err)
	}
	require.NoError(t, j.Close())
	return dir
}

// What the log does not name, and data that is nothing known, are shown as what there is.
func TestEvents_WithoutNames(t *testing.T) {
	one := event.ID{1}
	dir := rawLog(t,
		raw{event.Header{ID: one, Key: "order 1"}, "\xc1"},
		raw{event.Header{ID: event.ID{2}, CausationID: one, CorrelationID: one, HasOrigin: true, Origin: event.Origin{Handler: 0xabc, Cause: 1, Outputs: 1, Depth: 1}}, "\xa5\xf3\xa0\x80\x81!"},
		raw{event.Header{ID: event.ID{3}, CorrelationID: one, Key: `say "x"`}, "\x01"},
	)
	l := openLog(t, dir, audit.Options{Registry: types()})
	all := entries(t, l, audit.Query{})
	require.Len(t, all, 3)
	require.Equal(t, []string{"unknown", "handler 0000000000000abc"}, []string{all[0].Who(), all[1].Who()})
	require.Equal(t, "type-20", all[0].Type)
	require.Equal(t, audit.EncodingBase64, all[0].Encoding)
	require.Equal(t, `"wQ=="`, string(all[0].Data))
	require.Equal(t, audit.EncodingJSON, all[1].Encoding)
	tree, err := l.Trace(limit(t), one, audit.TraceOptions{})
	require.NoError(t, err)
	lines := strings.Split(string(tree.AppendText(nil)), "\n")
	require.Contains(t, lines[1], `by nobody named  key "order 1"  "wQ=="`)
	require.Contains(t, lines[2], `by handler 0000000000000abc  "\udb40\udc01!"`)
	require.Contains(t, lines[3], `key "say \"x\""  1`)
}

// A payload that its Go type cannot have is shown as its msgpack says.
func TestEvents_PayloadOfAnotherType(t *testing.T) {
	type charge struct{ Order, Cents string }
	r := event.NewRegistry()
	event.MustRegister[charge](r, "shop.charge", 2)
	dir := t.TempDir()
	e, err := headrace.Open(dir, headrace.NewTopology(r), headrace.Options{})
	require.NoError(t, err)
	p, err := e.Producer("web")
	require.NoError(t, err)
	publish(t, p, charge{"A", "many"}, "k")
	require.NoError(t, e.Close(limit(t)))
	all := entries(t, openLog(t, dir, audit.Options{Registry: types()}), audit.Query{Key: "k"})
	require.Len(t, all, 1)
	require.Equal(t, audit.EncodingJSON, all[0].Encoding)
	require.JSONEq(t, `{"Order":"A","Cents":"many"}`, string(all[0].Data))
}

// Of two events with one id, the later causes what comes behind it.
func TestTrace_TwoWithOneID(t *testing.T) {
	id := event.ID{1}
	dir := rawLog(t, raw{event.Header{ID: id}, "\x01"}, raw{event.Header{ID: event.ID{2}, CorrelationID: id, CausationID: id}, "\x02"},
		raw{event.Header{ID: id, CorrelationID: id}, "\x03"}, raw{event.Header{ID: event.ID{4}, CorrelationID: id, CausationID: id}, "\x04"})
	tree, err := openLog(t, dir, audit.Options{}).Trace(limit(t), id, audit.TraceOptions{})
	require.NoError(t, err)
	var said []string
	for _, root := range tree.Roots {
		said = append(said, string(root.Data))
		for _, c := range root.Children {
			said = append(said, "> "+string(c.Data))
		}
	}
	require.Equal(t, []string{"1", "> 2", "3", "> 4"}, said)
}

// What is below MaxDepth takes memory, and counts towards MaxEvents.
func TestTrace_MaxEvents_CountsWhatIsTooDeep(t *testing.T) {
	var all []raw
	for i := range byte(6) {
		h := event.Header{ID: event.ID{1 + i}}
		if i > 0 {
			h.CorrelationID, h.CausationID = event.ID{1}, event.ID{i}
		}
		all = append(all, raw{h, "\x01"})
	}
	tree, err := openLog(t, rawLog(t, all...), audit.Options{}).Trace(limit(t), event.ID{1}, audit.TraceOptions{MaxDepth: 1, MaxEvents: 3})
	require.NoError(t, err)
	require.Equal(t, []int{6, 5}, []int{tree.Events, tree.Omitted})
	require.Len(t, tree.Roots, 1)
	require.Equal(t, 2, tree.Roots[0].Deeper)
}

func TestTrace_FromUntil(t *testing.T) {
	dir, _ := sample(t, 0)
	l := openLog(t, dir, audit.Options{})
	whole, err := l.Trace(limit(t), c1, audit.TraceOptions{})
	require.NoError(t, err)
	part, err := l.Trace(limit(t), c1, audit.TraceOptions{From: whole.First + 1, Until: whole.First + 2})
	require.NoError(t, err)
	require.Equal(t, []int64{2, whole.First + 1, whole.First + 2}, []int64{int64(part.Events), part.First, part.Last})
	require.Len(t, part.Roots, 1, "its cause is not in the range")
	require.Len(t, part.Roots[0].Children, 1)
}

// An auditor who asks for what is durable does not see what a power cut may take.
func TestEvents_Durable(t *testing.T) {
	dir := t.TempDir()
	e, _ := shop(t, dir)
	web, err := e.Producer("web")
	require.NoError(t, err)
	seq := publish(t, web, placeOrder{Order: "A"}, "k")
	settle(t, e)
	l := openLog(t, dir, audit.Options{Durable: true})
	require.Len(t, entries(t, openLog(t, dir, audit.Options{}), audit.Query{Key: "k"}), 4)
	require.Empty(t, entries(t, l, audit.Query{Key: "k"}))
	require.NoError(t, e.WaitDurable(limit(t), seq+3))
	require.Len(t, entries(t, l, audit.Query{Key: "k"}), 4)
	require.NoError(t, e.Close(limit(t)))
}

// A record that a repair has given up is in every answer whose range it is in: nobody knows what it was.
func TestEvents_LostRecords(t *testing.T) {
	var all []raw
	for i := range byte(5) {
		all = append(all, raw{event.Header{ID: event.ID{1 + i}, Key: "here it is " + string('a'+rune(i))}, "\x01"})
	}
	dir := rawLog(t, all...)
	files, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	require.NoError(t, err)
	data, err := os.ReadFile(files[0])
	require.NoError(t, err)
	data[bytes.Index(data, []byte("here it is c"))] ^= 4
	require.NoError(t, os.WriteFile(files[0], data, 0o600))
	plan, err := journal.PlanRepair(dir, journal.RepairOptions{})
	require.NoError(t, err)
	require.NoError(t, plan.Apply(nil))

	l := openLog(t, dir, audit.Options{})
	got := entries(t, l, audit.Query{Key: "here it is d"})
	require.Len(t, got, 2)
	require.Equal(t, []string{audit.RecordLost, audit.RecordEvent}, []string{got[0].Record, got[1].Record})
	require.Equal(t, []int64{3, 4}, []int64{got[0].Sequence, got[1].Sequence})
	require.Empty(t, got[0].ID)
	require.Len(t, entries(t, l, audit.Query{Key: "here it is d", From: 4}), 1)
	for _, format := range []audit.Format{audit.JSONLines, audit.CSV} {
		text, done := export(t, l, audit.Query{Until: 4}, audit.ExportOptions{Format: format})
		require.Equal(t, audit.Exported{Events: 3, Lost: 1, First: 1, Last: 4}, done)
		require.Equal(t, 1, strings.Count(text, audit.RecordLost))
	}
	tree, err := l.Trace(limit(t), event.ID{4}, audit.TraceOptions{})
	require.NoError(t, err)
	require.Equal(t, []int{1, 1}, []int{tree.Events, tree.Lost})
	require.Contains(t, string(tree.AppendText(nil)), "1 lost record, which may have been part of it")
}
