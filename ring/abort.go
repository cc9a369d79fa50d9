package ring

import (
	"context"
	"time"

	"github.com/headrace/headrace/internal/atomic"
	"github.com/headrace/headrace/internal/block"
)

// aborts remembers the sequences that were claimed and given up.
//
// For each slot it keeps the last sequence aborted there, rather than a bit: nobody has to clear
// it when the slot is used again, which producers would do at every claim and consumers could
// do only if they knew who is last. The memory, 8 bytes a slot, is taken by the first abort.
//
// An entry is written by the owner of the claim before it publishes, and read by consumers after
// they saw the publish. last is raised in between, so that a consumer that finds it below a span
// need not look at entries at all.
type aborts struct {
	last   atomic.Int64 // no aborted sequence is greater; 0 while there is none
	total  atomic.Int64
	bySlot atomic.Pointer[[]atomic.Int64]
	once   block.Once
}

func (a *aborts) add(lo, hi, slots int64) {
	a.once.Do(func() {
		m := make([]atomic.Int64, slots)
		a.bySlot.Store(&m)
	})
	m := *a.bySlot.Load()
	for seq := lo; seq <= hi; seq++ {
		m[seq&(slots-1)].Store(seq)
	}
	a.total.Add(hi - lo + 1)
	for last := a.last.Load(); last < hi && !a.last.CompareAndSwap(last, hi); {
		last = a.last.Load()
	}
}

// run returns how many sequences from lo on, at least one and none past end, are all aborted or
// all not, and which of the two.
func (a *aborts) run(lo, end int64) (n int64, aborted bool) {
	m := *a.bySlot.Load() // last was raised, so it is there
	mask := int64(len(m) - 1)
	aborted = m[lo&mask].Load() == lo
	for n = 1; lo+n <= end && (m[(lo+n)&mask].Load() == lo+n) == aborted; {
		n++
	}
	return n, aborted
}

// Abort gives up the claimed events [lo, hi]: they take the place of a publish, so that everything
// behind them becomes readable, but no handler gets them. Consumers' cursors pass over them, and
// spans end before them; a handler that must account for every sequence implements AbortHandler.
// What Publish says of parts, order and blocking goes for Abort too. Of one claim a part may be
// published and the rest aborted. The first Abort of a ring allocates 8 bytes a slot, later ones
// nothing.
func (r *Ring[T]) Abort(lo, hi int64) {
	if debugging {
		r.seq.check(lo, hi)
	}
	if lo > hi {
		return
	}
	r.seq.aborts.add(lo, hi, r.seq.slots)
	r.seq.publish(lo, hi)
}

// Span returns the slots of [lo, hi], at most Slots of them, in order: first those up to where
// the ring wraps, then the rest, which is empty most of the time. The rules of Slot apply. It
// does not allocate.
func (r *Ring[T]) Span(lo, hi int64) (a, b []T) {
	n := int(hi - lo + 1)
	if n < 1 || n > len(r.slots) {
		return nil, nil
	}
	at := int(lo & int64(len(r.slots)-1))
	if at+n <= len(r.slots) {
		return r.slots[at : at+n : at+n], nil
	}
	rest := at + n - len(r.slots)
	return r.slots[at:], r.slots[:rest:rest]
}

// PublishFunc claims n events as Claim does, has fill write them, and publishes them. fill gets
// the first sequence and the slots in two parts, of which the second is empty unless the events
// wrap. They hold what was there before, and are valid until fill returns.
//
// If fill returns an error, panics or calls runtime.Goexit, the events are aborted; the error is
// returned as it is, and a panic goes on. Otherwise hi is the last sequence, and the errors are
// those of Claim. It allocates nothing itself.
func (r *Ring[T]) PublishFunc(n int, fill func(first int64, a, b []T) error) (hi int64, err error) {
	if hi, err = r.Claim(n); err != nil {
		return 0, err
	}
	return r.fill(n, hi, fill)
}

// TryPublishFunc is PublishFunc without blocking: it returns ErrFull, and does not call fill, if
// fewer than n slots are free.
func (r *Ring[T]) TryPublishFunc(n int, fill func(first int64, a, b []T) error) (hi int64, err error) {
	if hi, err = r.TryClaim(n); err != nil {
		return 0, err
	}
	return r.fill(n, hi, fill)
}

// PublishFuncContext is PublishFunc that gives up waiting for slots when ctx ends, and then
// returns ctx.Err().
func (r *Ring[T]) PublishFuncContext(ctx context.Context, n int, fill func(first int64, a, b []T) error) (hi int64, err error) {
	if hi, err = r.ClaimContext(ctx, n); err != nil {
		return 0, err
	}
	return r.fill(n, hi, fill)
}

// PublishFuncUntil is PublishFunc that gives up waiting for slots at a deadline, and then returns
// context.DeadlineExceeded. It allocates nothing itself.
func (r *Ring[T]) PublishFuncUntil(deadline time.Time, n int, fill func(first int64, a, b []T) error) (hi int64, err error) {
	if hi, err = r.ClaimUntil(deadline, n); err != nil {
		return 0, err
	}
	return r.fill(n, hi, fill)
}

func (r *Ring[T]) fill(n int, hi int64, fill func(first int64, a, b []T) error) (int64, error) {
	lo := hi - int64(n) + 1
	filled := false
	defer func() {
		if !filled { // an error, a panic or a Goexit
			r.Abort(lo, hi)
		}
	}()
	a, b := r.Span(lo, hi)
	if err := fill(lo, a, b); err != nil {
		return 0, err
	}
	filled = true
	r.Publish(lo, hi)
	return hi, nil
}
