package main

import "time"

// Capacities of the channels. Larger ones, up to those of the rings, came out up to 40 % slower:
// producer and consumer then run far apart and miss each other's cache.
const (
	channelEvents  = 512
	channelBatches = 256 // of ten
)

// channelRing is what most Go programs use: a buffered channel, one event a send.
func channelRing(w Work, m *meter) (Result, error) {
	events := make(chan uint64, channelEvents)
	total := make(chan uint64, 1)
	go func() {
		if m != nil {
			total <- sumMetered(events, m)
		} else {
			total <- sumAll(events)
		}
	}()

	start := time.Now()
	var err error
	if m != nil {
		err = m.pace(w.Events, func(i int) error {
			events <- uint64(i)
			return nil
		})
	} else {
		for i := uint64(1); i <= uint64(w.Events); i++ {
			events <- i
		}
	}
	close(events)
	sum := <-total
	return Result{Elapsed: time.Since(start), Sum: sum}, err
}

func sumAll(events <-chan uint64) (sum uint64) {
	for v := range events {
		sum += v
	}
	return sum
}

func sumMetered(events <-chan uint64, m *meter) (sum uint64) {
	for v := range events {
		sum += v
		m.handled(int(v), int(v))
	}
	return sum
}

// tenEvents is the batch of channelRingBatch.
type tenEvents [10]uint64

// channelRingBatch sends arrays of ten by value: the closest that a channel has to a batch, for a
// program that knows the size of its batches beforehand.
func channelRingBatch(w Work) (Result, error) {
	batches := make(chan tenEvents, channelBatches)
	total := make(chan uint64, 1)
	go func() {
		var sum uint64
		for batch := range batches {
			for _, v := range batch {
				sum += v
			}
		}
		total <- sum
	}()

	start := time.Now()
	var batch tenEvents
	for i := uint64(1); i <= uint64(w.Events); {
		for k := range batch {
			batch[k] = i
			i++
		}
		batches <- batch
	}
	close(batches)
	sum := <-total
	return Result{Elapsed: time.Since(start), Sum: sum}, nil
}
