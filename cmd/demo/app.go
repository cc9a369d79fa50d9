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

const orderVersion = 1 // of the commands

// app is the shop as an application of headrace: its types, its validator on the logic lane, and two read models, each
// on a lane of its own. It serves one engine or one replay.
//
// The validator decides: its answers are in the log, so a replay does not run it, nor decode what it is for. Ledger,
// customers and countries are one read model: they are fed with the same events, so one lane decodes each of these once for
// all three, and who looks sees them at one sequence.
type app struct {
	registry *event.Registry
	topology *headrace.Topology
	figures  *handlers.Projection[shop.State]
	source   *handlers.Projection[shop.Position] // how far the import is
	shop     *fulfilment                         // nil: orders are taken and not fulfilled
}

func newApp() *app { return newAppOf(newRegistry()) }

func newAppOf(reg *event.Registry) *app {
	a := &app{
		registry: reg,
		topology: headrace.NewTopology(reg),
		figures:  handlers.NewProjection("figures", new(shop.State)),
		source:   handlers.NewProjection("source", new(shop.Position)),
	}

	logic := a.topology.Logic()
	handlers.Decide(logic, validatorID, func(c *handlers.Context, e shop.PlaceOrder) error { return answer(c, &e) })
	handlers.Decide(logic, validatorID, func(c *handlers.Context, e shop.CancelOrder) error { return answer(c, &e) })
	handlers.Decide(logic, validatorID, func(c *handlers.Context, e shop.AdjustLedger) error { return answer(c, &e) })

	countAnswers(a.figures)
	observeOrders(a.source)

	a.topology.Project(a.figures, headrace.LaneOptions{})
	a.topology.Project(a.source, headrace.LaneOptions{})
	return a
}

// newRegistry returns the shop's types. Their names and versions are the log's for good.
func newRegistry() *event.Registry {
	reg := event.NewRegistry()
	asks := event.TypeOptions{Kind: event.Command}
	event.MustRegister[shop.PlaceOrder](reg, shop.NamePlaceOrder, orderVersion, asks)
	event.MustRegister[shop.CancelOrder](reg, shop.NameCancelOrder, orderVersion, asks)
	event.MustRegister[shop.AdjustLedger](reg, shop.NameAdjustLedger, orderVersion, asks)
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

// countAnswers feeds the figures. Each answer stays on the stack: an Event of it would not.
func countAnswers(p *handlers.Projection[shop.State]) {
	handlers.Apply(p, func(s *shop.State, _ *handlers.Context, e shop.OrderAccepted) error {
		return s.Add(e.Kind(), e.Data(), e.Rejected())
	})
	handlers.Apply(p, func(s *shop.State, _ *handlers.Context, e shop.OrderRejected) error {
		return s.Add(e.Kind(), e.Data(), e.Rejected())
	})
	handlers.Apply(p, func(s *shop.State, _ *handlers.Context, e shop.CancellationAccepted) error {
		return s.Add(e.Kind(), e.Data(), e.Rejected())
	})
	handlers.Apply(p, func(s *shop.State, _ *handlers.Context, e shop.CancellationRejected) error {
		return s.Add(e.Kind(), e.Data(), e.Rejected())
	})
	handlers.Apply(p, func(s *shop.State, _ *handlers.Context, e shop.LedgerAdjusted) error {
		return s.Add(e.Kind(), e.Data(), e.Rejected())
	})
	handlers.Apply(p, func(s *shop.State, _ *handlers.Context, e shop.AdjustmentRejected) error {
		return s.Add(e.Kind(), e.Data(), e.Rejected())
	})
}

// observeOrders moves the position. It gets the commands as they stand in the log, since it needs a few of their fields.
func observeOrders(p *handlers.Projection[shop.Position]) {
	orders := handlers.Filter{Types: []string{shop.NamePlaceOrder, shop.NameCancelOrder, shop.NameAdjustLedger}}
	handlers.ApplyFiltered(p, orders, func(p *shop.Position, c *handlers.Context) error {
		if v := c.Event().Version(); v != orderVersion {
			return fmt.Errorf("order in version %d, read is version %d", v, orderVersion)
		}
		return p.ObservePayload(c.Event().Payload())
	})
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
func (a *app) summary(log shop.Log) (m shop.Summary) {
	a.figures.View(func(s *shop.State, _ int64) { m = s.Summary(log) })
	return m
}

// conclude stores the figures of the log in dir, whose engine was closed, for verify, and returns them.
func (a *app) conclude(dir string) (m shop.Summary, err error) {
	log, err := countLog(dir)
	if err != nil {
		return m, err
	}
	m = a.summary(log)
	return m, storeSummary(dir, m)
}
