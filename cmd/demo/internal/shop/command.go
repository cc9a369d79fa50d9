package shop

// PlaceOrder asks the shop to take an order. It is answered by OrderAccepted or OrderRejected.
type PlaceOrder struct{ Order }

// CancelOrder asks the shop to take goods back. It is answered by CancellationAccepted or
// CancellationRejected.
type CancelOrder struct{ Order }

// AdjustLedger asks for a correction of the ledger. It is answered by LedgerAdjusted or
// AdjustmentRejected.
type AdjustLedger struct{ Order }

// Command is one of *PlaceOrder, *CancelOrder and *AdjustLedger.
type Command interface {
	// Kind returns the kind of invoice that the command is for.
	Kind() Kind
	// Data returns what the command carries: a part of it, not a copy.
	Data() *Order
}

// Names of the commands' event types.
const (
	NamePlaceOrder   = "shop.place-order"
	NameCancelOrder  = "shop.cancel-order"
	NameAdjustLedger = "shop.adjust-ledger"
)

// Kind returns Plain.
func (*PlaceOrder) Kind() Kind { return Plain }

// Kind returns Cancel.
func (*CancelOrder) Kind() Kind { return Cancel }

// Kind returns Adjustment.
func (*AdjustLedger) Kind() Kind { return Adjustment }

// Data returns o: the three commands have the method from here.
func (o *Order) Data() *Order { return o }

// Command returns the command that the order's number asks for. It shares the order's lines.
func (o *Order) Command() Command {
	switch KindOf(o.Invoice) {
	case Cancel:
		return &CancelOrder{*o}
	case Adjustment:
		return &AdjustLedger{*o}
	}
	return &PlaceOrder{*o}
}
