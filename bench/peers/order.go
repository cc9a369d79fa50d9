package main

import (
	"encoding/binary"
	"fmt"

	"github.com/headrace/headrace/event/pack"
)

// order is the event of the engine scenarios: 128 bytes in msgpack, through an encoder written by hand
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

// The numbers take the long forms of msgpack, so that all orders have the same size.
const (
	msgpackUint64 = 0xcf
	msgpackInt64  = 0xd3
)

// AppendMsgpack is what headrace calls, and by hand every other system too.
func (o *order) AppendMsgpack(dst []byte) ([]byte, error) {
	dst = pack.AppendArrayHeader(dst, orderFields)
	dst = binary.BigEndian.AppendUint64(append(dst, msgpackUint64), o.Number)
	dst = binary.BigEndian.AppendUint64(append(dst, msgpackUint64), o.Customer)
	dst = binary.BigEndian.AppendUint64(append(dst, msgpackInt64), uint64(o.Amount))
	dst = binary.BigEndian.AppendUint64(append(dst, msgpackInt64), uint64(o.Price))
	return pack.AppendBytes(dst, o.Note[:]), nil
}

// DecodeMsgpackBytes does not allocate.
func (o *order) DecodeMsgpackBytes(payload []byte) error {
	r := pack.NewReader(payload)
	r.Tuple(orderFields)
	o.Number, o.Customer = r.Uint64(), r.Uint64()
	o.Amount, o.Price = r.Int64(), r.Int64()
	note := r.View()
	if err := r.Close(); err != nil {
		return err
	}
	if len(note) != noteBytes {
		return fmt.Errorf("note of %d bytes, want %d", len(note), noteBytes)
	}
	copy(o.Note[:], note)
	return nil
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
