package ring

import (
	"context"
	"errors"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

func publishNext(p *Producer[int64]) error {
	seq, err := p.Next()
	if err != nil {
		return err
	}
	*p.Slot(seq) = seq
	p.Publish(seq, seq)
	return nil
}

// TestProducer_MixedWithTheRing: Next goes on where Claim stopped and the other way round, over many
// laps of small rings, the last ones near where a lap's number wraps.
func TestProducer_MixedWithTheRing(t *testing.T) {
	both(t, func(t *testing.T, mk maker) {
		for _, slots := range []int{1, 2, 8, 256} {
			for _, first := range []int64{1, int64(slots)*math.MaxInt32 - 100, MaxFirstSequence} {
				r := mk(Options{Slots: slots, FirstSequence: first})
				next := first
				mustConsume(t, r, "c", func(at int64, span []int64) error {
					for i, v := range span {
						if v != at+int64(i) || v != next {
							return errors.New("out of order")
						}
						next++
					}
					return nil
				}, ConsumerOptions{})
				require.NoError(t, r.Start())
				p := r.Producer()
				for n := range 1500 {
					require.NoError(t, publishNext(p))
					if n%3 == 0 {
						publish(t, r, n%slots+1)
					}
				}
				require.NoError(t, r.Close(within(t)))
				require.Equal(t, r.seq.claimed()+1, next)
				_, err := p.Next()
				require.ErrorIs(t, err, ErrClosed)
				_, err = p.Next()
				require.ErrorIs(t, err, ErrClosed)
				require.Equal(t, r.seq.claimed()+1, next)
			}
		}
	})
}

// TestProducer_SeveralOutstanding: claims may be published later, and in parts.
func TestProducer_SeveralOutstanding(t *testing.T) {
	both(t, func(t *testing.T, mk maker) {
		r := mk(Options{Slots: 8})
		c := consumerForTest(r)
		p := r.Producer()
		for want := int64(1); want <= 8; want++ {
			seq, err := p.Next()
			require.NoError(t, err)
			require.Equal(t, want, seq)
		}
		require.Equal(t, int64(0), r.Remaining())
		_, err := r.TryClaim(1)
		require.ErrorIs(t, err, ErrFull)
		require.Equal(t, int64(8), r.seq.claimed())
		p.Publish(1, 3)
		require.Equal(t, int64(3), r.Cursor())
		p.Publish(4, 8)
		require.Equal(t, int64(8), r.Cursor())
		c.cursor.Store(1)
		seq, err := p.Next()
		require.NoError(t, err)
		require.Equal(t, int64(9), seq)
	})
}

// TestProducer_FullRing_NobodySeesMoreThanThereIsRoomFor: what Next stores before it has looked
// must not show, or Join would find that the oldest event is gone, and Close that one is missing.
func TestProducer_FullRing_NobodySeesMoreThanThereIsRoomFor(t *testing.T) {
	both(t, func(t *testing.T, mk maker) {
		r := mk(Options{Slots: 4})
		p := r.Producer()
		for range 4 {
			require.NoError(t, publishNext(p))
		}
		if !r.seq.quick || debugging {
			return
		}
		p.claimed++ // Next, up to its first load
		require.Greater(t, p.claimed, p.limit)
		require.Equal(t, int64(4), r.seq.claimed())
		r.seq.fence()
		require.True(t, r.seq.drained(4))
		require.ErrorIs(t, p.claim(), ErrClosed)
		require.Equal(t, int64(4), p.claimed)
	})
}

// TestProducer_LateNewcomer_ClaimedStays: a consumer that asks for what is overwritten already is in the
// gating set for a moment, and what it leaves room for is less than what is claimed.
func TestProducer_LateNewcomer_ClaimedStays(t *testing.T) {
	both(t, func(t *testing.T, mk maker) {
		r := mk(Options{Slots: 4})
		c := consumerForTest(r)
		publish(t, r, 4)
		c.cursor.Store(4)
		publish(t, r, 4)
		c.cursor.Store(2) // now the newcomer
		r.seq.state.Or(stateRegate)
		_, err := r.TryClaim(1)
		require.ErrorIs(t, err, ErrFull)
		require.Equal(t, int64(8), r.seq.claimed())
		c.cursor.Store(8)
		require.NoError(t, publishNext(r.Producer()))
	})
}

// TestProducer_NextBlocks until there is room, and until the ring is closed.
func TestProducer_NextBlocks(t *testing.T) {
	both(t, func(t *testing.T, mk maker) {
		r := mk(Options{Slots: 2, Wait: WaitPark()})
		c := consumerForTest(r)
		p := r.Producer()
		var passed atomic.Int64
		done := make(chan error, 1)
		go func() {
			for {
				if err := publishNext(p); err != nil {
					done <- err
					return
				}
				passed.Add(1)
			}
		}()
		ctx := within(t)
		waitUntil(ctx, t, func() bool { return c.gate.wakeAt.Load() != never })
		require.Equal(t, int64(2), passed.Load())
		c.progress(1)
		waitUntil(ctx, t, func() bool { return passed.Load() == 3 && c.gate.wakeAt.Load() != never })
		r.Halt()
		require.ErrorIs(t, <-done, ErrHalted)
	})
}

// TestProducer_CloseMeetsNext: Close falls anywhere between claims, and every event of a claim that held
// is handled.
func TestProducer_CloseMeetsNext(t *testing.T) {
	both(t, func(t *testing.T, mk maker) {
		rounds := 300
		if testing.Short() {
			rounds = 30
		}
		for range rounds {
			r := mk(Options{Slots: 64})
			var seen int64
			mustConsume(t, r, "c", func(_ int64, span []int64) error { seen += int64(len(span)); return nil }, ConsumerOptions{})
			require.NoError(t, r.Start())
			var published int64
			var wg sync.WaitGroup
			var begun atomic.Bool
			wg.Go(func() {
				p := r.Producer()
				for publishNext(p) == nil {
					published++
					begun.Store(true)
				}
			})
			waitUntil(within(t), t, begun.Load)
			require.NoError(t, r.Close(within(t)))
			wg.Wait()
			require.Equal(t, published, seen)
		}
	})
}

// TestProducer_JoinWhileItPublishes: a consumer that joins makes Next look at gating again.
func TestProducer_JoinWhileItPublishes(t *testing.T) {
	both(t, func(t *testing.T, mk maker) {
		r := mk(Options{Slots: 64})
		mustConsume(t, r, "c", ignore, ConsumerOptions{})
		require.NoError(t, r.Start())
		ctx := within(t)
		var stop atomic.Bool
		done := make(chan error, 1)
		go func() {
			p := r.Producer()
			for !stop.Load() {
				if err := publishNext(p); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
		for range 50 {
			next := int64(0)
			j, err := r.Join(ctx, "j", HandlerFunc[int64](func(first int64, span []int64) error {
				for i, v := range span {
					// Of many producers Join may be one itself, and abort what it claims.
					if v != first+int64(i) || next != 0 && v != next && (v < next || !r.seq.multi) {
						return errors.New("gap")
					}
					next = v + 1
				}
				return nil
			}), ConsumerOptions{})
			require.NoError(t, err)
			require.NoError(t, j.WaitFor(ctx, j.Cursor()+100))
			require.NoError(t, r.Leave(ctx, j))
		}
		stop.Store(true)
		require.NoError(t, <-done)
		require.NoError(t, r.Close(ctx))
	})
}

// TestProducerAndLanes_NoAllocation: Next as it blocks and as it does not, and the lanes of a group.
func TestProducerAndLanes_NoAllocation(t *testing.T) {
	both(t, func(t *testing.T, mk maker) {
		r := mk(Options{Slots: 8, Wait: eagerPark()})
		key := func(v *int64) uint64 { return uint64(*v) }
		g, err := r.Share("lanes", key, []Handler[int64]{HandlerFunc[int64](ignore), HandlerFunc[int64](ignore)}, ConsumerOptions{})
		require.NoError(t, err)
		last := mustConsume(t, r, "last", ignore, ConsumerOptions{After: g.Lanes()})
		require.NoError(t, r.Start())
		ctx, p := within(t), r.Producer()
		allocs := testing.AllocsPerRun(1000, func() {
			for range 20 {
				if err := publishNext(p); err != nil {
					t.Fatal(err)
				}
			}
			if err := last.WaitFor(ctx, r.Cursor()); err != nil {
				t.Fatal(err)
			}
		})
		if !raceEnabled && !debugging { // the detector makes sync.Pool forget, the checks allocate
			require.Zero(t, allocs)
		}
		require.NoError(t, r.Close(ctx))
	})
}

// waitUntil returns when ready holds.
func waitUntil(ctx context.Context, t *testing.T, ready func() bool) {
	t.Helper()
	for !ready() {
		require.NoError(t, ctx.Err())
		runtime.Gosched()
	}
}

// A claim of many producers sees whether it passes the end of a stretch from two sequences alone, which
// takes stretches of a power of two, whatever the slots' size.
func TestMultiProducer_StretchIsAPowerOfTwo(t *testing.T) {
	stretch := func(r *sequencer) int64 { return r.stretch }
	r0, err := New[struct{}](Options{Slots: 8})
	require.NoError(t, err)
	r24, err := New[[3]int64](Options{Slots: 8})
	require.NoError(t, err)
	r64, err := New[[8]int64](Options{Slots: 8})
	require.NoError(t, err)
	r800, err := New[[100]int64](Options{Slots: 8})
	require.NoError(t, err)
	require.Equal(t, []int64{512, 16, 8, 1},
		[]int64{stretch(r0.seq), stretch(r24.seq), stretch(r64.seq), stretch(r800.seq)})
}
