package journal

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"sort"
)

// The chain is a file of one link for each sealed segment, in order. See FORMAT.md for the bytes
// and for why it is a file of its own.
const (
	chainName  = "CHAIN"
	linkBytes  = 256
	maxLinks   = maxNames // segments that a directory may have
	linkSigned = 1
	linkTail   = 2
	linkFlags  = linkSigned | linkTail

	rootDomain = "headrace chain root v1\n"
	tailDomain = "headrace chain tail v1\n"
	signDomain = "headrace chain signature v1\n"
)

// Link is one segment in the chain: what was hashed, and the root over it and all before. A tail
// link is a checkpoint inside a segment: it covers the segment's first records, as far as they were
// durable when it was made. The links that follow do not build on it, but their segment must begin
// with what it covers.
type Link struct {
	UUID      [16]byte // the journal's; not in the file, which has its directory's
	Segment   uint64   // id
	First     int64    // first sequence of the segment
	Last      int64    // last sequence; First-1 if it has no event
	LastTime  int64    // of its last record
	Records   uint64   // leaves of the tree: records of every kind, index and seal included
	Previous  Hash     // root of the link before that is no tail; zero in the first
	Tree      Hash     // root of the Merkle tree over the segment's records
	Root      Hash     // over all of the above
	PublicKey ed25519.PublicKey
	Signature []byte // over Root, by PublicKey; both nil if unsigned
	Tail      bool   // the segment goes on behind Last
}

// root computes what Root must be.
func (l *Link) root() Hash {
	domain := rootDomain
	if l.Tail {
		domain = tailDomain
	}
	b := append(make([]byte, 0, 160), domain...)
	b = append(b, l.UUID[:]...)
	b = le.AppendUint64(b, l.Segment)
	b = le.AppendUint64(b, uint64(l.First))
	b = le.AppendUint64(b, uint64(l.Last))
	b = le.AppendUint64(b, uint64(l.LastTime))
	b = le.AppendUint64(b, l.Records)
	b = append(b, l.Previous[:]...)
	b = append(b, l.Tree[:]...)
	return sha256.Sum256(b)
}

// message is what is signed.
func (l *Link) message() []byte { return append([]byte(signDomain), l.Root[:]...) }

// check tells whether the link is true to itself: its root, and its signature if it has one.
// key, if not nil, is the one that must have signed it.
func (l *Link) check(key ed25519.PublicKey) error {
	if l.root() != l.Root {
		return fmt.Errorf("%w: the root of segment %016x is not that of its fields", ErrChain, l.Segment)
	}
	if len(l.Signature) == 0 {
		if key != nil {
			return fmt.Errorf("%w: segment %016x is not signed", ErrSignature, l.Segment)
		}
		return nil
	}
	if key != nil && !key.Equal(l.PublicKey) {
		return fmt.Errorf("%w: segment %016x was signed with another key", ErrSignature, l.Segment)
	}
	if len(l.PublicKey) != ed25519.PublicKeySize || !ed25519.Verify(l.PublicKey, l.message(), l.Signature) {
		return fmt.Errorf("%w: segment %016x", ErrSignature, l.Segment)
	}
	return nil
}

func (l *Link) encode(b []byte) {
	clear(b[:linkBytes])
	le.PutUint64(b[8:], l.Segment)
	le.PutUint64(b[16:], uint64(l.First))
	le.PutUint64(b[24:], uint64(l.Last))
	le.PutUint64(b[32:], uint64(l.LastTime))
	le.PutUint64(b[40:], l.Records)
	copy(b[64:], l.Previous[:])
	copy(b[96:], l.Tree[:])
	copy(b[128:], l.Root[:])
	flags := uint32(0)
	if l.Tail {
		flags |= linkTail
	}
	if len(l.Signature) > 0 {
		flags |= linkSigned
		copy(b[160:192], l.PublicKey)
		copy(b[192:256], l.Signature)
	}
	le.PutUint32(b[4:], flags)
	le.PutUint32(b[0:], crc32.Checksum(b[4:linkBytes], castagnoli))
}

func (l *Link) decode(b []byte) error {
	if crc32.Checksum(b[4:linkBytes], castagnoli) != le.Uint32(b) {
		return ErrChecksum
	}
	if f := le.Uint32(b[4:]); f&^linkFlags != 0 {
		return &FormatError{formatVersion, formatVersion, f, linkFlags}
	}
	if !isZero(b[48:64]) {
		return fmt.Errorf("%w: reserved bytes are not zero", ErrChain)
	}
	l.Segment = le.Uint64(b[8:])
	l.First = int64(le.Uint64(b[16:]))
	l.Last = int64(le.Uint64(b[24:]))
	l.LastTime = int64(le.Uint64(b[32:]))
	l.Records = le.Uint64(b[40:])
	copy(l.Previous[:], b[64:])
	copy(l.Tree[:], b[96:])
	copy(l.Root[:], b[128:])
	l.Tail = le.Uint32(b[4:])&linkTail != 0
	if le.Uint32(b[4:])&linkSigned != 0 {
		l.PublicKey = append(ed25519.PublicKey(nil), b[160:192]...)
		l.Signature = append([]byte(nil), b[192:256]...)
	}
	return nil
}

// follow tells whether l may come after links: in the segment of the tail links at their end, with
// more records than they have, or in the one that continues the last whole segment.
func follow(links []Link, l *Link) bool {
	n := len(links)
	if n > 0 && links[n-1].Tail {
		p := &links[n-1]
		return l.Previous == p.Previous && l.Segment == p.Segment && l.First == p.First &&
			l.Last >= p.Last && l.LastTime >= p.LastTime && l.Records > p.Records
	}
	if n == 0 {
		return true
	}
	p := &links[n-1]
	return l.Previous == p.Root && l.Segment > p.Segment && l.First == p.Last+1
}

// tailsOf returns the tail links of a segment.
func tailsOf(links []Link, segment uint64) []Link {
	i := sort.Search(len(links), func(i int) bool { return links[i].Segment >= segment })
	k := i
	for k < len(links) && links[k].Segment == segment && links[k].Tail {
		k++
	}
	return links[i:k]
}

// lastWhole returns the newest link that is no tail; the zero link if there is none.
func lastWhole(links []Link) Link {
	for i := len(links) - 1; i >= 0; i-- {
		if !links[i].Tail {
			return links[i]
		}
	}
	return Link{}
}

// readChain reads the links of the journal uuid in dir. end is the offset after the last one; a
// last link that is not whole is none: it was being written. No file is no link.
// Errors: *CorruptionError in chainName.
func readChain(st storage, dir string, uuid [16]byte) (links []Link, end int64, err error) {
	f, err := st.open(filepath.Join(dir, chainName), false)
	if errors.Is(err, os.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	defer f.close()
	size, err := f.size()
	if err != nil {
		return nil, 0, err
	}
	if size > maxLinks*linkBytes {
		return nil, 0, &CorruptionError{chainName, maxLinks * linkBytes, 0, ErrSize}
	}
	b := make([]byte, linkBytes)
	for ; end+linkBytes <= size; end += linkBytes {
		if _, err := f.ReadAt(b, end); err != nil && err != io.EOF {
			return links, end, err
		}
		l := Link{UUID: uuid}
		if err := l.decode(b); err != nil {
			if end+linkBytes == size && !errors.Is(err, ErrFormatVersion) {
				break
			}
			return links, end, &CorruptionError{chainName, end, 0, err}
		}
		if !follow(links, &l) {
			return links, end, &CorruptionError{chainName, end, l.First, fmt.Errorf("%w: the link does not follow the one before", ErrChain)}
		}
		if l.root() != l.Root {
			return links, end, &CorruptionError{chainName, end, l.First, l.check(nil)}
		}
		links = append(links, l)
	}
	return links, end, nil
}
