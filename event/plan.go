package event

import (
	"encoding"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/headrace/headrace/event/pack"
)

// plan is what registration finds out about a Go type.
type plan struct {
	coding   coding
	mayCycle bool // a value may hold itself: look before encoding
	sortMaps bool // may hold maps that msgpack does not sort
}

var (
	appenderType  = reflect.TypeFor[PayloadAppender]()
	decoderType   = reflect.TypeFor[PayloadDecoder]()
	customEncType = reflect.TypeFor[msgpack.CustomEncoder]()
	customDecType = reflect.TypeFor[msgpack.CustomDecoder]()
	timeType      = reflect.TypeFor[time.Time]()
	errorType     = reflect.TypeFor[error]()
	stringType    = reflect.TypeFor[string]()
	boolType      = reflect.TypeFor[bool]()
)

// opaque are the pairs of interfaces by which msgpack leaves a type to itself, in its order.
var opaque = [][2]reflect.Type{
	{customEncType, customDecType},
	{reflect.TypeFor[msgpack.Marshaler](), reflect.TypeFor[msgpack.Unmarshaler]()},
	{reflect.TypeFor[encoding.BinaryMarshaler](), reflect.TypeFor[encoding.BinaryUnmarshaler]()},
	{reflect.TypeFor[encoding.TextMarshaler](), reflect.TypeFor[encoding.TextUnmarshaler]()},
}

func planOf(t reflect.Type) (plan, error) {
	switch t.Kind() {
	case reflect.Pointer:
		return plan{}, fmt.Errorf("%w: %v is a pointer; register %v", ErrTypeUnsupported, t, t.Elem())
	case reflect.Interface:
		return plan{}, fmt.Errorf("%w: %v is an interface", ErrTypeUnsupported, t)
	}
	for i, pair := range [][2]reflect.Type{{appenderType, decoderType}, {customEncType, customDecType}} {
		both, err := implements(t, pair)
		if err != nil {
			return plan{}, err
		}
		if both {
			return plan{coding: codingOwn - coding(i)}, nil
		}
	}
	w := walker{seen: map[reflect.Type]bool{}}
	err := w.walk(t, t.String())
	return w.plan, err
}

// implements reports whether *t has both halves of pair; one without the other is an error.
func implements(t reflect.Type, pair [2]reflect.Type) (bool, error) {
	p := reflect.PointerTo(t)
	enc, dec := p.Implements(pair[0]), p.Implements(pair[1])
	if enc != dec {
		has, lacks := pair[0], pair[1]
		if dec {
			has, lacks = lacks, has
		}
		return false, fmt.Errorf("%w: %v implements %v but not %v", ErrTypeUnsupported, t, has, lacks)
	}
	return enc, nil
}

// walker looks at everything that msgpack's reflection would reach from a type.
type walker struct {
	plan plan
	seen map[reflect.Type]bool // true while its walk goes on
}

func (w *walker) walk(t reflect.Type, path string) error {
	if t == timeType {
		return nil
	}
	for _, pair := range opaque {
		if t == errorType || t.Kind() == reflect.Interface {
			break
		}
		own, err := implements(t, pair)
		if err != nil {
			return fmt.Errorf("%w (at %s)", err, path)
		}
		if own {
			return nil
		}
	}
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map, reflect.Struct:
		if inside, ok := w.seen[t]; ok {
			w.plan.mayCycle = w.plan.mayCycle || inside
			return nil
		}
		w.seen[t] = true
		defer func() { w.seen[t] = false }()
	}
	switch t.Kind() {
	case reflect.Chan, reflect.Func, reflect.Complex64, reflect.Complex128,
		reflect.UnsafePointer, reflect.Uintptr, reflect.Invalid:
		return fmt.Errorf("%w: %v at %s", ErrTypeUnsupported, t, path)
	case reflect.Interface:
		if t == errorType {
			return nil
		}
		if t.NumMethod() != 0 {
			return fmt.Errorf("%w: %v at %s: an interface with methods cannot be decoded",
				ErrTypeUnsupported, t, path)
		}
		w.plan.mayCycle, w.plan.sortMaps = true, true
	case reflect.Pointer:
		if t.Elem().Kind() == reflect.Pointer {
			return fmt.Errorf("%w: %v at %s: a pointer to a pointer", ErrTypeUnsupported, t, path)
		}
		return w.walk(t.Elem(), path)
	case reflect.Slice, reflect.Array:
		return w.walk(t.Elem(), path+"[]")
	case reflect.Map:
		if e := t.Elem(); t.Key() != stringType || e != stringType && e != boolType {
			w.plan.sortMaps = true
		}
		if err := w.walk(t.Key(), path+"[key]"); err != nil {
			return err
		}
		return w.walk(t.Elem(), path+"[]")
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("msgpack"), ",")
			if name == "-" || !f.IsExported() && !f.Anonymous {
				continue
			}
			if err := w.walk(f.Type, path+"."+f.Name); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkDepth fails with ErrTooDeep where v nests far beyond pack.MaxDepth, as a cycle does, and
// with ErrTooLarge where it has more parts than a payload has bytes. A cycle would otherwise
// overflow the stack of msgpack's encoder, which no recover can catch.
func checkDepth(v reflect.Value) error {
	parts := MaxPayloadBytes
	// Pointers and interfaces count here as well, so this is the coarse check; a scan of the
	// payload is the exact one.
	return depth(v, 3*pack.MaxDepth, &parts)
}

func depth(v reflect.Value, left int, parts *int) error {
	if left == 0 {
		return ErrTooDeep
	}
	if *parts--; *parts < 0 {
		return ErrTooLarge
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			return depth(v.Elem(), left-1, parts)
		}
	case reflect.Slice, reflect.Array:
		if flat(v.Type().Elem().Kind()) {
			return nil
		}
		for i := range v.Len() {
			if err := depth(v.Index(i), left-1, parts); err != nil {
				return err
			}
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			if err := depth(it.Key(), left-1, parts); err != nil {
				return err
			}
			if err := depth(it.Value(), left-1, parts); err != nil {
				return err
			}
		}
	case reflect.Struct:
		if v.Type() == timeType {
			return nil
		}
		for i := range v.NumField() {
			if !flat(v.Field(i).Kind()) {
				if err := depth(v.Field(i), left-1, parts); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// flat reports whether a value of kind k holds no other values.
func flat(k reflect.Kind) bool {
	switch k {
	case reflect.Pointer, reflect.Interface, reflect.Slice, reflect.Array, reflect.Map, reflect.Struct:
		return false
	}
	return true
}
