package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// How Backup and Restore write segments, the chain and the mark of a copy.

// copySegment copies what is durable of p, and verifies the copy before it gets its name.
func copySegment(st storage, dir, to string, p *found, copied func(int64)) error {
	src, err := st.open(filepath.Join(dir, p.name), false)
	if err != nil {
		return err
	}
	defer src.close()
	mark := make([]byte, 12)
	if err := readFull(src, mark, 0); err != nil {
		return err
	}
	if saysArchived(mark) { // since it was looked at, maybe
		n, err := src.size()
		if err != nil {
			return err
		}
		return writeWhole(st, to, p.name+spareSuffix, p.name, n, func(dst file) error {
			if err := copyRange(dst, src, 0, n, copied); err != nil {
				return err
			}
			return checkArchive(dst, p)
		})
	}
	tmp := fmt.Sprintf("%016x%s", p.id, spareSuffix)
	return writeWhole(st, to, tmp, p.name, p.hdr.size, func(dst file) error {
		if _, err := dst.WriteAt(headPages(&p.hdr, p.pair), 0); err != nil {
			return err
		}
		copied(recordsOffset)
		if err := copyRange(dst, src, recordsOffset, p.pair.offset, copied); err != nil {
			return err
		}
		return checkRecords(dst, p)
	})
}

// checkRecords verifies a copy of p, whose records must end where p's pair says. Damage is that of p.
func checkRecords(f file, p *found) (err error) {
	m, err := f.mmap(p.pair.offset, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.munmap(m)) }()
	return guard(p.name, m, func() error { return recordsEnd(m, p) })
}

// recordsEnd verifies the records in m, which must end where p's pair says.
func recordsEnd(m []byte, p *found) error {
	switch r := scanSegment(m, &p.hdr, p.pair.offset, minTime); {
	case r.end != p.pair.offset:
		return corrupt(p, r.at, r.atSeq, r.cause)
	case r.last != p.pair.sequence:
		return corrupt(p, r.end, r.last+1, fmt.Errorf("%w: %d was durable", ErrGap, p.pair.sequence))
	}
	return nil
}

// checkArchive verifies what can be verified of an archived segment without a key: that it is p's, and its checksums.
func checkArchive(f file, p *found) error {
	page := newPages(1)
	if err := readFull(f, page, 0); err != nil {
		return err
	}
	a := &archivedFile{file: f, name: p.name}
	if err := a.hdr.decode(page); err != nil {
		return corrupt(p, 0, p.first, err)
	}
	if a.hdr.plain() != p.hdr.plain() {
		return corrupt(p, 0, p.first, ErrForeign)
	}
	if err := a.readHead(); err != nil {
		return err
	}
	return a.checksums()
}

// copyChain copies the links of what parts hold.
func copyChain(st storage, dir, to string, parts []*found) (n int, err error) {
	links, _, err := readChain(st, dir, parts[0].hdr.uuid)
	if err != nil || len(links) == 0 {
		return 0, err
	}
	covered := func(l *Link) bool {
		i := len(parts) - 1
		for i >= 0 && parts[i].id > l.Segment {
			i--
		}
		switch {
		case i < 0:
			return true // of a segment that was removed
		case parts[i].id != l.Segment:
			return false // of one that is newer than the copy
		case parts[i].sealed || l.Tail && l.Last < parts[i].pair.sequence:
			return true
		case !l.Tail || l.Last > parts[i].pair.sequence:
			return false
		}
		// It may cover a checkpoint behind the last event that the copy does not have.
		path := filepath.Join(to, parts[i].name)
		got, _, err := hashSegment(st, path, ArchiveAccess{}, hashing{end: parts[i].pair.offset, records: l.Records})
		return err == nil && got.Records == l.Records && got.Tree == l.Tree
	}
	for n < len(links) && covered(&links[n]) {
		n++
	}
	return n, writeChain(st, to, links[:n])
}

// writeChain makes links the chain in dir, unless what is there begins with them.
func writeChain(st storage, dir string, links []Link) error {
	b := make([]byte, len(links)*linkBytes)
	for i := range links {
		links[i].encode(b[i*linkBytes:])
	}
	there, err := readFile(st, filepath.Join(dir, chainName), len(b))
	if err != nil || bytes.Equal(there, b) {
		return err
	}
	return noSpaceIn(dir, int64(len(b)), writeWhole(st, dir, chainName+spareSuffix, chainName, 0, func(f file) error {
		_, err := f.WriteAt(b, 0)
		return err
	}))
}

// readFile returns the first n bytes of a file, fewer if it has fewer, none if there is none.
func readFile(st storage, path string, n int) ([]byte, error) {
	f, err := st.open(path, false)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.close()
	b := make([]byte, n)
	k, err := f.ReadAt(b, 0)
	if err == io.EOF {
		err = nil
	}
	return b[:k], err
}

// writeMark leaves in PROGRESS of a copy what a Close would: how far its newest segment, end, is durable. It has nobody's
// slots.
func writeMark(st storage, dir string, end *found) error {
	if end.pair.sequence < end.first-1 || end.pair.sequence < 1 {
		return nil
	}
	m := mark{segment: end.id, first: end.first, last: end.pair.sequence, uuid: end.hdr.uuid}
	page := newPages(1)
	m.put(page[markOffset:])
	path := filepath.Join(dir, progressName)
	there, err := readFile(st, path, pageBytes)
	if err != nil || len(there) == pageBytes && loadMark(there) == m {
		return err
	}
	return noSpaceIn(dir, pageBytes, writeWhole(st, dir, progressName+spareSuffix, progressName, 0, func(f file) error {
		_, err := f.WriteAt(page, 0)
		return err
	}))
}
