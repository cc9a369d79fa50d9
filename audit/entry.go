package audit

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/event/pack"
	"github.com/headrace/headrace/journal"
)

// Kinds of record in an Entry.
const (
	RecordEvent = "event"
	RecordLost  = "lost" // a repair of the journal gave it up: only sequence and time are known
)

// Encodings of Entry.Data.
const (
	EncodingJSON   = "json"
	EncodingBase64 = "base64" // of a payload that is no msgpack: a JSON string
)

// Entry is one event of the log, copied out of it. Its JSON form, without what is empty, is a line of an
// export; the names there are the columns of one in CSV.
type Entry struct {
	Sequence  int64     `json:"sequence"`
	Record    string    `json:"record"`    // RecordEvent or RecordLost
	Journaled time.Time `json:"journaled"` // when the log got it: never before an earlier one
	Happened  time.Time `json:"happened,omitzero"`

	// What.
	Type          string `json:"type,omitempty"` // its name then; "type-N" where the log does not tell
	TypeID        uint16 `json:"type_id,omitempty"`
	Version       uint16 `json:"version,omitempty"` // of the type, in which Data is
	Kind          string `json:"kind,omitempty"`    // notification, command, document
	ID            string `json:"id,omitempty"`
	Key           string `json:"key,omitempty"`
	StreamVersion int64  `json:"stream_version,omitempty"`

	// Who.
	Producer string `json:"producer,omitempty"`
	Handler  string `json:"handler,omitempty"` // the handler whose answer it is; empty for what came from outside

	// From where: the source outside that a message was taken in from, and its place there; see headrace.Meta.Source.
	Source       string `json:"source,omitempty"`
	SourceOffset *int64 `json:"source_offset,omitempty"` // nil without a source

	// Why.
	Cause       int64  `json:"cause,omitempty"`   // sequence of the event that the handler answered
	Ordinal     uint32 `json:"ordinal,omitempty"` // place in the answer, from 0
	Outputs     uint32 `json:"outputs,omitempty"` // events of the answer
	Depth       uint32 `json:"depth,omitempty"`   // length of the chain of answers
	Correlation string `json:"correlation_id,omitempty"`
	Causation   string `json:"causation_id,omitempty"`
	Traceparent string `json:"traceparent,omitempty"` // W3C trace context of its creation
	Idempotent  bool   `json:"idempotent,omitempty"`  // the publisher chose the id

	Hash     string          `json:"hash,omitempty"` // of the record, in hex, where it was asked for
	Encoding string          `json:"encoding,omitempty"`
	Data     json.RawMessage `json:"data,omitempty"` // nothing is lifted to another version
}

// Who says in words who put the event into the log.
func (e Entry) Who() string {
	switch {
	case e.Handler != "":
		return "handler " + e.Handler
	case e.Producer != "":
		return e.Producer
	}
	return "unknown"
}

// entry copies an event out of its record.
func (l *Log) entry(rec journal.Record, v event.View) Entry {
	e := envelope(rec, v, nameOf(l.names, rec.Type))
	if e.Record == RecordEvent {
		e.Data, e.Encoding = data(l.o.Registry, e.Type, v)
	}
	return e
}

// envelope is an entry without data.
func envelope(rec journal.Record, v event.View, name string) Entry {
	e := Entry{Sequence: rec.Sequence, Record: RecordEvent, Journaled: time.Unix(0, rec.Time).UTC()}
	if rec.Kind == journal.KindLost {
		e.Record = RecordLost
		return e
	}
	e.Happened = time.Unix(0, v.Time()).UTC()
	e.Type, e.TypeID, e.Version, e.Kind = name, rec.Type, v.Version(), v.Kind().String()
	e.ID, e.Key, e.StreamVersion, e.Producer = v.ID().String(), v.Key(), v.StreamVersion(), v.Producer()
	if s := v.SourceBytes(); len(s) > 0 {
		offset := v.SourceOffset()
		e.Source, e.SourceOffset = string(s), &offset
	}
	if o, ok := v.Origin(); ok {
		e.Cause, e.Ordinal, e.Outputs, e.Depth = o.Cause, o.Ordinal, o.Outputs, o.Depth
		// Its id as it was then. Who was renamed keeps the number of its first id.
		if e.Handler = e.Producer; e.Handler == "" {
			e.Handler = fmt.Sprintf("%016x", o.Handler)
		}
	}
	e.Correlation, e.Causation = idText(v.CorrelationID()), idText(v.CausationID())
	e.Traceparent, e.Idempotent = v.Trace().String(), v.Idempotent()
	return e
}

func idText(id event.ID) string {
	if id.IsZero() {
		return ""
	}
	return id.String()
}

// data is the payload of v as JSON: through its Go type, as its msgpack says, or as it is.
func data(r *event.Registry, name string, v event.View) (json.RawMessage, string) {
	if out, err := event.AppendDataJSON(nil, r, name, v); err == nil && json.Valid(out) {
		return out, EncodingJSON
	}
	if out, err := pack.AppendJSON(nil, v.Payload()); err == nil && json.Valid(out) {
		return out, EncodingJSON
	}
	text, _ := json.Marshal(base64.StdEncoding.EncodeToString(v.Payload()))
	return text, EncodingBase64
}
