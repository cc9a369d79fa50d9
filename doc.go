// Package headrace is an event engine inside one process: a lock-free ring of typed events, a
// journal in memory-mapped files behind it, and behind that the application's handlers. After a
// crash the state is rebuilt from the journal, through the same handlers.
//
// # Caveats first
//
//   - One process. The log lies on one disk, and one engine at a time has it open.
//   - Publish returns when the event is in the ring. It is safe from the death of the process after
//     WaitWritten, and from a power cut after WaitDurable.
//   - The slowest lane stops the producers once it is Options.Slots events behind. What may be slow
//     belongs into a follower (Engine.Follow).
//   - A handler that fails halts the engine, and fails again at the next Open until it is fixed, unless
//     it has a failure policy (handlers.Lane.OnFailure): nothing is skipped in silence.
//   - All of the log is replayed at Open, and all of it is kept, unless there are snapshots.
//
// # Use
//
// Say what there is: types, handlers, read models.
//
//	reg := event.NewRegistry()
//	event.MustRegister[PlaceOrder](reg, "shop.place-order", 1, event.TypeOptions{Kind: event.Command})
//	event.MustRegister[OrderPlaced](reg, "shop.order-placed", 1, event.TypeOptions{})
//
//	t := headrace.NewTopology(reg)
//	handlers.On(t.Logic(), "orders", func(c *handlers.Context, cmd PlaceOrder) error {
//		return handlers.Emit(c, OrderPlaced{Order: cmd.Order, Total: cmd.Total})
//	})
//	sales := handlers.NewProjection("sales", &Sales{})
//	handlers.Apply(sales, func(s *Sales, c *handlers.Context, e OrderPlaced) error { … })
//	t.Project(sales, headrace.LaneOptions{})
//
// Open, publish, read, close.
//
//	eng, err := headrace.Open(dir, t, headrace.Options{})
//	web, err := eng.Producer("web")
//	seq, err := headrace.Publish(ctx, web, PlaceOrder{…}, headrace.Meta{Key: "order-17"})
//	err = eng.WaitDurable(ctx, seq)        // the command is safe
//	reply, err := headrace.Call[OrderPlaced](ctx, web, PlaceOrder{…}, headrace.Meta{Key: "order-18"})
//	err = sales.WaitFor(ctx, reply.Sequence) // what the command led to is visible
//	sales.View(func(s *Sales, at int64) { … })
//	err = eng.Close(ctx)
//
// What a handler emits stands behind the event that it answers: who waits with the sequence of a command alone waits for
// the command, and may see a read model that has not got the answer yet.
//
// OpenMemory opens an engine without a journal, for tests and for programs whose events need not outlive them: with the
// same topology, and without what only a log can give. Which engine it is may be a matter of configuration:
// OpenConfig opens one in memory, one with a journal, or what another package has registered, by a URL such as an
// environment variable holds.
//
// # Streams
//
// Events with one key may be numbered, from 1: what Append writes, if the stream is in the version that the writer has seen,
// and what aggregates emit. ReadStream goes through them in both directions, and as of a sequence or a time.
//
// # One number
//
// The sequence that Publish returns is the event's place in the ring, its address in the journal, the
// number at which a read model stands and a follower goes on. It starts at 1, has no gaps, and
// survives restarts. It is provisional until written: a crash before that gives it to another event.
// The engine's own entries (which id a type has, since when a handler answers) and publishes that
// failed in the middle (voids) have numbers too.
//
// # Subscribers
//
// Handlers on lanes and projections run in the ring and see all that matches, by type or by handlers.Filter. Followers read
// the log behind it at their own pace: Follow one event at a time, FollowBatch many at once, FollowShared among members that
// share them by key. They begin at any sequence or time, or at their checkpoint, and go on live without a gap.
//
// # Snapshots
//
// With Options.Snapshots the engine writes down now and then what its lanes come to, and the next Open replays only
// what the log holds behind that:
//
//	eng, err := headrace.Open(dir, t, headrace.Options{
//		Snapshots: headrace.SnapshotOptions{EveryEvents: 1_000_000, AtClose: true},
//		Retention: headrace.Retention{MaxAge: 30 * 24 * time.Hour},
//	})
//
// Every lane has to declare its state (handlers.Keep, or Lane.Stateless; projections, aggregates and sagas do), else Open
// names the one that does not. A snapshot that does not fit, because the type of a state has changed or a
// handler was added that would have changed it, is passed over for the whole log. What a fold computes is not part of
// that comparison: who changes it changes the state's name, or what its SnapshotSchema says. VerifySnapshots proves that
// snapshots and log lead to the same states. Retention lets go of the log behind snapshots; what
// needs its beginning after that, such as a new read model, is refused with ErrNoSnapshot.
//
// # Packages
//
// ring and journal stand alone, and know nothing of each other or of events; event is the envelope
// and the codec; handlers is the chain. This package wires them. aggregate and saga are built on
// handlers; event/schema and event/cloudevents on event; audit looks into a log from outside; headracetest tests
// applications: given events, when a command, then events. The folder
// examples is a guide in ten small programs.
//
// What needs other modules is one of its own, in the same repository: project/sqlite keeps read models in SQLite, observe/otel
// makes spans, observe/prometheus has a collector, bridge/watermill is a publisher and a subscriber for Watermill, journal/zstd
// compresses archives.
package headrace
