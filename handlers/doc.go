// Package handlers is the stock of an engine's handler chain: what stands behind the ring, and in
// which order. Most programs use four things of it: On and Emit to react to events, Decide and Evolve
// where the log shall rule, Projection to keep read models, Delivery to follow the log.
//
//	handlers.On(t.Logic(), "shipping", func(c *handlers.Context, e OrderPaid) error {
//		return handlers.Emit(c, ShipmentOrdered{Order: e.Order})
//	})
//
//	sales := handlers.NewProjection("sales", &Sales{})
//	handlers.Apply(sales, func(s *Sales, c *handlers.Context, e OrderPaid) error {
//		s.Total += e.Amount
//		return nil
//	})
//	t.Project(sales, headrace.LaneOptions{})
//
// # The chain
//
//	ring ──▶ Journaler ──▶ Lane (logic) ──▶ Feedback ──▶ ring
//	             │  └────▶ Lane (one a Projection)
//	             └──▶ Syncer ──▶ Lane (behind durable)
//
// Journaler writes every slot to the journal; what stands behind it sees only events that survive the
// death of the process. Syncer waits for the sync; what stands behind it sees only events that
// survive a power cut. A Lane runs its handlers one after the other on one goroutine. Feedback brings
// what they emit back to the front.
//
// # Filters
//
// Where a subscriber is for a topic and not for a type, OnFiltered, FoldFiltered and ApplyFiltered take a Filter: patterns
// of type names by tokens, keys, kinds. Context.Event is what it sees then, and As the value.
//
//	handlers.ApplyFiltered(trail, handlers.Filter{Types: []string{"orders.>"}}, func(s *Trail, c *handlers.Context) error { … })
//
// FoldBatch and ApplyBatch get many events at once, for what is cheaper that way.
//
// # The log determines the state
//
// A handler that takes everything from its event and its Context computes the same at every replay:
// no system clock (Context.Time), no system randomness (Context.Rand), no map iteration order where it
// shows. Then the state after a restart is the state before it, because the log is all there is.
//
// What a handler emits is in the log too, so it is not emitted again at replay. Each handler has a
// stable id and a watermark: the last event whose answer the log holds. At or below it, Emit does
// nothing, whatever the code computes today; above it, what a crash kept from the log is emitted with
// the same ids. So inside the log a handler's answer to an event stands exactly once. What happens
// outside the log happens at least once: see Effect, which has an idempotency key for it.
//
// # Decisions
//
// On is for handlers that keep a state and react in one. Where state must never contradict the log,
// also when the code changes, the two are kept apart: Decide registers a handler that reads state and
// emits, Fold and Evolve the ones that change state when events say so.
//
//	balance := map[string]int64{}
//	handlers.Decide(lane, "withdrawals", func(c *handlers.Context, w Withdraw) error {
//		if balance[w.Account] < w.Amount {
//			return handlers.Emit(c, Refused{w.Account, w.Amount})
//		}
//		return handlers.Emit(c, Withdrawn{w.Account, w.Amount})
//	})
//	handlers.Evolve(lane, func(c *handlers.Context, e Withdrawn) error {
//		balance[e.Account] -= e.Amount
//		return nil
//	})
//
// A decision is taken once. At replay only the folds run, over the events that were decided then. Live,
// Evolve folds an event the moment it is emitted, so the next command in the ring is decided on what
// the last one left, although the event itself is still on its way into the log. A type that a lane evolves
// belongs to it: nobody else may emit it. Fold is for events from elsewhere, at their place in the
// log.
//
// # State
//
// Handlers may keep state in any variable. Declared with Keep it can be looked at from outside, hashed and
// made anew:
//
//	stock := handlers.Keep(lane, "stock", func() *Stock { return &Stock{Items: map[string]int{}} })
//	handlers.Fold(lane, func(c *handlers.Context, e ItemReceived) error {
//		stock.Of(c).Items[e.Article] += e.Quantity
//		return nil
//	})
//
// A lane that declares state declares all of it. Two states with equal hashes are equal: that is how
// a test, or a program, tells that a replay has led to where the live lane is.
//
// # Time
//
// Handlers do not wait. What shall happen later is scheduled: Schedule emits an event that waits in the log,
// and Cancel, under the timer's name, takes it back.
//
//	handlers.Schedule(c, PaymentOverdue{e.Order}, c.Time().Add(48*time.Hour), handlers.ScheduleOptions{Name: "overdue/" + e.Order})
//
// The waiting is state of the handler TimersHandler, made from Scheduled, Cancelled and Tick events as any
// state is. The engine's clock publishes a Tick when something is due, and the answer to it is what
// fires. So a timer fires once however often the process dies, replay fires it at the same place, and
// tests move a clock of their own (package headracetest).
//
// # Effects
//
// What calls the world outside stands beside the lanes: an Effect runs on workers, and what it reports is its
// answer in the log.
//
//	charge := handlers.NewEffect("charge", func(c *handlers.EffectContext, cmd ChargeCard) error { … }, handlers.EffectOptions{…})
//	t.Effect(charge, headrace.LaneOptions{Behind: headrace.Durable})
//
// # Failure
//
// A handler that returns an error or panics stops its lane before the event, and the engine with it:
// *HandlerError names handler, event and cause. Return errors for conditions that must stop
// the world; a business rejection is an event.
//
// Where one event must not stop the world, a handler gets a FailurePolicy (one registered with On only on a
// lane that declares its state, see OnFailure):
//
//	lane.OnFailure("shipping", handlers.FailurePolicy{Retries: 5, Timeout: 2 * time.Second, Then: handlers.ThenDeadLetter})
//
// Then each outcome is a Failed event in the log, and replay applies it instead of trying again. The
// event's key is parked for this handler until the event is through: later events with the key wait in
// order, others go on. A dead letter waits for Engine.Redrive, which tries it with today's code, or
// Engine.Discard. Handlers of Failed events are how an application learns of it.
package handlers
