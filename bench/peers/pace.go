package main

import (
	"runtime"
	"time"
)

var processStart = time.Now()

// sinceStart is a monotonic clock that fits an event's field.
func sinceStart() time.Duration { return time.Since(processStart) }

// meter publishes at a fixed rate and records how late events are handled. Its histogram belongs to
// the consumer while it runs.
type meter struct {
	start   time.Duration // when event 1 is due; set before the first publish
	rate    int           // events a second
	busy    bool          // hold the processor between events
	latency *Histogram
}

func newMeter(w Work, h *Histogram) *meter {
	return &meter{rate: w.PacedRate, busy: w.BusyPacer, latency: h}
}

// due is when event i, counted from 1, should be published.
func (m *meter) due(i int) time.Duration {
	return m.start + time.Duration(int64(i-1)*int64(time.Second)/int64(m.rate))
}

// handled records that the events [first, last] have been handled now.
func (m *meter) handled(first, last int) {
	now := sinceStart()
	for i := first; i <= last; i++ {
		m.latency.Record(now - m.due(i))
	}
}

// pace calls publish for i = 1..events, each as soon as it is due. A call that comes late does not
// move those after it, so a publisher that was held up shows in the latency of every event that it
// delayed (no coordinated omission).
//
// It polls the clock, and unless it is a busy one lets other goroutines run between polls: a
// sleep would be too coarse.
func (m *meter) pace(events int, publish func(i int) error) error {
	m.begin()
	for i := 1; i <= events; i++ {
		m.wait(i)
		if err := publish(i); err != nil {
			return err
		}
	}
	return nil
}

// publishAll calls publish for i = 1..events: at the meter's pace, or as fast as it can where m is nil.
func (m *meter) publishAll(events int, publish func(i int) error) error {
	if m != nil {
		return m.pace(events, publish)
	}
	for i := 1; i <= events; i++ {
		if err := publish(i); err != nil {
			return err
		}
	}
	return nil
}

// settle is how long a paced round waits for its goroutines to start and for the operating system to
// give each its own processor, which it may have put on one at first.
const settle = 20 * time.Millisecond

// begin makes event 1 due after settle.
func (m *meter) begin() { m.start = sinceStart() + settle }

// wait returns when event i is due.
func (m *meter) wait(i int) {
	for due := m.due(i); sinceStart() < due; {
		if !m.busy {
			runtime.Gosched()
		}
	}
}

// metered is a Bench of a function that does a round of w.Events, as fast as it can where the meter
// is nil, at the meter's pace otherwise.
type metered struct {
	w   Work
	run func(Work, *meter) (Result, error)
}

// paced makes an Open of such a function.
func paced(run func(Work, *meter) (Result, error)) func(Work) (Bench, error) {
	return func(w Work) (Bench, error) { return metered{w, run}, nil }
}

func (b metered) Round() (Result, error) { return b.run(b.w, nil) }
func (b metered) Close() error           { return nil }

func (b metered) Paced(h *Histogram) (Result, error) {
	w := b.w
	w.Events, w.Batch = w.PacedEvents, 1
	res, err := b.run(w, newMeter(w, h))
	res.Elapsed -= settle
	return res, err
}
