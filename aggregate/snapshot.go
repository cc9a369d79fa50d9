package aggregate

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/headrace/headrace/event/pack"
	"github.com/headrace/headrace/handlers"
)

// errSnapshot reports bytes that no table has written.
var errSnapshot = errors.New("aggregate: not a table of entities")

// AppendSnapshot implements handlers.StateCodec: key, version, sequence and state of every entity, by key.
func (t *Table[S]) AppendSnapshot(dst []byte) ([]byte, error) {
	coder, err := handlers.NewCoder[S]()
	if err != nil {
		return dst, err
	}
	dst = pack.AppendArrayHeader(dst, len(t.entities))
	var state []byte
	for _, key := range slices.Sorted(maps.Keys(t.entities)) {
		e := t.entities[key]
		if state, err = coder.Append(state[:0], &e.state); err != nil {
			return dst, fmt.Errorf("aggregate: entity %q: %w", key, err)
		}
		dst = pack.AppendArrayHeader(dst, 4)
		dst = pack.AppendString(dst, key)
		dst = pack.AppendInt(pack.AppendInt(dst, e.version), e.sequence)
		dst = pack.AppendBytes(dst, state)
	}
	return dst, nil
}

// DecodeSnapshot implements handlers.StateCodec.
func (t *Table[S]) DecodeSnapshot(data []byte) error {
	coder, err := handlers.NewCoder[S]()
	if err != nil {
		return err
	}
	t.entities = map[string]*entity[S]{}
	r := pack.NewReader(data)
	for n := r.ArrayHeader(); n > 0 && r.Err() == nil; n-- {
		r.Tuple(4)
		key, e := r.Str(), &entity[S]{version: r.Int64(), sequence: r.Int64()}
		state := r.View()
		if r.Err() != nil {
			break
		}
		if t.entities[key] != nil {
			return fmt.Errorf("%w: %q is there twice", errSnapshot, key)
		}
		if err := coder.Decode(state, &e.state); err != nil {
			return fmt.Errorf("aggregate: entity %q: %w", key, err)
		}
		t.entities[key] = e
	}
	if err := r.Close(); err != nil {
		return fmt.Errorf("%w: %w", errSnapshot, err)
	}
	return nil
}

// SnapshotSchema implements handlers.StateSchema: it changes with the type of the entities' state.
func (t *Table[S]) SnapshotSchema() string {
	coder, err := handlers.NewCoder[S]()
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%x", coder.Fingerprint())
}
