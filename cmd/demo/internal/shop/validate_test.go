package shop

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestValidate(t *testing.T) {
	line := func(quantity, price int64) []Line {
		return []Line{{Stock: "1", Quantity: 1, PriceMilli: 1}, {Stock: "2", Quantity: quantity, PriceMilli: price}}
	}
	back := func(quantity, price int64) []Line {
		return []Line{{Stock: "1", Quantity: -1, PriceMilli: 1}, {Stock: "2", Quantity: quantity, PriceMilli: price}}
	}
	for _, c := range []struct {
		name    string
		command Command
		want    Event
	}{
		{"order", &PlaceOrder{Order{Invoice: "1", Country: "x", Lines: line(2, 5)}},
			&OrderAccepted{Answer{Invoice: "1", Country: "x", Lines: 2, AmountMilli: 11}}},
		{"order without a customer is fine, without a country not", &PlaceOrder{Order{Invoice: "1", Customer: "c", Lines: line(2, 5)}},
			&OrderRejected{Rejection{Answer{Invoice: "1", Customer: "c", Lines: 2, AmountMilli: 11}, ReasonNoCountry, 0}}},
		{"order of nothing", &PlaceOrder{Order{Invoice: "1", Country: "x", Lines: line(0, 5)}},
			&OrderRejected{Rejection{Answer{Invoice: "1", Country: "x", Lines: 2, AmountMilli: 1}, ReasonQuantity, 2}}},
		{"order below nothing", &PlaceOrder{Order{Invoice: "1", Country: "x", Lines: line(-2, 5)}},
			&OrderRejected{Rejection{Answer{Invoice: "1", Country: "x", Lines: 2, AmountMilli: -9}, ReasonQuantity, 2}}},
		{"gift", &PlaceOrder{Order{Invoice: "1", Country: "x", Lines: line(2, 0)}},
			&OrderRejected{Rejection{Answer{Invoice: "1", Country: "x", Lines: 2, AmountMilli: 1}, ReasonPrice, 2}}},
		{"order with another kind's number", &PlaceOrder{Order{Invoice: "C1", Country: "x", Lines: line(2, 5)}},
			&OrderRejected{Rejection{Answer{Invoice: "C1", Country: "x", Lines: 2, AmountMilli: 11}, ReasonInvoiceNumber, 0}}},
		{"return", &CancelOrder{Order{Invoice: "C1", Country: "x", Row: 3, Lines: back(-2, 5)}},
			&CancellationAccepted{Answer{Invoice: "C1", Country: "x", Row: 3, Lines: 2, AmountMilli: -11}}},
		{"return of goods to come", &CancelOrder{Order{Invoice: "C1", Country: "x", Lines: back(2, 5)}},
			&CancellationRejected{Rejection{Answer{Invoice: "C1", Country: "x", Lines: 2, AmountMilli: 9}, ReasonQuantity, 2}}},
		{"return below price", &CancelOrder{Order{Invoice: "C1", Country: "x", Lines: back(-2, -5)}},
			&CancellationRejected{Rejection{Answer{Invoice: "C1", Country: "x", Lines: 2, AmountMilli: 9}, ReasonPrice, 2}}},
		{"adjustment", &AdjustLedger{Order{Invoice: "A1", Country: "x", Lines: line(1, -5)}},
			&LedgerAdjusted{Answer{Invoice: "A1", Country: "x", Lines: 2, AmountMilli: -4}}},
		{"adjustment by nothing", &AdjustLedger{Order{Invoice: "A1", Country: "x", Lines: line(1, -1)}},
			&AdjustmentRejected{Rejection{Answer{Invoice: "A1", Country: "x", Lines: 2}, ReasonNoAmount, 0}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Validate(c.command)
			require.Equal(t, c.want, got)
			require.Equal(t, c.command.Kind(), got.Kind())
		})
	}
}

// Numbers of reasons are in every log: this list may grow at its end and must not change.
func TestReason_NumbersStay(t *testing.T) {
	for i, r := range []Reason{"invoice-number", "no-country", "quantity", "price", "no-amount"} {
		require.Equal(t, i+1, r.number())
	}
	require.Zero(t, Reason("").number())
	require.Zero(t, Reason("other").number())
}
