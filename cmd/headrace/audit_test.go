package main

import (
	"crypto/ed25519"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	headracelib "github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/event/schema"
	"github.com/headrace/headrace/journal"
)

// conversation is a signed journal with an order and what two handlers answered.
func conversation(t testing.TB) (dir string, root journal.Hash) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "j")
	j, err := journal.Open(dir, journal.Options{SegmentBytes: journal.MinSegmentBytes, Signer: testKey})
	require.NoError(t, err)
	types := event.NewRegistry()
	typ := event.MustRegister[placed](types, "order.placed", 1)
	add := func(h event.Header) {
		h.Kind, h.Version, h.Time, h.Key = event.Notification, 1, base.UnixNano(), "A-1"
		b, err := event.AppendHeader(nil, &h)
		require.NoError(t, err)
		b, err = typ.AppendPayload(b, &placed{"A-1", 5})
		require.NoError(t, err)
		_, err = j.Append(journal.Entry{Type: 16, Time: base.UnixNano(), Body: b})
		require.NoError(t, err)
	}
	_, err = j.Append(journal.Entry{Type: 1, Time: base.UnixNano(), Body: body(t, "headrace.type-assigned", assigned{16, "order.placed"})})
	require.NoError(t, err)
	one, two := event.IDFromName("1"), event.IDFromName("2")
	add(event.Header{ID: one, Producer: "web"})
	add(event.Header{ID: two, CorrelationID: one, CausationID: one, Producer: "billing", HasOrigin: true,
		Origin: event.Origin{Handler: event.HandlerID("billing"), Cause: 2, Outputs: 1, Depth: 1}})
	add(event.Header{ID: event.IDFromName("3"), CorrelationID: one, CausationID: two, Producer: "mail", HasOrigin: true,
		Origin: event.Origin{Handler: event.HandlerID("mail"), Cause: 3, Outputs: 1, Depth: 2}})
	require.NoError(t, j.Sync())
	l, err := j.ChainNow(t.Context())
	require.NoError(t, err)
	require.NoError(t, j.Close())
	return dir, l.Root
}

func TestTrace(t *testing.T) {
	dir, _ := conversation(t)
	want := `conversation ` + event.IDFromName("1").String() + `: 3 events, 2 to 4
2  2024-05-01T12:00:00Z  order.placed  by web  key A-1  {"order":"A-1","cents":5}
└─ 3  2024-05-01T12:00:00Z  order.placed  by handler billing  key A-1  {"order":"A-1","cents":5}
   └─ 4  2024-05-01T12:00:00Z  order.placed  by handler mail  key A-1  {"order":"A-1","cents":5}
`
	got := ok(t, "trace", "--event", "4", dir)
	got = strings.ReplaceAll(got, `{"cents":5,"order":"A-1"}`, `{"order":"A-1","cents":5}`)
	require.Equal(t, want, got)
	m := lines(t, ok(t, "trace", "--json", "--correlation", event.IDFromName("1").String(), "--max-depth", "1", dir))[0]
	require.EqualValues(t, 3, m["events"])
	require.EqualValues(t, 2, m["omitted"])
	code, out, _ := headrace("trace", "--correlation", event.IDFromName("9").String(), dir)
	require.Equal(t, exitNotFound, code)
	require.Contains(t, out, "0 events")
	code, _, _ = headrace("trace", "--event", "99", dir)
	require.Equal(t, exitNotFound, code)
}

func TestExport_Check(t *testing.T) {
	dir, root := conversation(t)
	require.Equal(t, []int{3}, sequencesOf(t, ok(t, "export", "--by", "billing", dir)))
	require.Equal(t, []int{2, 3, 4}, sequencesOf(t, ok(t, "export", "--about", "A-1", "--types", "order.placed", dir)))
	require.Equal(t, []int{2, 3, 4}, sequencesOf(t, ok(t, "export", "--correlation", event.IDFromName("1").String(), dir)))
	require.Equal(t, []int{2, 3}, sequencesOf(t, ok(t, "export", "--from", "2", "--until", "3", "--since", "2024-05-01", "--until-time", base.Add(time.Hour).Format(time.RFC3339), dir)))
	csv := ok(t, "export", "--format", "csv", "--hashes", dir)
	require.Len(t, strings.Split(strings.TrimSpace(csv), "\n"), 5)
	require.True(t, strings.HasPrefix(csv, "sequence,record,journaled,"))
	code, out, _ := headrace("export", "--about", "nobody", dir)
	require.Equal(t, exitNotFound, code)
	require.Empty(t, out)

	file := filepath.Join(t.TempDir(), "export.jsonl")
	proven := ok(t, "export", "--proof", dir)
	require.NoError(t, os.WriteFile(file, []byte(proven), 0o600))
	key := hex.EncodeToString(testKey.Public().(ed25519.PublicKey))
	require.Contains(t, ok(t, "export", "--check", file, "--anchor", root.String(), "--key", key, "-"), "no sequence between them is missing")
	require.EqualValues(t, 4, lines(t, ok(t, "export", "--json", "--check", file, "--anchor", root.String(), "-"))[0]["events"])
	require.NoError(t, os.WriteFile(file, []byte(strings.Replace(proven, `"key":"A-1"`, `"key":"A-2"`, 1)), 0o600))
	code, _, errs := headrace("export", "--check", file, "--anchor", root.String(), "-")
	require.Equal(t, exitDamaged, code)
	require.Contains(t, errs, "line 2")
}

func TestSchema(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	types := event.NewRegistry()
	event.MustRegister[placed](types, "order.placed", 3)
	eng, err := headracelib.Open(dir, headracelib.NewTopology(types), headracelib.Options{})
	require.NoError(t, err)
	require.NoError(t, eng.Close(t.Context()))
	dump, err := schema.Of(types).AppendJSON(nil)
	require.NoError(t, err)
	// The dump that a build is checked against can be had from the log of what runs.
	require.Equal(t, string(dump), ok(t, "schema", dir))
	require.Contains(t, ok(t, "schema", "--json-schema", dir), `"$defs"`)
	require.EqualValues(t, 3, lines(t, ok(t, "schema", "--history", dir))[0]["version"])
	code, _, _ := headrace("schema", "--history", "--json-schema", dir)
	require.Equal(t, exitUsage, code)
	none, _ := conversation(t)
	code, out, _ := headrace("schema", none)
	require.Equal(t, exitNotFound, code)
	require.Empty(t, out)
}
