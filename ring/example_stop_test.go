package ring_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/headrace/headrace/ring"
)

// Close waits for as long as its context allows, and then says who is late. The ring goes on draining.
func ExampleDrainError() {
	r, _ := ring.New[int](ring.Options{})
	printed := make(chan struct{}) // the paper is out until it is closed
	_, _ = r.Consume("printer", ring.HandlerFunc[int](func(int64, []int) error {
		<-printed
		return nil
	}), ring.ConsumerOptions{})
	_ = r.Start()
	put(r, 10)
	put(r, 20)
	late, _ := r.Claim(1)

	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	err := r.Close(ctx)
	var drain *ring.DrainError
	if errors.As(err, &drain) {
		fmt.Println("claimed", drain.Claimed, "published", drain.Published)
		for _, c := range drain.Late {
			fmt.Println(c.Name, "has handled", c.Cursor)
		}
		fmt.Println(drain.Err)
	}

	*r.Slot(late) = 30
	r.Publish(late, late) // what was claimed before may still be published
	close(printed)
	fmt.Println(r.Close(context.Background()))
	// Output:
	// claimed 3 published 2
	// printer has handled 0
	// context deadline exceeded
	// <nil>
}

// Halt stops at once, and whoever waits for a slot gets an error.
func ExampleRing_Halt() {
	r, _ := ring.New[int](ring.Options{Slots: 1})
	put(r, 10) // the ring is full, and nobody reads
	blocked := make(chan error)
	go func() {
		_, err := r.Claim(1)
		blocked <- err
	}()
	r.Halt()
	fmt.Println(<-blocked)
	_, err := r.Claim(1)
	fmt.Println(errors.Is(err, ring.ErrHalted))
	// Output:
	// ring: halted
	// true
}

// A handler that publishes into its own full ring would wait for itself. It gets an error instead.
func ExampleRing_Claim_ownRing() {
	r, _ := ring.New[int](ring.Options{Slots: 1})
	echo, _ := r.Consume("echo", ring.HandlerFunc[int](func(int64, []int) error {
		_, err := r.Claim(1) // the slot is free only when this function has returned
		fmt.Println(errors.Is(err, ring.ErrWouldDeadlock))
		return nil
	}), ring.ConsumerOptions{})
	_ = r.Start()
	_ = echo.WaitFor(context.Background(), put(r, 10))
	_ = r.Close(context.Background())
	// Output: true
}

// A consumer that leaves takes nothing along: who came after it goes on behind what it came after.
func ExampleRing_Leave() {
	ctx := context.Background()
	r, _ := ring.New[int](ring.Options{})
	audit, _ := r.Consume("audit", printer("audit"), ring.ConsumerOptions{})
	work, _ := r.Consume("work", printer("work"), ring.ConsumerOptions{After: []*ring.Consumer{audit}})
	_ = r.Start()
	_ = work.WaitFor(ctx, put(r, 10))
	fmt.Println(r.Leave(ctx, audit))
	put(r, 20)
	_ = r.Close(ctx)
	// Output:
	// audit 1 10
	// work 1 10
	// <nil>
	// work 2 20
}
