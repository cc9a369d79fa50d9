package ring_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/headrace/headrace/ring"
)

// A loop that publishes single events uses a Producer: Next, Slot and Publish are inlined.
func ExampleRing_Producer() {
	r, err := ring.New[int](ring.Options{Producers: ring.SingleProducer})
	if err != nil {
		fmt.Println(err)
		return
	}
	sum := 0
	_, err = r.Consume("sum", ring.HandlerFunc[int](func(_ int64, span []int) error {
		for _, v := range span {
			sum += v
		}
		return nil
	}), ring.ConsumerOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := r.Start(); err != nil {
		fmt.Println(err)
		return
	}
	p := r.Producer()
	for v := range 101 {
		seq, err := p.Next()
		if err != nil {
			fmt.Println(err)
			return
		}
		*p.Slot(seq) = v
		p.Publish(seq, seq)
	}
	if err := r.Close(context.Background()); err != nil {
		fmt.Println(err)
	}
	fmt.Println(sum)
	// Output: 5050
}

// A claim that ends with its context.
func ExampleRing_ClaimContext() {
	r, err := ring.New[int](ring.Options{Slots: 2})
	if err != nil {
		fmt.Println(err)
		return
	}
	put(r, 1)
	put(r, 2) // full, and nobody reads yet
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = r.ClaimContext(ctx, 1)
	fmt.Println(err)
	// Output: context canceled
}

// A producer that would rather drop an event than wait for long.
func ExampleRing_ClaimUntil() {
	r, err := ring.New[int](ring.Options{Slots: 2})
	if err != nil {
		fmt.Println(err)
		return
	}
	for v := range 3 { // nobody reads yet
		seq, err := r.ClaimUntil(time.Now().Add(time.Millisecond), 1)
		if errors.Is(err, context.DeadlineExceeded) {
			fmt.Println("dropped", v)
			continue
		}
		*r.Slot(seq) = v
		r.Publish(seq, seq)
	}
	// Output: dropped 2
}
