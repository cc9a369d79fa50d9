package journal

import (
	"context"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// requireNamed checks that an error, if it is one, says the package's name once, and begins with it.
func requireNamed(t *testing.T, err error, what string) {
	t.Helper()
	if err != nil {
		require.True(t, strings.HasPrefix(err.Error(), "journal: "), "%s: %v", what, err)
		require.Equal(t, 1, strings.Count(err.Error(), "journal: "), "%s: %v", what, err)
	}
}

// harms are what may be wrong with a directory: the functions spoil dir, which is a copy of a journal of some segments with a
// chain and a hold, and return the name to be used for it.
var harms = map[string]func(t *testing.T, dir string) string{
	"empty name": func(*testing.T, string) string { return "" },
	"missing":    func(_ *testing.T, dir string) string { return filepath.Join(dir, "missing") },
	"file":       func(t *testing.T, dir string) string { return fileOfBytes(t, filepath.Join(dir, "file"), 3) },
	"under a file": func(t *testing.T, dir string) string {
		return filepath.Join(fileOfBytes(t, filepath.Join(dir, "file"), 3), "x")
	},
	"restoring": func(t *testing.T, dir string) string {
		fileOfBytes(t, filepath.Join(dir, restoringName), 0)
		return dir
	},
	"ids do not ascend": func(t *testing.T, dir string) string {
		segs := segmentFiles(t, dir)
		_, id, _ := parseSegmentName(filepath.Base(segs[0]))
		require.NoError(t, os.Rename(segs[1], filepath.Join(dir, segmentName(1<<40, id))))
		return dir
	},
	"segment missing": func(t *testing.T, dir string) string {
		require.NoError(t, os.Remove(segmentFiles(t, dir)[1]))
		return dir
	},
	"segment is a directory": func(t *testing.T, dir string) string {
		name := segmentFiles(t, dir)[1]
		require.NoError(t, os.Remove(name))
		require.NoError(t, os.Mkdir(name, 0o700))
		return dir
	},
	"header":       patched(0, 16, 1),
	"misnamed":     swapped,
	"record":       patched(1, recordsOffset+200, 1),
	"newest":       patched(-1, recordsOffset+200, 1),
	"control page": patched(1, ctlPair0, 64),
	"version":      ofTheFuture(8),
	"features":     ofTheFuture(11),
	"chain": func(t *testing.T, dir string) string {
		patch(t, filepath.Join(dir, chainName), 40, 1)
		return dir
	},
	"link of another chain": func(t *testing.T, dir string) string {
		name := filepath.Join(dir, chainName)
		patch(t, name, 40, 1) // with a checksum that fits
		b, err := os.ReadFile(name)
		require.NoError(t, err)
		le.PutUint32(b, crc32.Checksum(b[4:linkBytes], castagnoli))
		require.NoError(t, os.WriteFile(name, b, 0o600))
		return dir
	},
	"holds": func(t *testing.T, dir string) string {
		patch(t, filepath.Join(dir, holdsName), 3, 1)
		return dir
	},
	"chain is a directory":    replaced(chainName),
	"holds is a directory":    replaced(holdsName),
	"progress is a directory": replaced(progressName),
	"encrypted": func(t *testing.T, dir string) string {
		_, err := Archive(t.Context(), dir, ArchiveOptions{KeyID: 1, Access: testKeys})
		require.NoError(t, err)
		return dir
	},
	"damaged archive": func(t *testing.T, dir string) string {
		_, err := Archive(t.Context(), dir, ArchiveOptions{})
		require.NoError(t, err)
		patch(t, segmentFiles(t, dir)[1], archiveBlocksAt+20, 1)
		return dir
	},
	"unknown codec": func(t *testing.T, dir string) string {
		_, err := Archive(t.Context(), dir, ArchiveOptions{Codec: reversing{}})
		require.NoError(t, err)
		return dir
	},
	"locked": func(t *testing.T, dir string) string {
		j, err := Open(dir, Options{SegmentBytes: MinSegmentBytes})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, j.Close()) })
		return dir
	},
}

// What is wrong with a directory is told with the package's name in front, once, by whatever function.
func TestErrors_BadDirectories_NameThePackageOnce(t *testing.T) {
	base := filepath.Join(t.TempDir(), "j")
	o := Options{SegmentBytes: MinSegmentBytes, Durability: None(), Chain: true}
	j, err := Open(base, o)
	require.NoError(t, err)
	for j.Stats().Rolls < 3 {
		appendTo(t, j, j.Written()+1)
	}
	require.NoError(t, j.Hold("h", 5, time.Time{}))
	require.NoError(t, j.Close())
	uses := map[string]func(t *testing.T, dir string) error{
		"open": func(_ *testing.T, dir string) error { return openAndClose(dir, o) },
		"open to verify": func(_ *testing.T, dir string) error {
			o := o
			o.VerifyAll = true
			return openAndClose(dir, o)
		},
		"read": func(_ *testing.T, dir string) error {
			r, err := OpenReader(dir, 0, ReaderOptions{})
			if err == nil {
				_, err = r.Read(func(Record) error { return nil })
				require.NoError(t, r.Close())
			}
			return err
		},
		"read from a time": func(_ *testing.T, dir string) error {
			r, err := OpenReaderAt(dir, time.Unix(0, 1<<40), ReaderOptions{})
			if err == nil {
				require.NoError(t, r.Close())
			}
			return err
		},
		"back up": func(t *testing.T, dir string) error {
			_, err := Backup(dir, filepath.Join(t.TempDir(), "copy"), BackupOptions{})
			return err
		},
		"back up into": func(_ *testing.T, dir string) error {
			_, err := Backup(base, dir, BackupOptions{})
			return err
		},
		"back up into itself": func(_ *testing.T, dir string) error {
			_, err := Backup(dir, dir, BackupOptions{})
			return err
		},
		"restore": func(t *testing.T, dir string) error {
			_, err := Restore(t.Context(), dir, filepath.Join(t.TempDir(), "new"), RestoreOptions{})
			return err
		},
		"restore into": func(t *testing.T, dir string) error {
			_, err := Restore(t.Context(), base, dir, RestoreOptions{})
			return err
		},
		"verify": func(_ *testing.T, dir string) error {
			_, err := Verify(dir, VerifyOptions{})
			return err
		},
		"archive": func(t *testing.T, dir string) error {
			_, err := Archive(t.Context(), dir, ArchiveOptions{})
			return err
		},
		"prove": func(_ *testing.T, dir string) error {
			_, err := Prove(dir, 700, ProveOptions{})
			return err
		},
		"prove a subset": func(_ *testing.T, dir string) error {
			_, err := ProveSubset(dir, SubsetOptions{}, func(Record, Hash) (bool, error) { return true, nil }, func(Piece) error { return nil })
			return err
		},
		"plan": func(_ *testing.T, dir string) error {
			_, err := PlanRepair(dir, RepairOptions{})
			return err
		},
		"repair": func(_ *testing.T, dir string) error {
			p, err := PlanRepair(dir, RepairOptions{})
			if err == nil {
				err = p.Apply(nil)
			}
			return err
		},
		"holds": func(t *testing.T, dir string) error {
			j, err := Open(dir, o)
			if err != nil {
				return err
			}
			_, err = j.Holds()
			requireNamed(t, j.Hold("g", 7, time.Time{}), "hold")
			requireNamed(t, j.Release("h"), "release")
			_, trim := j.Trim(Retention{Before: 100})
			requireNamed(t, trim, "trim")
			requireNamed(t, j.Close(), "close")
			return err
		},
	}
	failed := 0
	for harm, spoil := range harms {
		for use, f := range uses {
			t.Run(harm+"/"+use, func(t *testing.T) {
				dir := filepath.Join(t.TempDir(), "j")
				require.NoError(t, os.CopyFS(dir, os.DirFS(base)))
				err := f(t, spoil(t, dir))
				requireNamed(t, err, use)
				if err != nil {
					failed++
				}
			})
		}
	}
	require.Greater(t, failed, len(harms)*len(uses)/2)
}

// What is wrong with an option, a sequence or a name is told likewise.
func TestErrors_BadArguments_NameThePackageOnce(t *testing.T) {
	dir := t.TempDir()
	j, err := Open(dir, Options{Durability: None()})
	require.NoError(t, err)
	appendTo(t, j, 5)
	defer func() { require.NoError(t, j.Close()) }()
	other := func() string { return filepath.Join(t.TempDir(), "other") }
	ctx := context.Background()
	noKey := ArchiveAccess{Key: func(uint32) ([]byte, error) { return nil, ErrWrongKey }}
	bad := map[string]error{
		"options":         openAndClose(other(), Options{SegmentBytes: 5, MaxBodyBytes: -1, Durability: Interval(-1)}),
		"reader":          second(OpenReader(dir, 0, ReaderOptions{Until: -1})),
		"gate":            second(OpenReader(dir, 0, ReaderOptions{UpTo: 77})),
		"before":          second(OpenReader(dir, -4, ReaderOptions{})),
		"until":           second(Restore(ctx, dir, other(), RestoreOptions{Until: -1})),
		"pace":            second(Verify(dir, VerifyOptions{BytesPerSecond: -1})),
		"max lost":        second(PlanRepair(other(), RepairOptions{MaxLost: -1})),
		"keep plain":      second(j.Archive(ctx, ArchiveOptions{KeepPlain: -1})),
		"stored":          second(j.Archive(ctx, ArchiveOptions{Stored: true})),
		"stored codec":    second(j.Archive(ctx, ArchiveOptions{Stored: true, Codec: reversing{}})),
		"codec":           second(j.Archive(ctx, ArchiveOptions{Codec: zero{}})),
		"no key":          second(j.Archive(ctx, ArchiveOptions{KeyID: 3})),
		"key not told":    second(j.Archive(ctx, ArchiveOptions{KeyID: 3, Access: noKey})),
		"not chained":     second(Prove(dir, 3, ProveOptions{})),
		"not chained yet": second(Prove(dir, 3, ProveOptions{Anchor: Hash{1}})),
		"no chain":        second(j.ChainNow(ctx)),
		"hold":            j.Hold("", 3, time.Time{}),
		"hold before":     j.Hold("x", -3, time.Time{}),
		"retention":       second(j.Trim(Retention{Before: -1})),
		"kind":            second(j.Append(Entry{Kind: 77})),
		"body":            second(j.Append(Entry{Body: make([]byte, DefaultMaxBodyBytes+1)})),
		"batch":           j.BeginBatch(0, 0),
		"large batch":     j.BeginBatch(1, 1<<40),
	}
	_, err = VerifyProof(Proof{}, Hash{}, nil)
	bad["proof"] = err
	for what, err := range bad {
		require.Error(t, err, what)
		requireNamed(t, err, what)
	}
}

func second[T any](_ T, err error) error { return err }

func openAndClose(dir string, o Options) error {
	j, err := Open(dir, o)
	if err == nil {
		err = j.Close()
	}
	return err
}

// segmentFiles returns the paths of the segments in a directory, in order.
func segmentFiles(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	require.NoError(t, err)
	return names
}

// fileOfBytes makes a file of n bytes.
func fileOfBytes(t *testing.T, name string, n int) string {
	t.Helper()
	require.NoError(t, os.WriteFile(name, make([]byte, n), 0o600))
	return name
}

// patch changes n bytes of a file.
func patch(t *testing.T, name string, at, n int) {
	t.Helper()
	b, err := os.ReadFile(name)
	require.NoError(t, err)
	for i := range n {
		b[at+i] ^= 4
	}
	require.NoError(t, os.WriteFile(name, b, 0o600))
}

// patched changes n bytes of a segment; -1 is the newest one.
func patched(segment, at, n int) func(*testing.T, string) string {
	return func(t *testing.T, dir string) string {
		segs := segmentFiles(t, dir)
		patch(t, segs[(segment+len(segs))%len(segs)], at, n)
		return dir
	}
}

// ofTheFuture changes a byte of a header that is whole otherwise.
func ofTheFuture(at int) func(*testing.T, string) string {
	return func(t *testing.T, dir string) string {
		name := segmentFiles(t, dir)[1]
		b, err := os.ReadFile(name)
		require.NoError(t, err)
		b[at] ^= 64
		le.PutUint32(b[4092:], crc32.Checksum(b[:4092], castagnoli))
		require.NoError(t, os.WriteFile(name, b, 0o600))
		return dir
	}
}

// swapped gives two segments each other's names.
func swapped(t *testing.T, dir string) string {
	segs := segmentFiles(t, dir)
	require.NoError(t, os.Rename(segs[0], segs[0]+"x"))
	require.NoError(t, os.Rename(segs[1], segs[0]))
	require.NoError(t, os.Rename(segs[0]+"x", segs[1]))
	return dir
}

// replaced makes a directory of a file.
func replaced(name string) func(*testing.T, string) string {
	return func(t *testing.T, dir string) string {
		name := filepath.Join(dir, name)
		require.NoError(t, os.RemoveAll(name))
		require.NoError(t, os.Mkdir(name, 0o700))
		return dir
	}
}
