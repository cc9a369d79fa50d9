package shop

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/vmihailenco/msgpack/v5"
)

// The read models and the position encode themselves for snapshots: equal ones have equal bytes, for what they keep by
// name is written in the order of names. Of the engine's two methods, AppendSnapshot appends, and DecodeSnapshot sets
// a model that is new; SnapshotSchema changes when the bytes do.

// named is one entry of a map.
type named[V any] struct {
	Name  string
	Value V
}

func inOrder[V any](m map[string]V) []named[V] {
	all := make([]named[V], 0, len(m))
	for _, name := range slices.SortedFunc(maps.Keys(m), cmp.Compare[string]) {
		all = append(all, named[V]{name, m[name]})
	}
	return all
}

func byName[V any](all []named[V]) map[string]V {
	m := make(map[string]V, len(all))
	for _, n := range all {
		m[n.Name] = n.Value
	}
	return m
}

func appendImage(dst []byte, image any) ([]byte, error) {
	data, err := msgpack.Marshal(image)
	return append(dst, data...), err
}

func decodeImage(data []byte, image any) error {
	if err := msgpack.Unmarshal(data, image); err != nil {
		return fmt.Errorf("shop: stored state: %w", err)
	}
	return nil
}

type ledgerImage struct {
	Totals   [kinds]Totals
	Rejected [len(reasons)]Totals
	Invoices []named[[2]int32] // answers, and those rejected
}

// AppendSnapshot implements handlers.StateCodec.
func (l *Ledger) AppendSnapshot(dst []byte) ([]byte, error) {
	image := ledgerImage{Totals: l.totals, Rejected: l.rejected}
	for inv := range l.invoices.sorted() {
		image.Invoices = append(image.Invoices, named[[2]int32]{inv.number, [2]int32{inv.answers, inv.rejected}})
	}
	return appendImage(dst, &image)
}

// DecodeSnapshot implements handlers.StateCodec.
func (l *Ledger) DecodeSnapshot(data []byte) error {
	var image ledgerImage
	if err := decodeImage(data, &image); err != nil {
		return err
	}
	*l = Ledger{totals: image.Totals, rejected: image.Rejected}
	for _, n := range image.Invoices {
		inv := l.invoices.of(n.Name)
		inv.answers, inv.rejected = n.Value[0], n.Value[1]
	}
	return nil
}

// SnapshotSchema implements handlers.StateSchema.
func (l *Ledger) SnapshotSchema() string {
	return fmt.Sprintf("1: %d kinds, %d reasons", kinds, len(reasons))
}

// AppendSnapshot implements handlers.StateCodec.
func (c *Customers) AppendSnapshot(dst []byte) ([]byte, error) {
	return appendImage(dst, inOrder(c.by))
}

// DecodeSnapshot implements handlers.StateCodec.
func (c *Customers) DecodeSnapshot(data []byte) error {
	var all []named[*CustomerTotals]
	if err := decodeImage(data, &all); err != nil {
		return err
	}
	c.by = byName(all)
	return nil
}

// SnapshotSchema implements handlers.StateSchema.
func (c *Customers) SnapshotSchema() string { return "1" }

// AppendSnapshot implements handlers.StateCodec.
func (c *Countries) AppendSnapshot(dst []byte) ([]byte, error) {
	return appendImage(dst, inOrder(c.netMilli))
}

// DecodeSnapshot implements handlers.StateCodec.
func (c *Countries) DecodeSnapshot(data []byte) error {
	var all []named[*int64]
	if err := decodeImage(data, &all); err != nil {
		return err
	}
	c.netMilli = byName(all)
	return nil
}

// SnapshotSchema implements handlers.StateSchema.
func (c *Countries) SnapshotSchema() string { return "1" }

// AppendSnapshot implements handlers.StateCodec.
func (s *State) AppendSnapshot(dst []byte) ([]byte, error) {
	for _, model := range []interface {
		AppendSnapshot(dst []byte) ([]byte, error)
	}{&s.Ledger, &s.Customers, &s.Countries} {
		start := len(dst)
		dst = append(dst, 0, 0, 0, 0, 0, 0, 0, 0) // for the length
		var err error
		if dst, err = model.AppendSnapshot(dst); err != nil {
			return dst, err
		}
		binary.LittleEndian.PutUint64(dst[start:], uint64(len(dst)-start-8))
	}
	return dst, nil
}

// DecodeSnapshot implements handlers.StateCodec.
func (s *State) DecodeSnapshot(data []byte) error {
	for _, model := range []interface{ DecodeSnapshot(data []byte) error }{&s.Ledger, &s.Customers, &s.Countries} {
		if len(data) < 8 || binary.LittleEndian.Uint64(data) > uint64(len(data)-8) {
			return errors.New("shop: stored state is cut")
		}
		n := 8 + int(binary.LittleEndian.Uint64(data))
		if err := model.DecodeSnapshot(data[8:n]); err != nil {
			return err
		}
		data = data[n:]
	}
	if len(data) > 0 {
		return errors.New("shop: stored state: bytes left over")
	}
	return nil
}

// SnapshotSchema implements handlers.StateSchema.
func (s *State) SnapshotSchema() string {
	return s.Ledger.SnapshotSchema() + "; " + s.Customers.SnapshotSchema() + "; " + s.Countries.SnapshotSchema()
}

type positionImage struct {
	Source       string
	Next, Orders int64
	Digest       []byte
}

// AppendSnapshot implements handlers.StateCodec.
func (p *Position) AppendSnapshot(dst []byte) ([]byte, error) {
	return appendImage(dst, &positionImage{p.source, p.next, p.orders, p.digest[:]})
}

// DecodeSnapshot implements handlers.StateCodec.
func (p *Position) DecodeSnapshot(data []byte) error {
	var image positionImage
	if err := decodeImage(data, &image); err != nil {
		return err
	}
	if len(image.Digest) != len(p.digest) {
		return fmt.Errorf("shop: stored position: a digest of %d bytes", len(image.Digest))
	}
	*p = Position{source: image.Source, next: image.Next, orders: image.Orders, digest: [32]byte(image.Digest)}
	return nil
}

// SnapshotSchema implements handlers.StateSchema.
func (p *Position) SnapshotSchema() string { return "2" }
