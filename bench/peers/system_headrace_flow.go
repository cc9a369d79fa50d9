package main

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/headrace/headrace/ring"
)

// headraceFlow runs a graph of consumers on headrace's ring, with the sequencer for one producer
// where there is one.
func headraceFlow[E words](newFlow func() flow[E], slots int, wait ring.WaitStrategy) func(Work) (Result, error) {
	return func(w Work) (Result, error) {
		o := ring.Options{Slots: slots, Wait: wait}
		if w.producers() == 1 {
			o.Producers = ring.SingleProducer
		}
		r, err := ring.New[E](o)
		if err != nil {
			return Result{}, err
		}
		defer r.Halt()
		f := newFlow()
		last := int64(w.Events)
		done := make(chan struct{}, len(f.stages)) // a token from each stage that nobody comes after
		waits := 0
		consumers := make([]*ring.Consumer, len(f.stages))
		for i, st := range f.stages {
			var co ring.ConsumerOptions
			for _, up := range st.after {
				co.After = append(co.After, consumers[up])
			}
			h := func(_ int64, span []E) error {
				st.handle(span)
				return nil
			}
			if f.last(i) {
				waits++
				h = func(first int64, span []E) error {
					st.handle(span)
					if first+int64(len(span))-1 == last {
						done <- struct{}{}
					}
					return nil
				}
			}
			consumers[i], err = r.Consume(st.name, ring.HandlerFunc[E](h), co)
			if err != nil {
				return Result{}, err
			}
		}
		if err := r.Start(); err != nil {
			return Result{}, err
		}

		start := time.Now()
		err = produce(w, func(first, n int) error { return publishWords(r, first, n, w.Batch) })
		if err != nil {
			return Result{}, err
		}
		for range waits {
			select {
			case <-done:
			case <-r.Done():
				return Result{}, r.Err()
			}
		}
		res := Result{Start: start, Elapsed: time.Since(start), Sum: f.sum()}
		return res, r.Close(context.Background())
	}
}

// publishWords publishes n events from number first on, batch at a time.
func publishWords[E words](r *ring.Ring[E], first, n, batch int) error {
	number := uint64(first)
	if batch == 1 {
		p := r.Producer()
		for range n {
			seq, err := p.Next()
			if err != nil {
				return err
			}
			var e E
			e[0] = number
			*p.Slot(seq) = e
			p.Publish(seq, seq)
			number++
		}
		return nil
	}
	for left := n; left > 0; left -= batch {
		hi, err := r.Claim(batch)
		if err != nil {
			return err
		}
		lo := hi - int64(batch) + 1
		for seq := lo; seq <= hi; seq++ {
			var e E
			e[0] = number
			*r.Slot(seq) = e
			number++
		}
		r.Publish(lo, hi)
	}
	return nil
}

// headraceRaw is the ring without events: nothing is written or read, sequences are only handed over.
func headraceRaw(wait ring.WaitStrategy) func(Work) (Result, error) {
	return func(w Work) (Result, error) {
		r, err := ring.New[struct{}](ring.Options{Slots: ringSlots, Producers: ring.SingleProducer, Wait: wait})
		if err != nil {
			return Result{}, err
		}
		defer r.Halt()
		last, seen := int64(w.Events), new(tally)
		done := make(chan struct{})
		_, err = r.Consume("count", ring.HandlerFunc[struct{}](func(first int64, span []struct{}) error {
			seen.n += uint64(len(span))
			if first+int64(len(span))-1 == last {
				close(done)
			}
			return nil
		}), ring.ConsumerOptions{})
		if err != nil {
			return Result{}, err
		}
		if err := r.Start(); err != nil {
			return Result{}, err
		}
		start := time.Now()
		if err := publishNothing(r, w.Events); err != nil {
			return Result{}, err
		}
		select {
		case <-done:
		case <-r.Done():
			return Result{}, r.Err()
		}
		res := Result{Start: start, Elapsed: time.Since(start), Sum: seen.n}
		return res, r.Close(context.Background())
	}
}

// publishNothing hands over n sequences. It is a function of its own, because the compiler does not
// inline once more what is in a closure that it has inlined.
func publishNothing(r *ring.Ring[struct{}], n int) error {
	p := r.Producer()
	for range n {
		seq, err := p.Next()
		if err != nil {
			return err
		}
		p.Publish(seq, seq)
	}
	return nil
}

// headracePolled is LMAX's ThreeToThree: a ring for each of three producers, and one consumer that
// polls them in turn.
func headracePolled(w Work) (Result, error) {
	const lanes = 3
	var (
		rings   [lanes]*ring.Ring[[3]uint64]
		pollers [lanes]*ring.Poller[[3]uint64]
	)
	for l := range lanes {
		r, err := ring.New[[3]uint64](ring.Options{Slots: ringSlots, Producers: ring.SingleProducer})
		if err != nil {
			return Result{}, err
		}
		defer r.Halt()
		rings[l] = r
		if pollers[l], err = r.Poller("sum", ring.ConsumerOptions{}); err != nil {
			return Result{}, err
		}
		if err := r.Start(); err != nil {
			return Result{}, err
		}
	}
	type answer struct {
		sum uint64
		err error
	}
	total := make(chan answer, 1)
	go func() {
		var sum uint64
		for left := w.Events; left > 0; {
			idle := true
			for l, p := range pollers {
				_, span, err := p.Poll(ringSlots)
				if err != nil {
					total <- answer{err: fmt.Errorf("ring %d: %w", l, err)}
					return
				}
				for i := range span {
					sum += span[i][0] + span[i][1] + span[i][2]
				}
				left -= len(span)
				idle = idle && len(span) == 0
			}
			if idle {
				runtime.Gosched()
			}
		}
		total <- answer{sum: sum}
	}()

	start := time.Now()
	share := w.Events / lanes
	err := produce(w, func(first, n int) error {
		return publishWords(rings[(first-1)/share], 1, n, w.Batch)
	})
	if err != nil {
		return Result{}, err
	}
	a := <-total
	return Result{Start: start, Elapsed: time.Since(start), Sum: a.sum}, a.err
}
