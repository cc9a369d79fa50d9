package journal

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Verify reads no more in a second than it was allowed, by its own clock; of a chained segment every record twice.
func TestVerify_BytesPerSecond(t *testing.T) {
	for _, chain := range []bool{false, true} {
		st := newMemStorage()
		j, err := openMem(st, Options{Durability: None(), SegmentBytes: 1 << 20, Chain: chain})
		require.NoError(t, err)
		for j.Stats().Rolls < 2 {
			_, err := j.Append(Entry{Body: make([]byte, 4000)})
			require.NoError(t, err)
		}
		require.NoError(t, j.Sync())
		if chain {
			_, err = j.WaitChained(context.Background(), j.live[0].hdr.first-1)
			require.NoError(t, err)
		}
		for _, perSecond := range []int64{1 << 20, 64 << 10, 0} { // beside the writer
			clock := &fakeClock{t: time.Unix(1000, 0)}
			p := newPace(context.Background(), perSecond)
			p.clock = clock
			rep, err := verifyAt(st, memDir, VerifyOptions{}, p)
			require.NoError(t, err)
			require.True(t, rep.Live)
			if perSecond == 0 {
				require.Empty(t, clock.slept)
				continue
			}
			bytes := int64(0)
			for _, s := range rep.Segments {
				bytes += s.Bytes
				if chain && s.Sealed {
					bytes += s.Bytes
				}
			}
			least := time.Duration(float64(bytes-2*paceStep) / float64(perSecond) * float64(time.Second))
			most := time.Duration(float64(bytes) / float64(perSecond) * float64(time.Second))
			took := clock.t.Sub(time.Unix(1000, 0))
			require.GreaterOrEqual(t, took, least, "%d bytes at %d a second", bytes, perSecond)
			require.LessOrEqual(t, took, most)
		}
		require.NoError(t, j.Close())
	}
	// What its caller asks for reaches it, and its end ends the work.
	ctx, cancel := context.WithCancel(context.Background())
	p := newPace(ctx, 7)
	require.EqualValues(t, 7, p.perSec)
	clock := &fakeClock{t: time.Unix(1000, 0)}
	p.clock = clock
	require.NoError(t, p.spend(paceStep))
	cancel()
	require.ErrorIs(t, p.spend(paceStep), context.Canceled)
	require.Len(t, clock.slept, 1)
}
