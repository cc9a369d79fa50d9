package ring

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestChase_RestsOnlyBehindABusyProducer(t *testing.T) {
	limits := chaseLimits()
	c := newChase(1, 1<<16)
	cursor := int64(0)
	give := func(events int64) int64 {
		cursor += events
		c.rest(cursor)
		return c.pauses
	}
	require.Zero(t, give(1), "a single event is no stream")
	rest := give(50)
	require.Positive(t, rest)
	require.Greater(t, give(100), rest)
	for range 20 {
		rest = give(batchEnough - 1)
	}
	require.Equal(t, limits.most, rest)
	require.Equal(t, rest, give(batchEnough), "long enough")
	require.Less(t, give(3*batchEnough), rest, "too long")
	for range 20 {
		rest = give(2) // slow: a rest would only delay it
	}
	require.LessOrEqual(t, rest, 2*limits.slow)

	small := newChase(1, 8)
	for range 20 {
		cursor += 8
		small.rest(cursor)
	}
	require.Zero(t, small.pauses, "a ring of 8 slots is full before a rest is over")
}

func TestWaitAdaptive_OneProcessorNeverSpins(t *testing.T) {
	defer noteProcessors()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	noteProcessors()
	w := WaitAdaptive().begin()
	require.Zero(t, w.spins)
	w.end()
	runtime.GOMAXPROCS(2)
	noteProcessors()
	require.Zero(t, spinners.n.Load())
	first, second := WaitAdaptive().begin(), WaitAdaptive().begin()
	require.Positive(t, first.spins)
	require.Zero(t, second.spins, "one of two processors is for somebody who works")
	first.end()
	first.end()
	second.end()
	require.Zero(t, spinners.n.Load())
	for first.step() {
	}
	require.Zero(t, first.yields)
}

// A fenced ring asks the kernel for nothing when somebody parks, and loses no wake-up either.
func TestRing_Fenced_ParksWithoutMembarrier(t *testing.T) {
	for _, producers := range []Producers{MultiProducer, SingleProducer} {
		r, err := New[int64](Options{Slots: 64, Producers: producers, Wait: WaitPark(), Fenced: true})
		require.NoError(t, err)
		require.False(t, r.seq.plain)
		var sum int64
		c := mustConsume(t, r, "sum", func(_ int64, span []int64) error {
			for _, v := range span {
				sum += v
			}
			return nil
		}, ConsumerOptions{})
		require.False(t, c.gate.plain)
		require.NoError(t, r.Start())
		for i := range int64(200) { // each one after the consumer has handled, and parked or is about to
			seq, err := r.Claim(1)
			require.NoError(t, err)
			*r.Slot(seq) = i
			r.Publish(seq, seq)
			require.NoError(t, c.WaitFor(t.Context(), seq))
		}
		require.NoError(t, r.Close(t.Context()))
		require.EqualValues(t, 199*200/2, sum)
	}
}
