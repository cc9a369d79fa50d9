package handlers

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace/event"
)

// The window against a slice that remembers everything and looks at the last n.
func TestDedup_AgainstNaiveWindow(t *testing.T) {
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	const window = 8
	d := NewDedup(window)
	var order []int // names in the order in which they were last published
	seqs := map[int]int64{}
	for seq := int64(1); seq < 5000; seq++ {
		name := rng.IntN(20)
		id := event.IDFromName(fmt.Sprint(name))
		want := int64(0)
		for _, n := range order[max(0, len(order)-window):] {
			if n == name {
				want = seqs[name]
			}
		}
		got, fresh, err := d.Begin(context.Background(), id, 16)
		require.NoError(t, err)
		require.Equal(t, want == 0, fresh, "seed %d, step %d", seed, seq)
		require.Equal(t, want, got, "seed %d, step %d", seed, seq)
		if fresh {
			d.Done(id, seq)
			seqs[name] = seq
			order = append(order, name)
		}
	}
}

// A window costs nothing where nobody gives ids: each Open and each Replay makes one.
func TestDedup_NoIDs_NoMemory(t *testing.T) {
	id := event.IDFromName("x")
	d := NewDedup(1 << 16)
	d.Cancel(id)
	d.Done(id, 1)
	require.False(t, d.Known(id))
	all, err := d.Image(t.Context(), 10)
	require.NoError(t, err)
	require.Empty(t, all)
	require.Nil(t, d.window)
	require.Nil(t, d.index)

	_, fresh, err := d.Begin(t.Context(), id, 16)
	require.NoError(t, err)
	require.True(t, fresh)
	require.Len(t, d.window, 1<<16)
}

func TestDedup_InFlight_OthersWait(t *testing.T) {
	d := NewDedup(4)
	ctx := context.Background()
	id := event.IDFromName("x")
	_, fresh, err := d.Begin(ctx, id, 16)
	require.NoError(t, err)
	require.True(t, fresh)

	cancelled, cancel := context.WithCancel(ctx)
	done := make(chan error)
	go func() {
		_, _, err := d.Begin(cancelled, id, 16)
		done <- err
	}()
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)

	// Whoever waits gets to publish it after a Cancel: exactly one at a time.
	var published, running atomic.Int32
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			_, fresh, err := d.Begin(ctx, id, 16)
			if err != nil {
				t.Error(err)
			}
			if !fresh {
				return
			}
			if running.Add(1) != 1 {
				t.Error("two have the id at once")
			}
			running.Add(-1)
			if n%2 == 0 {
				d.Cancel(id)
				return
			}
			published.Add(1)
			d.Done(id, int64(n+1))
		})
	}
	d.Cancel(id)
	wg.Wait()
	require.LessOrEqual(t, published.Load(), int32(1))
	_, _, err = d.Begin(ctx, event.IDFromName("y"), 17)
	require.NoError(t, err)
	d.Done(event.IDFromName("y"), 9)
	_, _, err = d.Begin(ctx, event.IDFromName("y"), 16)
	require.ErrorIs(t, err, ErrIDConflict)
}

// More ids in flight than the window holds: nobody is blocked, nothing is doubled in the index.
func TestDedup_MoreInFlightThanWindow(t *testing.T) {
	d := NewDedup(2)
	ctx := context.Background()
	for i := range 5 {
		_, fresh, err := d.Begin(ctx, event.IDFromName(fmt.Sprint(i)), 16)
		require.NoError(t, err)
		require.True(t, fresh)
	}
	for i := range 5 {
		d.Done(event.IDFromName(fmt.Sprint(i)), int64(i+1))
	}
	require.LessOrEqual(t, len(d.index), 2)
	seq, fresh, err := d.Begin(ctx, event.IDFromName("4"), 16)
	require.NoError(t, err)
	require.False(t, fresh)
	require.EqualValues(t, 5, seq)
	require.EqualValues(t, 1, d.Hits())
}
