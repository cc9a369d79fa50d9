package journal

import (
	"context"
	"math"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A follower in the process sleeps on the cursor: it is woken by each commit, and asks nothing of the
// storage in between.
func TestReader_Follow_InProcess_WokenAndNoPolling(t *testing.T) {
	st := newMemStorage()
	j, err := openMem(st, Options{Durability: None()})
	require.NoError(t, err)
	r, err := j.NewReader(0, ReaderOptions{})
	require.NoError(t, err)
	appendTo(t, j, 1)
	const last = 200
	got := make(chan int64)
	ended := make(chan error, 1)
	go func() {
		ended <- r.Follow(context.Background(), func(rec Record) error {
			got <- rec.Sequence
			if rec.Sequence == last {
				return ErrStop
			}
			return nil
		})
	}()
	require.EqualValues(t, 1, <-got)
	var listed atomic.Int64
	st.setHook(func(op, _ string) error {
		if op == "list" {
			listed.Add(1)
		}
		return nil
	})
	for seq := int64(2); seq <= last; seq++ {
		for j.written.next.Load() == math.MaxInt64 {
			runtime.Gosched() // until it sleeps
		}
		require.EqualValues(t, seq, j.written.next.Load(), "it waits for the next one and for nothing else")
		appendTo(t, j, seq)
		require.Equal(t, seq, <-got)
	}
	require.NoError(t, <-ended)
	require.Zero(t, listed.Load(), "it looked for nothing")
	require.NoError(t, r.Close())
	require.NoError(t, j.Close())
}

// Outside the process a follower asks again after 1 ms, then after twice as long, up to 20, and after 1 ms
// again once there was something; in between it asks for nothing.
func TestReader_Follow_OutsidePollsBounded(t *testing.T) {
	st := newMemStorage()
	j, err := openMem(st, Options{Durability: None()})
	require.NoError(t, err)
	appendTo(t, j, 1)
	r, err := openReader(st, memDir, 0, ReaderOptions{})
	require.NoError(t, err)
	clock := &fakeClock{t: time.Unix(1000, 0)}
	r.clock = sleepHook{clock, func() {
		switch len(clock.slept) {
		case 8, 9, 12:
			appendTo(t, j, j.Written()+1)
		}
	}}
	n := 0
	require.NoError(t, r.Follow(context.Background(), func(Record) error {
		if n++; n == 4 {
			return ErrStop
		}
		return nil
	}))
	var waits []int64
	for _, d := range clock.slept {
		waits = append(waits, d.Milliseconds())
	}
	require.Equal(t, []int64{1, 2, 4, 8, 16, 20, 20, 20, 1, 1, 2, 4}, waits)
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	p := newPoll()
	require.ErrorIs(t, p.wait(ended, systemClock{}), context.Canceled)
	require.NoError(t, r.Close())
	require.NoError(t, j.Close())
}

// sleepHook is a fakeClock that something happens after each sleep of.
type sleepHook struct {
	*fakeClock
	after func()
}

func (c sleepHook) sleep(ctx context.Context, d time.Duration) error {
	err := c.fakeClock.sleep(ctx, d)
	c.after()
	return err
}

// A follower's look beside a live writer costs what it needs: what only matters after the writer's death, the boot, the mount
// and whether a sync had failed, is asked for then.
func TestReader_LooksBesideALiveWriter_AsksForNoRecovery(t *testing.T) {
	st := newMemStorage()
	j, err := openMem(st, Options{Durability: None()})
	require.NoError(t, err)
	for j.Stats().Rolls < 1 {
		appendTo(t, j, j.Written()+1) // of which nobody synced the end
	}
	dead := st.clone()
	for _, live := range []bool{true, false} {
		st := map[bool]*memStorage{true: st, false: dead}[live]
		r, err := openReader(st, memDir, 0, ReaderOptions{UpTo: Durable})
		require.NoError(t, err)
		asked := map[string]int{}
		st.mu.Lock()
		st.all, st.hook = true, func(op, name string) error {
			asked[op+" "+name]++
			return nil
		}
		st.mu.Unlock()
		_, err = r.Read(func(Record) error { return nil })
		require.NoError(t, err)
		st.setHook(nil)
		require.NotZero(t, asked["open "+progressName], "live %t: it looked", live)
		identity, failed := asked["identity "+filepath.Base(memDir)], asked["open "+failedName]
		if live {
			require.Zero(t, identity, "%v", asked)
			require.Zero(t, failed, "%v", asked)
		} else {
			require.NotZero(t, identity, "%v", asked)
			require.NotZero(t, failed, "%v", asked)
		}
		require.NoError(t, r.Close())
	}
	require.NoError(t, j.Close())
}
