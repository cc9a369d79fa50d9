package shop

import (
	"compress/gzip"
	"encoding/csv"
	"errors"
	"io"
	"io/fs"
	"math/big"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// retailFile is the real input, seen from this directory; it lies beside the repository.
const retailFile = "../../../../../shared/data/online_retail.csv.gz"

func openRetail(t testing.TB) *os.File {
	t.Helper()
	f, err := os.Open(retailFile)
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("the retail file is not there: expected ../shared/data/online_retail.csv.gz beside the repository")
	}
	require.NoError(t, err)
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// counted are figures of the retail file that were found with a plain loop over its rows and exact
// fractions: none of the code under test.
type counted struct {
	rows      int64
	invoices  map[string]bool
	customers map[string]bool
	byKind    [3]*big.Rat
	byCountry map[string]*big.Rat
	runs      int64
}

func (c *counted) add(rec []string, previous string) {
	c.rows++
	c.invoices[rec[0]] = true
	if rec[6] != "" {
		c.customers[rec[6]] = true
	}
	if rec[0] != previous {
		c.runs++
	}
	price, _ := new(big.Rat).SetString(rec[5])
	quantity, _ := new(big.Rat).SetString(rec[3])
	milli := price.Mul(price, quantity).Mul(price, big.NewRat(1000, 1))
	kind := 0
	switch rec[0][:1] {
	case "C":
		kind = 1
	case "A":
		kind = 2
	}
	c.byKind[kind].Add(c.byKind[kind], milli)
	if c.byCountry[rec[7]] == nil {
		c.byCountry[rec[7]] = new(big.Rat)
	}
	c.byCountry[rec[7]].Add(c.byCountry[rec[7]], milli)
}

// Every row of the retail file is in exactly one order, field by field, and the figures are those
// that a plain count finds.
func TestRetailFile_NothingIsLost(t *testing.T) {
	f, g := openRetail(t), openRetail(t)
	if testing.Short() {
		t.Skip("reads all of the retail file")
	}
	unzipped, err := gzip.NewReader(f)
	require.NoError(t, err)
	rows := csv.NewReader(unzipped)
	_, err = rows.Read()
	require.NoError(t, err)
	want := counted{invoices: map[string]bool{}, customers: map[string]bool{}, byCountry: map[string]*big.Rat{}}
	for i := range want.byKind {
		want.byKind[i] = new(big.Rat)
	}

	r, err := NewReader(g)
	require.NoError(t, err)
	var s State
	var o Order
	var p Position
	commands, longest := int64(0), 0
	previous := ""
	for {
		err := r.Next(&o)
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		commands++
		longest = max(longest, len(o.Lines))
		require.NoError(t, p.Observe(&o))
		for i := range o.Lines {
			l := &o.Lines[i]
			rec, err := rows.Read()
			require.NoError(t, err)
			price, exact := new(big.Rat).SetString(rec[5])
			if !exact || rec[0] != o.Invoice || rec[1] != l.Stock || rec[2] != l.Description || rec[6] != o.Customer || rec[7] != o.Country ||
				rec[3] != strconv.FormatInt(l.Quantity, 10) || rec[4] != time.Unix(l.TimeUnix, 0).UTC().Format(time.DateTime) ||
				price.Cmp(big.NewRat(l.PriceMilli, 1000)) != 0 {
				t.Fatalf("row %d: %q became %+v of %q", o.Row+int64(i), rec, *l, o.Invoice)
			}
			want.add(rec, previous)
			previous = rec[0]
		}
		require.NoError(t, s.Apply(Validate(o.Command())))
	}
	_, err = rows.Read()
	require.Equal(t, io.EOF, err)

	require.EqualValues(t, 541_909, want.rows)
	require.Len(t, want.invoices, 25_900)
	require.Equal(t, want.runs, commands)
	require.Equal(t, want.rows, r.Rows())
	m := s.Summary(Log{})
	require.Equal(t, want.rows, m.Lines)
	require.EqualValues(t, len(want.invoices), m.Invoices)
	require.EqualValues(t, len(want.customers), m.Customers)
	for i, got := range []int64{m.GrossMilli, m.RefundsMilli, m.AdjustmentsMilli} {
		require.Zero(t, want.byKind[i].Cmp(big.NewRat(got, 1)), "%s: %d, counted %s", Kind(i), got, want.byKind[i])
	}
	require.Equal(t, m.GrossMilli+m.RefundsMilli+m.AdjustmentsMilli, m.NetMilli)
	require.Len(t, m.Countries, len(want.byCountry))
	for name, milli := range want.byCountry {
		require.Zero(t, milli.Cmp(big.NewRat(m.Countries[name], 1)), name)
	}
	for k := range kinds {
		tt := s.Ledger.Totals(k)
		t.Logf("%-12s %6d accepted, %5d rejected", k, tt.Accepted, tt.Rejected)
	}
	t.Logf("%d commands, the longest of %d lines", commands, longest)
}

// An import that stops behind any order goes on at the next one.
func TestRetailFile_Resume(t *testing.T) {
	if testing.Short() {
		t.Skip("reads the retail file several times")
	}
	first, err := NewReader(openRetail(t))
	require.NoError(t, err)
	require.NoError(t, first.SkipTo(200_000))
	var before, o, resumed Order
	require.NoError(t, first.Next(&before)) // perhaps the end of a run only
	for range 3 {
		require.NoError(t, first.Next(&o))
		again, err := NewReader(openRetail(t))
		require.NoError(t, err)
		require.NoError(t, again.SkipTo(o.Row))
		require.NoError(t, again.Next(&resumed))
		require.Equal(t, o, resumed)
	}
}

func BenchmarkReader(b *testing.B) {
	f := openRetail(b)
	r, err := NewReader(f)
	require.NoError(b, err)
	var o Order
	rows := int64(0)
	b.ReportAllocs()
	for b.Loop() {
		if err := r.Next(&o); errors.Is(err, io.EOF) {
			_, _ = f.Seek(0, io.SeekStart)
			r, err = NewReader(f)
			require.NoError(b, err)
		}
		rows += o.Rows
	}
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
}
