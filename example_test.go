package headrace_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
)

type PlaceOrder struct {
	Order string
	Milli int64
}

type OrderPlaced struct {
	Order string
	Milli int64
}

type Sales struct{ Orders, Milli int64 }

// shop says what the application has: its types, what it does, what it keeps. Every engine and
// every replay gets one of its own, with fresh state.
func shop() (*headrace.Topology, *handlers.Projection[Sales]) {
	reg := event.NewRegistry()
	event.MustRegister[PlaceOrder](reg, "shop.place-order", 1, event.TypeOptions{Kind: event.Command})
	event.MustRegister[OrderPlaced](reg, "shop.order-placed", 1)

	t := headrace.NewTopology(reg)
	handlers.On(t.Logic(), "orders", func(c *handlers.Context, cmd PlaceOrder) error {
		return handlers.Emit(c, OrderPlaced(cmd))
	})
	sales := handlers.NewProjection("sales", &Sales{})
	handlers.Apply(sales, func(s *Sales, c *handlers.Context, e OrderPlaced) error {
		s.Orders, s.Milli = s.Orders+1, s.Milli+e.Milli
		return nil
	})
	t.Project(sales, headrace.LaneOptions{})
	return t, sales
}

func Example() {
	dir, err := os.MkdirTemp("", "headrace-example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()

	t, _ := shop()
	eng, err := headrace.Open(dir, t, headrace.Options{})
	if err != nil {
		log.Fatal(err)
	}
	web, err := eng.Producer("web")
	if err != nil {
		log.Fatal(err)
	}
	seq, err := headrace.Publish(ctx, web, PlaceOrder{"17", 9_990}, headrace.Meta{Key: "17"})
	if err != nil {
		log.Fatal(err)
	}
	if err := eng.WaitDurable(ctx, seq); err != nil { // a power cut cannot take it any more
		log.Fatal(err)
	}
	if err := eng.Close(ctx); err != nil { // drains, syncs, stops
		log.Fatal(err)
	}

	// The log is all that is left, and all that is needed.
	t, sales := shop()
	if _, err := headrace.Replay(dir, t, headrace.ReplayOptions{}); err != nil {
		log.Fatal(err)
	}
	sales.View(func(s *Sales, _ int64) { fmt.Println(s.Orders, "order of", s.Milli) })
	// Output: 1 order of 9990
}

// Publishing with an id of one's own may be repeated without harm: by a client that did not get its
// answer, or by an import that starts again.
func ExamplePublish_idempotent() {
	dir, err := os.MkdirTemp("", "headrace-example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()

	t, _ := shop()
	eng, err := headrace.Open(dir, t, headrace.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer eng.Close(ctx)
	web, err := eng.Producer("web")
	if err != nil {
		log.Fatal(err)
	}
	meta := headrace.Meta{ID: event.IDFromName("order 17")}
	first, err := headrace.Publish(ctx, web, PlaceOrder{"17", 9_990}, meta)
	if err != nil {
		log.Fatal(err)
	}
	again, err := headrace.Publish(ctx, web, PlaceOrder{"17", 9_990}, meta)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(again == first)
	// Output: true
}

// A follower reads the log at its own pace: first the past, then what comes.
func ExampleEngine_Follow() {
	dir, err := os.MkdirTemp("", "headrace-example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()

	t, _ := shop()
	eng, err := headrace.Open(dir, t, headrace.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer eng.Close(ctx)
	web, err := eng.Producer("web")
	if err != nil {
		log.Fatal(err)
	}
	if _, err := headrace.Publish(ctx, web, PlaceOrder{"17", 9_990}, headrace.Meta{}); err != nil {
		log.Fatal(err)
	}

	mailed, stop := context.WithCancel(ctx)
	err = eng.Follow(mailed, headrace.FollowOptions{Name: "mail"}, func(_ context.Context, d handlers.Delivery) error {
		if e, ok, err := handlers.Decode[OrderPlaced](d); err != nil || !ok {
			return err
		} else {
			fmt.Println("mail about order", e.Order)
		}
		stop() // this example has seen enough
		return nil
	})
	fmt.Println(err)
	// Output:
	// mail about order 17
	// context canceled
}

// An application that takes its bus from the environment runs without a journal where none is wanted, such as
// on a developer's machine.
func ExampleOpenConfig() {
	config, err := headrace.ConfigFromEnv("SHOP_EVENTS", "memory:?slots=1024")
	if err != nil {
		log.Fatal(err)
	}
	t, sales := shop()
	bus, err := headrace.OpenConfig(config, t, headrace.Options{})
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	web, err := bus.Publisher("web")
	if err != nil {
		log.Fatal(err)
	}
	if _, err := web.Publish(ctx, PlaceOrder{"17", 4990}, headrace.Meta{Key: "17"}); err != nil {
		log.Fatal(err)
	}
	if err := bus.Close(ctx); err != nil { // all is handled then
		log.Fatal(err)
	}
	sales.View(func(s *Sales, _ int64) { fmt.Println(config, s.Orders, s.Milli) })
	// Output: memory:?slots=1024 1 4990
}
