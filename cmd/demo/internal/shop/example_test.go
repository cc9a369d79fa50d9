package shop_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/headrace/headrace/cmd/demo/internal/shop"
)

// The shop without an engine: orders become commands, commands answers, answers figures.
func Example() {
	const file = `InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country
536365,85123A,WHITE HEART,6,2010-12-01 08:26:00,2.55,17850,United Kingdom
536365,71053,WHITE LANTERN,6,2010-12-01 08:26:00,3.391,17850,United Kingdom
536414,22139,,56,2010-12-01 11:52:00,0,,United Kingdom
C536379,D,Discount,-1,2010-12-01 09:41:00,27.5,14527,EIRE
`
	source, err := shop.NewReader(strings.NewReader(file))
	if err != nil {
		fmt.Println(err)
		return
	}
	var state shop.State
	var order shop.Order
	for {
		err := source.Next(&order)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		answer := shop.Validate(order.Command())
		if err := state.Apply(answer); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("rows %d-%d: %T %q\n", order.Row, order.NextRow()-1, answer, answer.Rejected())
	}
	m := state.Summary(shop.Log{})
	fmt.Println(m.Invoices, "invoices,", m.Lines, "lines, net", m.NetMilli)
	// Output:
	// rows 1-2: *shop.OrderAccepted ""
	// rows 3-3: *shop.OrderRejected "price"
	// rows 4-4: *shop.CancellationAccepted ""
	// 3 invoices, 4 lines, net 8146
}

// A row that cannot be read ends the import with its number and column.
func ExampleRowError() {
	source, err := shop.NewReader(strings.NewReader(
		"InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n" +
			"536365,85123A,WHITE HEART,6,2010-12-01 08:26:00,2.5501,17850,United Kingdom\n"))
	if err == nil {
		err = source.Next(new(shop.Order))
	}
	fmt.Println(err)
	// Output:
	// shop: row 1 (line 2), column UnitPrice: "2.5501": shop: finer than a thousandth
}

// Orders without a file: the same seed and number give the same order.
func ExampleGenerator() {
	g := shop.NewGenerator(1, 1000)
	var order, again shop.Order
	_ = g.SkipTo(500)
	_ = g.Next(&order)
	shop.NewGenerator(1, 0).Order(500, &again)
	fmt.Println(order.Row, order.Invoice == again.Invoice, order.AmountMilli() == again.AmountMilli())
	// Output:
	// 500 true true
}

func ExampleSummary_WriteTable() {
	m := shop.Summary{Invoices: 25900, Lines: 541909, NetMilli: 9_747_747_934, StateHash: "9f86…"}
	if err := m.WriteTable(os.Stdout); err != nil {
		fmt.Println(err)
	}
	// Output:
	//   invoices             25,900
	//   lines               541,909
	//   customers                 0
	//
	//   orders                    0.00
	//   refunds                   0.00
	//   adjustments               0.00
	//   net               9,747,747.934
	//
	//   events                    0
	//   last sequence             0
	//   durable sequence          0
	//   state 9f86…
}
