package shop

import (
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
)

// Generator is a Source of orders that are made up. Order k, from 1, is a pure function of the
// seed and k; k is its row, and it takes one row. Each has an invoice number of its own.
//
// About one in 12 is a cancellation, most of them of an order a little earlier; one in 400 is an
// adjustment of the ledger; one in 20 breaks a rule of Validate.
type Generator struct {
	name   string
	seed   uint64
	orders int64 // 0 = without end
	next   int64
	pcg    rand.PCG
	rng    *rand.Rand
	back   Order // the order that a cancellation refers to
}

// NewGenerator returns the source of orders 1 to orders of a seed; 0 or less is MaxRow of them.
func NewGenerator(seed uint64, orders int64) *Generator {
	if orders < 1 || orders > MaxRow {
		orders = MaxRow
	}
	g := &Generator{name: "seed:" + strconv.FormatUint(seed, 10), seed: seed, orders: orders, next: 1}
	g.rng = rand.New(&g.pcg)
	return g
}

// Name returns "seed:" and the seed, whatever the number of orders.
func (g *Generator) Name() string { return g.name }

// Rows returns the number of orders.
func (g *Generator) Rows() int64 { return g.orders }

// SkipTo implements Source. It takes no time.
func (g *Generator) SkipTo(row int64) error {
	if row < g.next {
		return fmt.Errorf("shop: skip to row %d: the generator is at row %d already", row, g.next)
	}
	if row > g.orders+1 {
		return fmt.Errorf("%w: row %d; the seed is asked for %d", ErrShort, row, g.orders)
	}
	g.next = row
	return nil
}

// Next implements Source.
func (g *Generator) Next(o *Order) error {
	if g.next > g.orders {
		return io.EOF
	}
	g.Order(g.next, o)
	g.next++
	return nil
}

// Order fills o with order k, in [1, MaxRow]. It does not move the source.
func (g *Generator) Order(k int64, o *Order) {
	switch g.start(k) {
	case Cancel:
		g.cancel(k, o)
	case Adjustment:
		g.begin(k, o, "A")
		g.adjust(o)
	default:
		g.begin(k, o, "")
		g.place(o)
	}
}

// start seeds the random numbers for order k, and takes its kind from them.
func (g *Generator) start(k int64) Kind {
	g.pcg.Seed(g.seed, uint64(k)*0x9e3779b97f4a7c15) // neighbours far apart
	switch n := g.rng.IntN(1200); {
	case n < 100:
		return Cancel
	case n < 103:
		return Adjustment
	}
	return Plain
}

// First invoice and time of the made-up shop; a minute takes ordersAMinute.
const (
	firstInvoice  = 600_000
	firstTime     = 1_293_840_000 // 2011-01-01
	ordersAMinute = 8
	loopMinutes   = 50 * 365 * 24 * 60 // then the calendar starts again
)

// begin sets everything but lines, customer and country.
func (g *Generator) begin(k int64, o *Order, prefix string) {
	var b [maxInvoiceBytes]byte
	number := strconv.AppendInt(append(b[:0], prefix...), firstInvoice+k, 10)
	*o = Order{
		Source:   g.name,
		Row:      k,
		Rows:     1,
		Invoice:  string(number),
		Country:  "United Kingdom",
		TimeUnix: firstTime + k/ordersAMinute%loopMinutes*60,
		Lines:    o.Lines[:0],
	}
}

// place fills in an order: one to eight lines, now and then with a fault.
func (g *Generator) place(o *Order) {
	customer := g.rng.IntN(5000)
	if g.rng.IntN(5) > 0 { // else a guest
		o.Customer = strconv.Itoa(12_000 + customer)
	}
	o.Country = countries[customerCountry(customer)]
	for range 1 + min(g.rng.IntN(8), g.rng.IntN(8)) {
		a := &goods[g.rng.IntN(len(goods))]
		o.Lines = append(o.Lines, Line{
			Stock:       a.stock,
			Description: a.description,
			Quantity:    1 + int64(g.rng.IntN(12)),
			PriceMilli:  a.priceMilli,
			TimeUnix:    o.TimeUnix,
		})
	}
	bad := &o.Lines[g.rng.IntN(len(o.Lines))]
	switch g.rng.IntN(60) {
	case 0: // goods written off
		bad.Quantity = -bad.Quantity
	case 1: // a gift
		bad.PriceMilli = 0
	case 2:
		o.Country = ""
	}
}

// cancel fills in the return of a line of an order up to 64 before; where there is none, of
// something that was bought elsewhere.
func (g *Generator) cancel(k int64, o *Order) {
	j := k - 1 - int64(g.rng.IntN(64))
	pick, part := g.rng.IntN(8), g.rng.IntN(3)
	faulty := g.rng.IntN(40) == 0
	o.Lines = o.Lines[:0]
	if j >= 1 && g.start(j) == Plain {
		g.begin(j, &g.back, "")
		g.place(&g.back)
		g.begin(k, o, "C")
		o.Customer, o.Country = g.back.Customer, g.back.Country
		o.Lines = append(o.Lines, g.back.Lines[pick%len(g.back.Lines)])
	} else {
		g.begin(k, o, "C")
		a := &goods[pick%len(goods)]
		o.Lines = append(o.Lines, Line{Stock: a.stock, Description: a.description, Quantity: 1, PriceMilli: a.priceMilli})
	}
	l := &o.Lines[0]
	l.TimeUnix = o.TimeUnix
	l.Quantity = -max(1, l.Quantity)
	if part == 0 {
		l.Quantity = -1
	}
	if faulty {
		l.Quantity = -l.Quantity
	}
}

// adjust fills in a correction of up to 5,000 either way; a few are by nothing.
func (g *Generator) adjust(o *Order) {
	l := Line{Stock: "B", Description: "Adjust bad debt", Quantity: 1, TimeUnix: o.TimeUnix}
	if g.rng.IntN(10) > 0 {
		l.PriceMilli = g.rng.Int64N(10_000_001) - 5_000_000
	}
	o.Lines = append(o.Lines, l)
}

// customerCountry returns where a customer lives: nine of ten at home.
func customerCountry(customer int) int {
	if customer%10 > 0 {
		return 0
	}
	return customer / 10 % len(countries)
}

var countries = [...]string{
	"United Kingdom", "Germany", "France", "EIRE", "Spain", "Netherlands", "Belgium", "Switzerland", "Portugal", "Australia",
}

// goods is what the made-up shop sells.
var goods = [...]struct {
	stock, description string
	priceMilli         int64
}{
	{"10010", "BRASS DOOR KNOCKER", 7_950},
	{"10024", "TEA TOWEL BLUE STRIPE", 2_550},
	{"10031A", "GLASS JAR SMALL", 1_250},
	{"10031B", "GLASS JAR LARGE", 2_100},
	{"10058", "CANDLE PLATE TIN", 850},
	{"10072", "PAPER CHAIN RETRO", 2_950},
	{"10090", "PICTURE FRAME OAK", 6_450},
	{"10111", "GARDEN TWINE", 1_690},
	{"10126", "BIRD FEEDER", 4_250},
	{"10140", "LUNCH BOX DINOSAUR", 1_950},
	{"10155", "STICKER SHEET", 125},
	{"10170", "WALL CLOCK STATION", 18_950},
	{"10188", "CUSHION COVER LINEN", 5_450},
	{"10203", "EGG CUP SET OF 4", 3_750},
	{"10219", "DOORMAT WELCOME", 7_490},
	{"BULK-1", "BUTTON BY WEIGHT", 1},
	{"POST", "POSTAGE", 18_000},
}
