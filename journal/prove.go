package journal

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Proof shows that one record is in a journal, to somebody who has a root and not the journal. It
// holds the record, its path in the tree of its segment, and the links from that segment to the
// root. It marshals to JSON.
type Proof struct {
	Header []byte // bytes 8 to 32 of the record's header
	Body   []byte
	Index  uint64 // of the record in its segment
	Path   []Hash // RFC 6962 audit path, from the leaf up
	Links  []Link // of its segment first, then each that follows, to the root
}

// ProveOptions configure Prove.
type ProveOptions struct {
	// Anchor, if not zero, is the root to prove against; the default is the newest.
	Anchor Hash
	// Archives says how to read the record's segment, if it is archived.
	Archives ArchiveAccess
}

// Prove makes the proof of the event or void seq against a root of the chain, that of a tail link
// included. It reads the record's segment, up to there, and verifies it. It works beside a writer.
//
// Errors: ErrNotChained; *CorruptionError; *AccessError; ErrOutOfRange; ErrNotFound; ErrFormatVersion.
func Prove(dir string, seq int64, o ProveOptions) (Proof, error) {
	p, err := prove(osStorage{}, dir, seq, o)
	return p, named(err)
}

func prove(st storage, dir string, seq int64, o ProveOptions) (p Proof, err error) {
	segs, _, _, err := listSegments(st, dir)
	if errors.Is(err, os.ErrNotExist) || err == nil && len(segs) == 0 {
		return p, fmt.Errorf("%w: %s", ErrNotFound, dir)
	}
	if err != nil {
		return p, err
	}
	s := &survey{st: st, dir: dir}
	if err := s.readPages(segs[0]); err != nil {
		return p, err
	}
	if segs[0].hdrErr != nil {
		return p, badHeader(segs[0])
	}
	all, _, err := readChain(st, dir, segs[0].hdr.uuid)
	if err != nil {
		return p, err
	}
	links, err := linksFrom(all, seq, o.Anchor)
	if err != nil {
		return p, err
	}
	for _, seg := range segs {
		if seg.id != links[0].Segment {
			continue
		}
		want := &target{sequence: seq}
		l, path, err := hashSegment(st, filepath.Join(dir, seg.name), o.Archives, hashing{want: want, records: links[0].Records})
		if err != nil {
			return p, err
		}
		if l.Tree != links[0].Tree || !want.found {
			return p, corrupt(seg, recordsOffset, seq, fmt.Errorf("%w: the contents are not those that were chained", ErrChain))
		}
		return Proof{want.header, want.body, want.index, path, links}, nil
	}
	return p, fmt.Errorf("%w: the segment of sequence %d is no longer there", ErrOutOfRange, seq)
}

// linksFrom returns the links from the one that covers seq to the one with the root anchor, or the
// newest: whole segments, and perhaps a tail link at the end.
func linksFrom(all []Link, seq int64, anchor Hash) (links []Link, err error) {
	to := len(all) - 1
	if anchor != (Hash{}) {
		for to >= 0 && all[to].Root != anchor {
			to--
		}
		if to < 0 {
			return nil, fmt.Errorf("%w: no root %v", ErrNotChained, anchor)
		}
	}
	for i := range to + 1 {
		l := &all[i]
		if (!l.Tail || i == to) && (len(links) > 0 || l.First <= seq && seq <= l.Last) {
			links = append(links, *l)
		}
	}
	if len(links) == 0 {
		if len(all) == 0 {
			return nil, fmt.Errorf("%w: sequence %d: the journal has no chain yet, or keeps none (Options.Chain)", ErrNotChained, seq)
		}
		return nil, fmt.Errorf("%w: sequence %d under root %v", ErrNotChained, seq, anchor)
	}
	return links, nil
}

// VerifyProof checks a proof against a root that the caller has from elsewhere, and, if key is
// not nil, that it is key that signed the root. It returns the record; Body is the proof's.
//
// Errors: ErrProof; ErrSignature.
func VerifyProof(p Proof, root Hash, key ed25519.PublicKey) (rec Record, err error) {
	bad := func(what string) (Record, error) { return Record{}, fmt.Errorf("%w: %s", ErrProof, what) }
	if len(p.Header) != recordHeaderBytes-8 || len(p.Links) == 0 || len(p.Path) > 64 {
		return bad("its form")
	}
	tree, ok := treeRoot(leafHash(p.Header, p.Body), p.Index, p.Links[0].Records, p.Path)
	if !ok || tree != p.Links[0].Tree {
		return bad("the record is not in the segment's tree")
	}
	for i := range p.Links {
		l := &p.Links[i]
		if l.root() != l.Root {
			return bad("a link's root")
		}
		if l.Tail && i < len(p.Links)-1 {
			return bad("a tail link in the middle")
		}
		if i > 0 && (l.Previous != p.Links[i-1].Root || l.UUID != p.Links[i-1].UUID) {
			return bad("the links do not follow each other")
		}
	}
	last := &p.Links[len(p.Links)-1]
	if last.Root != root {
		return bad("it ends at another root")
	}
	if key != nil {
		if err := last.check(key); err != nil {
			return Record{}, err
		}
	}
	w3 := le.Uint64(p.Header[16:])
	return Record{
		Sequence: int64(le.Uint64(p.Header[0:])), Time: int64(le.Uint64(p.Header[8:])),
		Type: uint16(w3), Kind: Kind(w3 >> 16), Flags: Flags(w3 >> 24),
		Body: p.Body, Segment: p.Links[0].Segment,
	}, nil
}
