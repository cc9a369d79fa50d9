package handlers

import (
	"fmt"
	"reflect"
	"sync/atomic"

	"github.com/headrace/headrace/event"
)

// Types joins the registry (Go types and their names) and the catalog of one log (names and their
// ids). It is made once, when an engine opens, and read without locks from then on.
type Types struct {
	registry *event.Registry
	catalog  *event.Catalog
	byGo     map[reflect.Type]*Bound
}

// Bound is a registered type with its id in this log.
type Bound struct {
	ID    uint16
	Codec event.Codec

	largest atomic.Int64 // bytes of the largest body seen: where it outgrows a slot, encode elsewhere
}

// Grow notes a body's size and returns the largest so far.
func (b *Bound) Grow(size int) int {
	for {
		old := b.largest.Load()
		if int64(size) <= old {
			return int(old)
		}
		if b.largest.CompareAndSwap(old, int64(size)) {
			return size
		}
	}
}

// NewTypes joins registry and catalog. A registered type that the catalog does not know can be
// read by nobody and published by nobody; the engine assigns ids before it calls this.
func NewTypes(registry *event.Registry, catalog *event.Catalog) *Types {
	t := &Types{registry: registry, catalog: catalog, byGo: map[reflect.Type]*Bound{}}
	for _, c := range registry.Types() {
		if id, ok := catalog.ID(c.Name()); ok {
			t.byGo[c.GoType()] = &Bound{ID: id, Codec: c}
		}
	}
	return t
}

// Registry returns the registry.
func (t *Types) Registry() *event.Registry { return t.registry }

// Name returns the name of a type id, or "type N" for one that the log never named.
func (t *Types) Name(id uint16) string {
	if name, ok := t.catalog.Name(id); ok {
		return name
	}
	return fmt.Sprintf("type %d", id)
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
