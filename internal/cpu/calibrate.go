package cpu

import (
	"math"
	"sync"
	"time"
)

// PausesFor returns how many hints Pause must execute to take about d, at least 1. The length of
// one is measured once a process, by the first call, which takes some tens of microseconds.
func PausesFor(d time.Duration) int32 {
	n := float64(d) / pauseNanos()
	return int32(math.Max(1, math.Min(n, 1<<20)))
}

// pauseNanos takes the shortest of a few rounds: an interrupted round is too long, never too
// short.
var pauseNanos = sync.OnceValue(func() float64 {
	const rounds, pauses = 8, 64
	shortest := time.Duration(math.MaxInt64)
	for range rounds {
		start := time.Now()
		Pause(pauses)
		shortest = min(shortest, time.Since(start))
	}
	return math.Max(float64(shortest)/pauses, 0.25)
})
