// Command 06-timer reminds of an order that was not paid in time.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/headracetest"
)

type (
	Placed   struct{}
	Paid     struct{}
	Reminder struct{}
)

// dunning is the application; dunning_test.go tests it.
func dunning() *headrace.Topology {
	types := event.NewRegistry()
	event.MustRegister[Placed](types, "placed", 1)
	event.MustRegister[Paid](types, "paid", 1)
	event.MustRegister[Reminder](types, "reminder", 1)
	topology := headrace.NewTopology(types)
	handlers.Decide(topology.Logic(), "dunning", func(c *handlers.Context, _ Placed) error {
		// The scheduled event is in the log: it survives a crash, and a replay meets it where it was.
		return handlers.Schedule(c, Reminder{}, c.Time().Add(time.Hour), handlers.ScheduleOptions{Name: "remind/" + c.Key()})
	})
	handlers.Decide(topology.Logic(), "dunning", func(c *handlers.Context, _ Paid) error {
		return handlers.Cancel(c, "remind/"+c.Key())
	})
	return topology
}

func main() {
	dir, err := os.MkdirTemp("", "headrace-")
	check(err)
	defer os.RemoveAll(dir)
	ctx := context.Background()
	topology := dunning()
	reminded := make(chan string, 1)
	out := handlers.NewProjection("out", new(int))
	handlers.Apply(out, func(_ *int, c *handlers.Context, _ Reminder) error { reminded <- c.Key(); return nil })
	topology.Project(out, headrace.LaneOptions{})

	clock := headracetest.NewClock(time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC))
	eng, err := headrace.Open(dir, topology, headrace.Options{Clock: clock})
	check(err)
	web, err := eng.Producer("web")
	check(err)
	for _, order := range []string{"1", "2"} {
		_, err = headrace.Publish(ctx, web, Placed{}, headrace.Meta{Key: order})
		check(err)
	}
	_, err = headrace.Publish(ctx, web, Paid{}, headrace.Meta{Key: "1"})
	check(err)
	check(eng.WaitIdle(ctx)) // the timers are set, and one of them is cancelled
	clock.Advance(time.Hour)
	fmt.Println("reminder for order", <-reminded)
	check(eng.Close(ctx))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
