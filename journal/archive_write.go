package journal

import (
	"cmp"
	"crypto/rand"
	"errors"
	"slices"
)

// archiveForm is what an archive is made with.
type archiveForm struct {
	codec Codec  // nil: not compressed
	keyID uint32 // 0: not encrypted
	key   []byte

	blockBytes int64          // 0: archiveBlockBytes
	salt       func(b []byte) // nil: random
}

func (a *archiveForm) codecID() uint32 {
	if a.codec == nil {
		return codecNone
	}
	return a.codec.ID()
}

// packer writes the archive of one segment to a file.
type packer struct {
	form   archiveForm
	hdr    header
	head   archiveHead
	cipher *archiveCipher
	dst    file
	blocks []archiveBlock
	at     int64  // where the next block goes in the file
	from   int64  // where it starts in the segment
	plain  []byte // its records
	target int64  // bytes of a block
	packed []byte
	sealed []byte
}

// newPacker begins the archive of the segment with header h.
func newPacker(dst file, h *header, form archiveForm) (*packer, error) {
	p := &packer{form: form, hdr: h.plain(), dst: dst, at: archiveBlocksAt, from: recordsOffset}
	p.hdr.archived, p.hdr.keyID = true, form.keyID
	p.head.codec = form.codecID()
	// A few blocks less than there may be: a block ends at a record, after its target.
	p.target = max(cmp.Or(form.blockBytes, archiveBlockBytes), h.size/(maxArchiveBlocks/2))
	if form.keyID != 0 {
		p.head.cipher = cipherGCM
		if form.salt != nil {
			form.salt(p.head.salt[:])
		} else {
			_, _ = rand.Read(p.head.salt[:]) // never fails: see crypto/rand
		}
		var err error
		if p.cipher, p.head.check, err = newArchiveCipher(form.key, &p.head.salt, &p.hdr); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// add appends one record, padding included.
func (p *packer) add(record []byte) error {
	p.plain = append(p.plain, record...)
	if int64(len(p.plain)) < p.target {
		return nil
	}
	return p.flush()
}

// flush writes the block that was collected.
func (p *packer) flush() (err error) {
	if len(p.plain) == 0 {
		return nil
	}
	b := archiveBlock{from: p.from, at: p.at, plain: int64(len(p.plain))}
	data := p.plain
	b.flags = blockRaw
	if p.form.codec != nil {
		if p.packed, err = p.form.codec.Encode(p.packed[:0], p.plain); err != nil {
			return errorf("compress with %s: %w", p.form.codec.Name(), err)
		}
		n := int64(len(p.packed))
		if n > 0 && n < b.plain && (b.plain <= archiveFree || b.plain/archiveRatio <= n) {
			data, b.flags = p.packed, 0
		}
	}
	if p.cipher != nil {
		number := uint32(len(p.blocks))
		p.sealed = p.cipher.seal(p.sealed[:0], data, number, b.aad(p.head.codec, number))
		data = p.sealed
	}
	b.stored, b.crc = int64(len(data)), checksum(data)
	if _, err := p.dst.WriteAt(data, p.at); err != nil {
		return err
	}
	p.blocks = append(p.blocks, b)
	p.at, p.from, p.plain = p.at+b.stored, p.from+b.plain, p.plain[:0]
	return nil
}

// finish writes table and head; the segment's records ended with l.
func (p *packer) finish(l *Link) error {
	if err := p.flush(); err != nil {
		return err
	}
	table := encodeTable(p.blocks)
	h := &p.head
	h.blocks, h.table, h.end, h.last, h.lastTime = uint32(len(p.blocks)), p.at, p.from, l.Last, l.LastTime
	h.bytes = p.at + int64(len(table)) + archiveTrailer
	trailer := make([]byte, archiveTrailer)
	le.PutUint32(trailer, checksum(table))
	if p.cipher != nil {
		page := newPages(1)
		p.hdr.encode(page)
		copy(trailer[8:], p.cipher.seal(nil, nil, tableNonce, tableAAD(page, h, table)))
	}
	if _, err := p.dst.WriteAt(slices.Concat(table, trailer), p.at); err != nil {
		return err
	}
	// The control page is that of a segment that nobody writes to: all of it is durable.
	first := newPages(3)[:recordsOffset+archiveHeadBytes]
	p.hdr.encode(first[:pageBytes])
	store64(first, ctlCommittedOffset, uint64(h.end))
	store64(first, ctlCommittedSequence, uint64(h.last))
	for g := range uint64(2) {
		storePair(first, p.hdr.id, pair{g + 1, h.end, h.last})
	}
	h.encode(first[recordsOffset:])
	_, err := p.dst.WriteAt(first, 0)
	return err
}

// packSegment writes the archive of the sealed and durable segment at from to dst, which is empty, and returns
// what was packed. Every record is verified on the way.
func packSegment(st storage, from string, access ArchiveAccess, dst file, form archiveForm, o hashing) (l Link, err error) {
	h, err := openHasher(st, from, access)
	if err != nil {
		return l, err
	}
	defer func() { err = errors.Join(err, h.close()) }()
	p, err := newPacker(dst, &h.hdr, form)
	if err != nil {
		return l, err
	}
	o.each = p.add
	if err := h.run(o); err != nil {
		return l, err
	}
	l = h.link()
	return l, p.finish(&l)
}
