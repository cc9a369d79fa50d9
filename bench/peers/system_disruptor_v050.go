package main

import (
	"time"

	disruptor "github.com/smarty/go-disruptor"
)

// disruptorV050Ring runs github.com/smarty/go-disruptor v0.5.0, the maintained go-disruptor, with
// its default wait strategy, as its documentation shows it. An idle consumer sleeps, so events pile
// up and are then taken in large batches: on two cores that is by far its best throughput, at the
// price of a latency as long as a sleep.
func disruptorV050Ring(w Work, m *meter) (Result, error) {
	h := newSummingHandler(w, m)
	d, err := disruptor.New(
		disruptor.Options.BufferCapacity(ringSlots),
		disruptor.Options.WriterCount(1),
		disruptor.Options.NewHandlerGroup(h))
	if err != nil {
		return Result{}, err
	}
	return disruptorV050(w, m, d, h)
}

// disruptorV050YieldRing is the same with a consumer that never sleeps: it yields while it waits,
// and sees an event soon after its publication. Spinning without a yield came out slower yet.
func disruptorV050YieldRing(w Work, m *meter) (Result, error) {
	h := newSummingHandler(w, m)
	d, err := disruptor.New(
		disruptor.Options.BufferCapacity(ringSlots),
		disruptor.Options.WriterCount(1),
		disruptor.Options.WaitStrategy(yieldWait{}),
		disruptor.Options.NewHandlerGroup(h))
	if err != nil {
		return Result{}, err
	}
	return disruptorV050(w, m, d, h)
}

func disruptorV050(w Work, m *meter, d disruptor.Disruptor, h *summingHandler) (res Result, err error) {
	stopped := make(chan struct{})
	go func() {
		d.Listen()
		close(stopped)
	}()

	start := time.Now()
	if m != nil {
		err = m.pace(w.Events, func(int) error {
			seq := d.Reserve(1)
			h.ring[seq&ringMask] = uint64(seq) + 1
			d.Commit(seq, seq)
			return nil
		})
	} else {
		batch := int64(w.Batch)
		for left := int64(w.Events); left > 0; left -= batch {
			hi := d.Reserve(uint32(batch))
			lo := hi - batch + 1
			for seq := lo; seq <= hi; seq++ {
				h.ring[seq&ringMask] = uint64(seq) + 1
			}
			d.Commit(lo, hi)
		}
	}
	<-h.done
	res = Result{Elapsed: time.Since(start), Sum: h.sum}
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	<-stopped
	return res, err
}
