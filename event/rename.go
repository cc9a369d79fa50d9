package event

import (
	"fmt"
	"slices"
)

// Rename says that the type registered as name, now or later, was called old before: events of old in a
// log are decoded as name. Their version numbers are one row with name's, so a rename by itself
// raises nothing. Several old names may lead to one type.
//
// It fails with ErrTypeName, with ErrDuplicateType where old is registered, renamed or retired
// already or is name itself, and with ErrFrozen after Freeze.
func (r *Registry) Rename(old, name string) error {
	err := checkName(old)
	if err == nil {
		err = checkName(name)
	}
	if err == nil {
		err = r.change(func(t *tables) error {
			if old == name {
				return fmt.Errorf("%w: both names are the same", ErrDuplicateType)
			}
			if err := t.unused(old); err != nil {
				return err
			}
			if _, chain := t.renamed[name]; chain {
				return fmt.Errorf("%w: %q has itself been renamed; name the last one", ErrDuplicateType, name)
			}
			t.renamed[old] = name
			return nil
		})
	}
	if err != nil {
		return fmt.Errorf("event: rename %q to %q: %w", old, name, err)
	}
	return nil
}

// Retire says that events of the type called name are no longer published and that no handler cares for
// them. Those in a log pass untouched, and nobody wonders where the type has gone: see package
// schema. The name cannot be registered again, so that its events never come back with another meaning.
//
// It fails with ErrTypeName, ErrDuplicateType where name is registered, renamed or retired
// already, and with ErrFrozen after Freeze.
func (r *Registry) Retire(name string) error {
	err := checkName(name)
	if err == nil {
		err = r.change(func(t *tables) error {
			if err := t.unused(name); err != nil {
				return err
			}
			t.retired[name] = true
			return nil
		})
	}
	if err != nil {
		return fmt.Errorf("event: retire %q: %w", name, err)
	}
	return nil
}

// unused fails where a name stands for something already.
func (t *tables) unused(name string) error {
	if c, ok := t.byName[name]; ok {
		return fmt.Errorf("%w: the name belongs to %v", ErrDuplicateType, c.GoType())
	}
	if now, ok := t.renamed[name]; ok {
		return fmt.Errorf("%w: %q has been renamed to %q", ErrDuplicateType, name, now)
	}
	if t.retired[name] {
		return fmt.Errorf("%w: %q is retired", ErrDuplicateType, name)
	}
	return nil
}

// Current returns the registered type for a name that a log uses: by that name, or by what it was
// renamed to.
func (r *Registry) Current(name string) (Codec, bool) {
	t := r.load()
	if now, ok := t.renamed[name]; ok {
		name = now
	}
	c, ok := t.byName[name]
	return c, ok
}

// OldNames returns the names that the type called name had before, in order.
func (r *Registry) OldNames(name string) []string {
	var old []string
	for from, to := range r.load().renamed {
		if to == name {
			old = append(old, from)
		}
	}
	slices.Sort(old)
	return old
}

// Retired returns the retired names, in order.
func (r *Registry) Retired() []string {
	var names []string
	for name := range r.load().retired {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// OldestLiftable returns the oldest version of the type called name that its upcasters lift to the
// registered one without a missing step; 0 if the name is not registered.
func (r *Registry) OldestLiftable(name string) uint16 {
	t := r.load()
	c, ok := t.byName[name]
	if !ok {
		return 0
	}
	oldest := c.Version()
	for oldest > 1 && t.upcasters[upcastStep{name, oldest - 1}] != nil {
		oldest--
	}
	return oldest
}
