package cloudevents

import (
	"errors"
	"fmt"
	"mime"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/headrace/headrace/event"
)

// SpecVersion is the version of CloudEvents that this package writes, and the only one it reads.
const SpecVersion = "1.0"

// Media types of data and of whole events.
const (
	ContentJSON       = "application/json"
	ContentMsgpack    = "application/msgpack"
	ContentStructured = "application/cloudevents+json"
	ContentBatch      = "application/cloudevents-batch+json"
)

// DefaultSource stands for the source where Options names none.
const DefaultSource = "/headrace"

var (
	// ErrInvalid reports what is no CloudEvent: an attribute missing, of the wrong form or given twice.
	ErrInvalid = errors.New("cloudevents: invalid event")
	// ErrSpecVersion reports a CloudEvent of another version than SpecVersion.
	ErrSpecVersion = errors.New("cloudevents: version of the specification not supported")
	// ErrContentType reports data in a form that no event payload can be made of.
	ErrContentType = errors.New("cloudevents: content type of the data not supported")
	// ErrAttribute reports a value that an attribute cannot carry, such as a key with control
	// characters.
	ErrAttribute = errors.New("cloudevents: value does not fit an attribute")
)

// Options of New; the zero value is the default.
type Options struct {
	// Source is a URI reference that names this application. Default DefaultSource.
	Source string
	// Msgpack carries the payload as it is instead of turning it into JSON: exact, and for
	// readers that know the type.
	Msgpack bool
}

// Attribute is one context attribute. The name is of lower case letters and digits.
type Attribute struct{ Name, Value string }

// Message is one CloudEvent in parts. Data is nil for an event without data.
type Message struct {
	Attributes  []Attribute // specversion, id, source and type are among them; no name comes twice
	ContentType string      // datacontenttype; "" means JSON
	Data        []byte
}

// Get returns the value of an attribute, "" if it is not there.
func (m Message) Get(name string) string {
	for _, a := range m.Attributes {
		if a.Name == name {
			return a.Value
		}
	}
	return ""
}

func (m *Message) set(name, value string) {
	if value != "" {
		m.Attributes = append(m.Attributes, Attribute{name, value})
	}
}

// New makes a CloudEvent of v. typeName is the name of its type; a sequence of 0 is left out. r,
// which may be nil, is used as event.AppendJSON does. Data is a copy.
//
// Errors: ErrAttribute, ErrInvalid for a source that is no URI reference, and those of
// event.AppendDataJSON.
func New(r *event.Registry, typeName string, sequence int64, v event.View, o Options) (Message, error) {
	var m Message
	if v.IsZero() {
		return m, fmt.Errorf("%w: no body", event.ErrMalformed)
	}
	source := o.Source
	if source == "" {
		source = DefaultSource
	}
	if _, err := url.Parse(source); err != nil {
		return m, fmt.Errorf("%w: source: %w", ErrInvalid, err)
	}
	if p := v.Producer(); p != "" {
		source = strings.TrimSuffix(source, "/") + "/" + url.PathEscape(p)
	}
	m.Attributes = make([]Attribute, 0, 18)
	m.set("specversion", SpecVersion)
	m.set("id", v.ID().String())
	m.set("source", source)
	m.set("type", typeName)
	m.set("subject", v.Key())
	m.set("time", time.Unix(0, v.Time()).UTC().Format(time.RFC3339Nano))
	m.set("partitionkey", v.Key())
	if sequence != 0 {
		m.set("sequence", strconv.FormatInt(sequence, 10))
	}
	m.set("traceparent", v.Trace().String())
	m.set("eventversion", strconv.Itoa(int(v.Version())))
	m.set("eventkind", v.Kind().String())
	for _, id := range []struct {
		name string
		id   event.ID
	}{{"correlationid", v.CorrelationID()}, {"causationid", v.CausationID()}} {
		if !id.id.IsZero() {
			m.set(id.name, id.id.String())
		}
	}
	m.set("producer", v.Producer())
	if n := v.StreamVersion(); n != 0 {
		m.set("streamversion", strconv.FormatInt(n, 10))
	}
	if s := v.SourceBytes(); len(s) > 0 {
		m.set("inboxsource", string(s))
		m.set("inboxoffset", strconv.FormatInt(v.SourceOffset(), 10))
	}
	if v.Idempotent() {
		m.set("idempotent", "true")
	}
	for _, a := range m.Attributes {
		if c, bad := forbidden(a.Value); bad {
			return Message{}, fmt.Errorf("%w: %s = %q has the character %U", ErrAttribute, a.Name, a.Value, c)
		}
	}
	if o.Msgpack {
		m.ContentType, m.Data = ContentMsgpack, append([]byte{}, v.Payload()...)
		return m, nil
	}
	var err error
	m.ContentType = ContentJSON
	m.Data, err = event.AppendDataJSON(nil, r, typeName, v)
	return m, err
}

// forbidden finds a character that CloudEvents keeps out of strings: controls, surrogates, and what
// Unicode says is no character.
func forbidden(s string) (rune, bool) {
	for i, c := range s {
		switch {
		case c < 0x20, c >= 0x7f && c <= 0x9f, c >= 0xfdd0 && c <= 0xfdef, c&0xfffe == 0xfffe:
			return c, true
		case c == utf8.RuneError:
			if _, n := utf8.DecodeRuneInString(s[i:]); n == 1 {
				return c, true
			}
		}
	}
	return 0, false
}

// check refuses what the specification does.
func (m Message) check() error {
	seen := make(map[string]bool, len(m.Attributes))
	for _, a := range m.Attributes {
		if !validName(a.Name) {
			return fmt.Errorf("%w: attribute name %q is not of lower case letters and digits", ErrInvalid, a.Name)
		}
		if seen[a.Name] {
			return fmt.Errorf("%w: attribute %q comes twice", ErrInvalid, a.Name)
		}
		seen[a.Name] = true
		if c, bad := forbidden(a.Value); bad {
			return fmt.Errorf("%w: attribute %q has the character %U", ErrInvalid, a.Name, c)
		}
	}
	if v := m.Get("specversion"); v != SpecVersion {
		return fmt.Errorf("%w: %q, this package reads %q", ErrSpecVersion, v, SpecVersion)
	}
	for _, name := range []string{"id", "source", "type"} {
		if m.Get(name) == "" {
			return fmt.Errorf("%w: attribute %q is missing or empty", ErrInvalid, name)
		}
	}
	if _, err := url.Parse(m.Get("source")); err != nil {
		return fmt.Errorf("%w: source: %w", ErrInvalid, err)
	}
	return nil
}

func validName(name string) bool {
	for i := 0; i < len(name); i++ {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return name != "" && name != "data"
}

// isJSON tells whether data of this media type is JSON; no media type means JSON.
func isJSON(contentType string) (bool, error) {
	if contentType == "" {
		return true, nil
	}
	t, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return false, fmt.Errorf("%w: %q: %w", ErrContentType, contentType, err)
	}
	return t == ContentJSON || t == "text/json" || strings.HasSuffix(t, "+json"), nil
}

func isMsgpack(contentType string) bool {
	t, _, err := mime.ParseMediaType(contentType)
	return err == nil && (t == ContentMsgpack || t == "application/x-msgpack" || t == "application/vnd.msgpack")
}
