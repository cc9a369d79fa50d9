package handlers

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Random calls against a breaker: what it lets through is what its description says.
func TestCircuit_RandomCalls(t *testing.T) {
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 200 {
		o, err := Circuit{Failures: 1 + rng.IntN(4), OpenFor: time.Minute, Probes: 1 + rng.IntN(3)}.withDefaults()
		require.NoError(t, err)
		b := newBreaker(o)
		now := time.Unix(0, 0)
		var open []int // calls under way, by what begin returned
		row, since := 0, 0
		for range 200 {
			switch rng.IntN(3) {
			case 0:
				if b.allows() {
					require.NotEqual(t, CircuitOpen, b.state, "seed %d", seed)
					open = append(open, b.begin())
				}
			case 1:
				if len(open) == 0 {
					continue
				}
				i := rng.IntN(len(open))
				ok := rng.IntN(2) == 0
				before, counts := b.state, open[i] == b.since
				opened := b.end(open[i], ok, now)
				open = append(open[:i], open[i+1:]...)
				if !counts {
					require.Equal(t, before, b.state, "seed %d: a result from before counts", seed)
					continue
				}
				if since != b.since && before != CircuitClosed {
					row = 0
				}
				switch before {
				case CircuitClosed:
					if row++; ok {
						row = 0
					}
					require.Equal(t, row == o.Failures, opened, "seed %d", seed)
				case CircuitHalfOpen:
					require.Equal(t, !ok, opened, "seed %d", seed)
				}
				if opened {
					require.Equal(t, now.Add(time.Minute), b.until)
				}
				if b.since != since {
					row, since = 0, b.since
				}
			case 2:
				now = now.Add(10 * time.Second)
				if b.state == CircuitOpen && !now.Before(b.until) {
					b.change(CircuitHalfOpen)
					since, row = b.since, 0
					probes := 0
					for b.allows() {
						open = append(open, b.begin())
						probes++
					}
					require.Equal(t, o.Probes, probes, "seed %d", seed)
				}
			}
		}
	}
}

func TestCircuit_None_NeverOpens(t *testing.T) {
	o, err := Circuit{}.withDefaults()
	require.NoError(t, err)
	b := newBreaker(o)
	for range 100 {
		require.True(t, b.allows())
		require.False(t, b.end(b.begin(), false, time.Time{}))
	}
}
