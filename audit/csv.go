package audit

import (
	"encoding/csv"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// column is one of an export in CSV.
type column struct {
	name string
	cell func(e *Entry) string
}

var columns = []column{
	{"sequence", func(e *Entry) string { return strconv.FormatInt(e.Sequence, 10) }},
	{"record", func(e *Entry) string { return e.Record }},
	{"journaled", func(e *Entry) string { return moment(e.Journaled) }},
	{"happened", func(e *Entry) string { return moment(e.Happened) }},
	{"type", func(e *Entry) string { return e.Type }},
	{"type_id", func(e *Entry) string { return number(int64(e.TypeID)) }},
	{"version", func(e *Entry) string { return number(int64(e.Version)) }},
	{"kind", func(e *Entry) string { return e.Kind }},
	{"id", func(e *Entry) string { return e.ID }},
	{"key", func(e *Entry) string { return e.Key }},
	{"stream_version", func(e *Entry) string { return number(e.StreamVersion) }},
	{"producer", func(e *Entry) string { return e.Producer }},
	{"handler", func(e *Entry) string { return e.Handler }},
	{"source", func(e *Entry) string { return e.Source }},
	{"source_offset", func(e *Entry) string {
		if e.SourceOffset == nil {
			return ""
		}
		return strconv.FormatInt(*e.SourceOffset, 10)
	}},
	{"cause", func(e *Entry) string { return number(e.Cause) }},
	{"ordinal", func(e *Entry) string { return number(int64(e.Ordinal)) }},
	{"outputs", func(e *Entry) string { return number(int64(e.Outputs)) }},
	{"depth", func(e *Entry) string { return number(int64(e.Depth)) }},
	{"correlation_id", func(e *Entry) string { return e.Correlation }},
	{"causation_id", func(e *Entry) string { return e.Causation }},
	{"traceparent", func(e *Entry) string { return e.Traceparent }},
	{"idempotent", func(e *Entry) string {
		if e.Idempotent {
			return "true"
		}
		return ""
	}},
	{"hash", func(e *Entry) string { return e.Hash }},
	{"encoding", func(e *Entry) string { return e.Encoding }},
	{"data", func(e *Entry) string { return string(e.Data) }},
}

// Columns returns the names of the columns of an export in CSV, in order; they are those of Entry's JSON. A cell
// is empty where Entry's JSON leaves the member out. Times are as in RFC 3339, in UTC, with up to nine
// digits of a second; data is JSON.
func Columns() []string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.name
	}
	return names
}

func number(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339Nano)
}

type csvWriter struct {
	w     *csv.Writer
	cells []string
}

func newCSVWriter(w io.Writer) *csvWriter {
	return &csvWriter{csv.NewWriter(w), make([]string, len(columns))}
}

func (c *csvWriter) header() error { return c.flush(Columns()) }

func (c *csvWriter) write(e *Entry) error {
	for i := range columns {
		c.cells[i] = safe(columns[i].cell(e))
	}
	return c.flush(c.cells)
}

func (c *csvWriter) flush(cells []string) error {
	if err := c.w.Write(cells); err != nil {
		return err
	}
	c.w.Flush()
	return c.w.Error()
}

// safe puts an apostrophe before what a spreadsheet could take for a formula, also behind blanks, and before
// one that is there: so whoever wants the text takes one apostrophe away.
func safe(cell string) string {
	if cell == "" {
		return cell
	}
	if strings.ContainsRune("\t\r\n'", rune(cell[0])) {
		return "'" + cell
	}
	first, _ := utf8.DecodeRuneInString(strings.TrimLeft(cell, " \u00a0\u3000"))
	if strings.ContainsRune("=+-@＝＋－＠", first) {
		return "'" + cell
	}
	return cell
}
