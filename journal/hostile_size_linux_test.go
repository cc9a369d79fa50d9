package journal

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// meter counts what a storage is asked for: files opened, bytes read, pages faulted in.
type meter struct {
	storage
	opened, read, calls atomic.Int64
}

type meteredFile struct {
	file
	m *meter
}

func (m *meter) open(name string, write bool) (file, error) {
	f, err := m.storage.open(name, write)
	if err != nil {
		return nil, err
	}
	m.opened.Add(1)
	return meteredFile{f, m}, nil
}

func (f meteredFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.file.ReadAt(p, off)
	f.m.read.Add(int64(n))
	f.m.calls.Add(1)
	return n, err
}

func (f meteredFile) holeAfter(off int64) (int64, error) {
	return f.file.(interface{ holeAfter(int64) (int64, error) }).holeAfter(off)
}

// cost is what f takes: bytes read by calls, bytes of pages made present in mappings, bytes allocated.
func cost(m *meter, f func()) (read, faulted, allocated int64) {
	var before, after runtime.MemStats
	var a, b syscall.Rusage
	runtime.ReadMemStats(&before)
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &a)
	start := m.read.Load()
	f()
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &b)
	runtime.ReadMemStats(&after)
	return m.read.Load() - start, int64(b.Minflt-a.Minflt+b.Majflt-a.Majflt) * pageBytes, int64(after.TotalAlloc - before.TotalAlloc)
}

// A file that pretends a terabyte costs what it stores.
func TestOpen_TerabyteOfHoles_BoundedCost(t *testing.T) {
	const size = MaxSegmentBytes - pageBytes
	terabyte := func(t *testing.T, change func(b []byte, f *os.File)) string {
		dir := t.TempDir()
		b, _ := handMade(1, 1, 0, false)
		h := header{uuid: [16]byte{1}, id: 1, first: 1, size: size, salt: 78}
		h.encode(b[:pageBytes])
		path := filepath.Join(dir, segmentName(1, 1))
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		require.NoError(t, err)
		defer f.Close()
		change(b, f)
		_, err = f.WriteAt(b, 0)
		require.NoError(t, err)
		if err := f.Truncate(size); err != nil {
			t.Skipf("no sparse files of a terabyte here: %v", err)
		}
		return dir
	}
	pretend := func(f *os.File, off int64, length uint32) {
		var rec [recordHeaderBytes]byte
		le.PutUint32(rec[:], length)
		le.PutUint64(rec[8:], 7)
		le.PutUint64(rec[24:], packWord3(1, KindEvent, 0, 0))
		_, err := f.WriteAt(rec[:], off)
		require.NoError(t, err)
	}
	for name, c := range map[string]struct {
		change func(b []byte, f *os.File)
		fails  bool
	}{
		"holes only": {func([]byte, *os.File) {}, false},
		"a byte at the end": {func(_ []byte, f *os.File) {
			_, err := f.WriteAt([]byte{1}, size-8)
			require.NoError(t, err)
		}, false},
		"pretended records of a gibibyte": {func(_ []byte, f *os.File) {
			for i := range int64(100) {
				pretend(f, 1<<30*(i+1), 1<<30)
			}
		}, true},
		"header damaged": {func(b []byte, f *os.File) { b[48] ^= 1; pretend(f, 1<<39, 1<<30) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := terabyte(t, c.change)
			m := &meter{storage: osStorage{}}
			read, faulted, allocated := cost(m, func() {
				_, err := takeSurvey(m, dir, surveying{all: true})
				if c.fails {
					require.Error(t, err)
				} else {
					require.NoError(t, err)
				}
				_, err = makePlan(m, dir, RepairOptions{})
				t.Log(err)
			})
			t.Logf("read %s, faulted %s, allocated %s", thousands(read), thousands(faulted), thousands(allocated))
			require.Less(t, read, int64(64<<20))
			require.Less(t, faulted, int64(256<<20))
			require.Less(t, allocated, int64(16<<20))
		})
	}
}

// A hundred thousand names, none of them useful.
func TestOpen_HundredThousandNames_BoundedCost(t *testing.T) {
	const names = 100_000
	st := newMemStorage()
	st.dirs[memDir] = true
	empty := newMemNode(0)
	for i := range int64(names) {
		st.nodes[filepath.Join(memDir, fmt.Sprintf("stray-%d", i))] = empty
	}
	for i := range int64(1000) {
		st.nodes[filepath.Join(memDir, segmentName(i+1, uint64(i+1)))] = newMemNode(100)
	}
	m := &meter{storage: st}
	read, _, allocated := cost(m, func() {
		_, err := takeSurvey(m, memDir, surveying{all: true})
		require.True(t, isCorruption(err), "%v", err)
	})
	t.Logf("read %s, allocated %s", thousands(read), thousands(allocated))
	require.Less(t, read, int64(1<<20))
	require.Less(t, allocated, int64(64<<20))

	dir := t.TempDir()
	for i := range 20 {
		require.NoError(t, os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), nil, 0o600))
	}
	_, err := osStorage{}.list(dir, 19)
	require.ErrorIs(t, err, ErrDirectory, "more names than it is prepared to keep in memory")
}
