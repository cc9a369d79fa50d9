package main

import (
	"fmt"
	"time"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/cmd/demo/internal/fulfil"
	"github.com/headrace/headrace/cmd/demo/internal/shop"
	"github.com/headrace/headrace/handlers"
)

// sagaMode is who directs the fulfilment of an order.
type sagaMode string

const (
	choreography  sagaMode = "choreography"  // handlers react to each other's events
	orchestration sagaMode = "orchestration" // one saga sends the commands
)

func (m *sagaMode) String() string { return string(*m) }

// Set implements flag.Value.
func (m *sagaMode) Set(s string) error {
	switch v := sagaMode(s); v {
	case choreography, orchestration:
		*m = v
		return nil
	}
	return fmt.Errorf("want %s or %s", choreography, orchestration)
}

// shopOptions are what a shop that fulfils its orders is made of.
type shopOptions struct {
	saga     sagaMode
	v1       bool   // the first version: another event opens an order, and nobody asks for reviews
	gateway  string // address; "" where nothing is called
	mail     string
	poison   uint32 // one order in so many cannot be charged until the code is fixed; 0 = none
	fixed    bool   // it is
	maxBatch int    // of every lane; 0 = default
}

// fulfilment is what the shop has besides the app that takes orders.
type fulfilment struct {
	state *handlers.Projection[fulfil.State]
	ended chan struct{} // capacity 1: an order has ended
	parties
}

// Ids of handlers. They stand in the log.
const (
	openerID    = "shop.opener"
	warehouseID = "shop.warehouse"
	flowID      = "shop.flow"
	reviewsID   = "shop.reviews" // from the second version on
	sagaName    = "shop-order"
	chargeID    = "shop.charge"
	refundID    = "shop.refund"
	mailID      = "shop.mail"
)

const (
	restockAfter = 15 * time.Millisecond // how long a supplier takes
	askAgain     = 10 * time.Millisecond // how long an order waits for goods before it asks again
)

// newShop returns a shop that fulfils orders.
func newShop(o shopOptions) *app {
	reg := newRegistry()
	fulfil.Register(reg, o.v1)
	a := newAppOf(reg)
	a.shop = &fulfilment{
		state:   handlers.NewProjection("fulfilment", fulfil.NewState()),
		ended:   make(chan struct{}, 1),
		parties: newParties(o),
	}
	lane := a.topology.Logic()
	on := opener(lane, o.v1)
	newWarehouse(lane)
	if o.saga == orchestration {
		if err := orchestrate(lane, reg, o.v1); err != nil {
			panic(err) // a fault of the program
		}
	} else {
		choreograph(lane, on)
	}
	if !o.v1 {
		handlers.Decide(lane, reviewsID, func(c *handlers.Context, e fulfil.OrderCompleted) error {
			return handlers.Emit(c, fulfil.ReviewAsked(e))
		})
	}
	onFulfilment(a.shop.state, o.v1, func(s *fulfil.State, _ *handlers.Context, e fulfil.Event) error {
		switch e.(type) {
		case fulfil.OrderCompleted, fulfil.OrderCancelled:
			select {
			case a.shop.ended <- struct{}{}:
			default:
			}
		}
		return s.Apply(e)
	})
	place := headrace.LaneOptions{MaxBatch: o.maxBatch}
	a.topology.PlaceLogic(place)
	a.topology.Project(a.shop.state, place)
	place.Behind = headrace.Durable
	for _, x := range a.shop.effects {
		a.topology.Effect(x, place)
	}
	return a
}

// day is what the day so far comes to, in the order in which orders were opened.
type day struct {
	Day         int64
	Orders      int64
	AmountMilli int64
}

// opener opens each accepted order, and makes the document of a day when the first order of a later one comes. It
// returns a function that registers a decision on opened orders.
func opener(lane *handlers.Lane, v1 bool) (on func(id string, fn func(*handlers.Context, fulfil.OrderOpened) error)) {
	placed := handlers.Keep(lane, "placed", func() *map[string]fulfil.OrderOpenedV1 { return &map[string]fulfil.OrderOpenedV1{} })
	today := handlers.Keep(lane, "day", func() *day { return new(day) })

	handlers.Fold(lane, func(c *handlers.Context, e shop.PlaceOrder) error {
		if shop.Validate(&e).Rejected() == "" {
			o := fulfil.Open(&e.Order)
			(*placed.Of(c))[o.Order] = o
		}
		return nil
	})
	handlers.Fold(lane, func(c *handlers.Context, e fulfil.ReserveStock) error { // the order is opened
		delete(*placed.Of(c), e.Order)
		return nil
	})
	handlers.Decide(lane, openerID, func(c *handlers.Context, e shop.OrderAccepted) error {
		o, ok := (*placed.Of(c))[fulfil.OrderKey(e.Invoice, e.Row)]
		if !ok {
			return fmt.Errorf("order %s is accepted and was not placed", fulfil.OrderKey(e.Invoice, e.Row))
		}
		if d := today.Of(c); d.Orders > 0 && o.Day > d.Day {
			if err := handlers.EmitWith(c, fulfil.DailySales(*d), handlers.EmitOptions{Key: fmt.Sprint("day ", d.Day)}); err != nil {
				return err
			}
		}
		if v1 {
			return handlers.EmitWith(c, o, handlers.EmitOptions{Key: o.Order})
		}
		return handlers.EmitWith(c, o.Lift(), handlers.EmitOptions{Key: o.Order})
	})
	handlers.Evolve(lane, func(c *handlers.Context, _ fulfil.DailySales) error {
		*today.Of(c) = day{}
		return nil
	})
	opened := func(c *handlers.Context, e fulfil.OrderOpened) error {
		d := today.Of(c)
		d.Day = max(d.Day, e.Day)
		d.Orders++
		d.AmountMilli += e.AmountMilli
		return nil
	}
	if v1 {
		handlers.Evolve(lane, func(c *handlers.Context, e fulfil.OrderOpenedV1) error { return opened(c, e.Lift()) })
		return func(id string, fn func(*handlers.Context, fulfil.OrderOpened) error) {
			handlers.Decide(lane, id, func(c *handlers.Context, e fulfil.OrderOpenedV1) error { return fn(c, e.Lift()) })
		}
	}
	handlers.Evolve(lane, opened)
	return func(id string, fn func(*handlers.Context, fulfil.OrderOpened) error) { handlers.Decide(lane, id, fn) }
}

// newWarehouse puts the warehouse on the lane: it reserves, releases and ships, and orders what runs short.
func newWarehouse(lane *handlers.Lane) {
	state := handlers.Keep(lane, "warehouse", fulfil.NewWarehouse)
	handlers.Decide(lane, warehouseID, func(c *handlers.Context, e fulfil.ReserveStock) error {
		w := state.Of(c)
		if why := fulfil.Refused(e.Items); why != "" {
			return handlers.Emit(c, fulfil.ReservationFailed{Order: e.Order, Reason: why})
		}
		if e.Attempt == 0 {
			for _, low := range w.Low(e.Items) {
				if err := handlers.EmitWith(c, low, handlers.EmitOptions{Key: low.Stock}); err != nil {
					return err
				}
				due := fulfil.RestockDue{Stock: low.Stock, Lot: low.Lot}
				if err := handlers.Schedule(c, due, c.Time().Add(restockAfter), handlers.ScheduleOptions{Key: low.Stock}); err != nil {
					return err
				}
			}
		}
		if w.Has(e.Items) {
			return handlers.Emit(c, fulfil.StockReserved(e))
		}
		if err := handlers.Emit(c, fulfil.StockShort{Order: e.Order, Items: e.Items, Attempt: e.Attempt}); err != nil {
			return err
		}
		e.Attempt++
		return handlers.Schedule(c, e, c.Time().Add(askAgain), handlers.ScheduleOptions{})
	})
	handlers.Decide(lane, warehouseID, func(c *handlers.Context, e fulfil.RestockDue) error {
		return handlers.Emit(c, fulfil.GoodsReceived{Stock: e.Stock, Quantity: e.Lot})
	})
	handlers.Decide(lane, warehouseID, func(c *handlers.Context, e fulfil.ShipOrder) error {
		hold, ok := state.Of(c).Holds[e.Order]
		if !ok {
			return fmt.Errorf("%w: order %s is to be shipped and nothing is reserved", fulfil.ErrHold, e.Order)
		}
		if fulfil.Undeliverable(e.Order) {
			return handlers.Emit(c, fulfil.ShippingFailed{Order: e.Order, AmountMilli: hold.AmountMilli, Reason: fulfil.ReasonUndeliverable})
		}
		return handlers.Emit(c, fulfil.OrderShipped{Order: e.Order, Items: hold.Items})
	})
	handlers.Decide(lane, warehouseID, func(c *handlers.Context, e fulfil.ReleaseStock) error {
		hold, ok := state.Of(c).Holds[e.Order]
		if !ok {
			return fmt.Errorf("%w: order %s is to be released and nothing is reserved", fulfil.ErrHold, e.Order)
		}
		return handlers.Emit(c, fulfil.StockReleased{Order: e.Order, Items: hold.Items, Reason: e.Reason})
	})
	evolveWarehouse[fulfil.StockReserved](lane, state)
	evolveWarehouse[fulfil.StockShort](lane, state)
	evolveWarehouse[fulfil.StockReleased](lane, state)
	evolveWarehouse[fulfil.OrderShipped](lane, state)
	evolveWarehouse[fulfil.LowStock](lane, state)
	evolveWarehouse[fulfil.GoodsReceived](lane, state)
}

func evolveWarehouse[E fulfil.Event](lane *handlers.Lane, state *handlers.State[fulfil.Warehouse]) {
	handlers.Evolve(lane, func(c *handlers.Context, e E) error { return state.Of(c).Apply(e) })
}

// onFulfilment has fn applied for each event and command of the fulfilment.
func onFulfilment[S any](p *handlers.Projection[S], v1 bool, fn func(*S, *handlers.Context, fulfil.Event) error) {
	if v1 {
		handlers.Apply(p, func(s *S, c *handlers.Context, e fulfil.OrderOpenedV1) error { return fn(s, c, e.Lift()) })
	} else {
		apply[S, fulfil.OrderOpened](p, fn)
		apply[S, fulfil.ReviewAsked](p, fn)
	}
	apply[S, fulfil.ReserveStock](p, fn)
	apply[S, fulfil.StockReserved](p, fn)
	apply[S, fulfil.StockShort](p, fn)
	apply[S, fulfil.ReservationFailed](p, fn)
	apply[S, fulfil.ChargeCard](p, fn)
	apply[S, fulfil.PaymentTaken](p, fn)
	apply[S, fulfil.PaymentDeclined](p, fn)
	apply[S, fulfil.ShipOrder](p, fn)
	apply[S, fulfil.OrderShipped](p, fn)
	apply[S, fulfil.ShippingFailed](p, fn)
	apply[S, fulfil.RefundCard](p, fn)
	apply[S, fulfil.PaymentRefunded](p, fn)
	apply[S, fulfil.ReleaseStock](p, fn)
	apply[S, fulfil.StockReleased](p, fn)
	apply[S, fulfil.SendMail](p, fn)
	apply[S, fulfil.NotificationSent](p, fn)
	apply[S, fulfil.OrderCompleted](p, fn)
	apply[S, fulfil.OrderCancelled](p, fn)
	apply[S, fulfil.LowStock](p, fn)
	apply[S, fulfil.GoodsReceived](p, fn)
	apply[S, fulfil.DailySales](p, fn)
}

func apply[S any, E fulfil.Event](p *handlers.Projection[S], fn func(*S, *handlers.Context, fulfil.Event) error) {
	handlers.Apply(p, func(s *S, c *handlers.Context, e E) error { return fn(s, c, e) })
}

// figures returns the shop's. Call it as summary.
func (f *fulfilment) figures() (m fulfil.Figures) {
	f.state.View(func(s *fulfil.State, _ int64) { m = s.Figures() })
	return m
}
