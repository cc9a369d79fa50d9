package audit_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/audit"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/headracetest"
)

func Example() {
	ctx := context.Background()
	top := headrace.NewTopology(types())
	handlers.On(top.Logic(), "orders", func(c *handlers.Context, p placeOrder) error {
		return handlers.Emit(c, orderPlaced{p.Order})
	})
	parent, _ := os.MkdirTemp("", "audit")
	defer os.RemoveAll(parent)
	dir := filepath.Join(parent, "log")
	eng, err := headrace.Open(dir, top, headrace.Options{Clock: headracetest.NewClock(start)})
	if err != nil {
		panic(err)
	}
	web, _ := eng.Producer("web")
	headrace.Publish(ctx, web, placeOrder{Order: "17"}, headrace.Meta{Key: "order-17", ID: c1})
	eng.Close(ctx)

	log, err := audit.Open(dir, audit.Options{Registry: types()})
	if err != nil {
		panic(err)
	}
	err = log.Events(ctx, audit.Query{Key: "order-17"}, func(e audit.Entry) error {
		fmt.Println(e.Type, "by", e.Who(), "at", e.Journaled.Format("15:04"))
		return nil
	})
	if err != nil {
		panic(err)
	}
	tree, err := log.Trace(ctx, c1, audit.TraceOptions{MaxDataBytes: -1})
	if err != nil {
		panic(err)
	}
	sequences := regexp.MustCompile(`\b\d+  2030`)
	fmt.Print(sequences.ReplaceAllString(string(tree.AppendText(nil)[len("conversation "+c1.String()+": 2 events, 6 to 7\n"):]), "N  2030"))
	// Output:
	// shop.place-order by web at 12:00
	// shop.order-placed by handler orders at 12:00
	// N  2030-01-01T12:00:00Z  shop.place-order  command by web  key order-17
	// └─ N  2030-01-01T12:00:00Z  shop.order-placed  by handler orders  key order-17
}
