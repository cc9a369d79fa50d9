package handlers

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/headrace/headrace/event"
)

// ErrFilter reports a Filter that means nothing; the error says which part of it.
var ErrFilter = errors.New("handlers: unusable filter")

// Filter says which events a subscriber gets: a handler on a lane (OnFiltered, FoldFiltered), a projection
// (ApplyFiltered), a follower (headrace.FollowOptions.Filter). An event passes if it passes each field that is
// set; the zero Filter passes all of an application's events. The engine's own never pass, whatever the filter says.
//
//	handlers.Filter{Types: []string{"orders.*", "payments.>"}, Kinds: []event.Kind{event.Notification}}
type Filter struct {
	// Types are patterns of type names, of which one must match; none = every type. Names and patterns are
	// compared by tokens, which are what stands between dots: "*" stands for any one token, and ">", which can only be
	// the last, for one or more. So "orders.*" matches orders.placed, but neither orders nor orders.item.added, and
	// "orders.>" matches the latter too. A pattern without either is a name. A type that was renamed
	// (event.Registry.Rename) matches under each of its names; one that the registry does not know, under the name that
	// the log has.
	Types []string

	// Kinds are the kinds that pass; none = every kind.
	Kinds []event.Kind

	// Keys are the keys that pass, to the letter; none = every key, and events without one.
	Keys []string

	// KeyPrefix is what the key must begin with. Default nothing.
	KeyPrefix string
}

// Validate returns an error that wraps ErrFilter and names every fault, and nil if there is none.
func (f Filter) Validate() error {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("%w: %s", ErrFilter, fmt.Sprintf(format, args...)))
	}
	for _, p := range f.Types {
		tokens := strings.Split(p, ".")
		for i, t := range tokens {
			switch {
			case t == "":
				fault("Types: pattern %q has an empty token", p)
			case t == ">" && i < len(tokens)-1:
				fault("Types: pattern %q: %q can only be the last token", p, ">")
			case len(t) > 1 && strings.ContainsAny(t, "*>"):
				fault("Types: pattern %q: a wildcard is a token of its own, and %q is none", p, t)
			default:
				continue
			}
			break
		}
		if !utf8.ValidString(p) {
			fault("Types: pattern %q is not UTF-8", p)
		}
	}
	for _, k := range f.Kinds {
		if k < event.Notification || k > event.Document {
			fault("Kinds: %v", k)
		}
	}
	if slices.Contains(f.Keys, "") {
		fault("Keys: one is empty; events without a key cannot be asked for")
	}
	return errors.Join(faults...)
}

// String is the filter as text: equal filters have equal texts, in whatever order their parts stand.
func (f Filter) String() string {
	var b strings.Builder
	part := func(name string, all []string) {
		if len(all) == 0 {
			return
		}
		all = slices.Clone(all)
		slices.Sort(all)
		fmt.Fprintf(&b, " %s=%q", name, slices.Compact(all))
	}
	part("types", f.Types)
	var kinds []string
	for _, k := range f.Kinds {
		kinds = append(kinds, k.String())
	}
	part("kinds", kinds)
	part("keys", f.Keys)
	if f.KeyPrefix != "" {
		part("prefix", []string{f.KeyPrefix})
	}
	if b.Len() == 0 {
		return "all"
	}
	return b.String()[1:]
}

// matchesType tells whether one of the patterns matches the name.
func (f Filter) matchesType(name string) bool {
	return len(f.Types) == 0 || slices.ContainsFunc(f.Types, func(p string) bool { return matchTokens(p, name) })
}

// matchTokens compares a pattern with a name, token by token.
func matchTokens(pattern, name string) bool {
	for {
		p, patternRest, morePattern := strings.Cut(pattern, ".")
		n, nameRest, moreName := strings.Cut(name, ".")
		switch {
		case p == ">":
			return true
		case p != "*" && p != n || morePattern != moreName:
			return false
		case !morePattern:
			return true
		}
		pattern, name = patternRest, nameRest
	}
}

// Match is a Filter made ready for the types of one log: the patterns are resolved, once for each type, and an event is
// looked at without an allocation. It does not change, and may be used from any goroutine.
type Match struct {
	types  []bool   // by type id
	names  []string // the same, of those that pass
	kinds  uint8    // a bit for each; 0 = all
	keys   map[string]struct{}
	prefix string
}

// NewMatch makes f ready for the types of a log. Its error wraps ErrFilter.
func NewMatch(f Filter, t *Types) (*Match, error) {
	if err := f.Validate(); err != nil {
		return nil, err
	}
	m := &Match{prefix: f.KeyPrefix}
	for _, k := range f.Kinds {
		m.kinds |= 1 << k
	}
	if len(f.Keys) > 0 {
		m.keys = make(map[string]struct{}, len(f.Keys))
		for _, k := range f.Keys {
			m.keys[k] = struct{}{}
		}
	}
	for _, id := range t.ids() {
		if id >= FirstUserType && slices.ContainsFunc(t.names(id), f.matchesType) {
			m.types = append(m.types, make([]bool, int(id)+1-len(m.types))...)
			m.names = append(m.names, make([]string, int(id)+1-len(m.names))...)
			m.types[id], m.names[id] = true, t.Name(id)
		}
	}
	return m, nil
}

// Type tells whether events with this type id may pass.
func (m *Match) Type(id uint16) bool { return int(id) < len(m.types) && m.types[id] }

// Event tells whether an event whose type passes does so itself.
func (m *Match) Event(v event.View) bool {
	if m.kinds != 0 && m.kinds&(1<<v.Kind()) == 0 {
		return false
	}
	if m.keys != nil {
		if _, ok := m.keys[string(v.KeyBytes())]; !ok {
			return false
		}
	}
	if m.prefix != "" {
		k := v.KeyBytes()
		return len(k) >= len(m.prefix) && string(k[:len(m.prefix)]) == m.prefix
	}
	return true
}

// renames names the former names of types that pass under another name only: who has seen the log before
// they were renamed has not seen their events.
func (f Filter) renames(r *event.Registry) string {
	var b strings.Builder
	for _, c := range r.Types() {
		names := append(r.OldNames(c.Name()), c.Name())
		if !slices.ContainsFunc(names, f.matchesType) {
			continue
		}
		for _, n := range names[:len(names)-1] {
			if !f.matchesType(n) {
				fmt.Fprintf(&b, " was=%q", n)
			}
		}
	}
	return b.String()
}

// ids returns the type ids of the log, ascending.
func (t *Types) ids() []uint16 {
	ids := make([]uint16, 0, t.catalog.Len())
	for id := 0; id <= math.MaxUint16 && len(ids) < cap(ids); id++ {
		if _, ok := t.catalog.Name(uint16(id)); ok {
			ids = append(ids, uint16(id))
		}
	}
	return ids
}

// names returns the names that the type of an id has and had.
func (t *Types) names(id uint16) []string {
	name := t.Name(id)
	c, ok := t.registry.Current(name)
	if !ok {
		return []string{name}
	}
	return append(t.registry.OldNames(c.Name()), c.Name())
}
