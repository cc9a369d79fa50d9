package main

import (
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/headrace/headrace/internal/cpu"
)

// The machine's own limits, measured by the smallest loops that can show them. No ring can answer
// sooner than a cache line travels to the other processor and back, and none can pass a stream of
// events on faster than the bare one does.

// line is a word alone on its cache lines.
type line struct {
	_ cpu.Pad
	v int64
	_ cpu.Pad
}

// await returns when l holds v. It gives way now and then, so that it ends on one processor too.
func (l *line) await(v int64) {
	for polls := 1; atomic.LoadInt64(&l.v) != v; polls++ {
		if polls&0xfff == 0 {
			runtime.Gosched()
		}
	}
}

// cacheLines plays ping-pong with a line each way. A round trip is two transfers.
func cacheLines(store func(p *int64, v int64)) func(Work) (Result, error) {
	return roundTrips(func(there, back *line, i int64) {
		store(&there.v, i)
		back.await(i)
	}, func(there, back *line, i int64) {
		there.await(i)
		store(&back.v, i)
	})
}

// oneLine plays ping-pong with one line that both change by compare-and-swap, as producers do with
// the word that they claim by.
func oneLine(w Work) (Result, error) {
	swap := func(l *line, from int64) {
		for polls := 1; !atomic.CompareAndSwapInt64(&l.v, from, from+1); polls++ {
			if polls&0xfff == 0 {
				runtime.Gosched()
			}
		}
	}
	return roundTrips(func(there, _ *line, i int64) {
		swap(there, 2*i-2)
	}, func(there, _ *line, i int64) {
		swap(there, 2*i-1)
	})(w)
}

// roundTrips runs one side here and the other on a goroutine of its own, for i = 1..w.Events.
func roundTrips(serve, answer func(there, back *line, i int64)) func(Work) (Result, error) {
	return func(w Work) (Result, error) {
		there, back := new(line), new(line)
		answered := make(chan uint64, 1)
		go func() {
			var sum uint64
			for i := range int64(w.Events) {
				answer(there, back, i+1)
				sum += uint64(i + 1)
			}
			answered <- sum
		}()
		start := time.Now()
		for i := range int64(w.Events) {
			serve(there, back, i+1)
		}
		sum := <-answered
		return Result{Start: start, Elapsed: time.Since(start), Sum: sum}, nil
	}
}

// streamRest is how long the stream's consumer rests when it has caught up; without, both sides
// fight for every line. Of 4, 16 and 40 us, 16 came out best or near it in most runs.
const streamRest = 16 * time.Microsecond

// bareStream is what remains of a ring with one producer and one consumer when everything but the
// work is taken away: a slot is written, a number stored, and on the other side the same read; no
// closing, no waiting but the consumer's rest, no error. every is how many events share a store;
// fetched has 512 bytes of slots fetched for writing, 512 bytes ahead of the writer.
func bareStream(every int, fetched bool) func(Work) (Result, error) {
	return func(w Work) (Result, error) {
		slots := new([ringSlots]uint64)
		published, consumed := new(line), new(line)
		events := int64(w.Events)
		total := make(chan uint64, 1)
		go func() {
			rest := cpu.PausesFor(streamRest)
			var sum uint64
			for seq := int64(0); seq < events; {
				hi := atomic.LoadInt64(&published.v)
				if hi == seq {
					cpu.Pause(rest)
					runtime.Gosched()
					continue
				}
				for ; seq < hi; seq++ {
					sum += slots[(seq+1)&ringMask]
				}
				cpu.StoreRelease(&consumed.v, seq)
			}
			total <- sum
		}()

		start := time.Now()
		free := int64(ringSlots) // up to here the slots may be written
		for seq := int64(0); seq < events; {
			hi := min(seq+int64(every), events)
			for hi > free {
				if free = atomic.LoadInt64(&consumed.v) + ringSlots; hi > free {
					runtime.Gosched()
				}
			}
			if fetched && hi>>6 != seq>>6 {
				cpu.PrefetchWrite(unsafe.Pointer(&slots[(hi+64)&^63&ringMask]), 512)
			}
			for seq < hi {
				seq++
				slots[seq&ringMask] = uint64(seq)
			}
			cpu.StoreRelease(&published.v, hi)
		}
		sum := <-total
		return Result{Start: start, Elapsed: time.Since(start), Sum: sum}, nil
	}
}

// claimRest is how long a claimer rests that has lost a compare-and-swap.
const claimRest = 4 * time.Microsecond

// bareClaims is what remains of several producers when everything but the work is taken away: each
// takes numbers from one word by compare-and-swap and writes each into its slot. Nobody reads them,
// and no slot is waited for. With rest, who loses a race stands back. The sum is that of what was claimed.
func bareClaims(rest time.Duration) func(Work) (Result, error) {
	return func(w Work) (Result, error) {
		slots := new([ringSlots]uint64)
		word := new(line)
		sums := make([]tally, w.producers())
		pauses := cpu.PausesFor(rest)
		start := time.Now()
		err := produce(w, func(first, n int) error {
			var sum uint64
			for range n {
				seq := atomic.LoadInt64(&word.v) + 1
				for !atomic.CompareAndSwapInt64(&word.v, seq-1, seq) {
					if rest > 0 {
						cpu.Pause(pauses)
					}
					seq = atomic.LoadInt64(&word.v) + 1
				}
				cpu.StoreRelease((*int64)(unsafe.Pointer(&slots[seq&ringMask])), seq)
				sum += uint64(seq)
			}
			sums[(first-1)/n].n = sum
			return nil
		})
		res := Result{Start: start, Elapsed: time.Since(start)}
		for i := range sums {
			res.Sum += sums[i].n
		}
		return res, err
	}
}

func storeRelease(p *int64, v int64) { cpu.StoreRelease(p, v) }
func storeFenced(p *int64, v int64)  { atomic.StoreInt64(p, v) }
