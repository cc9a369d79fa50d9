package cloudevents

import (
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"
)

// httpPrefix is that of the binary mode's headers, in the form that http.Header keeps them.
const httpPrefix = "Ce-"

// SetHTTP sets the headers of the binary mode of the HTTP binding; the body is m.Data. Values are
// percent-encoded as the binding says.
func (m Message) SetHTTP(h http.Header) error {
	if err := m.check(); err != nil {
		return err
	}
	for _, a := range m.Attributes {
		h.Set(httpPrefix+a.Name, percentEncode(a.Value))
	}
	if m.ContentType != "" {
		h.Set("Content-Type", m.ContentType)
	}
	return nil
}

// FromHTTP reads the event of a request or response in the binary or the structured mode, which the content
// type tells. body is kept. Errors: ErrInvalid, ErrSpecVersion, ErrContentType (a batch among others:
// use ParseBatch).
func FromHTTP(h http.Header, body []byte) (Message, error) {
	contentType := h.Get("Content-Type")
	if strings.HasPrefix(strings.ToLower(contentType), "application/cloudevents") {
		media, _, _ := strings.Cut(contentType, ";")
		if !strings.EqualFold(strings.TrimSpace(media), ContentStructured) {
			return Message{}, fmt.Errorf("%w: %q", ErrContentType, contentType)
		}
		return ParseJSON(body)
	}
	m := Message{ContentType: contentType}
	for name, values := range h {
		attribute, ok := strings.CutPrefix(name, httpPrefix)
		if !ok {
			continue
		}
		if len(values) != 1 {
			return Message{}, fmt.Errorf("%w: header %s comes %d times", ErrInvalid, name, len(values))
		}
		value, err := percentDecode(values[0])
		if err != nil {
			return Message{}, fmt.Errorf("%w: header %s: %w", ErrInvalid, name, err)
		}
		m.Attributes = append(m.Attributes, Attribute{strings.ToLower(attribute), value})
	}
	if len(body) > 0 {
		m.Data = body
	}
	return m, m.check()
}

// percentEncode encodes what the binding wants encoded: all but printable ASCII, and of that the
// space, the double quote and the percent sign.
func percentEncode(s string) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if c := s[i]; c > ' ' && c < 0x7f && c != '"' && c != '%' {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', digits[c>>4], digits[c&15]})
		}
	}
	return b.String()
}

func percentDecode(s string) (string, error) {
	s = strings.TrimSpace(s)
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		s = strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(s[1 : len(s)-1])
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", fmt.Errorf("%q ends inside an encoded byte", s)
		}
		hi, ok1 := unhex(s[i+1])
		lo, ok2 := unhex(s[i+2])
		if !ok1 || !ok2 {
			return "", fmt.Errorf("%q has %q, which is no encoded byte", s, s[i:i+3])
		}
		b.WriteByte(hi<<4 | lo)
		i += 2
	}
	if !utf8.ValidString(b.String()) {
		return "", fmt.Errorf("%q is not UTF-8", s)
	}
	return b.String(), nil
}

func unhex(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}
