// Command 01-publish publishes events and reads a projection of them.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
)

// OrderPlaced is an event: any Go type that msgpack can carry.
type OrderPlaced struct {
	Order string
	Milli int64 // thousandths
}

// Sales is a read model.
type Sales struct{ Orders, Milli int64 }

func main() {
	dir, err := os.MkdirTemp("", "headrace-")
	check(err)
	defer os.RemoveAll(dir)
	ctx := context.Background()

	types := event.NewRegistry()
	event.MustRegister[OrderPlaced](types, "shop.order-placed", 1)
	topology := headrace.NewTopology(types)
	sales := handlers.NewProjection("sales", &Sales{})
	handlers.Apply(sales, func(s *Sales, c *handlers.Context, e OrderPlaced) error {
		s.Orders, s.Milli = s.Orders+1, s.Milli+e.Milli
		return nil
	})
	topology.Project(sales, headrace.LaneOptions{})

	eng, err := headrace.Open(dir, topology, headrace.Options{})
	check(err)
	web, err := eng.Producer("web")
	check(err)

	var last int64
	for i, milli := range []int64{9_990, 20_000, 5_010} {
		key := fmt.Sprintf("order-%d", i+1)
		last, err = headrace.Publish(ctx, web, OrderPlaced{key, milli}, headrace.Meta{Key: key})
		check(err)
	}
	check(sales.WaitFor(ctx, last)) // who has published and waits sees its own writes
	sales.View(func(s *Sales, _ int64) { fmt.Printf("%d orders, %d thousandths\n", s.Orders, s.Milli) })
	check(eng.Close(ctx))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
