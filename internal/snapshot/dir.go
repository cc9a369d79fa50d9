package snapshot

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/headrace/headrace/internal/failpoint"
)

const (
	folder     = "snapshots"
	suffix     = ".snap"
	tempSuffix = "~"
	digits     = 20
)

// Dir is where the snapshots of the journal in dir lie.
func Dir(journal string) string { return filepath.Join(journal, folder) }

// Path is the file of the snapshot at sequence, in a folder that Dir named.
func Path(dir string, sequence int64) string {
	return filepath.Join(dir, fmt.Sprintf("%0*d%s", digits, sequence, suffix))
}

// Step is told what Write is about to do, for tests that end the process there. Its error ends the writing.
type Step func(name string) error

// Steps are the names of the steps of Write.
var Steps = []string{"create", "header", "contents", "sync", "rename", "sync-folder", "done"}

// Write writes f into the folder dir, which it makes if need be, and returns the path. After a crash the file is
// there whole, or not there. On an error nothing is left but what a crash would leave.
func Write(dir string, f *File, step Step) (path string, err error) {
	head, err := f.Encode()
	if err != nil {
		return "", err
	}
	if step == nil {
		step = func(string) error { return nil }
	}
	if err := makeFolder(dir); err != nil {
		return "", err
	}
	path = Path(dir, f.Sequence)
	temp := path + tempSuffix
	if err := step("create"); err != nil {
		return "", err
	}
	out, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return "", err
	}
	err = f.writeTo(out, head, step)
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = step("rename")
	}
	if err == nil {
		failpoint.Hit(failpoint.MidSnapshot)
		err = os.Rename(temp, path)
	}
	if err != nil {
		return "", errors.Join(err, dropTemp(temp))
	}
	failpoint.Hit(failpoint.MidSnapshot)
	if err := step("sync-folder"); err != nil {
		return "", err
	}
	if err := syncFolder(dir); err != nil {
		return "", err
	}
	return path, step("done")
}

func (f *File) writeTo(out *os.File, head []byte, step Step) error {
	if err := step("header"); err != nil {
		return err
	}
	if _, err := out.Write(head); err != nil {
		return err
	}
	if err := step("contents"); err != nil {
		return err
	}
	for i := range f.Sections {
		if i == len(f.Sections)/2 {
			failpoint.Hit(failpoint.MidSnapshot)
		}
		if _, err := out.Write(f.Sections[i].Data); err != nil {
			return err
		}
	}
	if err := step("sync"); err != nil {
		return err
	}
	return out.Sync()
}

// dropTemp removes a file that did not become one.
func dropTemp(temp string) error {
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func makeFolder(dir string) error {
	err := os.Mkdir(dir, 0o700)
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil
	case err != nil:
		return err
	}
	return syncFolder(filepath.Dir(dir))
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// List returns the sequences of the snapshots in the folder dir, newest first. It looks at names only. A folder
// that does not exist has none.
func List(dir string) ([]int64, error) {
	names, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []int64
	for _, n := range names {
		digitsOf, ok := strings.CutSuffix(n.Name(), suffix)
		if !ok || len(digitsOf) != digits {
			continue
		}
		if seq, err := strconv.ParseInt(digitsOf, 10, 64); err == nil && seq > 0 {
			all = append(all, seq)
		}
	}
	slices.Sort(all)
	slices.Reverse(all)
	return all, nil
}

// Clean removes from the folder dir what a crash has left half written.
func Clean(dir string) error {
	left, err := filepath.Glob(filepath.Join(globQuote(dir), "*"+suffix+tempSuffix))
	for _, name := range left {
		err = errors.Join(err, dropTemp(name))
	}
	return err
}

// globQuote makes a name match itself only.
func globQuote(name string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(name)
}

// Remove removes the snapshot at sequence, durably. It is no error if there is none.
func Remove(dir string, sequence int64) error {
	if err := dropTemp(Path(dir, sequence)); err != nil {
		return err
	}
	return syncFolder(dir)
}

// Read reads and checks the snapshot at sequence. Errors: ErrDamaged, ErrVersion, fs.ErrNotExist.
func Read(dir string, sequence int64) (*File, error) {
	data, err := os.ReadFile(Path(dir, sequence))
	if err != nil {
		return nil, err
	}
	f, err := Decode(data)
	if err == nil && f.Sequence != sequence {
		err = damaged("it is of sequence %d, its name says %d", f.Sequence, sequence)
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

// ReadTable reads and checks the header and the table of a snapshot; its sections have no contents.
func ReadTable(dir string, sequence int64) (f *File, bytes int64, err error) {
	in, err := os.Open(Path(dir, sequence))
	if err != nil {
		return nil, 0, err
	}
	defer in.Close()
	st, err := in.Stat()
	if err != nil {
		return nil, 0, err
	}
	f = new(File)
	h := make([]byte, headerBytes)
	if _, err := io.ReadFull(in, h); err != nil {
		return nil, st.Size(), damaged("%d bytes, a header has %d", st.Size(), headerBytes)
	}
	n, size, content, err := f.decodeHeader(h)
	if err != nil {
		return nil, st.Size(), err
	}
	if st.Size() != headerBytes+int64(size)+content || f.Sequence != sequence {
		return nil, st.Size(), damaged("%d bytes at sequence %d, the header says %d at %d", st.Size(), sequence, headerBytes+int64(size)+content, f.Sequence)
	}
	t := make([]byte, size)
	if _, err := io.ReadFull(in, t); err != nil {
		return nil, st.Size(), err
	}
	_, err = f.decodeTable(h, t, n, content)
	return f, st.Size(), err
}
