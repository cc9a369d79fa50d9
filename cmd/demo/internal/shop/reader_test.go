package shop

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

const header = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"

const small = header +
	"536365,85123A,\"HEART, WHITE\",6,2010-12-01 08:26:00,2.55,17850,United Kingdom\n" + // 1
	"536365,71053,\"6\"\" LANTERN\nTIN\",6,2010-12-01 08:27:00,3.391,17850,United Kingdom\n" + // 2
	"C536379,D,Discount,-1,2010-12-01 09:41,27.50,14527,United Kingdom\n" + // 3
	"536366,22633,,1,2010-12-01 09:41:00,0,,EIRE\n" + // 4
	"536365,71053,,1,2010-12-01 09:42:00,0.1,17850,United Kingdom\n" + // 5
	"A563185,B,Adjust bad debt,1,2011-08-12 14:50:00,-11062.06,,United Kingdom" // 6

// all reads the orders of a source.
func all(t testing.TB, s Source) []Order {
	t.Helper()
	var out []Order
	for {
		var o Order
		err := s.Next(&o)
		if errors.Is(err, io.EOF) {
			return out
		}
		require.NoError(t, err)
		require.NoError(t, o.Check())
		out = append(out, o)
	}
}

func zipped(t testing.TB, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write([]byte(text))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.Bytes()
}

func TestReader_RunsBecomeOrders(t *testing.T) {
	r, err := NewReader(strings.NewReader(small))
	require.NoError(t, err)
	require.Zero(t, r.Rows())
	orders := all(t, r)
	require.EqualValues(t, 6, r.Rows())
	require.Len(t, orders, 5)
	name := r.Name()
	require.Equal(t, Order{
		Source: name, Row: 1, Rows: 2, Invoice: "536365", Customer: "17850", Country: "United Kingdom", TimeUnix: 1291191960,
		Lines: []Line{
			{Stock: "85123A", Description: "HEART, WHITE", Quantity: 6, PriceMilli: 2550, TimeUnix: 1291191960},
			{Stock: "71053", Description: "6\" LANTERN\nTIN", Quantity: 6, PriceMilli: 3391, TimeUnix: 1291192020},
		},
	}, orders[0])
	require.Equal(t, Order{
		Source: name, Row: 3, Rows: 1, Invoice: "C536379", Customer: "14527", Country: "United Kingdom", TimeUnix: 1291196460,
		Lines: []Line{{Stock: "D", Description: "Discount", Quantity: -1, PriceMilli: 27500, TimeUnix: 1291196460}},
	}, orders[1])
	require.Equal(t, "536365", orders[3].Invoice)
	require.NotEqual(t, orders[0].ID(), orders[3].ID(), "one invoice, two runs, two commands")
	require.EqualValues(t, -11062060, orders[4].AmountMilli())

	var o Order
	require.Equal(t, io.EOF, r.Next(&o), "the end stays the end")
}

func TestReader_FormDoesNotMatter(t *testing.T) {
	plain, err := NewReader(strings.NewReader(small))
	require.NoError(t, err)
	want := all(t, plain)
	for name, in := range map[string][]byte{
		"gzip":            zipped(t, small),
		"two gzip parts":  append(zipped(t, small[:200]), zipped(t, small[200:])...),
		"byte order mark": []byte("\xef\xbb\xbf" + small),
		"CRLF":            []byte(strings.ReplaceAll(small, "\n", "\r\n")), // inside quotes too: csv makes it \n
		"empty lines":     []byte(strings.ReplaceAll(small, "\nC", "\n\nC") + "\n\n\n"),
		"added rows":      []byte(small + "\nC9,1,x,-1,2011-08-12 14:50:00,1,,EIRE\n"),
	} {
		t.Run(name, func(t *testing.T) {
			r, err := NewReader(iotest.OneByteReader(bytes.NewReader(in)))
			require.NoError(t, err)
			require.Equal(t, plain.Name(), r.Name())
			got := all(t, r)
			require.Equal(t, want, got[:len(want)])
		})
	}
	other, err := NewReader(strings.NewReader(strings.Replace(small, "17850", "17851", 1)))
	require.NoError(t, err)
	require.NotEqual(t, plain.Name(), other.Name())
}

// An import that goes on behind any order sees exactly the orders that it has not seen.
func TestSource_ResumeAnywhere(t *testing.T) {
	long := header // runs that are cut: by number of lines, by text, by customer, by country
	for i := range MaxLines*2 + 10 {
		long += fmt.Sprintf("1,%d,x,1,2010-12-01 08:26:00,1,,EIRE\n", i)
	}
	for range 3*MaxTextBytes/4000 + 5 {
		long += "2,1," + strings.Repeat("y", 4000) + ",1,2010-12-01 08:26:00,1,,EIRE\n"
	}
	long += "2,1,x,1,2010-12-01 08:26:00,1,7,EIRE\n2,1,x,1,2010-12-01 08:26:00,1,7,France\n2,1,x,1,2010-12-01 08:26:00,1,7,France\n"
	sources := map[string]func() Source{
		"generator": func() Source { return NewGenerator(3, 200) },
	}
	for name, text := range map[string]string{"small": small, "long": long} {
		sources[name] = func() Source {
			r, err := NewReader(strings.NewReader(text))
			require.NoError(t, err)
			return r
		}
	}
	for name, open := range sources {
		t.Run(name, func(t *testing.T) {
			want := all(t, open())
			if name == "long" {
				require.Equal(t, 3+4+2, len(want))
			}
			var p Position
			for i := 0; ; i++ {
				s := open()
				require.NoError(t, p.Resume(s))
				got := all(t, s)
				require.Equal(t, len(want)-i, len(got))
				if len(got) == 0 {
					break
				}
				require.Equal(t, want[i:], got)
				require.NoError(t, p.Observe(&want[i]))
			}
			require.Equal(t, want[0].Source, p.Source())
			last := want[len(want)-1]
			require.ErrorIs(t, open().SkipTo(last.NextRow()+1), ErrShort)
		})
	}
}

func TestPosition_RefusesWhatDoesNotFollow(t *testing.T) {
	var p Position
	require.EqualValues(t, 1, p.Next())
	require.NoError(t, p.Resume(NewGenerator(9, 5)), "an empty log goes with any source")
	orders := all(t, NewGenerator(9, 5))
	require.ErrorIs(t, p.Observe(&orders[1]), ErrGap)
	require.NoError(t, p.Observe(&orders[0]))
	require.ErrorIs(t, p.Observe(&orders[0]), ErrGap)
	require.ErrorIs(t, p.Observe(&orders[2]), ErrGap)
	other := all(t, NewGenerator(10, 5))
	require.ErrorIs(t, p.Observe(&other[1]), ErrSource)
	require.ErrorIs(t, p.Resume(NewGenerator(10, 5)), ErrSource)
	require.NoError(t, p.Observe(&orders[1]))
	require.EqualValues(t, 3, p.Next())
	require.ErrorIs(t, p.Resume(NewGenerator(9, 1)), ErrShort)
	require.NoError(t, p.Resume(NewGenerator(9, 2)))
}

func TestReader_BadInput_NamesRowAndColumn(t *testing.T) {
	good := "536365,1,x,6,2010-12-01 08:26:00,2.55,17850,France\n"
	for _, c := range []struct {
		name   string
		rows   string
		row    int64
		line   int
		column string
		err    error
	}{
		{"quantity no number", good + "536365,1,x,six,2010-12-01 08:26:00,2.55,,France", 2, 3, "Quantity", ErrSyntax},
		{"quantity with decimals", "1,1,x,1.5,2010-12-01 08:26:00,2.55,,France", 1, 2, "Quantity", ErrSyntax},
		{"quantity empty", good + good + "1,1,x,,2010-12-01 08:26:00,2.55,,France", 3, 4, "Quantity", ErrSyntax},
		{"quantity beyond int64", "1,1,x,99999999999999999999,2010-12-01 08:26:00,2.55,,France", 1, 2, "Quantity", ErrOutOfRange},
		{"quantity too large", "1,1,x,1000000000000001,2010-12-01 08:26:00,0,,France", 1, 2, "Quantity", ErrOutOfRange},
		{"price no number", "1,1,x,1,2010-12-01 08:26:00,free,,France", 1, 2, "UnitPrice", ErrSyntax},
		{"price too fine", "1,1,x,1,2010-12-01 08:26:00,0.0005,,France", 1, 2, "UnitPrice", ErrPrecision},
		{"price too large", "1,1,x,1,2010-12-01 08:26:00,1000000000000.001,,France", 1, 2, "UnitPrice", ErrOutOfRange},
		{"amount too large", "1,1,x,10000000,2010-12-01 08:26:00,1000000,,France", 1, 2, "UnitPrice", ErrOutOfRange},
		{"total too large", strings.Repeat("1,1,x,1,2010-12-01 08:26:00,600000000000,,France\n", 2), 2, 3, "UnitPrice", ErrOutOfRange},
		{"date", "1,1,x,1,01/12/2010 08:26,1,,France", 1, 2, "InvoiceDate", ErrSyntax},
		{"date that is none", "1,1,x,1,2010-02-30 08:26:00,1,,France", 1, 2, "InvoiceDate", ErrSyntax},
		{"date empty", "1,1,x,1,,1,,France", 1, 2, "InvoiceDate", ErrSyntax},
		{"no invoice", good + ",1,x,1,2010-12-01 08:26:00,1,,France", 2, 3, "InvoiceNo", ErrMissing},
		{"no stock code", "1,,x,1,2010-12-01 08:26:00,1,,France", 1, 2, "StockCode", ErrMissing},
		{"customer too long", "1,1,x,1,2010-12-01 08:26:00,1," + strings.Repeat("7", 65) + ",France", 1, 2, "CustomerID", ErrTooLong},
		{"description not UTF-8", "1,1,\xe9,1,2010-12-01 08:26:00,1,,France", 1, 2, "Description", ErrSyntax},
		{"country not UTF-8", "1,1,x,1,2010-12-01 08:26:00,1,,C\xf4te", 1, 2, "Country", ErrSyntax},
		{"too few fields", good + "1,1,x,1", 2, 3, "", csv.ErrFieldCount},
		{"too many fields", good + good[:len(good)-1] + ",more", 2, 3, "", csv.ErrFieldCount},
		{"stray quote", good + "1,1,x\",1,2010-12-01 08:26:00,1,,France", 2, 3, "", csv.ErrBareQuote},
		{"open quote", good + "1,1,\"x,1,2010-12-01 08:26:00,1,,France", 2, 3, "", csv.ErrQuote},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := NewReader(strings.NewReader(header + c.rows))
			var o Order
			for err == nil {
				err = r.Next(&o)
			}
			var bad *RowError
			require.ErrorAs(t, err, &bad)
			require.ErrorIs(t, err, c.err)
			require.Equal(t, c.row, bad.Row)
			require.Equal(t, c.line, bad.Line)
			require.Equal(t, c.column, bad.Column)
			require.Contains(t, err.Error(), fmt.Sprintf("row %d", c.row))
			if r != nil {
				require.Equal(t, err, r.Next(&o), "the error stays")
				require.Equal(t, err, r.SkipTo(1000), "the error stays")
			}
		})
	}
}

func TestNewReader_NoRetailFile(t *testing.T) {
	gz := zipped(t, small)
	for name, c := range map[string]struct {
		in  []byte
		err error
	}{
		"empty":            {nil, ErrHeader},
		"empty gzip":       {zipped(t, ""), ErrHeader},
		"other header":     {[]byte("a,b,c\n1,2,3\n"), ErrHeader},
		"columns swapped":  {[]byte(strings.Replace(small, "InvoiceNo,StockCode", "StockCode,InvoiceNo", 1)), ErrHeader},
		"no header":        {[]byte(small[len(header):]), ErrHeader},
		"gzip cut":         {gz[:5], io.ErrUnexpectedEOF},
		"gzip header only": {gz[:10], io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := NewReader(bytes.NewReader(c.in))
			var bad *RowError
			require.ErrorAs(t, err, &bad)
			require.ErrorIs(t, err, c.err)
			require.Zero(t, bad.Row)
		})
	}
	r, err := NewReader(strings.NewReader(header))
	require.NoError(t, err)
	require.Empty(t, all(t, r), "a header alone is a file without rows")
}

// A file that was cut is an error, never a shorter file.
func TestReader_DamagedGzip(t *testing.T) {
	whole := zipped(t, header+strings.Repeat("1,1,x,1,2010-12-01 08:26:00,1,,France\n2,1,x,1,2010-12-01 08:26:00,1,,France\n", 5000))
	read := func(in []byte) error {
		r, err := NewReader(bytes.NewReader(in))
		for o := new(Order); err == nil; {
			err = r.Next(o)
		}
		return err
	}
	require.Equal(t, io.EOF, read(whole))
	for cut := 2; cut < len(whole); cut += 7 {
		err := read(whole[:cut])
		require.Error(t, err)
		require.ErrorContains(t, err, "gzip")
		require.NotErrorIs(t, err, io.EOF, "cut at %d of %d", cut, len(whole))
	}
	flipped := slices.Clone(whole)
	flipped[len(flipped)-6] ^= 1 // in the checksum
	require.ErrorIs(t, read(flipped), gzip.ErrChecksum)
}

// FuzzReader checks that whatever is read accounts for every record of the input, and that what is
// not read is an error with a row.
func FuzzReader(f *testing.F) {
	f.Add([]byte(small))
	f.Add([]byte(header + "1,1,x,1,2010-12-01 08:26:00,1,,France\n\n1,1,x,-1,2010-12-01 08:26,-0.001,,France"))
	f.Add([]byte(header + "1,1,\"x\"y,1,2010-12-01 08:26:00,1,,France"))
	f.Add(zipped(f, small))
	f.Fuzz(func(t *testing.T, in []byte) {
		r, err := NewReader(bytes.NewReader(in))
		rows := int64(0)
		var p Position
		for err == nil {
			var o Order
			if err = r.Next(&o); err == nil {
				require.NoError(t, o.Check())
				require.NoError(t, p.Observe(&o))
				require.Len(t, o.Lines, int(o.Rows))
				rows += o.Rows
			}
		}
		if err == io.EOF {
			require.Equal(t, rows, r.Rows())
			require.Equal(t, rows+1, p.Next())
			return
		}
		var bad *RowError
		require.ErrorAs(t, err, &bad)
		require.True(t, bad.Row == 0 || bad.Row > rows, "row %d is at fault, %d were read", bad.Row, rows)
	})
}
