package ring

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestWaitSpin_NeverYields, and WaitYield does after a while; neither ever parks.
func TestWaitSpin_NeverYields(t *testing.T) {
	const steps = 5000
	for _, w := range []WaitStrategy{WaitSpin(), WaitYield()} {
		v := w.begin()
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
	w := WaitSleep().begin()
	defer w.end()
	var slept []time.Duration
	for len(slept) < 7 {
		require.True(t, w.step())
		if w.slept > 0 {
			slept = append(slept, w.slept/time.Microsecond)
		}
	}
	require.Equal(t, []time.Duration{50, 100, 200, 400, 800, 1000, 1000}, slept)
}
