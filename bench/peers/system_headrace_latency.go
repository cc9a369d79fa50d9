package main

import (
	"context"
	"time"

	"github.com/headrace/headrace/ring"
)

// pingPongSlots is LMAX's.
const pingPongSlots = 1 << 10

// pinger is one side of a ping-pong: it sends event i+1 when event i has come back, and where there
// is a meter not before it is due. The other side, a system's own, sends back what it gets. Its
// fields belong to the goroutine that handles what comes back.
//
// Event 0 opens the game and is not measured. Whoever sends it must not run any more when event 1 is
// due: two sides that spin hold both processors, and a third goroutine that waited for that moment
// would get one of them when Go's scheduler takes it away, some 10 ms later.
type pinger struct {
	events uint64
	meter  *meter
	send   func(i uint64) error
	sum    uint64
	done   chan error // capacity 1
}

func newPinger(w Work, m *meter) *pinger {
	return &pinger{events: uint64(w.Events), meter: m, done: make(chan error, 1)}
}

// start sends event 0; the caller must not send any more.
func (p *pinger) start() error { return p.send(0) }

// back handles event i, which came back.
func (p *pinger) back(i uint64) {
	p.sum += i
	if p.meter != nil {
		if i == 0 {
			p.meter.begin()
		} else {
			p.meter.handled(int(i), int(i))
		}
	}
	if i == p.events {
		p.done <- nil
		return
	}
	if p.meter != nil {
		p.meter.wait(int(i) + 1)
	}
	if err := p.send(i + 1); err != nil {
		p.done <- err
	}
}

// headracePingPong plays on two rings, each with a consumer that publishes to the other.
func headracePingPong(wait ring.WaitStrategy) func(Work, *meter) (Result, error) {
	return func(w Work, m *meter) (Result, error) {
		o := ring.Options{Slots: pingPongSlots, Producers: ring.SingleProducer, Wait: wait}
		ping, err := ring.New[uint64](o)
		if err != nil {
			return Result{}, err
		}
		defer ping.Halt()
		pong, err := ring.New[uint64](o)
		if err != nil {
			return Result{}, err
		}
		defer pong.Halt()
		p := newPinger(w, m)
		there, back := ping.Producer(), pong.Producer()
		p.send = func(i uint64) error { return publishValue(there, i) }
		_, err = ping.Consume("ponger", ring.HandlerFunc[uint64](func(_ int64, span []uint64) error {
			for _, i := range span {
				if err := publishValue(back, i); err != nil {
					return err
				}
			}
			return nil
		}), ring.ConsumerOptions{})
		if err != nil {
			return Result{}, err
		}
		_, err = pong.Consume("pinger", ring.HandlerFunc[uint64](func(_ int64, span []uint64) error {
			for _, i := range span {
				p.back(i)
			}
			return nil
		}), ring.ConsumerOptions{})
		if err != nil {
			return Result{}, err
		}
		if err := ping.Start(); err != nil {
			return Result{}, err
		}
		if err := pong.Start(); err != nil {
			return Result{}, err
		}

		start := time.Now()
		if err := p.start(); err != nil {
			return Result{}, err
		}
		select {
		case err = <-p.done:
		case <-ping.Done():
			err = ping.Err()
		case <-pong.Done():
			err = pong.Err()
		}
		if err != nil {
			return Result{}, err
		}
		res := Result{Start: start, Elapsed: time.Since(start), Sum: p.sum}
		if err := ping.Close(context.Background()); err != nil {
			return res, err
		}
		return res, pong.Close(context.Background())
	}
}

func publishValue(p *ring.Producer[uint64], v uint64) error {
	seq, err := p.Next()
	if err != nil {
		return err
	}
	*p.Slot(seq) = v
	p.Publish(seq, seq)
	return nil
}

// headraceOneWay is headraceRing with a chosen wait strategy.
func headraceOneWay(wait ring.WaitStrategy) func(Work, *meter) (Result, error) {
	return func(w Work, m *meter) (Result, error) { return headraceRingWait(w, m, wait) }
}

// headraceFenced is headraceOneWay with fences in the ring, so that who parks needs no membarrier.
func headraceFenced(wait ring.WaitStrategy) func(Work, *meter) (Result, error) {
	return func(w Work, m *meter) (Result, error) {
		return headraceRingWith(w, m, ring.Options{Wait: wait, Fenced: true})
	}
}
