package shop

import (
	"fmt"
	"math"

	"github.com/vmihailenco/msgpack/v5"
	"github.com/vmihailenco/msgpack/v5/msgpcode"
)

// Payloads are msgpack arrays in the order of the fields, written without reflection. Fields are
// not named in them: a change of the fields is a new version of the event type.
//
//	order:     [source, row, rows, invoice, customer, country, time, lines]
//	lines:     array of [stock, description, quantity, price, seconds after the order's time]
//	answer:    [invoice, row, lines, amount, customer, country]
//	rejection: [invoice, row, lines, amount, customer, country, reason number, line]
const (
	orderFields     = 8
	lineFields      = 5
	answerFields    = 6
	rejectionFields = 8
)

// firstLines is how many lines are allocated before any of them has been seen.
const firstLines = 64

var (
	_ msgpack.CustomEncoder = (*PlaceOrder)(nil)
	_ msgpack.CustomDecoder = (*PlaceOrder)(nil)
	_ msgpack.CustomEncoder = (*OrderAccepted)(nil)
	_ msgpack.CustomDecoder = (*OrderAccepted)(nil)
	_ msgpack.CustomEncoder = (*OrderRejected)(nil)
	_ msgpack.CustomDecoder = (*OrderRejected)(nil)
)

// EncodeMsgpack writes o as one msgpack array. It fails as Check does. It does not allocate.
func (o *Order) EncodeMsgpack(e *msgpack.Encoder) error {
	if err := o.Check(); err != nil {
		return err
	}
	w := fieldWriter{e: e}
	w.array(orderFields)
	w.text(o.Source)
	w.int(o.Row)
	w.int(o.Rows)
	w.text(o.Invoice)
	w.text(o.Customer)
	w.text(o.Country)
	w.int(o.TimeUnix)
	w.array(len(o.Lines))
	for i := range o.Lines {
		l := &o.Lines[i]
		w.array(lineFields)
		w.text(l.Stock)
		w.text(l.Description)
		w.int(l.Quantity)
		w.int(l.PriceMilli)
		w.int(l.TimeUnix - o.TimeUnix)
	}
	return w.err
}

// DecodeMsgpack reads what EncodeMsgpack writes; anything else is an ErrPayload or fails as Check
// does, and o then holds anything. It uses o's lines again where they have room, and allocates the
// strings.
func (o *Order) DecodeMsgpack(d *msgpack.Decoder) error {
	r := fieldReader{d: d}
	r.array(orderFields)
	o.Source = r.text(maxSourceBytes)
	o.Row = r.int()
	o.Rows = r.int()
	o.Invoice = r.text(maxInvoiceBytes)
	o.Customer = r.text(maxCustomerBytes)
	o.Country = r.text(maxCountryBytes)
	o.TimeUnix = r.int()
	n := r.size(MaxLines)
	o.Lines = o.Lines[:0]
	if cap(o.Lines) == 0 {
		o.Lines = make([]Line, 0, min(n, firstLines))
	}
	for i := 0; i < n && r.err == nil; i++ {
		r.array(lineFields)
		l := Line{
			Stock:       r.text(maxStockBytes),
			Description: r.text(maxDescriptionBytes),
			Quantity:    r.int(),
			PriceMilli:  r.int(),
			TimeUnix:    r.int(),
		}
		var fits bool
		if l.TimeUnix, fits = addFits(o.TimeUnix, l.TimeUnix); !fits {
			r.fail("time of a line out of range")
		}
		o.Lines = append(o.Lines, l)
	}
	if r.err != nil {
		return r.err
	}
	return o.Check()
}

// EncodeMsgpack writes a as one msgpack array. It fails with an *OrderError when a field is beyond
// the limits of an order. It does not allocate.
func (a *Answer) EncodeMsgpack(e *msgpack.Encoder) error {
	if err := a.check(); err != nil {
		return err
	}
	w := fieldWriter{e: e}
	w.array(answerFields)
	w.answer(a)
	return w.err
}

// DecodeMsgpack reads what EncodeMsgpack writes; anything else is an ErrPayload or an
// *OrderError, and a then holds anything. It allocates the strings.
func (a *Answer) DecodeMsgpack(d *msgpack.Decoder) error {
	r := fieldReader{d: d}
	r.array(answerFields)
	r.answer(a)
	if r.err != nil {
		return r.err
	}
	return a.check()
}

// EncodeMsgpack writes r as one msgpack array. It fails with an *OrderError when a field is beyond
// the limits of an order or the reason is none of the list. It does not allocate.
func (r *Rejection) EncodeMsgpack(e *msgpack.Encoder) error {
	if err := r.check(); err != nil {
		return err
	}
	w := fieldWriter{e: e}
	w.array(rejectionFields)
	w.answer(&r.Answer)
	w.int(int64(r.Reason.number()))
	w.int(r.Line)
	return w.err
}

// DecodeMsgpack reads what EncodeMsgpack writes; anything else is an ErrPayload or an
// *OrderError, and r then holds anything. It allocates the strings.
func (r *Rejection) DecodeMsgpack(d *msgpack.Decoder) error {
	in := fieldReader{d: d}
	in.array(rejectionFields)
	in.answer(&r.Answer)
	number := in.int()
	r.Line = in.int()
	if in.err == nil && (number < 1 || number > int64(len(reasons))) {
		in.fail("reason %d is not known", number)
	}
	if in.err != nil {
		return in.err
	}
	r.Reason = reasons[number-1]
	return r.check()
}

// fieldWriter keeps the first error, so that fields can be written one after the other.
type fieldWriter struct {
	e   *msgpack.Encoder
	err error
}

func (w *fieldWriter) array(n int) {
	if w.err == nil {
		w.err = w.e.EncodeArrayLen(n)
	}
}

func (w *fieldWriter) text(s string) {
	if w.err == nil {
		w.err = w.e.EncodeString(s)
	}
}

// int writes the shortest form, whatever the encoder is set to.
func (w *fieldWriter) int(n int64) {
	if w.err == nil {
		w.err = w.e.EncodeInt(n)
	}
}

func (w *fieldWriter) answer(a *Answer) {
	w.text(a.Invoice)
	w.int(a.Row)
	w.int(a.Lines)
	w.int(a.AmountMilli)
	w.text(a.Customer)
	w.text(a.Country)
}

// fieldReader keeps the first error; from then on every value is zero.
type fieldReader struct {
	d   *msgpack.Decoder
	err error
}

func (r *fieldReader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrPayload, fmt.Sprintf(format, args...))
	}
}

func (r *fieldReader) note(err error) {
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("%w: %w", ErrPayload, err)
	}
}

// array reads the header of an array with n elements.
func (r *fieldReader) array(n int) {
	if got := r.size(math.MaxInt32); r.err == nil && got != n {
		r.fail("array of %d, expected %d", got, n)
	}
}

// size reads the header of an array with up to most elements.
func (r *fieldReader) size(most int) int {
	if r.err != nil {
		return 0
	}
	n, err := r.d.DecodeArrayLen()
	r.note(err)
	if r.err == nil && (n < 0 || n > most) {
		r.fail("array of %d, at most %d are allowed", n, most)
	}
	if r.err != nil {
		return 0
	}
	return n
}

func (r *fieldReader) int() int64 {
	if r.err != nil {
		return 0
	}
	switch code := r.code(); code {
	case msgpcode.Nil: // the decoder would take it for 0
		r.fail("nil where a number is expected")
		return 0
	case msgpcode.Uint64: // and would let this wrap
		n, err := r.d.DecodeUint64()
		r.note(err)
		if n > math.MaxInt64 {
			r.fail("%d does not fit an int64", n)
		}
		return int64(n)
	}
	n, err := r.d.DecodeInt64()
	r.note(err)
	return n
}

// code returns the first byte of the next value.
func (r *fieldReader) code() byte {
	code, err := r.d.PeekCode()
	r.note(err)
	return code
}

// text reads a string of up to most bytes.
func (r *fieldReader) text(most int) string {
	if r.err != nil {
		return ""
	}
	if code := r.code(); r.err == nil && !msgpcode.IsString(code) { // nil and binary would pass too
		r.fail("code %#x where a string is expected", code)
		return ""
	}
	s, err := r.d.DecodeString()
	r.note(err)
	if len(s) > most {
		r.fail("string of %d bytes, at most %d are allowed", len(s), most)
	}
	return s
}

func (r *fieldReader) answer(a *Answer) {
	a.Invoice = r.text(maxInvoiceBytes)
	a.Row = r.int()
	a.Lines = r.int()
	a.AmountMilli = r.int()
	a.Customer = r.text(maxCustomerBytes)
	a.Country = r.text(maxCountryBytes)
}
