// Package saga coordinates work that many handlers and outside parties share, and that must end done or
// undone: a process manager whose steps are written down before they are taken.
//
//	order := saga.Define[Order]("order-saga", types)
//	saga.Start(order, func(o *Order, e OrderPlaced) { o.Total = e.Total })
//
//	reserve := order.Step("reserve", saga.StepOptions{Timeout: time.Minute})
//	saga.Do(reserve, func(c *saga.Context[Order]) error { return saga.Send(c, ReserveStock{…}) })
//	saga.Done(reserve, func(o *Order, e StockReserved) {})
//	saga.Failed(reserve, func(o *Order, e StockRejected) string { return e.Reason })
//	saga.Undo(reserve, func(c *saga.Context[Order]) error { return saga.Send(c, ReleaseStock{…}) })
//	saga.Undone(reserve, func(o *Order, e StockReleased) {})
//
//	pay := order.Step("pay", saga.StepOptions{Timeout: time.Minute, Retries: 2})
//	…
//	saga.Completed(order, func(c *saga.Context[Order]) error { return saga.Send(c, OrderCompleted{}) })
//	saga.Compensated(order, func(c *saga.Context[Order]) error { return saga.Send(c, OrderCancelled{c.Reason()}) })
//	err := order.Attach(t.Logic())
//
// # Course
//
// An instance begins with its start event and is known by that event's key. Its steps are taken in
// the order in which they were added. A step is taken by its Do function, which sends commands; it is over
// when an event given to Done or Failed arrives for the instance. After the last step the instance is
// completed. When a step fails, those before it are undone, the latest first, each by its Undo function;
// one without Undo is passed over, one without an Undone event counts as undone at once. After the
// first step has been undone the instance is compensated.
//
// A step that runs out of time is in doubt: it may have worked. It is taken again as often as
// StepOptions.Retries says, and then undone together with those before it, so its commands and their undoing
// must be idempotent for the receiver: use the instance's key, or Context.CommandKey. An answer that
// arrives later than that is passed over. An undoing that runs out of time is taken again, UndoRetries
// times, and then the instance is stuck: it waits for an operator (Resume), and is there to be seen.
//
// # What is in the log
//
// Every change of an instance is one event of type Moved, in one atomic batch with the commands that
// go with it: the step is registered before anybody acts on it. So a crash at any point finds the
// instance where it was, with its commands sent once. Deadlines are scheduled events
// (handlers.Schedule): they survive crashes, and a replay meets them where they were. The state is
// the fold of Moved events; what the functions given to Done and the others compute is in them, and is not
// computed again.
//
// # Choreography
//
// Without a coordinator, handlers react to each other's events, and the correlation id holds them
// together: that needs nothing from this package. Use handlers.Decide, and undo in answer to
// failure events.
package saga
