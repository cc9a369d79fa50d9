package main

import (
	"runtime"
	"time"

	disruptor "github.com/smarty/go-disruptor"
)

// disruptorV050Ring runs github.com/smarty/go-disruptor v0.5.0, the maintained go-disruptor.
func disruptorV050Ring(w Work) (Result, error) {
	h := &summingHandler{last: int64(w.Events) - 1, done: make(chan struct{})}
	d, err := disruptor.New(
		disruptor.Options.BufferCapacity(ringSlots),
		disruptor.Options.WriterCount(1),
		disruptor.Options.WaitStrategy(v050Wait{}),
		disruptor.Options.NewHandlerGroup(h))
	if err != nil {
		return Result{}, err
	}
	stopped := make(chan struct{})
	go func() {
		d.Listen()
		close(stopped)
	}()

	start := time.Now()
	batch := int64(w.Batch)
	for left := int64(w.Events); left > 0; left -= batch {
		hi := d.Reserve(uint32(batch))
		lo := hi - batch + 1
		for seq := lo; seq <= hi; seq++ {
			h.ring[seq&ringMask] = uint64(seq) + 1
		}
		d.Commit(lo, hi)
	}
	<-h.done
	res := Result{Elapsed: time.Since(start), Sum: h.sum}
	err = d.Close()
	<-stopped
	return res, err
}

type v050Wait struct{}

func (v050Wait) Gate(int64)    { runtime.Gosched() }
func (v050Wait) Idle(int64)    { runtime.Gosched() }
func (v050Wait) Reserve(int64) { runtime.Gosched() }
