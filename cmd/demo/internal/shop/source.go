package shop

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/headrace/headrace/event/pack"
)

// Source gives orders in a fixed order and can go on at any row that an order begins with. A
// Source belongs to one goroutine.
type Source interface {
	// Name says where orders come from. It is equal for the same source in another process, and
	// differs for another file or seed as far as can be told; every order carries it.
	Name() string

	// SkipTo makes Next go on at row, from 1. It must not lie before the row that Next would go on
	// at. Row Rows()+1, the end, is fine: Next returns io.EOF; beyond it is an ErrShort.
	SkipTo(row int64) error

	// Next fills o with the next order, whose Check is nil, and returns nil; io.EOF at the end,
	// only there. Lines of o are used again where they have room; its strings stay as they are.
	Next(o *Order) error

	// Rows returns how many rows there are in all, 0 if that is not known yet.
	Rows() int64
}

// Position is where an import stands. The zero Position is the beginning. A copy of it goes its own
// way. It is not safe for concurrent use.
type Position struct {
	source string
	next   int64 // row; 0 = 1
	orders int64
	digest [sha256.Size]byte // over all orders so far, each chained to those before it
}

// Observe moves the position behind o. Feed it with every order in the log, in order: it fails
// with ErrSource when o comes from another source, and with ErrGap when o does not begin where the
// one before it ended, and then stays as it was. o must pass Order.Check.
func (p *Position) Observe(o *Order) error {
	payload, err := o.AppendMsgpack(make([]byte, 0, 1024)) // on the stack; most orders fit
	if err != nil {
		return err
	}
	return p.ObservePayload(payload)
}

// ObservePayload is Observe for an order as Order.AppendMsgpack has encoded it. It reads the beginning of the payload and
// takes the rest as it is, which is a fraction of the work of decoding it. It fails with ErrPayload where the beginning is
// none of an order's.
func (p *Position) ObservePayload(payload []byte) error {
	r := fieldReader{in: pack.NewReader(payload)}
	r.in.Tuple(orderFields)
	source := r.text(maxSourceBytes)
	row, rows := r.in.Int64(), r.in.Int64()
	invoice := r.text(maxInvoiceBytes)
	if r.bad() == nil && (row < 1 || row > MaxRow || rows < 1 || rows > MaxLines || len(source) == 0) {
		r.fail("row %d, rows %d, source %q", row, rows, source)
	}
	if err := r.failure(); err != nil {
		return err
	}
	if p.source != "" && string(source) != p.source {
		return fmt.Errorf("%w: order %q is from %q, those before it from %q", ErrSource, invoice, source, p.source)
	}
	if row != p.Next() {
		return fmt.Errorf("%w: order %q starts at row %d, expected %d", ErrGap, invoice, row, p.Next())
	}
	if p.source == "" {
		p.source = string(source)
	}
	p.next = row + rows
	p.orders++
	p.digest = chain(p.digest, payload)
	return nil
}

// chain returns a digest of an order and of previous.
func chain(previous [sha256.Size]byte, payload []byte) [sha256.Size]byte {
	b := make([]byte, 0, 1024) // on the stack; most orders fit
	return sha256.Sum256(append(append(b, previous[:]...), payload...))
}

// Next returns the row to go on at, from 1.
func (p *Position) Next() int64 { return max(p.next, 1) }

// Orders returns how many orders were observed.
func (p *Position) Orders() int64 { return p.orders }

// Source returns the name of the source so far, "" before the first order.
func (p *Position) Source() string { return p.source }

// Resume moves s, which must be at its first row, to the position. It fails with ErrSource when s
// is not the source of the orders so far, and with ErrShort when s ends before.
//
// The name of a Generator says all about its orders, so it is skipped; any other source is read up to
// the position and compared, for a file may have been changed anywhere.
func (p *Position) Resume(s Source) error {
	if p.source == "" {
		return nil
	}
	if p.source != s.Name() {
		return fmt.Errorf("%w: the log holds orders from %q, the input is %q; go on with the same input, or use another directory",
			ErrSource, p.source, s.Name())
	}
	if g, ok := s.(*Generator); ok {
		return g.SkipTo(p.Next())
	}
	var again Position
	var o Order
	for again.orders < p.orders && again.next < p.next {
		err := s.Next(&o)
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("%w: the log goes on at row %d, the input ends after row %d", ErrShort, p.Next(), again.Next()-1)
		}
		if err != nil {
			return err
		}
		if err := again.Observe(&o); err != nil {
			return err
		}
	}
	if again != *p {
		return fmt.Errorf("%w: the input was changed: its rows up to %d are not those in the log; go on with the same input, or use another directory",
			ErrSource, p.Next()-1)
	}
	return nil
}
