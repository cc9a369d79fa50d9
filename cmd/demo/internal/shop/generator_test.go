package shop

import (
	"io"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// Order k of a seed is the same from a fresh generator, out of order, and after anything else.
func TestGenerator_OrderIsFunctionOfSeedAndNumber(t *testing.T) {
	const seed, orders = 42, 2000
	want := all(t, NewGenerator(seed, orders))
	require.Len(t, want, orders)
	g := NewGenerator(seed, 0)
	for _, i := range rand.New(rand.NewPCG(1, 1)).Perm(orders) {
		var o Order
		g.Order(int64(i+1), &o)
		require.Equal(t, want[i], o, "order %d", i+1)
	}
	other := all(t, NewGenerator(seed+1, orders))
	same := 0
	for i := range want {
		if want[i].AmountMilli() == other[i].AmountMilli() {
			same++
		}
	}
	require.Less(t, same, orders/10, "seeds differ")
}

func TestGenerator_MakesEveryAnswer(t *testing.T) {
	const orders = 20_000
	var s State
	ids := map[[16]byte]bool{}
	for _, o := range all(t, NewGenerator(7, orders)) {
		ids[o.ID()] = true
		require.Equal(t, KindOf(o.Invoice), o.Command().Kind())
		require.NoError(t, s.Apply(Validate(o.Command())))
	}
	require.Len(t, ids, orders)
	require.EqualValues(t, orders, s.Ledger.Invoices(), "each order has an invoice of its own")
	for k := range kinds {
		got := s.Ledger.Totals(k)
		require.Positive(t, got.Accepted, k)
		require.Positive(t, got.Rejected, k)
		require.Less(t, got.Rejected*4, got.Accepted, k)
	}
	for _, r := range []Reason{ReasonNoCountry, ReasonQuantity, ReasonPrice, ReasonNoAmount} {
		require.Positive(t, s.Ledger.RejectedFor(r).Rejected, r)
	}
	require.Negative(t, s.Ledger.Totals(Cancel).AmountMilli)
	require.Positive(t, s.Ledger.NetMilli())
}

func TestGenerator_Ends(t *testing.T) {
	g := NewGenerator(1, 3)
	require.EqualValues(t, 3, g.Rows())
	require.ErrorIs(t, g.SkipTo(5), ErrShort)
	require.NoError(t, g.SkipTo(3))
	require.Error(t, g.SkipTo(2), "no way back")
	var o Order
	require.NoError(t, g.Next(&o))
	require.Equal(t, io.EOF, g.Next(&o))
	require.Equal(t, io.EOF, g.Next(&o))

	g.Order(MaxRow, &o)
	require.NoError(t, o.Check())
}

func BenchmarkGenerator(b *testing.B) {
	g := NewGenerator(1, 0)
	var o Order
	b.ReportAllocs()
	for b.Loop() {
		_ = g.Next(&o)
	}
}
