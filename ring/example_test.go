package ring_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/headrace/headrace/ring"
)

type order struct {
	ID    int64
	Cents int64
}

// A producer, and two consumers of which the second sees an event only after the first.
func Example() {
	r, err := ring.New[order](ring.Options{Slots: 1024, Producers: ring.SingleProducer})
	if err != nil {
		panic(err)
	}
	priced, err := r.Consume("price", ring.HandlerFunc[order](func(_ int64, span []order) error {
		for i := range span {
			span[i].Cents = span[i].ID * 100
		}
		return nil
	}), ring.ConsumerOptions{})
	if err != nil {
		panic(err)
	}
	var total int64
	_, err = r.Consume("total", ring.HandlerFunc[order](func(_ int64, span []order) error {
		for _, o := range span {
			total += o.Cents
		}
		return nil
	}), ring.ConsumerOptions{After: []*ring.Consumer{priced}})
	if err != nil {
		panic(err)
	}
	if err := r.Start(); err != nil {
		panic(err)
	}

	for id := range int64(10) {
		seq, err := r.Claim(1)
		if err != nil {
			panic(err)
		}
		*r.Slot(seq) = order{ID: id + 1}
		r.Publish(seq, seq)
	}

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := r.Close(ctx); err != nil { // everything published is handled now
		panic(err)
	}
	fmt.Println(total)
	// Output: 5500
}

// A batch is claimed at once, and consumers learn of it at once.
func ExampleRing_Claim_batch() {
	r, _ := ring.New[int](ring.Options{Slots: 8})
	_, _ = r.Consume("print", ring.HandlerFunc[int](func(first int64, span []int) error {
		fmt.Println(first, span)
		return nil
	}), ring.ConsumerOptions{MaxBatch: 8})

	hi, _ := r.Claim(3)
	for seq := hi - 2; seq <= hi; seq++ {
		*r.Slot(seq) = int(seq * 10)
	}
	r.Publish(hi-2, hi)

	_ = r.Start()
	_ = r.Close(context.Background())
	// Output: 1 [10 20 30]
}

// A full ring refuses TryClaim, and makes Claim wait.
func ExampleRing_TryClaim() {
	r, _ := ring.New[int](ring.Options{Slots: 2})
	for range 3 {
		seq, err := r.TryClaim(1)
		if errors.Is(err, ring.ErrFull) {
			fmt.Println("full")
			break
		}
		r.Publish(seq, seq)
		fmt.Println(seq)
	}
	// Output:
	// 1
	// 2
	// full
}

// A handler that fails halts the ring, and everybody learns who it was and where.
func ExampleConsumerError() {
	r, _ := ring.New[int](ring.Options{})
	_, _ = r.Consume("fragile", ring.HandlerFunc[int](func(int64, []int) error {
		return errors.New("no more ink")
	}), ring.ConsumerOptions{})
	_ = r.Start()
	seq, _ := r.Claim(1)
	r.Publish(seq, seq)
	<-r.Done()

	_, err := r.Claim(1)
	var failed *ring.ConsumerError
	fmt.Println(errors.Is(err, ring.ErrHalted), errors.As(err, &failed))
	fmt.Println(failed.Consumer, failed.Sequence, failed.Err)
	// Output:
	// true true
	// fragile 1 no more ink
}

// Reading one's own write: wait until a consumer has handled an event.
func ExampleConsumer_WaitFor() {
	r, _ := ring.New[int](ring.Options{})
	total := 0
	sum, _ := r.Consume("sum", ring.HandlerFunc[int](func(_ int64, span []int) error {
		for _, v := range span {
			total += v
		}
		return nil
	}), ring.ConsumerOptions{})
	_ = r.Start()
	defer r.Halt()

	seq, _ := r.Claim(1)
	*r.Slot(seq) = 42
	r.Publish(seq, seq)
	if err := sum.WaitFor(context.Background(), seq); err != nil {
		panic(err)
	}
	fmt.Println(total)
	// Output: 42
}
