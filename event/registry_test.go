package event

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace/event/pack"
)

func TestRegister_Refuses(t *testing.T) {
	r := NewRegistry()
	MustRegister[line](r, "line", 1)
	check := func(want error, f func(r *Registry) error, text ...string) {
		t.Helper()
		err := f(r)
		require.ErrorIs(t, err, want)
		for _, s := range text {
			require.ErrorContains(t, err, s)
		}
	}
	name := func(name string) func(*Registry) error {
		return func(r *Registry) error { _, err := Register[loose](r, name, 1); return err }
	}
	check(ErrTypeName, name(""))
	check(ErrTypeName, name(strings.Repeat("x", 256)), "256")
	check(ErrTypeName, name("a b"))
	check(ErrTypeName, name("a\nb"), "U+000A")
	check(ErrTypeName, name("a\xff"))
	check(ErrDuplicateType, name("line"), "event.line")
	check(ErrDuplicateType, func(r *Registry) error { _, err := Register[line](r, "other", 1); return err }, `"line"`)
	check(ErrVersion, func(r *Registry) error { _, err := Register[loose](r, "x", 0); return err })
	check(ErrHeader, func(r *Registry) error {
		_, err := Register[loose](r, "x", 1, TypeOptions{Kind: 4})
		return err
	})
	_, err := Register[loose](r, "x", 1, TypeOptions{}, TypeOptions{})
	require.Error(t, err)
	require.Panics(t, func() { MustRegister[line](r, "line", 1) })
	require.NoError(t, name(strings.Repeat("é", 127)+"x")(r), "255 bytes")
}

type (
	halfOwn    struct{ loose }
	halfCustom struct{ X int }
	twice      *twice
	inner      struct{ C chan int }
)

func (halfOwn) AppendMsgpack(dst []byte) ([]byte, error) { return dst, nil }
func (halfCustom) MarshalText() ([]byte, error)          { return nil, nil }

func TestRegister_UnsupportedGoTypes(t *testing.T) {
	unsupported[*line](t, "register event.line")
	unsupported[any](t, "interface")
	unsupported[struct{ A []map[string]*inner }](t, ".A[][].C")
	unsupported[struct{ F func() }](t, ".F")
	unsupported[struct{ C complex128 }](t, "complex128")
	unsupported[struct{ U uintptr }](t, "uintptr")
	unsupported[struct{ S fmt.Stringer }](t, "interface with methods")
	unsupported[struct{ P **int }](t, "pointer to a pointer")
	unsupported[struct{ P twice }](t, "pointer to a pointer")
	unsupported[halfOwn](t, "PayloadDecoder")
	unsupported[struct{ H halfCustom }](t, "TextUnmarshaler")
	// What msgpack does not look at does not matter.
	MustRegister[struct {
		c       chan int
		Skipped chan int `msgpack:"-"`
		E       error
	}](NewRegistry(), "fine", 1)
}

func unsupported[T any](t *testing.T, text string) {
	t.Helper()
	_, err := Register[T](NewRegistry(), "x", 1)
	require.ErrorIs(t, err, ErrTypeUnsupported)
	require.ErrorContains(t, err, text)
}

func TestRegistry_Lookup(t *testing.T) {
	r := NewRegistry()
	a := MustRegister[line](r, "line", 3, TypeOptions{Kind: Command})
	b := MustRegister[loose](r, "loose", 1)
	require.Equal(t, []Codec{a, b}, r.Types())
	require.Equal(t, 1, b.Index())
	require.Equal(t, Command, a.Kind())
	require.EqualValues(t, 3, a.Version())
	require.Equal(t, reflect.TypeFor[line](), a.GoType())
	got, err := CodecOf[line](r)
	require.NoError(t, err)
	require.Same(t, a, got)
	c, ok := r.ByName("loose")
	require.True(t, ok)
	require.Equal(t, Codec(b), c)
	c, ok = r.ByGoType(reflect.TypeFor[loose]())
	require.True(t, ok)
	require.Equal(t, Codec(b), c)
	_, err = CodecOf[ownOrder](r)
	require.ErrorIs(t, err, ErrUnregistered)
	require.ErrorContains(t, err, "event.ownOrder")

	r.Freeze()
	r.Freeze()
	require.True(t, r.Frozen())
	_, err = Register[ownOrder](r, "own", 1)
	require.ErrorIs(t, err, ErrFrozen)
	require.ErrorIs(t, r.Upcast("line", 1, func(_, p []byte) ([]byte, error) { return p, nil }), ErrFrozen)
	_, err = CodecOf[line](r)
	require.NoError(t, err, "lookups go on")
}

func TestRegistry_ConcurrentRegistrationsAndLookups(t *testing.T) {
	r := NewRegistry()
	a := MustRegister[line](r, "line", 1)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 100 {
				if err := r.Upcast(fmt.Sprint("t", g), uint16(i+1), UpcastMap(nil)); err != nil {
					t.Error(err)
				}
				if got, err := CodecOf[line](r); err != nil || got != a {
					t.Error(got, err)
				}
			}
		})
	}
	wg.Wait()
	require.Len(t, r.load().upcasters, 400)
}

// priced is version 3 of an event whose versions 1 and 2 had other fields.
type priced struct {
	Name       string
	PriceMilli int64
}

func TestUpcast_StepByStep(t *testing.T) {
	r := NewRegistry()
	ty := MustRegister[priced](r, "priced", 3)
	v1, err := pack.AppendValue(nil, map[string]any{"Title": "tea", "Price": 2.5})
	require.NoError(t, err)

	got := priced{Name: "old"}
	err = ty.DecodeVersion(1, v1, &got)
	var ve *VersionError
	require.ErrorAs(t, err, &ve)
	require.ErrorIs(t, err, ErrVersion)
	require.Equal(t, VersionError{"priced", 1, 3, 1}, *ve)
	require.Equal(t, priced{}, got)

	require.NoError(t, r.Upcast("priced", 2, UpcastMap(func(f map[string]any) error {
		f["PriceMilli"] = int64(f["Price"].(float64) * 1000)
		delete(f, "Price")
		return nil
	})))
	require.NoError(t, r.Upcast("priced", 1, UpcastMap(func(f map[string]any) error {
		f["Name"] = f["Title"]
		delete(f, "Title")
		return nil
	})))
	require.NoError(t, ty.DecodeVersion(1, v1, &got))
	require.Equal(t, priced{"tea", 2500}, got)

	body, err := AppendHeader(nil, &Header{ID: seq(1), Version: 1})
	require.NoError(t, err)
	view, err := Parse(append(body, v1...))
	require.NoError(t, err)
	require.NoError(t, ty.DecodeView(view, &got))
	require.Equal(t, priced{"tea", 2500}, got)

	err = ty.DecodeVersion(4, v1, &got)
	require.ErrorAs(t, err, &ve)
	require.ErrorContains(t, err, "newer than the registered version 3")
	require.ErrorIs(t, ty.DecodeVersion(0, v1, &got), ErrVersion)
	require.ErrorIs(t, ty.DecodeVersion(1, []byte{0xc1}, &got), ErrMalformed)
	require.ErrorIs(t, ty.DecodeVersion(1, []byte{1}, &got), ErrMalformed)

	// A panic in an upcaster, here by a field of another type, is an error.
	wrong, err := pack.AppendValue(nil, map[string]any{"Title": "tea", "Price": "much"})
	require.NoError(t, err)
	var p *PanicError
	err = ty.DecodeVersion(1, wrong, &got)
	require.ErrorAs(t, err, &p)
	require.ErrorContains(t, err, "from version 2 to 3")

	step := func(_, p []byte) ([]byte, error) { return p, nil }
	require.ErrorIs(t, r.Upcast("priced", 1, step), ErrDuplicateType)
	require.ErrorIs(t, r.Upcast("priced", 0, step), ErrVersion)
	require.ErrorIs(t, r.Upcast("", 1, step), ErrTypeName)
	require.ErrorIs(t, r.Upcast("priced", 5, nil), errNil)
}

func TestCatalog(t *testing.T) {
	var c Catalog
	id, isNew, err := c.Assign("a")
	require.NoError(t, err)
	require.True(t, isNew)
	require.EqualValues(t, FirstTypeID, id)
	id, isNew, err = c.Assign("a")
	require.NoError(t, err)
	require.False(t, isNew)
	require.EqualValues(t, FirstTypeID, id)

	require.NoError(t, c.Learn(20, "b"))
	require.NoError(t, c.Learn(20, "b"))
	require.NoError(t, c.Learn(3, "system"))
	id, _, err = c.Assign("c")
	require.NoError(t, err)
	require.EqualValues(t, 21, id)
	require.ErrorIs(t, c.Learn(20, "z"), ErrCatalogConflict)
	require.ErrorIs(t, c.Learn(40, "b"), ErrCatalogConflict)
	require.ErrorIs(t, c.Learn(0, "z"), ErrCatalogConflict)
	require.ErrorIs(t, c.Learn(50, ""), ErrTypeName)
	_, _, err = c.Assign("no good")
	require.ErrorIs(t, err, ErrTypeName)

	name, ok := c.Name(20)
	require.True(t, ok)
	require.Equal(t, "b", name)
	id, ok = c.ID("system")
	require.True(t, ok)
	require.EqualValues(t, 3, id)
	_, ok = c.Name(50)
	require.False(t, ok, "a refused binding leaves nothing behind")
	require.Equal(t, 4, c.Len())

	require.NoError(t, c.Learn(65534, "near.the.end"))
	id, _, err = c.Assign("last")
	require.NoError(t, err)
	require.EqualValues(t, 65535, id)
	_, _, err = c.Assign("one.more")
	require.ErrorIs(t, err, ErrCatalogFull)
	require.NoError(t, c.Learn(50, "free"))
	_, _, err = c.Assign("one.more")
	require.ErrorIs(t, err, ErrCatalogFull)
}

func TestCatalog_Concurrent(t *testing.T) {
	var c Catalog
	ids := make([][]uint16, 4)
	var wg sync.WaitGroup
	for g := range ids {
		wg.Go(func() {
			for i := range 200 {
				id, _, err := c.Assign(fmt.Sprint("type", i))
				if err != nil {
					t.Error(err)
				}
				ids[g] = append(ids[g], id)
			}
		})
	}
	wg.Wait()
	for _, other := range ids[1:] {
		require.Equal(t, ids[0], other)
	}
	require.Equal(t, 200, c.Len())
}

// The zero Registry is an empty one; none at all is an error.
func TestRegistry_ZeroAndNil(t *testing.T) {
	var zero Registry
	_, ok := zero.ByName("priced")
	require.False(t, ok)
	require.Empty(t, zero.Types())
	require.False(t, zero.Frozen())
	_, err := Register[struct{ N int }](&zero, "n", 1)
	require.NoError(t, err)
	_, ok = zero.ByName("n")
	require.True(t, ok)
	zero.Freeze()
	require.True(t, zero.Frozen())
	require.False(t, new(Registry).Frozen(), "they share nothing")
	_, err = Register[struct{ N int }](nil, "n", 1)
	require.ErrorIs(t, err, errNoRegistry)
	require.ErrorIs(t, (*Registry)(nil).Rename("a", "b"), errNoRegistry)
	new(Registry).Freeze()
	(*Registry)(nil).Freeze()
}
