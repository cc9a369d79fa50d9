package ring

// The interfaces below are optional: a Handler that has their methods gets the calls, all on the
// consumer's goroutine, so that they need no locks. The methods are looked up once, by Consume.

// StartHandler is called before the first event. An error, a panic or a runtime.Goexit halts the
// ring, whatever the ErrorPolicy, with Sequence one past the consumer's cursor.
type StartHandler interface {
	OnStart(c *Consumer) error
}

// BatchHandler is called with what has become readable, [lo, hi], before the handler gets it in
// spans. Aborted events count; a rewind or a retry does not make a new batch. A panic or a
// runtime.Goexit halts the ring, whatever the ErrorPolicy.
type BatchHandler interface {
	OnBatch(lo, hi int64)
}

// AbortHandler is called in sequence order for aborted events, [lo, hi], in place of HandleSpan. It
// fails as HandleSpan does.
type AbortHandler interface {
	OnAbort(lo, hi int64) error
}

// StopHandler is called after the last event, unless OnStart failed. err is nil if the consumer
// has handled all of a closed ring, or has left; if the ring was halted it is what a claim returns
// now, an error that wraps ErrHalted. Its panics are swallowed.
type StopHandler interface {
	OnStop(err error)
}

// ParkHandler is called for each event that ErrorPolicy parks, instead of keeping a copy in the
// ring. event is the slot, valid until Park returns. An error, a panic or a runtime.Goexit halts
// the ring.
type ParkHandler[T any] interface {
	Park(seq int64, event *T, cause *ConsumerError) error
}

// hooks are the optional methods that a handler has, nil where it has not.
type hooks[T any] struct {
	start    StartHandler
	batch    BatchHandler
	aborted  AbortHandler
	stop     StopHandler
	setAside ParkHandler[T]
}

func hooksOf[T any](h any) (k hooks[T]) {
	k.start, _ = h.(StartHandler)
	k.batch, _ = h.(BatchHandler)
	k.aborted, _ = h.(AbortHandler)
	k.stop, _ = h.(StopHandler)
	k.setAside, _ = h.(ParkHandler[T])
	return k
}
