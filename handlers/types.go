package handlers

import (
	"fmt"
	"reflect"
	"slices"
	"sync/atomic"

	"github.com/headrace/headrace/event"
)

// Types joins the registry (Go types and their names) and the catalog of one log (names and their
// ids). It is made once, when an engine opens, and read without locks from then on.
type Types struct {
	registry *event.Registry
	catalog  *event.Catalog
	byGo     map[reflect.Type]*Bound
	byID     map[uint16]*Bound
	old      map[uint16][]uint16 // by id of a type: the ids of the names that it had before
}

// Bound is a registered type with its id in this log.
type Bound struct {
	ID    uint16
	Codec event.Codec

	owner  *Lane        // the lane that evolves it; nil = anybody may publish it
	system bool         // the engine's own: nobody else may
	expect atomic.Int64 // bytes that a body may well have, as seen lately
}

// Owned returns an error that wraps ErrOwned if only the handlers of one lane may emit events of the type,
// or only the engine.
func (b *Bound) Owned() error {
	switch {
	case b.system:
		return fmt.Errorf("%w: %s, by the engine", ErrOwned, b.Codec.Name())
	case b.owner == nil:
		return nil
	}
	return fmt.Errorf("%w: %s, by lane %q", ErrOwned, b.Codec.Name(), b.owner.name)
}

// System tells whether the type is one of the engine's own.
func (b *Bound) System() bool { return b.system }

// Grow notes a body's size.
func (b *Bound) Grow(size int) {
	old := b.expect.Load()
	if n := int64(size); n > old {
		b.expect.Store(n) // of several at once, one is remembered: it is a guess
	} else if n < old/2 {
		b.expect.Store(old - old/8)
	}
}

// Expect is how large the next body may well be: as large as the last large ones, if there were any
// lately.
func (b *Bound) Expect() int { return int(b.expect.Load()) }

// NewTypes joins registry and catalog. A registered type that the catalog does not know can be
// read by nobody and published by nobody; the engine assigns ids before it calls this.
func NewTypes(registry *event.Registry, catalog *event.Catalog) *Types {
	t := &Types{registry: registry, catalog: catalog, byGo: map[reflect.Type]*Bound{}, byID: map[uint16]*Bound{}, old: map[uint16][]uint16{}}
	for _, s := range systemTypes {
		b := &Bound{ID: s.id, Codec: s.codec, system: true}
		t.byGo[s.codec.GoType()], t.byID[s.id] = b, b
	}
	for _, c := range registry.Types() {
		id, ok := catalog.ID(c.Name())
		if !ok {
			continue
		}
		b := &Bound{ID: id, Codec: c}
		t.byGo[c.GoType()], t.byID[id] = b, b
		for _, name := range registry.OldNames(c.Name()) {
			if before, ok := catalog.ID(name); ok {
				t.old[id] = append(t.old[id], before)
			}
		}
	}
	return t
}

// Old returns the ids that a type had in this log under former names: events with one of them are of
// the type too. See event.Registry.Rename.
func (t *Types) Old(id uint16) []uint16 { return t.old[id] }

// is tells whether an event with id typeID is of the type with this id.
func (t *Types) is(id, typeID uint16) bool {
	return id == typeID || slices.Contains(t.old[id], typeID)
}

// Registry returns the registry.
func (t *Types) Registry() *event.Registry { return t.registry }

// ID returns the id that the type with this name has in the log.
func (t *Types) ID(name string) (uint16, bool) { return t.catalog.ID(name) }

// Name returns the name of a type id, or "type N" for one that the log never named.
func (t *Types) Name(id uint16) string {
	if name, ok := t.catalog.Name(id); ok {
		return name
	}
	return fmt.Sprintf("type %d", id)
}

// owner returns the lane that evolves the type, nil for none.
func (t *Types) owner(id uint16) *Lane {
	if b := t.byID[id]; b != nil {
		return b.owner
	}
	return nil
}

// Lookup returns the id and the codec of Go type T, or an error that wraps event.ErrUnregistered. It
// does not allocate.
func Lookup[T any](t *Types) (*Bound, *event.Type[T], error) {
	b, ok := t.byGo[reflect.TypeFor[T]()]
	if !ok {
		return nil, nil, fmt.Errorf("%w: %s", event.ErrUnregistered, reflect.TypeFor[T]())
	}
	return b, b.Codec.(*event.Type[T]), nil
}

// LookupValue returns the type of v, which holds a value of a registered Go type or a pointer to
// one, or an error that wraps event.ErrUnregistered.
func LookupValue(t *Types, v any) (*Bound, error) {
	goType := reflect.TypeOf(v)
	if goType != nil && goType.Kind() == reflect.Pointer {
		if reflect.ValueOf(v).IsNil() {
			return nil, fmt.Errorf("%w: nil %v", event.ErrUnregistered, goType)
		}
		goType = goType.Elem()
	}
	b, ok := t.byGo[goType]
	if !ok {
		return nil, fmt.Errorf("%w: %v", event.ErrUnregistered, goType)
	}
	return b, nil
}
