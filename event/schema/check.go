package schema

import (
	"fmt"
	"slices"
)

// Change is one difference between two dumps.
type Change struct {
	Type   string // the type's name, as the newer dump has it where it is there
	Path   string // where in the payload, such as ".lines[].price"; "" = the type itself
	Breaks bool   // payloads in logs are refused by it, or decoded as something else
	What   string
}

// String says all of it in one line.
func (c Change) String() string {
	mark := "compatible"
	if c.Breaks {
		mark = "BREAKING"
	}
	return fmt.Sprintf("%s: %s%s: %s", mark, c.Type, c.Path, c.What)
}

// Check returns what has changed from old to new, in the order of old's types and then of new's. Nothing
// is returned for what stayed as it is.
func Check(old, new Dump) []Change {
	var c checker
	byName := map[string]Type{}
	for _, t := range new.Types {
		byName[t.Name] = t
		for _, name := range t.OldNames {
			if _, taken := byName[name]; !taken {
				byName[name] = t
			}
		}
	}
	known := map[string]bool{}
	for _, was := range old.Types {
		now, ok := byName[was.Name]
		switch {
		case ok:
			known[now.Name] = true
			c.types(was, now)
		case slices.Contains(new.Retired, was.Name):
			c.add(was.Name, "", false, "retired: its events pass untouched and no handler sees them")
		default:
			c.add(was.Name, "", true, "gone; register it, or say what became of it with Rename or Retire")
		}
	}
	for _, name := range old.Retired {
		if now, ok := byName[name]; ok {
			c.add(now.Name, "", true, fmt.Sprintf("%q was retired, and its events in a log have another meaning", name))
		}
	}
	for _, t := range new.Types {
		if !known[t.Name] {
			c.add(t.Name, "", false, "new")
		}
	}
	return c.changes
}

// Breaking returns those of changes that break.
func Breaking(changes []Change) []Change {
	var breaks []Change
	for _, c := range changes {
		if c.Breaks {
			breaks = append(breaks, c)
		}
	}
	return breaks
}

type checker struct{ changes []Change }

func (c *checker) add(name, path string, breaks bool, what string) {
	c.changes = append(c.changes, Change{Type: name, Path: path, Breaks: breaks, What: what})
}

func (c *checker) types(was, now Type) {
	if was.Name != now.Name {
		c.add(now.Name, "", false, fmt.Sprintf("renamed from %q", was.Name))
	}
	if was.Kind != now.Kind {
		c.add(now.Name, "", was.Kind == "command" || now.Kind == "command", fmt.Sprintf("kind %s instead of %s", now.Kind, was.Kind))
	}
	switch {
	case now.Version < was.Version:
		c.add(now.Name, "", true, fmt.Sprintf("version %d after version %d: events of that one are refused", now.Version, was.Version))
		return
	case now.Version > was.Version:
		if now.LiftsFrom > was.Version {
			c.add(now.Name, "", true, fmt.Sprintf("version %d instead of %d, and no upcaster leads from %d to %d", now.Version, was.Version, was.Version, now.LiftsFrom))
		} else {
			c.add(now.Name, "", false, fmt.Sprintf("version %d instead of %d, with upcasters", now.Version, was.Version))
		}
	}
	if now.LiftsFrom > was.LiftsFrom && now.LiftsFrom <= was.Version {
		c.add(now.Name, "", true, fmt.Sprintf("versions %d to %d cannot be lifted any more", was.LiftsFrom, now.LiftsFrom-1))
	}
	c.shapes(place{name: now.Name, lifted: now.Version > was.Version}, was.Shape, now.Shape)
}

// place is where the comparison is. lifted: upcasters stand between, and nothing breaks.
type place struct {
	name, path string
	lifted     bool
	own        bool // inside a type that encodes itself
}

func (p place) in(step string) place {
	p.path += step
	return p
}

func (c *checker) at(p place, breaks bool, format string, args ...any) {
	c.add(p.name, p.path, (breaks || p.own) && !p.lifted, fmt.Sprintf(format, args...))
}

func (c *checker) shapes(p place, was, now Shape) {
	if isStruct(was) && isStruct(now) && was.Kind != now.Kind {
		// Both forms are read, whichever a type writes.
		c.at(p, false, "%s instead of %s", now.name(), was.name())
	} else if was.Kind != now.Kind || was.Go != now.Go && was.Kind == "ref" {
		c.at(p, !widens(was, now), "%s instead of %s", now.name(), was.name())
		return
	}
	if was.Kind == "own" {
		p.own = true
	}
	if was.Bits != now.Bits {
		c.at(p, now.Bits < was.Bits, "%s instead of %s", now.name(), was.name())
	}
	if was.Length != now.Length {
		c.at(p, now.Length != 0, "length %s instead of %s", length(now), length(was))
	}
	if was.Optional != now.Optional {
		// msgpack reads nil as zero, so old events decode either way.
		c.at(p, false, "%s instead of %s", now.name(), was.name())
	}
	if was.Elem != nil && now.Elem != nil {
		c.shapes(p.in("[]"), *was.Elem, *now.Elem)
	}
	if was.Key != nil && now.Key != nil {
		c.shapes(p.in("[key]"), *was.Key, *now.Key)
	}
	if was.Kind == "tuple" {
		c.tuple(p, was.Fields, now.Fields)
	} else {
		c.fields(p, was.Fields, now.Fields)
	}
}

// fields compares structs whose fields go by name.
func (c *checker) fields(p place, was, now []Field) {
	for _, f := range was {
		i := slices.IndexFunc(now, func(g Field) bool { return g.Name == f.Name })
		if i < 0 {
			c.at(p.in("."+f.Name), false, "field removed; it is ignored in old events")
			continue
		}
		c.shapes(p.in("."+f.Name), f.Shape, now[i].Shape)
	}
	for _, f := range now {
		if !slices.ContainsFunc(was, func(g Field) bool { return g.Name == f.Name }) {
			c.at(p.in("."+f.Name), false, "field added; it is zero in old events")
		}
	}
	if p.own && len(was) == len(now) {
		for i := range was {
			if was[i].Name != now[i].Name {
				c.at(p, true, "fields in another order")
				return
			}
		}
	}
}

// tuple compares structs whose fields go by place.
func (c *checker) tuple(p place, was, now []Field) {
	if len(was) != len(now) {
		c.at(p, true, "%d fields by place instead of %d", len(now), len(was))
	}
	for i := range min(len(was), len(now)) {
		if was[i].Name != now[i].Name {
			c.at(p.in("."+now[i].Name), true, "stands where %q stood", was[i].Name)
		}
		c.shapes(p.in("."+now[i].Name), was[i].Shape, now[i].Shape)
	}
}

func isStruct(s Shape) bool { return s.Kind == "struct" || s.Kind == "tuple" }

// widens tells whether every value of was can be read as now, and means the same.
func widens(was, now Shape) bool {
	switch {
	case now.Kind == "any":
		return true
	case was.Kind == "uint" && now.Kind == "int":
		return now.Bits > was.Bits
	}
	return false
}

func (s Shape) name() string {
	name := s.Kind
	if s.Bits > 0 {
		name = fmt.Sprintf("%s%d", name, s.Bits)
	}
	if s.Go != "" {
		name += " " + s.Go
	}
	if s.Optional {
		name = "optional " + name
	}
	return name
}

func length(s Shape) string {
	if s.Length == 0 {
		return "any"
	}
	return fmt.Sprint(s.Length)
}
