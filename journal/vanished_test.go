package journal

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// A file that is cut under a writer that uses pwrite, which would extend it again.
func TestSync_CutFile(t *testing.T) {
	dir := t.TempDir()
	j, err := Open(dir, Options{Durability: Batch()})
	require.NoError(t, err)
	appendTo(t, j, 10)
	require.NoError(t, j.Sync())
	names, err := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix))
	require.NoError(t, err)
	require.NoError(t, os.Truncate(names[0], recordsOffset))
	require.NoError(t, func() error { _, err := j.Append(Entry{}); return err }())
	err = j.Sync()
	require.ErrorIs(t, err, ErrPoisoned)
	require.ErrorIs(t, err, ErrSize)
	require.ErrorIs(t, j.Close(), ErrSize)
}

// A segment that filled up since the last Commit, and is cut before the next one publishes its end: the Commit says
// that it faulted.
func TestCommit_CutFullSegment(t *testing.T) {
	dir := t.TempDir()
	j, err := Open(dir, Options{Durability: None(), Backend: BackendMmap, SegmentBytes: MinSegmentBytes})
	require.NoError(t, err)
	appendTo(t, j, 1)
	names, err := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix))
	require.NoError(t, err)
	require.Len(t, names, 1)
	full := j.w.seg
	for j.w.seg == full {
		_, err := j.Stage(Entry{Body: make([]byte, 4000)})
		require.NoError(t, err)
	}
	require.NoError(t, os.Truncate(names[0], 0))
	require.ErrorIs(t, j.Commit(), ErrFault)
	_, err = j.Append(Entry{})
	require.ErrorIs(t, err, ErrFault)
	require.ErrorIs(t, j.Close(), ErrFault)
}

// A segment that is removed under its writer: the next sync says so, for good, and never calls durable
// what has no name.
func TestSync_VanishedFile(t *testing.T) {
	for _, b := range []Backend{BackendMmap, BackendPwrite} {
		dir := t.TempDir()
		j, err := Open(dir, Options{Durability: None(), Backend: b})
		require.NoError(t, err)
		appendTo(t, j, 10)
		require.NoError(t, j.Sync())
		names, err := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix))
		require.NoError(t, err)
		require.NoError(t, os.Remove(names[0]))
		appendTo(t, j, 20)
		err = j.Sync()
		require.ErrorIs(t, err, ErrPoisoned)
		require.ErrorIs(t, err, ErrVanished)
		require.EqualValues(t, 10, j.Durable())
		_, err = j.Append(Entry{})
		require.ErrorIs(t, err, ErrVanished)
		require.ErrorIs(t, j.Close(), ErrVanished)
	}
}
