package ring_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/headrace/headrace/ring"
)

// ledger accounts for every sequence.
type ledger struct{}

func (ledger) HandleSpan(first int64, span []int) error {
	fmt.Println("from", first, span)
	return nil
}

func (ledger) OnAbort(lo, hi int64) error {
	fmt.Println("void", lo, "to", hi)
	return nil
}

// A handler that must account for every sequence learns of aborted ones, in order.
func ExampleAbortHandler() {
	r, _ := ring.New[int](ring.Options{})
	_, _ = r.Consume("ledger", ledger{}, ring.ConsumerOptions{})
	put(r, 10)
	hi, _ := r.Claim(2)
	r.Abort(hi-1, hi)
	put(r, 40)
	_ = r.Start()
	_ = r.Close(context.Background())
	// Output:
	// from 1 [10]
	// void 2 to 3
	// from 4 [40]
}

// divider keeps what it cannot do in a file of its own.
type divider struct{ file []string }

func (d *divider) HandleSpan(first int64, span []int) error {
	for i, v := range span {
		if v == 0 {
			return ring.At(first+int64(i), errors.New("division by zero"))
		}
		fmt.Println(100 / v)
	}
	return nil
}

func (d *divider) Park(seq int64, event *int, cause *ring.ConsumerError) error {
	d.file = append(d.file, fmt.Sprint(seq, " ", *event, " ", errors.Unwrap(cause.Err)))
	return nil
}

// Events that fail go where the handler puts them.
func ExampleParkHandler() {
	r, _ := ring.New[int](ring.Options{})
	d := new(divider)
	_, _ = r.Consume("divide", d, ring.ConsumerOptions{OnError: ring.ErrorPolicy{Action: ring.ParkOnError}})
	for _, v := range []int{1, 0, 4} {
		put(r, v)
	}
	_ = r.Start()
	_ = r.Close(context.Background())
	fmt.Println(d.file)
	// Output:
	// 100
	// 25
	// [2 0 division by zero]
}
