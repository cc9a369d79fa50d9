package main

import "runtime"

// summingHandler is the consumer of both go-disruptor versions. They leave the slots to the caller;
// an array of constant size needs no bounds check, as in their own examples. Sequences begin at 0,
// events at 1.
type summingHandler struct {
	ring  [ringSlots]uint64
	_     [128]byte // what follows is the consumer's; keep it off the producer's lines
	sum   uint64
	meter *meter        // nil: not measured
	last  int64         // sequence after which done is closed
	done  chan struct{} // closing it hands sum over to the producer
}

func newSummingHandler(w Work, m *meter) *summingHandler {
	return &summingHandler{meter: m, last: int64(w.Events) - 1, done: make(chan struct{})}
}

// Handle is v0.5.0's name of the callback.
func (h *summingHandler) Handle(lower, upper int64) {
	sum := h.sum
	for seq := lower; seq <= upper; seq++ {
		sum += h.ring[seq&ringMask]
	}
	h.sum = sum
	if h.meter != nil {
		h.meter.handled(int(lower)+1, int(upper)+1)
	}
	if upper == h.last {
		close(h.done)
	}
}

// Consume is the 2020 version's.
func (h *summingHandler) Consume(lower, upper int64) { h.Handle(lower, upper) }

// yieldWait fits both versions.
type yieldWait struct{}

func (yieldWait) Gate(int64)    { runtime.Gosched() }
func (yieldWait) Idle(int64)    { runtime.Gosched() }
func (yieldWait) Reserve(int64) { runtime.Gosched() }

// spinWait fits both versions.
type spinWait struct{}

func (spinWait) Gate(int64)    {}
func (spinWait) Idle(int64)    {}
func (spinWait) Reserve(int64) {}
