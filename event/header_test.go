package event

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the golden files; never for a version that is out")

func seq(from byte) (id ID) {
	for i := range id {
		id[i] = from + byte(i)
	}
	return id
}

// goldenHeaders are the bodies of testdata/v1, each with the payload 0x2a.
func goldenHeaders() map[string]Header {
	return map[string]Header{
		"minimal": {ID: seq(0x10)},
		"full": {
			Kind: Command, Version: 0x0203, Time: 0x0102030405060708, ID: seq(0x10),
			CorrelationID: seq(0x30), CausationID: seq(0x50), HasOrigin: true,
			Origin:   Origin{Handler: 0x1112131415161718, Cause: 0x21222324252627, Ordinal: 3, Outputs: 5, Depth: 2},
			Trace:    Trace{TraceID: seq(0x70), SpanID: [8]byte{1, 2, 3, 4, 5, 6, 7, 8}, Flags: 1},
			Producer: "shop", Key: "order/42", Idempotent: true, Extensions: []byte{0xde, 0xad},
		},
		"versioned": {Kind: Notification, Version: 1, ID: seq(1), StreamVersion: 0x0102030405060708},
		"streamed": {
			Kind: Notification, Version: 1, Time: 5, ID: seq(1), CausationID: seq(0x50), Producer: "orders", Key: "order/42",
			StreamVersion: 258,
		},
		"keyed": {Kind: Document, Version: 1, Time: -1, ID: seq(1), Key: "ключ"},
	}
}

func TestAppendHeader_Golden(t *testing.T) {
	for name, h := range goldenHeaders() {
		t.Run(name, func(t *testing.T) {
			body, err := AppendHeader(nil, &h)
			require.NoError(t, err)
			body = append(body, 0x2a)
			file := filepath.Join("testdata", "v1", name+".hex")
			if *update {
				require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
				require.NoError(t, os.WriteFile(file, []byte(hexLines(body)), 0o644))
			}
			want, err := os.ReadFile(file)
			require.NoError(t, err)
			require.Equal(t, string(want), hexLines(body))

			stored, err := hex.DecodeString(strings.Join(strings.Fields(string(want)), ""))
			require.NoError(t, err)
			v, err := Parse(stored)
			require.NoError(t, err)
			if h.Kind == 0 {
				h.Kind, h.Version = Notification, 1
			}
			require.Equal(t, h, v.Header())
			require.Equal(t, []byte{0x2a}, v.Payload())
		})
	}
}

func hexLines(b []byte) string {
	var s strings.Builder
	for len(b) > 0 {
		n := min(len(b), 16)
		s.WriteString(hex.EncodeToString(b[:n]) + "\n")
		b = b[n:]
	}
	return s.String()
}

// The layout as its documentation has it, read without the package's own constants.
func TestAppendHeader_FieldsLieWhereTheLayoutSays(t *testing.T) {
	h := goldenHeaders()["full"]
	b, err := AppendHeader([]byte("before"), &h)
	require.NoError(t, err)
	require.Equal(t, "before", string(b[:6]))
	b = b[6:]
	require.Equal(t, []byte{1, 2, 3, 2, 0xff, 0, byte(len(b)), 0, 8, 7, 6, 5, 4, 3, 2, 1}, b[:16])
	require.Equal(t, h.ID[:], b[16:32])
	require.Equal(t, h.CorrelationID[:], b[32:48])
	require.Equal(t, h.CausationID[:], b[48:64])
	require.Equal(t, []byte{0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11}, b[64:72])
	require.Equal(t, []byte{0x27, 0x26, 0x25, 0x24, 0x23, 0x22, 0x21, 0}, b[72:80])
	require.Equal(t, []byte{3, 0, 0, 0, 5, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0}, b[80:96])
	require.Equal(t, h.Trace.TraceID[:], b[96:112])
	require.Equal(t, []byte{1, 2, 3, 4, 5, 6, 7, 8, 1, 0, 0, 0, 0, 0, 0, 0}, b[112:128])
	require.Equal(t, "\x04shop\x08\x00order/42\x02\x00\xde\xad", string(b[128:]))
}

func TestHeader_RoundTrip(t *testing.T) {
	for seed := range uint64(rounds(t, 20_000)) {
		rnd := fixed(seed)
		h := randomHeader(rnd)
		body, err := AppendHeader(make([]byte, 0, rnd.IntN(4000)), &h)
		require.NoError(t, err, "seed %d", seed)
		payload := []byte(randomText(rnd, 50))
		v, err := Parse(append(body, payload...))
		require.NoError(t, err, "seed %d", seed)
		require.Equal(t, h, v.Header(), "seed %d", seed)
		require.True(t, bytes.Equal(payload, v.Payload()), "seed %d", seed)
		require.Zero(t, v.UnknownFlags())
	}
}

func TestAppendHeader_Refuses(t *testing.T) {
	ok := goldenHeaders()["full"]
	text := func(n int) string { return strings.Repeat("x", n) }
	for name, c := range map[string]struct {
		change func(*Header)
		field  string
		want   error
	}{
		"kind":                {func(h *Header) { h.Kind = 4 }, "Kind", ErrHeader},
		"no id":               {func(h *Header) { h.ID = ID{} }, "ID", ErrHeader},
		"half a trace":        {func(h *Header) { h.Trace.SpanID = [8]byte{} }, "Trace", ErrHeader},
		"flags only":          {func(h *Header) { h.Trace = Trace{Flags: 1} }, "Trace", ErrHeader},
		"long producer":       {func(h *Header) { h.Producer = text(256) }, "Producer", ErrFieldTooLong},
		"long key":            {func(h *Header) { h.Key = text(1 << 16) }, "Key", ErrFieldTooLong},
		"long extensions":     {func(h *Header) { h.Extensions = make([]byte, 1<<16) }, "Extensions", ErrFieldTooLong},
		"long together":       {func(h *Header) { h.Key, h.Extensions = text(40000), make([]byte, 30000) }, "Header", ErrFieldTooLong},
		"stream version":      {func(h *Header) { h.StreamVersion = -1 }, "StreamVersion", ErrHeader},
		"source too long":     {func(h *Header) { h.Source = string(make([]byte, 256)) }, "Source", ErrFieldTooLong},
		"source not UTF-8":    {func(h *Header) { h.Source = "\xff" }, "Source", ErrHeader},
		"offset negative":     {func(h *Header) { h.Source, h.SourceOffset = "q", -1 }, "SourceOffset", ErrHeader},
		"offset of nothing":   {func(h *Header) { h.SourceOffset = 1 }, "SourceOffset", ErrHeader},
		"producer not UTF-8":  {func(h *Header) { h.Producer = "\xff" }, "Producer", ErrHeader},
		"key not UTF-8":       {func(h *Header) { h.Key = "a\xc3" }, "Key", ErrHeader},
		"key of 65535, bytes": {func(h *Header) { h.Key = text(MaxHeaderBytes) }, "Header", ErrFieldTooLong},
	} {
		t.Run(name, func(t *testing.T) {
			h := ok
			c.change(&h)
			dst := []byte("dst")
			out, err := AppendHeader(dst, &h)
			require.ErrorIs(t, err, c.want)
			var fe *FieldError
			require.ErrorAs(t, err, &fe)
			require.Equal(t, c.field, fe.Field)
			require.Equal(t, dst, out)
		})
	}
}

func TestAppendHeader_LongestHeader(t *testing.T) {
	h := Header{ID: seq(1), Key: strings.Repeat("k", MaxHeaderBytes-MinBodyBytes-2)}
	body, err := AppendHeader(nil, &h)
	require.NoError(t, err)
	require.Len(t, body, MaxHeaderBytes)
	v, err := Parse(body)
	require.NoError(t, err)
	require.Equal(t, h.Key, v.Key())
	require.Empty(t, v.Payload())
}

// Every header has one encoding: whatever Parse accepts, AppendHeader writes in the same bytes.
func TestParse_EveryCutAndEveryFlippedBit(t *testing.T) {
	for name, h := range goldenHeaders() {
		body, err := AppendHeader(nil, &h)
		require.NoError(t, err)
		for n := range len(body) {
			_, err := Parse(body[:n])
			require.ErrorIs(t, err, ErrMalformed, "%s cut to %d", name, n)
		}
		for bit := range len(body) * 8 {
			b := bytes.Clone(body)
			b[bit/8] ^= 1 << (bit % 8)
			checkParse(t, b)
		}
	}
}

// checkParse holds of any bytes.
func checkParse(t testing.TB, b []byte) {
	v, err := Parse(b)
	if err != nil {
		var m *MalformedError
		if !errors.As(err, &m) || !errors.Is(err, ErrMalformed) || m.Offset < 0 || m.Offset > len(b) {
			t.Fatalf("%x: %v is no proper error", b, err)
		}
		if !v.IsZero() {
			t.Fatalf("%x: a view beside an error", b)
		}
		return
	}
	h := v.Header()
	again, err := AppendHeader(nil, &h)
	if err != nil {
		t.Fatalf("%x: what was read cannot be written: %v", b, err)
	}
	if v.UnknownFlags() == 0 && !bytes.Equal(again, b[:len(b)-len(v.Payload())]) {
		t.Fatalf("%x: another encoding: %x", b, again)
	}
}

func TestParse_UnknownFlag_SkipsItsGroup(t *testing.T) {
	h := goldenHeaders()["full"]
	body, err := AppendHeader(nil, &h)
	require.NoError(t, err)
	body[5] |= 0x80
	body = append(body, "a group of a later version"...)
	body[6] = byte(len(body))
	body = append(body, 0x2a)
	v, err := Parse(body)
	require.NoError(t, err)
	require.EqualValues(t, 0x8000, v.UnknownFlags())
	require.Equal(t, h, v.Header())
	require.Equal(t, []byte{0x2a}, v.Payload())

	body[5] = 0 // without the flag the same bytes are garbage
	_, err = Parse(body)
	require.ErrorIs(t, err, ErrMalformed)
}

func TestView_Zero(t *testing.T) {
	var v View
	require.True(t, v.IsZero())
	require.Equal(t, Header{}, v.Header())
	require.Empty(t, v.Payload())
	_, ok := v.Origin()
	require.False(t, ok)
}

func TestHeader_DoesNotAllocate(t *testing.T) {
	slot := make([]byte, 0, 512)
	noAllocs(t, "append, parse, read", func() {
		h := Header{
			ID: seq(1), CorrelationID: seq(2), Producer: "shop", Key: "order/42", HasOrigin: true,
			Origin: Origin{Handler: 1, Cause: 2},
		}
		body, err := AppendHeader(slot, &h)
		if err != nil {
			panic(err)
		}
		v, err := Parse(body)
		if err != nil || v.ID() != h.ID || string(v.KeyBytes()) != "order/42" || v.Trace() != (Trace{}) {
			panic("wrong")
		}
		if o, ok := v.Origin(); !ok || o != h.Origin {
			panic("wrong origin")
		}
	})
}
