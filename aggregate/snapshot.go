package aggregate

import (
	"fmt"

	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/internal/keyed"
)

func (e *entity[S]) row() keyed.Row[S] {
	return keyed.Row[S]{Version: &e.version, Sequence: &e.sequence, Value: &e.state}
}

// AppendSnapshot implements handlers.StateCodec: key, version, sequence and state of every entity, by key.
func (t *Table[S]) AppendSnapshot(dst []byte) ([]byte, error) {
	coder, err := handlers.NewCoder[S]()
	if err != nil {
		return dst, err
	}
	if dst, err = keyed.Append(dst, t.entities, (*entity[S]).row, coder); err != nil {
		return dst, fmt.Errorf("aggregate: entity %w", err)
	}
	return dst, nil
}

// DecodeSnapshot implements handlers.StateCodec.
func (t *Table[S]) DecodeSnapshot(data []byte) error {
	coder, err := handlers.NewCoder[S]()
	if err != nil {
		return err
	}
	entities, err := keyed.Decode(data, (*entity[S]).row, coder)
	if err != nil {
		return fmt.Errorf("aggregate: entities: %w", err)
	}
	t.entities = entities
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
