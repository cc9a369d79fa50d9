package main

import (
	"fmt"

	"github.com/vmihailenco/msgpack/v5"
)

// order is the event of the engine scenarios: 128 bytes in msgpack, through an encoder of its own
// that every system uses.
type order struct {
	Number   uint64 // 1, 2, 3, …
	Customer uint64
	Amount   int64
	Price    int64
	Note     [noteBytes]byte
}

const (
	orderFields = 5
	orderBytes  = 128
	// An array's head of 1 byte, four numbers of 9, a byte string's head of 2.
	noteBytes      = orderBytes - 1 - 4*9 - 2
	orderCustomers = 1000
)

// newOrder makes order number i.
func newOrder(o *order, i int) {
	m := mix(uint64(i))
	o.Number, o.Customer, o.Amount = uint64(i), m%orderCustomers, int64(m>>40)
	o.Price = int64(mix(m) >> 44)
	o.Note[0], o.Note[noteBytes-1] = byte(m), byte(m>>8)
}

// EncodeMsgpack uses the long forms of numbers, so that all orders have the same size.
func (o *order) EncodeMsgpack(e *msgpack.Encoder) error {
	if err := e.EncodeArrayLen(orderFields); err != nil {
		return err
	}
	if err := e.EncodeUint64(o.Number); err != nil {
		return err
	}
	if err := e.EncodeUint64(o.Customer); err != nil {
		return err
	}
	if err := e.EncodeInt64(o.Amount); err != nil {
		return err
	}
	if err := e.EncodeInt64(o.Price); err != nil {
		return err
	}
	return e.EncodeBytes(o.Note[:])
}

// DecodeMsgpack does not allocate.
func (o *order) DecodeMsgpack(d *msgpack.Decoder) error {
	n, err := d.DecodeArrayLen()
	if err != nil {
		return err
	}
	if n != orderFields {
		return fmt.Errorf("order of %d fields, want %d", n, orderFields)
	}
	if o.Number, err = d.DecodeUint64(); err != nil {
		return err
	}
	if o.Customer, err = d.DecodeUint64(); err != nil {
		return err
	}
	if o.Amount, err = d.DecodeInt64(); err != nil {
		return err
	}
	if o.Price, err = d.DecodeInt64(); err != nil {
		return err
	}
	n, err = d.DecodeBytesLen()
	if err != nil {
		return err
	}
	if n != noteBytes {
		return fmt.Errorf("note of %d bytes, want %d", n, noteBytes)
	}
	return d.ReadFull(o.Note[:])
}

// ledger is the read model of the engine scenarios: what each customer ordered, and a sum over all
// orders in their order.
type ledger struct {
	totals map[uint64]int64
	orders int
	sum    uint64
}

func newLedger() *ledger { return &ledger{totals: make(map[uint64]int64, orderCustomers)} }

func (l *ledger) apply(o *order) {
	l.totals[o.Customer] += o.Amount * o.Price
	l.orders++
	l.sum = foldBody(l.sum*31+o.Number+o.Customer+uint64(o.Amount+31*o.Price), o.Note[:noteBytes&^7])
	l.sum += uint64(o.Note[noteBytes-1])
}

// orderSum is the sum in a ledger of the orders 1..w.Events.
func orderSum(w Work) uint64 {
	l, o := newLedger(), order{}
	for i := 1; i <= w.Events; i++ {
		newOrder(&o, i)
		l.apply(&o)
	}
	return l.sum
}
