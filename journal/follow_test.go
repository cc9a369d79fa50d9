package journal

import (
	"context"
	"math"
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
