package journal

import (
	"context"
	"math"
	"runtime"
	"sync/atomic"
	"testing"

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

// Outside the process a follower asks again after 1 ms, then after twice as long, up to 20.
func TestPoll_Bounded(t *testing.T) {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	p := newPoll()
	var waits []int64
	for range 8 {
		waits = append(waits, p.d.Milliseconds())
		require.ErrorIs(t, p.wait(ended), context.Canceled)
	}
	require.Equal(t, []int64{1, 2, 4, 8, 16, 20, 20, 20}, waits)
	p.reset()
	require.Equal(t, pollMin, p.d)
}
