package main

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// runFlow handles the events 1..n stage by stage, in spans of uneven length.
func runFlow[E words](f flow[E], n int, spoil func(stage int, span []E)) uint64 {
	events := make([]E, n)
	for i := range events {
		events[i][0] = uint64(i + 1)
	}
	for s, st := range f.stages {
		for lo, length := 0, 1; lo < n; lo, length = lo+length, length%7+1 {
			span := events[lo:min(lo+length, n)]
			if spoil != nil {
				spoil(s, span)
			}
			st.handle(span)
		}
	}
	return f.sum()
}

// The sums that rounds are checked against are those of the flows themselves, done in order.
func TestFlows_WantIsWhatTheyCompute(t *testing.T) {
	for _, n := range []int{1, 2, 14, 15, 16, 1000, 12345} {
		w := Work{Events: n, Batch: 1}
		require.Equal(t, ringSum(w), runFlow(newSumFlow(), n, nil), "sum of %d", n)
		require.Equal(t, ringSum(w), runFlow(newTripleFlow(), n, nil), "triple of %d", n)
		require.Equal(t, pipelineSum(w), runFlow(newPipelineFlow(), n, nil), "pipeline of %d", n)
		require.Equal(t, multicastSum(w), runFlow(newMulticastFlow(), n, nil), "multicast of %d", n)
		require.Equal(t, diamondSum(w), runFlow(newDiamondFlow(), n, nil), "diamond of %d", n)
	}
}

// A stage that comes too early, or an event that one consumer misses, changes the sum.
func TestFlows_NoticeWhatIsMissed(t *testing.T) {
	const n = 1000
	w := Work{Events: n, Batch: 1}
	require.NotEqual(t, pipelineSum(w), runFlow(newPipelineFlow(), n, func(stage int, span [][4]uint64) {
		if stage == 2 && span[0][0] == 1 {
			span[0][3] = 0 // as the producer left it: stage two has not been there
		}
	}))
	require.NotEqual(t, diamondSum(w), runFlow(newDiamondFlow(), n, func(stage int, span [][3]uint64) {
		for i := range span {
			if stage == 2 && span[i][0] == 15 {
				span[i][2] = 0
			}
		}
	}))
	for missing := range 3 {
		require.NotEqual(t, multicastSum(w), runFlow(newMulticastFlow(), n, func(stage int, span [][1]uint64) {
			if stage == missing && span[0][0] == 1 {
				span[0][0] = 0
			} else if stage > missing && span[0][0] == 0 {
				span[0][0] = 1
			}
		}), "consumer %d missed event 1", missing)
	}
}

func TestFlow_GroupsAndLast(t *testing.T) {
	require.Equal(t, [][]int{{0}, {1}, {2}}, newPipelineFlow().groups())
	require.Equal(t, [][]int{{0, 1, 2}}, newMulticastFlow().groups())
	require.Equal(t, [][]int{{0, 1}, {2}}, newDiamondFlow().groups())

	last := func(n int, f func(int) bool) (out []int) {
		for i := range n {
			if f(i) {
				out = append(out, i)
			}
		}
		return out
	}
	require.Equal(t, []int{2}, last(3, newPipelineFlow().last))
	require.Equal(t, []int{0, 1, 2}, last(3, newMulticastFlow().last))
	require.Equal(t, []int{2}, last(3, newDiamondFlow().last))
}

func TestProduce_SharesEveryEventOutOnce(t *testing.T) {
	for _, producers := range []int{0, 1, 3} {
		var mu sync.Mutex
		var got []int
		err := produce(Work{Events: 30, Batch: 1, Producers: producers}, func(first, n int) error {
			mu.Lock()
			defer mu.Unlock()
			for i := range n {
				got = append(got, first+i)
			}
			return nil
		})
		require.NoError(t, err)
		slices.Sort(got)
		require.Len(t, got, 30)
		for i, number := range got {
			require.Equal(t, i+1, number)
		}
	}
	boom := errors.New("boom")
	err := produce(Work{Events: 3, Batch: 1, Producers: 3}, func(first, _ int) error {
		if first == 3 {
			return boom
		}
		return nil
	})
	require.ErrorIs(t, err, boom)
}

func TestThreefold_FromTheFirstStartToTheLastEnd(t *testing.T) {
	begin := time.Now()
	var mu sync.Mutex
	calls := 0
	round := threefold(func(w Work) (Result, error) {
		mu.Lock()
		defer mu.Unlock()
		calls++
		d := time.Duration(calls) * time.Second
		return Result{Start: begin.Add(d), Elapsed: d, Sum: ringSum(w)}, nil
	})
	res, err := round(Work{Events: 30, Batch: 1, Producers: 3})
	require.NoError(t, err)
	require.Equal(t, 3, calls)
	require.Equal(t, 5*time.Second, res.Elapsed) // 1 s to 3 s + 3 s
	require.Equal(t, threefoldSum(Work{Events: 30}), res.Sum)

	boom := errors.New("boom")
	_, err = threefold(func(Work) (Result, error) { return Result{}, boom })(Work{Events: 3})
	require.ErrorIs(t, err, boom)
}

// Handlers of systems without spans of their own get them cut where the slots wrap.
func TestFlowHandler_CutsAtTheWrap(t *testing.T) {
	slots := make([][1]uint64, 8)
	for i := range slots {
		slots[i][0] = uint64(i)
	}
	var got []string
	done := make(chan struct{}, 1)
	h := &flowHandler[[1]uint64]{slots: slots, last: 17, done: done, handle: func(span [][1]uint64) {
		got = append(got, fmt.Sprintf("%d+%d", span[0][0], len(span)))
	}}
	h.Handle(6, 9)
	require.Equal(t, []string{"6+2", "0+2"}, got)
	require.Empty(t, done)
	h.Consume(10, 17)
	require.Equal(t, []string{"6+2", "0+2", "2+6", "0+2"}, got)
	require.Len(t, done, 1)
}

func TestPinger_OneAtATimeUntilTheLast(t *testing.T) {
	var sent []uint64
	p := newPinger(Work{Events: 3}, nil)
	p.send = func(i uint64) error {
		sent = append(sent, i)
		return nil
	}
	require.NoError(t, p.start())
	for i := uint64(0); i <= 3; i++ {
		require.Equal(t, i, sent[len(sent)-1])
		require.Empty(t, p.done)
		p.back(i)
	}
	require.NoError(t, <-p.done)
	require.Equal(t, []uint64{0, 1, 2, 3}, sent)
	require.Equal(t, ringSum(Work{Events: 3}), p.sum)

	boom := errors.New("boom")
	p = newPinger(Work{Events: 3}, nil)
	p.send = func(uint64) error { return boom }
	p.back(1)
	require.ErrorIs(t, <-p.done, boom)
}

// Event 1 is due when event 0 has come back and not before, and event 0 is not measured.
func TestPinger_OpensBeforeItMeasures(t *testing.T) {
	h := NewHistogram()
	w := Work{Events: 2, PacedRate: 1_000_000}
	p := newPinger(w, newMeter(w, h))
	p.send = func(uint64) error { return nil }
	require.NoError(t, p.start())
	require.Zero(t, p.meter.start)
	before := sinceStart()
	p.back(0)
	require.GreaterOrEqual(t, p.meter.start, before+settle)
	require.GreaterOrEqual(t, sinceStart(), p.meter.due(1))
	require.Zero(t, h.Count())
	p.back(1)
	p.back(2)
	require.NoError(t, <-p.done)
	require.EqualValues(t, 2, h.Count())
}
