package journal

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// recycler opens a journal that recycles, and appends until n rolls have happened.
func recycler(t *testing.T, st storage, dir string, b Backend) *Journal {
	j, err := open(st, dir, Options{Durability: None(), SegmentBytes: MinSegmentBytes, RecycleSegments: 16, Backend: b}, systemRandomness())
	require.NoError(t, err)
	return j
}

func rollTo(t *testing.T, j *Journal, rolls uint64) {
	for j.Stats().Rolls < rolls {
		_, err := j.Append(Entry{Type: 9, Body: makeBody(j.Written() + 1)})
		require.NoError(t, err)
	}
}

// keepOne syncs and trims everything but the last segments.
func keepOne(t *testing.T, j *Journal) TrimReport {
	require.NoError(t, j.Sync())
	rep, err := j.Trim(Retention{Before: j.Written()})
	require.NoError(t, err)
	return rep
}

// Recycled segments hold what was written to them and nothing else, again and again, in a crash and
// out of it.
func TestRecycle_ReadsBack(t *testing.T) {
	for i, kill := range []bool{false, true, false, true} {
		backend := []Backend{BackendMmap, BackendPwrite}[i/2]
		st := newMemStorage()
		j := recycler(t, st, memDir, backend)
		for round := range uint64(12) {
			rollTo(t, j, 3*(round+1))
			rep := keepOne(t, j)
			require.Positive(t, rep.Removed)
			n := j.FirstSequence() - 1
			r, err := j.NewReader(0, ReaderOptions{})
			require.NoError(t, err)
			_, err = r.Read(func(rec Record) error {
				if n++; rec.Sequence != n || !bytes.Equal(rec.Body, makeBody(n)) {
					return fmt.Errorf("record %d differs", n)
				}
				return nil
			})
			require.NoError(t, err)
			require.Equal(t, j.Written(), n)
			require.NoError(t, r.Close())
			_, err = verify(st, memDir, VerifyOptions{})
			require.NoError(t, err)
		}
		require.Greater(t, j.Stats().Recycled, uint64(10))
		// What lies behind the last record is as in a fresh file.
		last, dead := j.Written(), st.clone()
		behind := dead.nodes[filepath.Join(memDir, j.w.seg.name)].bytes()[j.w.off:]
		require.True(t, isZero(behind), "%v: not zero behind the last record", backend)
		require.NoError(t, j.Close())
		if kill {
			st = dead
		}
		for name := range st.nodes {
			require.True(t, kill || filepath.Ext(name) != spareSuffix, "%s is left", name)
		}
		j = recycler(t, st, memDir, backend)
		require.True(t, j.Recovery().Clean)
		require.Equal(t, last, j.Written())
		rep, err := verify(st, memDir, VerifyOptions{})
		require.NoError(t, err)
		require.False(t, rep.Torn)
		require.NoError(t, j.Close())
	}
}

// A segment that a reader is in, or that has another name, is removed and not recycled, and the
// reader reads it to its end.
func TestRecycle_NotUnderAReader(t *testing.T) {
	for _, b := range []Backend{BackendMmap, BackendPwrite} {
		t.Run(b.String(), func(t *testing.T) { recycleUnderReader(t, b) })
	}
}

func recycleUnderReader(t *testing.T, b Backend) {
	dir := t.TempDir()
	j := recycler(t, osStorage{}, dir, b)
	defer j.Close()
	rollTo(t, j, 1)
	require.NoError(t, j.Sync())
	inside, err := j.NewReader(0, ReaderOptions{})
	require.NoError(t, err)
	outside, err := OpenReader(dir, 0, ReaderOptions{})
	require.NoError(t, err)
	stop := func(Record) error { return ErrStop }
	for _, r := range []*Reader{inside, outside} {
		_, err = r.Read(stop)
		require.NoError(t, err)
	}
	rollTo(t, j, 6)
	require.Equal(t, 6, keepOne(t, j).Removed)
	rollTo(t, j, 12) // all but the one that they are in were recycled, and written to
	require.EqualValues(t, 5, j.Stats().Recycled)
	for _, r := range []*Reader{inside, outside} {
		n := int64(1)
		_, err := r.Read(func(rec Record) error {
			if n++; !bytes.Equal(rec.Body, makeBody(n)) {
				return fmt.Errorf("record %d differs", n)
			}
			return nil
		})
		require.ErrorIs(t, err, ErrOutOfRange)
		require.Greater(t, n, int64(10))
		require.NoError(t, r.Close())
	}

	// Another name for the oldest segment, once nothing is stored in its control page any more.
	require.NoError(t, j.Sync())
	names, err := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix))
	require.NoError(t, err)
	require.NoError(t, os.Link(names[0], filepath.Join(t.TempDir(), "backup")))
	copied, err := os.ReadFile(names[0])
	require.NoError(t, err)
	link := filepath.Join(t.TempDir(), "backup")
	require.NoError(t, os.Link(names[0], link))
	before := j.Stats().Recycled
	require.NoError(t, j.Sync())
	rep, err := j.Trim(Retention{Before: j.FirstSequence() + 1})
	require.NoError(t, err)
	require.Zero(t, rep.Removed)
	keepOne(t, j)
	rollTo(t, j, 20)
	require.Greater(t, j.Stats().Recycled, before)
	now, err := os.ReadFile(link)
	require.NoError(t, err)
	require.True(t, bytes.Equal(copied, now), "the other name's bytes changed")
}

// A writer with pwrite that syncs what it writes has fresh segments: a sync would write the zeros of a recycled one.
func TestRecycle_PwriteOnlyWhereNothingSyncs(t *testing.T) {
	for _, d := range []Durability{None(), Batch(), Group(time.Hour, 1<<30), Interval(time.Hour)} {
		for _, b := range []Backend{BackendMmap, BackendPwrite} {
			j, err := openMem(newMemStorage(), Options{Durability: d, Backend: b, RecycleSegments: 16})
			require.NoError(t, err)
			rollTo(t, j, 4)
			keepOne(t, j)
			rollTo(t, j, 12)
			require.Equal(t, b == BackendMmap || d == None(), j.Stats().Recycled > 0, "%v, %v", d, b)
			require.NoError(t, j.Close())
		}
	}
}

// A file that somebody has cut since Trim looked at it is no segment to write to again: pwrite would make it longer
// without a word, and without blocks.
func TestRecycle_CutFile(t *testing.T) {
	for _, mapped := range []bool{true, false} {
		dir := t.TempDir()
		s, err := makeSpare(osStorage{}, dir, MinSegmentBytes, 7, 0, mapped)
		require.NoError(t, err)
		require.NoError(t, s.renew(MinSegmentBytes, 8))
		require.NoError(t, os.Truncate(filepath.Join(dir, s.name), MinSegmentBytes-pageBytes))
		require.ErrorIs(t, s.renew(recordsOffset, 9), ErrFault)
		info, err := os.Stat(filepath.Join(dir, s.name))
		require.NoError(t, err)
		require.EqualValues(t, MinSegmentBytes-pageBytes, info.Size())
		require.NoError(t, s.release())
	}
}

// Whoever opens a segment while it is recycled gets it whole or not at all.
func TestRecycle_OpenAfterRename(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, segmentName(1, 1))
	require.NoError(t, os.WriteFile(name, make([]byte, pageBytes), 0o600))
	f, err := os.Open(name)
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, share(f, name))
	w, err := osStorage{}.open(name, true)
	require.NoError(t, err)
	defer w.close()
	unlock, err := w.tryLock()
	require.NoError(t, err)
	require.Nil(t, unlock, "the lock was given beside a reader")
	require.NoError(t, f.Close())
	unlock, err = w.tryLock()
	require.NoError(t, err)
	require.NotNil(t, unlock)
	late, err := os.Open(name)
	require.NoError(t, err)
	defer late.Close()
	require.NoError(t, os.Rename(name, filepath.Join(dir, "1.tmp")))
	unlock()
	require.ErrorIs(t, share(late, name), os.ErrNotExist)
	require.NoError(t, os.WriteFile(name, nil, 0o600))
	require.ErrorIs(t, share(late, name), os.ErrNotExist)
}

// In every crash while segments are recycled the journal opens, and holds what was durable.
func TestRecycle_PowerCut(t *testing.T) {
	seeds := uint64(20)
	if longForm() {
		seeds = 600
	}
	for seed := range seeds {
		st := newMemStorage()
		st.crashy = true
		j := recycler(t, st, memDir, []Backend{BackendMmap, BackendPwrite}[seed%2])
		for round := range seed%5 + 2 {
			rollTo(t, j, 3*(round+1))
			keepOne(t, j)
		}
		rollTo(t, j, j.Stats().Rolls+seed%3)
		durable, first := j.Durable(), j.FirstSequence()
		c := st.powerCut(rand.New(rand.NewPCG(seed, 3)))
		require.NoError(t, j.Close())
		j, err := open(c, memDir, Options{Durability: None(), SegmentBytes: MinSegmentBytes}, systemRandomness())
		require.NoError(t, err, "seed %d", seed)
		require.GreaterOrEqual(t, j.Written(), durable, "seed %d", seed)
		require.GreaterOrEqual(t, first, j.FirstSequence(), "seed %d", seed)
		n := j.FirstSequence() - 1
		r, err := j.NewReader(0, ReaderOptions{})
		require.NoError(t, err)
		_, err = r.Read(func(rec Record) error {
			if n++; !bytes.Equal(rec.Body, makeBody(n)) {
				return fmt.Errorf("seed %d: record %d differs", seed, n)
			}
			return nil
		})
		require.NoError(t, err)
		require.NoError(t, r.Close())
		require.NoError(t, j.Close())
	}
}

// Mode None lets go of full segments.
func TestNone_SyncsFullSegments(t *testing.T) {
	j, err := openMem(newMemStorage(), Options{Durability: None()})
	require.NoError(t, err)
	rollTo(t, j, 20)
	require.NoError(t, j.WaitDurable(t.Context(), j.FirstSequence()))
	for j.Stats().Segments > sealedMost+1 {
		appendTo(t, j, j.Written()+1)
	}
	require.Less(t, j.Stats().LossBytes, int64(sealedMost+3)*MinSegmentBytes)
	require.NoError(t, j.Close())
}
