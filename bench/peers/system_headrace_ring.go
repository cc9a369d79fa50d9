package main

import (
	"context"
	"time"

	"github.com/headrace/headrace/ring"
)

// headraceRing runs headrace's ring with one producer and its default wait strategy.
func headraceRing(w Work, m *meter) (Result, error) {
	return headraceRingWait(w, m, ring.WaitStrategy{})
}

// headraceRingPark has a consumer that soon blocks, which makes batches large, as the sleep in the
// go-disruptors' defaults does.
func headraceRingPark(w Work, m *meter) (Result, error) {
	return headraceRingWait(w, m, ring.WaitPark())
}

// headraceRingYield has a consumer that yields and never blocks.
func headraceRingYield(w Work, m *meter) (Result, error) {
	return headraceRingWait(w, m, ring.WaitYield())
}

func headraceRingWait(w Work, m *meter, wait ring.WaitStrategy) (Result, error) {
	return headraceRingWith(w, m, ring.Options{Wait: wait})
}

func headraceRingWith(w Work, m *meter, o ring.Options) (Result, error) {
	o.Slots, o.Producers = ringSlots, ring.SingleProducer
	r, err := ring.New[uint64](o)
	if err != nil {
		return Result{}, err
	}
	defer r.Halt()
	var sum uint64 // the consumer's until done is closed
	done := make(chan struct{})
	last := int64(w.Events)
	_, err = r.Consume("sum", ring.HandlerFunc[uint64](func(first int64, span []uint64) error {
		part := sum
		for _, v := range span {
			part += v
		}
		sum = part
		hi := first + int64(len(span)) - 1
		if m != nil {
			m.handled(int(first), int(hi))
		}
		if hi == last {
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
	switch {
	case m != nil:
		err = m.pace(w.Events, func(int) error { return publishOnes(r, 1) })
	case w.Batch == 1:
		err = publishOnes(r, w.Events)
	default:
		err = publishBatches(r, w.Events, w.Batch)
	}
	if err != nil {
		return Result{}, err
	}
	select {
	case <-done:
	case <-r.Done():
		return Result{}, r.Err()
	}
	res := Result{Elapsed: time.Since(start), Sum: sum}
	return res, r.Close(context.Background())
}

func publishOnes(r *ring.Ring[uint64], events int) error {
	p := r.Producer()
	for range events {
		seq, err := p.Next()
		if err != nil {
			return err
		}
		*p.Slot(seq) = uint64(seq)
		p.Publish(seq, seq)
	}
	return nil
}

func publishBatches(r *ring.Ring[uint64], events, batch int) error {
	for left := events; left > 0; left -= batch {
		hi, err := r.Claim(batch)
		if err != nil {
			return err
		}
		lo := hi - int64(batch) + 1
		for seq := lo; seq <= hi; seq++ {
			*r.Slot(seq) = uint64(seq)
		}
		r.Publish(lo, hi)
	}
	return nil
}
