package schema

import (
	"encoding"
	"reflect"
	"strings"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/headrace/headrace/event"
)

// Shape is what a value looks like on the wire.
type Shape struct {
	// Kind is one of bool, int, uint, float, string, bytes, time, any, array, map, struct, tuple (a
	// struct whose fields go by place), own (it encodes itself, and Go names it), ref (a type
	// further up that holds itself, and Go names it).
	Kind     string  `json:"kind"`
	Bits     int     `json:"bits,omitempty"`     // of int, uint and float
	Optional bool    `json:"optional,omitempty"` // may be nil
	Length   int     `json:"length,omitempty"`   // of an array of fixed length
	Elem     *Shape  `json:"elem,omitempty"`     // of array and map
	Key      *Shape  `json:"key,omitempty"`      // of map
	Fields   []Field `json:"fields,omitempty"`   // of struct, tuple, and of own as Go sees them
	Go       string  `json:"go,omitempty"`       // the Go type's name, where Kind says so
}

// Field is one field of a struct.
type Field struct {
	Name  string `json:"name"` // on the wire
	Shape Shape  `json:"shape"`
}

var ownPairs = [][2]reflect.Type{
	{reflect.TypeFor[event.PayloadAppender](), reflect.TypeFor[event.PayloadDecoder]()},
	{reflect.TypeFor[msgpack.CustomEncoder](), reflect.TypeFor[msgpack.CustomDecoder]()},
	{reflect.TypeFor[msgpack.Marshaler](), reflect.TypeFor[msgpack.Unmarshaler]()},
	{reflect.TypeFor[encoding.BinaryMarshaler](), reflect.TypeFor[encoding.BinaryUnmarshaler]()},
	{reflect.TypeFor[encoding.TextMarshaler](), reflect.TypeFor[encoding.TextUnmarshaler]()},
}

// encodesItself tells whether msgpack leaves t to its own methods.
func encodesItself(t reflect.Type) bool {
	if t.Kind() == reflect.Interface {
		return false
	}
	p := reflect.PointerTo(t)
	for _, pair := range ownPairs {
		if p.Implements(pair[0]) && p.Implements(pair[1]) {
			return true
		}
	}
	return false
}

// shaper walks over Go types; inside holds those that the walk is in.
type shaper struct{ inside map[reflect.Type]bool }

func (s shaper) of(t reflect.Type) Shape {
	if t == reflect.TypeFor[time.Time]() {
		return Shape{Kind: "time"}
	}
	if s.inside[t] {
		return Shape{Kind: "ref", Go: t.String()}
	}
	if t.Name() != "" {
		s.inside[t] = true
		defer delete(s.inside, t)
	}
	if encodesItself(t) {
		shape := Shape{Kind: "own", Go: t.String()}
		if t.Kind() == reflect.Struct {
			shape.Fields = s.plainFields(t)
		}
		return shape
	}
	switch t.Kind() {
	case reflect.Bool:
		return Shape{Kind: "bool"}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return Shape{Kind: "int", Bits: t.Bits()}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return Shape{Kind: "uint", Bits: t.Bits()}
	case reflect.Float32, reflect.Float64:
		return Shape{Kind: "float", Bits: t.Bits()}
	case reflect.String:
		return Shape{Kind: "string"}
	case reflect.Pointer:
		shape := s.of(t.Elem())
		shape.Optional = true
		return shape
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return Shape{Kind: "bytes"}
		}
		elem := s.of(t.Elem())
		return Shape{Kind: "array", Elem: &elem}
	case reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			return Shape{Kind: "bytes", Length: t.Len()}
		}
		elem := s.of(t.Elem())
		return Shape{Kind: "array", Length: t.Len(), Elem: &elem}
	case reflect.Map:
		key, elem := s.of(t.Key()), s.of(t.Elem())
		return Shape{Kind: "map", Key: &key, Elem: &elem}
	case reflect.Struct:
		kind := "struct"
		if f, ok := t.FieldByName("_msgpack"); ok && hasOption(f.Tag.Get("msgpack"), "as_array") {
			kind = "tuple"
		}
		return Shape{Kind: kind, Fields: s.fields(t)}
	}
	return Shape{Kind: "any"} // an interface: registration refuses everything else
}

// fields are those that msgpack's reflection writes, embedded structs inlined.
func (s shaper) fields(t reflect.Type) []Field {
	var fields []Field
	for i := range t.NumField() {
		f := t.Field(i)
		tag := f.Tag.Get("msgpack")
		name, _, _ := strings.Cut(tag, ",")
		if name == "-" || f.Name == "_msgpack" || !f.IsExported() && !f.Anonymous {
			continue
		}
		inner := f.Type
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		embedded := f.Anonymous && !hasOption(tag, "noinline") || hasOption(tag, "inline")
		if embedded && name == "" && inner.Kind() == reflect.Struct && !encodesItself(inner) && !s.inside[inner] {
			fields = append(fields, s.fields(inner)...)
			continue
		}
		if !f.IsExported() {
			continue
		}
		if name == "" {
			name = f.Name
		}
		fields = append(fields, Field{Name: name, Shape: s.of(f.Type)})
	}
	return fields
}

// plainFields are the fields of a type that encodes itself, unexported ones too: what its methods
// make of them is not known.
func (s shaper) plainFields(t reflect.Type) []Field {
	var fields []Field
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Name != "_" {
			fields = append(fields, Field{Name: f.Name, Shape: s.inner(f.Type)})
		}
	}
	return fields
}

// inner is of for a field that only the type's own methods read: anything may be in it.
func (s shaper) inner(t reflect.Type) Shape {
	switch t.Kind() {
	case reflect.Func, reflect.Chan, reflect.UnsafePointer, reflect.Complex64, reflect.Complex128, reflect.Uintptr:
		return Shape{Kind: "any", Go: t.String()}
	}
	return s.of(t)
}

func hasOption(tag, option string) bool {
	_, options, _ := strings.Cut(tag, ",")
	for o := range strings.SplitSeq(options, ",") {
		if o == option {
			return true
		}
	}
	return false
}
