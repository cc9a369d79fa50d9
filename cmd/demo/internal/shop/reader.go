package shop

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The columns of the retail file.
const (
	colInvoice = iota
	colStock
	colDescription
	colQuantity
	colDate
	colPrice
	colCustomer
	colCountry
	numColumns
)

var columns = [numColumns]string{
	"InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country",
}

// Reader is a Source that reads the retail file: CSV as RFC 4180 says, with the header
//
//	InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country
//
// Row 1 is the first behind it. Each run of rows with the same invoice number is one order. A run
// is cut in two, at a place that depends on its rows alone, where the customer or the country
// changes inside it, or where it grows beyond MaxLines or MaxTextBytes. Empty lines are no rows.
// Dates are read as UTC.
//
// No row is skipped: one that cannot be read ends the import with a *RowError, and every later
// Next returns the same error.
type Reader struct {
	csv  *csv.Reader
	name string

	rec  []string // the row that was read ahead; csv uses it again
	row  int64    // its number; at the end, one more than there are rows
	eof  bool
	err  error // sticky
	gzip bool

	date struct { // the last date parsed: most rows share it with the row before
		unix int64
		text string
	}
}

// NewReader returns a Reader of r, which may be compressed with gzip: that is told from its first
// bytes. It reads the header and the first row. Input that is no retail file is a *RowError for
// row 0 with ErrHeader.
func NewReader(r io.Reader) (*Reader, error) {
	in := bufio.NewReaderSize(r, 64<<10)
	rd := new(Reader)
	text := in
	if magic, _ := in.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		unzipped, err := gzip.NewReader(in)
		if err != nil {
			return nil, &RowError{Err: fmt.Errorf("gzip: %w", err)}
		}
		rd.gzip = true
		text = bufio.NewReaderSize(unzipped, 64<<10)
	}
	if bom, _ := text.Peek(3); bytes.Equal(bom, []byte("\xef\xbb\xbf")) {
		_, _ = text.Discard(3)
	}
	rd.csv = csv.NewReader(text)
	rd.csv.ReuseRecord = true
	rd.csv.FieldsPerRecord = numColumns

	header, err := rd.csv.Read()
	switch {
	case errors.Is(err, io.EOF):
		return nil, &RowError{Err: fmt.Errorf("%w: the input is empty", ErrHeader)}
	case errors.Is(err, csv.ErrFieldCount) || err == nil && !slices.Equal(header, columns[:]):
		return nil, &RowError{Err: fmt.Errorf("%w: it begins with %q, expected %q",
			ErrHeader, cut(strings.Join(header, ",")), strings.Join(columns[:], ","))}
	case err != nil:
		return nil, rd.readError(err)
	}
	if err := rd.read(); err != nil {
		return nil, err
	}
	sum := sha256.New()
	for _, field := range rd.rec {
		fmt.Fprintf(sum, "%d,%s", len(field), field)
	}
	rd.name = "retail:" + hex.EncodeToString(sum.Sum(nil)[:8])
	return rd, nil
}

// Name returns "retail:" and a digest of the first row: the same whether the file is compressed or
// not, and when rows are added at its end.
func (r *Reader) Name() string { return r.name }

// Rows returns the number of rows once all are read, 0 before.
func (r *Reader) Rows() int64 {
	if r.eof {
		return r.row - 1
	}
	return 0
}

// Row returns the row that Next goes on at, from 1.
func (r *Reader) Row() int64 { return r.row }

// SkipTo implements Source. It reads the rows up to there, but looks only at their CSV.
func (r *Reader) SkipTo(row int64) error {
	if row < r.row {
		return fmt.Errorf("shop: skip to row %d: the reader is at row %d already", row, r.row)
	}
	for r.row < row {
		if r.err != nil {
			return r.err
		}
		if r.eof {
			return fmt.Errorf("%w: row %d; the input has %d", ErrShort, row, r.Rows())
		}
		if err := r.read(); err != nil {
			return err
		}
	}
	return nil
}

// Next implements Source. It allocates the text of each row.
func (r *Reader) Next(o *Order) error {
	if r.err != nil {
		return r.err
	}
	if r.eof {
		return io.EOF
	}
	*o = Order{
		Source:   r.name,
		Row:      r.row,
		Invoice:  r.rec[colInvoice],
		Customer: r.rec[colCustomer],
		Country:  r.rec[colCountry],
		Lines:    o.Lines[:0],
	}
	if err := r.checkNames(); err != nil {
		return err
	}
	var textBytes int
	var sum int64 // cannot wrap, see Order.Check
	for !r.eof && r.continues(o, textBytes) {
		var l Line
		if err := r.line(&l); err != nil {
			return err
		}
		textBytes += l.textBytes()
		if sum += l.AmountMilli(); !amountFits(sum) {
			return r.fault(colPrice, fmt.Errorf("%w: the order's total", ErrOutOfRange))
		}
		o.Lines = append(o.Lines, l)
		if err := r.read(); err != nil {
			return err
		}
	}
	o.Rows = int64(len(o.Lines))
	o.TimeUnix = o.Lines[0].TimeUnix
	return nil
}

// continues reports whether the row read ahead belongs to o.
func (r *Reader) continues(o *Order, textBytes int) bool {
	if len(o.Lines) == 0 {
		return true
	}
	return r.rec[colInvoice] == o.Invoice && r.rec[colCustomer] == o.Customer && r.rec[colCountry] == o.Country &&
		len(o.Lines) < MaxLines && textBytes+len(r.rec[colStock])+len(r.rec[colDescription]) <= MaxTextBytes
}

// checkNames looks at what an order takes from its first row.
func (r *Reader) checkNames() error {
	for _, c := range [...]struct {
		column, maxBytes int
		required         bool
	}{
		{colInvoice, maxInvoiceBytes, true},
		{colCustomer, maxCustomerBytes, false},
		{colCountry, maxCountryBytes, false},
	} {
		if err := checkText(r.rec[c.column], c.maxBytes, c.required); err != nil {
			return r.fault(c.column, err)
		}
	}
	return nil
}

// line fills l from the row read ahead.
func (r *Reader) line(l *Line) (err error) {
	l.Stock = r.rec[colStock]
	l.Description = r.rec[colDescription]
	if l.Quantity, err = parseQuantity(r.rec[colQuantity]); err != nil {
		return r.fault(colQuantity, err)
	}
	if l.PriceMilli, err = ParseMilli(r.rec[colPrice]); err != nil {
		return r.fault(colPrice, err)
	}
	if l.TimeUnix, err = r.parseDate(r.rec[colDate]); err != nil {
		return r.fault(colDate, err)
	}
	if field, err := l.check(); err != nil {
		return r.fault(columnOf[field], err)
	}
	return nil
}

// columnOf maps the fields that Line.check names to columns.
var columnOf = map[string]int{
	"stock": colStock, "description": colDescription, "quantity": colQuantity, "price": colPrice, "time": colDate,
}

func parseQuantity(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return 0, ErrOutOfRange
	case err != nil:
		return 0, ErrSyntax
	}
	return n, nil
}

// parseDate reads a date with a time to the second or the minute.
func (r *Reader) parseDate(s string) (int64, error) {
	if s == r.date.text && s != "" {
		return r.date.unix, nil
	}
	layout := time.DateTime
	if len(s) == len("2010-12-01 08:26") {
		layout = "2006-01-02 15:04"
	}
	t, err := time.Parse(layout, s)
	if err != nil {
		return 0, ErrSyntax
	}
	r.date.text, r.date.unix = s, t.Unix()
	return r.date.unix, nil
}

// read reads one row ahead.
func (r *Reader) read() error {
	rec, err := r.csv.Read()
	r.row++
	r.rec = rec
	if errors.Is(err, io.EOF) {
		r.eof, r.rec = true, nil
		return nil
	}
	if err != nil {
		return r.readError(err)
	}
	return nil
}

// readError makes err, from the csv package or below, the sticky error.
func (r *Reader) readError(err error) error {
	e := &RowError{Row: r.row, Err: err}
	var syntax *csv.ParseError
	switch {
	case errors.As(err, &syntax):
		e.Line = syntax.Line
		e.Err = fmt.Errorf("%w: %w", ErrSyntax, syntax.Err)
		if errors.Is(err, csv.ErrFieldCount) {
			e.Err = fmt.Errorf("%w: %w: %d, expected %d", ErrSyntax, csv.ErrFieldCount, len(r.rec), numColumns)
		}
	case r.gzip:
		e.Err = fmt.Errorf("gzip: %w", err)
	}
	r.err = e
	return e
}

// fault makes err, about a column of the row read ahead, the sticky error.
func (r *Reader) fault(column int, err error) error {
	line, _ := r.csv.FieldPos(column)
	r.err = &RowError{Row: r.row, Line: line, Column: columns[column], Value: cut(r.rec[column]), Err: err}
	return r.err
}
