package main

import (
	"runtime"
	"time"
)

var processStart = time.Now()

// sinceStart is a monotonic clock that fits an event's field.
func sinceStart() time.Duration { return time.Since(processStart) }

// pace calls publish for i = 1..events, each as soon as it is due: event i at (i-1)/rate seconds
// after the first. A call that comes late does not move those after it, so a publisher that was
// held up shows in the latency of every event that it delayed (no coordinated omission).
//
// It polls the clock and lets other goroutines run between polls: a sleep would be too coarse.
func pace(events, rate int, publish func(i int, due time.Duration) error) error {
	start := sinceStart() + time.Millisecond
	for i := 1; i <= events; i++ {
		due := start + time.Duration(int64(i-1)*int64(time.Second)/int64(rate))
		for sinceStart() < due {
			runtime.Gosched()
		}
		if err := publish(i, due); err != nil {
			return err
		}
	}
	return nil
}
