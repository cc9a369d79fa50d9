package main

import (
	"fmt"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/cmd/demo/internal/shop"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
)

// validatorID is the validator's name in the log. It stays when the code changes.
const validatorID = "shop.validator"

// app is the shop as an application of headrace: its types, its validator on the logic lane, and its
// read models, each on a lane of its own. It serves one engine or one replay.
type app struct {
	registry  *event.Registry
	topology  *headrace.Topology
	ledger    *handlers.Projection[shop.Ledger]
	customers *handlers.Projection[shop.Customers]
	countries *handlers.Projection[shop.Countries]
	source    *handlers.Projection[shop.Position] // how far the import is
	shop      *fulfilment                         // nil: orders are taken and not fulfilled
}

func newApp() *app { return newAppOf(newRegistry()) }

func newAppOf(reg *event.Registry) *app {
	a := &app{
		registry:  reg,
		topology:  headrace.NewTopology(reg),
		ledger:    handlers.NewProjection("ledger", new(shop.Ledger)),
		customers: handlers.NewProjection("customers", new(shop.Customers)),
		countries: handlers.NewProjection("countries", new(shop.Countries)),
		source:    handlers.NewProjection("source", new(shop.Position)),
	}

	logic := a.topology.Logic()
	handlers.On(logic, validatorID, func(c *handlers.Context, e shop.PlaceOrder) error { return answer(c, &e) })
	handlers.On(logic, validatorID, func(c *handlers.Context, e shop.CancelOrder) error { return answer(c, &e) })
	handlers.On(logic, validatorID, func(c *handlers.Context, e shop.AdjustLedger) error { return answer(c, &e) })

	onAnswers(a.ledger, func(l *shop.Ledger, _ *handlers.Context, e shop.Event) error { return l.Apply(e) })
	onAnswers(a.customers, func(s *shop.Customers, _ *handlers.Context, e shop.Event) error { return s.Apply(e) })
	onAnswers(a.countries, func(s *shop.Countries, _ *handlers.Context, e shop.Event) error { return s.Apply(e) })
	onCommands(a.source, func(p *shop.Position, _ *handlers.Context, c shop.Command) error { return p.Observe(c.Data()) })

	a.topology.Project(a.ledger, headrace.LaneOptions{})
	a.topology.Project(a.customers, headrace.LaneOptions{})
	a.topology.Project(a.countries, headrace.LaneOptions{})
	a.topology.Project(a.source, headrace.LaneOptions{})
	return a
}

// newRegistry returns the shop's types. Their names and versions are the log's for good.
func newRegistry() *event.Registry {
	reg := event.NewRegistry()
	asks := event.TypeOptions{Kind: event.Command}
	event.MustRegister[shop.PlaceOrder](reg, shop.NamePlaceOrder, 1, asks)
	event.MustRegister[shop.CancelOrder](reg, shop.NameCancelOrder, 1, asks)
	event.MustRegister[shop.AdjustLedger](reg, shop.NameAdjustLedger, 1, asks)
	event.MustRegister[shop.OrderAccepted](reg, shop.NameOrderAccepted, 1)
	event.MustRegister[shop.OrderRejected](reg, shop.NameOrderRejected, 1)
	event.MustRegister[shop.CancellationAccepted](reg, shop.NameCancellationAccepted, 1)
	event.MustRegister[shop.CancellationRejected](reg, shop.NameCancellationRejected, 1)
	event.MustRegister[shop.LedgerAdjusted](reg, shop.NameLedgerAdjusted, 1)
	event.MustRegister[shop.AdjustmentRejected](reg, shop.NameAdjustmentRejected, 1)
	return reg
}

// answer is the validator: one event for each command.
func answer(c *handlers.Context, cmd shop.Command) error {
	switch e := shop.Validate(cmd).(type) {
	case *shop.OrderAccepted:
		return handlers.Emit(c, *e)
	case *shop.OrderRejected:
		return handlers.Emit(c, *e)
	case *shop.CancellationAccepted:
		return handlers.Emit(c, *e)
	case *shop.CancellationRejected:
		return handlers.Emit(c, *e)
	case *shop.LedgerAdjusted:
		return handlers.Emit(c, *e)
	case *shop.AdjustmentRejected:
		return handlers.Emit(c, *e)
	default:
		return fmt.Errorf("no event type for the answer %T", e)
	}
}

// onCommands has fn applied for each of the commands.
func onCommands[S any](p *handlers.Projection[S], fn func(*S, *handlers.Context, shop.Command) error) {
	handlers.Apply(p, func(s *S, c *handlers.Context, e shop.PlaceOrder) error { return fn(s, c, &e) })
	handlers.Apply(p, func(s *S, c *handlers.Context, e shop.CancelOrder) error { return fn(s, c, &e) })
	handlers.Apply(p, func(s *S, c *handlers.Context, e shop.AdjustLedger) error { return fn(s, c, &e) })
}

// onAnswers has fn applied for each of the answers.
func onAnswers[S any](p *handlers.Projection[S], fn func(*S, *handlers.Context, shop.Event) error) {
	handlers.Apply(p, func(s *S, c *handlers.Context, e shop.OrderAccepted) error { return fn(s, c, &e) })
	handlers.Apply(p, func(s *S, c *handlers.Context, e shop.OrderRejected) error { return fn(s, c, &e) })
	handlers.Apply(p, func(s *S, c *handlers.Context, e shop.CancellationAccepted) error { return fn(s, c, &e) })
	handlers.Apply(p, func(s *S, c *handlers.Context, e shop.CancellationRejected) error { return fn(s, c, &e) })
	handlers.Apply(p, func(s *S, c *handlers.Context, e shop.LedgerAdjusted) error { return fn(s, c, &e) })
	handlers.Apply(p, func(s *S, c *handlers.Context, e shop.AdjustmentRejected) error { return fn(s, c, &e) })
}

// position returns how far the import is by the log.
func (a *app) position() (at shop.Position) {
	a.source.View(func(p *shop.Position, _ int64) { at = *p })
	return at
}

// summary returns the shop's figures. Call it when nothing is applied any more: after the engine's
// Close, or a replay.
func (a *app) summary(log shop.Log) shop.Summary {
	var s shop.State
	a.ledger.View(func(l *shop.Ledger, _ int64) { s.Ledger = *l })
	a.customers.View(func(c *shop.Customers, _ int64) { s.Customers = *c })
	a.countries.View(func(c *shop.Countries, _ int64) { s.Countries = *c })
	return s.Summary(log)
}
