package journal

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// hugeJournal writes a journal of a hundred gibibytes, nearly all of them holes: 400 sealed segments of 256
// MiB with their indexes. In each, records of 8 MiB of zeros stand between short ones, and every record has
// a time of its own, a second after the one before. It returns the number of records.
func hugeJournal(tb testing.TB, dir string) (last int64) {
	const (
		segments, size = 400, int64(256 << 20)
		large, shorts  = 8<<20 - recordHeaderBytes, 20
	)
	zeros := zeroSum(large)
	sv := &survey{st: unsynced{osStorage{}}, dir: dir}
	rec := make([]byte, recordBytes(16))
	var t frameTail
	for id := uint64(1); id <= segments; id++ {
		h := header{uuid: [16]byte{1}, id: id, first: last + 1, size: size, salt: id * 77}
		seg := &found{name: segmentName(h.first, id), first: h.first, id: id, size: size, hdr: h}
		seg.scan.index.reset(size)
		f, err := os.OpenFile(filepath.Join(dir, seg.name), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		require.NoError(tb, err)
		require.NoError(tb, f.Truncate(size))
		page := newPages(1)
		h.encode(page)
		_, err = f.WriteAt(page, 0)
		require.NoError(tb, err)
		at := int64(recordsOffset)
		put := func(n int, sum uint32) {
			last++
			if at >= seg.scan.index.mark {
				seg.scan.index.note(at, last, last*1e9)
			}
			w3, length := packWord3(1, KindEvent, 0, lagUnknown), uint64(recordHeaderBytes+n)
			clear(rec)
			le.PutUint64(rec, length|uint64(t.sum(sum, h.salt, uint64(at), length, uint64(last), uint64(last*1e9), w3))<<32)
			le.PutUint64(rec[8:], uint64(last))
			le.PutUint64(rec[16:], uint64(last*1e9))
			le.PutUint64(rec[24:], w3)
			_, err := f.WriteAt(rec[:recordHeaderBytes], at)
			require.NoError(tb, err)
			at += recordBytes(n)
		}
		for at < size-16<<20 {
			for range shorts {
				put(16, zeroSum(16))
			}
			put(large, zeros)
		}
		seg.end, seg.lastKnown, seg.lastTime = at, last, last*1e9
		require.NoError(tb, sv.sealAt(seg, 0))
		pages := newPages(2)
		store64(pages, ctlCommittedOffset, uint64(seg.end))
		store64(pages, ctlCommittedSequence, uint64(last))
		for g := range uint64(2) {
			storePair(pages, id, pair{g + 1, seg.end, last})
		}
		_, err = f.WriteAt(pages[controlOffset:recordsOffset], controlOffset)
		require.NoError(tb, err)
		require.NoError(tb, f.Close())
	}
	return last
}

// unsynced is a storage for tests that make many files.
type unsynced struct{ storage }

type unsyncedFile struct{ file }

func (s unsynced) open(name string, write bool) (file, error) {
	f, err := s.storage.open(name, write)
	return unsyncedFile{f}, err
}

func (unsyncedFile) sync() error     { return nil }
func (unsyncedFile) syncData() error { return nil }

// pagesTouched counts the pages that this thread makes present while f runs.
func pagesTouched(f func()) int64 {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var a, b syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_THREAD, &a)
	f()
	_ = syscall.Getrusage(syscall.RUSAGE_THREAD, &b)
	return int64(b.Minflt) + int64(b.Majflt) - int64(a.Minflt) - int64(a.Majflt)
}

// Seeking by sequence or by time in a hundred gibibytes takes less than twenty reads, and no more memory
// than in a small journal.
func TestReader_SeekInHundredGiB(t *testing.T) {
	dir := memoryDir(t)
	last := hugeJournal(t, dir)
	m := &meter{storage: osStorage{}}
	rnd := rand.New(rand.NewPCG(1, 5))
	calls, pages, bytes := int64(0), int64(0), uint64(0)
	first := func(r *Reader, want int64, what string) {
		got := int64(0)
		_, err := r.Read(func(rec Record) error { got = rec.Sequence; return ErrStop })
		require.NoError(t, err, what)
		require.Equal(t, want, got, what)
	}
	for round := range 60 {
		want := 1 + rnd.Int64N(last)
		if want%21 < 2 { // a large one, or one behind it, which is passed over: that reads 8 MiB
			want = max(2, want-5)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		m.opened.Store(0)
		m.calls.Store(0)
		m.read.Store(0)
		what := fmt.Sprintf("round %d, sequence %d", round, want)
		touched := pagesTouched(func() {
			if round%2 == 0 {
				r, err := openReader(m, dir, want, ReaderOptions{})
				require.NoError(t, err, what)
				first(r, want, what)
				require.NoError(t, r.Close())
				return
			}
			r, err := openReader(m, dir, 0, ReaderOptions{})
			require.NoError(t, err, what)
			require.NoError(t, r.SeekTime(time.Unix(want-1, 1)))
			first(r, want, what)
			require.NoError(t, r.Close())
		})
		runtime.ReadMemStats(&after)
		calls, pages, bytes = max(calls, m.calls.Load()), max(pages, touched), max(bytes, after.TotalAlloc-before.TotalAlloc)
	}
	t.Logf("at most %d reads, %d pages of mappings and %s bytes of memory", calls, pages, thousands(int64(bytes)))
	require.Less(t, calls, int64(20))
	if !raceEnabled { // whose own memory for each page of the heap is touched by the same thread
		require.Less(t, pages, int64(512), "of the mappings")
	}
	require.Less(t, bytes, uint64(4<<20), "allocated")
}

// BenchmarkSeek opens a journal of a hundred gibibytes, nearly all holes, and reads one record.
func BenchmarkSeek(b *testing.B) {
	dir := memoryDir(b)
	last := hugeJournal(b, dir)
	rnd := rand.New(rand.NewPCG(1, 6))
	for _, by := range []string{"sequence", "time"} {
		b.Run("by="+by, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				want := 21*rnd.Int64N(last/21) + 3
				open := func() (*Reader, error) { return OpenReader(dir, want, ReaderOptions{}) }
				if by == "time" {
					open = func() (*Reader, error) { return OpenReaderAt(dir, time.Unix(want, 0), ReaderOptions{}) }
				}
				r, err := open()
				if err != nil {
					b.Fatal(err)
				}
				got := int64(0)
				if _, err := r.Read(func(rec Record) error { got = rec.Sequence; return ErrStop }); err != nil || got != want {
					b.Fatal(got, want, err)
				}
				if err := r.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// afterKill makes a journal of 64 segments of that size whose writer died without closing it, and returns
// how many records it has.
func afterKill(tb testing.TB, segmentBytes int64, backend Backend) (dir string, last int64) {
	dir = filepath.Join(memoryDir(tb), "log")
	j, err := Open(dir, Options{SegmentBytes: segmentBytes, Durability: None(), Backend: backend})
	require.NoError(tb, err)
	body := make([]byte, segmentBytes/16)
	for j.Stats().Rolls < 63 {
		_, err := j.Append(Entry{Body: body})
		require.NoError(tb, err)
	}
	for range 10 {
		_, err := j.Append(Entry{Body: body[:100]})
		require.NoError(tb, err)
	}
	last = j.Written()
	abandon(j)
	return dir, last
}

// What Open reads after the death of a writer does not depend on how large the segments are, but for the
// newest, whose records it judges; nor does what it touches of their mappings.
func TestOpen_AfterKill_CostOfSegments(t *testing.T) {
	for _, backend := range []Backend{BackendMmap, BackendPwrite} {
		var reads, calls, pages [2]int64
		for i, size := range []int64{MinSegmentBytes, 32 * MinSegmentBytes} {
			dir, last := afterKill(t, size, backend)
			m := &meter{storage: osStorage{}}
			var s *survey
			pages[i] = pagesTouched(func() {
				var err error
				s, err = takeSurvey(m, dir, surveying{})
				require.NoError(t, err)
			})
			require.Len(t, s.segs, 64)
			require.Equal(t, last, s.segs[63].lastKnown)
			for _, seg := range s.segs[:63] {
				require.False(t, seg.scanned, "%s was read whole", seg.name)
			}
			reads[i], calls[i] = m.read.Load(), m.calls.Load()
			r, err := openReader(m, dir, last, ReaderOptions{})
			require.NoError(t, err)
			n, err := r.Read(func(rec Record) error { return nil })
			require.NoError(t, err)
			require.Equal(t, 1, n)
			require.Less(t, m.read.Load()-reads[i], reads[i]+windowBytes, "a reader after the writer's death")
			require.NoError(t, r.Close())
			j, err := Open(dir, Options{Durability: None()})
			require.NoError(t, err)
			require.Equal(t, last, j.Written())
			require.NoError(t, j.Close())
		}
		t.Logf("%v: segments of %s and %s: %d and %d reads of %s and %s bytes, %d and %d pages", backend, thousands(MinSegmentBytes),
			thousands(32*MinSegmentBytes), calls[0], calls[1], thousands(reads[0]), thousands(reads[1]), pages[0], pages[1])
		require.InDelta(t, calls[0], calls[1], 40)
		require.Less(t, reads[1], reads[0]+33*MinSegmentBytes, "more than the newest was read")
		require.Less(t, pages[1], pages[0]+512)
	}
}

// BenchmarkOpenAfterKill is Open of 64 segments whose writer died; closing it is not timed.
func BenchmarkOpenAfterKill(b *testing.B) {
	for _, size := range []int64{1 << 20, 8 << 20} {
		b.Run(fmt.Sprintf("segment=%dMiB", size>>20), func(b *testing.B) {
			dir, _ := afterKill(b, size, BackendMmap)
			b.ResetTimer()
			for range b.N {
				j, err := Open(dir, Options{Durability: None(), SegmentBytes: size})
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				abandon(j)
				b.StartTimer()
			}
		})
	}
}
