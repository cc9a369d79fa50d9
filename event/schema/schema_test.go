package schema

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/event/pack"
)

// entry registers one Go type as "t" and can encode a value of it.
type entry struct {
	registry *event.Registry
	payload  func(t *testing.T) []byte
	decode   func(version uint16, payload []byte) error
}

func as[T any](v T, version uint16, setup ...func(r *event.Registry)) entry {
	r := event.NewRegistry()
	ty := event.MustRegister[T](r, "t", version)
	for _, f := range setup {
		f(r)
	}
	return entry{
		registry: r,
		payload: func(t *testing.T) []byte {
			b, err := ty.AppendPayload(nil, &v)
			require.NoError(t, err)
			return b
		},
		decode: func(version uint16, payload []byte) error {
			var back T
			return ty.DecodeVersion(version, payload, &back)
		},
	}
}

func lifts(from uint16) func(r *event.Registry) {
	return func(r *event.Registry) {
		err := r.Upcast("t", from, func(_, payload []byte) ([]byte, error) {
			return pack.AppendMapHeader(nil, 0), nil
		})
		if err != nil {
			panic(err)
		}
	}
}

type (
	base struct {
		A int32
		B string
	}
	added struct {
		A int32
		B string
		C []uint16
	}
	removed struct{ A int32 }
	wider   struct {
		A int64
		B string
	}
	narrow struct {
		A int8
		B string
	}
	other struct {
		A int32
		B bool
	}
	pointer struct {
		A *int32
		B string
	}
	tagged struct {
		A int32 `msgpack:"a"`
		B string
	}
	tuple struct {
		_msgpack struct{} `msgpack:",as_array"`
		A        int32
		B        string
	}
	swapped struct {
		_msgpack struct{} `msgpack:",as_array"`
		B        string
		A        int32
	}
	longer struct {
		_msgpack struct{} `msgpack:",as_array"`
		A        int32
		B        string
		C        bool
	}
	inner  struct{ X float64 }
	nested struct {
		In []inner
		M  map[string]inner
	}
	innerToo struct {
		X float64
		Y bool
	}
	deeper struct {
		In []innerToo
		M  map[string]innerToo
	}
	innerBad struct{ X string }
	broken   struct {
		In []innerBad
		M  map[string]innerBad
	}
	embeds struct{ base }
	tree   struct {
		Name string
		Kids []tree
	}
	anything struct {
		A any
		B string
	}
)

// The two own types differ as Go types and write the same.
type own struct{ A int32 }

func (o *own) AppendMsgpack(dst []byte) ([]byte, error) { return pack.AppendInt(dst, int64(o.A)), nil }
func (o *own) DecodeMsgpackBytes(b []byte) error {
	r := pack.NewReader(b)
	o.A = r.Int32()
	return r.Close()
}

var _ = tuple{_msgpack: struct{}{}}
var _ = swapped{_msgpack: struct{}{}}
var _ = longer{_msgpack: struct{}{}}

// TestCheck_AgreesWithTheDecoder: what Check calls compatible decodes, and what it calls breaking in the
// same version is refused or comes back as something else.
func TestCheck_AgreesWithTheDecoder(t *testing.T) {
	old := base{300, "x"}
	tuples := tuple{A: 300, B: "x"}
	for name, c := range map[string]struct {
		was, now entry
		breaks   bool
		says     string
	}{
		"same":              {as(old, 1), as(old, 1), false, ""},
		"added":             {as(old, 1), as(added{}, 1), false, ".C: field added"},
		"removed":           {as(old, 1), as(removed{}, 1), false, ".B: field removed"},
		"wider":             {as(old, 1), as(wider{}, 1), false, ".A: int64 instead of int32"},
		"narrower":          {as(old, 1), as(narrow{}, 1), true, ".A: int8 instead of int32"},
		"other type":        {as(old, 1), as(other{}, 1), true, ".B: bool instead of string"},
		"optional":          {as(old, 1), as(pointer{}, 1), false, ".A: optional int32 instead of int32"},
		"any":               {as(old, 1), as(anything{}, 1), false, ".A: any instead of int32"},
		"embedded":          {as(old, 1), as(embeds{}, 1), false, ""},
		"renamed field":     {as(old, 1), as(tagged{}, 1), false, ".A: field removed"},
		"by place":          {as(old, 1), as(tuples, 1), false, "tuple instead of struct"},
		"by name":           {as(tuples, 1), as(old, 1), false, "struct instead of tuple"},
		"by name, swapped":  {as(swapped{B: "x"}, 1), as(old, 1), true, `stands where "B" stood`},
		"longer tuple":      {as(tuples, 1), as(longer{}, 1), true, "3 fields by place instead of 2"},
		"swapped places":    {as(tuples, 1), as(swapped{}, 1), true, `stands where "A" stood`},
		"deeper added":      {as(nested{In: []inner{{1}}}, 1), as(deeper{}, 1), false, ".In[].Y: field added"},
		"deeper broken":     {as(nested{In: []inner{{1}}}, 1), as(broken{}, 1), true, ".In[].X: string instead of float64"},
		"version lifted":    {as(old, 1), as(other{}, 2, lifts(1)), false, "version 2 instead of 1, with upcasters"},
		"version not lift":  {as(old, 1), as(other{}, 2), true, "no upcaster leads"},
		"version half lift": {as(old, 1), as(other{}, 3, lifts(2)), true, "no upcaster leads from 1 to 2"},
		"version lower":     {as(old, 2), as(old, 1), true, "version 1 after version 2"},
	} {
		t.Run(name, func(t *testing.T) {
			was, now := Of(c.was.registry), Of(c.now.registry)
			changes := Check(was, now)
			var text []string
			for _, change := range changes {
				text = append(text, change.String())
			}
			all := strings.Join(text, "\n")
			require.Equal(t, c.breaks, len(Breaking(changes)) > 0, all)
			require.Contains(t, all, c.says)
			require.Equal(t, c.says == "", len(changes) == 0, all)
			err := c.now.decode(was.Types[0].Version, c.was.payload(t))
			if name != "narrower" { // decodes, and is another number
				require.Equal(t, c.breaks, err != nil, "%v: %s", err, all)
			}
		})
	}
}

func TestCheck_NoStepLeft(t *testing.T) {
	was := Of(as(base{}, 3, lifts(1), lifts(2)).registry)
	now := Of(as(base{}, 3, lifts(2)).registry)
	changes := Check(was, now)
	require.Len(t, changes, 1)
	require.True(t, changes[0].Breaks)
	require.Contains(t, changes[0].What, "versions 1 to 1 cannot be lifted")
}

// TestCheck_OwnEncodingBreaksOnAnyChange because nobody sees its bytes.
func TestCheck_OwnEncodingBreaksOnAnyChange(t *testing.T) {
	was := Of(as(own{}, 1).registry)
	require.Empty(t, Check(was, was))
	now := Of(as(own{}, 1).registry)
	now.Types[0].Shape.Fields = append(now.Types[0].Shape.Fields, Field{"B", Shape{Kind: "bool"}})
	require.Len(t, Breaking(Check(was, now)), 1)
	now.Types[0].Version, now.Types[0].LiftsFrom = 2, 1
	require.Empty(t, Breaking(Check(was, now)))
}

func TestCheck_NamesThatGo(t *testing.T) {
	r := event.NewRegistry()
	event.MustRegister[base](r, "order", 1)
	event.MustRegister[other](r, "pay", 1, event.TypeOptions{Kind: event.Command})
	was := Of(r)

	changes := Check(was, Of(event.NewRegistry()))
	require.Len(t, Breaking(changes), 2, "%v", changes)

	r = event.NewRegistry()
	require.NoError(t, r.Rename("order", "shop.order"))
	require.NoError(t, r.Retire("pay"))
	event.MustRegister[base](r, "shop.order", 1)
	event.MustRegister[tree](r, "tree", 1)
	now := Of(r)
	changes = Check(was, now)
	require.Empty(t, Breaking(changes))
	require.Len(t, changes, 3)
	require.Equal(t, `compatible: shop.order: renamed from "order"`, changes[0].String())

	r = event.NewRegistry()
	event.MustRegister[base](r, "shop.order", 1)
	event.MustRegister[other](r, "pay", 1)
	changes = Breaking(Check(now, Of(r)))
	require.Len(t, changes, 2, "%v", changes) // the retired name is back, and tree is gone
	changes = Check(was, Of(r))
	require.Contains(t, changes[1].What, "kind notification instead of command")
	require.True(t, changes[1].Breaks)
}

func TestDump_RoundTripAndFingerprint(t *testing.T) {
	r := event.NewRegistry()
	event.MustRegister[nested](r, "nested", 2)
	event.MustRegister[tree](r, "tree", 1)
	event.MustRegister[own](r, "own", 1)
	d := Of(r)
	text, err := d.AppendJSON(nil)
	require.NoError(t, err)
	back, err := Parse(text)
	require.NoError(t, err)
	require.Empty(t, Check(d, back))
	require.Equal(t, d.Types, back.Types)

	// A fingerprint is for good: it stands in logs.
	require.Equal(t, "struct", d.Types[1].Shape.Kind)
	require.Equal(t, "ref", d.Types[1].Shape.Fields[1].Shape.Elem.Kind)
	c, _ := r.ByName("tree")
	f := Fingerprint(r, c)
	require.Equal(t, d.Types[1].Fingerprint, hexOf(f))
	require.NotEqual(t, d.Types[0].Fingerprint, d.Types[1].Fingerprint)

	for _, bad := range []string{"", "{}", `{"format":2,"types":[]}`, `{"format":1,"types":[{"name":""}]}`, `{"format":1,"x":1}`} {
		_, err := Parse([]byte(bad))
		require.ErrorIs(t, err, ErrDump, bad)
	}
}

func hexOf(f [16]byte) string {
	const digits = "0123456789abcdef"
	var b strings.Builder
	for _, c := range f {
		b.WriteByte(digits[c>>4])
		b.WriteByte(digits[c&15])
	}
	return b.String()
}

func TestJSONSchema(t *testing.T) {
	type all struct {
		I8    int8
		U64   uint64
		F     float32
		S     *string
		B     []byte
		D     [3]byte
		T     time.Time
		M     map[string][]bool
		Three [3]int
	}
	r := event.NewRegistry()
	event.MustRegister[all](r, "all", 7)
	event.MustRegister[tree](r, "tree", 1)
	text, err := Of(r).JSONSchema()
	require.NoError(t, err)
	var doc struct {
		Defs map[string]struct {
			Properties map[string]map[string]any `json:"properties"`
			Version    int                       `json:"x-version"`
		} `json:"$defs"`
	}
	require.NoError(t, json.Unmarshal(text, &doc))
	p := doc.Defs["all"].Properties
	require.Equal(t, 7, doc.Defs["all"].Version)
	require.Equal(t, float64(-128), p["I8"]["minimum"])
	require.Equal(t, float64(127), p["I8"]["maximum"])
	require.Equal(t, float64(math.MaxUint64), p["U64"]["maximum"])
	require.Equal(t, []any{"string", "null"}, p["S"]["type"])
	require.Equal(t, "base64", p["B"]["contentEncoding"])
	require.Equal(t, "date-time", p["T"]["format"])
	require.Equal(t, float64(3), p["Three"]["maxItems"])
	require.Contains(t, doc.Defs["tree"].Properties, "Kids")
}
