// Package ring passes events between goroutines through a ring of preallocated slots: an
// LMAX-style disruptor.
//
// # Caveats first
//
//   - An event in a slot belongs to whoever holds it now: to the producer between Claim and
//     Publish, to the consumers until they have handled it. Keep no pointer into a slot longer.
//   - What is claimed must be published, or aborted. A claim that is never published stops every consumer
//     in front of it, and Close waits for it.
//   - With SingleProducer exactly one goroutine at a time claims and publishes, in order.
//   - The slowest consumer stops the producers as soon as it is Slots events behind.
//
// # Vocabulary
//
// A sequence is the number of an event: an int64 that grows by one for each event, starts at
// Options.FirstSequence and has no gaps. Event s lives in slot s mod Slots. A producer claims
// slots, writes its events into them, and publishes them; or it aborts a claim, and consumers pass over it.
//
// A consumer is a named place in the graph, with a handler: it gets every event. A span is the slots of events that
// lie one after another, as a slice; a batch is all that was readable at once, in one span or several.
// An event is handled when the handler has returned from its span, or has released it before that. A poller is
// a consumer without a goroutine; lanes are consumers that share out the events among them by key.
//
// A consumer's cursor is the sequence that it has handled last; the ring's cursor is the last that is published
// without a gap before it, and a consumer's lag the distance between the two. The barrier of a consumer is how
// far it may read: the ring's cursor, or the least cursor of the consumers that it comes after. The gating
// sequence is the least cursor of the consumers with nobody after them: a producer may not lap it, and the
// ring is full when it would have to.
//
// A wait strategy is how a goroutine waits: it spins, yields its processor, sleeps for a time, or parks, which is to
// block until somebody wakes it. An event that a handler fails on can be parked too: set aside, see ErrorPolicy.
//
// # Use
//
//	r, err := ring.New[Order](ring.Options{Slots: 1 << 14})
//	written, err := r.Consume("journal", journal, ring.ConsumerOptions{})
//	_, err = r.Consume("logic", logic, ring.ConsumerOptions{After: []*ring.Consumer{written}})
//	err = r.Start()
//
//	hi, err := r.Claim(1)       // in a producer
//	*r.Slot(hi) = Order{ID: 1}
//	r.Publish(hi, hi)
//
//	err = r.Close(ctx)          // no new claims; everything claimed is handled; then stop
//
// Consumers form any graph without cycles: After can only name consumers that exist, and Before only those
// that come after these. A handler is called once for a span, not for each event: it gets as many events as are
// readable, cut where the ring wraps and at ConsumerOptions.MaxBatch. Consumer.WaitFor waits until one
// has handled a sequence.
//
// PublishFunc does claim, write and publish in one call, and aborts what could not be filled. TryClaim fails
// where Claim would block, with ErrFull; ClaimContext and ClaimUntil bound how long it may. A handler may
// claim too; what would wait for the handler's own return fails with ErrWouldDeadlock.
//
// # Two kinds of producers
//
// MultiProducer lets any goroutine claim, by compare-and-swap, and publishes by marking each
// slot. SingleProducer needs neither: a claim is an addition and a publish is one plain store.
// It is several times as fast, and the caller must see to it that claims and publishes never run
// at the same time. The build tag headrace_debug makes a misuse panic with a *MisuseError. In a loop
// that publishes one event after another a Producer, which Ring.Producer makes, saves the calls:
// its Next, Slot and Publish are compiled into the loop. One of many producers claims without a locked instruction
// too, for as long as nobody else claims, if it uses a Producer.
//
// # Waiting
//
// The default, WaitAdaptive, spins for some microseconds where there is a processor to spare,
// then yields, then parks; a parked goroutine costs nothing and is woken by exactly the publish
// that it waits for. WaitSpin is for those who have a core per consumer, with
// Pin on a thread of its own; WaitSleep for many that nobody hurries.
//
// # Kinds of consumers
//
// Consume gives a handler a goroutine. A handler that also has the methods of StartHandler,
// BatchHandler, AbortHandler or StopHandler gets those calls. Share makes a group of lanes that
// divide the events among them by key; JoinLane and LeaveLane change it while events flow. A Poller is for a caller with a loop of its own.
//
// Join and JoinPoller add consumers while events flow, anywhere in the graph, at what comes next
// or at an event that is still in the ring; Leave takes them out. Neither stops anybody else.
//
// # Failing
//
// A handler that returns an error, panics or calls runtime.Goexit halts the ring. With an
// ErrorPolicy it gets the events again, and then they are skipped or parked; At names the one
// event of a span that is to blame. Rewind is for handlers that want events again.
//
// # Seeing
//
// Stats has cursors, lags, batch sizes, and who waited for whom and how long; it goes through
// encoding/json, and DOT draws it. Unpublished names claimed slots that everybody waits for.
//
// # Stopping
//
// Close refuses new claims, waits until everything claimed is published and handled, and stops
// the consumers. Halt stops them after the span that they are in, whatever remains. Of a consumer
// whose failure halts the ring the cursor stays before the events that it has not released; Err
// names it and the events, and every blocked producer returns an error that wraps the same.
//
// # Fast slots
//
// A slot type without pointers is the fast case: the garbage collector never looks into the
// ring, and storing into a slot needs no write barrier. With pointers, an old event keeps what
// it points to alive until its slot is used again, or until the handler Clear has cleared it.
// HasPointers tells which.
//
// Nothing here allocates per event.
package ring
