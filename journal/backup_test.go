package journal

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestBackup_HotAndIncremental(t *testing.T) {
	st := newMemStorage()
	const to = "/copy"
	j, err := openMem(st, Options{Durability: None(), Chain: true})
	require.NoError(t, err)
	check := func(durable int64, copied int) {
		t.Helper()
		rep, err := backup(st, memDir, to, BackupOptions{})
		require.NoError(t, err)
		require.Equal(t, durable, rep.Last)
		require.Equal(t, copied, rep.Copied)
		v, err := verify(st, to, VerifyOptions{})
		require.NoError(t, err)
		require.False(t, v.Torn)
		require.Equal(t, durable, v.Last)
		require.Equal(t, rep.Links, v.Links)
		r, err := openReader(st, to, 0, ReaderOptions{})
		require.NoError(t, err)
		last, err := drainChecked(r, 1)
		require.NoError(t, err)
		require.Equal(t, durable, last)
	}
	appendTo(t, j, 100)
	require.NoError(t, j.Sync())
	appendTo(t, j, 150) // written, not durable: a power cut may give these numbers out again
	check(100, 1)
	for j.Stats().Rolls < 3 {
		appendTo(t, j, j.Written()+1)
	}
	require.NoError(t, j.Sync())
	check(j.Durable(), 4)
	appendTo(t, j, j.Written()+10)
	require.NoError(t, j.Sync())
	check(j.Durable(), 1)
	last := j.Durable()
	require.NoError(t, j.Close())

	// The copy is a journal.
	c, err := open(st, to, Options{SegmentBytes: MinSegmentBytes, Durability: None()}, fixedRandomness())
	require.NoError(t, err)
	require.True(t, c.Recovery().Clean)
	require.Equal(t, last, c.Written())
	_, err = backup(st, memDir, to, BackupOptions{})
	require.ErrorIs(t, err, ErrLocked)
	require.NoError(t, c.Close())

	// Another journal does not go over it.
	rnd := fixedRandomness()
	rnd.uuid = func() [16]byte { return [16]byte{1} }
	other, err := open(st, "/other", Options{SegmentBytes: MinSegmentBytes}, rnd)
	require.NoError(t, err)
	require.NoError(t, other.Close())
	_, err = backup(st, "/other", to, BackupOptions{})
	require.ErrorIs(t, err, ErrForeign)
	_, err = backup(st, "/nothing", to, BackupOptions{})
	require.ErrorIs(t, err, ErrNotFound)
}

// A directory is not backed up onto itself, under whatever name: what its writer's death left written and not durable would
// be cut off.
func TestBackup_OntoItself_IsRefused(t *testing.T) {
	root := t.TempDir()
	t.Chdir(root)
	dir, link := filepath.Join(root, "j"), filepath.Join(root, "link")
	j, err := Open(dir, Options{SegmentBytes: MinSegmentBytes, Durability: None()})
	require.NoError(t, err)
	appendTo(t, j, 10)
	require.NoError(t, j.Sync())
	appendTo(t, j, 20)
	abandon(j)
	require.NoError(t, os.Symlink("j", link))
	for _, to := range []string{dir, "j", "./j/../j", link, ""} {
		_, err := Backup(dir, to, BackupOptions{})
		require.ErrorIs(t, err, ErrDirectory, "%q", to)
	}
	for _, to := range []string{dir, "j", "./j/../j", link, ""} {
		_, err = Restore(t.Context(), dir, to, RestoreOptions{})
		require.ErrorIs(t, err, ErrDirectory, "%q", to)
	}
	j, err = Open(dir, Options{SegmentBytes: MinSegmentBytes})
	require.NoError(t, err)
	last, err := readAll(j)
	require.NoError(t, err)
	require.EqualValues(t, 20, last)
	require.NoError(t, j.Close())
}

// Whatever operation fails, the copy is whole as far as it goes, and the next backup completes it.
func TestBackup_EveryOperationFails(t *testing.T) {
	st := newMemStorage()
	j, err := openMem(st, Options{Durability: None(), Chain: true})
	require.NoError(t, err)
	for j.Stats().Rolls < 2 {
		appendTo(t, j, j.Written()+1)
	}
	last := j.Written()
	require.NoError(t, j.Close())
	const to = "/copy"
	for k := 0; ; k++ {
		c := st.clone()
		n := 0
		c.hook = func(op, name string) error {
			if n++; n == k+1 {
				return filepath.ErrBadPattern
			}
			return nil
		}
		_, err := backup(c, memDir, to, BackupOptions{})
		failed := n > k
		c.hook = nil
		if failed {
			require.Error(t, err, "operation %d", k)
		}
		if len(c.segments()) > 0 && c.dirs[to] {
			if v, err := verify(c, to, VerifyOptions{}); err != nil {
				require.ErrorIs(t, err, ErrNotFound, "operation %d", k)
			} else {
				require.LessOrEqual(t, v.Last, last)
			}
		}
		rep, err := backup(c, memDir, to, BackupOptions{})
		require.NoError(t, err, "operation %d", k)
		require.Equal(t, last, rep.Last)
		v, err := verify(c, to, VerifyOptions{})
		require.NoError(t, err)
		require.Equal(t, last, v.Last)
		if !failed {
			break
		}
	}
}

// rollOn appends until the journal has rolled over n times more, and syncs.
func rollOn(t *testing.T, j *Journal, n uint64) {
	t.Helper()
	for end := j.Stats().Rolls + n; j.Stats().Rolls < end; {
		appendTo(t, j, j.Written()+1)
	}
	require.NoError(t, j.Sync())
}

// A copy goes on only where the journal still has what follows its end.
func TestBackup_TrimmedPastTheCopy_IsAGap(t *testing.T) {
	st := newMemStorage()
	j, err := openMem(st, Options{Durability: None()})
	require.NoError(t, err)
	rolls := func(n uint64) { rollOn(t, j, n) }
	rolls(2)
	beside := 0
	rep, err := backup(st, memDir, "/copy", BackupOptions{Beside: func() error { beside++; return nil }})
	require.NoError(t, err)
	require.Equal(t, 1, beside)
	sealed := rep.Last // in the third segment, of which the copy has a part
	rolls(1)
	first := func() int64 { return j.FirstSequence() }
	_, err = j.Trim(Retention{Before: sealed})
	require.NoError(t, err)
	require.LessOrEqual(t, first(), sealed)
	_, err = backup(st, memDir, "/copy", BackupOptions{})
	require.NoError(t, err, "the part is replaced by the whole")
	rolls(3)
	_, err = j.Trim(Retention{Before: j.Written()})
	require.NoError(t, err)
	_, err = backup(st, memDir, "/copy", BackupOptions{})
	require.ErrorIs(t, err, ErrBackupGap)
	v, err := verify(st, "/copy", VerifyOptions{})
	require.NoError(t, err, "the copy is what it was")
	require.Less(t, v.Last, first())
	_, err = backup(st, memDir, "/other", BackupOptions{Beside: func() error { return filepath.ErrBadPattern }})
	require.ErrorIs(t, err, filepath.ErrBadPattern)
	require.NoError(t, j.Close())
}
