package pack

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vmihailenco/msgpack/v5"
)

// The numbers around each change of width.
var ints = []int64{0, 1, 127, 128, 255, 256, 65535, 65536, 1<<32 - 1, 1 << 32, math.MaxInt64,
	-1, -32, -33, -128, -129, -32768, -32769, -1 << 31, -1<<31 - 1, math.MinInt64}

// Every append gives what vmihailenco's encoder gives, and reads back.
func TestAppend_SameBytesAsMsgpack(t *testing.T) {
	same := func(got []byte, encode func(e *msgpack.Encoder) error, what any) {
		t.Helper()
		var b bytes.Buffer
		e := msgpack.NewEncoder(&b)
		e.UseCompactInts(true)
		require.NoError(t, encode(e))
		require.Equal(t, b.Bytes(), got, "%v", what)
		n, err := Scan(got)
		require.NoError(t, err, "%v", what)
		require.Equal(t, 1, n)
	}
	for _, n := range ints {
		got := AppendInt(nil, n)
		same(got, func(e *msgpack.Encoder) error { return e.EncodeInt(n) }, n)
		r := NewReader(got)
		require.Equal(t, n, r.Int64())
		require.NoError(t, r.Close())
		same(AppendUint(nil, uint64(n)), func(e *msgpack.Encoder) error { return e.EncodeUint(uint64(n)) }, n)
		r = NewReader(AppendUint(nil, uint64(n)))
		require.Equal(t, uint64(n), r.Uint64())
		require.NoError(t, r.Close())
	}
	for _, n := range []int{0, 1, 31, 32, 255, 256, 65535, 65536} {
		s := strings.Repeat("s", n)
		got := AppendString(nil, s)
		same(got, func(e *msgpack.Encoder) error { return e.EncodeString(s) }, n)
		r := NewReader(got)
		require.Equal(t, s, r.Str())
		require.NoError(t, r.Close())
		got = AppendBytes(nil, []byte(s))
		same(got, func(e *msgpack.Encoder) error { return e.EncodeBytes([]byte(s)) }, n)
		r = NewReader(got)
		require.Equal(t, []byte(s), r.Bytes())
		require.NoError(t, r.Close())

		array, pairs := AppendArrayHeader(nil, n), AppendMapHeader(nil, n)
		for range n {
			array = AppendNil(array)
			pairs = AppendNil(AppendNil(pairs))
		}
		same(array, func(e *msgpack.Encoder) error { return e.Encode(make([]any, n)) }, n)
		r = NewReader(array)
		require.Equal(t, n, r.ArrayHeader())
		require.Equal(t, n, r.Len())
		r = NewReader(pairs)
		require.Equal(t, n, r.MapHeader())
		require.Equal(t, 2*n, r.Len())
		_, err := Scan(pairs)
		require.NoError(t, err)
	}
	for _, f := range []float64{0, 1.5, -1e300, math.Inf(1)} {
		same(AppendFloat64(nil, f), func(e *msgpack.Encoder) error { return e.EncodeFloat64(f) }, f)
		same(AppendFloat32(nil, float32(f)), func(e *msgpack.Encoder) error { return e.EncodeFloat32(float32(f)) }, f)
		r := NewReader(AppendFloat32(AppendFloat64(nil, f), float32(f)))
		require.Equal(t, f, r.Float64())
		require.Equal(t, float32(f), r.Float32())
		require.NoError(t, r.Close())
	}
	for _, at := range []time.Time{{}, time.Unix(0, 0), time.Unix(1<<32, 0), time.Unix(1, 999_999_999),
		time.Unix(1<<34, 1), time.Unix(-1, 1)} {
		got := AppendTime(nil, at)
		same(got, func(e *msgpack.Encoder) error { return e.EncodeTime(at) }, at)
		r := NewReader(got)
		require.True(t, at.Equal(r.Time()), "%v", at)
		require.NoError(t, r.Close())
	}
	same(AppendBool(nil, true), func(e *msgpack.Encoder) error { return e.EncodeBool(true) }, true)
	same(AppendBool(nil, false), func(e *msgpack.Encoder) error { return e.EncodeBool(false) }, false)
	same(AppendBytes(nil, nil), func(e *msgpack.Encoder) error { return e.EncodeNil() }, nil)
}

func TestReader_FirstErrorSticksAndSaysWhere(t *testing.T) {
	b := AppendString(AppendInt(AppendArrayHeader(nil, 2), 7), "x")
	for name, c := range map[string]struct {
		read   func(r *Reader)
		want   error
		offset int
	}{
		"type":         {func(r *Reader) { r.Int64() }, ErrType, 0},
		"count":        {func(r *Reader) { r.Tuple(3) }, ErrCount, 0},
		"bool":         {func(r *Reader) { r.ArrayHeader(); r.Bool() }, ErrType, 1},
		"string":       {func(r *Reader) { r.ArrayHeader(); r.Str() }, ErrType, 1},
		"time":         {func(r *Reader) { r.ArrayHeader(); r.Time() }, ErrType, 1},
		"map":          {func(r *Reader) { r.MapHeader() }, ErrType, 0},
		"float":        {func(r *Reader) { r.Float64() }, ErrType, 0},
		"left over":    {func(r *Reader) { r.Tuple(2); r.Int64() }, ErrTrailing, 2},
		"past the end": {func(r *Reader) { r.Skip(); r.Int64() }, ErrTruncated, 4},
		"skip the end": {func(r *Reader) { r.Skip(); r.Skip() }, ErrTruncated, 4},
	} {
		t.Run(name, func(t *testing.T) {
			r := NewReader(b)
			c.read(&r)
			err := r.Close()
			require.ErrorIs(t, err, c.want)
			var e *Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, c.offset, e.Offset)
			// Nothing moves any more.
			require.Zero(t, r.Int64())
			require.Zero(t, r.Uint64())
			require.Empty(t, r.Str())
			require.Nil(t, r.Bytes())
			require.Nil(t, r.Raw())
			require.Nil(t, r.Value())
			require.False(t, r.Nil())
			require.False(t, r.Bool())
			require.Zero(t, r.Float64())
			require.True(t, r.Time().IsZero())
			require.Zero(t, r.ArrayHeader()+r.MapHeader())
			require.Equal(t, KindNone, r.Kind())
			require.Equal(t, err, r.Err())
		})
	}
}

func TestReader_Ranges(t *testing.T) {
	fail := func(b []byte, read func(r *Reader)) {
		t.Helper()
		r := NewReader(b)
		read(&r)
		require.ErrorIs(t, r.Close(), ErrRange)
		require.Zero(t, r.Offset())
	}
	fail(AppendUint(nil, 1<<63), func(r *Reader) { r.Int64() })
	fail(AppendInt(nil, -1), func(r *Reader) { r.Uint64() })
	fail(AppendInt(nil, 1<<31), func(r *Reader) { r.Int32() })
	fail(AppendInt(nil, -1), func(r *Reader) { r.Uint32() })
	fail(AppendInt(nil, 1<<16), func(r *Reader) { r.Uint16() })
	fail(AppendInt(nil, 256), func(r *Reader) { r.Uint8() })
	fail([]byte{codeFixExt1 + 3, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}, func(r *Reader) { r.Time() })
	r := NewReader([]byte{codeInt64, 0, 0, 0, 0, 0, 0, 0, 5}) // wide, and not below zero
	require.EqualValues(t, 5, r.Uint64())
	require.NoError(t, r.Close())
	r = NewReader(AppendUint(nil, math.MaxUint64))
	require.Equal(t, float64(math.MaxUint64), r.Float64())
}

func TestScan_Refuses(t *testing.T) {
	for name, c := range map[string]struct {
		b    []byte
		want error
	}{
		"never used":       {[]byte{0xc1}, ErrCode},
		"in an array":      {[]byte{0x92, 1, 0xc1}, ErrCode},
		"huge array":       {[]byte{0xdd, 0xff, 0xff, 0xff, 0xff}, ErrTruncated},
		"huge map":         {[]byte{0xdf, 0xff, 0xff, 0xff, 0xff, 1, 1}, ErrTruncated},
		"huge text":        {[]byte{0xdb, 0xff, 0xff, 0xff, 0xff}, ErrTruncated},
		"huge ext":         {[]byte{0xc9, 0xff, 0xff, 0xff, 0xff, 1}, ErrTruncated},
		"map without half": {[]byte{0x81, 1}, ErrTruncated},
		"too deep":         {append(bytes.Repeat([]byte{0x91}, MaxDepth+1), 1), ErrDepth},
		"too deep, empty":  {append(bytes.Repeat([]byte{0x91}, MaxDepth), 0x90), ErrDepth},
		"empty map":        {append(bytes.Repeat([]byte{0x91}, MaxDepth), 0x80), ErrDepth},
		"bomb":             {bytes.Repeat([]byte{0x91}, 1<<20), ErrDepth},
	} {
		_, err := Scan(c.b)
		require.ErrorIs(t, err, c.want, name)
	}
	_, err := Scan(append(bytes.Repeat([]byte{0x91}, MaxDepth), 1))
	require.NoError(t, err)
	n, err := Scan(nil)
	require.NoError(t, err)
	require.Zero(t, n)
}

// Cut anywhere, a value is truncated, and nothing else.
func TestScan_EveryCut(t *testing.T) {
	b := everyCode()
	_, err := Scan(b)
	require.NoError(t, err)
	for n := 1; n < len(b); n++ {
		_, err := Scan(b[:n])
		require.ErrorIs(t, err, ErrTruncated, "cut to %d", n)
		r := NewReader(b[:n])
		r.Skip()
		require.ErrorIs(t, r.Close(), ErrTruncated, "cut to %d", n)
	}
}

// everyCode is one array with a value of every code of fewer than 300 bytes.
func everyCode() []byte {
	var values [][]byte
	for c := range 256 {
		b := append([]byte{byte(c)}, make([]byte, 400)...)
		if c == codeNever {
			continue
		}
		r := NewReader(b)
		raw := r.Raw()
		values = append(values, raw)
	}
	b := AppendArrayHeader(nil, len(values))
	return append(b, bytes.Join(values, nil)...)
}

func TestScanExtensions(t *testing.T) {
	b := []byte{0x93, 0xd4, 5, 0xaa, 0xc7, 0, 1, 0xc7, 2, 1, 0xd4, 0xd4}
	n, offsets, err := ScanExtensions(b, []int{-1})
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Equal(t, []int{-1, 3, 10}, offsets)
}

func TestSortMaps(t *testing.T) {
	entries := func(order []int) []byte {
		b := AppendMapHeader([]byte{0x91}, len(order))
		for _, i := range order {
			b = AppendInt(b, int64(i))
			b = AppendMapHeader(b, 2)
			for j := range 2 {
				b = AppendInt(AppendString(b, string(rune('a'+(j+i)%2))), int64((j+i)%2))
			}
		}
		return b
	}
	var want []byte
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		b := entries(rnd.Perm(40))
		require.NoError(t, SortMaps(b))
		if want == nil {
			want = b
		}
		// Inner maps start in another order by i, so only those of one i compare: sort gives both.
		require.True(t, bytes.Equal(want, b), "seed %d", seed)
		_, err := Scan(b)
		require.NoError(t, err)
	}
	bad := []byte{0x82, 2, 2, 1}
	require.ErrorIs(t, SortMaps(bad), ErrTruncated)
	require.Equal(t, []byte{0x82, 2, 2, 1}, bad)
}

func TestAppendJSON(t *testing.T) {
	for want, b := range map[string][]byte{
		`null`:                             {},
		`[1,2]`:                            {1, 2},
		`{"1":2,"true":3}`:                 {0x82, 1, 2, 0xc3, 3},
		`{"kQE=":{},"null":[]}`:            {0x82, 0x91, 1, 0x80, 0xc0, 0x90},
		`{"AQ==":-1}`:                      {0x81, 0xc4, 1, 1, 0xff},
		`"NaN"`:                            AppendFloat64(nil, math.NaN()),
		`"Infinity"`:                       AppendFloat32(nil, float32(math.Inf(1))),
		`"-Infinity"`:                      AppendFloat64(nil, math.Inf(-1)),
		`0.1`:                              AppendFloat32(nil, 0.1),
		`3.0`:                              AppendFloat64(nil, 3),
		`1e+30`:                            AppendFloat64(nil, 1e30),
		`18446744073709551615`:             AppendUint(nil, math.MaxUint64),
		`"a\"\\\n\t\u0001é\ufffd"`:         AppendString(nil, "a\"\\\n\t\x01é\xff"),
		`"1970-01-01T00:00:00.000000001Z"`: AppendTime(nil, time.Unix(0, 1)),
		`{"ext":5,"data":"qg=="}`:          {0xd4, 5, 0xaa},
		`{"ext":-1,"data":"qg=="}`:         {0xd4, 0xff, 0xaa},
	} {
		got, err := AppendJSON([]byte("x"), b)
		require.NoError(t, err)
		require.Equal(t, "x"+strings.ReplaceAll(want, `\ufffd`, "\ufffd"), string(got))
		require.True(t, json.Valid(got[1:]), "%s", got)
	}
	deep := bytes.Repeat([]byte{0x81}, MaxDepth) // keys within keys
	deep = append(deep, bytes.Repeat([]byte{0xc0}, MaxDepth+1)...)
	text, err := AppendJSON(nil, deep)
	require.NoError(t, err)
	require.Less(t, len(text), 2*len(deep))
	out, err := AppendJSON([]byte("x"), []byte{0x91})
	require.ErrorIs(t, err, ErrTruncated)
	require.Equal(t, "x", string(out))

	// What is written nests no deeper than what is read: an extension is an object there, several values an array.
	array, ext, moment := bytes.Repeat([]byte{0x91}, MaxDepth), []byte{0xd4, 5, 0xaa}, AppendTime(nil, time.Unix(0, 1))
	_, err = AppendJSON(nil, slices.Concat(array, ext))
	require.ErrorIs(t, err, ErrDepth)
	for name, b := range map[string][]byte{
		"time": slices.Concat(array, moment), "extension": slices.Concat(array[1:], ext),
		"key": slices.Concat(array[1:], []byte{0x81}, ext, []byte{0xc0}), "two": slices.Concat(array[1:], []byte{1, 1}),
	} {
		text, err := AppendJSON(nil, b)
		require.NoError(t, err, name)
		var v any
		require.NoError(t, json.Unmarshal(text, &v), name)
		_, err = AppendValue(nil, v)
		require.NoError(t, err, name)
	}
	out, err = AppendJSON([]byte("x"), slices.Concat([]byte{1}, array, []byte{1}))
	require.ErrorIs(t, err, ErrDepth)
	require.Equal(t, "x", string(out))
}

func TestValue(t *testing.T) {
	in := map[string]any{
		"a": []any{nil, true, int64(-5), uint64(math.MaxUint64), 1.5, "s", []byte{1}, time.Unix(5, 6).UTC()},
		"m": map[string]any{"x": int64(1)},
	}
	b, err := AppendValue([]byte{}, in)
	require.NoError(t, err)
	r := NewReader(b)
	require.Equal(t, in, r.Value())
	require.NoError(t, r.Close())

	_, err = AppendValue(nil, struct{}{})
	require.ErrorIs(t, err, ErrType)
	_, err = AppendValue(nil, json.Number("x"))
	require.ErrorIs(t, err, ErrRange)
	var deep any
	for range MaxDepth + 1 {
		deep = []any{deep}
	}
	_, err = AppendValue(nil, deep)
	require.ErrorIs(t, err, ErrDepth)
	deep = map[string]any{}
	for range MaxDepth {
		deep = map[string]any{"x": deep}
	}
	_, err = AppendValue(nil, deep)
	require.ErrorIs(t, err, ErrDepth)

	for name, b := range map[string][]byte{
		"key": {0x81, 1, 1}, "deep": append(bytes.Repeat([]byte{0x91}, MaxDepth+1), 1),
		"deep map": append(bytes.Repeat([]byte{0x81, 0xa0}, MaxDepth+1), 1),
		"cut":      {0x92, 1}, "ext": {0xd4, 1, 1}, "never": {0xc1}, "bomb": {0xdd, 255, 255, 255, 255},
	} {
		r := NewReader(b)
		r.Value()
		require.Error(t, r.Close(), name)
	}
}

func FuzzReader(f *testing.F) {
	f.Add(everyCode())
	f.Add([]byte{0x81, 0xa1, 'x', 0xd7, 0xff, 0, 0, 0, 0, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := Scan(b)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Offset > len(b) {
				t.Fatal(err)
			}
		}
		// The reader and the scan agree on what is well formed.
		r := NewReader(b)
		count := 0
		for r.Len() > 0 && r.Err() == nil {
			if r.Kind() == KindNone && err == nil {
				t.Fatalf("%x: no kind at %d", b, r.Offset())
			}
			r.Skip()
			count++
		}
		if (r.Close() == nil) != (err == nil) || err == nil && count != n {
			t.Fatalf("%x: scan %d, %v; reader %d, %v", b, n, err, count, r.Err())
		}
		text, jsonErr := AppendJSON(nil, b)
		if (jsonErr == nil) != (err == nil) || err == nil && !json.Valid(text) {
			t.Fatalf("%x: %s, %v", b, text, jsonErr)
		}
		r = NewReader(b)
		r.Value()
		if err != nil {
			return
		}
		sorted := bytes.Clone(b)
		if err := SortMaps(sorted); err != nil {
			t.Fatal(err)
		}
		again := bytes.Clone(sorted)
		if err := SortMaps(again); err != nil || !bytes.Equal(sorted, again) {
			t.Fatalf("%x: sorted %x, again %x, %v", b, sorted, again, err)
		}
	})
}
