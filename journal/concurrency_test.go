package journal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Followers of both gates, in process and from outside, beside a writer that rolls over, while
// others wait for durability. On the heap, so that the race detector watches the protocol.
func TestReader_BesideWriter(t *testing.T) {
	n := int64(20_000)
	if testing.Short() || raceEnabled {
		n = 6_000
	}
	for _, d := range []Durability{None(), Batch(), Group(time.Millisecond, 4096)} {
		t.Run(d.String(), func(t *testing.T) {
			st := newMemStorage()
			j, err := openMem(st, Options{Durability: d})
			require.NoError(t, err)
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
			defer cancel()
			var wg sync.WaitGroup
			errs := make(chan error, 16)
			follow := func(name string, r *Reader, durable bool) {
				wg.Add(1)
				go func() {
					defer wg.Done()
					defer r.Close()
					seq := int64(0)
					err := r.Follow(ctx, func(rec Record) error {
						seq++
						if rec.Sequence != seq || string(rec.Body) != string(makeBody(seq%512)) {
							return fmt.Errorf("record %d: got %d", seq, rec.Sequence)
						}
						if durable && j.Durable() < seq {
							return fmt.Errorf("record %d delivered before it was durable", seq)
						}
						return nil
					})
					if err != nil || seq != n {
						errs <- fmt.Errorf("%s: after %d: %w", name, seq, err)
					}
				}()
			}
			for _, gate := range []Gate{Written, Durable} {
				in, err := j.NewReader(1, ReaderOptions{UpTo: gate, Until: n})
				require.NoError(t, err)
				follow(fmt.Sprintf("in process, gate %d", gate), in, gate == Durable)
				out, err := openReader(st, memDir, 1, ReaderOptions{UpTo: gate, Until: n})
				require.NoError(t, err)
				follow(fmt.Sprintf("outside, gate %d", gate), out, false)
			}
			for w := range int64(3) {
				wg.Add(1)
				go func() {
					defer wg.Done()
					for seq := w + 1; seq <= n; seq += 97 {
						if err := j.WaitDurable(ctx, seq); err != nil {
							errs <- err
							return
						}
						if j.Durable() < seq || j.Written() < j.Durable() {
							errs <- fmt.Errorf("durable %d, waited for %d", j.Durable(), seq)
						}
						_ = j.Stats()
					}
				}()
			}
			for seq := int64(1); seq <= n; {
				for range min(1+seq%17, n-seq+1) {
					_, err := j.Stage(Entry{Body: makeBody(seq % 512)})
					require.NoError(t, err)
					seq++
				}
				require.NoError(t, j.Commit())
			}
			require.NoError(t, j.Sync())
			wg.Wait()
			close(errs)
			for err := range errs {
				t.Error(err)
			}
			require.NoError(t, j.Close())
		})
	}
}

// One record, then wait for it, again and again: nothing that comes later repairs a sync that
// was forgotten.
func TestWaitDurable_EachRecord(t *testing.T) {
	for _, d := range []Durability{None(), Batch(), Group(time.Microsecond, 1), Interval(time.Microsecond)} {
		j, err := openMem(newMemStorage(), Options{Durability: d})
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
		for range 3000 {
			seq, err := j.Append(Entry{})
			require.NoError(t, err)
			require.NoError(t, j.WaitDurable(ctx, seq), "%v: record %d", d, seq)
			require.GreaterOrEqual(t, j.Durable(), seq)
		}
		cancel()
		require.NoError(t, j.Close())
	}
}

// Until the last record of a batch is there the first one's length is zero.
func TestBeginBatch_FirstLengthLast(t *testing.T) {
	j, err := openMem(newMemStorage(), Options{Durability: None()})
	require.NoError(t, err)
	defer j.Close()
	start := j.w.off
	require.NoError(t, j.BeginBatch(3, 100))
	for range 2 {
		_, err = j.Stage(Entry{Body: []byte("part")})
		require.NoError(t, err)
		require.Zero(t, load64(j.w.mem, start))
	}
	_, err = j.Stage(Entry{})
	require.NoError(t, err)
	require.NotZero(t, load64(j.w.mem, start))
	require.EqualValues(t, 0, j.Written())
	require.NoError(t, j.Commit())
	require.EqualValues(t, 3, j.Written())
}

func TestReader_Follow_EndsWithJournal(t *testing.T) {
	j, err := openMem(newMemStorage(), Options{Durability: None()})
	require.NoError(t, err)
	r, err := j.NewReader(0, ReaderOptions{})
	require.NoError(t, err)
	defer r.Close()
	got := make(chan int64, 100)
	ended := make(chan error, 1)
	go func() {
		ended <- r.Follow(context.Background(), func(rec Record) error { got <- rec.Sequence; return nil })
	}()
	appendTo(t, j, 3)
	for want := int64(1); want <= 3; want++ {
		require.Equal(t, want, <-got)
	}
	_, err = j.Stage(Entry{})
	require.NoError(t, err)
	require.NoError(t, j.Close())
	require.ErrorIs(t, <-ended, ErrClosed)
	require.EqualValues(t, 4, <-got, "what Close committed is delivered before the end")
	require.ErrorIs(t, j.WaitWritten(context.Background(), 99), ErrClosed)
	_, err = j.NewReader(0, ReaderOptions{})
	require.ErrorIs(t, err, ErrClosed)
}

func TestWait_Cancelled(t *testing.T) {
	j, err := openMem(newMemStorage(), Options{Durability: Interval(time.Hour)})
	require.NoError(t, err)
	defer j.Close()
	appendTo(t, j, 1)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if err := j.WaitDurable(ctx, 1); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}()
	}
	cancel()
	wg.Wait()
	require.EqualValues(t, 0, j.Durable())
	require.NoError(t, j.Sync())
	require.EqualValues(t, 1, j.Durable())
	require.NoError(t, j.WaitDurable(ctx, 1), "what is durable needs no waiting")
}

// After Close nothing is left: no goroutine, no descriptor, no mapping.
func TestClose_LeavesNothing(t *testing.T) {
	dir := t.TempDir()
	run := func() {
		j, err := Open(dir, Options{SegmentBytes: MinSegmentBytes})
		require.NoError(t, err)
		last := j.Written() + 3000
		r, err := j.NewReader(0, ReaderOptions{})
		require.NoError(t, err)
		o, err := OpenReader(dir, 0, ReaderOptions{})
		require.NoError(t, err)
		appendTo(t, j, last)
		for _, r := range []*Reader{r, o} {
			_, err = r.Read(func(Record) error { return nil })
			require.NoError(t, err)
			require.NoError(t, r.Close())
		}
		require.NoError(t, j.Close())
	}
	run()
	goroutines := runtime.NumGoroutine()
	fds, maps := openFiles(t), mappings(t, dir)
	require.Zero(t, maps)
	for range 3 {
		run()
	}
	require.LessOrEqual(t, openFiles(t), fds) // less: what an earlier test forgot and the collector found
	require.Zero(t, mappings(t, dir))
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	for runtime.NumGoroutine() > goroutines {
		require.NoError(t, ctx.Err(), "goroutines") // one that has said that it is done may still be on its way out
		runtime.Gosched()
	}
}

func openFiles(t *testing.T) int {
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("no /proc: ", err)
	}
	return len(names)
}

func mappings(t *testing.T, dir string) int {
	b, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Skip("no /proc: ", err)
	}
	return strings.Count(string(b), dir)
}

func TestNoAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	j, err := Open(t.TempDir(), Options{Durability: None()})
	require.NoError(t, err)
	defer j.Close()
	e := Entry{Type: 1, Body: make([]byte, 128)}
	es := make([]Entry, 64)
	for i := range es {
		es[i] = e
	}
	require.Zero(t, testing.AllocsPerRun(2000, func() { _, _ = j.Stage(e) }))
	require.Zero(t, testing.AllocsPerRun(2000, func() { _, _ = j.Append(e) }))
	require.Zero(t, testing.AllocsPerRun(200, func() { _, _ = j.AppendBatch(es) }))
	require.NoError(t, j.Err())
	r, err := j.NewReader(0, ReaderOptions{})
	require.NoError(t, err)
	defer r.Close()
	n, sum := 0, 0
	read := func(rec Record) error {
		sum += len(rec.Body)
		if n++; n%100 == 0 {
			return ErrStop
		}
		return nil
	}
	_, err = r.Read(read)
	require.NoError(t, err)
	require.Zero(t, testing.AllocsPerRun(100, func() { _, _ = r.Read(read) }))
	require.Equal(t, 102*100*128, sum)
}
