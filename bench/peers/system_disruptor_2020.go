package main

import (
	"time"

	disruptor "github.com/smartystreets-prototypes/go-disruptor"
)

// disruptor2020Ring runs the go-disruptor that headrace builds on, as it comes: its own writer, its
// own reader, its default wait strategy, under which an idle consumer sleeps.
func disruptor2020Ring(w Work, m *meter) (Result, error) {
	return disruptor2020(w, m, disruptor.NewWaitStrategy())
}

// disruptor2020YieldRing is the same with a consumer that yields and never sleeps.
func disruptor2020YieldRing(w Work, m *meter) (Result, error) {
	return disruptor2020(w, m, yieldWait{})
}

func disruptor2020(w Work, m *meter, wait disruptor.WaitStrategy) (Result, error) {
	h := newSummingHandler(w, m)
	wireup, err := disruptor.NewWireup(
		disruptor.WithCapacity(ringSlots),
		disruptor.WithWaitStrategy(wait),
		disruptor.WithConsumerGroup(h))
	if err != nil {
		return Result{}, err
	}
	writer, reader := wireup.Build()
	stopped := make(chan struct{})
	go func() {
		reader.Read()
		close(stopped)
	}()

	start := time.Now()
	if m != nil {
		err = m.pace(w.Events, func(int) error {
			seq := writer.Reserve(1)
			h.ring[seq&ringMask] = uint64(seq) + 1
			writer.Commit(seq, seq)
			return nil
		})
	} else {
		batch := int64(w.Batch)
		for left := int64(w.Events); left > 0; left -= batch {
			hi := writer.Reserve(batch)
			lo := hi - batch + 1
			for seq := lo; seq <= hi; seq++ {
				h.ring[seq&ringMask] = uint64(seq) + 1
			}
			writer.Commit(lo, hi)
		}
	}
	<-h.done
	res := Result{Elapsed: time.Since(start), Sum: h.sum}
	if cerr := reader.Close(); err == nil {
		err = cerr
	}
	<-stopped
	return res, err
}
