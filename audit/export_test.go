package audit_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/csv"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/audit"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/journal"
)

func export(t testing.TB, l *audit.Log, q audit.Query, o audit.ExportOptions) (string, audit.Exported) {
	t.Helper()
	var b bytes.Buffer
	done, err := l.Export(limit(t), &b, q, o)
	require.NoError(t, err)
	return b.String(), done
}

func jsonLines(t testing.TB, text string) (all []audit.Entry) {
	t.Helper()
	for line := range strings.Lines(text) {
		var e audit.Entry
		require.NoError(t, json.Unmarshal([]byte(line), &e), line)
		if e.Sequence > 0 {
			all = append(all, e)
		}
	}
	return all
}

func TestExport_JSONLines(t *testing.T) {
	dir, _ := sample(t, 5)
	l := openLog(t, dir, audit.Options{Registry: types()})
	want := entries(t, l, audit.Query{Key: "order-X"})
	text, done := export(t, l, audit.Query{Key: "order-X"}, audit.ExportOptions{})
	require.Equal(t, want, jsonLines(t, text))
	require.Equal(t, audit.Exported{Events: 20, First: want[0].Sequence, Last: want[19].Sequence}, done)

	// The hashes are those that proofs have.
	text, _ = export(t, l, audit.Query{Key: "order-X"}, audit.ExportOptions{Hashes: true})
	for _, e := range jsonLines(t, text) {
		p, err := journal.Prove(dir, e.Sequence, journal.ProveOptions{})
		require.NoError(t, err)
		require.Equal(t, journal.Shown{Header: p.Header, Body: p.Body}.Hash().String(), e.Hash)
	}
}

// What CSV says is what JSON says, cell by cell.
func TestExport_CSV_SaysTheSame(t *testing.T) {
	dir, _ := sample(t, 2)
	text := saysTheSame(t, openLog(t, dir, audit.Options{}))
	require.Contains(t, text, ",'=order-B,", "a key must not be a formula")

	// What the sample has nothing of.
	dir = t.TempDir()
	e, _ := shop(t, dir)
	_, err := e.Append(limit(t), "stream", headrace.ExpectAny, headrace.Message{
		Value: charge{"A", 1}, Meta: headrace.Meta{CorrelationID: c1, CausationID: c2, Trace: event.Trace{TraceID: [16]byte{1}, SpanID: [8]byte{2}}},
	})
	require.NoError(t, err)
	p, err := e.Producer("bridge")
	require.NoError(t, err)
	_, err = headrace.Publish(limit(t), p, charge{"B", 2}, headrace.Meta{Source: "queue", SourceOffset: 5})
	require.NoError(t, err)
	require.NoError(t, e.Close(limit(t)))
	text = saysTheSame(t, openLog(t, dir, audit.Options{}))
	for _, cell := range []string{"00-01000000000000000000000000000000-0200000000000000-00", "queue,5", "stream,1,"} {
		require.Contains(t, text, cell)
	}
}

// saysTheSame compares an export of everything as CSV, which it returns, with one as JSON.
func saysTheSame(t *testing.T, l *audit.Log) string {
	t.Helper()
	text, _ := export(t, l, audit.Query{}, audit.ExportOptions{Format: audit.CSV, Hashes: true})
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	require.NoError(t, err)
	require.Equal(t, audit.Columns(), rows[0])
	lines, _ := export(t, l, audit.Query{}, audit.ExportOptions{Hashes: true})
	n := 0
	for line := range strings.Lines(lines) {
		n++
		d := json.NewDecoder(strings.NewReader(line))
		d.UseNumber()
		m := map[string]any{}
		require.NoError(t, d.Decode(&m))
		var e audit.Entry
		require.NoError(t, json.Unmarshal([]byte(line), &e))
		for i, name := range rows[0] {
			cell := strings.TrimPrefix(rows[n][i], "'")
			switch v := m[name].(type) {
			case nil:
				require.Empty(t, cell, name)
			case string:
				require.Equal(t, v, cell, name)
			case bool:
				require.True(t, v)
				require.Equal(t, "true", cell)
			case json.Number:
				require.Equal(t, v.String(), cell, name)
			default:
				require.Equal(t, "data", name)
				require.JSONEq(t, string(e.Data), cell)
			}
			delete(m, name)
		}
		require.Empty(t, m, "a member that has no column")
	}
	require.Len(t, rows, n+1)
	return text
}

func TestExport_Proof_HoldsWithoutTheLog(t *testing.T) {
	dir, root := sample(t, 40)
	l := openLog(t, dir, audit.Options{Registry: types()})
	all := entries(t, openLog(t, dir, audit.Options{}), audit.Query{})
	for name, q := range map[string]audit.Query{
		"all":   {},
		"key":   {Key: "order-X"},
		"range": {From: 20, Until: 60},
		"time":  {Since: all[50].Journaled, To: all[90].Journaled},
		"one":   {From: 33, Until: 33},
		"who":   {Producer: "payments", From: 20},
		"to":    {To: all[90].Journaled.Add(-1)},
		"none":  {Key: "nothing like it"},
	} {
		text, done := export(t, l, q, audit.ExportOptions{Proof: true})
		require.Equal(t, root, done.Root, name)
		v, err := audit.VerifyExport(strings.NewReader(text), audit.VerifyOptions{Anchor: root})
		require.NoError(t, err, name)
		require.Equal(t, done, v.Exported, name)
		want := entries(t, openLog(t, dir, audit.Options{}), q)
		got := jsonLines(t, text)
		require.Len(t, got, len(want), name)
		for i := range got {
			require.NotEmpty(t, got[i].Hash)
			got[i].Hash = ""
			require.Equal(t, want[i], got[i], name)
		}
		switch name {
		case "all":
			require.Zero(t, v.Missing)
			require.Empty(t, v.ClaimedTypes)
		case "key":
			require.Zero(t, v.Missing)
			require.Equal(t, []string{"shop.charge", "shop.order-placed", "shop.place-order"}, v.ClaimedTypes)
		}
	}
	text, _ := export(t, l, audit.Query{Types: []string{"shop.charge"}}, audit.ExportOptions{Proof: true})
	v, err := audit.VerifyExport(strings.NewReader(text), audit.VerifyOptions{Anchor: root})
	require.NoError(t, err)
	require.Positive(t, v.Missing)
	_, err = audit.VerifyExport(strings.NewReader(text), audit.VerifyOptions{})
	require.Error(t, err, "without a root nothing is proven")
	_, err = audit.VerifyExport(strings.NewReader(text), audit.VerifyOptions{Anchor: journal.Hash{1}})
	require.ErrorIs(t, err, journal.ErrProof)
	_, err = audit.VerifyExport(strings.NewReader(text), audit.VerifyOptions{Anchor: root, PublicKey: make(ed25519.PublicKey, 32)})
	require.ErrorIs(t, err, journal.ErrSignature)
}

// Any byte of an export that is changed, and any line that is left out, doubled or moved, is found.
func TestVerifyExport_AnyChangeIsFound(t *testing.T) {
	dir, root := sample(t, 12)
	l := openLog(t, dir, audit.Options{})
	text, _ := export(t, l, audit.Query{Types: []string{"shop.charge", "headrace.type-assigned"}}, audit.ExportOptions{Proof: true})
	check := func(text string) error {
		_, err := audit.VerifyExport(strings.NewReader(text), audit.VerifyOptions{Anchor: root})
		return err
	}
	require.NoError(t, check(text))
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 2))
	lines := strings.SplitAfter(strings.TrimSuffix(text, "\n"), "\n")
	lines[len(lines)-1] += "\n"
	for i := range lines {
		without := strings.Join(append(append([]string(nil), lines[:i]...), lines[i+1:]...), "")
		require.ErrorIs(t, check(without), journal.ErrProof, "without line %d", i+1)
		twice := strings.Join(append(append([]string(nil), lines[:i+1]...), lines[i:]...), "")
		require.ErrorIs(t, check(twice), journal.ErrProof, "line %d twice", i+1)
	}
	for range 500 {
		b := []byte(text)
		i := rnd.IntN(len(b))
		b[i] ^= byte(1 << rnd.IntN(7))
		require.ErrorIs(t, check(string(b)), journal.ErrProof, "seed %d byte %d", seed, i)
	}
	for _, change := range [][2]string{
		{`"key":"order-A"`, `"key":"order-Z"`},
		{`"key":"order-A"`, `"key":"order-A","key":"order-A"`},
		{`"key":"order-A"`, `"key":"order-A","note":"was paid"`},
		{`"Cents":23`, `"Cents":24`},
		{`"Cents":23`, `"Cents": 23`},
		{`"type":"shop.charge"`, `"type":"shop.refund"`},
		{"\n", "\r\n"}, {"\n", "\n\n"},
	} {
		changed := strings.Replace(text, change[0], change[1], 1)
		require.NotEqual(t, text, changed, change)
		require.ErrorIs(t, check(changed), journal.ErrProof, change)
	}
	require.ErrorIs(t, check(""), journal.ErrProof)
	require.ErrorIs(t, check(strings.TrimSuffix(text, "\n")), journal.ErrProof)
	require.ErrorIs(t, check(text+"{}\n"), journal.ErrProof)
	plain, _ := export(t, l, audit.Query{}, audit.ExportOptions{Hashes: true})
	require.ErrorIs(t, check(plain), journal.ErrProof)
}

type failing struct{ after int }

var errWrite = errors.New("disk is full")

func (f *failing) Write(b []byte) (int, error) {
	if f.after -= len(b); f.after < 0 {
		return 0, errWrite
	}
	return len(b), nil
}

func TestExport_Faults(t *testing.T) {
	dir, _ := sample(t, 300)
	l := openLog(t, dir, audit.Options{})
	for _, o := range []audit.ExportOptions{{Format: 7}, {Format: audit.CSV, Proof: true}, {Anchor: journal.Hash{1}}} {
		_, err := l.Export(limit(t), &bytes.Buffer{}, audit.Query{}, o)
		require.Error(t, err)
	}
	_, err := l.Export(limit(t), &bytes.Buffer{}, audit.Query{}, audit.ExportOptions{Proof: true, Anchor: journal.Hash{1}})
	require.ErrorIs(t, err, journal.ErrNotChained)
	_, err = l.Export(limit(t), &bytes.Buffer{}, audit.Query{Since: start.AddDate(1, 0, 0)}, audit.ExportOptions{Proof: true})
	require.ErrorIs(t, err, journal.ErrNotChained, "a proof of nothing has no beginning")
	for _, o := range []audit.ExportOptions{{}, {Format: audit.CSV}, {Proof: true}} {
		for _, after := range []int{0, 70_000} {
			_, err := l.Export(limit(t), &failing{after}, audit.Query{}, o)
			require.ErrorIs(t, err, errWrite)
		}
	}
}
