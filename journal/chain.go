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
)

// The chain is a file of one link for each sealed segment, in order. See FORMAT.md for the bytes
// and for why it is a file of its own.
const (
	chainName  = "CHAIN"
	linkBytes  = 256
	maxLinks   = maxNames // segments that a directory may have
	linkSigned = 1

	rootDomain = "headrace chain root v1\n"
	signDomain = "headrace chain signature v1\n"
)

// Link is one segment in the chain: what was hashed, and the root over it and all before.
type Link struct {
	UUID      [16]byte // the journal's; not in the file, which has its directory's
	Segment   uint64   // id
	First     int64    // first sequence of the segment
	Last      int64    // last sequence; First-1 if it has no event
	LastTime  int64    // of its last record
	Records   uint64   // leaves of the tree: records of every kind, index and seal included
	Previous  Hash     // root of the link before; zero in the first
	Tree      Hash     // root of the Merkle tree over the segment's records
	Root      Hash     // over all of the above
	PublicKey ed25519.PublicKey
	Signature []byte // over Root, by PublicKey; both nil if unsigned
}

// root computes what Root must be.
func (l *Link) root() Hash {
	b := append(make([]byte, 0, 160), rootDomain...)
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
	if len(l.Signature) > 0 {
		le.PutUint32(b[4:], linkSigned)
		copy(b[160:192], l.PublicKey)
		copy(b[192:256], l.Signature)
	}
	le.PutUint32(b[0:], crc32.Checksum(b[4:linkBytes], castagnoli))
}

func (l *Link) decode(b []byte) error {
	if crc32.Checksum(b[4:linkBytes], castagnoli) != le.Uint32(b) {
		return ErrChecksum
	}
	if f := le.Uint32(b[4:]); f&^linkSigned != 0 || !isZero(b[48:64]) {
		return fmt.Errorf("%w: link flags %#x", ErrFormatVersion, f)
	}
	l.Segment = le.Uint64(b[8:])
	l.First = int64(le.Uint64(b[16:]))
	l.Last = int64(le.Uint64(b[24:]))
	l.LastTime = int64(le.Uint64(b[32:]))
	l.Records = le.Uint64(b[40:])
	copy(l.Previous[:], b[64:])
	copy(l.Tree[:], b[96:])
	copy(l.Root[:], b[128:])
	if le.Uint32(b[4:])&linkSigned != 0 {
		l.PublicKey = append(ed25519.PublicKey(nil), b[160:192]...)
		l.Signature = append([]byte(nil), b[192:256]...)
	}
	return nil
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
			if end+linkBytes == size {
				break
			}
			return links, end, &CorruptionError{chainName, end, 0, err}
		}
		if n := len(links); n > 0 {
			p := &links[n-1]
			if l.Previous != p.Root || l.Segment <= p.Segment || l.First != p.Last+1 {
				return links, end, &CorruptionError{chainName, end, l.First, fmt.Errorf("%w: the link does not follow the one before", ErrChain)}
			}
		}
		if l.root() != l.Root {
			return links, end, &CorruptionError{chainName, end, l.First, l.check(nil)}
		}
		links = append(links, l)
	}
	return links, end, nil
}

// target asks hashSegment for one record and its audit path.
type target struct {
	sequence int64 // of an event or void
	found    bool
	index    uint64
	header   []byte // bytes 8 to 32
	body     []byte
	path     []Hash
}

// hashSegment computes the link of a sealed segment, verifying every record on the way, and
// leaves Previous, Root and signature open. stop, if not nil, is asked now and then whether to
// give up, which is ErrClosed.
func hashSegment(st storage, dir string, seg *found, want *target, stop func() bool) (l Link, err error) {
	s := &survey{st: st, dir: dir}
	if err := s.readPages(seg); err != nil {
		return l, err
	}
	if seg.hdrErr != nil {
		return l, corrupt(seg, 0, seg.first, seg.hdrErr)
	}
	l = Link{UUID: seg.hdr.uuid, Segment: seg.id, First: seg.first, Last: seg.first - 1}
	tree := newMerkle()
	err = s.withMap(seg, func(m []byte) error {
		var t frameTail
		off, prev, mark := int64(recordsOffset), int64(minTime), int64(0)
		for {
			if off >= mark {
				if mark = off + 1<<20; stop != nil && stop() {
					return ErrClosed
				}
			}
			f, body, next, err := readFrame(m, off, int64(len(m)), seg.hdr.salt, &t)
			if err == nil {
				err = follows(&f, l.Last+1, prev)
			}
			if err != nil {
				return corrupt(seg, off, l.Last+1, err)
			}
			header := m[off+8 : off+recordHeaderBytes]
			hit := want != nil && f.kind.advances() && f.sequence == want.sequence
			if hit {
				want.found, want.index = true, tree.n
				want.header = append([]byte(nil), header...)
				want.body = append([]byte(nil), body...)
			}
			tree.add(leafHash(header, body), hit)
			if f.kind.advances() {
				l.Last = f.sequence
			}
			off, prev = next, f.time
			if f.kind == KindSeal {
				l.LastTime = f.time
				return nil
			}
		}
	})
	if err != nil {
		return l, err
	}
	l.Records, l.Tree = tree.n, tree.root()
	if want != nil {
		want.path = tree.path
	}
	return l, nil
}
