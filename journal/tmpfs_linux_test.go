package journal

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAppend_FullTmpfs(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "small")
	require.NoError(t, os.Mkdir(dir, 0o700))
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skip("mounting a tmpfs is not permitted: ", err)
	}
	defer func() { require.NoError(t, syscall.Unmount(dir, 0)) }()
	jd := filepath.Join(dir, "j")
	j, err := Open(jd, Options{SegmentBytes: 256 << 10, Durability: None()})
	require.NoError(t, err)
	for err == nil {
		_, err = j.Append(Entry{Type: 9, Body: makeBody(j.Written() + 1)})
	}
	require.ErrorIs(t, err, ErrNoSpace)
	require.ErrorIs(t, err, syscall.ENOSPC)
	last := j.Written()
	require.NoError(t, j.Close())
	j, err = Open(jd, Options{SegmentBytes: 256 << 10})
	require.NoError(t, err)
	require.Equal(t, last, j.Written())
	n := int64(0)
	r, err := j.NewReader(0, ReaderOptions{})
	require.NoError(t, err)
	_, err = r.Read(func(rec Record) error {
		if n++; !bytes.Equal(rec.Body, makeBody(n)) {
			return fmt.Errorf("record %d differs", n)
		}
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, last, n)
	require.NoError(t, r.Close())
	require.NoError(t, j.Close())
}
