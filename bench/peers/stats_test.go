package main

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestNewStats(t *testing.T) {
	odd := newStats([]float64{9, 1, 5}, nil)
	require.Equal(t, Stats{Median: 5, Min: 1, Max: 9}, odd)
	even := newStats([]float64{4, 1, 9, 2}, nil)
	require.Equal(t, Stats{Median: 3, Min: 1, Max: 9}, even)
	one := newStats([]float64{7}, nil)
	require.Equal(t, Stats{Median: 7, Min: 7, Max: 7}, one)
}

func TestRate_ZeroTimeIsFinite(t *testing.T) {
	require.Equal(t, 1e10, rate(10, 0))
	require.Equal(t, 5.0, rate(10, 2*time.Second))
}

func TestHistogram_QuantilesAgainstSorted(t *testing.T) {
	const seed = 7
	rnd := rand.New(rand.NewPCG(seed, 0))
	for _, n := range []int{1, 2, 100, 10_000} {
		h := NewHistogram()
		all := make([]time.Duration, n)
		for i := range all {
			all[i] = time.Duration(rnd.Int64N(1 << (1 + rnd.IntN(40))))
			h.Record(all[i])
		}
		slices.Sort(all)
		for _, q := range []float64{0, 0.5, 0.99, 0.999, 1} {
			rank := max(int(q*float64(n)+0.999999), 1)
			want := all[rank-1]
			got := h.Quantile(q)
			require.GreaterOrEqual(t, got, want, "seed %d, n %d, q %v", seed, n, q)
			require.LessOrEqual(t, got, want+want/1000+1, "seed %d, n %d, q %v", seed, n, q)
		}
	}
}

func TestHistogram_Extremes(t *testing.T) {
	h := NewHistogram()
	require.Zero(t, h.Quantile(0.5), "empty")
	require.Zero(t, h.Max())
	h.Record(-5)
	require.Equal(t, minLatency, h.Quantile(1))
	h.Record(1<<63 - 1)
	require.Equal(t, maxLatency, h.Quantile(1))
	require.Equal(t, maxLatency, h.Max())
	require.EqualValues(t, 2, h.Count())
}
