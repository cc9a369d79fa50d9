package event

import (
	"fmt"
	"maps"
	"reflect"
	"sync"
	"sync/atomic"
	"unicode"
	"unicode/utf8"
)

// Registry knows the event types of a program: name, version, kind and Go type of each, and the
// upcasters between their versions. The zero Registry is empty.
//
// Every method and function of a Registry is safe for concurrent use, and lookups take no lock.
// Freeze ends the time of registrations; an engine does so when it opens.
type Registry struct {
	mu     sync.Mutex // held by writers
	tables atomic.Pointer[tables]
}

// tables is what lookups read. One that is published is never changed: writers replace it.
type tables struct {
	frozen    bool
	types     []Codec // in order of registration
	byName    map[string]Codec
	byGoType  map[reflect.Type]Codec
	upcasters map[upcastStep]Upcaster
	renamed   map[string]string // old name: what it is called now
	retired   map[string]bool
}

// NewRegistry returns an empty Registry.
func NewRegistry() *Registry { return new(Registry) }

// noTables are those of a registry that nothing was registered with.
var noTables = new(tables)

func (r *Registry) load() *tables {
	if t := r.tables.Load(); t != nil {
		return t
	}
	return noTables
}

// TypeOptions are the choices of Register. The zero value is the default.
type TypeOptions struct {
	// Kind of every event of the type. 0 is Notification; else Notification, Command, Document.
	Kind Kind
}

func (o TypeOptions) validate() error {
	if o.Kind > Document {
		return fmt.Errorf("%w: TypeOptions.Kind: %v", ErrHeader, o.Kind)
	}
	return nil
}

// MaxNameBytes is the limit of a type's name.
const MaxNameBytes = 255

func checkName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: empty", ErrTypeName)
	case len(name) > MaxNameBytes:
		return fmt.Errorf("%w: %d bytes, the limit is %d", ErrTypeName, len(name), MaxNameBytes)
	case !utf8.ValidString(name):
		return fmt.Errorf("%w: %q is not UTF-8", ErrTypeName, name)
	}
	for _, c := range name {
		if !unicode.IsPrint(c) || c == ' ' {
			return fmt.Errorf("%w: %q has the unprintable character %U", ErrTypeName, name, c)
		}
	}
	return nil
}

// Register makes T known under name, which is what the log and JSON call it for good, in version,
// from 1: raise it, and add an upcaster, whenever the payload changes in a way that a decoder must
// know. At most one TypeOptions is given.
//
// It fails with ErrTypeName for a name that is not 1 to 255 bytes of printable UTF-8 without
// spaces, ErrVersion for version 0, ErrDuplicateType for a name or Go type that is registered
// already, ErrTypeUnsupported for a T that cannot go through msgpack and come back: a pointer or
// interface, one that holds channels, functions, complex numbers or interfaces with methods, one
// that encodes itself but does not decode itself; and with ErrFrozen after Freeze.
func Register[T any](r *Registry, name string, version uint16, o ...TypeOptions) (*Type[T], error) {
	var opt TypeOptions
	if len(o) > 1 {
		return nil, fmt.Errorf("event: register %q: %d TypeOptions given, at most one is used", name, len(o))
	}
	if len(o) == 1 {
		opt = o[0]
	}
	err := checkName(name)
	if err == nil {
		err = opt.validate()
	}
	if err == nil && version == 0 {
		err = fmt.Errorf("%w: versions start at 1", ErrVersion)
	}
	var t *Type[T]
	if err == nil {
		t, err = newType[T](r, name, version, opt)
	}
	if err == nil {
		err = r.add(t)
	}
	if err != nil {
		return nil, fmt.Errorf("event: register %q as %v: %w", name, reflect.TypeFor[T](), err)
	}
	return t, nil
}

// MustRegister is Register for package variables and tests: it panics where Register fails.
func MustRegister[T any](r *Registry, name string, version uint16, o ...TypeOptions) *Type[T] {
	t, err := Register[T](r, name, version, o...)
	if err != nil {
		panic(err)
	}
	return t
}

// indexed is a Codec that is told its place.
type indexed interface {
	Codec
	setIndex(int)
}

func (r *Registry) add(c indexed) error {
	return r.change(func(t *tables) error {
		if err := t.unused(c.Name()); err != nil {
			return err
		}
		if other, ok := t.byGoType[c.GoType()]; ok {
			return fmt.Errorf("%w: the Go type is registered as %q", ErrDuplicateType, other.Name())
		}
		c.setIndex(len(t.types))
		t.types = append(t.types, c)
		t.byName[c.Name()] = c
		t.byGoType[c.GoType()] = c
		return nil
	})
}

// change applies f to a copy of the tables and publishes it, unless f fails.
func (r *Registry) change(f func(*tables) error) error {
	if r == nil {
		return errNoRegistry
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.load()
	if old.frozen {
		return ErrFrozen
	}
	next := &tables{
		types:     append(make([]Codec, 0, len(old.types)+1), old.types...),
		byName:    clone(old.byName),
		byGoType:  clone(old.byGoType),
		upcasters: clone(old.upcasters),
		renamed:   clone(old.renamed),
		retired:   clone(old.retired),
	}
	if err := f(next); err != nil {
		return err
	}
	r.tables.Store(next)
	return nil
}

// clone is maps.Clone that makes a map of nil.
func clone[K comparable, V any](m map[K]V) map[K]V {
	c := make(map[K]V, len(m)+1)
	maps.Copy(c, m)
	return c
}

// Freeze makes every later registration fail with ErrFrozen. Freezing twice is fine.
func (r *Registry) Freeze() {
	_ = r.change(func(t *tables) error { // fails only when frozen already
		t.frozen = true
		return nil
	})
}

// Frozen reports whether Freeze was called.
func (r *Registry) Frozen() bool { return r.load().frozen }

// Types returns the registered types in the order of registration; Codec.Index counts them.
func (r *Registry) Types() []Codec {
	return append([]Codec(nil), r.load().types...)
}

// ByName returns the type registered under name.
func (r *Registry) ByName(name string) (Codec, bool) {
	c, ok := r.load().byName[name]
	return c, ok
}

// ByGoType returns the type registered for a Go type.
func (r *Registry) ByGoType(t reflect.Type) (Codec, bool) {
	c, ok := r.load().byGoType[t]
	return c, ok
}

// CodecOf returns the type registered for T; where there is none, an ErrUnregistered that names
// T. It costs a map lookup and does not allocate.
func CodecOf[T any](r *Registry) (*Type[T], error) {
	if c, ok := r.load().byGoType[reflect.TypeFor[T]()]; ok {
		return c.(*Type[T]), nil
	}
	return nil, fmt.Errorf("%w: Go type %v; call event.Register before the engine opens",
		ErrUnregistered, reflect.TypeFor[T]())
}
