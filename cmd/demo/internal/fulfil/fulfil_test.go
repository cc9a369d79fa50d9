package fulfil

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace/cmd/demo/internal/shop"
	"github.com/headrace/headrace/event"
)

// The upcaster and Lift make the same of the first version.
func TestOrderOpened_FirstVersion_IsLifted(t *testing.T) {
	old, now := event.NewRegistry(), event.NewRegistry()
	Register(old, true)
	Register(now, false)
	writes, err := event.CodecOf[OrderOpenedV1](old)
	require.NoError(t, err)
	reads, err := event.CodecOf[OrderOpened](now)
	require.NoError(t, err)
	g := shop.NewGenerator(3, 0)
	var o shop.Order
	for k := int64(1); k < 300; k++ {
		g.Order(k, &o)
		e := Open(&o)
		payload, err := writes.AppendPayload(nil, &e)
		require.NoError(t, err)
		var got OrderOpened
		require.NoError(t, reads.DecodeVersion(1, payload, &got))
		require.Equal(t, e.Lift(), got)
		require.Equal(t, o.AmountMilli(), got.AmountMilli)
	}
}

// Random orders, in any order of their steps: nothing is below zero, nothing is lost, and what was asked for is ordered.
func TestWarehouse_RandomSteps(t *testing.T) {
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 50 {
		w := NewWarehouse()
		apply := func(e Event) { require.NoError(t, w.Apply(e), "seed %d", seed) }
		var waits []ReserveStock
		var due []RestockDue
		var held []StockReserved
		for step := range 300 {
			switch rng.IntN(4) {
			case 0, 1:
				e := ReserveStock{Order: fmt.Sprint(step)}
				for range 1 + rng.IntN(3) {
					e.Items = append(e.Items, Item{fmt.Sprint(len(e.Items)), 1 + rng.Int64N(20)})
				}
				waits = append(waits, e)
			case 2:
				if len(due) > 0 {
					apply(GoodsReceived{due[0].Stock, due[0].Lot})
					due = due[1:]
				}
			case 3:
				if n := len(held); n > 0 {
					h := held[rng.IntN(n)]
					if _, ok := w.Holds[h.Order]; !ok {
						continue
					}
					if rng.IntN(2) == 0 {
						apply(StockReleased{Order: h.Order, Items: h.Items})
					} else {
						apply(OrderShipped{Order: h.Order, Items: h.Items})
					}
				}
			}
			if len(waits) == 0 {
				continue
			}
			e := waits[0]
			waits = waits[1:]
			if e.Attempt == 0 {
				for _, low := range w.Low(e.Items) {
					due = append(due, RestockDue{low.Stock, low.Lot})
					apply(low)
				}
			}
			if w.Has(e.Items) {
				r := StockReserved{Order: e.Order, Items: e.Items, Attempt: e.Attempt}
				apply(r)
				held = append(held, r)
			} else {
				apply(StockShort{Order: e.Order, Items: e.Items, Attempt: e.Attempt})
				e.Attempt++
				waits = append(waits, e)
			}
			for stock, a := range w.Articles {
				require.GreaterOrEqual(t, a.OnHand, int64(0), "seed %d", seed)
				require.GreaterOrEqual(t, a.Reserved, int64(0), "seed %d", seed)
				require.Equal(t, a.Initial+a.Received, a.OnHand+a.Reserved+a.Shipped, "seed %d, article %s", seed, stock)
				require.GreaterOrEqual(t, a.Initial+a.Ordered-a.Asked, int64(lowMark), "seed %d: enough is ordered", seed)
			}
		}
		for _, d := range due {
			apply(GoodsReceived{d.Stock, d.Lot})
		}
		for _, e := range waits { // all of what waits can be had now, in whichever order
			require.True(t, w.Has(e.Items) || e.Attempt == 0, "seed %d", seed)
			if w.Has(e.Items) {
				apply(StockReserved{Order: e.Order, Items: e.Items, Attempt: e.Attempt})
			}
		}
	}
}

func TestRefused(t *testing.T) {
	require.Empty(t, Refused([]Item{{"a", 21}, {"b", 21}}))
	require.Equal(t, ReasonTooMuch, Refused([]Item{{"a", 11}, {"a", 11}}), "two prices of one article")
}

func TestState_HashTellsStatesApart(t *testing.T) {
	a, b := NewState(), NewState()
	require.Equal(t, a.Hash(), b.Hash())
	require.NoError(t, a.Apply(OrderOpened{Order: "x@1", AmountMilli: 7}))
	require.NotEqual(t, a.Hash(), b.Hash())
	require.NoError(t, b.Apply(OrderOpened{Order: "x@1", AmountMilli: 7}))
	require.Equal(t, a.Hash(), b.Hash())
	require.NoError(t, a.Apply(OrderCancelled{Order: "x@1", Reason: "r"}))
	require.Zero(t, a.Open)
	require.NotEqual(t, a.Hash(), b.Hash())
}
