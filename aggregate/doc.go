// Package aggregate is event sourcing on a lane: entities whose state is the fold of their events, and
// whose commands are decided one after the other.
//
//	accounts := aggregate.Define[Account]("account")
//	aggregate.Evolve(accounts, func(a *Account, e Deposited) { a.Balance += e.Amount })
//	aggregate.Handle(accounts, func(c *aggregate.Context[Account], cmd Withdraw) error {
//		if c.State().Balance < cmd.Amount {
//			return c.Reject("insufficient-funds", "balance is %d", c.State().Balance)
//		}
//		return aggregate.Emit(c, Withdrawn{cmd.Amount})
//	})
//	err := accounts.Attach(t.Logic())
//
//	table := accounts.Projection("accounts") // the same fold, to be read from outside
//	t.Project(table, headrace.LaneOptions{})
//
// # Streams
//
// An entity is the stream of events with its key: the key of the command is the key of the events that
// it leads to. They are numbered from 1 without a gap, and the number travels in the envelope
// (event.Header.StreamVersion); a number that does not come behind the last one is ErrVersionGap, and
// stops the lane. Other aggregates, sagas and headrace's Append may write to the same stream, and then they share
// its numbers: those of one entity ascend, with gaps where others wrote.
//
// Event types that an aggregate evolves are its own. Publishing one from outside, or emitting one
// elsewhere, is handlers.ErrOwned: send the aggregate a command.
//
// # Decisions
//
// A command is decided once, on the state that all events before it have made, those included that were
// emitted a moment ago and stand later in the log; see handlers.Decide and handlers.Evolve. State
// changes only in the functions given to Evolve, so a decision that fails, or whose code changes, never
// contradicts the log. What a handler emits is folded when it has returned: State does not change under it.
//
// A caller who has looked at version n sets headrace.Meta.StreamVersion to n+1: the command is
// then rejected (ConflictCode) if the entity has moved on.
//
// # Memory
//
// All entities are in memory, in the lane and once more in each projection.
package aggregate
