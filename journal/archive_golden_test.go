package journal

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// goldenArchives is the journal of testdata/v1-index, archived in two ways.
func goldenArchives(t testing.TB, keyID uint32) *memStorage {
	st := newMemStorage()
	golden(t, st)
	o := ArchiveOptions{KeyID: keyID, Stored: keyID != 0, Access: testKeys}
	_, err := archiveAs(context.Background(), st, memDir, o, archiveForm{blockBytes: 256, salt: func(b []byte) {
		for i := range b {
			b[i] = byte(i)
		}
	}})
	require.NoError(t, err)
	return st
}

// Archives of version 1 are read for ever. HEADRACE_GOLDEN=write makes them. What deflate makes of a
// block is the library's business, but what is encrypted must be the same to the byte.
func TestArchive_Golden(t *testing.T) {
	for dir, keyID := range map[string]uint32{"v1-deflate": 0, "v1-encrypted": 1} {
		st := goldenArchives(t, keyID)
		for _, name := range st.segments() {
			path := filepath.Join("testdata", dir, filepath.Base(name))
			b := bytes.Clone(st.nodes[name].bytes())
			if os.Getenv("HEADRACE_GOLDEN") == "write" {
				require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
				require.NoError(t, os.WriteFile(path, b, 0o644))
			}
			want, err := os.ReadFile(path)
			require.NoError(t, err)
			if keyID == 0 {
				continue
			}
			for _, f := range [][]byte{b, want} {
				clear(f[ctlPair0 : ctlPair1+32]) // how many syncs there were is not the format's
			}
			require.True(t, bytes.Equal(want, b), "%s differs from what version 1 wrote", path)
		}
		rep, err := Verify(filepath.Join("testdata", dir), VerifyOptions{Archives: testKeys})
		require.NoError(t, err)
		require.EqualValues(t, 7, rep.Last)
		require.EqualValues(t, 10, rep.Records)
		require.True(t, rep.Segments[0].Archived)
		r, err := OpenReader(filepath.Join("testdata", dir), 0, ReaderOptions{Archives: testKeys})
		require.NoError(t, err)
		require.Equal(t, []int64{1, 2, 3, 4, 5, 6, 7}, sequences(t, r.Read))
		require.Equal(t, []int64{7, 6, 5, 4, 3, 2, 1}, sequences(t, r.ReadBackward))
		require.NoError(t, r.Close())
	}
}

// A file of the future is refused by everything, by name, before anything is changed.
func TestFormat_Future_IsRefused(t *testing.T) {
	for what, change := range map[string]func(page []byte){
		"format version 2, this program knows versions up to 1":                        func(page []byte) { le.PutUint16(page[8:], 2) },
		"version 1 with features 0x81, this program knows version 1 with features 0x1": func(page []byte) { le.PutUint16(page[10:], 0x81) },
	} {
		for _, archive := range []bool{false, true} {
			st := newMemStorage()
			golden(t, st)
			if archive {
				st = goldenArchives(t, 1)
			}
			name := st.segments()[0]
			page := st.nodes[name].bytes()[:pageBytes]
			change(page)
			le.PutUint32(page[4092:], checksum(page[:4092]))
			before := bytes.Clone(st.nodes[name].bytes())
			_, openErr := openMem(st, Options{})
			_, verifyErr := verify(st, memDir, VerifyOptions{})
			_, backupErr := backup(st, memDir, "/copy", BackupOptions{})
			_, restoreErr := restore(t.Context(), st, memDir, "/copy", RestoreOptions{})
			_, proveErr := prove(st, memDir, 1, ProveOptions{})
			_, subsetErr := proveSubset(st, memDir, SubsetOptions{}, nil, nil)
			_, archiveErr := archiveAs(t.Context(), st, memDir, ArchiveOptions{}, archiveForm{})
			_, repairErr := planRepair(st, memDir, RepairOptions{})
			r, err := openReader(st, memDir, 1, ReaderOptions{})
			require.NoError(t, err)
			_, readErr := r.Read(func(Record) error { return nil })
			require.NoError(t, r.Close())
			for where, err := range map[string]error{"open": openErr, "verify": verifyErr, "backup": backupErr, "read": readErr, "restore": restoreErr,
				"prove": proveErr, "subset": subsetErr, "archive": archiveErr, "repair": repairErr} {
				require.ErrorIs(t, err, ErrFormatVersion, where)
				require.ErrorContains(t, err, what, where)
				require.ErrorContains(t, err, "use a newer headrace", where)
				require.ErrorContains(t, err, filepath.Base(name), where)
				var f *FormatError
				require.ErrorAs(t, err, &f, where)
				require.False(t, isCorruption(err), "%s: nothing is damaged", where)
			}
			require.Equal(t, before, st.nodes[name].bytes())
		}
	}
	// A cipher, or a link of the chain, that is unknown likewise.
	var h archiveHead
	b := make([]byte, archiveHeadBytes)
	(&archiveHead{cipher: 2}).encode(b)
	require.ErrorIs(t, h.decode(b, &header{}), ErrFormatVersion)
	st, _ := chained(t, nil)
	c := st.nodes[filepath.Join(memDir, chainName)].bytes()
	link := c[len(c)-linkBytes:]
	le.PutUint32(link[4:], 8)
	le.PutUint32(link, checksum(link[4:]))
	_, err := verify(st, memDir, VerifyOptions{})
	require.ErrorIs(t, err, ErrFormatVersion, "the last link is not taken for one that was being written")
}

// A table cannot make a reader take more memory than the file is worth.
func TestArchive_Bomb(t *testing.T) {
	h := archiveHead{codec: codecDeflate, blocks: 1, table: archiveBlocksAt + 1000, end: recordsOffset + 512<<20}
	for plain, ok := range map[int64]bool{archiveFree: true, 1000 * archiveRatio: true, 1000*archiveRatio + archiveFree*2: false, 512 << 20: false} {
		h.end = recordsOffset + plain
		b := []archiveBlock{{from: recordsOffset, at: archiveBlocksAt, plain: plain, stored: 1000}}
		_, err := decodeTable(encodeTable(b), &h, 0)
		require.Equal(t, ok, err == nil, "%d: %v", plain, err)
	}
	// Nor can a block yield more than its entry says.
	packed, err := deflate{}.Encode(nil, make([]byte, 1<<20))
	require.NoError(t, err)
	require.Error(t, deflate{}.Decode(make([]byte, 1000), packed))
}

func FuzzArchive(f *testing.F) {
	f.Add([]byte{1}, uint16(0), false)
	f.Add([]byte{0xff, 0xff}, uint16(archiveHeadBytes), true)
	base := map[bool]*memStorage{false: goldenArchives(f, 0), true: goldenArchives(f, 1)}
	f.Fuzz(func(t *testing.T, change []byte, at uint16, encrypted bool) {
		st := base[encrypted].clone()
		path := st.segments()[0]
		b := st.nodes[path].bytes()[recordsOffset:]
		if int(at)+len(change) > len(b) {
			return
		}
		// Checksums made right, so that what is behind them is reached.
		copy(b[at:], change)
		le.PutUint32(b[archiveHeadBytes-4:], checksum(b[:archiveHeadBytes-4]))
		if n, table := int64(le.Uint32(b[16:]))*archiveEntry, int64(le.Uint64(b[24:]))-recordsOffset; table > 0 && n < int64(len(b)) && table < int64(len(b))-n-4 {
			le.PutUint32(b[table+n:], checksum(b[table:table+n]))
		}
		r, err := openReader(st, memDir, 0, ReaderOptions{Archives: testKeys})
		if err != nil {
			return
		}
		defer r.Close()
		n := int64(0)
		_, err = r.Read(func(rec Record) error { n++; return nil })
		if err == nil && n != 7 {
			t.Fatalf("%d records and no error", n)
		}
	})
}
