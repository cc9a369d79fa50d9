package sysio

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFileSystemOf(t *testing.T) {
	if fs := FileSystemOf("/proc"); fs.Class != Unknown || fs.Name != "type 0x9fa0" {
		t.Errorf("/proc is %+v", fs)
	}
	if _, err := os.Stat("/dev/shm"); err == nil {
		require.Equal(t, FileSystem{"tmpfs", Memory}, FileSystemOf("/dev/shm"))
	}
	require.NotEmpty(t, FileSystemOf(t.TempDir()).Name)
	require.Equal(t, FileSystem{}, FileSystemOf(filepath.Join(t.TempDir(), "none")))
	names := map[string]bool{}
	for magic, fs := range fileSystems {
		require.NotEmpty(t, fs.Name)
		require.False(t, names[fs.Name], "%s (%#x) is there twice", fs.Name, magic)
		names[fs.Name] = true
	}
}
