package main

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/journal"
)

// typeAssigned is the type id of the engine's event that binds the id of a type to its name. A
// journal without an engine may use the id for its own: what does not look like a binding is none.
const typeAssigned = 1

// shower turns records into text. It learns the names of types from the records that it sees.
type shower struct {
	names   map[uint16]string
	damaged error // where the names end, if the journal is damaged
	unread  error // a segment that may name types, and that nobody has the key of
	buf     []byte
}

// newShower learns the names that were bound before sequence to, 0 for the whole journal, and before any damage: see told.
func newShower(dir string, to int64, access journal.ArchiveAccess) (*shower, error) {
	s := &shower{names: map[uint16]string{}}
	learn := func(from int64) error {
		r, err := journal.OpenReader(dir, from, journal.ReaderOptions{Types: []uint16{typeAssigned}, Until: to, Archives: access})
		if err != nil {
			return err
		}
		defer r.Close()
		_, err = r.Read(func(rec journal.Record) error { s.learn(rec); return nil })
		return err
	}
	err := learn(0)
	for u, ok := unreadable(err); ok; u, ok = unreadable(err) {
		s.unread = err
		if err = nil; to == 0 || u.last < to {
			err = learn(u.last + 1)
		}
	}
	if damaged := (*journal.CorruptionError)(nil); errors.As(err, &damaged) {
		s.damaged, err = err, nil
	}
	return s, err
}

// unread is a segment that nobody here has the key, or the codec, of.
type unread struct {
	segment     string
	first, last int64
	how         string
}

// unreadable tells whether err is of such a segment that has events, and what it says of itself.
func unreadable(err error) (u unread, ok bool) {
	var a *journal.AccessError
	if !errors.As(err, &a) || errors.Is(err, journal.ErrWrongKey) || a.Last < a.First {
		return u, false
	}
	return unread{a.Segment, a.First, a.Last, packed(journal.SegmentReport{KeyID: a.KeyID, Codec: a.Codec})}, true
}

// told returns how a command ends that ended with err: where it met no damage, but the names did, with that. So it is
// told of even if what was to be shown lies behind it.
func (s *shower) told(err error) error {
	if err == nil || errors.Is(err, errNoMatch) {
		return cmp.Or(s.damaged, err)
	}
	return err
}

// learn remembers a binding, if the record is one.
func (s *shower) learn(rec journal.Record) {
	if rec.Type != typeAssigned || rec.Kind != journal.KindEvent {
		return
	}
	v, err := event.Parse(rec.Body)
	if err != nil {
		return
	}
	text, err := event.AppendJSON(nil, nil, "", 0, v)
	if err != nil {
		return
	}
	var b struct {
		Data struct {
			ID   uint16 `json:"id"` // encoding/json does not mind the case
			Name string `json:"name"`
		} `json:"data"`
	}
	if json.Unmarshal(text, &b) == nil && b.Data.ID > 0 && b.Data.Name != "" {
		s.names[b.Data.ID] = b.Data.Name
	}
}

// recordJSON is one record as --json writes it: event where the body is an envelope of package
// event, otherwise text where it is UTF-8, otherwise body, in base64.
type recordJSON struct {
	Sequence int64           `json:"sequence"`
	Time     string          `json:"time"`
	Kind     string          `json:"kind"`
	Type     uint16          `json:"type"`
	Name     string          `json:"name,omitempty"`
	Batch    bool            `json:"batch_goes_on,omitempty"`
	Bytes    int             `json:"bytes"`
	Segment  uint64          `json:"segment"`
	Offset   int64           `json:"offset"`
	Event    json.RawMessage `json:"event,omitempty"`
	Text     *string         `json:"text,omitempty"`
	Body     *string         `json:"body,omitempty"`
}

func (s *shower) record(rec journal.Record) recordJSON {
	s.learn(rec)
	r := recordJSON{
		Sequence: rec.Sequence, Time: stamp(rec.Time), Kind: rec.Kind.String(), Type: rec.Type,
		Name: s.names[rec.Type], Batch: rec.Flags&journal.FlagBatch != 0, Bytes: len(rec.Body),
		Segment: rec.Segment, Offset: rec.Offset,
	}
	if len(rec.Body) == 0 {
		return r
	}
	if v, err := event.Parse(rec.Body); err == nil {
		name := r.Name
		if name == "" {
			name = fmt.Sprintf("type-%d", rec.Type)
		}
		if s.buf, err = event.AppendJSON(s.buf[:0], nil, name, 0, v); err == nil && json.Valid(s.buf) {
			r.Event = append(json.RawMessage(nil), s.buf...)
			return r
		}
	}
	if utf8.Valid(rec.Body) {
		text := string(rec.Body)
		r.Text = &text
		return r
	}
	body := base64.StdEncoding.EncodeToString(rec.Body)
	r.Body = &body
	return r
}

// print writes one record, as JSON or as a line for people.
func (in *invocation) print(s *shower, rec journal.Record) error {
	r := s.record(rec)
	if in.json {
		return in.show(r)
	}
	content := ""
	switch {
	case r.Event != nil:
		content = string(r.Event)
	case r.Text != nil:
		content = fmt.Sprintf("%q", *r.Text)
	case r.Body != nil:
		content = "base64 " + *r.Body
	}
	what := r.Kind
	if r.Kind == "event" {
		what = r.Name
		if what == "" {
			what = fmt.Sprintf("type-%d", r.Type)
		}
	}
	_, err := fmt.Fprintln(in.s.out, strings.TrimRight(fmt.Sprintf("%d  %s  %s  %s", r.Sequence, r.Time, what, content), " "))
	return err
}
