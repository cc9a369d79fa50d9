package main

import (
	"sync"
	"time"
)

// graphChannel is the capacity of the channels between stages. As with one channel, larger ones
// came out slower.
const graphChannel = channelEvents

// channelFlow makes a round of a network of channels. wire starts its goroutines, sum waits for them.
func channelFlow[E words](wire func(w Work) (in []chan E, sum func() uint64)) func(Work) (Result, error) {
	return func(w Work) (Result, error) {
		in, sum := wire(w)
		start := time.Now()
		err := produce(w, func(first, n int) error {
			for i := range n {
				var e E
				e[0] = uint64(first + i)
				for _, c := range in {
					c <- e
				}
			}
			return nil
		})
		for _, c := range in {
			close(c)
		}
		total := sum()
		return Result{Start: start, Elapsed: time.Since(start), Sum: total}, err
	}
}

// channelSum is any number of producers and one consumer.
func channelSum(Work) ([]chan [1]uint64, func() uint64) {
	in, total := make(chan [1]uint64, graphChannel), make(chan uint64, 1)
	go func() {
		var n uint64
		for e := range in {
			n += e[0]
		}
		total <- n
	}()
	return []chan [1]uint64{in}, func() uint64 { return <-total }
}

// channelTriple is one producer and one consumer of events of three words.
func channelTriple(Work) ([]chan [3]uint64, func() uint64) {
	in, total := make(chan [3]uint64, graphChannel), make(chan uint64, 1)
	go func() {
		var n uint64
		for e := range in {
			n += e[0] + e[1] + e[2]
		}
		total <- n
	}()
	return []chan [3]uint64{in}, func() uint64 { return <-total }
}

// channelPipeline hands each event from stage to stage.
func channelPipeline(Work) ([]chan [4]uint64, func() uint64) {
	one := make(chan [4]uint64, graphChannel)
	two := make(chan [4]uint64, graphChannel)
	three := make(chan [4]uint64, graphChannel)
	total := make(chan uint64, 1)
	go func() {
		defer close(two)
		for e := range one {
			e[2] = e[0] + e[1] + pipelineOne
			two <- e
		}
	}()
	go func() {
		defer close(three)
		for e := range two {
			e[3] = e[2] + pipelineTwo
			three <- e
		}
	}()
	go func() {
		var n uint64
		for e := range three {
			n += e[3]
		}
		total <- n
	}()
	return []chan [4]uint64{one}, func() uint64 { return <-total }
}

// channelMulticast sends each event to three consumers.
func channelMulticast(Work) ([]chan [1]uint64, func() uint64) {
	in := make([]chan [1]uint64, 3)
	totals := make([]tally, 3)
	folds := []func(n, v uint64) uint64{
		func(n, v uint64) uint64 { return n + v },
		func(n, v uint64) uint64 { return n - v },
		func(n, v uint64) uint64 { return n ^ v },
	}
	var wg sync.WaitGroup
	for i := range in {
		in[i] = make(chan [1]uint64, graphChannel)
		wg.Go(func() {
			for e := range in[i] {
				totals[i].n = folds[i](totals[i].n, e[0])
			}
		})
	}
	return in, func() uint64 {
		wg.Wait()
		return foldMulticast(totals[0].n, totals[1].n, totals[2].n)
	}
}

// channelDiamond sends each event to fizz and to buzz, and what they say to a third.
func channelDiamond(Work) ([]chan [3]uint64, func() uint64) {
	fizz, buzz := make(chan [3]uint64, graphChannel), make(chan [3]uint64, graphChannel)
	isFizz, isBuzz := make(chan [3]uint64, graphChannel), make(chan [3]uint64, graphChannel)
	total := make(chan uint64, 1)
	mark := func(in <-chan [3]uint64, out chan<- [3]uint64, word int, divisor uint64) {
		defer close(out)
		for e := range in {
			if e[0]%divisor == 0 {
				e[word] = 1
			}
			out <- e
		}
	}
	go mark(fizz, isFizz, 1, 3)
	go mark(buzz, isBuzz, 2, 5)
	go func() {
		var n uint64
		for f := range isFizz {
			if b := <-isBuzz; f[1]&b[2] == 1 {
				n += f[0]
			}
		}
		total <- n
	}()
	return []chan [3]uint64{fizz, buzz}, func() uint64 { return <-total }
}

// channelThreeToOneBatch is three producers that send arrays of ten by value.
func channelThreeToOneBatch(w Work) (Result, error) {
	batches := make(chan tenEvents, channelBatches)
	total := make(chan uint64, 1)
	go func() {
		var n uint64
		for batch := range batches {
			for _, v := range batch {
				n += v
			}
		}
		total <- n
	}()
	start := time.Now()
	err := produce(w, func(first, n int) error {
		var batch tenEvents
		for i := first; i < first+n; {
			for k := range batch {
				batch[k] = uint64(i)
				i++
			}
			batches <- batch
		}
		return nil
	})
	close(batches)
	n := <-total
	return Result{Start: start, Elapsed: time.Since(start), Sum: n}, err
}

// channelRaw hands over nothing but the fact.
func channelRaw(w Work) (Result, error) {
	events := make(chan struct{}, channelEvents)
	total := make(chan uint64, 1)
	go func() {
		var n uint64
		for range events {
			n++
		}
		total <- n
	}()
	start := time.Now()
	for range w.Events {
		events <- struct{}{}
	}
	close(events)
	n := <-total
	return Result{Start: start, Elapsed: time.Since(start), Sum: n}, nil
}

// channelPingPong plays on two channels of one event.
func channelPingPong(w Work, m *meter) (Result, error) {
	ping, pong := make(chan uint64, 1), make(chan uint64, 1)
	p := newPinger(w, m)
	p.send = func(i uint64) error {
		ping <- i
		return nil
	}
	go func() {
		defer close(pong)
		for i := range ping {
			pong <- i
		}
	}()
	start := time.Now()
	go func() {
		for i := range pong {
			p.back(i)
		}
	}()
	err := p.start()
	if err == nil {
		err = <-p.done
	}
	res := Result{Start: start, Elapsed: time.Since(start), Sum: p.sum}
	close(ping)
	return res, err
}

// channelSelect is three producers with a channel each and one consumer that selects among them.
func channelSelect(w Work) (Result, error) {
	var in [3]chan [3]uint64
	for i := range in {
		in[i] = make(chan [3]uint64, graphChannel)
	}
	total := make(chan uint64, 1)
	go func() {
		var n uint64
		for range w.Events {
			var e [3]uint64
			select {
			case e = <-in[0]:
			case e = <-in[1]:
			case e = <-in[2]:
			}
			n += e[0] + e[1] + e[2]
		}
		total <- n
	}()
	start := time.Now()
	share := w.Events / 3
	err := produce(w, func(first, n int) error {
		c := in[(first-1)/share]
		for i := range n {
			c <- [3]uint64{uint64(i + 1)}
		}
		return nil
	})
	n := <-total
	return Result{Start: start, Elapsed: time.Since(start), Sum: n}, err
}
