package journal

import (
	"fmt"
	"hash/crc32"
)

// An archived segment is a segment file in packed form: header and control page as they were, with
// a flag in the header; a head; the records in blocks, each compressed and encrypted by itself; and
// a table of the blocks. FORMAT.md describes it byte by byte.
//
// Blocks hold whole records. So whoever has decoded the block with a record's first byte has all
// of it, and memory is bounded by blocks.
const (
	archiveMagic     = "HRARCHIV"
	archiveHeadBytes = 192
	archiveEntry     = 32
	archiveTrailer   = 24 // CRC32C, zero, tag
	archiveBlocksAt  = recordsOffset + archiveHeadBytes

	archiveBlockBytes = 128 << 10 // a block ends with the record that reaches it
	maxArchiveBlocks  = 1 << 16

	// What a block may unpack to, so that a file cannot ask for more memory than it has a right to:
	// archiveFree bytes, or archiveRatio times what it takes in the file.
	archiveFree  = 1 << 20
	archiveRatio = 256

	cipherNone = 0
	cipherGCM  = 1 // AES-256-GCM with a key of the file's own

	blockRaw = 1 << 0 // not compressed
)

// archiveHead says what an archive holds.
type archiveHead struct {
	codec, cipher uint32
	blocks        uint32
	table         int64 // offset of the table
	bytes         int64 // of the file
	end           int64 // offset after the seal, in the segment
	last          int64 // last sequence
	lastTime      int64
	salt          [32]byte // from which the file's key is derived
	check         [16]byte // tells a wrong key from damage
}

func (h *archiveHead) encode(b []byte) {
	clear(b[:archiveHeadBytes])
	copy(b, archiveMagic)
	le.PutUint32(b[8:], h.codec)
	le.PutUint32(b[12:], h.cipher)
	le.PutUint32(b[16:], h.blocks)
	le.PutUint64(b[24:], uint64(h.table))
	le.PutUint64(b[32:], uint64(h.bytes))
	le.PutUint64(b[40:], uint64(h.end))
	le.PutUint64(b[48:], uint64(h.last))
	le.PutUint64(b[56:], uint64(h.lastTime))
	copy(b[64:], h.salt[:])
	copy(b[96:], h.check[:])
	le.PutUint32(b[archiveHeadBytes-4:], crc32.Checksum(b[:archiveHeadBytes-4], castagnoli))
}

// decode reads the head of the segment with header hdr. Errors: ErrArchive, *FormatError.
func (h *archiveHead) decode(b []byte, hdr *header) error {
	bad := func(what string) error { return fmt.Errorf("%w: %s", ErrArchive, what) }
	if len(b) < archiveHeadBytes || string(b[:8]) != archiveMagic {
		return bad("no head")
	}
	if crc32.Checksum(b[:archiveHeadBytes-4], castagnoli) != le.Uint32(b[archiveHeadBytes-4:]) {
		return bad("checksum of the head")
	}
	h.codec, h.cipher, h.blocks = le.Uint32(b[8:]), le.Uint32(b[12:]), le.Uint32(b[16:])
	h.table, h.bytes, h.end = int64(le.Uint64(b[24:])), int64(le.Uint64(b[32:])), int64(le.Uint64(b[40:]))
	h.last, h.lastTime = int64(le.Uint64(b[48:])), int64(le.Uint64(b[56:]))
	copy(h.salt[:], b[64:])
	copy(h.check[:], b[96:])
	switch {
	case h.cipher > cipherGCM:
		return &FormatError{formatVersion, formatVersion, h.cipher, cipherGCM}
	case (h.cipher == cipherNone) != (hdr.keyID == 0):
		return bad("key id and cipher")
	case le.Uint32(b[20:]) != 0 || !isZero(b[112:archiveHeadBytes-4]):
		return bad("reserved bytes are not zero")
	case h.blocks == 0 || h.blocks > maxArchiveBlocks:
		return bad("number of blocks")
	case h.end < recordsOffset+sealRecordBytes || h.end > hdr.size || h.end%recordAlign != 0:
		return bad("end of the records")
	case h.table < archiveBlocksAt || h.bytes-h.table != int64(h.blocks)*archiveEntry+archiveTrailer:
		return bad("place of the table")
	case h.last < hdr.first-1:
		return bad("last sequence")
	}
	return nil
}

// archiveBlock is one entry of the table.
type archiveBlock struct {
	from   int64 // of its first record, in the segment
	at     int64 // in the file
	plain  int64 // bytes of records
	stored int64 // bytes in the file
	crc    uint32
	flags  uint32
}

// aad is what the block's encryption is bound to, besides the file's key.
func (b *archiveBlock) aad(codec, number uint32) []byte {
	a := make([]byte, 0, 32)
	a = le.AppendUint32(a, number)
	a = le.AppendUint32(a, codec)
	a = le.AppendUint64(a, uint64(b.from))
	a = le.AppendUint64(a, uint64(b.plain))
	return le.AppendUint32(a, b.flags)
}

// encodeTable returns the table, without its trailer.
func encodeTable(blocks []archiveBlock) []byte {
	t := make([]byte, 0, len(blocks)*archiveEntry+archiveTrailer)
	for i := range blocks {
		b := &blocks[i]
		t = le.AppendUint64(t, uint64(b.from))
		t = le.AppendUint64(t, uint64(b.at))
		t = le.AppendUint32(t, uint32(b.plain))
		t = le.AppendUint32(t, uint32(b.stored))
		t = le.AppendUint32(t, b.crc)
		t = le.AppendUint32(t, b.flags)
	}
	return t
}

// decodeTable reads the table, whose checksum is right: blocks follow each other in the segment and
// in the file without a gap. overhead is what encryption adds to a block.
func decodeTable(t []byte, h *archiveHead, overhead int64) ([]archiveBlock, error) {
	blocks := make([]archiveBlock, h.blocks)
	from, at := int64(recordsOffset), int64(archiveBlocksAt)
	for i := range blocks {
		e := t[i*archiveEntry:]
		b := &blocks[i]
		b.from, b.at = int64(le.Uint64(e)), int64(le.Uint64(e[8:]))
		b.plain, b.stored = int64(le.Uint32(e[16:])), int64(le.Uint32(e[20:]))
		b.crc, b.flags = le.Uint32(e[24:]), le.Uint32(e[28:])
		raw := b.flags&blockRaw != 0
		if b.from != from || b.at != at || b.plain == 0 || b.plain%recordAlign != 0 || b.stored <= overhead ||
			b.flags&^blockRaw != 0 || raw && b.stored != b.plain+overhead || !raw && h.codec == codecNone ||
			b.plain > archiveFree && b.plain/archiveRatio > b.stored {
			return nil, fmt.Errorf("%w: block %d in the table", ErrArchive, i)
		}
		from, at = from+b.plain, at+b.stored
	}
	if from != h.end || at != h.table {
		return nil, fmt.Errorf("%w: the table does not end where the records do", ErrArchive)
	}
	return blocks, nil
}
