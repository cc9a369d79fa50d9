package journal

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// A part of the tree that is mounted a second time is the same directory.
func TestBackup_InsideOrAroundByAnotherMount_IsRefused(t *testing.T) {
	root := t.TempDir()
	data, dir := filepath.Join(root, "data"), filepath.Join(root, "data", "j j")
	inner := filepath.Join(dir, "inner")
	for _, d := range []string{inner, root + "/first", root + "/second", root + "/third", root + "/apart"} {
		require.NoError(t, os.MkdirAll(d, 0o700))
	}
	j, err := Open(dir, Options{SegmentBytes: MinSegmentBytes, Durability: None()})
	require.NoError(t, err)
	appendTo(t, j, 10)
	require.NoError(t, j.Close())
	for mount, what := range map[string]string{"first": dir, "second": inner, "third": data} {
		if err := unix.Mount(what, filepath.Join(root, mount), "", unix.MS_BIND, ""); err != nil {
			t.Skipf("bind mounts need root: %v", err)
		}
		defer unix.Unmount(filepath.Join(root, mount), unix.MNT_DETACH)
	}
	for _, to := range []string{"first", "first/x", "first/inner/x/y", "second", "second/x", "third", "third/j j", "third/j j/x"} {
		_, err := Backup(dir, filepath.Join(root, to), BackupOptions{})
		require.ErrorIs(t, err, ErrOverlap, to)
		_, err = Restore(t.Context(), dir, filepath.Join(root, to), RestoreOptions{})
		require.ErrorIs(t, err, ErrOverlap, to)
	}
	_, err = Backup(filepath.Join(root, "first"), data, BackupOptions{})
	require.ErrorIs(t, err, ErrOverlap)
	for _, to := range []string{"apart", "third/copy", "data/j"} {
		_, err = Backup(filepath.Join(root, "first"), filepath.Join(root, to), BackupOptions{})
		require.NoError(t, err, to)
	}
}
