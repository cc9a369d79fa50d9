// Package keyed encodes tables of values by key, as snapshots hold those of packages aggregate and saga: an array with
// [key, version, sequence, value] for each key, in ascending order of the keys.
package keyed

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/headrace/headrace/event/pack"
)

// ErrFormat reports bytes that Append has not written.
var ErrFormat = errors.New("not a table by key")

// Coder encodes one value and decodes it again; Decode keeps no part of data. handlers.Coder is one.
type Coder[V any] interface {
	Append(dst []byte, v *V) ([]byte, error)
	Decode(data []byte, v *V) error
}

// Row is where an entry E of a table keeps what is encoded of it.
type Row[V any] struct {
	Version, Sequence *int64
	Value             *V
}

// Append appends the encoding of a table to dst. Errors are those of the coder, with the key.
func Append[E, V any](dst []byte, table map[string]*E, row func(*E) Row[V], coder Coder[V]) ([]byte, error) {
	dst = pack.AppendArrayHeader(dst, len(table))
	var value []byte
	for _, key := range slices.Sorted(maps.Keys(table)) {
		r := row(table[key])
		var err error
		if value, err = coder.Append(value[:0], r.Value); err != nil {
			return dst, fmt.Errorf("%q: %w", key, err)
		}
		dst = pack.AppendArrayHeader(dst, 4)
		dst = pack.AppendString(dst, key)
		dst = pack.AppendInt(pack.AppendInt(dst, *r.Version), *r.Sequence)
		dst = pack.AppendBytes(dst, value)
	}
	return dst, nil
}

// Decode returns the table that Append encoded; it keeps no part of data. Errors: ErrFormat, which a key that is there
// twice is too; those of the coder, with the key.
func Decode[E, V any](data []byte, row func(*E) Row[V], coder Coder[V]) (map[string]*E, error) {
	table := map[string]*E{}
	r := pack.NewReader(data)
	for n := r.ArrayHeader(); n > 0 && r.Err() == nil; n-- {
		r.Tuple(4)
		key, e := r.Str(), new(E)
		to := row(e)
		*to.Version, *to.Sequence = r.Int64(), r.Int64()
		value := r.View()
		if r.Err() != nil {
			break
		}
		if table[key] != nil {
			return nil, fmt.Errorf("%w: %q is there twice", ErrFormat, key)
		}
		if err := coder.Decode(value, to.Value); err != nil {
			return nil, fmt.Errorf("%q: %w", key, err)
		}
		table[key] = e
	}
	if err := r.Close(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return table, nil
}
