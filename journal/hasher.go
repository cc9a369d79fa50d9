package journal

import (
	"errors"
	"fmt"
	"path/filepath"
)

// hasher computes the Merkle tree of a segment's records, from the first on, verifying each. It can
// stop and go on: the segment that is written to is hashed bit by bit, each record once.
type hasher struct {
	name string
	hdr  header
	f    file
	arc  *archivedFile // nil: the segment is plain
	mem  []byte

	off      int64
	loaded   int64 // records before it are there to read
	prevTime int64
	tree     *merkle
	last     int64
	lastTime int64
	sealed   bool
}

// leaf is a record on the way through a hasher: views, valid in the call.
type leaf struct {
	frame
	header []byte // bytes 8 to 32
	body   []byte
	hash   Hash
	off    int64
}

// target asks a hasher for one record and its audit path.
type target struct {
	sequence int64 // of an event or void
	found    bool
	index    uint64
	header   []byte // bytes 8 to 32
	body     []byte
}

// hashing says how far a hasher goes, and what it looks for on the way.
type hashing struct {
	end     int64                     // not past this offset; 0: to the seal
	records uint64                    // not past so many records; 0: no bound
	last    int64                     // not past the event with this sequence; 0: no bound
	want    *target                   // nil: none
	marks   []Link                    // tail links that must be true, ascending by records; nil: none
	each    func(record []byte) error // called with each record, padding included; nil: no
	leaf    func(l leaf) error        // called with each record and its hash; nil: no
	pace    *pace
	stop    func() bool // asked now and then whether to give up, which is ErrClosed; nil: no
}

// openHasher opens the segment file at path. Errors: *CorruptionError; *AccessError; *FormatError.
func openHasher(st storage, path string, access ArchiveAccess) (*hasher, error) {
	f, arc, err := openPlain(st, path, access)
	if err != nil {
		return nil, err
	}
	h := &hasher{name: filepath.Base(path), f: f, arc: arc, off: recordsOffset, prevTime: minTime, tree: newMerkle()}
	page := newPages(1)
	size, err := f.size()
	if err == nil && size < recordsOffset {
		err = &CorruptionError{h.name, size, 0, ErrSize}
	}
	if err == nil {
		err = readFull(f, page, 0)
	}
	if err == nil {
		if err = h.hdr.decode(page); errors.Is(err, ErrFormatVersion) {
			err = errorf("%s: %w", h.name, err)
		} else if err != nil {
			err = &CorruptionError{h.name, 0, 0, err}
		}
	}
	if err == nil {
		h.mem, err = f.mmap(min(size, h.hdr.size), false)
	}
	if err != nil {
		return nil, errors.Join(err, f.close())
	}
	h.last = h.hdr.first - 1
	return h, nil
}

func (h *hasher) close() error {
	if h == nil || h.f == nil {
		return nil
	}
	err := errors.Join(h.f.munmap(h.mem), h.f.close())
	h.f, h.mem = nil, nil
	return err
}

func (h *hasher) corrupt(cause error) error {
	return &CorruptionError{h.name, h.off, h.last + 1, cause}
}

// run goes on to where o says. Without bounds it ends behind the seal, which must be there.
func (h *hasher) run(o hashing) error {
	return guard(h.name, h.mem, func() error { return h.hash(o) })
}

func (h *hasher) hash(o hashing) error {
	end := int64(len(h.mem))
	if o.end > 0 {
		end = min(end, o.end)
	}
	mark := h.off + paceStep
	marks := o.marks
	for !h.sealed && (o.end == 0 || h.off < end) && (o.records == 0 || h.tree.n < o.records) && (o.last == 0 || h.last < o.last) {
		if h.off >= mark {
			mark = h.off + paceStep
			if o.stop != nil && o.stop() {
				return ErrClosed
			}
		}
		if h.arc != nil && h.off >= h.loaded {
			var err error
			if h.loaded, err = h.arc.load(h.off); err != nil {
				return err
			}
		}
		f, body, next, err := readFrame(h.mem, h.off, end, h.hdr.salt)
		if err == nil {
			err = follows(&f, h.last+1, h.prevTime)
		}
		if err != nil {
			return h.corrupt(err)
		}
		head := h.mem[h.off+8 : h.off+recordHeaderBytes]
		hit := o.want != nil && f.kind.advances() && f.sequence == o.want.sequence
		if hit {
			o.want.found, o.want.index = true, h.tree.n
			o.want.header = append([]byte(nil), head...)
			o.want.body = append([]byte(nil), body...)
		}
		if o.each != nil {
			if err := o.each(h.mem[h.off:next]); err != nil {
				return err
			}
		}
		sum := leafHash(head, body)
		if o.leaf != nil {
			if err := o.leaf(leaf{f, head, body, sum, h.off}); err != nil {
				return err
			}
		}
		h.tree.add(sum, hit)
		if f.kind.advances() {
			h.last = f.sequence
		}
		if err := o.pace.spend(next - h.off); err != nil {
			return err
		}
		h.off, h.prevTime, h.lastTime = next, f.time, f.time
		h.sealed = f.kind == KindSeal
		for len(marks) > 0 && marks[0].Records <= h.tree.n {
			if marks[0].Records == h.tree.n && !h.isOf(&marks[0]) {
				return h.corrupt(fmt.Errorf("%w: the records up to here are not those that were chained", ErrChain))
			}
			marks = marks[1:]
		}
	}
	return nil
}

// link is what was hashed so far, without Previous, Root and signature.
func (h *hasher) link() Link {
	return Link{UUID: h.hdr.uuid, Segment: h.hdr.id, First: h.hdr.first, Last: h.last,
		LastTime: h.lastTime, Records: h.tree.n, Tree: h.tree.peek(), Tail: !h.sealed}
}

// isOf tells whether l is about just the records that were hashed so far.
func (h *hasher) isOf(l *Link) bool {
	return l.First == h.hdr.first && l.Last == h.last && l.LastTime == h.lastTime &&
		l.Records == h.tree.n && l.Tree == h.tree.peek()
}

// hashSegment computes the link of a sealed segment, but for Previous, Root and signature. path is
// the audit path of the wanted record, if there is one.
func hashSegment(st storage, path string, access ArchiveAccess, o hashing) (l Link, audit []Hash, err error) {
	h, err := openHasher(st, path, access)
	if err != nil {
		return l, nil, err
	}
	defer func() { err = errors.Join(err, h.close()) }()
	if err := h.run(o); err != nil {
		return l, nil, err
	}
	l = h.link()
	root, audit := h.tree.finish()
	l.Tree = root
	return l, audit, nil
}
