package fulfil

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
)

// Stages of an order.
const (
	Opened    = "opened"
	Waiting   = "waiting for goods"
	Reserved  = "reserved"
	Paid      = "paid"
	Shipped   = "shipped"
	Notified  = "notified"
	Completed = "completed"
	Undoing   = "undoing"
	Cancelled = "cancelled"
)

// Order is where an order stands.
type Order struct {
	Stage         string `json:"stage"`
	Day           int64  `json:"day"`
	AmountMilli   int64  `json:"amount_milli"`
	PaidMilli     int64  `json:"paid_milli,omitempty"`
	RefundedMilli int64  `json:"refunded_milli,omitempty"`
	Reason        string `json:"reason,omitempty"`
}

// Sales is one day.
type Sales struct {
	Orders      int64 `json:"orders"`
	AmountMilli int64 `json:"amount_milli"`
}

// State is the read model of the business: the fold of all events. Its maps are exported so that it can be stored.
type State struct {
	Orders        map[string]Order
	Stock         Warehouse
	Days          map[int64]Sales // as in the daily documents
	Open          int64           // orders that have not ended
	PaidMilli     int64
	RefundedMilli int64
}

// NewState returns the state of an empty log.
func NewState() *State {
	return &State{Orders: map[string]Order{}, Stock: *NewWarehouse(), Days: map[int64]Sales{}}
}

// Apply folds an event in.
func (s *State) Apply(e Event) error {
	if err := s.Stock.Apply(e); err != nil {
		return err
	}
	if d, ok := e.(DailySales); ok {
		s.Days[d.Day] = Sales{d.Orders, d.AmountMilli}
	}
	key := e.OrderKey()
	if key == "" {
		return nil
	}
	o := s.Orders[key]
	switch e := e.(type) {
	case OrderOpened:
		o = Order{Stage: Opened, Day: e.Day, AmountMilli: e.AmountMilli}
		s.Open++
	case StockShort:
		o.Stage = Waiting
	case StockReserved:
		o.Stage = Reserved
	case PaymentTaken:
		o.Stage = Paid
		o.PaidMilli += e.AmountMilli
		s.PaidMilli += e.AmountMilli
	case OrderShipped:
		o.Stage = Shipped
	case NotificationSent:
		o.Stage = Notified
	case ReservationFailed:
		o.Stage, o.Reason = Undoing, e.Reason
	case PaymentDeclined:
		o.Stage, o.Reason = Undoing, e.Reason
	case ShippingFailed:
		o.Stage, o.Reason = Undoing, e.Reason
	case PaymentRefunded:
		o.RefundedMilli += e.AmountMilli
		s.RefundedMilli += e.AmountMilli
	case OrderCompleted:
		o.Stage = Completed
		s.Open--
	case OrderCancelled:
		o.Stage, o.Reason = Cancelled, e.Reason
		s.Open--
	default:
		return nil
	}
	s.Orders[key] = o
	return nil
}

// RevenueMilli is what was paid and not refunded.
func (s *State) RevenueMilli() int64 { return s.PaidMilli - s.RefundedMilli }

// Figures is the state for people and programs.
type Figures struct {
	Orders        int64  `json:"orders"`
	Completed     int64  `json:"completed"`
	Cancelled     int64  `json:"cancelled"`
	Open          int64  `json:"open"`
	PaidMilli     int64  `json:"paid_milli"`
	RefundedMilli int64  `json:"refunded_milli"`
	RevenueMilli  int64  `json:"revenue_milli"`
	Articles      int64  `json:"articles"`
	Alerts        int64  `json:"alerts"` // of low stock
	Days          int64  `json:"days"`   // that are over
	StateHash     string `json:"shop_state_hash"`
}

// Figures returns them.
func (s *State) Figures() Figures {
	f := Figures{
		Orders: int64(len(s.Orders)), Open: s.Open, PaidMilli: s.PaidMilli, RefundedMilli: s.RefundedMilli, RevenueMilli: s.RevenueMilli(),
		Articles: int64(len(s.Stock.Articles)), Days: int64(len(s.Days)), StateHash: s.Hash(),
	}
	for _, o := range s.Orders {
		switch o.Stage {
		case Completed:
			f.Completed++
		case Cancelled:
			f.Cancelled++
		}
	}
	for _, a := range s.Stock.Articles {
		f.Alerts += a.Alerts
	}
	return f
}

// Hash returns the SHA-256 of the state, in hexadecimal: equal for equal states, however they were reached. What is hashed
// is a tag and the state as JSON, which has its keys in order.
func (s *State) Hash() string {
	h := sha256.New()
	_, _ = h.Write([]byte("headrace/fulfil/state/1\x00"))
	_ = json.NewEncoder(h).Encode(s) // of maps, structs, numbers and text: it cannot fail
	return hex.EncodeToString(h.Sum(nil))
}
