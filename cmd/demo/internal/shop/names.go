package shop

import (
	"hash/maphash"
	"sync/atomic"
)

// names gives equal texts in payloads one string: sources, customers, countries and goods come in event after event.
var names nameTable

// nameTable holds one of the texts for each value of some bits of their hash: the last one that was asked for. So it is of
// bounded size, whatever comes. It is safe for concurrent use.
type nameTable struct {
	last [1 << 13]atomic.Pointer[string]
}

const maxNameBytes = 128 // of texts that are kept

var nameSeed = maphash.MakeSeed()

// of returns b as a string, which is a copy of it. It allocates if b is not the last text of its place in the table.
func (t *nameTable) of(b []byte) string {
	switch {
	case len(b) == 0:
		return ""
	case len(b) > maxNameBytes:
		return string(b)
	}
	place := &t.last[maphash.Bytes(nameSeed, b)%uint64(len(t.last))]
	if p := place.Load(); p != nil && *p == string(b) {
		return *p
	}
	s := string(b)
	place.Store(&s)
	return s
}
