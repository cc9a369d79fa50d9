package cloudevents

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace/event"
)

// least is an event with what none may lack, and more members behind that.
func least(more string) []byte {
	return []byte(`{"specversion":"1.0","id":"1","source":"/","type":"shop.order-placed"` + more + `}`)
}

// What the specification forbids, and what could be read in two ways, is no event.
func TestParse_Strict(t *testing.T) {
	for _, more := range []string{
		`,"data":1,"data":2`, `,"data_base64":"","data_base64":""`,
		`,"datacontenttype":"application/json","datacontenttype":"text/json"`,
		`,"n":2147483648`, `,"n":-2147483649`,
		`,"n":"\u007f"`, `,"n":"\u0085"`, `,"n":"\ufdd0"`, `,"n":"\uffff"`, `,"n":"\ud83f\udffe"`,
	} {
		_, err := ParseJSON(least(more))
		require.ErrorIs(t, err, ErrInvalid, more)
	}
	m, err := ParseJSON(least(`,"most":2147483647,"lowest":-2147483648,"n":"\u00a0\ufdcf\ufffd"`))
	require.NoError(t, err)
	require.Equal(t, []string{"2147483647", "-2147483648"}, []string{m.Get("most"), m.Get("lowest")})
	_, err = FromHTTP(http.Header{"Ce-Specversion": {"1.0"}, "Ce-Id": {"1"}, "Ce-Source": {"/"}, "Ce-Type": {"t"}, "Ce-Data": {"x"}}, nil)
	require.ErrorIs(t, err, ErrInvalid, "data is no attribute")
	m, err = FromHTTP(http.Header{"Content-Type": {"Application/CloudEvents+JSON"}}, least(""))
	require.NoError(t, err, "media types have no case")
	require.Equal(t, "1", m.Get("id"))
}

// Numbers that travel as text are numbers, or are ignored where an event can do without.
func TestEvent_Numbers(t *testing.T) {
	for _, bad := range []string{"0", "-1", "x", "1.5"} {
		m, err := ParseJSON(least(`,"streamversion":"` + bad + `"`))
		require.NoError(t, err)
		_, _, _, err = m.Event(nil)
		require.ErrorIs(t, err, ErrInvalid, bad)
		// The sequence is that of another log, in whatever form that has it.
		m, err = ParseJSON(least(`,"sequence":"` + bad + `"`))
		require.NoError(t, err)
		_, _, _, err = m.Event(nil)
		require.NoError(t, err, bad)
	}
}

// Where a source ends and an id begins is part of what an id stands for.
func TestEvent_IDOfAnotherSystem_SourceAndIDAreApart(t *testing.T) {
	id := func(source, id string) event.ID {
		h, _, _, err := Message{Attributes: []Attribute{{"specversion", "1.0"}, {"id", id}, {"source", source}, {"type", "t"}}}.Event(nil)
		require.NoError(t, err)
		return h.ID
	}
	require.NotEqual(t, id("/a", "b c"), id("/a b", "c"))
}

// Media types that mean JSON or msgpack under another name; an empty payload is not none.
func TestEvent_ContentTypes(t *testing.T) {
	r, ty := registry()
	payload, err := ty.AppendPayload(nil, &placed{"17", 990})
	require.NoError(t, err)
	attributes := []Attribute{{"specversion", "1.0"}, {"id", "1"}, {"source", "/"}, {"type", ty.Name()}, {"eventversion", "3"}}
	for contentType, data := range map[string][]byte{
		"":                             []byte(`{"order":"17","milli":990}`),
		"text/json":                    []byte(`{"order":"17","milli":990}`),
		"application/vnd.shop+json":    []byte(`{"order":"17","milli":990}`),
		"Application/JSON; charset=x":  []byte(`{"order":"17","milli":990}`),
		ContentMsgpack:                 payload,
		"application/x-msgpack":        payload,
		"application/vnd.msgpack; v=1": payload,
	} {
		h, name, got, err := Message{Attributes: attributes, ContentType: contentType, Data: data}.Event(r)
		require.NoError(t, err, contentType)
		require.Equal(t, ty.Name(), name)
		require.Equal(t, payload, got, contentType)
		require.Equal(t, event.Document, h.Kind, "%s: what the type is registered as", contentType)
	}

	m, err := ParseJSON(least(`,"datacontenttype":"application/msgpack","data_base64":""`))
	require.NoError(t, err)
	require.NotNil(t, m.Data)
	text, err := m.AppendJSON(nil)
	require.NoError(t, err)
	require.Contains(t, string(text), `"data_base64":""`)
	m, err = ParseJSON(least(`,"datacontenttype":"application/msgpack"`))
	require.NoError(t, err)
	require.Nil(t, m.Data)
}

// Nothing is appended of what cannot be written.
func TestAppend_Refuses_LeavesDst(t *testing.T) {
	good := Message{Attributes: []Attribute{{"specversion", "1.0"}, {"id", "1"}, {"source", "/"}, {"type", "t"}}, Data: []byte(`{}`)}
	noJSON, noType, noText := good, good, good
	noJSON.Data = []byte(`{`)
	noType.ContentType, noType.Data = "//", []byte(`{}`)
	noText.Attributes = append([]Attribute{{"subject", "\xff"}}, good.Attributes...)
	for want, m := range map[error]Message{ErrContentType: noJSON, ErrInvalid: noText} {
		text, err := m.AppendJSON([]byte("before"))
		require.ErrorIs(t, err, want)
		require.Equal(t, "before", string(text))
		text, err = AppendBatch([]byte("before"), []Message{good, m})
		require.ErrorIs(t, err, want)
		require.ErrorContains(t, err, "event 1 of the batch")
		require.Equal(t, "before", string(text))
	}
	_, err := noType.AppendJSON(nil)
	require.ErrorIs(t, err, ErrContentType)
}

// A message and an event have bytes of their own: those that they were made of may be used for something else.
func TestMsgpack_IsCopied(t *testing.T) {
	r, ty := registry()
	view := viewOf(t, ty, event.Header{ID: event.ID{1}, Version: 3}, placed{strings.Repeat("x", 9), 1})
	m, err := New(r, ty.Name(), 1, view, Options{Msgpack: true})
	require.NoError(t, err)
	want := string(m.Data)
	clear(view.Payload())
	require.Equal(t, want, string(m.Data))
	_, _, payload, err := m.Event(r)
	require.NoError(t, err)
	clear(m.Data)
	require.Equal(t, want, string(payload))
}

// What a message leaves out has the meaning that is documented, and ids of others stand for the same wherever they stand.
func TestEvent_WhatIsMissing(t *testing.T) {
	m, err := ParseJSON(least(`,"correlationid":"order 7","causationid":"1"`))
	require.NoError(t, err)
	h, _, _, err := m.Event(nil)
	require.NoError(t, err)
	require.Equal(t, uint16(1), h.Version)
	require.Equal(t, h.ID, h.CausationID)
	for i, a := range m.Attributes {
		if a.Name == "id" {
			m.Attributes[i].Value = "order 7"
		}
	}
	of, _, _, err := m.Event(nil)
	require.NoError(t, err)
	require.Equal(t, of.ID, h.CorrelationID)
}

// No sequence is no attribute, and times are UTC wherever the machine stands.
func TestNew_WithoutSequence_InAnotherZone(t *testing.T) {
	was := time.Local
	time.Local = time.FixedZone("east", 3600)
	t.Cleanup(func() { time.Local = was })
	r, ty := registry()
	m, err := New(r, ty.Name(), 0, viewOf(t, ty, event.Header{ID: event.ID{15: 9}, Version: 3}, placed{}), Options{})
	require.NoError(t, err)
	require.Equal(t, "1970-01-01T00:00:00Z", m.Get("time"))
	for _, a := range m.Attributes {
		require.NotEqual(t, "sequence", a.Name)
	}
}

// Headers are encoded as the binding says: quotes on the way out, quoted strings and small hex digits on the way in.
func TestHTTP_Encoding(t *testing.T) {
	m := Message{Attributes: []Attribute{{"specversion", "1.0"}, {"id", `a"b`}, {"source", "/"}, {"type", "t"}}}
	h := http.Header{}
	require.NoError(t, m.SetHTTP(h))
	require.Equal(t, "a%22b", h.Get("Ce-Id"))
	for text, want := range map[string]string{`"a\"b\\c"`: `a"b\c`, `"`: `"`, "%e2%82%ac": "€"} {
		h.Set("Ce-Id", text)
		m, err := FromHTTP(h, []byte{})
		require.NoError(t, err, text)
		require.Equal(t, want, m.Get("id"))
		require.Nil(t, m.Data, "an empty body is no data")
	}
}
