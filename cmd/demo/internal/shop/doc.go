// Package shop is the domain of the demo: the orders of a web shop, the rule that accepts or
// rejects them, and the figures that are kept about them. It is pure: no clock, no randomness but
// a seed, no goroutine, no engine. What a live run, a replay and a test compute is therefore the
// same.
//
// # From a source to a command
//
// Orders come from a [Source]: a [Reader] of the retail CSV file, or a [Generator] that makes
// them up from a seed. Both fill an [Order] and count rows; an order knows where it came from and
// which row follows it, so that an import goes on where the log ends:
//
//	var at shop.Position               // fed with every order in the log, by Observe
//	err := source.SkipTo(at.Next())
//	for err == nil {
//		if err = source.Next(&order); err == nil {
//			publish(order.ID(), order.Command())
//		}
//	}
//
// [Order.Command] gives the order the type that its number asks for: [PlaceOrder] for a plain
// number, [CancelOrder] for C…, [AdjustLedger] for A….
//
// # From a command to an answer
//
// [Validate] answers every command with exactly one event. What it rejects did happen in the
// source all the same, so a rejection carries the same figures as an acceptance, and the totals
// count both: nothing in the source is lost.
//
// # From answers to state
//
// [Ledger], [Customers] and [Countries] are sums over answers; [State] is the three of them with
// a hash. Sums do not depend on the order of what is added, so any interleaving of the same
// answers gives the same state and the same hash.
//
// # Money
//
// Money is an int64 in thousandths: the source has prices with three decimals. Nothing here
// computes with floating point. What one order may amount to is limited (see [MaxAmountMilli]),
// sums of orders are checked, and [ErrOverflow] is returned before a total would wrap.
package shop
