package aggregate

import (
	"iter"
	"maps"
	"slices"
)

// Table is the entities of one kind, by key.
type Table[S any] struct{ entities map[string]*entity[S] }

type entity[S any] struct {
	state    S
	version  int64 // number of the last event folded
	sequence int64
}

// Entity is one of them as it is found.
type Entity[S any] struct {
	State   *S    // not to be changed; valid as long as the view is
	Version int64 // number of its last event in its stream, from 1
	// Sequence is that of the last event, in a projection; in a lane, that of the event's cause.
	Sequence int64
}

func newTable[S any]() *Table[S] { return &Table[S]{map[string]*entity[S]{}} }

func (t *Table[S]) entity(key string) *entity[S] {
	e, ok := t.entities[key]
	if !ok {
		e = new(entity[S])
		t.entities[key] = e
	}
	return e
}

// Get returns the entity with this key; false for one without events.
func (t *Table[S]) Get(key string) (Entity[S], bool) {
	e, ok := t.entities[key]
	if !ok || e.version == 0 {
		return Entity[S]{}, false
	}
	return Entity[S]{&e.state, e.version, e.sequence}, true
}

// Len is how many entities there are.
func (t *Table[S]) Len() int { return len(t.entities) }

// All goes through the entities in the order of their keys.
func (t *Table[S]) All() iter.Seq2[string, Entity[S]] {
	return func(yield func(string, Entity[S]) bool) {
		for _, key := range slices.Sorted(maps.Keys(t.entities)) {
			if e, ok := t.Get(key); ok && !yield(key, e) {
				return
			}
		}
	}
}
