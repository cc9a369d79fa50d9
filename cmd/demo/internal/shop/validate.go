package shop

// Reason says why a command was rejected. The empty Reason is none.
type Reason string

// The reasons. Their numbers in payloads are their places in this list, from 1: add at the end.
const (
	ReasonInvoiceNumber Reason = "invoice-number" // the number is of another kind than the command
	ReasonNoCountry     Reason = "no-country"     // nowhere to deliver to
	ReasonQuantity      Reason = "quantity"       // an order of 0 or less, a return of 0 or more
	ReasonPrice         Reason = "price"          // 0 or less, in an order or a return
	ReasonNoAmount      Reason = "no-amount"      // an adjustment by 0
)

var reasons = [...]Reason{ReasonInvoiceNumber, ReasonNoCountry, ReasonQuantity, ReasonPrice, ReasonNoAmount}

// number returns r's place in the list of reasons, from 1; 0 if it is not there.
func (r Reason) number() int {
	for i := range reasons {
		if reasons[i] == r {
			return i + 1
		}
	}
	return 0
}

// Validate answers c with exactly one event, which is accepted, or rejected for the first reason
// that it meets. The answer carries the figures of the command in either case.
//
// It is a pure function of c, and safe for concurrent use. c must pass Order.Check, as everything
// does that comes from a Source or from a payload. It allocates the event.
func Validate(c Command) Event {
	o := c.Data()
	a := Answer{
		Invoice:     o.Invoice,
		Row:         o.Row,
		Lines:       int64(len(o.Lines)),
		AmountMilli: o.AmountMilli(),
		Customer:    o.Customer,
		Country:     o.Country,
	}
	reason, line := judge(c.Kind(), o, a.AmountMilli)
	if reason == "" {
		switch c.Kind() {
		case Cancel:
			return &CancellationAccepted{a}
		case Adjustment:
			return &LedgerAdjusted{a}
		}
		return &OrderAccepted{a}
	}
	r := Rejection{Answer: a, Reason: reason, Line: int64(line)}
	switch c.Kind() {
	case Cancel:
		return &CancellationRejected{r}
	case Adjustment:
		return &AdjustmentRejected{r}
	}
	return &OrderRejected{r}
}

// judge returns the reason to reject and the line at fault, or "".
func judge(k Kind, o *Order, amountMilli int64) (reason Reason, line int) {
	if KindOf(o.Invoice) != k {
		return ReasonInvoiceNumber, 0
	}
	if o.Country == "" {
		return ReasonNoCountry, 0
	}
	if k == Adjustment {
		if amountMilli == 0 {
			return ReasonNoAmount, 0
		}
		return "", 0
	}
	for i := range o.Lines {
		l := &o.Lines[i]
		if k == Plain && l.Quantity <= 0 || k == Cancel && l.Quantity >= 0 {
			return ReasonQuantity, i + 1
		}
		if l.PriceMilli <= 0 {
			return ReasonPrice, i + 1
		}
	}
	return "", 0
}
