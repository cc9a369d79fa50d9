package journal

import (
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// trimmable is a journal of six segments, all but the last sealed and durable, and their first
// sequences. Its clock stands at second 1,000,000 after the epoch of fixedRandomness; record seq
// has time 1000+seq nanoseconds.
func trimmable(t testing.TB, o Options) (*memStorage, *Journal, []int64) {
	t.Helper()
	st := newMemStorage()
	o.Durability = None()
	j, err := openMem(st, o)
	require.NoError(t, err)
	for j.Stats().Rolls < 5 {
		appendTo(t, j, j.Written()+1)
	}
	require.NoError(t, j.Sync())
	return st, j, firsts(st)
}

func firsts(st *memStorage) (all []int64) {
	for _, name := range st.segments() {
		first, _, _ := parseSegmentName(filepath.Base(name))
		all = append(all, first)
	}
	return all
}

func TestTrim_Bounds(t *testing.T) {
	for name, c := range map[string]struct {
		r    func(f []int64) Retention
		left int // index of the first segment that is left
	}{
		"nothing":        {func([]int64) Retention { return Retention{} }, 0},
		"before, exact":  {func(f []int64) Retention { return Retention{Before: f[2]} }, 2},
		"before, inside": {func(f []int64) Retention { return Retention{Before: f[3] - 1} }, 2},
		"before, end":    {func([]int64) Retention { return Retention{Before: 1 << 60} }, 5},
		"bytes":          {func([]int64) Retention { return Retention{MaxBytes: 4*MinSegmentBytes + 1} }, 2},
		"bytes, one":     {func([]int64) Retention { return Retention{MaxBytes: 1} }, 5},
		"age": {func(f []int64) Retention {
			return Retention{MaxAge: 1_700_000_000_000_000_000 - time.Duration(1000+f[4]-1)}
		}, 3},
		"age, all": {func([]int64) Retention { return Retention{MaxAge: time.Hour} }, 5},
	} {
		t.Run(name, func(t *testing.T) {
			st, j, f := trimmable(t, Options{})
			last := j.Written()
			rep, err := j.Trim(c.r(f))
			require.NoError(t, err)
			require.Equal(t, c.left, rep.Removed)
			require.Equal(t, f[c.left], rep.First)
			require.Equal(t, f[c.left], j.FirstSequence())
			require.Equal(t, f[c.left:], firsts(st))
			got, err := readAll(j)
			require.NoError(t, err)
			require.Equal(t, last, got)
			if c.left > 0 {
				_, err = j.NewReader(f[c.left]-1, ReaderOptions{})
				require.ErrorIs(t, err, ErrOutOfRange)
			}
			appendTo(t, j, last+10)
			require.NoError(t, j.Close())
			j, err = openMem(st, Options{Durability: None()})
			require.NoError(t, err)
			require.Equal(t, f[c.left], j.FirstSequence())
			require.NoError(t, j.Close())
			v, err := verify(st, memDir, VerifyOptions{})
			require.NoError(t, err)
			require.Equal(t, last+10, v.Last)
		})
	}
}

func TestTrim_Holds(t *testing.T) {
	st, j, f := trimmable(t, Options{})
	now := time.Unix(0, 1_700_000_000_000_000_000)
	all := Retention{Before: 1 << 60}
	require.NoError(t, j.Hold("audit", f[3], time.Time{}))
	require.NoError(t, j.Hold("lost follower", f[1]+1, now.Add(time.Nanosecond)))
	require.NoError(t, j.Hold("dead follower", 1, now))
	rep, err := j.Trim(all)
	require.NoError(t, err)
	require.Equal(t, f[1], rep.First, "the segment with the held record stays")
	require.Equal(t, []string{"lost follower"}, rep.HeldBy)
	// The last record of a segment holds all of it.
	require.NoError(t, j.Hold("lost follower", f[2]-1, time.Time{}))
	rep, err = j.Trim(all)
	require.NoError(t, err)
	require.Equal(t, f[1], rep.First)
	// Holds survive the process.
	require.NoError(t, j.Close())
	j, err = openMem(st, Options{Durability: None()})
	require.NoError(t, err)
	holds, err := j.Holds()
	require.NoError(t, err)
	require.Len(t, holds, 3)
	require.NoError(t, j.Release("lost follower"))
	require.NoError(t, j.Release("nobody"))
	rep, err = j.Trim(all)
	require.NoError(t, err)
	require.Equal(t, f[3], rep.First)
	require.Equal(t, []string{"audit"}, rep.HeldBy)
	require.ErrorIs(t, j.Hold("late", f[3]-1, time.Time{}), ErrOutOfRange)
	require.ErrorIs(t, j.Hold("", f[3], time.Time{}), ErrHold)
	// Holds that cannot be read keep everything.
	b := st.nodes[filepath.Join(memDir, holdsName)].bytes()
	b[len(b)/2] ^= 1
	before := firsts(st)
	_, err = j.Trim(all)
	require.ErrorIs(t, err, ErrHold)
	require.Equal(t, before, firsts(st))
	_, err = j.Trim(Retention{MaxBytes: -1})
	require.ErrorContains(t, err, "negative")
	require.NoError(t, j.Close())
	_, err = j.Trim(all)
	require.ErrorIs(t, err, ErrClosed)
}

// What is not durable, or not in the chain yet, stays.
func TestTrim_NotBeforeItIsSafe(t *testing.T) {
	st := newMemStorage()
	j, err := openMem(st, Options{Durability: None()})
	require.NoError(t, err)
	for j.Stats().Rolls < 3 {
		appendTo(t, j, j.Written()+1)
	}
	rep, err := j.Trim(Retention{Before: 1 << 60})
	require.NoError(t, err)
	require.Zero(t, rep.Removed, "nothing was synced")
	abandon(j)
	_, j, _ = trimmable(t, Options{Signer: &failingSigner{testKey, ErrHole}})
	rep, err = j.Trim(Retention{Before: 1 << 60})
	require.NoError(t, err)
	require.Zero(t, rep.Removed, "no root covers it")
	require.NoError(t, j.Close())
}

func TestTrim_UnderReaders(t *testing.T) {
	st, j, f := trimmable(t, Options{})
	inside, err := j.NewReader(0, ReaderOptions{})
	require.NoError(t, err)
	outside, err := openReader(st, memDir, 0, ReaderOptions{})
	require.NoError(t, err)
	for _, r := range []*Reader{inside, outside} {
		_, err := r.Read(func(Record) error { return ErrStop })
		require.NoError(t, err)
	}
	_, err = j.Trim(Retention{Before: f[3]})
	require.NoError(t, err)
	for _, r := range []*Reader{inside, outside} {
		last := int64(0)
		_, err := r.Read(func(rec Record) error { last = rec.Sequence; return nil })
		require.ErrorIs(t, err, ErrOutOfRange, "and not corruption")
		require.Equal(t, f[1]-1, last, "the mapped segment is read to its end")
	}
	require.NoError(t, j.Close())
}

// A reader that was at the end of the only segment finds out when it asks for the next.
func TestTrim_ReaderLeftBehind(t *testing.T) {
	st := newMemStorage()
	j, err := openMem(st, Options{Durability: None()})
	require.NoError(t, err)
	appendTo(t, j, 5)
	r, err := j.NewReader(0, ReaderOptions{})
	require.NoError(t, err)
	require.Len(t, sequences(t, r.Read), 5)
	for j.Stats().Rolls < 3 {
		appendTo(t, j, j.Written()+1)
	}
	require.NoError(t, j.Sync())
	_, err = j.Trim(Retention{Before: 1 << 60})
	require.NoError(t, err)
	_, err = r.Read(func(Record) error { return nil })
	require.ErrorIs(t, err, ErrOutOfRange)
	require.False(t, isCorruption(err))
	require.NoError(t, j.Close())
}

// Whatever operation fails, what is left has no gap.
func TestTrim_EveryOperationFails(t *testing.T) {
	for k := 0; ; k++ {
		st, j, f := trimmable(t, Options{})
		require.NoError(t, j.Hold("x", f[4], time.Time{}))
		var n atomic.Int64
		st.setHook(func(_, name string) error {
			if n.Add(1) == int64(k)+1 {
				return filepath.ErrBadPattern
			}
			return nil
		})
		_, err := j.Trim(Retention{Before: 1 << 60})
		st.setHook(nil)
		failed := n.Load() > int64(k)
		if failed {
			require.Error(t, err, "operation %d", k)
		}
		rep, err := j.Trim(Retention{Before: 1 << 60})
		require.NoError(t, err)
		require.Equal(t, f[4], rep.First)
		require.NoError(t, j.Close())
		_, err = verify(st, memDir, VerifyOptions{})
		require.NoError(t, err, "operation %d", k)
		if !failed {
			break
		}
		k += 4 // every fifth
	}
}

func ExampleJournal_Trim() {
	dir, err := os.MkdirTemp("", "journal")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	j, err := Open(dir, Options{SegmentBytes: MinSegmentBytes})
	if err != nil {
		panic(err)
	}
	defer j.Close()
	for range 10 { // two to a segment
		if _, err := j.Append(Entry{Body: make([]byte, 25_000)}); err != nil {
			panic(err)
		}
	}
	if err := j.Sync(); err != nil {
		panic(err)
	}
	// A follower that has seen everything up to 4, and renews this with its checkpoint.
	if err := j.Hold("invoices", 5, time.Now().Add(24*time.Hour)); err != nil {
		panic(err)
	}
	rep, err := j.Trim(Retention{MaxBytes: 2 * MinSegmentBytes})
	fmt.Println(rep.Removed, rep.First, rep.HeldBy, err)
	// Output:
	// 2 5 [invoices] <nil>
}

// Verify beside a writer that rolls over and a Trim that removes what Verify may be reading: it finds
// nothing wrong, and what it saw is a journal from some first sequence on.
func TestVerify_WhileTrimRemoves(t *testing.T) {
	dir := t.TempDir()
	j, err := Open(dir, Options{SegmentBytes: MinSegmentBytes, Durability: None(), RecycleSegments: 3, Backend: BackendMmap})
	require.NoError(t, err)
	stop, verified := make(chan struct{}), make(chan error, 1)
	rounds := atomic.Int64{}
	go func() {
		first := int64(1)
		for {
			rep, err := Verify(dir, VerifyOptions{})
			if err == nil && (!rep.Live || rep.First < first || rep.Last < rep.First-1) {
				err = fmt.Errorf("verified %+v after one that began at %d", rep, first)
			}
			rounds.Add(1)
			first = rep.First
			select {
			case <-stop:
				verified <- err
				return
			default:
			}
			if err != nil {
				verified <- err
				return
			}
		}
	}()
	removed := 0
	for (removed < 40 || rounds.Load() < 5) && len(verified) == 0 {
		appendTo(t, j, j.Written()+300)
		rep, err := j.Trim(Retention{MaxBytes: 4 * MinSegmentBytes})
		require.NoError(t, err)
		removed += rep.Removed
	}
	close(stop)
	require.NoError(t, <-verified)
	require.NoError(t, j.Close())
}
