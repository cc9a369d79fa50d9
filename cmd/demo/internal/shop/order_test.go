package shop

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// sample returns an order that passes Check and that Validate accepts.
func sample() Order {
	return Order{
		Source: "test", Row: 7, Rows: 2, Invoice: "536365", Customer: "17850", Country: "France", TimeUnix: 1291191960,
		Lines: []Line{
			{Stock: "85123A", Description: "HEART", Quantity: 6, PriceMilli: 2550, TimeUnix: 1291191960},
			{Stock: "71053", Quantity: 2, PriceMilli: 3391, TimeUnix: 1291192020},
		},
	}
}

func TestCommandID_DependsOnInvoiceAndRowAlone(t *testing.T) {
	o := sample()
	id := o.ID()
	require.Equal(t, id, CommandID("536365", 7))
	require.NotEqual(t, id, CommandID("536365", 8))
	require.NotEqual(t, id, CommandID("53636", 57))
	o.Lines, o.Source, o.Customer = nil, "elsewhere", ""
	require.Equal(t, id, o.ID())
}

func TestKindOf(t *testing.T) {
	for invoice, want := range map[string]Kind{"536365": Plain, "C536379": Cancel, "A563185": Adjustment, "": Plain, "c1": Plain, "X": Plain} {
		require.Equal(t, want, KindOf(invoice), invoice)
		if want != Plain || invoice != "" {
			o := Order{Invoice: invoice}
			require.Equal(t, want, o.Command().Kind(), invoice)
		}
	}
}

func TestOrder_Check_NamesTheFault(t *testing.T) {
	ok := sample()
	require.NoError(t, ok.Check())
	for _, c := range []struct {
		name  string
		spoil func(o *Order)
		line  int
		field string
		err   error
	}{
		{"no lines", func(o *Order) { o.Lines = nil }, 0, "lines", ErrMissing},
		{"too many lines", func(o *Order) { o.Lines = make([]Line, MaxLines+1) }, 0, "lines", ErrTooLong},
		{"no source", func(o *Order) { o.Source = "" }, 0, "source", ErrMissing},
		{"no invoice", func(o *Order) { o.Invoice = "" }, 0, "invoice", ErrMissing},
		{"invoice too long", func(o *Order) { o.Invoice = strings.Repeat("9", 33) }, 0, "invoice", ErrTooLong},
		{"customer not UTF-8", func(o *Order) { o.Customer = "\xff" }, 0, "customer", ErrSyntax},
		{"country too long", func(o *Order) { o.Country = strings.Repeat("x", 65) }, 0, "country", ErrTooLong},
		{"row 0", func(o *Order) { o.Row = 0 }, 0, "row", ErrOutOfRange},
		{"row beyond", func(o *Order) { o.Row = MaxRow + 1 }, 0, "row", ErrOutOfRange},
		{"no rows", func(o *Order) { o.Rows = 0 }, 0, "rows", ErrOutOfRange},
		{"time", func(o *Order) { o.TimeUnix = maxUnixTime + 1 }, 0, "time", ErrOutOfRange},
		{"no stock", func(o *Order) { o.Lines[1].Stock = "" }, 2, "stock", ErrMissing},
		{"description", func(o *Order) { o.Lines[0].Description = strings.Repeat("x", 4097) }, 1, "description", ErrTooLong},
		{"quantity", func(o *Order) { o.Lines[0].Quantity = -MaxAmountMilli - 1 }, 1, "quantity", ErrOutOfRange},
		{"price", func(o *Order) { o.Lines[0].PriceMilli = MaxAmountMilli + 1 }, 1, "price", ErrOutOfRange},
		{"line time", func(o *Order) { o.Lines[1].TimeUnix = minUnixTime - 1 }, 2, "time", ErrOutOfRange},
		{"product", func(o *Order) { o.Lines[1].Quantity, o.Lines[1].PriceMilli = 1<<25, -1<<25 }, 2, "price", ErrOutOfRange},
		{"sum", func(o *Order) { o.Lines[0].Quantity, o.Lines[0].PriceMilli = 1, MaxAmountMilli }, 0, "amount", ErrOutOfRange},
		{"text", func(o *Order) {
			o.Lines = nil
			for range MaxTextBytes/4096 + 1 {
				o.Lines = append(o.Lines, Line{Stock: "1", Description: strings.Repeat("x", 4096)})
			}
		}, 0, "lines", ErrTooLong},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := sample()
			c.spoil(&o)
			var fault *OrderError
			require.ErrorAs(t, o.Check(), &fault)
			require.ErrorIs(t, fault, c.err)
			require.Equal(t, c.line, fault.Line)
			require.Equal(t, c.field, fault.Field)
			require.Contains(t, fault.Error(), c.field)
		})
	}
}

// The largest order that Check lets through cannot wrap a sum.
func TestOrder_Check_LargestOrderFits(t *testing.T) {
	o := sample()
	o.Lines = nil
	for i := range MaxLines {
		l := Line{Stock: "1", Quantity: 1, PriceMilli: MaxAmountMilli}
		if i%2 == 1 {
			l.Quantity = -1
		}
		o.Lines = append(o.Lines, l)
	}
	require.NoError(t, o.Check())
	require.Zero(t, o.AmountMilli())
	for i := range o.Lines {
		o.Lines[i].Quantity = 1
	}
	require.ErrorIs(t, o.Check(), ErrOutOfRange)
	require.Equal(t, int64(MaxLines*MaxAmountMilli), o.AmountMilli())
}
