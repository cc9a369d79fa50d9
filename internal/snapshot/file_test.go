package snapshot

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the golden file anew")

// sample is a small snapshot with every kind of section.
func sample() *File {
	return &File{
		Header: Header{
			UUID: [16]byte{1, 2, 3}, Sequence: 1234, Time: 1_700_000_000_000_000_000, Segment: 7, CRC: 0xdeadbeef,
			Created: 1_700_000_001_000_000_000, Complete: 1300, Needs: 1200,
		},
		Sections: []Section{
			{Kind: KindEngine, Data: []byte("engine")},
			{Kind: KindLane, Lane: "logic", Data: []byte("meta")},
			{Kind: KindState, Lane: "logic", Name: "stock", Fingerprint: [32]byte{9}, Data: bytes.Repeat([]byte("s"), 40)},
			{Kind: KindParked, Lane: "logic", Name: "orders", Data: []byte{0x90}},
			{Kind: KindTimers, Data: []byte{0x90}},
			{Kind: KindDedup},
		},
	}
}

func encoded(t testing.TB, f *File) []byte {
	head, err := f.Encode()
	require.NoError(t, err)
	for _, s := range f.Sections {
		head = append(head, s.Data...)
	}
	require.EqualValues(t, len(head), f.Bytes())
	return head
}

func TestFormat_Golden(t *testing.T) {
	golden := filepath.Join("testdata", "v1.snap")
	got := encoded(t, sample())
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(golden, got, 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, want, got, "the format has changed: it needs a new version, or run with -update")
	f, err := Decode(want)
	require.NoError(t, err)
	s := sample()
	_, err = s.Encode()
	require.NoError(t, err)
	for i := range s.Sections {
		require.Equal(t, s.Sections[i].String(), f.Sections[i].String())
		require.True(t, bytes.Equal(s.Sections[i].Data, f.Sections[i].Data))
		require.Equal(t, s.Sections[i].Hash, f.Sections[i].Hash)
	}
	require.Equal(t, s.Header, f.Header)
	require.Equal(t, s.Digest, f.Digest)
}

func TestDecode_EveryBitAndEveryLength_IsDamaged(t *testing.T) {
	whole := encoded(t, sample())
	for i := range whole {
		for bit := range 8 {
			bad := bytes.Clone(whole)
			bad[i] ^= 1 << bit
			_, err := Decode(bad)
			require.ErrorIs(t, err, ErrDamaged, "byte %d, bit %d", i, bit)
		}
		_, err := Decode(whole[:i])
		require.ErrorIs(t, err, ErrDamaged, "%d bytes", i)
	}
	_, err := Decode(append(bytes.Clone(whole), 0))
	require.ErrorIs(t, err, ErrDamaged)
}

func TestWrite_FailsAtAnyStep_OldOnesStayAndNothingHalfIsListed(t *testing.T) {
	broken := errors.New("broken")
	for _, at := range Steps {
		t.Run(at, func(t *testing.T) {
			dir := Dir(t.TempDir())
			old := sample()
			old.Sequence, old.Needs = 1000, 1000
			_, err := Write(dir, old, nil)
			require.NoError(t, err)
			_, err = Write(dir, sample(), func(step string) error {
				if step == at {
					return broken
				}
				return nil
			})
			require.ErrorIs(t, err, broken)
			all, err := List(dir)
			require.NoError(t, err)
			for _, seq := range all {
				_, err := Read(dir, seq)
				require.NoError(t, err)
			}
			require.Contains(t, all, int64(1000))
			require.NoError(t, Clean(dir))
			left, err := filepath.Glob(filepath.Join(dir, "*~"))
			require.NoError(t, err)
			require.Empty(t, left)
			path, err := Write(dir, sample(), nil)
			require.NoError(t, err)
			st, err := os.Stat(path)
			require.NoError(t, err)
			require.Equal(t, os.FileMode(0o600), st.Mode().Perm())
			f, size, err := ReadTable(dir, 1234)
			require.NoError(t, err)
			require.Equal(t, st.Size(), size)
			require.Len(t, f.Sections, 6)
		})
	}
}

func TestRead_OtherName_IsDamaged(t *testing.T) {
	dir := Dir(t.TempDir())
	path, err := Write(dir, sample(), nil)
	require.NoError(t, err)
	require.NoError(t, os.Rename(path, Path(dir, 99)))
	_, err = Read(dir, 99)
	require.ErrorIs(t, err, ErrDamaged)
	_, _, err = ReadTable(dir, 99)
	require.ErrorIs(t, err, ErrDamaged)
	require.NoError(t, Remove(dir, 99))
	require.NoError(t, Remove(dir, 99))
	all, err := List(dir)
	require.NoError(t, err)
	require.Empty(t, all)
}

// FuzzDecode: whatever it reads, it refuses or writes again as it was.
func FuzzDecode(f *testing.F) {
	f.Add(encoded(f, sample()))
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := Decode(data)
		if err != nil {
			return
		}
		again := encoded(t, got)
		if !bytes.Equal(again, data) {
			t.Fatal("it is not what was read")
		}
	})
}
