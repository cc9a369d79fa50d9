package main

import (
	"math/bits"
	"slices"
	"time"
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

// subBits is the precision of a Histogram: each power of two is divided into 2^subBits buckets, so
// a quantile is at most 1/32 (3 %) too high.
const subBits = 5

// Histogram counts durations in log-linear buckets, in the manner of HdrHistogram (Gil Tene): a
// fixed 15 KiB, constant time and no allocation a value. Not safe for concurrent use.
type Histogram struct {
	counts [(64 - subBits) << subBits]int64
	n      int64
	max    time.Duration
}

// Record counts one duration; a negative one (a clock's grain) counts as zero.
func (h *Histogram) Record(d time.Duration) {
	h.counts[bucket(uint64(max(d, 0)))]++
	h.n++
	h.max = max(h.max, d)
}

// Count is the number of recorded durations.
func (h *Histogram) Count() int64 { return h.n }

// Quantile returns the smallest duration that at least the fraction q of the recorded ones do not
// exceed, rounded up to the end of its bucket. q in [0, 1]; 0 where nothing was recorded.
func (h *Histogram) Quantile(q float64) time.Duration {
	rank := max(int64(q*float64(h.n)+0.999999), 1)
	var seen int64
	for i, c := range h.counts {
		if seen += c; seen >= rank {
			return min(time.Duration(bucketMax(i)), h.max)
		}
	}
	return h.max
}

// bucket: values below 2^subBits have one each; above, the exponent and the subBits bits after the
// leading one choose.
func bucket(v uint64) int {
	if v < 1<<subBits {
		return int(v)
	}
	shift := bits.Len64(v) - 1 - subBits
	return shift<<subBits + int(v>>shift)
}

// bucketMax is the largest value that bucket puts into i.
func bucketMax(i int) uint64 {
	if i < 1<<(subBits+1) {
		return uint64(i)
	}
	shift := i>>subBits - 1
	return (uint64(i&(1<<subBits-1))+1<<subBits+1)<<shift - 1
}
