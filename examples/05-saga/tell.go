package main

import (
	"fmt"
	"log"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/saga"
)

// tell replays the log and prints how the saga moved.
func tell(dir string, types *event.Registry) {
	topology := headrace.NewTopology(types)
	story := handlers.NewProjection("story", new(int))
	handlers.Apply(story, func(_ *int, c *handlers.Context, m saga.Moved[Order]) error {
		fmt.Println(c.Key(), m.Phase, m.Step)
		return nil
	})
	handlers.Apply(story, func(_ *int, c *handlers.Context, e Cancelled) error {
		fmt.Println(c.Key(), "cancelled:", e.Why)
		return nil
	})
	topology.Project(story, headrace.LaneOptions{})
	_, err := headrace.Replay(dir, topology, headrace.ReplayOptions{})
	check(err)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
