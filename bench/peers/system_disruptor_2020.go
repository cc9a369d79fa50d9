package main

import (
	"time"

	disruptor "github.com/smartystreets-prototypes/go-disruptor"
)

func disruptor2020Sleep() disruptor.WaitStrategy { return disruptor.NewWaitStrategy() }

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

// disruptor2020Open builds graphs. It has no sequencer for many producers.
func disruptor2020Open[E words](wait disruptor.WaitStrategy) func(Work, []E, [][]*flowHandler[E]) (opened, error) {
	return func(w Work, ring []E, groups [][]*flowHandler[E]) (opened, error) {
		options := []disruptor.Option{
			disruptor.WithCapacity(int64(len(ring))), disruptor.WithWaitStrategy(wait),
		}
		for _, group := range groups {
			consumers := make([]disruptor.Consumer, len(group))
			for i, h := range group {
				consumers[i] = h
			}
			options = append(options, disruptor.WithConsumerGroup(consumers...))
		}
		wireup, err := disruptor.NewWireup(options...)
		if err != nil {
			return opened{}, err
		}
		writer, reader := wireup.Build()
		mask := int64(len(ring) - 1)
		publish := func(first, n int) error {
			batch, number := int64(w.Batch), uint64(first)
			for left := int64(n); left > 0; left -= batch {
				hi := writer.Reserve(batch)
				lo := hi - batch + 1
				for seq := lo; seq <= hi; seq++ {
					var e E
					e[0] = number
					ring[seq&mask] = e
					number++
				}
				writer.Commit(lo, hi)
			}
			return nil
		}
		return opened{publish: publish, run: reader.Read, stop: reader.Close}, nil
	}
}

func disruptor2020Raw(wait disruptor.WaitStrategy) func(Work, *rawHandler) (opened, error) {
	return func(_ Work, h *rawHandler) (opened, error) {
		wireup, err := disruptor.NewWireup(disruptor.WithCapacity(ringSlots), disruptor.WithWaitStrategy(wait),
			disruptor.WithConsumerGroup(h))
		if err != nil {
			return opened{}, err
		}
		writer, reader := wireup.Build()
		publish := func(_, n int) error {
			for range n {
				seq := writer.Reserve(1)
				writer.Commit(seq, seq)
			}
			return nil
		}
		return opened{publish: publish, run: reader.Read, stop: reader.Close}, nil
	}
}

func disruptor2020Echo(wait disruptor.WaitStrategy) func(*echo) (oneWay, error) {
	return func(e *echo) (oneWay, error) {
		wireup, err := disruptor.NewWireup(disruptor.WithCapacity(pingPongSlots), disruptor.WithWaitStrategy(wait),
			disruptor.WithConsumerGroup(e))
		if err != nil {
			return oneWay{}, err
		}
		writer, reader := wireup.Build()
		send := func(i uint64) error {
			seq := writer.Reserve(1)
			e.slots[seq&(pingPongSlots-1)] = i
			writer.Commit(seq, seq)
			return nil
		}
		return oneWay{send: send, run: reader.Read, stop: reader.Close}, nil
	}
}
