package audit_test

import (
	"bytes"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/audit"
	"github.com/headrace/headrace/event"
)

// An export says from where outside a message was taken in, in both forms; the offset 0 is one too.
func TestExport_Source_Golden(t *testing.T) {
	dir := t.TempDir()
	e, _ := shop(t, dir)
	p, err := e.Producer("bridge")
	require.NoError(t, err)
	for offset := range int64(2) {
		_, err := headrace.Publish(limit(t), p, charge{"o-1", int(offset)}, headrace.Meta{
			Key: "o-1", ID: event.DeriveID(1, event.ID{1}, uint32(offset)), Source: "kafka/orders/3", SourceOffset: offset * 817,
		})
		require.NoError(t, err)
	}
	require.NoError(t, e.Close(limit(t)))
	l, err := audit.Open(dir, audit.Options{Registry: types()})
	require.NoError(t, err)
	for name, format := range map[string]audit.Format{"testdata/source.jsonl": audit.JSONLines, "testdata/source.csv": audit.CSV} {
		var out bytes.Buffer
		_, err := l.Export(limit(t), &out, audit.Query{Key: "o-1"}, audit.ExportOptions{Format: format})
		require.NoError(t, err)
		golden, err := os.ReadFile(name)
		require.NoError(t, err)
		require.Equal(t, string(golden), out.String())
	}
}
