package journal

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/bits"
	"slices"
)

// Hash is a SHA-256 digest. As text it is 64 hex digits.
type Hash [sha256.Size]byte

// String returns the hash in hex.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText makes JSON carry the hash in hex.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (h *Hash) UnmarshalText(b []byte) error {
	if n, err := hex.Decode(h[:], b[:min(len(b), 2*len(h))]); err != nil || n != len(h) || len(b) != 2*len(h) {
		return fmt.Errorf("journal: %q is no hash of 64 hex digits", b)
	}
	return nil
}

// leafHash is the hash of one record: of a zero byte, bytes 8 to 32 of its header, and its body.
func leafHash(header, body []byte) (h Hash) {
	d := sha256.New()
	d.Write([]byte{0})
	d.Write(header)
	d.Write(body)
	d.Sum(h[:0])
	return h
}

func nodeHash(left, right Hash) Hash {
	var b [1 + 2*sha256.Size]byte
	b[0] = 1
	copy(b[1:], left[:])
	copy(b[1+sha256.Size:], right[:])
	return sha256.Sum256(b[:])
}

// merkle is a Merkle tree as in RFC 6962, of which it keeps one hash a level. It notes the audit
// path of one leaf on the way.
type merkle struct {
	n     uint64
	stack [64]Hash
	slot  int // the level whose hash covers the leaf in question; -1: none
	path  []Hash
}

func newMerkle() *merkle { return &merkle{slot: -1} }

// add appends a leaf; wanted makes it the one whose audit path is kept.
func (m *merkle) add(leaf Hash, wanted bool) {
	h, i := leaf, 0
	for ; m.n>>i&1 == 1; i++ {
		h, wanted = m.join(i, h, wanted)
	}
	m.stack[i] = h
	if wanted {
		m.slot = i
	}
	m.n++
}

// addTree appends a whole subtree of 2^level leaves, of which m.n must be a multiple.
func (m *merkle) addTree(level int, h Hash) {
	i := level
	for ; m.n>>i&1 == 1; i++ {
		h = nodeHash(m.stack[i], h)
	}
	m.stack[i] = h
	m.n += 1 << level
}

// join puts the subtree of level i to the left of h.
func (m *merkle) join(i int, h Hash, wanted bool) (Hash, bool) {
	switch {
	case wanted:
		m.path = append(m.path, m.stack[i])
	case m.slot == i:
		m.path = append(m.path, h)
		m.slot, wanted = -1, true
	}
	return nodeHash(m.stack[i], h), wanted
}

// peek returns the tree's hash as it is; add may follow.
func (m *merkle) peek() Hash {
	c := merkle{n: m.n, stack: m.stack, slot: -1}
	return c.root()
}

// finish returns the tree's hash as it is, and the audit path of the leaf in question; add may
// follow.
func (m *merkle) finish() (Hash, []Hash) {
	c := *m
	c.path = slices.Clone(m.path)
	return c.root(), c.path
}

// root ends the tree and returns its hash; add must not follow.
func (m *merkle) root() Hash {
	if m.n == 0 {
		return sha256.Sum256(nil)
	}
	i := bits.TrailingZeros64(m.n)
	h, wanted := m.stack[i], m.slot == i
	for i++; m.n>>i != 0; i++ {
		if m.n>>i&1 == 1 {
			h, wanted = m.join(i, h, wanted)
		}
	}
	return h
}

// treeRoot computes the root of a tree of n leaves from the leaf at index and its audit path; ok
// is false if the path cannot belong to it (RFC 9162, 2.1.3.2).
func treeRoot(leaf Hash, index, n uint64, path []Hash) (root Hash, ok bool) {
	if index >= n {
		return root, false
	}
	fn, sn := index, n-1
	for _, p := range path {
		if sn == 0 {
			return root, false
		}
		if fn&1 == 1 || fn == sn {
			leaf = nodeHash(p, leaf)
			for fn&1 == 0 && fn != 0 {
				fn, sn = fn>>1, sn>>1
			}
		} else {
			leaf = nodeHash(leaf, p)
		}
		fn, sn = fn>>1, sn>>1
	}
	return leaf, sn == 0
}
