// Command 10-asof asks what the state was at earlier sequences.
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

type Moved struct{ By int }

func topology() (*headrace.Topology, *handlers.Projection[int]) {
	types := event.NewRegistry()
	event.MustRegister[Moved](types, "moved", 1)
	t := headrace.NewTopology(types)
	at := handlers.NewProjection("at", new(int))
	handlers.Apply(at, func(n *int, _ *handlers.Context, e Moved) error { *n += e.By; return nil })
	t.Project(at, headrace.LaneOptions{})
	return t, at
}

func main() {
	dir, err := os.MkdirTemp("", "headrace-")
	check(err)
	defer os.RemoveAll(dir)
	ctx := context.Background()

	t, live := topology()
	eng, err := headrace.Open(dir, t, headrace.Options{})
	check(err)
	p, err := eng.Producer("p")
	check(err)
	var first, last int64
	for i := 1; i <= 4; i++ {
		last, err = headrace.Publish(ctx, p, Moved{i}, headrace.Meta{})
		check(err)
		if i == 1 {
			first = last
		}
	}
	check(live.WaitFor(ctx, last))
	live.View(func(n *int, _ int64) { fmt.Println("live:", *n) })

	// A replay reads only, also beside an engine that writes. The log alone determines the state.
	for seq := first; seq <= last; seq++ {
		t, then := topology()
		_, err := headrace.Replay(dir, t, headrace.ReplayOptions{Until: seq})
		check(err)
		then.View(func(n *int, _ int64) { fmt.Printf("after event %d: %d\n", seq-first+1, *n) })
	}
	// A snapshot saves the way there: a replay to a sequence behind it begins with it.
	snap, err := eng.Snapshot(ctx)
	check(err)
	last, err = headrace.Publish(ctx, p, Moved{5}, headrace.Meta{})
	check(err)
	check(eng.WaitWritten(ctx, last))
	t, then := topology()
	found, err := headrace.Replay(dir, t, headrace.ReplayOptions{Until: last})
	check(err)
	then.View(func(n *int, _ int64) { fmt.Println("from the snapshot:", *n, found.Snapshot == snap.Sequence) })
	check(eng.Close(ctx))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
