package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/cmd/demo/internal/shop"
	"github.com/headrace/headrace/journal"
)

// records returns where the records of a journal lie.
func records(t testing.TB, dir string) (out []journal.Record) {
	r, err := journal.OpenReader(dir, 0, journal.ReaderOptions{})
	require.NoError(t, err)
	for rec, err := range r.Records() {
		require.NoError(t, err)
		out = append(out, rec)
	}
	require.NoError(t, r.Close())
	return out
}

// segments returns the paths of the segment files of dir, oldest first.
func segments(t testing.TB, dir string) []string {
	paths, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	require.NoError(t, err)
	slices.Sort(paths)
	return paths
}

func flip(t testing.TB, path string, offset int64) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	defer f.Close()
	var b [1]byte
	_, err = f.ReadAt(b[:], offset)
	require.NoError(t, err)
	b[0] ^= 0x10
	_, err = f.WriteAt(b[:], offset)
	require.NoError(t, err)
}

func TestVerify_FlippedBit_NamesThePlace(t *testing.T) {
	const headerBytes = 32
	dir := filepath.Join(t.TempDir(), "d")
	good(t, "run", "--dir", dir, "--orders", "2000")
	before := good(t, "verify", "--json", "--dir", dir)
	all := records(t, dir)
	files := segments(t, dir)
	require.Len(t, files, 1)
	padded := slices.IndexFunc(all[1000:], func(r journal.Record) bool { return len(r.Body)%8 != 0 }) + 1000
	for _, c := range []struct {
		name   string
		rec    journal.Record
		offset int64 // from the record's
	}{
		{"length", all[500], 1},
		{"checksum", all[501], 5},
		{"sequence", all[502], 9},
		{"time", all[503], 18},
		{"body", all[700], headerBytes + 40},
		{"last byte of the body", all[701], headerBytes + int64(len(all[701].Body)) - 1},
		{"padding", all[padded], headerBytes + int64(len(all[padded].Body))},
		{"first event", all[0], headerBytes},
		{"last event", all[len(all)-1], headerBytes},
	} {
		t.Run(c.name, func(t *testing.T) {
			flip(t, files[0], c.rec.Offset+c.offset)
			reason := bad(t, exitFailed, "verify", "--dir", dir)
			require.Contains(t, reason, fmt.Sprintf("damage in %s at byte %d, where event %d should be", filepath.Base(files[0]), c.rec.Offset, c.rec.Sequence))
			code, out, _ := demo(t, "verify", "--json", "--dir", dir)
			require.Equal(t, exitFailed, code)
			var v verdict
			require.NoError(t, json.Unmarshal([]byte(out), &v))
			require.False(t, v.OK)
			require.Equal(t, []any{filepath.Base(files[0]), c.rec.Offset, c.rec.Sequence}, []any{v.Segment, v.Offset, v.Sequence})

			refusal := bad(t, exitFailed, "run", "--dir", dir, "--orders", "3000")
			require.Contains(t, refusal, filepath.Base(files[0]))
			bad(t, exitFailed, "replay", "--dir", dir)
			flip(t, files[0], c.rec.Offset+c.offset)
			require.Equal(t, before, good(t, "verify", "--json", "--dir", dir), "nothing was changed by looking")
		})
	}
}

// Wherever the newest segment is cut, what is before the cut is recovered, and the import goes on to
// the same state.
func TestRun_CutSegment_GoesOn(t *testing.T) {
	want := object(t, good(t, "run", "--json", "--dir", filepath.Join(t.TempDir(), "w"), "--orders", "3000"))
	for _, part := range []float64{0, 0.0001, 0.01, 0.02, 0.04, 0.06, 0.5} {
		t.Run(fmt.Sprint(part), func(t *testing.T) {
			t.Parallel() // it waits for the disk
			dir := filepath.Join(t.TempDir(), "d")
			good(t, "run", "--dir", dir, "--orders", "3000")
			newest := segments(t, dir)
			path := newest[len(newest)-1]
			st, err := os.Stat(path)
			require.NoError(t, err)
			all := records(t, dir)
			cut := int64(float64(st.Size()) * part)
			require.NoError(t, os.Truncate(path, cut))
			lost := all[len(all)-1].Offset >= cut
			if lost {
				require.Contains(t, bad(t, exitFailed, "verify", "--dir", dir), filepath.Base(path))
			}
			got := object(t, good(t, "run", "--json", "--dir", dir, "--orders", "3000"))
			require.Empty(t, want.Diff(got))
			good(t, "verify", "--dir", dir)
		})
	}
}

func TestVerify_StoredSummary(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	m := object(t, good(t, "run", "--json", "--dir", dir, "--orders", "300"))
	path := filepath.Join(dir, summaryFile)
	change := func(fn func(*shop.Summary)) string {
		other := m
		fn(&other)
		require.NoError(t, storeSummary(dir, other))
		return bad(t, exitFailed, "verify", "--dir", dir)
	}
	require.Contains(t, change(func(m *shop.Summary) { m.NetMilli++ }), "net_milli")
	require.Contains(t, change(func(m *shop.Summary) { m.StateHash = "00" }), "state_hash")
	require.Contains(t, change(func(m *shop.Summary) { m.Events++ }), "events")
	require.Contains(t, change(func(m *shop.Summary) { m.DurableSequence++ }), "durable sequence")
	require.Contains(t, change(func(m *shop.Summary) { m.LastSequence++ }), "the log ends at sequence")
	require.NoError(t, os.WriteFile(path, []byte(`{"invoices":3`), 0o600))
	require.Contains(t, bad(t, exitFailed, "verify", "--dir", dir), "summary.json cannot be read")

	require.NoError(t, os.Remove(path))
	require.Contains(t, good(t, "verify", "--dir", dir), "no stored summary to compare with")

	require.NoError(t, storeSummary(dir, m)) // and then a run that was killed
	eng := open(t, newApp(), dir)
	publishTo(t, eng, 301)
	require.NoError(t, eng.Close(t.Context()))
	require.Contains(t, good(t, "verify", "--dir", dir), "the log goes on behind it")
}

func open(t testing.TB, a *app, dir string) *headrace.Engine {
	t.Helper()
	eng, err := headrace.Open(dir, a.topology, headrace.Options{})
	require.NoError(t, err)
	return eng
}

// publishTo publishes the made-up order k.
func publishTo(t testing.TB, eng *headrace.Engine, k int64) {
	t.Helper()
	p, err := eng.Producer(producerName)
	require.NoError(t, err)
	var o shop.Order
	shop.NewGenerator(defaultSeed, 0).Order(k, &o)
	_, err = publish(t.Context(), p, &o)
	require.NoError(t, err)
}

// withoutValidator is the shop with nobody to answer.
func withoutValidator() *app {
	reg := newRegistry()
	return &app{registry: reg, topology: headrace.NewTopology(reg)}
}

func TestVerify_RulesOfTheShop(t *testing.T) {
	plain := shop.Answer{Invoice: "1", Row: 1, Lines: 1, AmountMilli: 5, Country: "France"}
	for name, c := range map[string]struct {
		fill func(t *testing.T, eng *headrace.Engine, p *headrace.Producer)
		says string
	}{
		"answer without command": {
			func(t *testing.T, _ *headrace.Engine, p *headrace.Producer) {
				_, err := headrace.Publish(t.Context(), p, shop.OrderAccepted{Answer: plain}, headrace.Meta{})
				require.NoError(t, err)
			}, "no command before it",
		},
		"answer with other figures": {
			func(t *testing.T, eng *headrace.Engine, p *headrace.Producer) {
				publishTo(t, eng, 1)
				var o shop.Order
				shop.NewGenerator(defaultSeed, 0).Order(1, &o)
				_, err := headrace.Publish(t.Context(), p, shop.OrderAccepted{Answer: plain}, headrace.Meta{CausationID: o.ID()})
				require.NoError(t, err)
			}, "other figures",
		},
		"two answers": {
			func(t *testing.T, eng *headrace.Engine, p *headrace.Producer) {
				publishTo(t, eng, 1)
				var o shop.Order
				shop.NewGenerator(defaultSeed, 0).Order(1, &o)
				a := *shop.Validate(o.Command()).Data()
				for range 2 {
					_, err := headrace.Publish(t.Context(), p, shop.OrderAccepted{Answer: a}, headrace.Meta{CausationID: o.ID()})
					require.NoError(t, err)
				}
			}, "has been answered",
		},
		"command without answer": {
			func(t *testing.T, eng *headrace.Engine, p *headrace.Producer) {
				publishTo(t, eng, 1)
				publishTo(t, eng, 2)
				var o shop.Order
				shop.NewGenerator(defaultSeed, 0).Order(2, &o)
				a := *shop.Validate(o.Command()).Data()
				_, err := headrace.Publish(t.Context(), p, shop.OrderAccepted{Answer: a}, headrace.Meta{CausationID: o.ID()})
				require.NoError(t, err)
			}, "has no answer",
		},
		"rows missing": {
			func(t *testing.T, eng *headrace.Engine, _ *headrace.Producer) {
				publishTo(t, eng, 1)
				publishTo(t, eng, 3)
			}, "rows missing or doubled",
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "d")
			eng := open(t, withoutValidator(), dir)
			p, err := eng.Producer("somebody")
			require.NoError(t, err)
			c.fill(t, eng, p)
			require.NoError(t, eng.Close(t.Context()))
			require.Contains(t, bad(t, exitFailed, "verify", "--dir", dir), c.says)
		})
	}
}

// A command whose answer a kill kept from the log gets it when the shop opens again.
func TestVerify_AnswerToCome(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	good(t, "run", "--dir", dir, "--orders", "5")
	eng := open(t, withoutValidator(), dir)
	publishTo(t, eng, 6)
	require.NoError(t, eng.Close(t.Context()))
	require.Contains(t, good(t, "verify", "--dir", dir), "answers to come")
}
