package cloudevents

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/headrace/headrace/event/pack"
)

// AppendJSON appends m in the structured mode: one JSON object with the attributes, and data, or
// data_base64 where the data is not JSON. It returns dst as it was, with ErrInvalid or ErrSpecVersion, if
// m is no CloudEvent, and with ErrContentType if the data is said to be JSON and is not.
func (m Message) AppendJSON(dst []byte) ([]byte, error) {
	if err := m.check(); err != nil {
		return dst, err
	}
	asJSON, err := isJSON(m.ContentType)
	if err != nil {
		return dst, err
	}
	out := append(dst, '{')
	for i, a := range m.Attributes {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(pack.AppendJSONString(out, a.Name), ':')
		out = pack.AppendJSONString(out, a.Value)
	}
	if m.ContentType != "" {
		out = pack.AppendJSONString(append(out, `,"datacontenttype":`...), m.ContentType)
	}
	switch {
	case m.Data == nil:
	case asJSON:
		if !json.Valid(m.Data) {
			return dst, fmt.Errorf("%w: %q, and the data is no JSON", ErrContentType, m.ContentType)
		}
		out = append(append(out, `,"data":`...), m.Data...)
	default:
		out = base64.StdEncoding.AppendEncode(append(out, `,"data_base64":"`...), m.Data)
		out = append(out, '"')
	}
	return append(out, '}'), nil
}

// ParseJSON reads one event in the structured mode. Errors: ErrInvalid, ErrSpecVersion, ErrContentType.
func ParseJSON(text []byte) (Message, error) {
	var m Message
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := m.decode(d); err != nil {
		return Message{}, err
	}
	if rest := bytes.TrimSpace(text[d.InputOffset():]); len(rest) > 0 {
		return Message{}, fmt.Errorf("%w: text behind the event", ErrInvalid)
	}
	return m, m.check()
}

// decode reads one object, member by member, so that none comes twice unseen.
func (m *Message) decode(d *json.Decoder) error {
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return fmt.Errorf("%w: not a JSON object", ErrInvalid)
	}
	var data, encoded json.RawMessage
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		name := t.(string) // the decoder lets nothing else be a name
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrInvalid, name, err)
		}
		switch {
		case name == "data" && data == nil:
			data = raw
		case name == "data_base64" && encoded == nil:
			encoded = raw
		case name == "data" || name == "data_base64":
			return fmt.Errorf("%w: %q comes twice", ErrInvalid, name)
		case string(raw) == "null":
		default:
			value, err := attributeText(raw)
			if err != nil {
				return fmt.Errorf("%w: attribute %q: %w", ErrInvalid, name, err)
			}
			if name == "datacontenttype" {
				if m.ContentType != "" {
					return fmt.Errorf("%w: %q comes twice", ErrInvalid, name)
				}
				m.ContentType = value
				continue
			}
			m.Attributes = append(m.Attributes, Attribute{name, value})
		}
	}
	if _, err := d.Token(); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return m.setData(data, encoded)
}

func (m *Message) setData(data, encoded json.RawMessage) error {
	switch {
	case data != nil && encoded != nil:
		return fmt.Errorf("%w: data and data_base64", ErrInvalid)
	case encoded != nil:
		var text string
		err := json.Unmarshal(encoded, &text)
		if err == nil {
			m.Data, err = base64.StdEncoding.DecodeString(text)
		}
		if err != nil {
			return fmt.Errorf("%w: data_base64: %w", ErrInvalid, err)
		}
	case data != nil:
		asJSON, err := isJSON(m.ContentType)
		if err != nil {
			return err
		}
		if !asJSON {
			return fmt.Errorf("%w: %q in the member data, which is for JSON", ErrContentType, m.ContentType)
		}
		m.Data = data
	}
	return nil
}

// attributeText returns an attribute's value in its text form: strings as they are, booleans and
// integers as JSON has them.
func attributeText(raw json.RawMessage) (string, error) {
	switch raw[0] {
	case '"':
		var s string
		err := json.Unmarshal(raw, &s)
		return s, err
	case 't', 'f':
		return string(raw), nil
	case '{', '[':
		return "", fmt.Errorf("it is no string, number or boolean")
	}
	if _, err := strconv.ParseInt(string(raw), 10, 32); err != nil {
		return "", fmt.Errorf("%s is no integer of 32 bits", raw)
	}
	return string(raw), nil
}

// AppendBatch appends several events as a JSON array: ContentBatch.
func AppendBatch(dst []byte, events []Message) ([]byte, error) {
	out := append(dst, '[')
	for i, m := range events {
		if i > 0 {
			out = append(out, ',')
		}
		var err error
		if out, err = m.AppendJSON(out); err != nil {
			return dst, fmt.Errorf("event %d of the batch: %w", i, err)
		}
	}
	return append(out, ']'), nil
}

// ParseBatch reads a JSON array of events.
func ParseBatch(text []byte) ([]Message, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return nil, fmt.Errorf("%w: not a JSON array", ErrInvalid)
	}
	events := []Message{}
	for d.More() {
		var m Message
		err := m.decode(d)
		if err == nil {
			err = m.check()
		}
		if err != nil {
			return nil, fmt.Errorf("event %d of the batch: %w", len(events), err)
		}
		events = append(events, m)
	}
	if _, err := d.Token(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if rest := bytes.TrimSpace(text[d.InputOffset():]); len(rest) > 0 {
		return nil, fmt.Errorf("%w: text behind the batch", ErrInvalid)
	}
	return events, nil
}
