package ring

import (
	"runtime"
	"runtime/debug"

	"github.com/smartystreets-prototypes/go-disruptor"

	"github.com/headrace/headrace/internal/atomic"
	"github.com/headrace/headrace/internal/block"
)

// loop is a consumer at work: what disruptor.Reader calls, on the consumer's goroutine.
//
// Reader loads the barrier, calls Consume for what is new, then stores the cursor at the end of
// it; when there is nothing it calls Idle. So the wake-ups that belong to Reader's own store are
// made up for at the beginning of the next call, and a loop that must stop without moving the
// cursor leaves with runtime.Goexit.
type loop[T any] struct {
	place
	hooks[T]
	ring     *Ring[T]
	handler  Handler[T]
	maxBatch int64
	policy   ErrorPolicy
	pin      Pin
	parking  *parking[T]
	reader   *disruptor.DefaultReader

	batchEnd int64 // last sequence that BatchHandler was told of
	failedAt int64 // first of the events that attempts counts for, 0 if none
	attempts int
	narrow   sequences // part of the span that a handler of ours is in; zero: all of it
	exited   *exit[T]  // set while the goroutine ends because the handler made it
	begun    bool      // OnStart was called and did not fail
}

// sequences is [lo, hi].
type sequences struct{ lo, hi int64 }

// exit is a call that ended its goroutine.
type exit[T any] struct {
	first, end int64
	span       []T
}

// run is the consumer's goroutine. If the handler ends it, and the policy is to go on, another
// takes its place: a Goexit cannot be stopped.
func (l *loop[T]) run() {
	defer l.ended()
	l.goroutine.Store(goroutineID())
	if err := l.pin.apply(); err != nil {
		next := l.cursor.Load() + 1
		l.halt(&ConsumerError{Consumer: l.name, Sequence: next, Last: next, Attempts: 1, Err: err})
	}
	if !l.begun {
		l.begin()
	} else if e := l.exited; e != nil {
		l.exited = nil
		l.progress(l.failed(e.first, e.end, e.span, nil, ErrGoexit) - 1)
	}
	l.reader.Read()
}

func (l *loop[T]) begin() {
	if l.start != nil {
		l.guarded(l.cursor.Load()+1, func() error { return l.start.OnStart(l.Consumer) })
	}
	l.begun = true
}

func (l *loop[T]) ended() {
	if l.exited != nil {
		block.Go(l.run)
		return
	}
	defer l.ring.consumerStopped(l.Consumer) // even if the hook calls Goexit
	if next := l.cursor.Load() + 1; !l.complete.Load() && !l.seq.halted() && !l.leaving(next-1) {
		// Nobody of us ended the goroutine: a hook that has no error to return has called Goexit.
		l.ring.fail(&ConsumerError{Consumer: l.name, Sequence: next, Last: next, Attempts: 1, Err: ErrGoexit})
	}
	if l.begun && l.stop != nil {
		var err error
		if l.seq.halted() {
			err = l.seq.stopError()
		}
		swallow(func() { l.stop.OnStop(err) })
	}
}

// guarded calls a hook and halts the ring if it fails in any way.
func (l *loop[T]) guarded(seq int64, hook func() error) {
	returned := false
	defer func() {
		if returned {
			return
		}
		cause := &ConsumerError{Consumer: l.name, Sequence: seq, Last: seq, Attempts: 1, Err: ErrGoexit}
		if v := recover(); v != nil {
			cause.Err, cause.Stack = &PanicError{Value: v}, debug.Stack()
		}
		l.halt(cause)
	}()
	err := hook()
	returned = true
	if err != nil {
		l.halt(&ConsumerError{Consumer: l.name, Sequence: seq, Last: seq, Attempts: 1, Err: err})
	}
}

// Load is the barrier for Reader.
func (l *loop[T]) Load() int64 {
	up := upstream{l.Consumer}
	hi := up.Load()
	if l.chase.pauses > 0 {
		if cursor := l.cursor.Load(); l.chase.few(hi - cursor) {
			l.chase.rest(cursor)
			return up.Load()
		}
	}
	return hi
}

// Consume hands [lo, hi] to the handler in spans. Of the last span the cursor is left to Reader.
func (l *loop[T]) Consume(lo, hi int64) {
	l.gate.notify(lo - 1)
	l.counts.batch(hi - lo + 1)
	if l.batch != nil && hi > l.batchEnd {
		l.batchEnd = hi
		l.guarded(lo, func() error { l.batch.OnBatch(lo, hi); return nil })
	}
	slots := l.ring.slots
	for {
		leaveAt := l.leaveAt.Load()
		if leaveAt < lo || l.seq.halted() {
			runtime.Goexit()
		}
		at := int(lo & int64(len(slots)-1))
		n := int(min(hi-lo+1, leaveAt-lo+1, l.maxBatch, int64(len(slots)-at)))
		end := lo + int64(n) - 1
		if l.seq.aborts.last.Load() >= lo {
			run, aborted := l.seq.aborts.run(lo, end)
			n, end = int(run), lo+run-1
			if aborted {
				n = 0
			}
		}
		next := end + 1
		if n > 0 {
			l.spanEnd = end
			span := slots[at : at+n : at+n]
			if stack, err := l.call(lo, end, span); err != nil {
				next = l.failed(lo, end, span, stack, err)
			}
			l.spanEnd = 0
		} else if l.aborted != nil {
			if stack, err := l.call(lo, end, nil); err != nil {
				next = l.failed(lo, end, nil, stack, err)
			}
		}
		if next > hi {
			atomic.StoreFollows(&plainCursor(&l.cursor)[0])
			return
		}
		l.progress(next - 1)
		lo = next
	}
}

// call calls the handler, with a span of nil for the aborted events [first, end].
func (l *loop[T]) call(first, end int64, span []T) (stack []byte, err error) {
	returned := false
	defer func() {
		if returned {
			return
		}
		if v := recover(); v != nil {
			stack, err = debug.Stack(), &PanicError{Value: v}
			return
		}
		// The goroutine is ending, and nothing after this function runs but run's deferred call.
		l.exited = &exit[T]{first: first, end: end, span: span}
	}()
	if span == nil {
		err = l.aborted.OnAbort(first, end)
	} else {
		err = l.handler.HandleSpan(first, span)
	}
	returned = true
	return nil, err
}

// Gate is never called, because Reader is given the consumer's own cursor as the written one; it
// is here for the interface.
func (l *loop[T]) Gate(count int64) { l.Idle(count) }

// Idle returns when there is something to read, or when the ring is closed and nothing is left.
func (l *loop[T]) Idle(int64) {
	cursor := l.cursor.Load()
	l.gate.notify(cursor)
	l.chase.rest(cursor)
	switch l.await(cursor+1, nil) {
	case drained:
		l.complete.Store(true)
		_ = l.reader.Close() // nothing can come any more: Reader ends by itself
	case stopped:
		runtime.Goexit()
	}
}
