package journal

import (
	"errors"
	"io"
	"os"
	"path/filepath"
)

// writeWhole makes a file of n bytes in dir, durably, and over the one that has the name if there is one: it is called
// tmp while write fills it, and name once all of it is synced. What an earlier attempt left as tmp is removed, and so is
// what this one leaves if it fails.
func writeWhole(st storage, dir, tmp, name string, n int64, write func(file) error) error {
	tmp = filepath.Join(dir, tmp)
	if err := removeIfThere(st, tmp); err != nil {
		return err
	}
	f, err := st.create(tmp, n)
	if err != nil {
		return err
	}
	err = write(f)
	if err == nil {
		err = f.sync()
	}
	if e := f.close(); err == nil {
		err = e
	}
	if err == nil {
		err = st.rename(tmp, filepath.Join(dir, name))
	}
	if err != nil {
		_ = st.remove(tmp)
		return err
	}
	return st.syncDir(dir)
}

// removeIfThere removes a file that may not be there.
func removeIfThere(st storage, path string) error {
	if err := st.remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// copyRange copies the bytes [from, to) of a file to the same place in another; copied, unless it is nil, is told of
// each piece. Error: io.ErrUnexpectedEOF if the file ends before to.
func copyRange(dst io.WriterAt, src io.ReaderAt, from, to int64, copied func(int64)) error {
	buf := make([]byte, min(1<<20, max(to-from, 0)))
	for off := from; off < to; {
		b := buf[:min(int64(len(buf)), to-off)]
		if err := readFull(src, b, off); err != nil {
			return err
		}
		if _, err := dst.WriteAt(b, off); err != nil {
			return err
		}
		off += int64(len(b))
		if copied != nil {
			copied(int64(len(b)))
		}
	}
	return nil
}

// headPages returns header and control page of a segment of which all up to to is durable, and which nobody has written
// in this boot.
func headPages(h *header, to pair) []byte {
	pages := newPages(2)
	h.encode(pages[:pageBytes])
	store64(pages, ctlCommittedOffset, uint64(to.offset))
	store64(pages, ctlCommittedSequence, uint64(to.sequence))
	for g := range uint64(2) {
		storePair(pages, h.id, pair{g + 1, to.offset, to.sequence})
	}
	return pages
}
