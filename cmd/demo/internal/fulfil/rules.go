package fulfil

import (
	"errors"
	"hash/fnv"
	"slices"
	"strings"

	"github.com/headrace/headrace/cmd/demo/internal/shop"
)

var errItem = errors.New("fulfil: an item without quantity and price")

// Reasons for which an order is cancelled. Declined payments have the gateway's.
const (
	ReasonTooMuch       = "too much of one article"
	ReasonUndeliverable = "undeliverable"
)

const (
	maxPerOrder = 21  // of one article
	initial     = 120 // of an article that nobody has asked for yet
	lowMark     = 40  // what is left when a lot is ordered
	lot         = 300
)

// Open returns the event that opens an accepted order, in the first version of it. Items of one article are
// one, with a price that keeps their amount if it can be kept, else they stay apart.
func Open(o *shop.Order) OrderOpenedV1 {
	e := OrderOpenedV1{Order: OrderKey(o.Invoice, o.Row), Customer: o.Customer, Day: Day(o)}
	for _, l := range o.Lines {
		i := slices.IndexFunc(e.Items, func(i PricedItem) bool { return i.Stock == l.Stock && i.PriceMilli == l.PriceMilli })
		if i < 0 {
			e.Items = append(e.Items, PricedItem{l.Stock, l.Quantity, l.PriceMilli})
		} else {
			e.Items[i].Quantity += l.Quantity
		}
	}
	slices.SortStableFunc(e.Items, func(a, b PricedItem) int { return strings.Compare(a.Stock, b.Stock) })
	return e
}

// Day returns the day of business of an order: a UTC day; the made-up shop, which takes 8 orders a minute, has days of ten
// minutes.
func Day(o *shop.Order) int64 {
	if strings.HasPrefix(o.Source, "seed:") {
		return o.TimeUnix / 600
	}
	return o.TimeUnix / 86_400
}

// Total returns how much of each article the items are.
func Total(items []Item) []Item {
	var all []Item
	for _, i := range items {
		if n := len(all); n > 0 && all[n-1].Stock == i.Stock {
			all[n-1].Quantity += i.Quantity
		} else {
			all = append(all, i)
		}
	}
	return all
}

// Refused returns why the items cannot be reserved however much there is, "" if they can.
func Refused(items []Item) string {
	for _, i := range Total(items) {
		if i.Quantity > maxPerOrder {
			return ReasonTooMuch
		}
	}
	return ""
}

// Undeliverable tells whether the parcel of an order cannot be delivered: one in 16.
func Undeliverable(order string) bool { return Chance("parcel/"+order, 16) == 0 }

// Chance draws a number below n that depends on name alone.
func Chance(name string, n uint32) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	x := h.Sum32() // mixed once more: names that differ in the last letter only are near each other
	x ^= x >> 15
	x *= 0x2c1b3c6d
	x ^= x >> 12
	x *= 0x297a2d39
	x ^= x >> 15
	return x % n
}
