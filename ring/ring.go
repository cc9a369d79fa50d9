package ring

import (
	"context"
	"reflect"
	native "sync/atomic" // see Producer
	"time"
	"unsafe"

	"github.com/headrace/headrace/internal/block"
	"github.com/headrace/headrace/internal/cpu"
)

// Ring passes events of type T from producers to consumers. New makes one. Its methods may be
// called from any goroutine, except that with SingleProducer the claims and Publish belong to one
// goroutine at a time.
type Ring[T any] struct {
	slots    []T
	seq      *sequencer
	cursor   *int64 // the sequencer's if it is quick, else nil
	armed    *int64 // the sequencer's
	pointers bool   // in T

	onError func(*ConsumerError)
	done    chan struct{} // closed when no consumer runs any more

	mu        block.Mutex // guards what follows
	started   bool
	ended     bool        // done is closed
	running   int         // consumers that were launched and have not stopped
	consumers []*Consumer // the graph, each after those that it comes after
	loops     []*loop[T]  // to be started by Start
	outdated  int64       // no claim that obeys a gating set of old laps it; see regate
}

// New makes a ring with its slots. The zero value of o is the default. The error joins an
// *OptionError for each field that is out of range, or is ErrNoMemory: on Linux New asks for the memory of a
// large ring before Go does, which ends the process where there is none. What the system promises and does not
// have in the end, as containers do with a limit, New cannot tell.
func New[T any](o Options) (*Ring[T], error) {
	return newRing[T](o, cpu.HasMembarrier() && !o.Fenced)
}

// newRing lets tests choose the fenced stores where the asymmetric fence exists.
func newRing[T any](o Options, plain bool) (*Ring[T], error) {
	o = o.withDefaults()
	var zero T
	if err := o.validate(unsafe.Sizeof(zero)); err != nil {
		return nil, err
	}
	if err := o.affordable(unsafe.Sizeof(zero)); err != nil {
		return nil, err
	}
	r := &Ring[T]{
		slots:    make([]T, o.Slots),
		seq:      &sequencer{},
		pointers: hasPointers(reflect.TypeFor[T]()),
		onError:  o.OnError,
		done:     make(chan struct{}),
		outdated: o.FirstSequence - 1, // nobody laps it before Start
	}
	r.seq.init(o, plain, unsafe.Pointer(unsafe.SliceData(r.slots)), unsafe.Sizeof(zero))
	r.armed = r.seq.armed
	if r.seq.quick && !exploring {
		r.cursor = &plainCursor(&r.seq.cursor)[0]
	}
	return r, nil
}

// Claim takes the next n slots and returns the last of them: the caller owns [hi-n+1, hi], must
// write each of its events through Slot, and must publish all of them. It blocks while the ring
// is full, as Options.Wait directs; before Start too, until another goroutine starts the ring.
//
// The errors are ErrClaimSize for n outside [1, Slots], ErrClosed, ErrHalted (which wraps the
// *ConsumerError, if that is the cause), and ErrWouldDeadlock in a handler that would wait for
// itself. After an error nothing is claimed.
func (r *Ring[T]) Claim(n int) (hi int64, err error) {
	if debugging {
		return r.seq.checked(n, func() (int64, error) { return r.seq.claim(n) })
	}
	return r.seq.claim(n)
}

// TryClaim is Claim without blocking: it returns ErrFull if fewer than n slots are free. It never
// fails because another producer was faster.
func (r *Ring[T]) TryClaim(n int) (hi int64, err error) {
	if n < 1 || n > len(r.slots) {
		return 0, ErrClaimSize
	}
	if debugging {
		return r.seq.checked(n, func() (int64, error) { return r.seq.tryClaim(n) })
	}
	return r.seq.tryClaim(n)
}

// ClaimContext is Claim that gives up when ctx ends, and then returns ctx.Err(). It claims nothing
// if ctx has ended already.
func (r *Ring[T]) ClaimContext(ctx context.Context, n int) (hi int64, err error) {
	if debugging {
		return r.seq.checked(n, func() (int64, error) { return r.seq.claimWait(ctx, never, n) })
	}
	return r.seq.claimWait(ctx, never, n)
}

// ClaimUntil is Claim that gives up at a deadline, and then returns context.DeadlineExceeded. It
// claims nothing if the deadline has passed already. Unlike ClaimContext with a context that was
// made for the call it allocates nothing.
func (r *Ring[T]) ClaimUntil(deadline time.Time, n int) (hi int64, err error) {
	until := nanotime(deadline)
	if debugging {
		return r.seq.checked(n, func() (int64, error) { return r.seq.claimWait(context.Background(), until, n) })
	}
	return r.seq.claimWait(context.Background(), until, n)
}

// Slot returns the slot of seq. It may be written by whoever has claimed seq and not yet
// published it. The memory is reused every Slots events.
func (r *Ring[T]) Slot(seq int64) *T {
	return (*T)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(r.slots)),
		uintptr(seq&int64(len(r.slots)-1))*unsafe.Sizeof(*new(T))))
}

// Publish makes the claimed events [lo, hi] readable. A consumer at the head of the graph learns of
// all of them at once or of none. A claim may be published in parts. Single producers publish in
// the order of their claims. What was not claimed must not be published; see MisuseError. Publish
// does not block.
func (r *Ring[T]) Publish(lo, hi int64) {
	if debugging {
		r.seq.check(lo, hi)
	}
	if r.cursor != nil {
		*r.cursor = hi // cpu.StoreRelease
	}
	if native.LoadInt64(r.armed) <= hi {
		r.seq.publish(lo, hi)
	}
}

// Slots returns the number of slots.
func (r *Ring[T]) Slots() int { return len(r.slots) }

// Done is closed when every consumer has stopped: after Close or Halt, or a consumer's failure.
func (r *Ring[T]) Done() <-chan struct{} { return r.done }

// Err returns the first *ConsumerError, or nil while none has failed.
func (r *Ring[T]) Err() error {
	if f := r.seq.failed.Load(); f != nil {
		return f.cause
	}
	return nil
}
