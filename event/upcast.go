package event

import (
	"fmt"
	"runtime/debug"

	"github.com/headrace/headrace/event/pack"
)

// Upcaster lifts a payload by one version. It appends the new payload to dst, which is empty, and
// returns it; it may also return payload itself, but must not change it. It must depend on
// nothing but payload, for replay calls it again. It may be called from several goroutines.
type Upcaster func(dst, payload []byte) ([]byte, error)

type upcastStep struct {
	name string
	from uint16
}

// Upcast registers the step from version from to from+1 of the type called name, which may itself
// be registered before or after. It fails with ErrTypeName, ErrVersion for from = 0,
// ErrDuplicateType where the step is there, ErrFrozen after Freeze.
func (r *Registry) Upcast(name string, from uint16, f Upcaster) error {
	err := checkName(name)
	switch {
	case err != nil:
	case from == 0 || from == 1<<16-1:
		err = fmt.Errorf("%w: no step from %d", ErrVersion, from)
	case f == nil:
		err = errNil
	default:
		err = r.change(func(t *tables) error {
			step := upcastStep{name, from}
			if _, ok := t.upcasters[step]; ok {
				return ErrDuplicateType
			}
			t.upcasters[step] = f
			return nil
		})
	}
	if err != nil {
		return fmt.Errorf("event: upcaster of %q from version %d: %w", name, from, err)
	}
	return nil
}

// UpcastMap makes an Upcaster of a function that changes a payload as a map, which is how
// reflection encodes a struct: field names and values. Values are nil, bool, int64 (uint64 where
// that is too small), float64, string, []byte, time.Time, []any and map[string]any.
func UpcastMap(change func(fields map[string]any) error) Upcaster {
	return func(dst, payload []byte) ([]byte, error) {
		r := pack.NewReader(payload)
		v := r.Value()
		if err := r.Close(); err != nil {
			return dst, located(err)
		}
		fields, ok := v.(map[string]any)
		if !ok {
			return dst, malformed(0, "payload is not a map")
		}
		if err := change(fields); err != nil {
			return dst, err
		}
		return pack.AppendValue(dst, fields)
	}
}

// lift takes payload from version from to version to, step by step.
func (r *Registry) lift(name string, from, to uint16, payload []byte) (out []byte, err error) {
	if from > to || from == 0 {
		return nil, &VersionError{Type: name, Got: from, Registered: to}
	}
	t := r.load()
	// Look for all steps before taking the first: half a way is no way.
	for at := from; at < to; at++ {
		if t.upcasters[upcastStep{name, at}] == nil {
			return nil, &VersionError{Type: name, Got: from, Registered: to, Missing: at}
		}
	}
	at := from
	defer func() {
		if p := recover(); p != nil {
			err = &PanicError{p, debug.Stack()}
		}
		if err != nil {
			out, err = nil, fmt.Errorf("upcaster from version %d to %d: %w", at, at+1, err)
		}
	}()
	for ; at < to; at++ {
		if payload, err = t.upcasters[upcastStep{name, at}](nil, payload); err != nil {
			return nil, err
		}
		if len(payload) > MaxPayloadBytes {
			return nil, ErrTooLarge
		}
	}
	return payload, nil
}
