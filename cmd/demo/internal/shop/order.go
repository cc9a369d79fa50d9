package shop

import (
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/headrace/headrace/event"
)

// Limits of an order. They keep its encoding below MaxTextBytes plus 64 bytes a line, and its
// arithmetic inside an int64.
const (
	MaxLines       = 4096                  // lines of an order; a longer run becomes several orders
	MaxTextBytes   = 512 << 10             // bytes of text in all lines; a longer run becomes several orders
	MaxAmountMilli = 1_000_000_000_000_000 // of a price, a quantity, a line and an order, either sign
	MaxRow         = 1 << 48               // largest row number

	maxSourceBytes      = 64
	maxInvoiceBytes     = 32
	maxStockBytes       = 64
	maxDescriptionBytes = 4096
	maxCustomerBytes    = 64
	maxCountryBytes     = 64
	maxUnixTime         = 253402300799 // 9999-12-31 23:59:59
	minUnixTime         = -62135596800 // 0001-01-01 00:00:00
)

// Kind is what an invoice number stands for.
type Kind uint8

// The three kinds of invoice, in the order in which reports name them.
const (
	Plain      Kind = iota // an order
	Cancel                 // C…: goods returned, quantities negative
	Adjustment             // A…: a correction of the ledger
	kinds
)

// KindOf returns the kind that an invoice number asks for: by its first letter, C or A; all others
// are Plain.
func KindOf(invoice string) Kind {
	if invoice != "" {
		switch invoice[0] {
		case 'C':
			return Cancel
		case 'A':
			return Adjustment
		}
	}
	return Plain
}

func (k Kind) String() string {
	switch k {
	case Plain:
		return "order"
	case Cancel:
		return "cancellation"
	case Adjustment:
		return "adjustment"
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// Line is one item of an order.
type Line struct {
	Stock       string `json:"stock"`
	Description string `json:"description,omitempty"`
	Quantity    int64  `json:"quantity"`
	PriceMilli  int64  `json:"priceMilli"` // of one unit
	TimeUnix    int64  `json:"timeUnix"`   // seconds; lines of one order may differ
}

// AmountMilli returns quantity times price. It fits for every line of an order that passes Check.
func (l *Line) AmountMilli() int64 { return l.Quantity * l.PriceMilli }

// Order is what all three commands carry: consecutive rows of a source with one invoice number.
type Order struct {
	Source   string `json:"source"`             // name of the source, see Source
	Row      int64  `json:"row"`                // its first row there, from 1
	Rows     int64  `json:"rows"`               // how many rows it takes, from 1
	Invoice  string `json:"invoice"`            // number, with its prefix
	Customer string `json:"customer,omitempty"` // "" = not known
	Country  string `json:"country"`            // name
	TimeUnix int64  `json:"timeUnix"`           // seconds; that of the first line
	Lines    []Line `json:"lines"`              // 1 to MaxLines
}

// NextRow returns the row after the order's last.
func (o *Order) NextRow() int64 { return o.Row + o.Rows }

// ID returns the id of the order's command: a function of its invoice number and first row alone,
// so that the same order has it whenever it comes again.
func (o *Order) ID() event.ID { return CommandID(o.Invoice, o.Row) }

// CommandID returns the id of the command for the run of rows that starts at row. (One invoice may
// come in several runs.) It allocates the name that it hashes.
func CommandID(invoice string, row int64) event.ID {
	b := make([]byte, 0, 64)
	b = append(b, "shop/command/"...)
	b = append(b, invoice...)
	b = append(b, '@')
	return event.IDFromName(string(strconv.AppendInt(b, row, 10)))
}

// AmountMilli returns the sum of the lines. It fits for every order that passes Check.
func (o *Order) AmountMilli() int64 {
	var sum int64
	for i := range o.Lines {
		sum += o.Lines[i].AmountMilli()
	}
	return sum
}

// Check returns nil, or an [*OrderError] that names what breaks a limit of this package: text
// that is missing (source, invoice, stock), too long or not UTF-8; rows, lines, times or amounts out
// of range. It says nothing about the business; that is Validate's part. It does not allocate when
// all is well.
func (o *Order) Check() error {
	if len(o.Lines) == 0 {
		return o.fault(0, "lines", ErrMissing)
	}
	if len(o.Lines) > MaxLines {
		return o.fault(0, "lines", ErrTooLong)
	}
	if err := checkText(o.Source, maxSourceBytes, true); err != nil {
		return o.fault(0, "source", err)
	}
	if err := checkText(o.Invoice, maxInvoiceBytes, true); err != nil {
		return o.fault(0, "invoice", err)
	}
	if err := checkText(o.Customer, maxCustomerBytes, false); err != nil {
		return o.fault(0, "customer", err)
	}
	if err := checkText(o.Country, maxCountryBytes, false); err != nil {
		return o.fault(0, "country", err)
	}
	if o.Row < 1 || o.Row > MaxRow {
		return o.fault(0, "row", ErrOutOfRange)
	}
	if o.Rows < 1 || o.Rows > MaxLines {
		return o.fault(0, "rows", ErrOutOfRange)
	}
	if !timeFits(o.TimeUnix) {
		return o.fault(0, "time", ErrOutOfRange)
	}
	var sum int64 // cannot wrap: MaxLines * MaxAmountMilli < 1<<63
	textBytes := 0
	for i := range o.Lines {
		l := &o.Lines[i]
		if field, err := l.check(); err != nil {
			return o.fault(i+1, field, err)
		}
		sum += l.AmountMilli()
		textBytes += l.textBytes()
	}
	if textBytes > MaxTextBytes {
		return o.fault(0, "lines", ErrTooLong)
	}
	if !amountFits(sum) {
		return o.fault(0, "amount", ErrOutOfRange)
	}
	return nil
}

func (o *Order) fault(line int, field string, err error) error {
	return &OrderError{Invoice: cut(o.Invoice), Line: line, Field: field, Err: err}
}

func (l *Line) textBytes() int { return len(l.Stock) + len(l.Description) }

// check returns the field at fault and why.
func (l *Line) check() (string, error) {
	if err := checkText(l.Stock, maxStockBytes, true); err != nil {
		return "stock", err
	}
	if err := checkText(l.Description, maxDescriptionBytes, false); err != nil {
		return "description", err
	}
	if !amountFits(l.Quantity) {
		return "quantity", ErrOutOfRange
	}
	if !amountFits(l.PriceMilli) || !productFits(l.Quantity, l.PriceMilli) {
		return "price", ErrOutOfRange
	}
	if !timeFits(l.TimeUnix) {
		return "time", ErrOutOfRange
	}
	return "", nil
}

func checkText(s string, maxBytes int, required bool) error {
	switch {
	case s == "" && required:
		return ErrMissing
	case len(s) > maxBytes:
		return ErrTooLong
	case !utf8.ValidString(s):
		return ErrSyntax
	}
	return nil
}

func timeFits(unix int64) bool { return unix >= minUnixTime && unix <= maxUnixTime }

func amountFits(n int64) bool { return n >= -MaxAmountMilli && n <= MaxAmountMilli }

// productFits reports whether a*b is within MaxAmountMilli; a and b are.
func productFits(a, b int64) bool {
	a, b = max(a, -a), max(b, -b)
	return a == 0 || b <= MaxAmountMilli/a
}

// cut shortens s for an error message.
func cut(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
