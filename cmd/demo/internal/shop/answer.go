package shop

// Answer is what all answers carry: enough for every figure, without the lines of the command.
type Answer struct {
	Invoice     string `json:"invoice"`
	Row         int64  `json:"row"`   // first row of the command
	Lines       int64  `json:"lines"` // of the command
	AmountMilli int64  `json:"amountMilli"`
	Customer    string `json:"customer,omitempty"`
	Country     string `json:"country"`
}

// Rejection is an Answer that says no.
type Rejection struct {
	Answer
	Reason Reason `json:"reason"`
	Line   int64  `json:"line,omitempty"` // line at fault, from 1; 0 = the command as a whole
}

// The answers to a PlaceOrder.
type (
	OrderAccepted struct{ Answer }
	OrderRejected struct{ Rejection }
)

// The answers to a CancelOrder.
type (
	CancellationAccepted struct{ Answer }
	CancellationRejected struct{ Rejection }
)

// The answers to an AdjustLedger.
type (
	LedgerAdjusted     struct{ Answer }
	AdjustmentRejected struct{ Rejection }
)

// Names of the answers' event types.
const (
	NameOrderAccepted        = "shop.order-accepted"
	NameOrderRejected        = "shop.order-rejected"
	NameCancellationAccepted = "shop.cancellation-accepted"
	NameCancellationRejected = "shop.cancellation-rejected"
	NameLedgerAdjusted       = "shop.ledger-adjusted"
	NameAdjustmentRejected   = "shop.adjustment-rejected"
)

// Event is an answer: a pointer to one of the six types above.
type Event interface {
	// Kind returns the kind of invoice that was answered.
	Kind() Kind
	// Data returns the figures: a part of the event, not a copy.
	Data() *Answer
	// Rejected returns why the command was rejected, "" if it was not.
	Rejected() Reason
}

// Data returns a: the six answers have the method from here.
func (a *Answer) Data() *Answer { return a }

// Rejected returns "".
func (a *Answer) Rejected() Reason { return "" }

// Rejected returns the reason.
func (r *Rejection) Rejected() Reason { return r.Reason }

// Kind returns Plain.
func (*OrderAccepted) Kind() Kind { return Plain }

// Kind returns Plain.
func (*OrderRejected) Kind() Kind { return Plain }

// Kind returns Cancel.
func (*CancellationAccepted) Kind() Kind { return Cancel }

// Kind returns Cancel.
func (*CancellationRejected) Kind() Kind { return Cancel }

// Kind returns Adjustment.
func (*LedgerAdjusted) Kind() Kind { return Adjustment }

// Kind returns Adjustment.
func (*AdjustmentRejected) Kind() Kind { return Adjustment }

func (a *Answer) check() error {
	fault := func(field string, err error) error {
		return &OrderError{Invoice: cut(a.Invoice), Field: field, Err: err}
	}
	if err := checkText(a.Invoice, maxInvoiceBytes, true); err != nil {
		return fault("invoice", err)
	}
	if err := checkText(a.Customer, maxCustomerBytes, false); err != nil {
		return fault("customer", err)
	}
	if err := checkText(a.Country, maxCountryBytes, false); err != nil {
		return fault("country", err)
	}
	if a.Row < 1 || a.Row > MaxRow {
		return fault("row", ErrOutOfRange)
	}
	if a.Lines < 1 || a.Lines > MaxLines {
		return fault("lines", ErrOutOfRange)
	}
	if !amountFits(a.AmountMilli) {
		return fault("amount", ErrOutOfRange)
	}
	return nil
}

func (r *Rejection) check() error {
	if err := r.Answer.check(); err != nil {
		return err
	}
	if r.Reason.number() == 0 {
		return &OrderError{Invoice: cut(r.Invoice), Field: "reason", Err: ErrOutOfRange}
	}
	if r.Line < 0 || r.Line > r.Lines {
		return &OrderError{Invoice: cut(r.Invoice), Field: "line", Err: ErrOutOfRange}
	}
	return nil
}
