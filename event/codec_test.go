package event

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vmihailenco/msgpack/v5"

	"github.com/headrace/headrace/event/pack"
)

func orderTypes(t testing.TB) (*Type[ownOrder], *Type[customOrder], *Type[plainOrder]) {
	r := NewRegistry()
	return MustRegister[ownOrder](r, "own", 1), MustRegister[customOrder](r, "custom", 1),
		MustRegister[plainOrder](r, "plain", 1)
}

func roundTrip[T any](t *testing.T, ty *Type[T], v T, why string) {
	t.Helper()
	dst := []byte("head")
	out, err := ty.AppendPayload(dst, &v)
	require.NoError(t, err, why)
	require.Equal(t, "head", string(out[:4]), why)
	var got T
	require.NoError(t, ty.Decode(out[4:], &got), why)
	require.Equal(t, v, got, why)
	again, err := ty.AppendPayload(nil, &got)
	require.NoError(t, err, why)
	require.True(t, bytes.Equal(out[4:], again), "%s: equal values, other bytes", why)
}

func TestType_RoundTrip(t *testing.T) {
	own, custom, plain := orderTypes(t)
	require.Equal(t, codingOwn, own.plan.coding)
	require.Equal(t, codingCustom, custom.plan.coding)
	require.Equal(t, codingReflect, plain.plan.coding)
	for seed := range uint64(rounds(t, 5000)) {
		o := randomOrder(fixed(seed))
		why := fmt.Sprint("seed ", seed)
		roundTrip(t, own, ownOrder(o), why)
		roundTrip(t, custom, customOrder(o), why)
		roundTrip(t, plain, plainOrder(o), why)
	}
}

func TestType_ReflectionRoundTrip(t *testing.T) {
	ty := MustRegister[everything](NewRegistry(), "everything", 1)
	for seed := range uint64(rounds(t, 3000)) {
		rnd := fixed(seed)
		v := randomEverything(rnd, 4)
		payload, err := ty.AppendPayload(nil, v)
		require.NoError(t, err)
		for range 3 { // maps are walked in another order each time
			again, err := ty.AppendPayload(nil, v)
			require.NoError(t, err)
			require.True(t, bytes.Equal(payload, again), "seed %d: equal values, other bytes", seed)
		}
		var got everything
		require.NoError(t, ty.Decode(payload, &got), "seed %d", seed)
		require.Equal(t, v, &got, "seed %d", seed)
	}
}

func TestType_LooseValues_EqualBytes(t *testing.T) {
	ty := MustRegister[loose](NewRegistry(), "loose", 1)
	v := loose{Any: map[string]int{}, Bag: map[string]any{}}
	for i := range 50 {
		v.Any.(map[string]int)[fmt.Sprint(i)] = i
		v.Bag[fmt.Sprint(i)] = map[int]string{i: "x", -i: "y", 1000 * i: "z"}
	}
	first, err := ty.AppendPayload(nil, &v)
	require.NoError(t, err)
	for range 20 {
		again, err := ty.AppendPayload(nil, &v)
		require.NoError(t, err)
		require.Equal(t, first, again)
	}
}

func TestType_Decode_ResetsTheValueAndKeepsNothing(t *testing.T) {
	ty := MustRegister[everything](NewRegistry(), "everything", 1)
	full := randomEverything(fixed(3), 2)
	full.Names, full.Text, full.Bytes = []string{"a", "b"}, "text", []byte("bytes")
	empty, err := ty.AppendPayload(nil, &everything{At: time.Unix(1, 0)})
	require.NoError(t, err)
	got := *full
	require.NoError(t, ty.Decode(empty, &got))
	require.Equal(t, everything{At: time.Unix(1, 0)}, got)

	payload, err := ty.AppendPayload(nil, full)
	require.NoError(t, err)
	require.NoError(t, ty.Decode(payload, &got))
	for i := range payload {
		payload[i] = 0xc1 // the slot is used again
	}
	var other everything
	require.NoError(t, ty.Decode(empty, &other)) // and so is the box
	require.Equal(t, full, &got)

	require.Error(t, ty.Decode(payload, &got))
	require.Equal(t, everything{}, got, "zero after an error")
}

func TestType_DoesNotAllocate(t *testing.T) {
	own, custom, _ := orderTypes(t)
	slot := make([]byte, 0, 256)
	o := randomOrder(fixed(1))
	noAllocs(t, "own", func() {
		v := ownOrder(o) // on the stack: it must not escape
		p, err := own.AppendPayload(slot, &v)
		var got ownOrder
		if err != nil || own.Decode(p, &got) != nil || got != v {
			panic("wrong")
		}
	})
	noAllocs(t, "custom", func() {
		v := customOrder(o)
		p, err := custom.AppendPayload(slot, &v)
		var got customOrder
		if err != nil || custom.Decode(p, &got) != nil || got != v {
			panic("wrong")
		}
	})
	r := own.r
	noAllocs(t, "CodecOf", func() {
		if _, err := CodecOf[ownOrder](r); err != nil {
			panic(err)
		}
	})
}

func TestType_WritesIntoTheSlot(t *testing.T) {
	own, custom, plain := orderTypes(t)
	slot := make([]byte, 512)
	for _, c := range []Codec{own, custom, plain} {
		v, err := c.DecodeAny(1, func() []byte { b, _ := c.AppendAny(nil, newOf(c)); return b }())
		require.NoError(t, err)
		out, err := c.AppendAny(slot[:8], v)
		require.NoError(t, err)
		require.Same(t, &slot[0], &out[0], c.Name())
	}
}

func newOf(c Codec) any {
	switch c.Name() {
	case "own":
		return ownOrder{Order: 1}
	case "custom":
		return customOrder{Order: 1}
	}
	return plainOrder{Order: 1}
}

func TestType_Concurrent(t *testing.T) {
	own, custom, plain := orderTypes(t)
	var wg sync.WaitGroup
	for g := range uint64(4) {
		wg.Go(func() {
			rnd := fixed(g)
			for range rounds(t, 2000) {
				o := randomOrder(rnd)
				for _, c := range []Codec{own, custom, plain} {
					var v any
					switch c {
					case Codec(own):
						v = ownOrder(o)
					case Codec(custom):
						v = customOrder(o)
					default:
						v = plainOrder(o)
					}
					p, err := c.AppendAny(nil, v)
					if err != nil {
						t.Errorf("seed %d: %v", g, err)
						return
					}
					got, err := c.DecodeAny(1, p)
					if err != nil || !sameOrder(got, o) {
						t.Errorf("seed %d: %v, %v: got %v", g, err, o, got)
						return
					}
				}
			}
		})
	}
	wg.Wait()
}

func sameOrder(got any, want fields) bool {
	switch v := got.(type) {
	case *ownOrder:
		return fields(*v) == want
	case *customOrder:
		return fields(*v) == want
	case *plainOrder:
		return fields(*v) == want
	}
	return false
}

// bad is an encoder that goes wrong in the way that Mode says.
type bad struct {
	Mode    string
	indexes map[string]int // nil
}

func (b bad) AppendMsgpack(dst []byte) ([]byte, error) {
	switch b.Mode {
	case "panic":
		panic(errBad)
	case "nil map":
		b.indexes[b.Mode] = 1
	case "shrink":
		return dst[:0], nil
	case "error":
		return append(dst, 1, 2, 3), errBad
	case "large":
		return append(dst, make([]byte, MaxPayloadBytes+1)...), nil
	}
	return pack.AppendString(dst, b.Mode), nil
}

func (b *bad) DecodeMsgpackBytes(p []byte) error {
	if string(p) == "panic" {
		panic(errBad)
	}
	r := pack.NewReader(p)
	b.Mode = r.Str()
	return r.Close()
}

var errBad = errors.New("bad day")

func TestType_BadEncoder_IsAnError(t *testing.T) {
	ty := MustRegister[bad](NewRegistry(), "bad", 1)
	for mode, want := range map[string]error{
		"panic": errBad, "error": errBad, "shrink": errShrunk, "large": ErrTooLarge, "nil map": nil,
	} {
		t.Run(mode, func(t *testing.T) {
			dst := []byte("dst")
			out, err := ty.AppendPayload(dst, &bad{Mode: mode})
			var ee *EncodeError
			require.ErrorAs(t, err, &ee)
			require.Equal(t, "bad", ee.Type)
			require.Equal(t, "dst", string(out))
			if want != nil {
				require.ErrorIs(t, err, want)
			} else {
				var p *PanicError
				require.ErrorAs(t, err, &p)
				require.Contains(t, string(p.Stack), "AppendMsgpack")
			}
			roundTrip(t, ty, bad{Mode: "fine"}, "after it")
		})
	}
	var v bad
	err := ty.Decode([]byte("panic"), &v)
	var de *DecodeError
	require.ErrorAs(t, err, &de)
	require.ErrorIs(t, err, errBad)

	_, err = ty.AppendPayload(nil, nil)
	require.ErrorIs(t, err, errNil)
	require.ErrorIs(t, ty.Decode(nil, nil), errNil)
	require.ErrorIs(t, ty.DecodeVersion(9, nil, nil), errNil)
	_, err = ty.AppendAny(nil, 1)
	require.ErrorIs(t, err, ErrUnregistered)
}

func TestType_Cycles_AreAnError(t *testing.T) {
	r := NewRegistry()
	ty := MustRegister[everything](r, "everything", 1)
	self := &everything{}
	self.Next = self
	_, err := ty.AppendPayload(nil, self)
	require.ErrorIs(t, err, ErrTooDeep)

	lo := MustRegister[loose](r, "loose", 1)
	bag := map[string]any{}
	bag["bag"] = []any{bag}
	_, err = lo.AppendPayload(nil, &loose{Bag: bag})
	require.ErrorIs(t, err, ErrTooDeep)

	// One level less than too deep goes there and back.
	nest := func(n int) any {
		var v any = int8(1)
		for range n {
			v = []any{v}
		}
		return v
	}
	roundTrip(t, lo, loose{Any: nest(pack.MaxDepth - 1)}, "deepest")
	_, err = lo.AppendPayload(nil, &loose{Any: nest(pack.MaxDepth)})
	require.ErrorIs(t, err, ErrTooDeep)
}

// Each of these makes plain msgpack allocate gigabytes, or overflow the stack.
func TestType_HostilePayload_BoundedMemory(t *testing.T) {
	r := NewRegistry()
	types := []Codec{
		MustRegister[everything](r, "everything", 1), MustRegister[loose](r, "loose", 1),
		MustRegister[[]line](r, "lines", 1), MustRegister[map[string]string](r, "map", 1),
		MustRegister[customAny](r, "custom", 1),
	}
	field := func(name string, value ...byte) []byte {
		return append(pack.AppendString(pack.AppendMapHeader(nil, 1), name), value...)
	}
	huge := []byte{0xff, 0xff, 0xff, 0xff}
	payloads := map[string][]byte{
		"array":          append([]byte{0xdd}, huge...),
		"map":            append([]byte{0xdf}, huge...),
		"any array":      field("Any", append([]byte{0xdd}, huge...)...),
		"bag":            field("Bag", append([]byte{0xdf}, huge...)...),
		"lines":          field("Lines", append([]byte{0xdd}, huge...)...),
		"bytes":          field("Bytes", append([]byte{0xc6}, huge...)...),
		"text":           field("Text", append([]byte{0xdb}, huge...)...),
		"counts":         field("Counts", append([]byte{0xdf}, huge...)...),
		"ext":            field("Any", append([]byte{0xc9}, huge...)...),
		"map in an ext":  field("Bag", append([]byte{0xc7, 5, 0xff, 0xdf}, huge...)...),
		"map in fixext":  field("Tags", append(append([]byte{0xd7, 0xff, 0xdf}, huge...), 0, 0, 0)...),
		"counts in ext":  field("Counts", append(append([]byte{0xd7, 0xff, 0xdf}, huge...), 0, 0, 0)...),
		"deep arrays":    field("Any", append(bytes.Repeat([]byte{0x91}, 100_000), 1)...),
		"deep maps":      field("Skipped", append(bytes.Repeat([]byte{0x81, 0x01}, 100_000), 1)...),
		"deep structs":   append(bytes.Repeat(pack.AppendString([]byte{0x81}, "Next"), 100_000), 0xc0),
		"never used":     {0xc1},
		"nothing":        {},
		"two values":     {0x80, 0x80},
		"cut":            {0x81, 0xa3, 'A'},
		"trailing bytes": append(field("Any", 1), 0),
	}
	for name, p := range payloads {
		for _, c := range types {
			allowed := map[string]bool{"map in an ext": true, "map in fixext": true, "counts in ext": true, "any": true}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			v, err := c.DecodeAny(1, p)
			runtime.ReadMemStats(&after)
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(8<<20), "%s as %s", name, c.Name())
			if err == nil {
				require.True(t, allowed[name], "%s as %s: %v", name, c.Name(), v)
				continue
			}
			var de *DecodeError
			require.ErrorAs(t, err, &de, "%s as %s", name, c.Name())
		}
	}
}

// customAny hands hostile bytes to the parts of msgpack's decoder that trust them most.
type customAny struct{ V any }

func (c *customAny) EncodeMsgpack(e *msgpack.Encoder) error { return e.Encode(c.V) }

func (c *customAny) DecodeMsgpack(d *msgpack.Decoder) (err error) {
	c.V, err = d.DecodeInterface()
	return err
}

func TestType_Decode_MalformedSaysWhere(t *testing.T) {
	own, custom, plain := orderTypes(t)
	for _, c := range []Codec{own, custom, plain} {
		p, err := c.AppendAny(nil, newOf(c))
		require.NoError(t, err)
		for n := range len(p) {
			_, err := c.DecodeAny(1, p[:n])
			require.ErrorIs(t, err, ErrMalformed, "%s cut to %d", c.Name(), n)
		}
		_, err = c.DecodeAny(1, append(p, 0xc0))
		require.ErrorIs(t, err, ErrMalformed)
		require.ErrorContains(t, err, c.Name())
	}
}

func TestType_LongText(t *testing.T) {
	ty := MustRegister[loose](NewRegistry(), "loose", 1)
	roundTrip(t, ty, loose{Any: strings.Repeat("x", 3<<20)}, "3 MiB")
	roundTrip(t, ty, loose{Any: math.Inf(1)}, "infinity")
}
