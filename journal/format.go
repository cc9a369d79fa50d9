package journal

import (
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
)

// The layout of format version 1; FORMAT.md describes it byte by byte.
const (
	formatVersion     = 1
	pageBytes         = 4096
	controlOffset     = pageBytes
	recordsOffset     = 2 * pageBytes
	recordHeaderBytes = 32
	recordAlign       = 8
	magic             = "HEADRACE"

	headerArchived = 1 << 0 // the records are packed: see archive_format.go
	headerFlags    = headerArchived

	ctlCommittedOffset   = controlOffset + 0
	ctlCommittedSequence = controlOffset + 8
	ctlIdentity          = controlOffset + 128
	ctlPair0             = controlOffset + 256
	ctlPair1             = controlOffset + 384

	lagUnknown = 0xFFFFFFFF
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// segmentReserve is the room at the end of a segment that records leave for index and seal.
func segmentReserve(segmentBytes int64) int64 {
	return max(pageBytes, (segmentBytes>>10+pageBytes-1)&^(pageBytes-1))
}

// segmentCapacity is how many bytes of records a segment takes besides index and seal.
func segmentCapacity(segmentBytes int64) int64 {
	return segmentBytes - recordsOffset - segmentReserve(segmentBytes)
}

// header is the immutable first page of a segment.
type header struct {
	uuid    [16]byte
	id      uint64
	first   int64
	created int64
	size    int64
	salt    uint64
	keyID   uint32 // of an encrypted archive; 0: not encrypted

	archived bool // the file holds an archive of the segment
}

// plain returns h as it was before the segment was archived.
func (h header) plain() header {
	h.archived, h.keyID = false, 0
	return h
}

// encode writes h into page, which is pageBytes long.
func (h *header) encode(page []byte) {
	clear(page[:pageBytes])
	copy(page, magic)
	le.PutUint16(page[8:], formatVersion)
	if h.archived {
		le.PutUint16(page[10:], headerArchived)
	}
	le.PutUint32(page[12:], recordsOffset)
	copy(page[16:], h.uuid[:])
	le.PutUint64(page[32:], h.id)
	le.PutUint64(page[40:], uint64(h.first))
	le.PutUint64(page[48:], uint64(h.created))
	le.PutUint64(page[56:], uint64(h.size))
	le.PutUint64(page[64:], h.salt)
	le.PutUint32(page[72:], h.keyID)
	le.PutUint32(page[4092:], crc32.Checksum(page[:4092], castagnoli))
}

// decode reads h from page. The error is ErrFormatVersion or ErrHeader, wrapped; the fields are
// set as far as the page has them even then.
func (h *header) decode(page []byte) error {
	copy(h.uuid[:], page[16:])
	h.id = le.Uint64(page[32:])
	h.first = int64(le.Uint64(page[40:]))
	h.created = int64(le.Uint64(page[48:]))
	h.size = int64(le.Uint64(page[56:]))
	h.salt = le.Uint64(page[64:])
	h.keyID = le.Uint32(page[72:])
	bad := func(what string) error { return fmt.Errorf("%w: %s", ErrHeader, what) }
	if string(page[:8]) != magic {
		return bad("wrong magic")
	}
	if crc32.Checksum(page[:4092], castagnoli) != le.Uint32(page[4092:]) {
		// Before the version: a flipped bit in it is damage, not the future.
		return bad("checksum mismatch")
	}
	if v := le.Uint16(page[8:]); v != formatVersion {
		return &FormatError{Version: v, Known: formatVersion}
	}
	flags := le.Uint16(page[10:])
	if flags&^headerFlags != 0 {
		return &FormatError{formatVersion, formatVersion, uint32(flags), headerFlags}
	}
	h.archived = flags&headerArchived != 0
	switch {
	case le.Uint32(page[12:]) != recordsOffset:
		return bad("records offset")
	case !isZero(page[76:4092]):
		return bad("reserved bytes are not zero")
	case h.size < MinSegmentBytes || h.size >= MaxSegmentBytes || h.size%pageBytes != 0:
		return bad("size")
	case h.first < 1:
		return bad("first sequence")
	case h.salt == 0:
		return bad("salt")
	case h.keyID != 0 && !h.archived:
		return bad("key id")
	}
	return nil
}

// identity names the boot and the mount under which a writer worked. While both are the same,
// the page cache still holds what it stored.
type identity struct {
	boot  [16]byte
	mount uint64
}

// known tells whether the identity can prove anything.
func (id identity) known() bool { return id.mount != 0 && id.boot != [16]byte{} }

// storeIdentity writes id to the control page in m of the segment with the given id. Only while
// no other process reads it as live: at open and at a roll.
func storeIdentity(m []byte, segment uint64, id identity) {
	var b [24]byte
	copy(b[:], id.boot[:])
	le.PutUint64(b[16:], id.mount)
	for i := int64(0); i < 24; i += 8 {
		store64(m, ctlIdentity+i, le.Uint64(b[i:]))
	}
	store64(m, ctlIdentity+24, uint64(controlCRC(b[:], segment)))
}

func loadIdentity(m []byte, segment uint64) (id identity, ok bool) {
	var b [24]byte
	for i := int64(0); i < 24; i += 8 {
		le.PutUint64(b[i:], load64(m, ctlIdentity+i))
	}
	if load64(m, ctlIdentity+24) != uint64(controlCRC(b[:], segment)) {
		return id, false
	}
	copy(id.boot[:], b[:])
	id.mount = le.Uint64(b[16:])
	return id, true
}

// pair is a promise: every byte below offset, and every record up to sequence, was synced. Each
// half is true by itself; they may be of two adjacent moments.
type pair struct {
	generation uint64
	offset     int64
	sequence   int64
}

// storePair writes p into one of the two copies, chosen by its generation, so that a torn store
// leaves the other.
func storePair(m []byte, segment uint64, p pair) {
	at := int64(ctlPair0)
	if p.generation&1 == 1 {
		at = ctlPair1
	}
	var b [24]byte
	le.PutUint64(b[0:], p.generation)
	le.PutUint64(b[8:], uint64(p.offset))
	le.PutUint64(b[16:], uint64(p.sequence))
	for i := int64(0); i < 24; i += 8 {
		store64(m, at+i, le.Uint64(b[i:]))
	}
	store64(m, at+24, uint64(controlCRC(b[:], segment)))
}

// loadPair returns the newer of the two copies that verify; the zero pair if none does.
func loadPair(m []byte, segment uint64) (best pair) {
	for _, at := range [2]int64{ctlPair0, ctlPair1} {
		var b [24]byte
		for i := int64(0); i < 24; i += 8 {
			le.PutUint64(b[i:], load64(m, at+i))
		}
		if load64(m, at+24) != uint64(controlCRC(b[:], segment)) {
			continue
		}
		p := pair{le.Uint64(b[0:]), int64(le.Uint64(b[8:])), int64(le.Uint64(b[16:]))}
		if p.generation > best.generation {
			best = p
		}
	}
	return best
}

// controlCRC is the CRC32C of b and then the segment's id, which is in the file's name too: what
// the control page promises can be read although the header is damaged, and what another
// segment left behind does not verify.
func controlCRC(b []byte, segment uint64) uint32 {
	var s [8]byte
	le.PutUint64(s[:], segment)
	return crc32.Update(crc32.Checksum(b, castagnoli), castagnoli, s[:])
}

const (
	segmentSuffix = ".seg"
	spareSuffix   = ".tmp"
	lockName      = "LOCK"
	failedName    = "FAILED"
	asideName     = "aside"
)

// segmentName is the name of the segment file with that first sequence and id.
func segmentName(first int64, id uint64) string {
	return fmt.Sprintf("%020d-%016x%s", first, id, segmentSuffix)
}

// parseSegmentName is the inverse of segmentName; ok is false for any other name.
func parseSegmentName(name string) (first int64, id uint64, ok bool) {
	base, found := strings.CutSuffix(name, segmentSuffix)
	if !found || len(base) != 20+1+16 || base[20] != '-' {
		return 0, 0, false
	}
	u, err := strconv.ParseUint(base[:20], 10, 63)
	if err != nil || u == 0 {
		return 0, 0, false
	}
	raw, err := hex.DecodeString(base[21:])
	if err != nil || strings.ToLower(base[21:]) != base[21:] {
		return 0, 0, false
	}
	for _, b := range raw {
		id = id<<8 | uint64(b)
	}
	return int64(u), id, true
}
