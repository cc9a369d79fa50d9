package audit

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/journal"
)

// Format is how an export is written.
type Format int

const (
	// JSONLines is one JSON object a line: an Entry.
	JSONLines Format = iota
	// CSV is a line of names, see Columns, and then one line an event, as in RFC 4180, with LF. A cell
	// that a spreadsheet could take for a formula, and one that begins with an apostrophe, has an
	// apostrophe put in front.
	CSV
)

// ExportOptions configure Export. The zero value is the default.
type ExportOptions struct {
	Format Format

	// Hashes adds the hash of each record.
	Hashes bool

	// Proof makes an export of JSON lines that VerifyExport can check: each line has the record's bytes, and
	// between them are lines that prove where it stands. It ends where the chain of roots does, which
	// journal.Journal.ChainNow extends. The registry is not asked, so that anyone can check it. If the query
	// is bounded by nothing but sequence and time, voids are in it too, so that no sequence is missing.
	Proof bool

	// Anchor is the root that a proof leads to. Default the newest.
	Anchor journal.Hash
}

// Exported is what Export has written.
type Exported struct {
	Events int64        `json:"events"`
	Lost   int64        `json:"lost,omitempty"`           // lost records
	First  int64        `json:"first_sequence,omitempty"` // of the lines; 0 if there is none
	Last   int64        `json:"last_sequence,omitempty"`
	Root   journal.Hash `json:"root,omitzero"` // that the proof leads to
}

// Line is a line of an export of JSON lines. Without a proof it is an Entry and nothing more.
type line struct {
	Entry
	Proof *journal.Shown `json:"proof,omitempty"`
}

// pieceLine is a line that is part of a proof only.
type pieceLine struct {
	Gap  *journal.Gap  `json:"gap,omitempty"`
	Link *journal.Link `json:"link,omitempty"`
	End  *Exported     `json:"end,omitempty"` // the last line
}

// Export writes the events that q chooses to w, in sequence, a line an event, in memory for one event. It ends
// at the end of what is readable at that moment.
//
// Errors: those of Events and w; with Proof also those of journal.ProveSubset, journal.ErrNotChained where the
// chain does not reach Query.From.
func (l *Log) Export(ctx context.Context, w io.Writer, q Query, o ExportOptions) (Exported, error) {
	if o.Format < JSONLines || o.Format > CSV {
		return Exported{}, fmt.Errorf("audit: ExportOptions.Format = %d: want JSONLines or CSV", o.Format)
	}
	if o.Proof && o.Format != JSONLines {
		return Exported{}, fmt.Errorf("audit: ExportOptions.Proof: only an export of JSON lines carries a proof; CSV has Hashes")
	}
	if !o.Proof && o.Anchor != (journal.Hash{}) {
		return Exported{}, fmt.Errorf("audit: ExportOptions.Anchor is for an export with Proof")
	}
	b := bufio.NewWriterSize(w, 64<<10)
	x := exporter{log: l, o: o, w: b, lines: newLineEncoder()}
	var err error
	if o.Proof {
		err = x.prove(ctx, q)
	} else {
		err = x.plain(ctx, q)
	}
	if err == nil {
		err = b.Flush()
	}
	return x.done, err
}

type exporter struct {
	log   *Log
	o     ExportOptions
	w     *bufio.Writer
	lines lineEncoder
	done  Exported
}

func (x *exporter) plain(ctx context.Context, q Query) error {
	out := x.writeJSON
	if x.o.Format == CSV {
		c := newCSVWriter(x.w)
		if err := c.header(); err != nil {
			return err
		}
		out = func(l *line) error { return c.write(&l.Entry) }
	}
	return x.log.read(ctx, q, func(r *journal.Reader, rec journal.Record, v event.View) error {
		l := line{Entry: x.log.entry(rec, v)}
		if x.o.Hashes {
			l.Hash = r.LeafHash(rec).String()
		}
		x.count(&l.Entry)
		return out(&l)
	})
}

func (x *exporter) count(e *Entry) {
	switch e.Record {
	case RecordEvent:
		x.done.Events++
	case RecordLost:
		x.done.Lost++
	}
	if x.done.Last = e.Sequence; x.done.First == 0 {
		x.done.First = e.Sequence
	}
}

func (x *exporter) writeJSON(v *line) error { return x.write(v) }

func (x *exporter) write(v any) error {
	text, err := x.lines.encode(v)
	if err == nil {
		_, err = x.w.Write(text)
	}
	return err
}

// prove writes an export with its proof.
func (x *exporter) prove(ctx context.Context, q Query) error {
	l := x.log
	if err := q.validate(); err != nil {
		return err
	}
	from, err := l.begin(&q)
	if err != nil {
		return err
	}
	if from == 0 {
		return fmt.Errorf("%w: nothing is as young as %v", journal.ErrNotChained, q.Since)
	}
	until := q.Until
	if !q.To.IsZero() {
		if until, err = l.before(q, from); err != nil {
			return err
		}
	}
	whole := q.Key == "" && q.Correlation.IsZero() && q.Producer == "" && len(q.Types) == 0
	var next line
	show := func(rec journal.Record, hash journal.Hash) (bool, error) {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		l.passed(rec)
		v, ok, err := l.chosen(&q, rec)
		if !ok && (err != nil || !whole) {
			return false, err
		}
		next.Entry = proven(rec, v, l.names)
		next.Hash = hash.String()
		return true, nil
	}
	end, err := journal.ProveSubset(l.dir, journal.SubsetOptions{From: from, Until: until, Anchor: x.o.Anchor, Archives: l.o.Archives}, show,
		func(p journal.Piece) error {
			if p.Shown == nil {
				return x.write(pieceLine{Gap: p.Gap, Link: p.Link})
			}
			next.Proof = p.Shown
			x.count(&next.Entry)
			return x.write(&next)
		})
	if err != nil {
		return err
	}
	x.done.Root = end.Root
	return x.write(pieceLine{End: &x.done})
}

// recordVoid is a sequence that carries nothing, in an export that proves that nothing is missing.
const recordVoid = "void"

// proven is the entry of a record in an export with a proof: everything in it follows from the record's bytes
// and the name of its type.
func proven(rec journal.Record, v event.View, names map[uint16]string) Entry {
	if rec.Kind == journal.KindVoid {
		e := envelope(journal.Record{Sequence: rec.Sequence, Time: rec.Time, Kind: journal.KindLost}, v, "")
		e.Record = recordVoid
		return e
	}
	e := envelope(rec, v, nameOf(names, rec.Type))
	if e.Record == RecordEvent {
		e.Data, e.Encoding = data(nil, "", v)
	}
	return e
}

// before returns the last sequence that is not younger than q.To, and q.Until if that is less.
func (l *Log) before(q Query, from int64) (int64, error) {
	r, err := journal.OpenReader(l.dir, from, journal.ReaderOptions{Until: q.Until, UntilTime: nanos(q.To), Archives: l.o.Archives})
	if err != nil {
		return 0, err
	}
	defer r.Close()
	last := from
	_, err = r.Read(func(rec journal.Record) error { last = rec.Sequence; return nil })
	return last, err
}

// lineEncoder writes values as JSON, one a line, always the same for the same value.
type lineEncoder struct {
	buf *bytes.Buffer
	enc *json.Encoder
}

func newLineEncoder() lineEncoder {
	b := new(bytes.Buffer)
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	return lineEncoder{b, e}
}

// encode returns the line, with its end. It is valid until the next call.
func (l lineEncoder) encode(v any) ([]byte, error) {
	l.buf.Reset()
	err := l.enc.Encode(v)
	return l.buf.Bytes(), err
}
