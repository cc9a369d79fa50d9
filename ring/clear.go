package ring

import "reflect"

// HasPointers tells whether slots of T hold pointers: strings, slices, maps, interfaces, channels
// and functions count. Without, the ring is the fast case: the garbage collector never looks
// into it, and storing into a slot needs no write barrier. With pointers, an old event keeps what
// it points to alive until its slot is used again, unless a consumer clears it; see Clear.
func (r *Ring[T]) HasPointers() bool { return r.pointers }

func hasPointers(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Array:
		return t.Len() > 0 && hasPointers(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if hasPointers(t.Field(i).Type) {
				return true
			}
		}
		return false
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr,
		reflect.Float32, reflect.Float64, reflect.Complex64, reflect.Complex128:
		return false
	}
	return true
}

// Clear returns a handler that clears slots when nobody needs them any more: with clear, or, where
// that is nil, by setting them to T's zero value. Put it behind every other consumer, in the place
// that gates the producers:
//
//	clear, err := r.Consume("clear", ring.Clear[Order](nil), ring.ConsumerOptions{After: last})
//
// A consumer that joins later must not stand beside it, where it would race with it for slots, but
// in front of it: name it in ConsumerOptions.Before. Aborted events are not cleared.
func Clear[T any](clear func(*T)) Handler[T] {
	return HandlerFunc[T](func(_ int64, span []T) error {
		if clear == nil {
			clearSpan(span)
			return nil
		}
		for i := range span {
			clear(&span[i])
		}
		return nil
	})
}

func clearSpan[T any](span []T) { clear(span) }
