package ring

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/headrace/headrace/internal/block"
)

// ErrorAction is what happens to events that a handler has failed on for good.
type ErrorAction uint8

const (
	// HaltOnError stops the ring; see ConsumerError. The default.
	HaltOnError ErrorAction = iota
	// SkipOnError goes on behind the events.
	SkipOnError
	// ParkOnError sets copies of the events aside, for Ring.Parked, and goes on behind them.
	ParkOnError
)

func (a ErrorAction) String() string {
	switch a {
	case HaltOnError:
		return "halt"
	case SkipOnError:
		return "skip"
	case ParkOnError:
		return "park"
	}
	return fmt.Sprintf("ErrorAction(%d)", uint8(a))
}

// Defaults of ErrorPolicy.
const (
	DefaultBackoff    = time.Millisecond
	DefaultMaxBackoff = time.Second
	DefaultMaxParked  = 1024
)

// ErrorPolicy says what a consumer does when its handler fails: when HandleSpan returns an error,
// panics, or calls runtime.Goexit. The zero value halts the ring at the first failure.
//
// The failed events are the one that an error made by At names, else the rest of the span behind
// the last released event: a handler that takes several events at once and wants to lose only one
// names it. Events of the span before the failed ones count as handled.
type ErrorPolicy struct {
	// Action is what follows when the retries are used up: HaltOnError, the default, SkipOnError
	// or ParkOnError.
	Action ErrorAction
	// Retries is how often the handler gets the failed events again before that, >= 0. Default 0.
	Retries int
	// Backoff is the time to wait before the first retry, >= 0. It doubles with each further one.
	// Default DefaultBackoff. The consumer waits, and with it all behind it; Halt and Leave end
	// the wait.
	Backoff time.Duration
	// MaxBackoff bounds the time between retries, >= Backoff. Default DefaultMaxBackoff, or
	// Backoff if that is longer.
	MaxBackoff time.Duration
	// MaxParked is the most events that are kept parked, >= 0; one more halts the ring with
	// ErrParkedFull. Default DefaultMaxParked. Not used if the handler implements ParkHandler.
	MaxParked int
	// Report, where set, gets each failure after which the events were skipped or parked. It runs
	// on the consumer's goroutine. Its panics are swallowed; a runtime.Goexit halts the ring.
	Report func(*ConsumerError)
}

func (p ErrorPolicy) withDefaults() ErrorPolicy {
	if p.Backoff == 0 {
		p.Backoff = DefaultBackoff
	}
	if p.MaxBackoff == 0 {
		p.MaxBackoff = max(DefaultMaxBackoff, p.Backoff)
	}
	if p.MaxParked == 0 {
		p.MaxParked = DefaultMaxParked
	}
	return p
}

func (p ErrorPolicy) validate() error {
	var faults []error
	if p.Action > ParkOnError {
		faults = append(faults, optionError("OnError.Action", "%v is neither HaltOnError, SkipOnError nor ParkOnError", p.Action))
	}
	if p.Retries < 0 {
		faults = append(faults, optionError("OnError.Retries", "%d is negative", p.Retries))
	}
	if p.Backoff < 0 {
		faults = append(faults, optionError("OnError.Backoff", "%v is negative", p.Backoff))
	}
	if p.MaxBackoff < 0 || p.MaxBackoff > 0 && p.MaxBackoff < p.Backoff {
		faults = append(faults, optionError("OnError.MaxBackoff", "%v is negative or less than Backoff, %v", p.MaxBackoff, p.Backoff))
	}
	if p.MaxParked < 0 {
		faults = append(faults, optionError("OnError.MaxParked", "%d is negative", p.MaxParked))
	}
	return errors.Join(faults...)
}

// backoff returns the time to wait after the attempt-th failure, counted from 1.
func (p ErrorPolicy) backoff(attempt int) time.Duration {
	d := p.Backoff
	for ; attempt > 1 && d < p.MaxBackoff; attempt-- {
		d *= 2 // cannot overflow: it is below MaxBackoff, and twice that is cut below
		if d <= 0 {
			return p.MaxBackoff
		}
	}
	return min(d, p.MaxBackoff)
}

// EventError is a handler's error with the one event that it is about; see At.
type EventError struct {
	Sequence int64
	Err      error
}

func (e *EventError) Error() string { return fmt.Sprintf("sequence %d: %v", e.Sequence, e.Err) }

// Unwrap returns the cause.
func (e *EventError) Unwrap() error { return e.Err }

// At is for handlers to return: err, with the event of the span that it is about. The events of
// the span before seq count as handled, those after it have not been looked at. A seq that is
// released already or outside the span names nothing. Of a nil err it makes nil: no failure.
func At(seq int64, err error) error {
	if err == nil {
		return nil
	}
	return &EventError{Sequence: seq, Err: err}
}

// RewindError is what Rewind returns.
type RewindError struct{ From int64 }

func (e *RewindError) Error() string { return fmt.Sprintf("ring: rewind to sequence %d", e.From) }

// Rewind is for handlers to return that want events again: the next span begins at seq, which
// must be of this span and not released. What is before seq counts as handled. It is not a
// failure and has no limit; the consumer lets other goroutines run before it goes on. If seq is
// out of range, the handler has failed with ErrRewindRange.
func Rewind(seq int64) error { return &RewindError{From: seq} }

// Parked is an event that a consumer with ParkOnError has set aside.
type Parked[T any] struct {
	Sequence int64
	Event    T // a copy of the slot; what it points to may belong to the slot's next event
	Err      *ConsumerError
}

// parking holds the parked events of one consumer.
type parking[T any] struct {
	mu     block.Mutex
	events []Parked[T] // guarded by mu
}

// Parked returns what c has parked since the last call, in sequence order, and forgets it. c must
// be a consumer of this ring that is not a poller; for others it returns nil. It may be called
// from any goroutine, also after the ring has stopped or c has left.
func (r *Ring[T]) Parked(c *Consumer) []Parked[T] {
	if c == nil || c.seq != r.seq {
		return nil
	}
	p, ok := c.parked.(*parking[T])
	if !ok {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	events := p.events
	p.events = nil
	return events
}

// failed decides what follows the failure of a call on [lo, end], of which span is nil if they
// are aborted events. It returns where to go on, or does not return.
func (l *loop[T]) failed(lo, end int64, span []T, stack []byte, err error) (next int64) {
	if err == errStopped {
		runtime.Goexit()
	}
	first, hi := lo, end
	lo = min(max(lo, l.cursor.Load()+1), end) // what is released is handled
	if l.narrow.hi != 0 {                     // the handler is ours, and was in a part of the span
		lo, hi = max(lo, l.narrow.lo), l.narrow.hi
		l.narrow = sequences{}
	}
	var rewind *RewindError
	if errors.As(err, &rewind) {
		if rewind.From > l.cursor.Load() && rewind.From >= lo && rewind.From <= hi {
			block.Yield()
			return rewind.From
		}
		err = fmt.Errorf("%w: %d is not in [%d, %d]", ErrRewindRange, rewind.From, lo, hi)
	}
	var one *EventError
	if errors.As(err, &one) && one.Sequence >= lo && one.Sequence <= hi {
		lo, hi = one.Sequence, one.Sequence
	}
	if l.failedAt != lo {
		l.failedAt, l.attempts = lo, 0
	}
	l.attempts++
	cause := &ConsumerError{Consumer: l.name, Sequence: lo, Last: hi, Attempts: l.attempts, Err: err, Stack: stack}
	if l.attempts <= l.policy.Retries {
		l.progress(lo - 1)
		l.retries.Add(1)
		l.sleep(l.policy.backoff(l.attempts))
		return lo
	}
	l.failedAt = 0
	switch l.policy.Action {
	case SkipOnError:
		l.skipped.Add(hi - lo + 1)
	case ParkOnError:
		if err := l.park(first, lo, hi, span, cause); err != nil {
			cause.Err = errors.Join(err, cause.Err)
			l.halt(cause)
		}
		l.parkedEvents.Add(hi - lo + 1)
	default:
		l.halt(cause)
	}
	if l.policy.Report != nil {
		swallow(func() { l.policy.Report(cause) })
	}
	return max(hi, l.cursor.Load()) + 1
}

// halt halts the ring and does not return.
func (l *loop[T]) halt(cause *ConsumerError) {
	l.ring.fail(cause)
	runtime.Goexit()
}

// park sets [lo, hi] aside, where first is the sequence of span[0].
func (l *loop[T]) park(first, lo, hi int64, span []T, cause *ConsumerError) (err error) {
	if span == nil { // aborted: there is nothing to keep
		return nil
	}
	if l.setAside != nil {
		defer func() {
			if v := recover(); v != nil {
				err = &PanicError{Value: v}
			}
		}()
		for seq := lo; seq <= hi && err == nil; seq++ {
			err = l.setAside.Park(seq, &span[seq-first], cause)
		}
		return err
	}
	p := l.parking
	p.mu.Lock()
	defer p.mu.Unlock()
	if int64(len(p.events))+hi-lo+1 > int64(l.policy.MaxParked) {
		return ErrParkedFull
	}
	for seq := lo; seq <= hi; seq++ {
		p.events = append(p.events, Parked[T]{Sequence: seq, Event: span[seq-first], Err: cause})
	}
	return nil
}

// swallow calls f and hides its panics.
func swallow(f func()) {
	defer func() { _ = recover() }()
	f()
}
