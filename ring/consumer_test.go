package ring

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestConsumer_WaitsByItsOwnStrategy, else by the ring's, as producers do.
func TestConsumer_WaitsByItsOwnStrategy(t *testing.T) {
	r, err := New[int64](Options{Wait: WaitPark()})
	require.NoError(t, err)
	mustConsume(t, r, "own", ignore, ConsumerOptions{Wait: WaitYield()})
	mustConsume(t, r, "as the ring", ignore, ConsumerOptions{})
	p, err := r.Poller("poller", ConsumerOptions{Wait: WaitSleep()})
	require.NoError(t, err)
	require.Equal(t, WaitYield(), r.loops[0].wait)
	require.Equal(t, WaitPark(), r.loops[1].wait)
	require.Equal(t, WaitSleep(), p.wait)
	require.Equal(t, WaitPark(), r.seq.wait)
	r, err = New[int64](Options{})
	require.NoError(t, err)
	require.Equal(t, WaitAdaptive(), r.seq.wait)
}

// TestConsumer_DefaultMaxBatch is an eighth of the ring, at least 1.
func TestConsumer_DefaultMaxBatch(t *testing.T) {
	for slots, want := range map[int]int{4: 1, 64: 8} {
		r, err := New[int64](Options{Slots: slots})
		require.NoError(t, err)
		longest := 0
		mustConsume(t, r, "c", func(_ int64, span []int64) error {
			longest = max(longest, len(span))
			return nil
		}, ConsumerOptions{})
		publish(t, r, slots)
		require.NoError(t, r.Start())
		require.NoError(t, r.Close(within(t)))
		require.Equal(t, want, longest)
	}
}

// TestRelease_NeverBack: a cursor does not fall, whatever a handler asks for.
func TestRelease_NeverBack(t *testing.T) {
	r, err := New[int64](Options{Slots: 16})
	require.NoError(t, err)
	var c *Consumer
	var at []int64
	c = mustConsume(t, r, "c", func(first int64, _ []int64) error {
		for _, seq := range []int64{first + 5, first + 2, first - 1, 0, -1} {
			c.Release(seq)
			at = append(at, c.Cursor())
		}
		return nil
	}, ConsumerOptions{MaxBatch: 8})
	publish(t, r, 8)
	require.NoError(t, r.Start())
	require.NoError(t, r.Close(within(t)))
	require.Equal(t, []int64{6, 6, 6, 6, 6}, at)
	c.Release(9)
	require.Equal(t, int64(8), c.Cursor())
}

// TestClaim_InAHandler_WaitsForOthers: what holds the ring full is not this handler's span, so its claim waits.
func TestClaim_InAHandler_WaitsForOthers(t *testing.T) {
	both(t, func(t *testing.T, mk maker) {
		for _, w := range []WaitStrategy{{}, WaitYield(), eagerPark()} {
			r := mk(Options{Slots: 2, Wait: w})
			hold := make(chan struct{})
			mustConsume(t, r, "slow", func(int64, []int64) error { <-hold; return nil }, ConsumerOptions{})
			ctx := within(t)
			echo := mustConsume(t, r, "echo", func(first int64, _ []int64) error {
				if first != 2 {
					return nil
				}
				hi, err := r.ClaimContext(ctx, 1)
				if err == nil {
					r.Publish(hi, hi)
				}
				return err
			}, ConsumerOptions{MaxBatch: 1})
			publish(t, r, 2)
			require.NoError(t, r.Start())
			waitUntil(ctx, t, func() bool { return r.Stats().Waiting > 0 || r.Err() != nil })
			close(hold)
			require.NoError(t, echo.WaitFor(ctx, 3))
			require.NoError(t, r.Close(ctx))
		}
	})
}

// TestWaitFor_UpstreamFromAHandler: those that a consumer comes after do not wait for it.
func TestWaitFor_UpstreamFromAHandler(t *testing.T) {
	both(t, func(t *testing.T, mk maker) {
		r := mk(Options{Slots: 8})
		ctx := within(t)
		up := mustConsume(t, r, "up", ignore, ConsumerOptions{})
		mustConsume(t, r, "down", func(first int64, _ []int64) error {
			if first > 1 {
				return nil
			}
			publish(t, r, 1)
			return up.WaitFor(ctx, 2)
		}, ConsumerOptions{After: []*Consumer{up}})
		publish(t, r, 1)
		require.NoError(t, r.Start())
		require.NoError(t, up.WaitFor(ctx, 2))
		require.NoError(t, r.Close(ctx))
	})
}
