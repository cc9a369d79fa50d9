package journal

import (
	"context"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// syncsOf counts the syncs of files, in a journal that does not need a second segment yet.
func syncsOf(st *memStorage, during func()) *atomic.Int64 {
	n := new(atomic.Int64)
	st.setHook(func(op, name string) error {
		if op == "sync" {
			n.Add(1)
			during()
		}
		return nil
	})
	return n
}

// until lets others run until done; a test that waits in vain ends with the test binary's time.
func until(done func() bool) {
	for !done() {
		runtime.Gosched()
	}
}

// Without anybody who asks or waits: None syncs nothing, Interval after its delay, Group after its delay or with its bytes,
// Batch at once. Each mode has gone to sleep, and says after which byte it wants to be woken, before it is judged.
func TestDurability_WhenItSyncsByItself(t *testing.T) {
	const size = 64 // bytes of a record
	for _, c := range []struct {
		d        Durability
		asleepAt int64 // with one record written: it is woken at that byte
		records  int64 // that it takes to have them synced; 0: it never is
	}{
		{None(), math.MaxInt64, 0},
		{Interval(time.Hour), math.MaxInt64, 0},
		{Interval(time.Microsecond), 0, 1},
		{Group(time.Hour, 10*size), 10 * size, 10},
		{Group(time.Hour, 1<<30), 1 << 30, 0},
		{Group(time.Microsecond, 1<<30), 0, 1},
		{Batch(), 0, 1},
	} {
		for _, b := range []Backend{BackendMmap, BackendPwrite} {
			st := newMemStorage()
			j, err := openMem(st, Options{Durability: c.d, Backend: b, SegmentBytes: 1 << 20})
			require.NoError(t, err)
			syncs := syncsOf(st, func() {})
			until(func() bool { return c.d.mode == modeNone || j.wakeAt.Load() == 1 }) // it waits for the first byte
			one := func() {
				_, err := j.Append(Entry{Body: make([]byte, size-recordHeaderBytes)})
				require.NoError(t, err)
			}
			one()
			if c.asleepAt > 0 {
				until(func() bool { return j.wakeAt.Load() == c.asleepAt })
				require.Zero(t, syncs.Load(), "%v", c.d)
			}
			if c.records == 0 {
				for range 100 {
					one()
				}
				require.Zero(t, j.Durable(), "%v", c.d)
				require.EqualValues(t, 101, j.Stats().LossEvents)
			} else {
				for j.Written() < c.records {
					require.Zero(t, j.Durable(), "%v: before its bytes are there", c.d)
					one()
				}
				until(func() bool { return j.Durable() == c.records })
			}
			require.NoError(t, j.Close())
		}
	}
}

// Everybody who waits while a sync runs shares the next one, however many they are and whatever they call.
func TestDurability_OneSyncForAllWhoWait(t *testing.T) {
	const waiters = 16
	for _, d := range []Durability{None(), Batch(), Group(time.Microsecond, 1), Interval(time.Microsecond)} {
		for name, wait := range map[string]func(j *Journal, seq int64) error{
			"WaitDurable":              func(j *Journal, seq int64) error { return j.WaitDurable(context.Background(), seq) },
			"WaitDurable, which leads": func(j *Journal, seq int64) error { return j.WaitDurable(t.Context(), seq) },
			"Sync":                     func(j *Journal, _ int64) error { return j.Sync() },
		} {
			st := newMemStorage()
			j, err := openMem(st, Options{Durability: d, SegmentBytes: 1 << 20})
			require.NoError(t, err)
			entered, goOn := make(chan struct{}), make(chan struct{})
			var first sync.Once
			syncs := syncsOf(st, func() { first.Do(func() { close(entered); <-goOn }) })
			var wg sync.WaitGroup
			appendTo(t, j, 1)
			wg.Go(func() {
				if err := j.Sync(); err != nil {
					t.Error(err)
				}
			})
			<-entered
			for i := range waiters {
				appendTo(t, j, int64(i)+2)
				wg.Go(func() {
					if err := wait(j, int64(i)+2); err != nil {
						t.Error(err)
					}
				})
			}
			until(func() bool {
				n := 0
				for _, c := range []*cursor{&j.durable, &j.syncs} {
					c.mu.Lock()
					n += len(c.waiting)
					c.mu.Unlock()
				}
				return n == waiters+1
			})
			close(goOn)
			wg.Wait()
			require.EqualValues(t, waiters+1, j.Durable())
			require.LessOrEqual(t, syncs.Load(), int64(2), "%v, %s", d, name)
			require.NoError(t, j.Close())
		}
	}
}

// Who waits for what a sync has covered meanwhile does no other.
func TestDurability_LeaderFindsItDone(t *testing.T) {
	st := newMemStorage()
	j, err := openMem(st, Options{Durability: None()})
	require.NoError(t, err)
	appendTo(t, j, 3)
	require.NoError(t, j.WaitDurable(context.Background(), 3))
	before, led := j.Stats().Syncs, j.led.Load()
	require.True(t, j.lead())
	require.Equal(t, before, j.Stats().Syncs)
	require.Equal(t, led, j.led.Load())
	require.NoError(t, j.Close())
}

// The loss window is what was committed and no sync covers: events, bytes of records, and since when at most.
func TestStats_LossWindow(t *testing.T) {
	for _, b := range []Backend{BackendMmap, BackendPwrite} {
		st := newMemStorage()
		j, err := openMem(st, Options{Durability: None(), Backend: b, SegmentBytes: 1 << 20})
		require.NoError(t, err)
		loss := func(events, bytes int64, since time.Time) {
			t.Helper()
			until(func() bool { return time.Now().UnixNano() > j.dirtySince.Load() })
			s := j.Stats()
			require.Equal(t, events, s.LossEvents)
			require.Equal(t, bytes, s.LossBytes)
			if events == 0 {
				require.Zero(t, s.LossTime)
				return
			}
			now := time.Now()
			require.Positive(t, s.LossTime)
			require.LessOrEqual(t, s.LossTime, now.Round(0).Sub(since.Round(0)), "older than what was committed")
			require.GreaterOrEqual(t, j.dirtySince.Load(), since.UnixNano())
			require.LessOrEqual(t, j.dirtySince.Load(), now.UnixNano())
		}
		loss(0, 0, time.Time{})
		before := time.Now()
		_, err = j.Stage(Entry{Body: make([]byte, 100)})
		require.NoError(t, err)
		loss(0, 0, time.Time{}) // not committed
		require.NoError(t, j.Commit())
		first := time.Now()
		for range 9 {
			_, err := j.Append(Entry{Body: make([]byte, 100)})
			require.NoError(t, err)
		}
		loss(10, 10*136, before)
		require.LessOrEqual(t, j.dirtySince.Load(), first.UnixNano(), "younger than the oldest of them")

		// A sync covers what was committed when it began; one record comes while it runs.
		began := time.Now()
		once := sync.Once{}
		st.setHook(func(op, name string) error {
			if op == "sync" {
				once.Do(func() {
					_, err := j.Append(Entry{Body: make([]byte, 20)}) // the writer is in Sync and does nothing else
					require.NoError(t, err)
				})
			}
			return nil
		})
		require.NoError(t, j.Sync())
		loss(1, 56, began)
		require.NoError(t, j.Sync())
		loss(0, 0, time.Time{})
		require.NoError(t, j.Close())
	}
}

// A write that takes long is counted, and one that does not is not.
func TestStats_SlowWriteIsNamed(t *testing.T) {
	j, err := openMem(newMemStorage(), Options{Durability: None(), Backend: BackendPwrite})
	require.NoError(t, err)
	appendTo(t, j, 1)
	before := j.Stats().Named[StallWrite]
	now := time.Now()
	j.wrote(now)
	j.wrote(now.Add(-10 * longWrite))
	after := j.Stats().Named[StallWrite]
	require.Equal(t, before.Count+1, after.Count)
	require.GreaterOrEqual(t, after.Longest, 10*longWrite)
	require.GreaterOrEqual(t, after.Total, before.Total+10*longWrite)
	require.NoError(t, j.Close())
}
