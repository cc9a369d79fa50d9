package cloudevents

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace/event"
)

type placed struct {
	Order string `json:"order"`
	Milli int64  `json:"milli"`
}

func registry() (*event.Registry, *event.Type[placed]) {
	r := event.NewRegistry()
	return r, event.MustRegister[placed](r, "shop.order-placed", 3, event.TypeOptions{Kind: event.Document})
}

// randomHeader has any combination of what travels: everything but origin and extensions.
func randomHeader(rnd *rand.Rand) event.Header {
	id := func() (id event.ID) {
		for i := range id {
			id[i] = byte(rnd.IntN(256))
		}
		return id
	}
	h := event.Header{Kind: event.Kind(1 + rnd.IntN(3)), Version: 3, Time: rnd.Int64() - rnd.Int64(), ID: id(), Idempotent: true}
	if rnd.IntN(2) == 0 {
		h.CorrelationID = id()
	}
	if rnd.IntN(2) == 0 {
		h.CausationID = id()
	}
	if rnd.IntN(2) == 0 {
		h.Producer = []string{"web", "a/b c", "büro", "%41"}[rnd.IntN(4)]
	}
	if rnd.IntN(2) == 0 {
		h.Key = []string{"42", "Größe 7", `a"b\c`, "a%20b", "日本"}[rnd.IntN(5)]
	}
	if rnd.IntN(2) == 0 {
		h.Source, h.SourceOffset = []string{"kafka/orders/3", "a b%", "日本"}[rnd.IntN(3)], rnd.Int64()*int64(rnd.IntN(2))
	}
	if rnd.IntN(2) == 0 {
		h.StreamVersion = 1 + rnd.Int64N(1<<62)
	}
	if rnd.IntN(2) == 0 {
		h.Trace = event.Trace{TraceID: id(), SpanID: [8]byte{7: 1}, Flags: byte(rnd.IntN(2))}
	}
	return h
}

func viewOf(t *testing.T, ty *event.Type[placed], h event.Header, v placed) event.View {
	t.Helper()
	body, err := event.AppendHeader(nil, &h)
	require.NoError(t, err)
	body, err = ty.AppendPayload(body, &v)
	require.NoError(t, err)
	view, err := event.Parse(body)
	require.NoError(t, err)
	return view
}

// TestRoundTrip: every mode gives back the header and the payload.
func TestRoundTrip(t *testing.T) {
	r, ty := registry()
	for seed := range uint64(500) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		h := randomHeader(rnd)
		view := viewOf(t, ty, h, placed{fmt.Sprint(seed), int64(seed)})
		m, err := New(r, ty.Name(), int64(seed), view, Options{Source: "/shop", Msgpack: seed%2 == 0})
		require.NoError(t, err, "seed %d", seed)

		text, err := m.AppendJSON([]byte("x"))
		require.NoError(t, err, "seed %d", seed)
		require.True(t, json.Valid(text[1:]), "seed %d: %s", seed, text)
		structured, err := ParseJSON(text[1:])
		require.NoError(t, err, "seed %d: %s", seed, text)

		batch, err := AppendBatch(nil, []Message{m, m})
		require.NoError(t, err, "seed %d", seed)
		both, err := ParseBatch(batch)
		require.NoError(t, err, "seed %d: %s", seed, batch)
		require.Len(t, both, 2)

		headers := http.Header{}
		require.NoError(t, m.SetHTTP(headers), "seed %d", seed)
		binary, err := FromHTTP(headers, m.Data)
		require.NoError(t, err, "seed %d: %v", seed, headers)

		for _, got := range []Message{structured, both[1], binary} {
			gotHeader, name, payload, err := got.Event(r)
			require.NoError(t, err, "seed %d: %+v", seed, got)
			require.Equal(t, h, gotHeader, "seed %d", seed)
			require.Equal(t, ty.Name(), name)
			require.Equal(t, view.Payload(), payload, "seed %d", seed)
		}
	}
}

func TestNew_Attributes(t *testing.T) {
	r, ty := registry()
	h := event.Header{ID: event.ID{15: 9}, Key: "17", Producer: "web server", Version: 3}
	m, err := New(r, ty.Name(), 12, viewOf(t, ty, h, placed{"17", 990}), Options{Source: "/shop/"})
	require.NoError(t, err)
	text, err := m.AppendJSON(nil)
	require.NoError(t, err)
	require.Equal(t, `{"specversion":"1.0","id":"00000000-0000-0000-0000-000000000009","source":"/shop/web%20server",`+
		`"type":"shop.order-placed","subject":"17","time":"1970-01-01T00:00:00Z","partitionkey":"17","sequence":"12",`+
		`"eventversion":"3","eventkind":"notification","producer":"web server","datacontenttype":"application/json",`+
		`"data":{"order":"17","milli":990}}`, string(text))
}

func TestNew_Refuses(t *testing.T) {
	r, ty := registry()
	_, err := New(r, ty.Name(), 1, event.View{}, Options{})
	require.ErrorIs(t, err, event.ErrMalformed)
	view := viewOf(t, ty, event.Header{ID: event.ID{1}, Key: "a\x01b"}, placed{})
	_, err = New(r, ty.Name(), 1, view, Options{})
	require.ErrorIs(t, err, ErrAttribute)
	require.ErrorContains(t, err, "subject")
	view = viewOf(t, ty, event.Header{ID: event.ID{1}}, placed{})
	_, err = New(r, ty.Name(), 1, view, Options{Source: "http://[::1"})
	require.ErrorIs(t, err, ErrInvalid)
}

// TestEvent_OfAnotherSystem: ids that are no UUIDs, attributes that we do not know, no time.
func TestEvent_OfAnotherSystem(t *testing.T) {
	r, _ := registry()
	parse := func(id, source string) event.Header {
		m, err := ParseJSON([]byte(`{"specversion":"1.0","id":"` + id + `","source":"` + source + `","type":"com.example.x",` +
			`"subject":"k","comexampleother":5,"flag":true,"nothing":null,"data":{"b":1,"a":[true]}}`))
		require.NoError(t, err)
		require.Equal(t, "5", m.Get("comexampleother"))
		require.Equal(t, "true", m.Get("flag"))
		h, name, payload, err := m.Event(r)
		require.NoError(t, err)
		require.Equal(t, "com.example.x", name)
		require.Equal(t, "\x82\xa1a\x91\xc3\xa1b\x01", string(payload))
		require.True(t, h.Idempotent)
		require.Equal(t, "k", h.Key)
		require.Zero(t, h.Time)
		require.Equal(t, event.Notification, h.Kind)
		return h
	}
	a := parse("A-1", "/one")
	require.Equal(t, a.ID, parse("A-1", "/one").ID, "the same event again is a repeat")
	require.NotEqual(t, a.ID, parse("A-1", "/two").ID)
	require.NotEqual(t, a.ID, parse("A-2", "/one").ID)
	require.NotEqual(t, parse("x", "/a").ID, parse(" x", "/a").ID)
}

func TestEvent_TypeInAnotherVersionIsRefused(t *testing.T) {
	r, _ := registry()
	m, err := ParseJSON([]byte(`{"specversion":"1.0","id":"1","source":"/","type":"shop.order-placed","eventversion":"2","data":{}}`))
	require.NoError(t, err)
	_, _, _, err = m.Event(r)
	var version *event.VersionError
	require.ErrorAs(t, err, &version)
}

func TestParse_Refuses(t *testing.T) {
	for text, want := range map[string]error{
		``:   ErrInvalid,
		`[]`: ErrInvalid,
		`{"specversion":"1.0","id":"1","source":"/"}`:                                                   ErrInvalid,
		`{"specversion":"1.0","id":"","source":"/","type":"t"}`:                                         ErrInvalid,
		`{"specversion":"1.0","id":"1","id":"2","source":"/","type":"t"}`:                               ErrInvalid,
		`{"specversion":"0.3","id":"1","source":"/","type":"t"}`:                                        ErrSpecVersion,
		`{"id":"1","source":"/","type":"t"}`:                                                            ErrSpecVersion,
		`{"specversion":"1.0","id":"1","source":"/","type":"t","Big":"x"}`:                              ErrInvalid,
		`{"specversion":"1.0","id":"1","source":"/","type":"t","n":{}}`:                                 ErrInvalid,
		`{"specversion":"1.0","id":"1","source":"/","type":"t","n":1.5}`:                                ErrInvalid,
		`{"specversion":"1.0","id":"1","source":"/","type":"t","data":1,"data_base64":""}`:              ErrInvalid,
		`{"specversion":"1.0","id":"1","source":"/","type":"t","data_base64":"%"}`:                      ErrInvalid,
		`{"specversion":"1.0","id":"1","source":"/","type":"t"} {}`:                                     ErrInvalid,
		`{"specversion":"1.0","id":"1","source":"/","type":"t"`:                                         ErrInvalid,
		`{"specversion":"1.0","id":"1","source":"/","type":"t","datacontenttype":"text/xml","data":""}`: ErrContentType,
		`{"specversion":"1.0","id":"1","source":"/","type":"t","datacontenttype":"//","data":1}`:        ErrContentType,
		`{"specversion":"1.0","id":"1","source":":","type":"t"}`:                                        ErrInvalid,
		`{"specversion":"1.0","id":"a\u0000","source":"/","type":"t"}`:                                  ErrInvalid,
	} {
		_, err := ParseJSON([]byte(text))
		require.ErrorIs(t, err, want, text)
	}
	_, err := ParseBatch([]byte(`[] x`))
	require.ErrorIs(t, err, ErrInvalid)
	_, err = ParseBatch([]byte(`[{"specversion":"1.0"}]`))
	require.ErrorIs(t, err, ErrInvalid)
}

func TestEvent_DataThatIsNoPayload(t *testing.T) {
	base := []Attribute{{"specversion", "1.0"}, {"id", "1"}, {"source", "/"}, {"type", "t"}}
	for _, c := range []struct {
		contentType string
		data        string
		want        error
	}{
		{"text/plain", "x", ErrContentType},
		{ContentMsgpack, "\x92\x01", ErrInvalid},
		{ContentJSON, "{", event.ErrJSON},
	} {
		_, _, _, err := Message{Attributes: base, ContentType: c.contentType, Data: []byte(c.data)}.Event(nil)
		require.ErrorIs(t, err, c.want, c.contentType)
	}
}

func TestFromHTTP(t *testing.T) {
	h := http.Header{}
	for name, value := range map[string]string{"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/", "ce-type": "t",
		"ce-subject": `"Euro %E2%82%AC"`, "Content-Type": "application/json; charset=utf-8"} {
		h.Set(name, value)
	}
	m, err := FromHTTP(h, []byte(`{}`))
	require.NoError(t, err)
	require.Equal(t, "Euro €", m.Get("subject"))

	for _, bad := range []string{"%E2", "%", "%4", "%ZZ", "%ff"} {
		h.Set("ce-subject", bad)
		_, err = FromHTTP(h, nil)
		require.ErrorIs(t, err, ErrInvalid, bad)
	}
	h.Del("ce-subject")
	h.Add("ce-id", "2")
	_, err = FromHTTP(h, nil)
	require.ErrorIs(t, err, ErrInvalid)

	_, err = FromHTTP(http.Header{"Content-Type": {ContentBatch}}, []byte(`[]`))
	require.ErrorIs(t, err, ErrContentType)
	m, err = FromHTTP(http.Header{"Content-Type": {ContentStructured + "; charset=utf-8"}},
		[]byte(`{"specversion":"1.0","id":"1","source":"/","type":"t"}`))
	require.NoError(t, err)
	require.Equal(t, "t", m.Get("type"))
}

// FuzzParse: whatever is accepted can be written and read again with the same meaning.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"specversion":"1.0","id":"1","source":"/","type":"t","time":"2020-01-01T00:00:00Z","data":{"a":1}}`))
	f.Add([]byte(`{"specversion":"1.0","id":"1","source":"/","type":"t","data_base64":"AQI=","datacontenttype":"application/msgpack"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := ParseJSON(text)
		if err != nil {
			return
		}
		out, err := m.AppendJSON(nil)
		if err != nil {
			return // a data_base64 said to be JSON, for one
		}
		again, err := ParseJSON(out)
		require.NoError(t, err, "%s", out)
		require.Equal(t, m.Attributes, again.Attributes)
		h1, n1, p1, err1 := m.Event(nil)
		h2, n2, p2, err2 := again.Event(nil)
		require.Equal(t, err1 == nil, err2 == nil)
		require.Equal(t, h1, h2)
		require.Equal(t, n1, n2)
		require.Equal(t, p1, p2)
	})
}

// The form of an event that was taken in from outside does not change; it comes back with its source and its offset.
func TestSource_Golden(t *testing.T) {
	r, ty := registry()
	h := event.Header{Kind: event.Document, Version: 3, Time: 1_700_000_000_000_000_000, ID: event.IDFromName("golden"), Idempotent: true,
		Producer: "bridge", Key: "42", Source: "kafka/orders/3"}
	for _, offset := range []int64{0, 817} {
		h.SourceOffset = offset
		m, err := New(r, ty.Name(), 7, viewOf(t, ty, h, placed{"42", 990}), Options{})
		require.NoError(t, err)
		text, err := m.AppendJSON(nil)
		require.NoError(t, err)
		golden, err := os.ReadFile(fmt.Sprintf("testdata/source-%d.json", offset))
		require.NoError(t, err)
		require.Equal(t, strings.TrimSpace(string(golden)), string(text))
		back, err := ParseJSON(golden)
		require.NoError(t, err)
		got, _, _, err := back.Event(r)
		require.NoError(t, err)
		require.Equal(t, h, got)
	}
	for _, bad := range []string{`"inboxsource":"q"`, `"inboxoffset":"1"`, `"inboxsource":"q","inboxoffset":"-1"`, `"inboxsource":"q","inboxoffset":"x"`} {
		m, err := ParseJSON([]byte(`{"specversion":"1.0","id":"1","source":"/x","type":"shop.order-placed",` + bad + `}`))
		require.NoError(t, err)
		_, _, _, err = m.Event(r)
		require.ErrorIs(t, err, ErrInvalid, bad)
	}
}
