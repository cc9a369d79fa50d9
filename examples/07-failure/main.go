// Command 07-failure parks the key of an event that cannot be handled, until somebody has mended the cause.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"sync/atomic"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
)

type (
	Order    struct{ Article string }
	Accepted struct{ Article string }
)

func main() {
	dir, err := os.MkdirTemp("", "headrace-")
	check(err)
	defer os.RemoveAll(dir)
	ctx := context.Background()

	var mended atomic.Bool
	types := event.NewRegistry()
	event.MustRegister[Order](types, "order", 1)
	event.MustRegister[Accepted](types, "accepted", 1)
	topology := headrace.NewTopology(types)
	handlers.Decide(topology.Logic(), "desk", func(c *handlers.Context, o Order) error {
		if o.Article == "poison" && !mended.Load() {
			return errors.New("no such article")
		}
		return handlers.Emit(c, Accepted(o))
	})
	topology.Logic().OnFailure("desk", handlers.FailurePolicy{Then: handlers.ThenDeadLetter})
	done := make(chan string, 8)
	out := handlers.NewProjection("out", new(int))
	handlers.Apply(out, func(_ *int, c *handlers.Context, e Accepted) error { done <- c.Key() + " " + e.Article; return nil })
	topology.Project(out, headrace.LaneOptions{})

	eng, err := headrace.Open(dir, topology, headrace.Options{})
	check(err)
	web, err := eng.Producer("web")
	check(err)
	for _, o := range [][2]string{{"ada", "poison"}, {"ada", "tea"}, {"bob", "coffee"}} {
		_, err = headrace.Publish(ctx, web, Order{o[1]}, headrace.Meta{Key: o[0]})
		check(err)
	}
	fmt.Println("accepted:", <-done) // bob does not wait for ada
	dead := eng.DeadLetters()
	fmt.Println("dead letters:", len(dead))
	mended.Store(true)
	_, err = eng.Redrive(ctx, "desk", dead[0].Sequence)
	check(err)
	fmt.Println("accepted:", <-done)
	fmt.Println("accepted:", <-done) // in order
	check(eng.Close(ctx))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
