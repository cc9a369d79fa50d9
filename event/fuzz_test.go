package event

import (
	"bytes"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

func FuzzParse(f *testing.F) {
	for _, h := range goldenHeaders() {
		body, err := AppendHeader(nil, &h)
		require.NoError(f, err)
		f.Add(append(body, 0x2a))
		body[5] |= 2
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		checkParse(t, b)
		v, err := Parse(b)
		if err != nil {
			return
		}
		text, err := AppendJSON(nil, nil, "x", 1, v)
		if err != nil {
			return
		}
		h, _, _, err := ParseJSON(nil, text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if want := v.Header(); v.UnknownFlags() == 0 {
			require.Equal(t, want, h)
		}
	})
}

func FuzzDecode(f *testing.F) {
	r := NewRegistry()
	types := []Codec{
		MustRegister[ownOrder](r, "own", 1), MustRegister[customOrder](r, "custom", 1),
		MustRegister[plainOrder](r, "plain", 1), MustRegister[everything](r, "everything", 1),
		MustRegister[loose](r, "loose", 1), MustRegister[customAny](r, "any", 1),
	}
	rnd := fixed(1)
	for i, v := range []any{ownOrder(randomOrder(rnd)), customOrder(randomOrder(rnd)),
		plainOrder(randomOrder(rnd)), randomEverything(rnd, 2), loose{Any: []any{1, "x"}}, customAny{1.5}} {
		p, err := types[i].AppendAny(nil, v)
		require.NoError(f, err)
		f.Add(byte(i), p)
	}
	f.Fuzz(func(t *testing.T, which byte, p []byte) {
		c := types[int(which)%len(types)]
		before := bytes.Clone(p)
		v, err := c.DecodeAny(1, p)
		require.Equal(t, before, p, "the payload was changed")
		if err != nil {
			var de *DecodeError
			if !errors.As(err, &de) {
				t.Fatal(err)
			}
			return
		}
		// What was decoded is a value like any other: it can be stored, and is then stable.
		q, err := c.AppendAny(nil, v)
		if err != nil {
			t.Fatalf("%x: %v", p, err)
		}
		again, err := c.DecodeAny(1, q)
		if err != nil {
			t.Fatalf("%x, then %x: %v", p, q, err)
		}
		q2, err := c.AppendAny(nil, again)
		if err != nil || !bytes.Equal(q, q2) {
			t.Fatalf("%x, then %x, then %x: %v", p, q, q2, err)
		}
	})
}

func FuzzParseJSON(f *testing.F) {
	r := NewRegistry()
	MustRegister[everything](r, "everything", 1)
	f.Add([]byte(`{"eventId":"01020304-0506-0708-090a-0b0c0d0e0f10","eventType":"x","data":{"a":[1,-2.5,null]}}`))
	f.Add([]byte(`{"eventType":"everything","eventVersion":"1.0","timestamp":"2010-12-01T08:26:00Z","data":{"Names":["a"]}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, name, payload, err := ParseJSON(r, b)
		if err != nil {
			if !errors.Is(err, ErrJSON) && !errors.Is(err, ErrVersion) && !errors.As(err, new(*EncodeError)) {
				t.Fatalf("%s: %v is no proper error", b, err)
			}
			return
		}
		if h.ID.IsZero() {
			h.ID = seq(1)
		}
		body, err := AppendHeader(nil, &h)
		if err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		v, err := Parse(append(body, payload...))
		if err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		text, err := AppendJSON(nil, r, name, 0, v)
		if err != nil {
			if errors.As(err, new(*DecodeError)) && name == "everything" {
				return // such as a time that JSON cannot write
			}
			t.Fatalf("%s: %v", b, err)
		}
		h2, name2, payload2, err := ParseJSON(r, text)
		if err != nil || name2 != name || !bytes.Equal(payload, payload2) {
			t.Fatalf("%s, then %s: %v", b, text, err)
		}
		require.Equal(t, h, h2)
	})
}
