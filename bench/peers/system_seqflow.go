package main

import (
	"fmt"
	"time"

	"github.com/gocronx/seqflow"
)

// github.com/gocronx/seqflow v1.1.0, a disruptor for Go with a ring buffer of its own. That is left
// alone here: an array of the caller's serves as well and lets a handler work on a span instead of
// calling Get for every event. Its default strategy sleeps while a consumer is idle; its blocking one
// loses wake-ups (it signals without holding the lock under which consumers look) and cannot be
// measured.

func seqflowSleep() seqflow.WaitStrategy { return seqflow.NewSleepingStrategy() }
func seqflowYield() seqflow.WaitStrategy { return seqflow.NewYieldingStrategy() }
func seqflowSpin() seqflow.WaitStrategy  { return seqflow.NewBusySpinStrategy() }

// seqflowRing runs the scenarios with one consumer.
func seqflowRing(wait func() seqflow.WaitStrategy) func(Work, *meter) (Result, error) {
	return func(w Work, m *meter) (Result, error) {
		h := newSummingHandler(w, m)
		d, err := seqflow.New[struct{}](seqflow.WithCapacity(ringSlots), seqflow.WithWaitStrategy(wait()),
			seqflow.WithHandler("sum", h))
		if err != nil {
			return Result{}, err
		}
		stopped := make(chan struct{})
		go func() {
			d.Listen()
			close(stopped)
		}()
		publish := func(n int, batch int64) error {
			for left := int64(n); left > 0; left -= batch {
				hi, err := d.Reserve(uint32(batch))
				if err != nil {
					return err
				}
				lo := hi - batch + 1
				for seq := lo; seq <= hi; seq++ {
					h.ring[seq&ringMask] = uint64(seq) + 1
				}
				d.Commit(lo, hi)
			}
			return nil
		}

		start := time.Now()
		if m != nil {
			err = m.pace(w.Events, func(int) error { return publish(1, 1) })
		} else {
			err = publish(w.Events, int64(w.Batch))
		}
		if err != nil {
			return Result{}, err
		}
		<-h.done
		res := Result{Start: start, Elapsed: time.Since(start), Sum: h.sum}
		err = d.Close()
		<-stopped
		return res, err
	}
}

// seqflowOpen builds the graphs. It names a handler's upstreams, so a group depends on all of the one
// before.
func seqflowOpen[E words](wait func() seqflow.WaitStrategy) func(Work, []E, [][]*flowHandler[E]) (opened, error) {
	return func(w Work, ring []E, groups [][]*flowHandler[E]) (opened, error) {
		options := []seqflow.Option{
			seqflow.WithCapacity(uint32(len(ring))), seqflow.WithWaitStrategy(wait()),
			seqflow.WithWriterCount(uint8(w.producers())),
		}
		var before []string
		for g, group := range groups {
			var names []string
			for i, h := range group {
				name := fmt.Sprintf("%d.%d", g, i)
				names = append(names, name)
				options = append(options, seqflow.WithHandler(name, h, seqflow.DependsOn(before...)))
			}
			before = names
		}
		d, err := seqflow.New[struct{}](options...)
		if err != nil {
			return opened{}, err
		}
		mask := int64(len(ring) - 1)
		publish := func(first, n int) error {
			batch, number := int64(w.Batch), uint64(first)
			for left := int64(n); left > 0; left -= batch {
				hi, err := d.Reserve(uint32(batch))
				if err != nil {
					return err
				}
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

func seqflowRaw(wait func() seqflow.WaitStrategy) func(Work, *rawHandler) (opened, error) {
	return func(_ Work, h *rawHandler) (opened, error) {
		d, err := seqflow.New[struct{}](seqflow.WithCapacity(ringSlots), seqflow.WithWaitStrategy(wait()),
			seqflow.WithHandler("count", h))
		if err != nil {
			return opened{}, err
		}
		publish := func(_, n int) error {
			for range n {
				seq, err := d.Reserve(1)
				if err != nil {
					return err
				}
				d.Commit(seq, seq)
			}
			return nil
		}
		return opened{publish: publish, run: d.Listen, stop: d.Close}, nil
	}
}

func seqflowEcho(wait func() seqflow.WaitStrategy) func(*echo) (oneWay, error) {
	return func(e *echo) (oneWay, error) {
		d, err := seqflow.New[struct{}](seqflow.WithCapacity(pingPongSlots), seqflow.WithWaitStrategy(wait()),
			seqflow.WithHandler("echo", e))
		if err != nil {
			return oneWay{}, err
		}
		send := func(i uint64) error {
			seq, err := d.Reserve(1)
			if err != nil {
				return err
			}
			e.slots[seq&(pingPongSlots-1)] = i
			d.Commit(seq, seq)
			return nil
		}
		return oneWay{send: send, run: d.Listen, stop: d.Close}, nil
	}
}
