package handlers

import (
	"crypto/sha256"
	"encoding"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/headrace/headrace/event"
)

// What a type may implement to encode itself; msgpack leaves those alone.
var selfCoded = []reflect.Type{
	reflect.TypeFor[event.PayloadAppender](),
	reflect.TypeFor[msgpack.CustomEncoder](),
	reflect.TypeFor[msgpack.Marshaler](),
	reflect.TypeFor[encoding.BinaryMarshaler](),
	reflect.TypeFor[encoding.TextMarshaler](),
}

func codesItself(t reflect.Type) bool {
	for _, i := range selfCoded {
		if t.Implements(i) || reflect.PointerTo(t).Implements(i) {
			return true
		}
	}
	return t == reflect.TypeFor[time.Time]()
}

// lossless refuses types of which msgpack would leave something out in silence: an event without an
// unexported field is a choice, a state without it another state.
func lossless[S any]() error {
	seen := map[reflect.Type]bool{}
	var walk func(t reflect.Type, path string) error
	walk = func(t reflect.Type, path string) error {
		if seen[t] || codesItself(t) {
			return nil
		}
		seen[t] = true
		switch t.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Array:
			return walk(t.Elem(), path)
		case reflect.Map:
			if err := walk(t.Key(), path+" key"); err != nil {
				return err
			}
			return walk(t.Elem(), path)
		case reflect.Struct:
			for i := range t.NumField() {
				f := t.Field(i)
				at := path + "." + f.Name
				if f.Tag.Get("msgpack") == "-" {
					continue // said to be no part of the state
				}
				if !f.IsExported() {
					return fmt.Errorf("field %s is not exported and would be lost; export it, tag it `msgpack:\"-\"`, or implement StateCodec", at)
				}
				if err := walk(f.Type, at); err != nil {
					return err
				}
			}
		}
		return nil
	}
	t := reflect.TypeFor[S]()
	return walk(t, t.String())
}

// keepUnstored sets the fields of v that are no part of the encoding to what they are in an empty log.
func keepUnstored[S any](v, first *S) {
	t := reflect.TypeFor[S]()
	if t.Kind() != reflect.Struct || codesItself(t) {
		return
	}
	to, from := reflect.ValueOf(v).Elem(), reflect.ValueOf(first).Elem()
	for i := range t.NumField() {
		if f := t.Field(i); f.IsExported() && f.Tag.Get("msgpack") == "-" {
			to.Field(i).Set(from.Field(i))
		}
	}
}

// fingerprint tells encodings of different types apart: it changes when a field comes, goes, or changes its name
// or type. A type that encodes itself is known by its name, and what StateSchema says.
func (k *stateCodec[S]) fingerprint() [sha256.Size]byte {
	var b strings.Builder
	seen := map[reflect.Type]bool{}
	var walk func(t reflect.Type)
	walk = func(t reflect.Type) {
		if seen[t] || codesItself(t) {
			b.WriteString(t.String())
			return
		}
		switch t.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
			fmt.Fprintf(&b, "%v(", t.Kind())
			if t.Kind() == reflect.Map {
				walk(t.Key())
				b.WriteByte(',')
			}
			if t.Kind() == reflect.Array {
				fmt.Fprintf(&b, "%d,", t.Len())
			}
			walk(t.Elem())
			b.WriteByte(')')
		case reflect.Struct:
			seen[t] = true
			b.WriteByte('{')
			for i := range t.NumField() {
				f := t.Field(i)
				fmt.Fprintf(&b, "%s %q ", f.Name, f.Tag.Get("msgpack"))
				walk(f.Type)
				b.WriteByte(';')
			}
			b.WriteByte('}')
		default:
			b.WriteString(t.Kind().String())
		}
	}
	if _, own := any((*S)(nil)).(StateCodec); own {
		b.WriteString(reflect.TypeFor[S]().String())
	} else {
		walk(reflect.TypeFor[S]())
	}
	if s, ok := any(new(S)).(StateSchema); ok {
		b.WriteString("\n" + s.SnapshotSchema())
	}
	return sha256.Sum256([]byte(b.String()))
}
