package handlers

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace/journal"
)

func TestCheckpoint_SaveAndLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "mail")
	c, err := LoadCheckpoint(path)
	require.NoError(t, err)
	require.Zero(t, c)

	rec := journal.Record{Sequence: 7, Segment: 3, CRC: 0xfeedface}
	require.NoError(t, CheckpointOf(rec).Save(path))
	c, err = LoadCheckpoint(path)
	require.NoError(t, err)
	require.NoError(t, c.Check(rec))
	for _, other := range []journal.Record{
		{Sequence: 8, Segment: 3, CRC: 0xfeedface}, {Sequence: 7, Segment: 4, CRC: 0xfeedface}, {Sequence: 7, Segment: 3, CRC: 1},
	} {
		require.ErrorIs(t, c.Check(other), ErrDiverged)
	}

	// A half-written successor, as a crash leaves it, changes nothing.
	require.NoError(t, os.WriteFile(path+tempSuffix, []byte(`{"seq`), 0o600))
	c, err = LoadCheckpoint(path)
	require.NoError(t, err)
	require.NoError(t, c.Check(rec))
	require.NoError(t, CheckpointOf(rec).Save(path))

	for _, bad := range []string{"", "{", `{"sequence":-1}`, `[]`, "null", "{}"} {
		require.NoError(t, os.WriteFile(path, []byte(bad), 0o600))
		_, err = LoadCheckpoint(path)
		require.ErrorIs(t, err, ErrCheckpoint, "%q", bad)
	}
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}
