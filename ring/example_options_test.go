package ring_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/headrace/headrace/ring"
)

// A handler that releases a part of its span lets those behind it go on before it returns.
func ExampleConsumer_Release() {
	r, _ := ring.New[int](ring.Options{})
	var write, acknowledge *ring.Consumer
	write, _ = r.Consume("write", ring.HandlerFunc[int](func(first int64, span []int) error {
		for i := range span {
			seq := first + int64(i)
			fmt.Println("write", seq)
			if seq == 2 { // so much is written: no need to wait for the rest of the span
				write.Release(seq)
				if err := acknowledge.WaitFor(context.Background(), seq); err != nil {
					return err
				}
			}
		}
		return nil
	}), ring.ConsumerOptions{})
	acknowledge, _ = r.Consume("acknowledge", printer("acknowledge"), ring.ConsumerOptions{After: []*ring.Consumer{write}})
	for v := range 3 {
		put(r, 10*v)
	}
	_ = r.Start()
	_ = r.Close(context.Background())
	// Output:
	// write 1
	// write 2
	// acknowledge 1 0
	// acknowledge 2 10
	// write 3
	// acknowledge 3 20
}

// MaxBatch cuts what is readable at once into spans; what is handled becomes visible after each.
func ExampleConsumerOptions_maxBatch() {
	r, _ := ring.New[int](ring.Options{})
	_, _ = r.Consume("print", ring.HandlerFunc[int](func(first int64, span []int) error {
		fmt.Println(first, span)
		return nil
	}), ring.ConsumerOptions{MaxBatch: 2})
	for v := range 5 {
		put(r, v)
	}
	_ = r.Start()
	_ = r.Close(context.Background())
	// Output:
	// 1 [0 1]
	// 3 [2 3]
	// 5 [4]
}

// Before puts a newcomer in front of a consumer that is at work already.
func ExampleConsumerOptions_before() {
	ctx := context.Background()
	r, _ := ring.New[int](ring.Options{})
	send, _ := r.Consume("send", printer("send"), ring.ConsumerOptions{})
	_ = r.Start()
	_ = send.WaitFor(ctx, put(r, 10))

	_, err := r.Join(ctx, "check", printer("check"), ring.ConsumerOptions{Before: []*ring.Consumer{send}})
	if err != nil {
		panic(err)
	}
	put(r, 20)
	_ = r.Close(ctx)
	// Output:
	// send 1 10
	// check 2 20
	// send 2 20
}

// An event that producers may have overwritten is gone, and the error says so.
func ExampleGoneError() {
	ctx := context.Background()
	r, _ := ring.New[int](ring.Options{Slots: 4})
	all, _ := r.Consume("all", ring.HandlerFunc[int](func(int64, []int) error { return nil }), ring.ConsumerOptions{})
	_ = r.Start()
	for v := range 6 {
		_ = all.WaitFor(ctx, put(r, v))
	}
	_, err := r.Join(ctx, "late", printer("late"), ring.ConsumerOptions{From: 1})
	var gone *ring.GoneError
	fmt.Println(errors.As(err, &gone))
	fmt.Println("wanted", gone.From)
	_, err = r.Join(ctx, "late", printer("late"), ring.ConsumerOptions{From: 5})
	fmt.Println(err)
	_ = r.Close(ctx)
	// Output:
	// true
	// wanted 1
	// <nil>
	// late 5 4
	// late 6 5
}

// Producers, and consumers that have no strategy of their own, wait as Options.Wait says.
func ExampleWaitStrategy() {
	r, _ := ring.New[int](ring.Options{Wait: ring.WaitPark()})
	var last []*ring.Consumer
	for _, wait := range []ring.WaitStrategy{
		{},               // as the ring: parks
		ring.WaitYield(), // never sleeps, shares its processor
		ring.WaitSleep(), // wakes up by itself, and never costs a producer more than a store
	} {
		c, err := r.Consume(wait.String(), printer(wait.String()), ring.ConsumerOptions{Wait: wait, After: last})
		if err != nil {
			panic(err)
		}
		last = []*ring.Consumer{c}
	}
	_ = r.Start()
	_ = last[0].WaitFor(context.Background(), put(r, 42))
	_ = r.Close(context.Background())
	// Output:
	// default 1 42
	// yield 1 42
	// sleep 1 42
}

// A consumer that spins has a thread of its own, and with CPUs, on Linux, a processor.
func ExamplePin() {
	r, _ := ring.New[int](ring.Options{})
	_, err := r.Consume("spinner", printer("spinner"), ring.ConsumerOptions{
		Wait: ring.WaitSpin(),
		Pin:  ring.Pin{Thread: true},
	})
	fmt.Println(err)
	_, err = r.Consume("nowhere", printer("nowhere"), ring.ConsumerOptions{Pin: ring.Pin{CPUs: []int{-1}}})
	var option *ring.OptionError
	fmt.Println(errors.As(err, &option) && option.Field == "Pin.CPUs")

	put(r, 42)
	_ = r.Start()
	_ = r.Close(context.Background())
	// Output:
	// <nil>
	// true
	// spinner 1 42
}
