// Command 02-safe waits until events are safe, and rebuilds the state after a restart.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/journal"
)

// Counted is an event without content.
type Counted struct{}

// open opens the same log with a topology of its own: state belongs to one run of the engine.
func open(dir string) (*headrace.Engine, *handlers.Projection[int]) {
	types := event.NewRegistry()
	event.MustRegister[Counted](types, "counted", 1)
	topology := headrace.NewTopology(types)
	count := handlers.NewProjection("count", new(int))
	handlers.Apply(count, func(n *int, _ *handlers.Context, _ Counted) error { *n++; return nil })
	topology.Project(count, headrace.LaneOptions{})
	eng, err := headrace.Open(dir, topology, headrace.Options{Journal: journal.Options{Durability: journal.Batch()}})
	check(err)
	return eng, count
}

func main() {
	dir, err := os.MkdirTemp("", "headrace-")
	check(err)
	defer os.RemoveAll(dir)
	ctx := context.Background()

	for range 2 { // two runs of the program
		eng, count := open(dir)
		count.View(func(n *int, _ int64) { fmt.Println("opened with", *n) })
		p, err := eng.Producer("p")
		check(err)
		var seq int64
		for range 5 {
			seq, err = headrace.Publish(ctx, p, Counted{}, headrace.Meta{})
			check(err)
		}
		check(eng.WaitWritten(ctx, seq)) // the death of the process cannot take it any more
		check(eng.WaitDurable(ctx, seq)) // nor can a power cut
		check(eng.Close(ctx))
	}
	eng, count := open(dir)
	count.View(func(n *int, _ int64) { fmt.Println("opened with", *n) })
	check(eng.Close(ctx))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
