package shop

import (
	"fmt"

	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/event/pack"
)

// Payloads are msgpack arrays in the order of the fields, written and read with package pack. Fields are
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
	_ event.PayloadAppender = (*PlaceOrder)(nil)
	_ event.PayloadDecoder  = (*PlaceOrder)(nil)
	_ event.PayloadAppender = (*OrderAccepted)(nil)
	_ event.PayloadDecoder  = (*OrderAccepted)(nil)
	_ event.PayloadAppender = (*OrderRejected)(nil)
	_ event.PayloadDecoder  = (*OrderRejected)(nil)
)

// AppendMsgpack appends o as one msgpack array. It fails as Check does. It allocates only if dst must grow.
func (o *Order) AppendMsgpack(dst []byte) ([]byte, error) {
	if err := o.Check(); err != nil {
		return dst, err
	}
	dst = pack.AppendArrayHeader(dst, orderFields)
	dst = pack.AppendString(dst, o.Source)
	dst = pack.AppendInt(dst, o.Row)
	dst = pack.AppendInt(dst, o.Rows)
	dst = pack.AppendString(dst, o.Invoice)
	dst = pack.AppendString(dst, o.Customer)
	dst = pack.AppendString(dst, o.Country)
	dst = pack.AppendInt(dst, o.TimeUnix)
	dst = pack.AppendArrayHeader(dst, len(o.Lines))
	for i := range o.Lines {
		l := &o.Lines[i]
		dst = pack.AppendArrayHeader(dst, lineFields)
		dst = pack.AppendString(dst, l.Stock)
		dst = pack.AppendString(dst, l.Description)
		dst = pack.AppendInt(dst, l.Quantity)
		dst = pack.AppendInt(dst, l.PriceMilli)
		dst = pack.AppendInt(dst, l.TimeUnix-o.TimeUnix)
	}
	return dst, nil
}

// DecodeMsgpackBytes reads what AppendMsgpack writes; anything else is an ErrPayload or fails as Check
// does, and o then holds anything. It uses o's lines again where they have room, and allocates them where they have
// none, the invoice number, and texts that were not seen lately.
func (o *Order) DecodeMsgpackBytes(payload []byte) error {
	r := fieldReader{in: pack.NewReader(payload)}
	r.in.Tuple(orderFields)
	o.Source = r.name(maxSourceBytes)
	o.Row = r.in.Int64()
	o.Rows = r.in.Int64()
	o.Invoice = string(r.text(maxInvoiceBytes))
	o.Customer = r.name(maxCustomerBytes)
	o.Country = r.name(maxCountryBytes)
	o.TimeUnix = r.in.Int64()
	n := r.in.ArrayHeader()
	if n > MaxLines {
		r.fail("array of %d, at most %d are allowed", n, MaxLines)
	}
	o.Lines = o.Lines[:0]
	if cap(o.Lines) == 0 && r.bad() == nil {
		o.Lines = make([]Line, 0, min(n, firstLines))
	}
	for i := 0; i < n && r.bad() == nil; i++ {
		r.in.Tuple(lineFields)
		l := Line{
			Stock:       r.name(maxStockBytes),
			Description: r.name(maxDescriptionBytes),
			Quantity:    r.in.Int64(),
			PriceMilli:  r.in.Int64(),
			TimeUnix:    r.in.Int64(),
		}
		var fits bool
		if l.TimeUnix, fits = addFits(o.TimeUnix, l.TimeUnix); !fits {
			r.fail("time of a line out of range")
		}
		o.Lines = append(o.Lines, l)
	}
	if err := r.close(); err != nil {
		return err
	}
	return o.Check()
}

// AppendMsgpack appends a as one msgpack array. It fails with an *OrderError when a field is beyond
// the limits of an order. It allocates only if dst must grow.
func (a *Answer) AppendMsgpack(dst []byte) ([]byte, error) {
	if err := a.check(); err != nil {
		return dst, err
	}
	return a.appendFields(pack.AppendArrayHeader(dst, answerFields)), nil
}

func (a *Answer) appendFields(dst []byte) []byte {
	dst = pack.AppendString(dst, a.Invoice)
	dst = pack.AppendInt(dst, a.Row)
	dst = pack.AppendInt(dst, a.Lines)
	dst = pack.AppendInt(dst, a.AmountMilli)
	dst = pack.AppendString(dst, a.Customer)
	return pack.AppendString(dst, a.Country)
}

// DecodeMsgpackBytes reads what AppendMsgpack writes; anything else is an ErrPayload or an
// *OrderError, and a then holds anything. It allocates the invoice number, and texts that were not seen lately.
func (a *Answer) DecodeMsgpackBytes(payload []byte) error {
	r := fieldReader{in: pack.NewReader(payload)}
	r.in.Tuple(answerFields)
	r.answer(a)
	if err := r.close(); err != nil {
		return err
	}
	return a.check()
}

// AppendMsgpack appends r as one msgpack array. It fails with an *OrderError when a field is beyond
// the limits of an order or the reason is none of the list. It allocates only if dst must grow.
func (r *Rejection) AppendMsgpack(dst []byte) ([]byte, error) {
	if err := r.check(); err != nil {
		return dst, err
	}
	dst = r.appendFields(pack.AppendArrayHeader(dst, rejectionFields))
	dst = pack.AppendInt(dst, int64(r.Reason.number()))
	return pack.AppendInt(dst, r.Line), nil
}

// DecodeMsgpackBytes reads what AppendMsgpack writes; anything else is an ErrPayload or an
// *OrderError, and r then holds anything. It allocates as that of an Answer does.
func (r *Rejection) DecodeMsgpackBytes(payload []byte) error {
	in := fieldReader{in: pack.NewReader(payload)}
	in.in.Tuple(rejectionFields)
	in.answer(&r.Answer)
	number := in.in.Int64()
	r.Line = in.in.Int64()
	if number < 1 || number > int64(len(reasons)) {
		in.fail("reason %d is not known", number)
	}
	if err := in.close(); err != nil {
		return err
	}
	r.Reason = reasons[number-1]
	return r.check()
}

// fieldReader is a pack.Reader that is as strict as the encoder, and keeps the first error.
type fieldReader struct {
	in  pack.Reader
	err error // of a value that pack takes and the shop does not
}

func (r *fieldReader) bad() error {
	if r.err != nil {
		return r.err
	}
	return r.in.Err()
}

func (r *fieldReader) fail(format string, args ...any) {
	if r.bad() == nil {
		r.err = fmt.Errorf("%w: %s", ErrPayload, fmt.Sprintf(format, args...))
	}
}

func (r *fieldReader) close() error {
	if r.err == nil {
		_ = r.in.Close() // notes that bytes are left
	}
	return r.failure()
}

// failure returns the first error.
func (r *fieldReader) failure() error {
	if err := r.in.Err(); err != nil && r.err == nil {
		return fmt.Errorf("%w: %w", ErrPayload, err)
	}
	return r.err
}

// text reads a string of up to most bytes, as a part of the payload.
func (r *fieldReader) text(most int) []byte {
	if r.bad() != nil {
		return nil
	}
	if k := r.in.Kind(); k != pack.KindString && k != pack.KindNone { // pack would take nil and binary too
		r.fail("another kind of value where a string is expected")
		return nil
	}
	b := r.in.View()
	if len(b) > most {
		r.fail("string of %d bytes, at most %d are allowed", len(b), most)
		return nil
	}
	return b
}

// name reads a text that many events share.
func (r *fieldReader) name(most int) string { return names.of(r.text(most)) }

func (r *fieldReader) answer(a *Answer) {
	a.Invoice = string(r.text(maxInvoiceBytes))
	a.Row = r.in.Int64()
	a.Lines = r.in.Int64()
	a.AmountMilli = r.in.Int64()
	a.Customer = r.name(maxCustomerBytes)
	a.Country = r.name(maxCountryBytes)
}
