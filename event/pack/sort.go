package pack

import (
	"bytes"
	"slices"
)

// SortMaps puts the entries of every map in b, at any depth, in the order of their encoded keys,
// so that values that are equal have equal bytes however their encoder walked over its maps. The
// length does not change. It fails as Scan does; b is then as it was. It allocates for maps of
// more than one entry.
func SortMaps(b []byte) error {
	if _, err := Scan(b); err != nil {
		return err
	}
	s := sorter{b: b}
	for pos := 0; pos < len(b); {
		pos = s.value(pos)
	}
	return nil
}

type sorter struct {
	b       []byte
	scratch []byte
}

// entry is one of a map: the key in [start, value), the value in [value, end).
type entry struct{ start, value, end int }

// value sorts the maps in the value at pos, which Scan has found good, and returns its end.
func (s *sorter) value(pos int) int {
	h, _ := headAt(s.b, pos)
	pos += h.size
	switch h.kind {
	case KindArray:
		for range h.n {
			pos = s.value(pos)
		}
		return pos
	case KindMap:
		return s.entries(pos, h.n)
	}
	return pos + h.n
}

func (s *sorter) entries(pos, n int) int {
	start := pos
	entries := make([]entry, 0, n)
	for range n {
		e := entry{start: pos}
		e.value = s.value(pos)
		e.end = s.value(e.value)
		entries = append(entries, e)
		pos = e.end
	}
	order := func(a, b entry) int {
		if c := bytes.Compare(s.b[a.start:a.value], s.b[b.start:b.value]); c != 0 {
			return c
		}
		return bytes.Compare(s.b[a.value:a.end], s.b[b.value:b.end]) // keys such as NaN
	}
	if slices.IsSortedFunc(entries, order) {
		return pos
	}
	slices.SortFunc(entries, order)
	s.scratch = s.scratch[:0]
	for _, e := range entries {
		s.scratch = append(s.scratch, s.b[e.start:e.end]...)
	}
	copy(s.b[start:pos], s.scratch)
	return pos
}
