package event

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace/event/pack"
)

func bodyOf(t testing.TB, h Header, payload []byte) View {
	t.Helper()
	body, err := AppendHeader(nil, &h)
	require.NoError(t, err)
	v, err := Parse(append(body, payload...))
	require.NoError(t, err)
	return v
}

func TestAppendJSON_AllMembers(t *testing.T) {
	r := NewRegistry()
	ty := MustRegister[line](r, "line", 0x0203, TypeOptions{Kind: Command})
	payload, err := ty.AppendPayload(nil, &line{"<tea>", 3})
	require.NoError(t, err)
	got, err := AppendJSON([]byte("x"), r, "line", 7, bodyOf(t, goldenHeaders()["full"], payload))
	require.NoError(t, err)
	start, _, _ := strings.Cut(string(got), `,"sequence"`)
	require.Equal(t, `x{"eventId":"10111213-1415-1617-1819-1a1b1c1d1e1f","eventType":"line",`+
		`"eventVersion":"515.0","timestamp":"1972-04-20T13:17:39.790382856Z"`, start)
	require.Contains(t, string(got), `,"sequence":7,"correlationId":"30313233-3435-3637-3839-3a3b3c3d3e3f",`+
		`"causationId":"50515253-5455-5657-5859-5a5b5c5d5e5f","producer":"shop","kind":"command",`+
		`"key":"order/42","origin":{"handler":"1112131415161718","cause":9326208557065767,"ordinal":3,`+
		`"outputs":5,"depth":2},"traceparent":"00-707172737475767778797a7b7c7d7e7f-0102030405060708-01",`+
		`"idempotent":true,"extensions":"3q0=","data":{"article":"<tea>","count":3}}`)
	require.True(t, json.Valid(got[1:]))
}

func TestAppendJSON_StreamVersion(t *testing.T) {
	got, err := AppendJSON(nil, nil, "unknown", 0, bodyOf(t, goldenHeaders()["streamed"], nil))
	require.NoError(t, err)
	require.Contains(t, string(got), `"key":"order/42","streamVersion":258,"data":null}`)
}

func TestAppendJSON_LeavesOutWhatIsNotThere(t *testing.T) {
	got, err := AppendJSON(nil, nil, "unknown", 0, bodyOf(t, Header{ID: seq(1)}, nil))
	require.NoError(t, err)
	require.Equal(t, `{"eventId":"01020304-0506-0708-090a-0b0c0d0e0f10","eventType":"unknown",`+
		`"eventVersion":"1.0","timestamp":"1970-01-01T00:00:00Z","kind":"notification","data":null}`, string(got))
}

func TestJSON_RoundTrip(t *testing.T) {
	r := NewRegistry()
	ty := MustRegister[everything](r, "everything", 4)
	for seed := range uint64(rounds(t, 2000)) {
		rnd := fixed(seed)
		h := randomHeader(rnd)
		h.Version = 4
		in := randomEverything(rnd, 3)
		payload, err := ty.AppendPayload(nil, in)
		require.NoError(t, err)
		text, err := AppendJSON(nil, r, "everything", int64(seed), bodyOf(t, h, payload))
		require.NoError(t, err, "seed %d", seed)
		got, name, back, err := ParseJSON(r, text)
		require.NoError(t, err, "seed %d: %s", seed, text)
		require.Equal(t, "everything", name)
		require.Equal(t, h, got, "seed %d", seed)
		var out everything
		require.NoError(t, ty.Decode(back, &out))
		require.True(t, in.At.Equal(out.At))
		require.True(t, bytes.Equal(payload, back), "seed %d: %s", seed, text)
	}
}

func TestJSON_UnknownType_RoundTrip(t *testing.T) {
	for seed := range uint64(rounds(t, 5000)) {
		rnd := fixed(seed)
		value := map[string]any{
			"t": randomText(rnd, 9), "i": rnd.Int64() >> rnd.IntN(64), "u": rnd.Uint64()>>1 | 1<<63, "b": true,
			"f": rnd.NormFloat64() * math.Pow(10, float64(rnd.IntN(60)-30)), "n": nil, "whole": 3.0,
			"a": []any{int64(1), randomText(rnd, 3), map[string]any{}}, randomText(rnd, 4): []any{},
		}
		payload, err := pack.AppendValue(nil, value)
		require.NoError(t, err)
		h := randomHeader(rnd)
		text, err := AppendJSON(nil, nil, "x", 0, bodyOf(t, h, payload))
		require.NoError(t, err)
		got, _, back, err := ParseJSON(nil, text)
		require.NoError(t, err, "seed %d: %s", seed, text)
		require.Equal(t, h, got)
		require.True(t, bytes.Equal(payload, back), "seed %d: %s", seed, text)
	}
}

func TestAppendJSON_OtherVersion_IsTakenAsItIs(t *testing.T) {
	r := NewRegistry()
	MustRegister[priced](r, "priced", 2)
	payload, err := pack.AppendValue(nil, map[string]any{"Old": 1})
	require.NoError(t, err)
	text, err := AppendJSON(nil, r, "priced", 0, bodyOf(t, Header{ID: seq(1)}, payload))
	require.NoError(t, err)
	require.Contains(t, string(text), `"eventVersion":"1.0"`)
	require.Contains(t, string(text), `"data":{"Old":1}`)
	_, _, _, err = ParseJSON(r, text)
	var ve *VersionError
	require.ErrorAs(t, err, &ve)
}

type panicky struct{ X int }

func (panicky) MarshalJSON() ([]byte, error)  { panic("no JSON today") }
func (*panicky) UnmarshalJSON(b []byte) error { panic("none at all") }

func TestAppendJSON_Errors(t *testing.T) {
	r := NewRegistry()
	ty := MustRegister[loose](r, "loose", 1)
	pk := MustRegister[panicky](r, "panicky", 1)

	_, err := AppendJSON(nil, r, "loose", 0, View{})
	require.ErrorIs(t, err, ErrMalformed)
	out, err := AppendJSON([]byte("x"), r, "loose", 0, bodyOf(t, Header{ID: seq(1)}, []byte{1, 2}))
	require.ErrorIs(t, err, ErrMalformed)
	require.Equal(t, "x", string(out))
	_, err = AppendJSON(nil, nil, "loose", 0, bodyOf(t, Header{ID: seq(1)}, []byte{0xc1}))
	require.ErrorIs(t, err, ErrMalformed)

	nan, err := ty.AppendPayload(nil, &loose{Any: math.NaN()})
	require.NoError(t, err)
	out, err = AppendJSON(nil, r, "loose", 0, bodyOf(t, Header{ID: seq(1)}, nan))
	require.NoError(t, err)
	require.Contains(t, string(out), `"data":{"Any":"NaN","Bag":null}`)

	p, err := pk.AppendPayload(nil, &panicky{1})
	require.NoError(t, err)
	var pe *PanicError
	_, err = AppendJSON(nil, r, "panicky", 0, bodyOf(t, Header{ID: seq(1)}, p))
	require.ErrorAs(t, err, &pe)
	_, _, _, err = ParseJSON(r, []byte(`{"eventType":"panicky","data":{}}`))
	require.ErrorAs(t, err, &pe)
	require.ErrorIs(t, err, ErrJSON)
}

func TestParseJSON_OfOtherSystems(t *testing.T) {
	r := NewRegistry()
	ty := MustRegister[line](r, "line", 1, TypeOptions{Kind: Document})
	h, name, payload, err := ParseJSON(r, []byte(`{"eventType":"line","eventVersion":"1","more":[1],
		"timestamp":"2010-12-01T09:26:00+01:00","correlationId":null,"causationId":"","data":{"count":2}}`))
	require.NoError(t, err)
	require.Equal(t, "line", name)
	at := time.Date(2010, 12, 1, 8, 26, 0, 0, time.UTC).UnixNano()
	require.Equal(t, Header{Kind: Document, Version: 1, Time: at}, h)
	var l line
	require.NoError(t, ty.Decode(payload, &l))
	require.Equal(t, line{Count: 2}, l)

	h, _, payload, err = ParseJSON(nil, []byte(`{"eventType":"x"}`))
	require.NoError(t, err)
	require.Equal(t, Header{Kind: Notification, Version: 1}, h)
	require.Equal(t, []byte{0xc0}, payload)
}

func TestParseJSON_Refuses(t *testing.T) {
	r := NewRegistry()
	MustRegister[line](r, "line", 1)
	deep := func(n int) string {
		return string(bytes.Repeat([]byte("["), n)) + string(bytes.Repeat([]byte("]"), n))
	}
	for _, bad := range []string{
		``, `[]`, `{"eventType":"x"`, `{}`, `{"eventType":""}`, `{"eventType":"a b"}`, `{"eventType":7}`,
		`{"eventType":"x","eventId":"1"}`, `{"eventType":"x","eventVersion":"0"}`,
		`{"eventType":"x","eventVersion":"1.1"}`, `{"eventType":"x","eventVersion":"65536"}`,
		`{"eventType":"x","eventVersion":"1.0.0"}`, `{"eventType":"x","eventVersion":"-1"}`,
		`{"eventType":"x","timestamp":"yesterday"}`, `{"eventType":"x","timestamp":"2300-01-01T00:00:00Z"}`,
		`{"eventType":"x","kind":"query"}`, `{"eventType":"x","streamVersion":-1}`, `{"eventType":"x","traceparent":"00"}`,
		`{"eventType":"x","extensions":"*"}`, `{"eventType":"x","origin":{"handler":"12"}}`,
		`{"eventType":"x","origin":{"handler":"x112131415161718"}}`,
		`{"eventType":"x","producer":"` + string(bytes.Repeat([]byte("p"), 256)) + `"}`,
		`{"eventType":"x","data":1e999}`, `{"eventType":"line","data":{"count":"many"}}`,
		`{"eventType":"x","data":` + deep(pack.MaxDepth+1) + `}`, `{"eventType":"x","data":` + deep(20000) + `}`,
	} {
		h, name, payload, err := ParseJSON(r, []byte(bad))
		require.ErrorIs(t, err, ErrJSON, "%.80s", bad)
		require.Empty(t, name)
		require.Empty(t, payload)
		require.Equal(t, Header{}, h)
	}
	_, _, _, err := ParseJSON(nil, []byte(`{"eventType":"x","data":`+deep(pack.MaxDepth)+`}`))
	require.NoError(t, err)
}
