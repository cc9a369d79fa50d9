package cloudevents

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/event/pack"
)

// Event makes an event of m: a header that AppendHeader takes, the type's name, and the payload. r
// may be nil. JSON data goes through the registered type if r knows it, msgpack data is checked to be
// whole and left as it is. Attributes that this package does not know are ignored, and so is
// sequence, which is of another log.
//
// The key is partitionkey, or subject where that is missing; a missing time is time 0, a missing
// eventkind that of the registered type, a missing eventversion 1.
//
// Errors: ErrInvalid, ErrSpecVersion, ErrContentType, event.ErrJSON for attributes and data that no
// event can have, and *event.VersionError for JSON data of a type that is registered in another version.
func (m Message) Event(r *event.Registry) (h event.Header, typeName string, payload []byte, err error) {
	fail := func(err error) (event.Header, string, []byte, error) { return event.Header{}, "", nil, err }
	if err := m.check(); err != nil {
		return fail(err)
	}
	asJSON, err := isJSON(m.ContentType)
	if err != nil {
		return fail(err)
	}
	if !asJSON && !isMsgpack(m.ContentType) && len(m.Data) > 0 {
		return fail(fmt.Errorf("%w: %q", ErrContentType, m.ContentType))
	}
	in := jsonForm{
		ID:          m.id("id").String(),
		Type:        m.Get("type"),
		Version:     m.Get("eventversion"),
		Timestamp:   m.Get("time"),
		Producer:    m.Get("producer"),
		Kind:        m.Get("eventkind"),
		Key:         m.Get("partitionkey"),
		Traceparent: m.Get("traceparent"),
		Idempotent:  true,
	}
	if in.Key == "" {
		in.Key = m.Get("subject")
	}
	for name, to := range map[string]*string{"correlationid": &in.Correlation, "causationid": &in.Causation} {
		if m.Get(name) != "" {
			*to = m.id(name).String()
		}
	}
	if in.Version == "" {
		in.Version = "1"
	}
	if s := m.Get("streamversion"); s != "" {
		if in.Number, err = strconv.ParseInt(s, 10, 64); err != nil || in.Number < 1 {
			return fail(fmt.Errorf("%w: streamversion: %q is not a number from 1", ErrInvalid, s))
		}
	}
	if in.Source = m.Get("inboxsource"); in.Source != "" {
		s := m.Get("inboxoffset")
		if in.Offset, err = strconv.ParseInt(s, 10, 64); err != nil || in.Offset < 0 {
			return fail(fmt.Errorf("%w: inboxoffset: %q is not a number from 0", ErrInvalid, s))
		}
	} else if s := m.Get("inboxoffset"); s != "" {
		return fail(fmt.Errorf("%w: inboxoffset %q without inboxsource", ErrInvalid, s))
	}
	registry := r
	if asJSON {
		in.Data = m.Data
	} else {
		registry = nil // nothing to convert
	}
	text, err := json.Marshal(in)
	if err != nil {
		return fail(fmt.Errorf("%w: data: %w", event.ErrJSON, err))
	}
	h, typeName, payload, err = event.ParseJSON(registry, text)
	if err != nil {
		return fail(err)
	}
	if asJSON {
		return h, typeName, payload, nil
	}
	if r != nil && in.Kind == "" {
		if c, ok := r.ByName(typeName); ok {
			h.Kind = c.Kind()
		}
	}
	if len(m.Data) == 0 {
		return h, typeName, payload, nil
	}
	if _, err := pack.Scan(m.Data); err != nil {
		return fail(fmt.Errorf("%w: data: %w", ErrInvalid, err))
	}
	return h, typeName, append([]byte(nil), m.Data...), nil
}

// id reads an attribute as an id: a UUID, or what stands for it among those of its source.
func (m Message) id(name string) event.ID {
	text := m.Get(name)
	if id, err := event.ParseID(text); err == nil && !id.IsZero() {
		return id
	}
	source := m.Get("source")
	return event.IDFromName("cloudevents " + strconv.Itoa(len(source)) + " " + source + " " + text)
}

// jsonForm is what event.ParseJSON reads.
type jsonForm struct {
	ID          string          `json:"eventId"`
	Type        string          `json:"eventType"`
	Version     string          `json:"eventVersion"`
	Timestamp   string          `json:"timestamp,omitempty"`
	Correlation string          `json:"correlationId,omitempty"`
	Causation   string          `json:"causationId,omitempty"`
	Producer    string          `json:"producer,omitempty"`
	Kind        string          `json:"kind,omitempty"`
	Key         string          `json:"key,omitempty"`
	Number      int64           `json:"streamVersion,omitempty"`
	Traceparent string          `json:"traceparent,omitempty"`
	Source      string          `json:"source,omitempty"`
	Offset      int64           `json:"sourceOffset,omitempty"`
	Idempotent  bool            `json:"idempotent"`
	Data        json.RawMessage `json:"data,omitempty"`
}
