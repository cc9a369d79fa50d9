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
	d, err := disruptorV050New(ringSlots, 1, nil, [][]disruptor.Handler{{h}})
	if err != nil {
		return Result{}, err
	}
	return disruptorV050(w, m, d, h)
}

// disruptorV050YieldRing is the same with a consumer that never sleeps: it yields while it waits,
// and sees an event soon after its publication. Spinning without a yield came out slower yet.
func disruptorV050YieldRing(w Work, m *meter) (Result, error) {
	h := newSummingHandler(w, m)
	d, err := disruptorV050New(ringSlots, 1, yieldWait{}, [][]disruptor.Handler{{h}})
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

// disruptorV050New builds one; a nil wait leaves the default.
func disruptorV050New(capacity, writers int, wait disruptor.WaitStrategy, groups [][]disruptor.Handler) (disruptor.Disruptor, error) {
	o := disruptor.Options
	options := list(o.BufferCapacity(uint32(capacity)), o.WriterCount(uint8(writers)))
	if wait != nil {
		options = append(options, o.WaitStrategy(wait))
	}
	for _, group := range groups {
		options = append(options, o.NewHandlerGroup(group...))
	}
	return disruptor.New(options...)
}

// list makes a slice of options whose type cannot be named.
func list[O any](options ...O) []O { return options }

// disruptorV050Open builds graphs.
func disruptorV050Open[E words](wait disruptor.WaitStrategy) func(Work, []E, [][]*flowHandler[E]) (opened, error) {
	return func(w Work, ring []E, groups [][]*flowHandler[E]) (opened, error) {
		handlers := make([][]disruptor.Handler, len(groups))
		for g, group := range groups {
			for _, h := range group {
				handlers[g] = append(handlers[g], h)
			}
		}
		d, err := disruptorV050New(len(ring), w.producers(), wait, handlers)
		if err != nil {
			return opened{}, err
		}
		mask := int64(len(ring) - 1)
		publish := func(first, n int) error {
			batch, number := int64(w.Batch), uint64(first)
			for left := int64(n); left > 0; left -= batch {
				hi := d.Reserve(uint32(batch))
				lo := hi - batch + 1
				for seq := lo; seq <= hi; seq++ {
					var e E
					e[0] = number
					ring[seq&mask] = e
					number++
				}
				d.Commit(lo, hi)
			}
			return nil
		}
		return opened{publish: publish, run: d.Listen, stop: d.Close}, nil
	}
}

func disruptorV050Raw(wait disruptor.WaitStrategy) func(Work, *rawHandler) (opened, error) {
	return func(_ Work, h *rawHandler) (opened, error) {
		d, err := disruptorV050New(ringSlots, 1, wait, [][]disruptor.Handler{{h}})
		if err != nil {
			return opened{}, err
		}
		publish := func(_, n int) error {
			for range n {
				seq := d.Reserve(1)
				d.Commit(seq, seq)
			}
			return nil
		}
		return opened{publish: publish, run: d.Listen, stop: d.Close}, nil
	}
}

func disruptorV050Echo(wait disruptor.WaitStrategy) func(*echo) (oneWay, error) {
	return func(e *echo) (oneWay, error) {
		d, err := disruptorV050New(pingPongSlots, 1, wait, [][]disruptor.Handler{{e}})
		if err != nil {
			return oneWay{}, err
		}
		send := func(i uint64) error {
			seq := d.Reserve(1)
			e.slots[seq&(pingPongSlots-1)] = i
			d.Commit(seq, seq)
			return nil
		}
		return oneWay{send: send, run: d.Listen, stop: d.Close}, nil
	}
}
