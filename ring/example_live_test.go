package ring_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/headrace/headrace/ring"
)

// printer prints what it is given.
func printer(what string) ring.Handler[int] {
	return ring.HandlerFunc[int](func(first int64, span []int) error {
		for i, v := range span {
			fmt.Println(what, first+int64(i), v)
		}
		return nil
	})
}

// put publishes one event.
func put(r *ring.Ring[int], v int) int64 {
	seq, err := r.Claim(1)
	if err != nil {
		panic(err)
	}
	*r.Slot(seq) = v
	r.Publish(seq, seq)
	return seq
}

// PublishFunc claims, fills and publishes. What could not be filled is aborted, and no handler
// sees it.
func ExampleRing_PublishFunc() {
	r, _ := ring.New[int](ring.Options{})
	_, _ = r.Consume("print", printer("got"), ring.ConsumerOptions{})
	for _, text := range []string{"seven", "ab", "three"} {
		_, err := r.PublishFunc(1, func(_ int64, slots, _ []int) error {
			if len(text) != 5 {
				return errors.New("not five letters")
			}
			slots[0] = len(text)
			return nil
		})
		if err != nil {
			fmt.Println(text, "is", err)
		}
	}
	_ = r.Start()
	_ = r.Close(context.Background())
	// Output:
	// ab is not five letters
	// got 1 5
	// got 3 5
}

// Abort gives up a claim, or a part of one.
func ExampleRing_Abort() {
	r, _ := ring.New[int](ring.Options{})
	_, _ = r.Consume("print", printer("got"), ring.ConsumerOptions{})
	hi, _ := r.Claim(3)
	*r.Slot(hi) = 42
	r.Abort(hi-2, hi-1)
	r.Publish(hi, hi)
	_ = r.Start()
	_ = r.Close(context.Background())
	// Output: got 3 42
}

// A consumer that parks what its handler fails on, and goes on.
func ExampleErrorPolicy() {
	r, _ := ring.New[int](ring.Options{})
	c, _ := r.Consume("divide", ring.HandlerFunc[int](func(first int64, span []int) error {
		for i, v := range span {
			if v == 0 {
				return ring.At(first+int64(i), errors.New("division by zero"))
			}
			fmt.Println(100 / v)
		}
		return nil
	}), ring.ConsumerOptions{OnError: ring.ErrorPolicy{Action: ring.ParkOnError, Retries: 2}})
	for _, v := range []int{1, 0, 4} {
		put(r, v)
	}
	_ = r.Start()
	_ = r.Close(context.Background())
	for _, p := range r.Parked(c) {
		fmt.Println("parked", p.Sequence, p.Event, p.Err.Err)
	}
	// Output:
	// 100
	// 25
	// parked 2 0 sequence 2: division by zero
}

// A handler that wants a part of its span again.
func ExampleRewind() {
	r, _ := ring.New[int](ring.Options{})
	ready := false
	_, _ = r.Consume("c", ring.HandlerFunc[int](func(first int64, span []int) error {
		for i, v := range span {
			if v == 30 && !ready {
				ready = true
				return ring.Rewind(first + int64(i))
			}
			fmt.Println(first+int64(i), v)
		}
		return nil
	}), ring.ConsumerOptions{})
	for _, v := range []int{10, 20, 30} {
		put(r, v)
	}
	_ = r.Start()
	_ = r.Close(context.Background())
	// Output:
	// 1 10
	// 2 20
	// 3 30
}

// batches flushes once a batch, however many spans that is.
type batches struct{ written int }

func (b *batches) OnStart(c *ring.Consumer) error { fmt.Println(c.Name(), "starts"); return nil }
func (b *batches) OnBatch(lo, hi int64)           { fmt.Println("batch", lo, "to", hi) }
func (b *batches) OnStop(err error)               { fmt.Println("stops after", b.written, err) }

func (b *batches) HandleSpan(_ int64, span []int) error {
	b.written += len(span)
	return nil
}

// A handler with hooks is one that has their methods.
func ExampleBatchHandler() {
	r, _ := ring.New[int](ring.Options{})
	_, _ = r.Consume("file", new(batches), ring.ConsumerOptions{MaxBatch: 2})
	for v := range 5 {
		put(r, v)
	}
	_ = r.Start()
	_ = r.Close(context.Background())
	// Output:
	// file starts
	// batch 1 to 5
	// stops after 5 <nil>
}

// A poller has no goroutine: the caller comes and fetches.
func ExamplePoller() {
	r, _ := ring.New[int](ring.Options{Slots: 64})
	p, _ := r.Poller("game loop", ring.ConsumerOptions{})
	_ = r.Start()
	for v := range 3 {
		put(r, v*v)
	}
	for {
		first, span, err := p.Poll(2)
		if err != nil || len(span) == 0 {
			break
		}
		fmt.Println(first, span)
	}
	r.Halt()
	// Output:
	// 1 [0 1]
	// 3 [4]
}

// A poller as an iterator.
func ExamplePoller_Events() {
	r, _ := ring.New[int](ring.Options{})
	p, _ := r.Poller("loop", ring.ConsumerOptions{})
	_ = r.Start()
	for v := range 3 {
		put(r, v*v)
	}
	for seq, event := range p.Events(context.Background()) {
		fmt.Println(seq, *event)
		if seq == 3 {
			break
		}
	}
	r.Halt()
	// Output:
	// 1 0
	// 2 1
	// 3 4
}

// A consumer joins at an event that is still in the ring, and leaves.
func ExampleRing_Join() {
	ctx := context.Background()
	r, _ := ring.New[int](ring.Options{Slots: 64})
	quiet := ring.HandlerFunc[int](func(int64, []int) error { return nil })
	always, _ := r.Consume("always there", quiet, ring.ConsumerOptions{})
	_ = r.Start()
	for v := range 5 {
		put(r, 10*v)
	}
	late, err := r.Join(ctx, "late", printer("late"), ring.ConsumerOptions{From: 4})
	if err != nil {
		panic(err)
	}
	_ = late.WaitFor(ctx, 5)
	_ = r.Leave(ctx, late)
	_ = always.WaitFor(ctx, put(r, 50))
	_ = r.Close(ctx)
	// Output:
	// late 4 30
	// late 5 40
}

// Two lanes share the work; orders of one customer stay in order.
func ExampleRing_Share() {
	type order struct{ customer, number int }
	r, _ := ring.New[order](ring.Options{})
	done := make([][]int, 3) // by customer: each is written by one lane only
	lane := ring.HandlerFunc[order](func(_ int64, span []order) error {
		for _, o := range span {
			done[o.customer] = append(done[o.customer], o.number)
		}
		return nil
	})
	lanes, _ := r.Share("orders", func(o *order) uint64 { return uint64(o.customer) },
		[]ring.Handler[order]{lane, lane}, ring.ConsumerOptions{})
	_ = r.Start()
	for n := range 9 {
		_, _ = r.PublishFunc(1, func(_ int64, a, _ []order) error {
			a[0] = order{customer: n % 3, number: n}
			return nil
		})
	}
	_ = r.Close(context.Background())
	fmt.Println(done, len(lanes.Lanes()))
	// Output: [[0 3 6] [1 4 7] [2 5 8]] 2
}

// A group gets one more lane while events flow.
func ExampleShared_JoinLane() {
	r, _ := ring.New[int](ring.Options{})
	var handled atomic.Int64
	lane := ring.HandlerFunc[int](func(_ int64, span []int) error {
		handled.Add(int64(len(span)))
		return nil
	})
	group, _ := r.Share("work", func(v *int) uint64 { return uint64(*v) }, []ring.Handler[int]{lane}, ring.ConsumerOptions{})
	_ = r.Start()
	put(r, 1)
	put(r, 2)
	index, err := group.JoinLane(context.Background(), lane)
	fmt.Println(index, err)
	put(r, 3)
	put(r, 4)
	_ = group.LeaveLane(context.Background(), 0)
	put(r, 5)
	_ = r.Close(context.Background())
	fmt.Println(handled.Load(), group.Lanes()[0].Name())
	// Output:
	// 1 <nil>
	// 5 work/1
}

// The graph with its lags, for Graphviz.
func ExampleStats_DOT() {
	r, _ := ring.New[int](ring.Options{Slots: 8})
	a, _ := r.Consume("journal", printer(""), ring.ConsumerOptions{})
	_, _ = r.Consume("logic", printer(""), ring.ConsumerOptions{After: []*ring.Consumer{a}})
	put(r, 1)
	for _, line := range strings.Split(r.Stats().DOT(), "\n") {
		if strings.Contains(line, "->") || strings.Contains(line, "label") {
			fmt.Println(strings.TrimSpace(line))
		}
	}
	// Output:
	// ring [shape=cylinder, label="ring of 8\ncursor 1\nfree 7"];
	// c0 [label="journal\ncursor 0\nlag 1"];
	// c1 [label="logic\ncursor 0\nlag 1"];
	// ring -> c0;
	// c0 -> c1;
	// c1 -> ring [style=dashed, constraint=false];
}

// The same as JSON, for a monitor.
func ExampleStats_json() {
	r, _ := ring.New[int](ring.Options{Slots: 8})
	_, _ = r.Consume("journal", printer(""), ring.ConsumerOptions{})
	put(r, 1)
	b, err := json.Marshal(r.Stats())
	if err != nil {
		fmt.Println(err)
		return
	}
	var seen struct {
		Slots, Cursor, Remaining int64
		Consumers                []struct {
			Name string
			Lag  int64
		}
	}
	_ = json.Unmarshal(b, &seen)
	fmt.Printf("%+v\n", seen)
	// Output: {Slots:8 Cursor:1 Remaining:7 Consumers:[{Name:journal Lag:1}]}
}

// Which claimed slots does everybody wait for?
func ExampleRing_Unpublished() {
	r, _ := ring.New[int](ring.Options{})
	_, _ = r.Claim(2)
	put(r, 3)
	for _, u := range r.Unpublished(10) {
		fmt.Println(u.Lo, u.Hi)
	}
	// Output: 1 2
}

// Slots that keep nothing alive.
func ExampleClear() {
	r, _ := ring.New[string](ring.Options{})
	print, _ := r.Consume("print", ring.HandlerFunc[string](func(_ int64, span []string) error {
		fmt.Println(span)
		return nil
	}), ring.ConsumerOptions{})
	if r.HasPointers() {
		_, _ = r.Consume("clear", ring.Clear[string](nil), ring.ConsumerOptions{After: []*ring.Consumer{print}})
	}
	_, _ = r.PublishFunc(1, func(_ int64, a, _ []string) error { a[0] = "large"; return nil })
	_ = r.Start()
	_ = r.Close(context.Background())
	fmt.Printf("%q\n", *r.Slot(1))
	// Output:
	// [large]
	// ""
}
