package journal

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Whatever the function given to StageInPlace calls, the journal refuses and stays whole, and what was staged before stays staged.
func TestStageInPlace_MustNotWrite(t *testing.T) {
	for _, b := range []Backend{BackendMmap, BackendPwrite} {
		for name, write := range map[string]func(j *Journal) error{
			"Append":       func(j *Journal) error { _, err := j.Append(Entry{Body: []byte("nested")}); return err },
			"Stage, large": func(j *Journal) error { _, err := j.Stage(Entry{Body: make([]byte, 50_000)}); return err },
			"AppendBatch":  func(j *Journal) error { _, err := j.AppendBatch([]Entry{{}, {}}); return err },
			"Commit":       func(j *Journal) error { j.CancelBatch(); return j.Commit() },
			"StageInPlace": func(j *Journal) error {
				_, err := j.StageInPlace(Entry{}, 3, func([]byte) (int, error) { return 3, nil })
				return err
			},
		} {
			for _, inBatch := range []bool{false, true} {
				st := newMemStorage()
				j, err := openMem(st, Options{Durability: None(), Backend: b})
				require.NoError(t, err)
				if inBatch {
					require.NoError(t, j.BeginBatch(2, 1000))
				}
				_, err = j.Stage(Entry{Type: 9, Body: bodyOf(1)})
				require.NoError(t, err)
				refusal := ErrFilling
				if inBatch && name != "Stage, large" && name != "StageInPlace" {
					refusal = ErrBatchOpen
				} else if inBatch && name == "Stage, large" {
					refusal = ErrBatchBytes
				}
				_, err = j.StageInPlace(Entry{Type: 9}, 600, func(body []byte) (int, error) {
					require.ErrorIs(t, write(j), refusal, "%v, %s", b, name)
					return copy(body, bodyOf(2)), nil
				})
				require.NoError(t, err)
				require.Zero(t, j.Written())
				require.NoError(t, j.Commit())
				appendTo(t, j, 1000) // over a roll
				last, err := readAll(j)
				require.NoError(t, err, "%v, %s", b, name)
				require.EqualValues(t, 1000, last)
				require.NoError(t, j.Close())
				_, err = verify(st, memDir, VerifyOptions{})
				require.NoError(t, err)
			}
		}
	}
}

// A journal stays where it was opened, in whatever directory the process goes on.
func TestOpen_RelativePath_StaysWhereItIs(t *testing.T) {
	root, elsewhere := t.TempDir(), t.TempDir()
	t.Chdir(root)
	require.NoError(t, os.Mkdir(filepath.Join(elsewhere, "rel"), 0o700))
	j, err := Open("rel", Options{SegmentBytes: MinSegmentBytes, Durability: None()})
	require.NoError(t, err)
	appendTo(t, j, 1)
	out, err := OpenReader("rel", 0, ReaderOptions{})
	require.NoError(t, err)
	in, err := j.NewReader(0, ReaderOptions{})
	require.NoError(t, err)
	t.Chdir(elsewhere)
	for j.Stats().Rolls < 2 {
		appendTo(t, j, j.Written()+1)
	}
	require.NoError(t, j.Hold("a", 1, time.Time{}))
	require.NoError(t, j.Sync())
	for _, r := range []*Reader{in, out} {
		last, err := drainChecked(r, 1)
		require.NoError(t, err)
		require.Equal(t, j.Written(), last)
		require.NoError(t, r.Close())
	}
	require.Equal(t, filepath.Join(root, "rel"), j.Dir())
	require.NoError(t, j.Close())
	names, err := os.ReadDir(filepath.Join(elsewhere, "rel"))
	require.NoError(t, err)
	require.Empty(t, names)
	for _, open := range []func() error{
		func() error { _, err := Open("", Options{}); return err },
		func() error { _, err := OpenReader("", 0, ReaderOptions{}); return err },
	} {
		require.ErrorIs(t, open(), ErrDirectory, "no name is not the working directory")
	}
}

// A directory that is gone is a plain word to readers, and to the writer when it needs the next segment; nothing hangs.
func TestDirectoryRemoved(t *testing.T) {
	for _, b := range []Backend{BackendMmap, BackendPwrite} {
		dir := filepath.Join(t.TempDir(), "journal")
		j, err := Open(dir, Options{SegmentBytes: MinSegmentBytes, Durability: None(), Backend: b})
		require.NoError(t, err)
		appendTo(t, j, 3)
		in, err := j.NewReader(0, ReaderOptions{})
		require.NoError(t, err)
		out, err := OpenReader(dir, 0, ReaderOptions{})
		require.NoError(t, err)
		for os.RemoveAll(dir) != nil { // a segment was made ahead between the last file and the directory
		}
		for _, r := range []*Reader{in, out} {
			_, err = r.Read(func(Record) error { return nil })
			require.ErrorIs(t, err, ErrNotFound)
			require.ErrorIs(t, r.SeekTail(1), ErrNotFound)
			require.ErrorIs(t, r.Follow(context.Background(), func(Record) error { return nil }), ErrNotFound)
			require.NoError(t, r.Close())
		}
		for err = nil; err == nil; {
			_, err = j.Append(Entry{Body: make([]byte, 500)})
		}
		require.ErrorIs(t, err, os.ErrNotExist)
		require.ErrorContains(t, err, "journal: ")
		require.ErrorIs(t, j.Sync(), ErrVanished)
		require.ErrorIs(t, j.Close(), ErrVanished)
	}
}

func TestOptions_SillyNumbers(t *testing.T) {
	st := newMemStorage()
	j, err := openMem(st, Options{Durability: None()})
	require.NoError(t, err)
	for _, n := range []int{-1, math.MinInt, math.MaxInt, math.MaxInt/2 + 1} {
		require.Zero(t, j.MaxBatchBytes(n), "%d", n)
	}
	_, err = j.NewReader(0, ReaderOptions{Until: -1})
	require.ErrorContains(t, err, "Until")
	_, err = openReader(st, memDir, 0, ReaderOptions{Until: -1})
	require.ErrorContains(t, err, "Until")
	_, err = Verify(t.TempDir(), VerifyOptions{BytesPerSecond: -1})
	require.ErrorContains(t, err, "BytesPerSecond")
	require.False(t, errors.Is(err, ErrNotFound))
	require.NoError(t, j.Close())
}
