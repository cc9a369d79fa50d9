// Command 08-follow reads the log as a late subscriber does, and goes on where it stopped.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
)

type Line struct{ Text string }

var errEnough = errors.New("enough")

func main() {
	dir, err := os.MkdirTemp("", "headrace-")
	check(err)
	defer os.RemoveAll(dir)
	ctx := context.Background()

	types := event.NewRegistry()
	event.MustRegister[Line](types, "line", 1)
	eng, err := headrace.Open(dir, headrace.NewTopology(types), headrace.Options{})
	check(err)
	p, err := eng.Producer("p")
	check(err)
	write := func(texts ...string) {
		for _, text := range texts {
			_, err := headrace.Publish(ctx, p, Line{text}, headrace.Meta{})
			check(err)
		}
	}
	// A follower with a name has a checkpoint. However slow it is, nobody waits for it.
	follow := func(n int) {
		err := eng.Follow(ctx, headrace.FollowOptions{Name: "mailer"}, func(_ context.Context, d handlers.Delivery) error {
			if n == 0 {
				return errEnough // this event counts as not handled
			}
			n--
			line, _, err := handlers.Decode[Line](d)
			fmt.Println("mailed:", line.Text)
			return err
		})
		if !errors.Is(err, errEnough) {
			log.Fatal(err)
		}
	}
	write("one", "two", "three")
	follow(2)
	fmt.Println("-- the mailer starts again")
	write("four", "five")
	follow(2)
	check(eng.Close(ctx))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
