package main

import (
	"sync"
	"time"
)

// graphSlots is the capacity of the rings with several stages. It is LMAX's.
const graphSlots = 1 << 13

// words are the events of the scenarios with a graph of consumers. Word 0 is the event's number,
// counted from 1. The producer sets the others to zero and stages write into them, so that one who
// reads too early finds the zero, or what the slot's last event left. Arrays, and not structs, so
// that a system needs one generic loop that publishes them all and that the compiler sees through.
type words interface {
	[1]uint64 | [3]uint64 | [4]uint64
}

// flow is the consumers of one round, with their state.
type flow[E words] struct {
	stages []stage[E]
	sum    func() uint64 // when every stage has handled everything
}

// stage is one consumer. handle is called from its goroutine only, with events in order.
type stage[E words] struct {
	name   string
	after  []int // the stages it comes after, all of lower index; none: it reads what is published
	handle func(span []E)
}

// last tells whether nobody comes after stage i.
func (f flow[E]) last(i int) bool {
	for _, st := range f.stages {
		for _, up := range st.after {
			if up == i {
				return false
			}
		}
	}
	return true
}

// groups are the stages' indices in the order of their distance from the producer, for systems
// whose graphs consist of groups, each behind all of the one before.
func (f flow[E]) groups() (out [][]int) {
	depth := make([]int, len(f.stages))
	for i, st := range f.stages {
		for _, up := range st.after {
			depth[i] = max(depth[i], depth[up]+1)
		}
		if depth[i] == len(out) {
			out = append(out, nil)
		}
		out[depth[i]] = append(out[depth[i]], i)
	}
	return out
}

// tally is a sum that belongs to one stage, alone on its cache lines.
type tally struct {
	_ [128]byte
	n uint64
	_ [128]byte
}

// newSumFlow is one consumer that sums the numbers.
func newSumFlow() flow[[1]uint64] {
	t := new(tally)
	return flow[[1]uint64]{
		stages: []stage[[1]uint64]{{name: "sum", handle: func(span [][1]uint64) {
			n := t.n
			for i := range span {
				n += span[i][0]
			}
			t.n = n
		}}},
		sum: func() uint64 { return t.n },
	}
}

// newTripleFlow is the same for events of three words.
func newTripleFlow() flow[[3]uint64] {
	t := new(tally)
	return flow[[3]uint64]{
		stages: []stage[[3]uint64]{{name: "sum", handle: func(span [][3]uint64) {
			n := t.n
			for i := range span {
				n += span[i][0] + span[i][1] + span[i][2]
			}
			t.n = n
		}}},
		sum: func() uint64 { return t.n },
	}
}

// The pipeline of LMAX's OneToThreePipeline: each stage computes from what the one before wrote.
const (
	pipelineOne = 777
	pipelineTwo = 3
)

func newPipelineFlow() flow[[4]uint64] {
	t := new(tally)
	return flow[[4]uint64]{
		stages: []stage[[4]uint64]{
			{name: "one", handle: func(span [][4]uint64) {
				for i := range span {
					e := &span[i]
					e[2] = e[0] + e[1] + pipelineOne
				}
			}},
			{name: "two", after: []int{0}, handle: func(span [][4]uint64) {
				for i := range span {
					e := &span[i]
					e[3] = e[2] + pipelineTwo
				}
			}},
			{name: "three", after: []int{1}, handle: func(span [][4]uint64) {
				n := t.n
				for i := range span {
					n += span[i][3]
				}
				t.n = n
			}},
		},
		sum: func() uint64 { return t.n },
	}
}

func pipelineSum(w Work) uint64 { return ringSum(w) + uint64(w.Events)*(pipelineOne+pipelineTwo) }

// The multicast of LMAX's OneToThreeMulticast: three consumers that see the same events and compute
// each something else of them.
func newMulticastFlow() flow[[1]uint64] {
	sum, diff, xor := new(tally), new(tally), new(tally)
	return flow[[1]uint64]{
		stages: []stage[[1]uint64]{
			{name: "add", handle: func(span [][1]uint64) {
				n := sum.n
				for i := range span {
					n += span[i][0]
				}
				sum.n = n
			}},
			{name: "subtract", handle: func(span [][1]uint64) {
				n := diff.n
				for i := range span {
					n -= span[i][0]
				}
				diff.n = n
			}},
			{name: "xor", handle: func(span [][1]uint64) {
				n := xor.n
				for i := range span {
					n ^= span[i][0]
				}
				xor.n = n
			}},
		},
		sum: func() uint64 { return foldMulticast(sum.n, diff.n, xor.n) },
	}
}

func foldMulticast(sum, diff, xor uint64) uint64 { return mix(sum) ^ mix(diff+1) ^ mix(xor+2) }

func multicastSum(w Work) uint64 {
	var xor uint64
	for i := range uint64(w.Events) {
		xor ^= i + 1
	}
	return foldMulticast(ringSum(w), -ringSum(w), xor)
}

// The diamond of LMAX's OneToThreeDiamond: fizz and buzz mark the multiples of 3 and of 5 side by
// side, and a third one behind both counts those that bear both marks.
func newDiamondFlow() flow[[3]uint64] {
	t := new(tally)
	return flow[[3]uint64]{
		stages: []stage[[3]uint64]{
			{name: "fizz", handle: func(span [][3]uint64) {
				for i := range span {
					if e := &span[i]; e[0]%3 == 0 {
						e[1] = 1
					}
				}
			}},
			{name: "buzz", handle: func(span [][3]uint64) {
				for i := range span {
					if e := &span[i]; e[0]%5 == 0 {
						e[2] = 1
					}
				}
			}},
			{name: "fizz-buzz", after: []int{0, 1}, handle: func(span [][3]uint64) {
				n := t.n
				for i := range span {
					if e := &span[i]; e[1]&e[2] == 1 {
						n += e[0]
					}
				}
				t.n = n
			}},
		},
		sum: func() uint64 { return t.n },
	}
}

// diamondSum is the sum of the multiples of 15.
func diamondSum(w Work) uint64 {
	n := uint64(w.Events) / 15
	return 15 * n * (n + 1) / 2
}

// produce shares the events 1..w.Events out among w.producers() goroutines, one of them the caller's.
// publish gets the number of its first event and how many it publishes; it runs concurrently.
func produce(w Work, publish func(first, n int) error) error {
	producers := w.producers()
	share := w.Events / producers
	if producers == 1 {
		return publish(1, share)
	}
	errs := make([]error, producers)
	var wg sync.WaitGroup
	for p := 1; p < producers; p++ {
		wg.Go(func() { errs[p] = publish(p*share+1, share) })
	}
	errs[0] = publish(1, share)
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// threefold runs three of round side by side, a third of the events each. It is LMAX's ThreeToThree
// for systems whose rings bring their own consumers and cannot be read by one that polls all three.
func threefold(round func(Work) (Result, error)) func(Work) (Result, error) {
	return func(w Work) (Result, error) {
		w.Events, w.Producers = w.Events/3, 1
		var (
			res  [3]Result
			errs [3]error
			wg   sync.WaitGroup
		)
		for i := range res {
			wg.Go(func() { res[i], errs[i] = round(w) })
		}
		wg.Wait()
		all := Result{Start: res[0].Start}
		var end time.Time
		for i, r := range res {
			if errs[i] != nil {
				return Result{}, errs[i]
			}
			if r.Start.Before(all.Start) {
				all.Start = r.Start
			}
			if e := r.Start.Add(r.Elapsed); e.After(end) {
				end = e
			}
			all.Sum += r.Sum
		}
		all.Elapsed = end.Sub(all.Start)
		return all, nil
	}
}

// threefoldSum: each third counts from 1.
func threefoldSum(w Work) uint64 {
	w.Events /= 3
	return 3 * ringSum(w)
}
