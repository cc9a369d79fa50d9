package ring

import "time"

// DefaultIdleAfter is that of ConsumerOptions.IdleAfter.
const DefaultIdleAfter = time.Second

// IdleHandler is called on the consumer's goroutine when nothing has been readable for
// ConsumerOptions.IdleAfter, and again after each further such time until something is: to flush
// what waits for more, or to send a sign of life. It is not called while the consumer waits before a
// retry, nor before it stops; see StopHandler. An error, a panic or a runtime.Goexit halts the
// ring, whatever the ErrorPolicy. Events wait until it returns.
type IdleHandler interface {
	OnIdle() error
}

// An alarm rings some time after it was set. Setting it again allocates only if it has rung.
type alarm struct {
	after time.Duration
	timer *time.Timer   // nil if rung is closed or may be at any time
	rung  chan struct{} // closed when it rings
}

func (a *alarm) set() <-chan struct{} {
	if a.timer != nil {
		a.timer.Reset(a.after)
		return a.rung
	}
	rung := make(chan struct{})
	a.rung = rung
	a.timer = time.AfterFunc(a.after, func() { close(rung) })
	return rung
}

func (a *alarm) stop() {
	if !a.timer.Stop() {
		a.timer = nil
	}
}

// awaitOrIdle is await for a handler that wants to be told of idle times.
func (l *loop[T]) awaitOrIdle(next int64) outcome {
	if (upstream{l.Consumer}).Load() >= next {
		return readable
	}
	for {
		got := l.await(next, l.alarm.set())
		l.alarm.stop()
		if got != given {
			return got
		}
		l.guarded(next, l.idle.OnIdle)
	}
}
