package journal

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"github.com/headrace/headrace/internal/sysio"
)

// archivedFile is an archived segment, open for reading, that looks like the plain file: its size
// is that of the segment, and a mapping of it has every record at its offset, with the checksum
// that it had. Only that a part of the mapping is there once load was called for it.
//
// It belongs to one goroutine, and has one mapping at a time.
type archivedFile struct {
	file
	name   string // base name
	hdr    header
	pages  []byte // header and control page
	head   archiveHead
	access ArchiveAccess

	blocks  []archiveBlock // nil before the first load
	codec   Codec
	cipher  *archiveCipher
	packed  []byte // scratch: as in the file
	bare    []byte // scratch: decrypted, not yet decompressed
	mem     []byte
	present []int // blocks in mem, the one loaded last at the end
}

// presentBlocks is how many decoded blocks a reader keeps: the seal's and the index's while it looks
// a place up, and the one that it reads.
const presentBlocks = 4

// wrapArchive makes f, whose header page says that it is archived, read like a plain segment.
// It closes f if it fails. Errors: *CorruptionError; *FormatError, wrapped; those of reading.
func wrapArchive(f file, path string, h *header, access ArchiveAccess) (*archivedFile, error) {
	a := &archivedFile{file: f, name: filepath.Base(path), hdr: *h, access: access}
	err := a.readHead()
	if err != nil {
		return nil, errors.Join(err, f.close())
	}
	return a, nil
}

func (a *archivedFile) readHead() error {
	size, err := a.file.size()
	if err != nil {
		return err
	}
	a.pages = newPages(2)
	b := make([]byte, archiveHeadBytes)
	if size < archiveBlocksAt {
		return a.corrupt(size, ErrSize)
	}
	if err := readFull(a.file, a.pages, 0); err != nil {
		return err
	}
	if err := readFull(a.file, b, recordsOffset); err != nil {
		return err
	}
	if err := a.head.decode(b, &a.hdr); err != nil {
		if errors.Is(err, ErrFormatVersion) {
			return errorf("%s: %w", a.name, err)
		}
		return a.corrupt(recordsOffset, err)
	}
	if size != a.head.bytes {
		return a.corrupt(min(size, a.head.bytes), fmt.Errorf("%w: %s bytes, the head says %s", ErrSize, thousands(size), thousands(a.head.bytes)))
	}
	return nil
}

// readFull reads len(b) bytes at off.
func readFull(f io.ReaderAt, b []byte, off int64) error {
	if n, err := f.ReadAt(b, off); n < len(b) {
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	return nil
}

func (a *archivedFile) corrupt(off int64, cause error) error {
	return &CorruptionError{a.name, off, a.hdr.first, cause}
}

func (a *archivedFile) refuse(err error) error {
	return &AccessError{Segment: a.name, KeyID: a.hdr.keyID, Codec: a.head.codec, First: a.hdr.first, Last: a.head.last, Err: err}
}

// open gets codec and key and reads the table.
func (a *archivedFile) open() error {
	if a.blocks != nil {
		return nil
	}
	if a.head.codec != codecNone {
		c, ok := a.access.codec(a.head.codec)
		if !ok {
			return a.refuse(ErrNoCodec)
		}
		a.codec = c
	}
	if a.head.cipher == cipherGCM {
		key, err := a.access.key(a.hdr.keyID)
		if err != nil {
			return a.refuse(err)
		}
		c, check, err := newArchiveCipher(key, &a.head.salt, &a.hdr)
		if err != nil {
			return a.refuse(err)
		}
		if !sameCheck(&check, &a.head.check) {
			return a.refuse(ErrWrongKey)
		}
		a.cipher = c
	}
	blocks, err := a.readTable()
	if err != nil {
		return err
	}
	a.blocks = blocks
	return nil
}

// readTable reads the table and checks it: its tag too, where the cipher is known.
func (a *archivedFile) readTable() ([]archiveBlock, error) {
	t := make([]byte, a.head.bytes-a.head.table)
	if err := readFull(a.file, t, a.head.table); err != nil {
		return nil, err
	}
	n := len(t) - archiveTrailer
	if checksum(t[:n]) != le.Uint32(t[n:]) || le.Uint32(t[n+4:]) != 0 {
		return nil, a.corrupt(a.head.table, fmt.Errorf("%w: checksum of the table", ErrArchive))
	}
	overhead := int64(0)
	if a.head.cipher == cipherGCM {
		overhead = gcmTagBytes
	}
	if a.cipher != nil {
		if _, err := a.cipher.open(nil, t[n+8:], tableNonce, tableAAD(a.pages, &a.head, t[:n])); err != nil {
			return nil, a.corrupt(a.head.table, fmt.Errorf("%w: the table is not authentic", ErrArchive))
		}
	} else if overhead == 0 && !isZero(t[n+8:]) {
		return nil, a.corrupt(a.head.table, fmt.Errorf("%w: trailer of the table", ErrArchive))
	}
	blocks, err := decodeTable(t[:n], &a.head, overhead)
	if err != nil {
		return nil, a.corrupt(a.head.table, err)
	}
	return blocks, nil
}

// checksums verifies the blocks as they are stored, for which nobody needs codec or key.
func (a *archivedFile) checksums() error {
	blocks, err := a.readTable()
	if err != nil {
		return err
	}
	for i := range blocks {
		if err := a.readBlock(uint32(i), &blocks[i]); err != nil {
			return err
		}
	}
	return nil
}

// readBlock reads block number into a.packed.
func (a *archivedFile) readBlock(number uint32, b *archiveBlock) error {
	a.packed = slices.Grow(a.packed[:0], int(b.stored))[:b.stored]
	if err := readFull(a.file, a.packed, b.at); err != nil {
		return errorf("%s: read block %d: %w", a.name, number, err)
	}
	if checksum(a.packed) != b.crc {
		return a.corrupt(b.at, fmt.Errorf("%w: checksum of block %d", ErrArchive, number))
	}
	return nil
}

// tableAAD is what the table's tag is over: header page, head and table.
func tableAAD(pages []byte, h *archiveHead, table []byte) []byte {
	head := make([]byte, archiveHeadBytes)
	h.encode(head)
	return slices.Concat(pages[:pageBytes], head, table)
}

func (a *archivedFile) size() (int64, error) { return a.hdr.size, nil }

// ReadAt reads header and control page; records are read through a mapping.
func (a *archivedFile) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off+int64(len(p)) > int64(len(a.pages)) {
		return 0, fmt.Errorf("journal: %s: records of an archived segment have no file", a.name)
	}
	return copy(p, a.pages[off:]), nil
}

// mmap returns memory in which header and control page are there, and records once load was called.
func (a *archivedFile) mmap(n int64, write bool) ([]byte, error) {
	if write {
		return nil, fmt.Errorf("journal: %s: an archived segment is not written", a.name)
	}
	m, err := sysio.MapZero(n)
	if err != nil {
		return nil, err
	}
	copy(m, a.pages)
	a.mem, a.present = m, nil
	return m, nil
}

func (a *archivedFile) munmap(m []byte) error {
	a.mem, a.present = nil, nil
	return sysio.Unmap(m)
}

func (a *archivedFile) populate([]byte) {}

// load makes the block with offset off present in the mapping and returns where it ends: every
// record that starts before, from off on, is there whole until presentBlocks others were loaded.
// Beyond the records it does nothing. Errors: *AccessError; *CorruptionError.
func (a *archivedFile) load(off int64) (end int64, err error) {
	if off < recordsOffset || off >= a.head.end {
		return int64(len(a.mem)), nil
	}
	if err := a.open(); err != nil {
		return 0, err
	}
	i, _ := slices.BinarySearchFunc(a.blocks, off, func(b archiveBlock, off int64) int {
		switch {
		case b.from+b.plain <= off:
			return -1
		case b.from > off:
			return 1
		}
		return 0
	})
	b := &a.blocks[i]
	end = b.from + b.plain
	if end > int64(len(a.mem)) {
		return 0, a.corrupt(b.at, ErrSize)
	}
	if k := slices.Index(a.present, i); k >= 0 {
		a.present = append(slices.Delete(a.present, k, k+1), i)
		return end, nil
	}
	if len(a.present) == presentBlocks {
		a.drop(&a.blocks[a.present[0]])
		a.present = slices.Delete(a.present, 0, 1)
	}
	if err := a.decode(uint32(i), b, a.mem[b.from:end:end]); err != nil {
		return 0, err
	}
	a.present = append(a.present, i)
	return end, nil
}

// drop gives back the memory of a block, but for pages that it shares with its neighbours.
func (a *archivedFile) drop(b *archiveBlock) {
	from := (b.from + pageBytes - 1) &^ (pageBytes - 1)
	to := (b.from + b.plain) &^ (pageBytes - 1)
	if from < to && sysio.Discard(a.mem[from:to]) != nil {
		clear(a.mem[from:to])
	}
}

// decode unpacks block number into dst, which has its size.
func (a *archivedFile) decode(number uint32, b *archiveBlock, dst []byte) error {
	if err := a.readBlock(number, b); err != nil {
		return err
	}
	data := a.packed
	if a.cipher != nil {
		var err error
		if a.bare, err = a.cipher.open(a.bare[:0], data, number, b.aad(a.head.codec, number)); err != nil {
			return a.corrupt(b.at, err)
		}
		data = a.bare
	}
	if b.flags&blockRaw != 0 {
		copy(dst, data)
		return nil
	}
	if err := a.codec.Decode(dst, data); err != nil {
		clear(dst)
		return a.corrupt(b.at, fmt.Errorf("%w: block %d: %w", ErrArchive, number, err))
	}
	return nil
}

// saysArchived tells whether the first 12 bytes of a file are those of an archived segment's.
func saysArchived(b []byte) bool {
	return string(b[:8]) == magic && le.Uint16(b[8:]) == formatVersion && le.Uint16(b[10:])&headerArchived != 0
}

// openPlain opens the segment file at path for reading, so that it reads like a plain one even if it
// is archived. A header page that cannot be read makes it a plain file, for the caller to judge.
func openPlain(st storage, path string, access ArchiveAccess) (file, *archivedFile, error) {
	f, err := st.open(path, false)
	if err != nil {
		return nil, nil, err
	}
	mark := make([]byte, 12)
	if err := readFull(f, mark, 0); err != nil && err != io.ErrUnexpectedEOF {
		return nil, nil, errors.Join(err, f.close())
	} else if err != nil || !saysArchived(mark) {
		return f, nil, nil
	}
	page := newPages(1)
	var h header
	if err := readFull(f, page, 0); err != nil && err != io.ErrUnexpectedEOF {
		return nil, nil, errors.Join(err, f.close())
	} else if err != nil || h.decode(page) != nil {
		return f, nil, nil
	}
	a, err := wrapArchive(f, path, &h, access)
	if err != nil {
		return nil, nil, err
	}
	return a, a, nil
}
