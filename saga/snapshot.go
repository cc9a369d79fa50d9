package saga

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/headrace/headrace/event/pack"
	"github.com/headrace/headrace/handlers"
)

// errSnapshot reports bytes that no table has written.
var errSnapshot = errors.New("saga: not a table of instances")

// AppendSnapshot implements handlers.StateCodec: key, version, sequence and last change of every instance, by key.
func (t *Table[D]) AppendSnapshot(dst []byte) ([]byte, error) {
	coder, err := handlers.NewCoder[Moved[D]]()
	if err != nil {
		return dst, err
	}
	dst = pack.AppendArrayHeader(dst, len(t.instances))
	var moved []byte
	for _, key := range slices.Sorted(maps.Keys(t.instances)) {
		i := t.instances[key]
		if moved, err = coder.Append(moved[:0], &i.Moved); err != nil {
			return dst, fmt.Errorf("saga: instance %q: %w", key, err)
		}
		dst = pack.AppendArrayHeader(dst, 4)
		dst = pack.AppendString(dst, key)
		dst = pack.AppendInt(pack.AppendInt(dst, i.Version), i.Sequence)
		dst = pack.AppendBytes(dst, moved)
	}
	return dst, nil
}

// DecodeSnapshot implements handlers.StateCodec.
func (t *Table[D]) DecodeSnapshot(data []byte) error {
	coder, err := handlers.NewCoder[Moved[D]]()
	if err != nil {
		return err
	}
	t.instances = map[string]*Instance[D]{}
	r := pack.NewReader(data)
	for n := r.ArrayHeader(); n > 0 && r.Err() == nil; n-- {
		r.Tuple(4)
		key, i := r.Str(), &Instance[D]{Version: r.Int64(), Sequence: r.Int64()}
		moved := r.View()
		if r.Err() != nil {
			break
		}
		if t.instances[key] != nil {
			return fmt.Errorf("%w: %q is there twice", errSnapshot, key)
		}
		if err := coder.Decode(moved, &i.Moved); err != nil {
			return fmt.Errorf("saga: instance %q: %w", key, err)
		}
		t.instances[key] = i
	}
	if err := r.Close(); err != nil {
		return fmt.Errorf("%w: %w", errSnapshot, err)
	}
	return nil
}

// SnapshotSchema implements handlers.StateSchema: it changes with the type of the instances' data.
func (t *Table[D]) SnapshotSchema() string {
	coder, err := handlers.NewCoder[Moved[D]]()
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%x", coder.Fingerprint())
}
