package main

import (
	"math"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Stats sums up the measured rounds of one system, in events a second.
type Stats struct {
	Median, Min, Max float64
	Latency          *Histogram // nil where the scenario has no paced part
}

// newStats wants at least one rate and does not keep the slice.
func newStats(rates []float64, latency *Histogram) Stats {
	sorted := slices.Clone(rates)
	slices.Sort(sorted)
	return Stats{
		Median: median(sorted), Min: sorted[0], Max: sorted[len(sorted)-1], Latency: latency,
	}
}

// median of a sorted, non-empty slice: the middle one, or the mean of the middle two.
func median(sorted []float64) float64 {
	mid := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[mid]
	}
	return (sorted[mid-1] + sorted[mid]) / 2
}

// rate is events a second. A round too short for the clock counts as one nanosecond.
func rate(events int, elapsed time.Duration) float64 {
	return float64(events) / max(elapsed, 1).Seconds()
}

// Limits of a Histogram. Whatever is outside counts as the limit.
const (
	minLatency = time.Nanosecond
	maxLatency = time.Hour
	// latencyDigits decimal digits of a quantile are right: it is at most 1/1000 too high.
	latencyDigits = 3
)

// Histogram counts durations. It is an HdrHistogram (Gil Tene) in nanoseconds. NewHistogram makes one.
// Not safe for concurrent use; Record takes constant time and does not allocate.
type Histogram struct {
	hdr *hdrhistogram.Histogram
	max time.Duration
}

// NewHistogram returns an empty one, which takes about 250 KiB.
func NewHistogram() *Histogram {
	return &Histogram{hdr: hdrhistogram.New(int64(minLatency), int64(maxLatency), latencyDigits)}
}

// Record counts one duration, clamped to [minLatency, maxLatency]: a clock's grain can make one zero
// or negative.
func (h *Histogram) Record(d time.Duration) {
	d = min(max(d, minLatency), maxLatency)
	h.max = max(h.max, d)
	if err := h.hdr.RecordValue(int64(d)); err != nil {
		panic(err) // it is in range
	}
}

// Count is the number of recorded durations.
func (h *Histogram) Count() int64 { return h.hdr.TotalCount() }

// Max is the longest one, 0 where nothing was recorded.
func (h *Histogram) Max() time.Duration { return h.max }

// Quantile returns the smallest duration that at least the fraction q of the recorded ones do not
// exceed, rounded up in its fourth digit. q in [0, 1]; 0 where nothing was recorded.
func (h *Histogram) Quantile(q float64) time.Duration {
	n := float64(h.Count())
	if n == 0 {
		return 0
	}
	rank := max(math.Ceil(q*n), 1) // HdrHistogram rounds to the nearest instead
	return min(time.Duration(h.hdr.ValueAtQuantile(100*rank/n)), h.max)
}
