// Command 05-saga takes two steps and undoes the first when the second fails.
package main

import (
	"context"
	"os"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/saga"
)

type (
	Placed    struct{ Milli int64 }
	Reserve   struct{}
	Reserved  struct{}
	Release   struct{}
	Released  struct{}
	Charge    struct{ Milli int64 }
	Declined  struct{ Why string }
	Cancelled struct{ Why string }
	Order     struct{ Milli int64 } // what the saga remembers
)

func main() {
	dir, err := os.MkdirTemp("", "headrace-")
	check(err)
	defer os.RemoveAll(dir)
	ctx := context.Background()

	types := event.NewRegistry()
	command := event.TypeOptions{Kind: event.Command} // it has one handler; Open sees to that
	event.MustRegister[Placed](types, "placed", 1)
	event.MustRegister[Reserve](types, "reserve", 1, command)
	event.MustRegister[Reserved](types, "reserved", 1)
	event.MustRegister[Release](types, "release", 1, command)
	event.MustRegister[Released](types, "released", 1)
	event.MustRegister[Charge](types, "charge", 1, command)
	event.MustRegister[Declined](types, "declined", 1)
	event.MustRegister[Cancelled](types, "cancelled", 1)

	type ctxt = *saga.Context[Order]
	order := saga.Define[Order]("order", types)
	saga.Start(order, func(o *Order, e Placed) { o.Milli = e.Milli })
	stock := order.Step("stock", saga.StepOptions{})
	saga.Do(stock, func(c ctxt) error { return saga.Send(c, Reserve{}) })
	saga.Done[Reserved](stock, nil)
	saga.Undo(stock, func(c ctxt) error { return saga.Send(c, Release{}) })
	saga.Undone[Released](stock, nil)
	pay := order.Step("pay", saga.StepOptions{})
	saga.Do(pay, func(c ctxt) error { return saga.Send(c, Charge{c.Data().Milli}) })
	saga.Failed(pay, func(_ *Order, e Declined) string { return e.Why })
	saga.Compensated(order, func(c ctxt) error { return saga.Send(c, Cancelled{c.Reason()}) })

	topology := headrace.NewTopology(types)
	logic := topology.Logic()
	check(order.Attach(logic))
	// The other parties, which could be anywhere.
	handlers.On(logic, "stock", func(c *handlers.Context, _ Reserve) error { return handlers.Emit(c, Reserved{}) })
	handlers.On(logic, "shelf", func(c *handlers.Context, _ Release) error { return handlers.Emit(c, Released{}) })
	handlers.On(logic, "bank", func(c *handlers.Context, _ Charge) error { return handlers.Emit(c, Declined{"no cover"}) })

	eng, err := headrace.Open(dir, topology, headrace.Options{})
	check(err)
	web, err := eng.Producer("web")
	check(err)
	_, err = headrace.Publish(ctx, web, Placed{9_990}, headrace.Meta{Key: "order-17"})
	check(err)
	check(eng.Close(ctx)) // runs everything to its end

	tell(dir, types)
}
