package main

import "time"

// channelRing is what most Go programs use: a buffered channel of the ring's capacity. A channel
// has no batches; one event a send.
func channelRing(w Work) (Result, error) {
	events := make(chan uint64, ringSlots)
	total := make(chan uint64, 1)
	go func() {
		var sum uint64
		for v := range events {
			sum += v
		}
		total <- sum
	}()

	start := time.Now()
	for i := uint64(1); i <= uint64(w.Events); i++ {
		events <- i
	}
	close(events)
	sum := <-total
	return Result{Elapsed: time.Since(start), Sum: sum}, nil
}

// tenEvents is the batch of channelRingBatch.
type tenEvents [10]uint64

// channelRingBatch sends arrays of ten by value: the closest that a channel has to a batch, for a
// program that knows the size of its batches beforehand. The channel holds as many events as the
// rings do.
func channelRingBatch(w Work) (Result, error) {
	batches := make(chan tenEvents, ringSlots/len(tenEvents{}))
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
