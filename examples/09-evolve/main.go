// Command 09-evolve reads events of an older version and of a former name, and checks both changes.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/event/schema"
	"github.com/headrace/headrace/handlers"
)

type (
	// Sold is version 1: a price in a currency's main unit.
	Sold struct{ Price int64 }
	// OrderSold is version 2, and has another name.
	OrderSold struct{ Milli int64 }
)

func first() *event.Registry {
	types := event.NewRegistry()
	event.MustRegister[Sold](types, "sold", 1)
	return types
}

func second() *event.Registry {
	types := event.NewRegistry()
	event.MustRegister[OrderSold](types, "shop.sold", 2)
	check(types.Rename("sold", "shop.sold"))
	check(types.Upcast("shop.sold", 1, event.UpcastMap(func(fields map[string]any) error {
		fields["Milli"] = fields["Price"].(int64) * 1000
		delete(fields, "Price")
		return nil
	})))
	return types
}

func publish[T any](dir string, types *event.Registry, v T) {
	eng, err := headrace.Open(dir, headrace.NewTopology(types), headrace.Options{})
	check(err)
	p, err := eng.Producer("p")
	check(err)
	_, err = headrace.Publish(context.Background(), p, v, headrace.Meta{})
	check(err)
	check(eng.Close(context.Background()))
}

func main() {
	dir, err := os.MkdirTemp("", "headrace-")
	check(err)
	defer os.RemoveAll(dir)
	for _, change := range schema.Check(schema.Of(first()), schema.Of(second())) {
		fmt.Println(change) // in a test: fail where change.Breaks
	}
	publish(dir, first(), Sold{7})
	publish(dir, second(), OrderSold{7_500})

	topology := headrace.NewTopology(second())
	list := handlers.NewProjection("list", new(int))
	handlers.Apply(list, func(_ *int, c *handlers.Context, e OrderSold) error {
		fmt.Println(c.Type(), e.Milli)
		return nil
	})
	topology.Project(list, headrace.LaneOptions{})
	_, err = headrace.Replay(dir, topology, headrace.ReplayOptions{})
	check(err)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
