package headrace_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
)

// Two clerks have read the order when it had one event, and both go on from there: the second is told that it did
// not see what the first has written.
func ExampleEngine_Append() {
	eng, done := opened(headrace.NewTopology(subscriberTypes()))
	defer done()
	ctx := context.Background()

	placed, err := eng.Append(ctx, "order-17", headrace.ExpectNone, headrace.Message{Value: OrderPlaced{"17", 990}})
	if err != nil {
		log.Fatal(err)
	}
	ship := headrace.Message{Value: Shipped{"17"}}
	shipped, err := eng.Append(ctx, "order-17", placed.Version, ship)
	fmt.Println("version", shipped.Version, err)

	_, err = eng.Append(ctx, "order-17", placed.Version, ship)
	var stale *headrace.VersionError
	if errors.As(err, &stale) {
		fmt.Println("expected", stale.Expected, "but it is in version", stale.Actual) // read it again, and decide again
	}
	// Output:
	// version 2 <nil>
	// expected 1 but it is in version 2
}

// An append that carries an id may be repeated, when its answer was lost: it is answered as the first time, whatever is
// expected by now.
func ExampleProducer_Append_idempotent() {
	eng, done := opened(headrace.NewTopology(subscriberTypes()))
	defer done()
	web, err := eng.Producer("web")
	if err != nil {
		log.Fatal(err)
	}
	m := headrace.Message{Value: OrderPlaced{"17", 990}, Meta: headrace.Meta{ID: event.IDFromName("order 17 placed")}}
	for range 2 {
		done, err := web.Append(context.Background(), "order-17", headrace.ExpectNone, m)
		fmt.Println("version", done.Version, "repeated", done.Repeated, err)
	}
	// Output:
	// version 1 repeated false <nil>
	// version 1 repeated true <nil>
}

// All that an order went through; then its last event alone; then as it was when it had not left yet.
func ExampleEngine_ReadStream() {
	eng, done := opened(headrace.NewTopology(subscriberTypes()))
	defer done()
	ctx := context.Background()
	placed, err := eng.Append(ctx, "order-17", headrace.ExpectNone, headrace.Message{Value: OrderPlaced{"17", 990}})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := eng.Append(ctx, "order-18", headrace.ExpectNone, headrace.Message{Value: OrderPlaced{"18", 450}}); err != nil {
		log.Fatal(err)
	}
	if _, err := eng.Append(ctx, "order-17", headrace.ExpectAny, headrace.Message{Value: Shipped{"17"}}); err != nil {
		log.Fatal(err)
	}

	for d, err := range eng.ReadStream(ctx, "order-17", 0, headrace.StreamOptions{}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(d.Event.StreamVersion(), d.Type)
	}
	for d, err := range eng.ReadStream(ctx, "order-17", 0, headrace.StreamOptions{Backward: true}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("last:", d.Type)
		break
	}
	for d, err := range eng.ReadStream(ctx, "order-17", 0, headrace.StreamOptions{UntilSequence: placed.Sequence}) {
		if err != nil {
			log.Fatal(err)
		}
		if v, ok, err := handlers.Decode[OrderPlaced](d); ok && err == nil {
			fmt.Println("then:", v.Order, v.Milli)
		}
	}
	// Output:
	// 1 orders.placed
	// 2 orders.shipped
	// last: orders.shipped
	// then: 17 990
}

// A program that runs to an end, or a test, waits until what it has set off is done: the command, the answer to it, and
// what the read model makes of that.
func ExampleEngine_WaitIdle() {
	t, sales := shop()
	eng, done := opened(t)
	defer done()
	put(eng, "17", PlaceOrder{"17", 9_990})
	put(eng, "18", PlaceOrder{"18", 4_990})
	if err := eng.WaitIdle(context.Background()); err != nil {
		log.Fatal(err)
	}
	sales.View(func(s *Sales, _ int64) { fmt.Println(s.Orders, "orders of", s.Milli) })
	// Output: 2 orders of 14980
}

// A backup of an engine that runs, continued while it goes on, and the day after a journal made of it as it was then.
func ExampleRestore() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "headrace-example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	backups, restored := filepath.Join(dir, "backups"), filepath.Join(dir, "restored")

	t, _ := shop()
	eng, done := opened(t)
	put(eng, "17", PlaceOrder{"17", 9_990})
	if err := eng.WaitIdle(ctx); err != nil {
		log.Fatal(err)
	}
	first, err := eng.Backup(backups, headrace.BackupOptions{})
	if err != nil {
		log.Fatal(err)
	}
	put(eng, "18", PlaceOrder{"18", 4_990}) // should not have happened, say
	if err := eng.WaitIdle(ctx); err != nil {
		log.Fatal(err)
	}
	second, err := eng.Backup(backups, headrace.BackupOptions{}) // copies what is new
	if err != nil {
		log.Fatal(err)
	}
	done()

	for _, until := range []int64{second.Last, first.Last} {
		to := fmt.Sprint(restored, until)
		if _, err := headrace.Restore(ctx, backups, to, headrace.RestoreOptions{Until: until}); err != nil {
			log.Fatal(err)
		}
		t, sales := shop()
		if _, err := headrace.Replay(to, t, headrace.ReplayOptions{}); err != nil {
			log.Fatal(err)
		}
		sales.View(func(s *Sales, _ int64) { fmt.Println(s.Orders, "orders of", s.Milli) })
	}
	// Output:
	// 2 orders of 14980
	// 1 orders of 9990
}

// An engine in memory has all that does not need a log: publishing, handlers and what they emit, read models, timers, Call.
// Nothing of it is left when it closes.
func ExampleOpenMemory() {
	ctx := context.Background()
	t, sales := shop()
	eng, err := headrace.OpenMemory(t, headrace.Options{Slots: 1024})
	if err != nil {
		log.Fatal(err)
	}
	seq := put(eng, "17", PlaceOrder{"17", 9_990})
	if err := eng.WaitIdle(ctx); err != nil {
		log.Fatal(err)
	}
	sales.View(func(s *Sales, at int64) { fmt.Println(s.Orders, "order of", s.Milli, "command", seq, "state at", at) })
	err = eng.Follow(ctx, headrace.FollowOptions{}, func(context.Context, handlers.Delivery) error { return nil })
	fmt.Println(errors.Is(err, headrace.ErrNoLog)) // there is nothing to follow
	if err := eng.Close(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// 1 order of 9990 command 1 state at 2
	// true
}
