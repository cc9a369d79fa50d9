package journal

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"math/bits"
	"os"
	"path/filepath"
)

// A proof of many records at once, made and checked in one pass with memory for a few hashes: the
// records that are shown, in their order, and between them, instead of those that are not, the roots of
// the whole subtrees that these make up. So it has some 2·log2(g) hashes for a gap of g records, and
// nothing at all for a segment of which no record is shown but its link.

// Piece is a part of such a proof; one field of it is set. Pieces belong together in the order in which
// ProveSubset made them. It marshals to JSON.
type Piece struct {
	Shown *Shown `json:"shown,omitempty"` // a record
	Gap   *Gap   `json:"gap,omitempty"`   // records that are not shown
	Link  *Link  `json:"link,omitempty"`  // the end of a segment, or of the part that a tail link covers
}

// Shown is a record as it was hashed.
type Shown struct {
	Header []byte `json:"header"` // bytes 8 to 32 of the record's header
	Body   []byte `json:"body"`
}

// Hash is the record's leaf in the tree of its segment.
func (s Shown) Hash() Hash { return leafHash(s.Header, s.Body) }

// Record returns what the bytes say; ok is false if they cannot be a record's. Its Body is that of s, and
// segment, offset and checksum are not in it.
func (s Shown) Record() (rec Record, ok bool) {
	if len(s.Header) != recordHeaderBytes-8 {
		return rec, false
	}
	w3 := le.Uint64(s.Header[16:])
	return Record{
		Sequence: int64(le.Uint64(s.Header[0:])), Time: int64(le.Uint64(s.Header[8:])),
		Type: uint16(w3), Kind: Kind(w3 >> 16), Flags: Flags(w3 >> 24), Body: s.Body,
	}, true
}

// Gap stands for records of a segment that are not shown.
type Gap struct {
	Records uint64 `json:"records"`
	Nodes   []Hash `json:"nodes"` // the roots of the largest whole subtrees that they make up, in order
}

// SubsetOptions configure ProveSubset. The zero value is all that the chain covers.
type SubsetOptions struct {
	From, Until int64 // only events, voids and lost records in [From, Until] can be shown; 0: no bound
	// Anchor, if not zero, is the root to prove against; the default is the newest.
	Anchor Hash
	// Archives says how to read archived segments.
	Archives ArchiveAccess
}

// ProveSubset proves those records under a root of the chain that show asks for, and hands the proof on
// piece by piece to emit. The Record that show gets is a view, without a checksum; hash is its leaf. It
// returns the link whose root the proof ends at. It reads and verifies the segments from the one
// that holds From to the one that holds Until, and works beside a writer.
//
// What the chain does not cover yet is not shown: see Journal.ChainNow.
//
// Errors: those of show and emit; ErrNotChained; *CorruptionError; *AccessError; ErrOutOfRange; ErrNotFound.
func ProveSubset(dir string, o SubsetOptions, show func(rec Record, hash Hash) (bool, error), emit func(Piece) error) (Link, error) {
	end, err := proveSubset(osStorage{}, dir, o, show, emit)
	return end, named(err)
}

func proveSubset(st storage, dir string, o SubsetOptions, show func(Record, Hash) (bool, error), emit func(Piece) error) (end Link, err error) {
	segs, _, _, err := listSegments(st, dir)
	if errors.Is(err, os.ErrNotExist) || err == nil && len(segs) == 0 {
		return end, fmt.Errorf("%w: %s", ErrNotFound, dir)
	}
	if err != nil {
		return end, err
	}
	s := &survey{st: st, dir: dir}
	if err := s.readPages(segs[0]); err != nil {
		return end, err
	}
	if segs[0].hdrErr != nil {
		return end, badHeader(segs[0])
	}
	all, _, err := readChain(st, dir, segs[0].hdr.uuid)
	if err != nil {
		return end, err
	}
	links, err := linksBetween(all, max(o.From, segs[0].first), o.Anchor)
	if err != nil {
		return end, err
	}
	names := make(map[uint64]string, len(segs))
	for _, seg := range segs {
		names[seg.id] = seg.name
	}
	for i := range links {
		l := &links[i]
		if o.Until == 0 || l.First <= o.Until {
			name, ok := names[l.Segment]
			if !ok {
				return end, fmt.Errorf("%w: segment %016x is no longer there", ErrOutOfRange, l.Segment)
			}
			p := subset{o: o, show: show, emit: emit, segment: l.Segment}
			got, _, err := hashSegment(st, filepath.Join(dir, name), o.Archives, hashing{records: l.Records, leaf: p.leaf})
			if err != nil {
				return end, err
			}
			if got.Tree != l.Tree || got.Records != l.Records {
				return end, &CorruptionError{name, recordsOffset, l.First, fmt.Errorf("%w: the contents are not those that were chained", ErrChain)}
			}
			if err := p.end(); err != nil {
				return end, err
			}
		}
		if err := emit(Piece{Link: l}); err != nil {
			return end, err
		}
	}
	return links[len(links)-1], nil
}

// linksBetween returns the links from the first one with an event at or behind from, to that with the root
// anchor, or the newest: whole segments, and perhaps a tail link at the end.
func linksBetween(all []Link, from int64, anchor Hash) (links []Link, err error) {
	to := len(all) - 1
	for anchor != (Hash{}) && to >= 0 && all[to].Root != anchor {
		to--
	}
	for i := range to + 1 {
		if l := &all[i]; (!l.Tail || i == to) && (len(links) > 0 || l.Last >= from) {
			links = append(links, *l)
		}
	}
	switch {
	case to < 0 && anchor != (Hash{}):
		return nil, fmt.Errorf("%w: no root %v", ErrNotChained, anchor)
	case len(links) == 0:
		return nil, fmt.Errorf("%w: nothing at or behind sequence %d", ErrNotChained, from)
	}
	return links, nil
}

// subset makes the pieces of one segment.
type subset struct {
	o       SubsetOptions
	show    func(Record, Hash) (bool, error)
	emit    func(Piece) error
	segment uint64
	next    uint64 // index of the next leaf
	gap     gap
	shown   bool // some record of the segment is
}

func (p *subset) leaf(l leaf) error {
	index := p.next
	p.next++
	if l.kind.advances() && l.sequence >= p.o.From && (p.o.Until == 0 || l.sequence <= p.o.Until) {
		ok, err := p.show(Record{
			Sequence: l.sequence, Time: l.time, Type: l.typ, Kind: l.kind, Flags: l.flags, Body: l.body, Segment: p.segment, Offset: l.off,
		}, l.hash)
		if err != nil {
			return err
		}
		if ok {
			p.shown = true
			if err := p.flush(index); err != nil {
				return err
			}
			return p.emit(Piece{Shown: &Shown{Header: l.header, Body: l.body}})
		}
	}
	p.gap.add(index, l.hash)
	return nil
}

// flush hands on the gap that ends before the leaf at index.
func (p *subset) flush(index uint64) error {
	if len(p.gap.nodes) == 0 {
		return nil
	}
	g := Gap{Records: index - p.gap.nodes[0].first}
	for _, n := range p.gap.nodes {
		g.Nodes = append(g.Nodes, n.hash)
	}
	p.gap.nodes = p.gap.nodes[:0]
	return p.emit(Piece{Gap: &g})
}

// end completes the segment. One of which nothing is shown needs no tree: its link holds the others together.
func (p *subset) end() error {
	if !p.shown {
		return nil
	}
	return p.flush(p.next)
}

// gap collects leaves into the largest whole subtrees that begin at a multiple of their size.
type gap struct{ nodes []gapNode }

type gapNode struct {
	first uint64
	level int
	hash  Hash
}

func (g *gap) add(index uint64, h Hash) {
	n := gapNode{index, 0, h}
	for k := len(g.nodes); k > 0; k = len(g.nodes) {
		left := g.nodes[k-1]
		if left.level != n.level || left.first>>n.level&1 == 1 {
			break
		}
		n = gapNode{left.first, n.level + 1, nodeHash(left.hash, n.hash)}
		g.nodes = g.nodes[:k-1]
	}
	g.nodes = append(g.nodes, n)
}

// fill appends a gap to m; ok is false if its nodes are not those of so many records.
func (m *merkle) fill(g Gap) (ok bool) {
	left := g.Records
	if left == 0 || m.n+left < m.n || m.n+left > 1<<62 {
		return false
	}
	for _, h := range g.Nodes {
		if left == 0 {
			return false
		}
		level := bits.Len64(left) - 1
		if m.n > 0 {
			level = min(level, bits.TrailingZeros64(m.n))
		}
		m.addTree(level, h)
		left -= 1 << level
	}
	return left == 0
}

// SubsetVerifier checks a proof that ProveSubset made, piece by piece, in memory for a few hashes. The
// zero value is ready.
type SubsetVerifier struct {
	tree  *merkle // of the segment that is being looked at; nil: nothing of it was seen
	shown int64   // the last sequence that was
	last  *Link
	err   error
}

var errPieces = errors.New("it has ended, or failed before")

// Add takes the next piece. Whether it is true is known when End returns nil, and not before. Errors:
// ErrProof, after which nothing more is taken.
func (v *SubsetVerifier) Add(p Piece) error {
	if v.err == nil {
		v.err = v.add(p)
	}
	return v.err
}

func (v *SubsetVerifier) add(p Piece) error {
	bad := func(what string) error { return fmt.Errorf("%w: %s", ErrProof, what) }
	set := 0
	for _, is := range []bool{p.Shown != nil, p.Gap != nil, p.Link != nil} {
		if is {
			set++
		}
	}
	switch {
	case set != 1:
		return bad("a piece without one meaning")
	case p.Link == nil && v.last != nil && v.last.Tail:
		return bad("records behind a tail link")
	case p.Link == nil && v.tree == nil:
		v.tree = newMerkle()
	}
	switch {
	case p.Shown != nil:
		rec, ok := p.Shown.Record()
		if !ok || !rec.Kind.advances() || rec.Sequence <= v.shown {
			return bad("a record's form or order")
		}
		v.shown = rec.Sequence
		v.tree.add(p.Shown.Hash(), false)
		return nil
	case p.Gap != nil:
		if !v.tree.fill(*p.Gap) {
			return bad("a gap's nodes")
		}
		return nil
	}
	l := p.Link
	if l.root() != l.Root {
		return bad("a link's root")
	}
	if last := v.last; last != nil && (last.Tail || l.Previous != last.Root || l.UUID != last.UUID) {
		return bad("the links do not follow each other")
	}
	if v.tree != nil && (v.tree.n != l.Records || v.tree.root() != l.Tree) {
		return bad(fmt.Sprintf("the records are not those of segment %016x", l.Segment))
	}
	link := *l
	v.last, v.tree = &link, nil
	return nil
}

// End tells whether the proof leads to root, which the caller has from elsewhere, and, if key is not nil,
// that it is key that signed the root. It returns the link that has the root. Errors: ErrProof;
// ErrSignature.
func (v *SubsetVerifier) End(root Hash, key ed25519.PublicKey) (Link, error) {
	switch {
	case v.err != nil:
		return Link{}, v.err
	case v.last == nil || v.tree != nil:
		return Link{}, fmt.Errorf("%w: it does not end with a link", ErrProof)
	case v.last.Root != root:
		return Link{}, fmt.Errorf("%w: it ends at another root", ErrProof)
	}
	v.err = fmt.Errorf("%w: %w", ErrProof, errPieces)
	if key != nil {
		if err := v.last.check(key); err != nil {
			return Link{}, err
		}
	}
	return *v.last, nil
}

// LeafHash is the hash of rec in the Merkle tree of its segment, as the chain and proofs have it. It is to be
// called inside the function that Read, Follow or ReadBackward called with rec. It does not allocate.
func (r *Reader) LeafHash(rec Record) Hash {
	head := r.seg.mem[rec.Offset+8 : rec.Offset+recordHeaderBytes]
	return leafHash(head, rec.Body)
}
