package journal

import (
	"context"
	"errors"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// Whoever waits without a way to give up syncs by himself, and what nobody waits for becomes durable too.
func TestWaitDurable_Leads(t *testing.T) {
	for _, d := range []Durability{Batch(), None()} {
		j, err := openMem(newMemStorage(), Options{Durability: d})
		require.NoError(t, err)
		for j.led.Load() < 20 {
			appendTo(t, j, j.Written()+3)
			require.NoError(t, j.WaitDurable(context.Background(), j.Written()))
			require.Equal(t, j.Written(), j.Durable())
		}
		if d == Batch() {
			// In the mode's other way: the syncer has been told to let the leaders do it.
			for range 50 {
				appendTo(t, j, j.Written()+1)
				require.NoError(t, j.await(t.Context(), &j.durable, j.Written()))
			}
			appendTo(t, j, j.Written()+1)
			for j.Durable() < j.Written() {
				runtime.Gosched() // nobody waits
			}
		}
		led := j.led.Load()
		appendTo(t, j, j.Written()+1)
		require.NoError(t, j.WaitDurable(t.Context(), j.Written()))
		require.Equal(t, led, j.led.Load(), "a context that can end was held by a sync")
		require.NoError(t, j.Close())
	}
}

// Many who wait: each gets what it waits for, whoever does the sync.
func TestWaitDurable_ManyLead(t *testing.T) {
	for _, d := range []Durability{Batch(), None()} {
		j, err := openMem(newMemStorage(), Options{Durability: d})
		require.NoError(t, err)
		var mu sync.Mutex
		var wg sync.WaitGroup
		for g := range 8 {
			wg.Go(func() {
				ctx := context.Background()
				if g%3 == 0 {
					ctx = t.Context()
				}
				for range 200 {
					mu.Lock()
					seq, err := j.Append(Entry{Body: []byte("body")})
					mu.Unlock()
					if err == nil {
						err = j.WaitDurable(ctx, seq)
					}
					if err != nil || j.Durable() < seq {
						t.Errorf("durable %d of %d: %v", j.Durable(), seq, err)
						return
					}
				}
			})
		}
		wg.Wait()
		require.NoError(t, j.Close())
	}
}

// A sync that fails in the hands of one who waits is as final as any.
func TestWaitDurable_LeadFails(t *testing.T) {
	st := newMemStorage()
	j, err := openMem(st, Options{Durability: None()})
	require.NoError(t, err)
	appendTo(t, j, 3)
	require.NoError(t, j.WaitDurable(context.Background(), 3))
	st.setHook(func(op, name string) error {
		if op == "sync" {
			return syscall.EIO
		}
		return nil
	})
	appendTo(t, j, 5)
	require.ErrorIs(t, j.WaitDurable(context.Background(), 5), ErrPoisoned)
	st.setHook(nil)
	require.ErrorIs(t, j.WaitDurable(context.Background(), 5), ErrPoisoned)
	require.EqualValues(t, 3, j.Durable())
	require.ErrorIs(t, j.Close(), ErrPoisoned)
}

// In mode Batch every block of a segment was written before it is used, in pieces that are synced; but
// not where it was not asked for, nor by a writer that stores into a mapping.
func TestPrewrite(t *testing.T) {
	for _, c := range []struct {
		o    Options
		want int64 // of each file
	}{
		{Options{Durability: Batch()}, 512 << 10},
		{Options{Durability: Batch(), NoPrewrite: true}, 0},
		{Options{Durability: Batch(), Backend: BackendMmap}, 0},
		{Options{Durability: Group(defaultGroupDelay, 1)}, 0},
		{Options{Durability: None()}, 0},
	} {
		st := newMemStorage()
		var mu sync.Mutex
		written, synced := map[string]int64{}, map[string]int64{}
		used := map[string]bool{} // whatever its file is called later
		st.hook = func(op, name string) error {
			mu.Lock()
			defer mu.Unlock()
			if !strings.HasSuffix(name, spareSuffix) || used[name] {
				return nil
			}
			switch op {
			case "rename":
				used[name] = true
			case "writeAt":
				written[name] += int64(len(zeroPage))
				if written[name]-synced[name] > prewriteStep {
					return errors.New("more than a step is not synced")
				}
			case "sync":
				synced[name] = written[name]
			}
			return nil
		}
		c.o.SegmentBytes, c.o.TouchAheadBytes = 512<<10, 512<<10
		j, err := open(st, memDir, c.o, systemRandomness())
		require.NoError(t, err)
		rollTo(t, j, 2)
		mu.Lock()
		require.GreaterOrEqual(t, len(synced), 2)
		first := slices.Min(slices.Collect(maps.Keys(synced)))
		require.Equal(t, c.want, synced[first], "%+v", c.o) // of the others the writer may have been in need
		for _, n := range written {
			require.Positive(t, c.want, "%+v: %d bytes", c.o, n)
		}
		mu.Unlock()
		require.NoError(t, j.Close())
	}
}

// A writer that waits for a segment gets it as it is.
func TestPrewrite_Hurries(t *testing.T) {
	var a ahead
	enough := new(atomic.Int64)
	st := newMemStorage()
	require.NoError(t, st.mkdir(memDir))
	s, err := makeSpare(st, memDir, 4<<20, 1, 64<<10, false)
	require.NoError(t, err)
	syncs := 0
	st.setHook(func(op, name string) error {
		if op == "sync" {
			syncs++
		}
		return nil
	})
	require.NoError(t, s.prewrite(4<<20, func() bool { return enough.Add(1) > 3 }))
	require.Equal(t, 3, syncs)
	require.False(t, a.hurried())
	a.waits = true
	require.True(t, a.hurried())
	require.NoError(t, s.release())
}

// What is committed while a sync runs is not durable by that sync.
func TestSync_LaterCommit(t *testing.T) {
	st := newMemStorage()
	var once sync.Once
	var j *Journal
	begun := false
	st.hook = func(op, name string) error {
		if op == "sync" && begun {
			once.Do(func() { appendTo(t, j, 11) }) // the writer is in Sync and does nothing else
		}
		return nil
	}
	j, err := openMem(st, Options{Durability: None()})
	require.NoError(t, err)
	appendTo(t, j, 10)
	begun = true
	require.NoError(t, j.Sync())
	require.EqualValues(t, 11, j.Written())
	require.EqualValues(t, 10, j.Durable())
	require.NoError(t, j.Close())
}
