package fulfil

import (
	"strconv"

	"github.com/headrace/headrace/event"
)

// Item is an article and how much of it.
type Item struct {
	Stock    string `msgpack:"stock"`
	Quantity int64  `msgpack:"quantity"`
}

// PricedItem is an Item of OrderOpenedV1.
type PricedItem struct {
	Stock      string `msgpack:"stock"`
	Quantity   int64  `msgpack:"quantity"`
	PriceMilli int64  `msgpack:"price"`
}

// The events and commands of one order. The key of each is Order; those about an article have its number as key.
type (
	// OrderOpened says that an accepted order is to be fulfilled. It is in its second version.
	OrderOpened struct {
		Order       string `msgpack:"order"` // see OrderKey
		Customer    string `msgpack:"customer"`
		Day         int64  `msgpack:"day"` // on which it was placed
		AmountMilli int64  `msgpack:"amount"`
		Items       []Item `msgpack:"items"` // one an article, by number
	}
	// OrderOpenedV1 is the first version of OrderOpened, which had prices and no amount.
	OrderOpenedV1 struct {
		Order    string       `msgpack:"order"`
		Customer string       `msgpack:"customer"`
		Day      int64        `msgpack:"day"`
		Items    []PricedItem `msgpack:"items"`
	}
	ReserveStock struct {
		Order       string `msgpack:"order"`
		AmountMilli int64  `msgpack:"amount"`
		Items       []Item `msgpack:"items"`
		Attempt     int    `msgpack:"attempt"` // from 0; more where it had to wait for goods
	}
	StockReserved struct {
		Order       string `msgpack:"order"`
		AmountMilli int64  `msgpack:"amount"`
		Items       []Item `msgpack:"items"`
		Attempt     int    `msgpack:"attempt"`
	}
	// StockShort says that the order waits for goods.
	StockShort struct {
		Order   string `msgpack:"order"`
		Items   []Item `msgpack:"items"`
		Attempt int    `msgpack:"attempt"`
	}
	ReservationFailed struct {
		Order  string `msgpack:"order"`
		Reason string `msgpack:"reason"`
	}
	ChargeCard struct {
		Order       string `msgpack:"order"`
		AmountMilli int64  `msgpack:"amount"`
	}
	PaymentTaken struct {
		Order       string `msgpack:"order"`
		AmountMilli int64  `msgpack:"amount"`
		Receipt     string `msgpack:"receipt"`
	}
	PaymentDeclined struct {
		Order  string `msgpack:"order"`
		Reason string `msgpack:"reason"`
	}
	ShipOrder struct {
		Order string `msgpack:"order"`
	}
	OrderShipped struct {
		Order string `msgpack:"order"`
		Items []Item `msgpack:"items"`
	}
	ShippingFailed struct {
		Order       string `msgpack:"order"`
		AmountMilli int64  `msgpack:"amount"` // to be refunded
		Reason      string `msgpack:"reason"`
	}
	RefundCard struct {
		Order       string `msgpack:"order"`
		AmountMilli int64  `msgpack:"amount"`
		Reason      string `msgpack:"reason"`
	}
	PaymentRefunded struct {
		Order       string `msgpack:"order"`
		AmountMilli int64  `msgpack:"amount"`
		Receipt     string `msgpack:"receipt"`
		Reason      string `msgpack:"reason"`
	}
	ReleaseStock struct {
		Order  string `msgpack:"order"`
		Reason string `msgpack:"reason"`
	}
	StockReleased struct {
		Order  string `msgpack:"order"`
		Items  []Item `msgpack:"items"`
		Reason string `msgpack:"reason"`
	}
	SendMail struct {
		Order string `msgpack:"order"`
	}
	NotificationSent struct {
		Order string `msgpack:"order"`
	}
	OrderCompleted struct {
		Order string `msgpack:"order"`
	}
	OrderCancelled struct {
		Order  string `msgpack:"order"`
		Reason string `msgpack:"reason"`
	}
	// ReviewAsked says that the customer of a completed order was asked for a review, which the first version of the
	// shop did not do. It changes no order.
	ReviewAsked struct {
		Order string `msgpack:"order"`
	}
)

// The events about an article, and about a day.
type (
	// LowStock is an alert: so little is left when all that was asked for is taken. A lot is ordered.
	LowStock struct {
		Stock string `msgpack:"stock"`
		Left  int64  `msgpack:"left"`
		Lot   int64  `msgpack:"lot"`
	}
	// RestockDue comes when the lot arrives.
	RestockDue struct {
		Stock string `msgpack:"stock"`
		Lot   int64  `msgpack:"lot"`
	}
	GoodsReceived struct {
		Stock    string `msgpack:"stock"`
		Quantity int64  `msgpack:"quantity"`
	}
	// DailySales is the document of a day that is over: what was ordered on it.
	DailySales struct {
		Day         int64 `msgpack:"day"`
		Orders      int64 `msgpack:"orders"`
		AmountMilli int64 `msgpack:"amount"`
	}
)

// NameOrderOpened is the name of OrderOpened, by which a log is known to be one of this package.
const NameOrderOpened = "shop.order-opened"

// Event is one of this package's events or commands about an order.
type Event interface{ OrderKey() string }

func (e OrderOpened) OrderKey() string       { return e.Order }
func (e ReserveStock) OrderKey() string      { return e.Order }
func (e StockReserved) OrderKey() string     { return e.Order }
func (e StockShort) OrderKey() string        { return e.Order }
func (e ReservationFailed) OrderKey() string { return e.Order }
func (e ChargeCard) OrderKey() string        { return e.Order }
func (e PaymentTaken) OrderKey() string      { return e.Order }
func (e PaymentDeclined) OrderKey() string   { return e.Order }
func (e ShipOrder) OrderKey() string         { return e.Order }
func (e OrderShipped) OrderKey() string      { return e.Order }
func (e ShippingFailed) OrderKey() string    { return e.Order }
func (e RefundCard) OrderKey() string        { return e.Order }
func (e PaymentRefunded) OrderKey() string   { return e.Order }
func (e ReleaseStock) OrderKey() string      { return e.Order }
func (e StockReleased) OrderKey() string     { return e.Order }
func (e SendMail) OrderKey() string          { return e.Order }
func (e NotificationSent) OrderKey() string  { return e.Order }
func (e OrderCompleted) OrderKey() string    { return e.Order }
func (e OrderCancelled) OrderKey() string    { return e.Order }
func (e ReviewAsked) OrderKey() string       { return e.Order }
func (e LowStock) OrderKey() string          { return "" }
func (e GoodsReceived) OrderKey() string     { return "" }
func (e DailySales) OrderKey() string        { return "" }

// OrderKey names an order: its invoice number and first row, since one invoice may come in several runs of rows.
func OrderKey(invoice string, row int64) string { return invoice + "@" + strconv.FormatInt(row, 10) }

// Register registers the types of this package with r; with v1, those of the first version of the shop.
func Register(r *event.Registry, v1 bool) {
	asks := event.TypeOptions{Kind: event.Command}
	if v1 {
		event.MustRegister[OrderOpenedV1](r, NameOrderOpened, 1)
	} else {
		event.MustRegister[OrderOpened](r, NameOrderOpened, 2)
		event.MustRegister[ReviewAsked](r, "shop.review-asked", 1)
		if err := r.Upcast(NameOrderOpened, 1, event.UpcastMap(liftOpened)); err != nil {
			panic(err)
		}
	}
	event.MustRegister[ReserveStock](r, "shop.reserve-stock", 1, asks)
	event.MustRegister[StockReserved](r, "shop.stock-reserved", 1)
	event.MustRegister[StockShort](r, "shop.stock-short", 1)
	event.MustRegister[ReservationFailed](r, "shop.reservation-failed", 1)
	event.MustRegister[ChargeCard](r, "shop.charge-card", 1, asks)
	event.MustRegister[PaymentTaken](r, "shop.payment-taken", 1)
	event.MustRegister[PaymentDeclined](r, "shop.payment-declined", 1)
	event.MustRegister[ShipOrder](r, "shop.ship-order", 1, asks)
	event.MustRegister[OrderShipped](r, "shop.order-shipped", 1)
	event.MustRegister[ShippingFailed](r, "shop.shipping-failed", 1)
	event.MustRegister[RefundCard](r, "shop.refund-card", 1, asks)
	event.MustRegister[PaymentRefunded](r, "shop.payment-refunded", 1)
	event.MustRegister[ReleaseStock](r, "shop.release-stock", 1, asks)
	event.MustRegister[StockReleased](r, "shop.stock-released", 1)
	event.MustRegister[SendMail](r, "shop.send-mail", 1, asks)
	event.MustRegister[NotificationSent](r, "shop.notification-sent", 1)
	event.MustRegister[OrderCompleted](r, "shop.order-completed", 1)
	event.MustRegister[OrderCancelled](r, "shop.order-cancelled", 1)
	event.MustRegister[LowStock](r, "shop.low-stock", 1)
	event.MustRegister[RestockDue](r, "shop.restock-due", 1, asks)
	event.MustRegister[GoodsReceived](r, "shop.goods-received", 1)
	event.MustRegister[DailySales](r, "shop.daily-sales", 1, event.TypeOptions{Kind: event.Document})
}

// liftOpened makes a payload of OrderOpenedV1 one of OrderOpened.
func liftOpened(fields map[string]any) error {
	items, _ := fields["items"].([]any)
	var sum int64
	for _, i := range items {
		item, ok := i.(map[string]any)
		if !ok {
			return errItem
		}
		quantity, ok1 := item["quantity"].(int64)
		price, ok2 := item["price"].(int64)
		if !ok1 || !ok2 {
			return errItem
		}
		sum += quantity * price
		delete(item, "price")
	}
	fields["amount"] = sum
	return nil
}

// Lift returns e in the second version.
func (e OrderOpenedV1) Lift() OrderOpened {
	o := OrderOpened{Order: e.Order, Customer: e.Customer, Day: e.Day}
	for _, i := range e.Items {
		o.Items = append(o.Items, Item{i.Stock, i.Quantity})
		o.AmountMilli += i.Quantity * i.PriceMilli
	}
	return o
}
