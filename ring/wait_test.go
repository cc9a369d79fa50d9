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

// A consumer that comes near the producer rests before a short batch, but the first event after a
// break is not kept waiting.
func TestChase_RestsBeforeAShortBatch_NotAfterABreak(t *testing.T) {
	r, err := New[int64](Options{Slots: 1 << 16, Producers: SingleProducer})
	require.NoError(t, err)
	mustConsume(t, r, "c", func(int64, []int64) error { return nil }, ConsumerOptions{})
	l := r.loops[0]
	publish := func(n int) {
		hi, err := r.Claim(n)
		require.NoError(t, err)
		r.Publish(hi-int64(n)+1, hi)
	}
	over := make(chan struct{})
	close(over)
	rests := func() bool { // Load has called rest, for which a single event is no stream
		l.chase.pauses, l.chase.from = 1, l.ring.Cursor()-1
		l.Load()
		return l.chase.pauses == 0
	}

	l.chase.pauses = 1
	require.Equal(t, given, l.await(1, over), "a break")
	publish(1)
	require.False(t, rests(), "the first event after a break")
	require.False(t, l.chase.waited)
	publish(1)
	l.cursor.Store(1)
	require.True(t, rests(), "a short batch")
	publish(batchEnough)
	require.False(t, rests(), "long enough")
	l.cursor.Store(2 + batchEnough)
	require.False(t, rests(), "nothing is readable: Idle rests")
	require.EqualValues(t, 2+batchEnough, l.Load())
}

func TestWaitAdaptive_OneProcessorNeverSpins(t *testing.T) {
	defer noteProcessors()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	noteProcessors()
	w := WaitAdaptive().begin(habit{})
	require.Zero(t, w.spins)
	w.end()
	runtime.GOMAXPROCS(2)
	noteProcessors()
	require.Zero(t, spinners.n.Load())
	first, second := WaitAdaptive().begin(habit{}), WaitAdaptive().begin(habit{})
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
