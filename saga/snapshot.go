package saga

import (
	"fmt"

	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/internal/keyed"
)

func (i *Instance[D]) row() keyed.Row[Moved[D]] {
	return keyed.Row[Moved[D]]{Version: &i.Version, Sequence: &i.Sequence, Value: &i.Moved}
}

// AppendSnapshot implements handlers.StateCodec: key, version, sequence and last change of every instance, by key.
func (t *Table[D]) AppendSnapshot(dst []byte) ([]byte, error) {
	coder, err := handlers.NewCoder[Moved[D]]()
	if err != nil {
		return dst, err
	}
	if dst, err = keyed.Append(dst, t.instances, (*Instance[D]).row, coder); err != nil {
		return dst, fmt.Errorf("saga: instance %w", err)
	}
	return dst, nil
}

// DecodeSnapshot implements handlers.StateCodec.
func (t *Table[D]) DecodeSnapshot(data []byte) error {
	coder, err := handlers.NewCoder[Moved[D]]()
	if err != nil {
		return err
	}
	instances, err := keyed.Decode(data, (*Instance[D]).row, coder)
	if err != nil {
		return fmt.Errorf("saga: instances: %w", err)
	}
	t.instances = instances
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
