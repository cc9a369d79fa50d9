package event_test

import (
	"fmt"
	"time"

	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/event/pack"
)

// OrderPlaced goes through reflection: nothing to write.
type OrderPlaced struct {
	Article  string `json:"article"`
	Quantity int    `json:"quantity"`
}

// An event is encoded once, into its slot, and read in place.
func Example() {
	types := event.NewRegistry()
	placed := event.MustRegister[OrderPlaced](types, "order.placed", 1)

	slot := make([]byte, 0, 256)
	body, err := event.AppendHeader(slot, &event.Header{
		ID:   event.IDFromName("order/536365"),
		Time: time.Date(2010, 12, 1, 8, 26, 0, 0, time.UTC).UnixNano(),
		Key:  "536365",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if body, err = placed.AppendPayload(body, &OrderPlaced{"85123A", 6}); err != nil {
		fmt.Println(err)
		return
	}

	view, err := event.Parse(body)
	if err != nil {
		fmt.Println(err)
		return
	}
	var order OrderPlaced
	if err := placed.DecodeView(view, &order); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(view.Key(), order.Article, order.Quantity)
	// Output: 536365 85123A 6
}

// StockReserved writes its own msgpack: no reflection, no allocation.
type StockReserved struct {
	Article  string
	Quantity int64
}

func (s *StockReserved) AppendMsgpack(dst []byte) ([]byte, error) {
	dst = pack.AppendArrayHeader(dst, 2)
	dst = pack.AppendString(dst, s.Article)
	return pack.AppendInt(dst, s.Quantity), nil
}

func (s *StockReserved) DecodeMsgpackBytes(payload []byte) error {
	r := pack.NewReader(payload)
	r.Tuple(2)
	s.Article = r.Str()
	s.Quantity = r.Int64()
	return r.Close()
}

func ExamplePayloadAppender() {
	types := event.NewRegistry()
	reserved := event.MustRegister[StockReserved](types, "stock.reserved", 1)
	payload, err := reserved.AppendPayload(nil, &StockReserved{"85123A", 6})
	fmt.Printf("%x %v\n", payload, err)
	var back StockReserved
	err = reserved.Decode(payload, &back)
	fmt.Println(back, err)
	err = reserved.Decode(payload[:3], &back)
	fmt.Println(err)
	// Output:
	// 92a638353132334106 <nil>
	// {85123A 6} <nil>
	// event: decode stock.reserved: event: malformed at offset 1: pack: input ends inside a value
}

func ExampleAppendJSON() {
	types := event.NewRegistry()
	placed := event.MustRegister[OrderPlaced](types, "order.placed", 1)
	body, _ := event.AppendHeader(nil, &event.Header{ID: event.IDFromName("order/1"), Producer: "shop"})
	body, _ = placed.AppendPayload(body, &OrderPlaced{"85123A", 6})
	view, _ := event.Parse(body)
	text, err := event.AppendJSON(nil, types, "order.placed", 1, view)
	fmt.Println(string(text), err)
	// Output:
	// {"eventId":"001a8546-25d9-8a51-938e-eb7fd038a6ca","eventType":"order.placed","eventVersion":"1.0","timestamp":"1970-01-01T00:00:00Z","sequence":1,"producer":"shop","kind":"notification","data":{"article":"85123A","quantity":6}} <nil>
}

// A type moves from version 1 to 2; what the log holds of version 1 is lifted when it is read.
func ExampleRegistry_Upcast() {
	types := event.NewRegistry()
	placed := event.MustRegister[OrderPlaced](types, "order.placed", 2)
	old, _ := pack.AppendValue(nil, map[string]any{"Sku": "85123A", "Quantity": 6})

	var order OrderPlaced
	fmt.Println(placed.DecodeVersion(1, old, &order))

	err := types.Upcast("order.placed", 1, event.UpcastMap(func(fields map[string]any) error {
		fields["Article"] = fields["Sku"]
		delete(fields, "Sku")
		return nil
	}))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(placed.DecodeVersion(1, old, &order), order)
	// Output:
	// event: decode order.placed: event: order.placed has version 1, the registered version is 2, and no upcaster leads from 1 to 2
	// <nil> {85123A 6}
}

// The same reaction to the same event has the same id, today and on replay.
func ExampleDeriveID() {
	cause := event.IDFromName("order/536365")
	first := event.DeriveID(event.HandlerID("validate"), cause, 0)
	again := event.DeriveID(event.HandlerID("validate"), cause, 0)
	fmt.Println(first == again)
	// Output: true
}

func ExampleCatalog() {
	var c event.Catalog
	id, isNew, err := c.Assign("order.placed")
	fmt.Println(id, isNew, err)
	fmt.Println(c.Learn(16, "order.cancelled"))
	// Output:
	// 16 true <nil>
	// event: catalog conflict: id 16 is "order.placed", not "order.cancelled"
}
