package headrace_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"sync"
	"time"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
)

type Shipped struct{ Order string }

// subscriberTypes are the types of the examples about subscribing.
func subscriberTypes() *event.Registry {
	reg := event.NewRegistry()
	event.MustRegister[OrderPlaced](reg, "orders.placed", 1)
	event.MustRegister[Shipped](reg, "orders.shipped", 1)
	return reg
}

// opened opens an engine in a directory of its own, which goes when the example ends.
func opened(t *headrace.Topology) (eng *headrace.Engine, done func()) {
	dir, err := os.MkdirTemp("", "headrace-example-")
	if err != nil {
		log.Fatal(err)
	}
	if eng, err = headrace.Open(dir, t, headrace.Options{}); err != nil {
		log.Fatal(err)
	}
	return eng, func() {
		if err := eng.Close(context.Background()); err != nil {
			log.Fatal(err)
		}
		os.RemoveAll(dir)
	}
}

// put publishes one event for an order.
func put(eng *headrace.Engine, order string, v any) int64 {
	p, err := eng.Producer("web")
	if err != nil {
		log.Fatal(err)
	}
	seq, err := p.Publish(context.Background(), v, headrace.Meta{Key: order})
	if err != nil {
		log.Fatal(err)
	}
	return seq
}

// A read model of all that happens to orders, whatever types there are.
func ExampleTopology_filters() {
	t := headrace.NewTopology(subscriberTypes())
	counts := handlers.NewProjection("counts", &map[string]int{})
	handlers.ApplyFiltered(counts, handlers.Filter{Types: []string{"orders.*"}}, func(m *map[string]int, c *handlers.Context) error {
		(*m)[c.Type()]++
		return nil
	})
	t.Project(counts, headrace.LaneOptions{})
	eng, done := opened(t)
	defer done()
	put(eng, "17", OrderPlaced{"17", 990})
	put(eng, "18", OrderPlaced{"18", 450})
	last := put(eng, "17", Shipped{"17"})
	if err := counts.WaitFor(context.Background(), last); err != nil {
		log.Fatal(err)
	}
	counts.View(func(m *map[string]int, _ int64) { fmt.Println(*m) })
	// Output: map[orders.placed:2 orders.shipped:1]
}

// A mailer that gets what there is at once, and goes on behind it when it starts again.
func ExampleEngine_FollowBatch() {
	eng, done := opened(headrace.NewTopology(subscriberTypes()))
	defer done()
	put(eng, "17", OrderPlaced{"17", 990})
	put(eng, "18", OrderPlaced{"18", 450})
	last := put(eng, "17", Shipped{"17"})
	if err := eng.WaitDurable(context.Background(), last); err != nil {
		log.Fatal(err)
	}
	o := headrace.FollowOptions{Name: "mailer", Filter: handlers.Filter{Types: []string{"orders.placed"}}, Until: last}
	err := eng.FollowBatch(context.Background(), o, 100, func(_ context.Context, events []handlers.Delivery) error {
		fmt.Print("one mail about")
		for _, d := range events {
			fmt.Print(" order ", d.Event.Key())
		}
		fmt.Println()
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output: one mail about order 17 order 18
}

// Three members of a group share what comes; what happens to one order is handled in order.
func ExampleEngine_FollowShared() {
	eng, done := opened(headrace.NewTopology(subscriberTypes()))
	defer done()
	for _, order := range []string{"17", "18", "19"} {
		put(eng, order, OrderPlaced{order, 100})
	}
	last := put(eng, "17", Shipped{"17"})

	var mu sync.Mutex
	mails := map[string][]string{}
	o := headrace.FollowOptions{Name: "mailers", Until: last, Provisional: true}
	err := eng.FollowShared(context.Background(), o, 3, func(_ context.Context, d handlers.Delivery) error {
		mu.Lock()
		defer mu.Unlock()
		mails[d.Event.Key()] = append(mails[d.Event.Key()], d.Type)
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(mails)
	// Output: map[17:[orders.placed orders.shipped] 18:[orders.placed] 19:[orders.placed]]
}

// A late subscriber: what was journaled since a time, and then what comes.
func ExampleEngine_Follow_late() {
	eng, done := opened(headrace.NewTopology(subscriberTypes()))
	defer done()
	anHourAgo := time.Now().Add(-time.Hour)
	put(eng, "17", OrderPlaced{"17", 100})
	last := put(eng, "17", Shipped{"17"})
	o := headrace.FollowOptions{FromTime: anHourAgo, Until: last, Provisional: true}
	err := eng.Follow(context.Background(), o, func(_ context.Context, d handlers.Delivery) error {
		fmt.Println(d.Type)
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// orders.placed
	// orders.shipped
}

// A bridge from a queue outside, which delivers at least once, and after a restart goes on where the log is.
func ExampleEngine_Inbox() {
	eng, done := opened(headrace.NewTopology(subscriberTypes()))
	defer done()
	p, err := eng.Producer("bridge")
	if err != nil {
		log.Fatal(err)
	}
	for _, offset := range []int64{5, 6, 6, 5, 7} { // the queue delivers some again
		v := OrderPlaced{fmt.Sprint(offset), 100}
		m := headrace.Meta{Key: v.Order, Source: "queue/orders", SourceOffset: offset}
		if _, err := headrace.Publish(context.Background(), p, v, m); err != nil {
			log.Fatal(err)
		}
	}
	at, _ := eng.Inbox("queue/orders")
	fmt.Println("go on behind offset", at.Offset)
	fmt.Println(eng.Stats().Ring.Cursor-at.Sequence, "events behind it")
	// Output:
	// go on behind offset 7
	// 0 events behind it
}

// A read model stands still while somebody copies it, goes on, and is made anew while it is in use.
func ExampleEngine_Pause() {
	ctx := context.Background()
	t := headrace.NewTopology(subscriberTypes())
	sales := handlers.NewProjection("sales", &Sales{})
	handlers.Apply(sales, func(s *Sales, c *handlers.Context, e OrderPlaced) error {
		s.Orders++
		return nil
	})
	t.Project(sales, headrace.LaneOptions{})
	eng, done := opened(t)
	defer done()
	show := func() { sales.View(func(s *Sales, _ int64) { fmt.Println(s.Orders, "orders") }) }

	if err := eng.Pause("sales"); err != nil {
		log.Fatal(err)
	}
	last := put(eng, "17", OrderPlaced{"17", 100})
	show()
	if err := eng.Resume("sales"); err != nil {
		log.Fatal(err)
	}
	if err := sales.WaitFor(ctx, last); err != nil {
		log.Fatal(err)
	}
	show()
	if err := eng.Rebuild(ctx, "sales"); err != nil {
		log.Fatal(err)
	}
	show()
	// Output:
	// 0 orders
	// 1 orders
	// 1 orders
}
