package main

import (
	"github.com/headrace/headrace/cmd/demo/internal/fulfil"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/saga"
)

// onOpened registers a decision on opened orders, in whichever version the program writes them.
type onOpened = func(id string, fn func(*handlers.Context, fulfil.OrderOpened) error)

// choreograph lets each step follow from the event of the one before, and each undoing from the event of a failure.
func choreograph(lane *handlers.Lane, opened onOpened) {
	opened(flowID, func(c *handlers.Context, e fulfil.OrderOpened) error {
		return handlers.Emit(c, fulfil.ReserveStock{Order: e.Order, AmountMilli: e.AmountMilli, Items: e.Items})
	})
	handlers.Decide(lane, flowID, func(c *handlers.Context, e fulfil.StockReserved) error {
		return handlers.Emit(c, fulfil.ChargeCard{Order: e.Order, AmountMilli: e.AmountMilli})
	})
	handlers.Decide(lane, flowID, func(c *handlers.Context, e fulfil.PaymentTaken) error {
		return handlers.Emit(c, fulfil.ShipOrder{Order: e.Order})
	})
	handlers.Decide(lane, flowID, func(c *handlers.Context, e fulfil.OrderShipped) error {
		return handlers.Emit(c, fulfil.SendMail{Order: e.Order})
	})
	handlers.Decide(lane, flowID, func(c *handlers.Context, e fulfil.NotificationSent) error {
		return handlers.Emit(c, fulfil.OrderCompleted(e))
	})

	handlers.Decide(lane, flowID, func(c *handlers.Context, e fulfil.ReservationFailed) error {
		return handlers.Emit(c, fulfil.OrderCancelled(e))
	})
	handlers.Decide(lane, flowID, func(c *handlers.Context, e fulfil.PaymentDeclined) error {
		return handlers.Emit(c, fulfil.ReleaseStock(e))
	})
	handlers.Decide(lane, flowID, func(c *handlers.Context, e fulfil.ShippingFailed) error {
		return handlers.Emit(c, fulfil.RefundCard(e))
	})
	handlers.Decide(lane, flowID, func(c *handlers.Context, e fulfil.PaymentRefunded) error {
		return handlers.Emit(c, fulfil.ReleaseStock{Order: e.Order, Reason: e.Reason})
	})
	handlers.Decide(lane, flowID, func(c *handlers.Context, e fulfil.StockReleased) error {
		return handlers.Emit(c, fulfil.OrderCancelled{Order: e.Order, Reason: e.Reason})
	})
}

// orderSaga is what an instance of the saga remembers.
type orderSaga struct {
	AmountMilli int64
	Items       []fulfil.Item
}

// orchestrate lets one saga direct the steps. It sends the same commands, and undoes in the same order.
func orchestrate(lane *handlers.Lane, reg *event.Registry, v1 bool) error {
	type context = saga.Context[orderSaga]
	d := saga.Define[orderSaga](sagaName, reg)
	opened := func(o *orderSaga, e fulfil.OrderOpened) { o.AmountMilli, o.Items = e.AmountMilli, e.Items }
	if v1 {
		saga.Start(d, func(o *orderSaga, e fulfil.OrderOpenedV1) { opened(o, e.Lift()) })
	} else {
		saga.Start(d, opened)
	}

	reserve := d.Step("reserve", saga.StepOptions{})
	saga.Do(reserve, func(c *context) error {
		o := c.Data()
		return saga.Send(c, fulfil.ReserveStock{Order: c.Key(), AmountMilli: o.AmountMilli, Items: o.Items})
	})
	saga.Done(reserve, func(*orderSaga, fulfil.StockReserved) {})
	saga.Failed(reserve, func(_ *orderSaga, e fulfil.ReservationFailed) string { return e.Reason })
	saga.Undo(reserve, func(c *context) error {
		return saga.Send(c, fulfil.ReleaseStock{Order: c.Key(), Reason: c.Reason()})
	})
	saga.Undone(reserve, func(*orderSaga, fulfil.StockReleased) {})

	pay := d.Step("pay", saga.StepOptions{})
	saga.Do(pay, func(c *context) error {
		return saga.Send(c, fulfil.ChargeCard{Order: c.Key(), AmountMilli: c.Data().AmountMilli})
	})
	saga.Done(pay, func(*orderSaga, fulfil.PaymentTaken) {})
	saga.Failed(pay, func(_ *orderSaga, e fulfil.PaymentDeclined) string { return e.Reason })
	saga.Undo(pay, func(c *context) error {
		return saga.Send(c, fulfil.RefundCard{Order: c.Key(), AmountMilli: c.Data().AmountMilli, Reason: c.Reason()})
	})
	saga.Undone(pay, func(*orderSaga, fulfil.PaymentRefunded) {})

	ship := d.Step("ship", saga.StepOptions{})
	saga.Do(ship, func(c *context) error { return saga.Send(c, fulfil.ShipOrder{Order: c.Key()}) })
	saga.Done(ship, func(*orderSaga, fulfil.OrderShipped) {})
	saga.Failed(ship, func(_ *orderSaga, e fulfil.ShippingFailed) string { return e.Reason })

	notify := d.Step("notify", saga.StepOptions{})
	saga.Do(notify, func(c *context) error { return saga.Send(c, fulfil.SendMail{Order: c.Key()}) })
	saga.Done(notify, func(*orderSaga, fulfil.NotificationSent) {})

	saga.Completed(d, func(c *context) error { return saga.Send(c, fulfil.OrderCompleted{Order: c.Key()}) })
	saga.Compensated(d, func(c *context) error {
		return saga.Send(c, fulfil.OrderCancelled{Order: c.Key(), Reason: c.Reason()})
	})
	return d.Attach(lane)
}
