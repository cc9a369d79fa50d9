package event

import (
	"fmt"
	"sync"
)

// FirstTypeID is the first type id of a user's type. Smaller ones belong to the system's own
// records; 0 is none.
const FirstTypeID = 16

// Catalog maps the names of event types to the u16 ids that stand for them in one log. Each log
// has its own: an id is bound to a name when the first event of the type is published, the binding
// is a record in the log, and it never changes. The zero Catalog is empty and ready.
//
// A Catalog is safe for concurrent use. Look up once and keep the id where every event counts.
type Catalog struct {
	mu    sync.RWMutex
	ids   map[string]uint16
	names map[uint16]string
	next  uint16 // id to try next; 0 = FirstTypeID
}

// Assign returns the id of name and, when it is new to the Catalog, binds it to the smallest id
// above every id of a user's type so far; isNew says so, and the caller writes the binding to the
// log before the first event. It fails with ErrTypeName, or ErrCatalogFull after 65,520 types.
func (c *Catalog) Assign(name string) (id uint16, isNew bool, err error) {
	if id, ok := c.ID(name); ok {
		return id, false, nil
	}
	if err := checkName(name); err != nil {
		return 0, false, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if id, ok := c.ids[name]; ok {
		return id, false, nil
	}
	if c.next == full {
		return 0, false, fmt.Errorf("%w: no id left for %q", ErrCatalogFull, name)
	}
	id = max(c.next, FirstTypeID)
	c.bind(id, name)
	return id, true, nil
}

// full is a next that says that the last id is taken. It is no id that Assign gives.
const full = 1

// Learn binds id, from 1, to name, as a log says. Learning the same again is fine; an id or a name
// that is bound to another is an ErrCatalogConflict, and so is id 0.
func (c *Catalog) Learn(id uint16, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if id == 0 {
		return fmt.Errorf("%w: id 0 for %q", ErrCatalogConflict, name)
	}
	if bound, ok := c.names[id]; ok && bound != name {
		return fmt.Errorf("%w: id %d is %q, not %q", ErrCatalogConflict, id, bound, name)
	}
	if bound, ok := c.ids[name]; ok && bound != id {
		return fmt.Errorf("%w: %q has id %d, not %d", ErrCatalogConflict, name, bound, id)
	}
	c.bind(id, name)
	return nil
}

// bind needs the lock, and that neither is bound otherwise.
func (c *Catalog) bind(id uint16, name string) {
	if c.ids == nil {
		c.ids = make(map[string]uint16)
		c.names = make(map[uint16]string)
	}
	c.ids[name] = id
	c.names[id] = name
	switch {
	case id == 1<<16-1:
		c.next = full
	case c.next != full && id >= max(c.next, FirstTypeID):
		c.next = id + 1
	}
}

// Name returns the name that id stands for.
func (c *Catalog) Name(id uint16) (string, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	name, ok := c.names[id]
	return name, ok
}

// ID returns the id that stands for name.
func (c *Catalog) ID(name string) (uint16, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	id, ok := c.ids[name]
	return id, ok
}

// Len returns the number of bindings.
func (c *Catalog) Len() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return len(c.ids)
}
