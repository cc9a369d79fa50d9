package ring

import (
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestWaitSpin_NeverYields, and WaitYield does after a while; neither ever parks.
func TestWaitSpin_NeverYields(t *testing.T) {
	const steps = 5000
	for _, w := range []WaitStrategy{WaitSpin(), WaitYield()} {
		v := w.begin(habit{})
		for range steps {
			require.True(t, v.step(), w)
		}
		require.Equal(t, w == WaitSpin(), v.polls == steps, "%v: %d polls", w, v.polls)
		require.Positive(t, v.polls)
		v.end()
	}
}

// TestWaitSleep_BacksOff: each sleep is twice as long as the one before, up to a millisecond, and it never parks.
func TestWaitSleep_BacksOff(t *testing.T) {
	w := WaitSleep().begin(habit{})
	defer w.end()
	var slept []time.Duration
	for len(slept) < 7 {
		require.True(t, w.step())
		if w.slept > 0 {
			slept = append(slept, w.slept/time.Microsecond)
			require.False(t, w.yielded, "an event that came while it slept did not come with a yield")
		}
	}
	require.Equal(t, []time.Duration{50, 100, 200, 400, 800, 1000, 1000}, slept)
}

// A park that polling would have made short is one to linger for; a long one is not, and neither is one that is not over.
func TestHabit_LearnsFromParks(t *testing.T) {
	var h habit
	h.parked(1000, 1000+int64(lingerTime))
	require.True(t, h.eager)
	h.parked(1000, 1001+int64(lingerTime))
	require.False(t, h.eager)
}

// Who lingers polls and yields in turns, yields alone once somebody else had its processor, and parks after lingerTime.
func TestWaiter_Lingers(t *testing.T) {
	defer noteProcessors()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	noteProcessors()
	require.Zero(t, spinners.n.Load())
	w := WaitAdaptive().begin(habit{eager: true})
	for w.step() && w.until == 0 { // polls and yields, as ever
	}
	require.Positive(t, w.until, "it lingers before it parks")
	require.Positive(t, w.spins)
	require.EqualValues(t, 1, spinners.n.Load(), "and counts among those who spin")
	began := w.turn
	w.end()
	require.True(t, w.linger(began+int64(lingerLate)))
	require.Equal(t, lingerPolls, w.spins)
	require.Equal(t, 1, w.yields)
	w.end()
	w.spins, w.yields = 0, 0
	require.True(t, w.linger(began+2*int64(lingerLate)+1))
	require.Zero(t, w.spins, "that turn took too long: somebody else has work here")
	require.Equal(t, lingerYields, w.yields)
	w.yields = 0
	require.False(t, w.linger(w.until))
	require.False(t, w.step(), "parks")
	require.Zero(t, spinners.n.Load())

	w = WaitAdaptive().begin(habit{})
	for w.step() {
	}
	require.Zero(t, w.until, "nobody lingers after a long park")

	runtime.GOMAXPROCS(1)
	noteProcessors()
	w = WaitAdaptive().begin(habit{eager: true})
	for w.step() {
	}
	require.Zero(t, w.until, "on one processor lingering holds up who would publish")
}

// A consumer whose event came with a yield yields first the next time, until that is in vain.
func TestPlace_YieldsFirst(t *testing.T) {
	if exploring {
		t.Skip("the explorer decides who runs")
	}
	defer noteProcessors()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // so that what is published while the consumer waits needs a yield
	noteProcessors()
	r, err := New[int64](Options{Slots: 8, Producers: SingleProducer})
	require.NoError(t, err)
	mustConsume(t, r, "c", func(int64, []int64) error { return nil }, ConsumerOptions{})
	l := r.loops[0]
	next := int64(0)
	publishLater := func() {
		next++
		go func() {
			hi, err := r.Claim(1)
			if err == nil {
				r.Publish(hi, hi)
			}
		}()
	}
	const tries = 100 // the runtime's own goroutines may come in between
	for n := 0; !l.habit.handed; n++ {
		require.Less(t, n, tries)
		publishLater()
		require.Equal(t, readable, l.await(next, nil))
		l.cursor.Store(next)
	}
	for n, met := 0, false; !met; n++ {
		require.Less(t, n, tries)
		publishLater()
		if met = l.yieldFirst(next); !met {
			require.False(t, l.habit.handed)
			require.Equal(t, readable, l.await(next, nil))
		}
		l.cursor.Store(next)
	}
	l.habit.handed = true
	require.False(t, l.yieldFirst(next+1), "nothing is there")
	require.False(t, l.habit.handed)
}
