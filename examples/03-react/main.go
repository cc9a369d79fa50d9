// Command 03-react answers events with events.
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

// The events of a tiny shop.
type (
	OrderPlaced struct{ Order string }
	OrderPaid   struct{ Order string }
	ParcelSent  struct{ Order string }
)

func main() {
	dir, err := os.MkdirTemp("", "headrace-")
	check(err)
	defer os.RemoveAll(dir)
	ctx := context.Background()

	types := event.NewRegistry()
	event.MustRegister[OrderPlaced](types, "order-placed", 1)
	event.MustRegister[OrderPaid](types, "order-paid", 1)
	event.MustRegister[ParcelSent](types, "parcel-sent", 1)
	topology := headrace.NewTopology(types)
	// A handler has a stable id: its answer to an event stands in the log once, however often the process
	// dies in between.
	handlers.On(topology.Logic(), "till", func(c *handlers.Context, e OrderPlaced) error {
		return handlers.Emit(c, OrderPaid(e))
	})
	handlers.On(topology.Logic(), "warehouse", func(c *handlers.Context, e OrderPaid) error {
		return handlers.Emit(c, ParcelSent(e))
	})

	eng, err := headrace.Open(dir, topology, headrace.Options{})
	check(err)
	web, err := eng.Producer("web")
	check(err)
	_, err = headrace.Publish(ctx, web, OrderPlaced{"17"}, headrace.Meta{Key: "17"})
	check(err)

	names := map[event.ID]string{}
	seen := 0
	err = eng.Follow(ctx, headrace.FollowOptions{}, func(_ context.Context, d handlers.Delivery) error {
		names[d.Event.ID()] = d.Type
		cause := "nobody here"
		if id := d.Event.CausationID(); !id.IsZero() {
			cause = names[id]
		}
		fmt.Printf("%s by %s, caused by %s\n", d.Type, d.Event.Producer(), cause)
		if seen++; seen == 3 {
			return errDone
		}
		return nil
	})
	if err != errDone {
		log.Fatal(err)
	}
	check(eng.Close(ctx))
}

var errDone = fmt.Errorf("seen enough")

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
