package journal

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace/internal/sysio"
)

func TestOpen_FileSystems(t *testing.T) {
	defer func() { fileSystemOf = sysio.FileSystemOf }()
	asked := ""
	lies := sysio.FileSystem{}
	fileSystemOf = func(name string) sysio.FileSystem { asked = name; return lies }
	top := t.TempDir()
	dir := filepath.Join(top, "not", "there", "yet")

	lies = sysio.FileSystem{Name: "nfs", Class: sysio.Remote}
	_, err := Open(dir, Options{})
	require.ErrorIs(t, err, ErrFileSystem)
	require.ErrorContains(t, err, "nfs")
	require.Equal(t, top, asked, "the nearest directory that is there")
	require.NoDirExists(t, dir, "refused before anything is made")

	for _, c := range []struct {
		class sysio.FileSystemClass
		says  string
	}{{sysio.Remote, "not supported"}, {sysio.CopyOnWrite, "copy-on-write"}, {sysio.Memory, "in memory"},
		{sysio.Unknown, "nothing is known"}, {sysio.Stacked, "nothing is known"}, {sysio.Local, ""}} {
		var log bytes.Buffer
		lies.Class = c.class
		j, err := Open(dir, Options{SegmentBytes: MinSegmentBytes, AnyFileSystem: true, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		require.NoError(t, err)
		require.NoError(t, j.Close())
		require.Contains(t, log.String(), c.says)
		if c.says == "" {
			require.Empty(t, log.String())
		}
	}
}

// Nobody else can read what is in a journal, whatever the umask allows.
func TestFiles_Modes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "j")
	j, err := Open(dir, Options{SegmentBytes: MinSegmentBytes, Chain: true, Durability: None()})
	require.NoError(t, err)
	appendTo(t, j, 2000)
	require.NoError(t, j.Hold("a", 1, time.Time{}))
	require.NoError(t, j.Close())
	damageByte(t, dir, 0, recordsOffset+9)
	p, err := PlanRepair(dir, RepairOptions{})
	require.NoError(t, err)
	require.NoError(t, p.Apply(nil))
	files := 0
	require.NoError(t, filepath.WalkDir(filepath.Dir(dir), func(path string, d fs.DirEntry, err error) error {
		require.NoError(t, err)
		info, err := d.Info()
		require.NoError(t, err)
		want := os.FileMode(0o600)
		if d.IsDir() {
			want = 0o700
		} else {
			files++
		}
		require.Equal(t, want, info.Mode().Perm(), path)
		return nil
	}))
	require.Greater(t, files, 5)
}

// Whoever makes a directory may be killed before the one above it is synced: who comes next syncs it, until somebody has got
// as far as to lock the directory.
func TestMakeDir_KilledBeforeTheSync_TheNextOneSyncs(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "a", "b")
	var synced []string
	dies := root
	syncDir := func(d string) error {
		if synced = append(synced, d); d == dies {
			return errors.New("killed")
		}
		return nil
	}
	require.ErrorContains(t, makeDir(dir, syncDir), "killed")
	dies = filepath.Join(root, "a")
	require.ErrorContains(t, makeDir(dir, syncDir), "killed")
	require.Contains(t, synced[1:], root, "a is there by then")
	for _, err := range []error{os.ErrPermission, syscall.EINVAL, nil} {
		synced = nil
		require.NoError(t, makeDir(dir, func(d string) error { synced = append(synced, d); return err }), "%v", err)
		require.Equal(t, []string{dies}, synced, "b is there by then")
	}
	lock, err := osStorage{}.lock(dir)
	require.NoError(t, err)
	require.NoError(t, lock.Close())
	require.NoError(t, makeDir(dir, func(string) error { return errors.New("once more") }))
}
