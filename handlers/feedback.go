package handlers

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/headrace/headrace/journal"
	"github.com/headrace/headrace/ring"
)

// Feedback carries what handlers emit back to the front of the ring. Handlers append to it and never
// wait; a goroutine of its own claims slots and publishes. So a handler cannot deadlock against
// its own full ring, and what it emits can wait in memory while the ring is full: up to a limit in
// bytes, at which the lane fails with ErrFeedbackFull. Producers outside wait long before that (see
// WaitBelow), and lanes, between two events, before it too (see relax).
//
// Batches leave in the order in which they were appended, each with its sequences in one piece.
type Feedback struct {
	ring     *ring.Ring[Slot]
	overflow *Overflow
	streams  *Streams
	limit    int64

	bytes atomic.Int64 // waiting here, or claimed and not yet published

	mu     sync.Mutex
	change *sync.Cond // bytes fell, or stopped: the waiters look again
	wake   chan struct{}
	in     chunk // appended by the lane; swapped out whole by run
	need   int64 // slots that publishing waits for; 0 = it does not wait
	took   int64 // batches appended so far
	gave   int64 // batches published so far
	last   int64 // highest sequence published
	err    error // why it stopped; nil while it runs
}

// chunk is a queue of batches in one piece of memory, reused for ever.
type chunk struct {
	data  []byte
	outs  []output
	marks []mark // in the order of outs
}

// output is one event in chunk.data. A batch is a first output with n > 0 and the n-1 after it.
type output struct {
	off, len int
	typeID   uint16
	n        uint32
}

// A sink is where outputs go: the feedback lane, or, before the ring runs, the journal itself.
type sink interface {
	emit(data []byte, outs []output, marks []mark) error
	loaded() bool // so much waits that the lane should give its slots back and relax
	relax(applied int64)
}

// errStopped ends waits on a feedback lane that was stopped on purpose.
var errStopped = errors.New("handlers: feedback lane stopped")

// NewFeedback returns a feedback lane into r that holds at most limitBytes, and tells s which
// sequences numbered events have got.
func NewFeedback(r *ring.Ring[Slot], o *Overflow, s *Streams, limitBytes int64) *Feedback {
	f := &Feedback{ring: r, overflow: o, streams: s, limit: limitBytes, wake: make(chan struct{}, 1)}
	f.change = sync.NewCond(&f.mu)
	return f
}

// Bytes is how much is emitted and not yet published. It may be called from any goroutine.
func (f *Feedback) Bytes() int64 { return f.bytes.Load() }

// emit takes over a copy of one atomic batch. It never waits; ErrFeedbackFull is its only error,
// besides that of a lane that stopped.
func (f *Feedback) emit(data []byte, outs []output, marks []mark) error {
	size := int64(len(data))
	if total := f.bytes.Add(size); total > f.limit {
		f.bytes.Add(-size)
		return fmt.Errorf("%w: %d bytes wait, limit %d", ErrFeedbackFull, total, f.limit)
	}
	f.mu.Lock()
	if f.err != nil {
		f.mu.Unlock()
		return f.err
	}
	f.took++
	base, first := len(f.in.data), len(f.in.outs)
	f.in.data = append(f.in.data, data...)
	for i, o := range outs {
		o.off += base
		if i == 0 {
			o.n = uint32(len(outs))
		}
		f.in.outs = append(f.in.outs, o)
	}
	for _, m := range marks {
		m.out += first
		f.in.marks = append(f.in.marks, m)
	}
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
	return nil
}

// Run publishes until ctx ends or the ring stops. It is called once, on a goroutine of its own.
// The error is nil after the end of ctx or a ring closed in order.
func (f *Feedback) Run(ctx context.Context) error {
	var out chunk
	for {
		f.mu.Lock()
		clear(out.marks) // lets go who waited
		f.in, out = chunk{out.data[:0], out.outs[:0], out.marks[:0]}, f.in
		f.mu.Unlock()
		if len(out.outs) == 0 {
			select {
			case <-f.wake:
				continue
			case <-ctx.Done():
				f.stop(errStopped)
				return nil
			}
		}
		if err := f.publish(ctx, out); err != nil {
			f.stop(err)
			if ctx.Err() != nil || errors.Is(err, ring.ErrClosed) || errors.Is(err, ring.ErrHalted) {
				return nil // the ring has its own report of why
			}
			return err
		}
	}
}

func (f *Feedback) publish(ctx context.Context, c chunk) error {
	marks := c.marks
	for i := 0; i < len(c.outs); {
		n := int(c.outs[i].n)
		hi, err := f.claim(ctx, n)
		if err != nil {
			return err
		}
		lo, size := hi-int64(n)+1, 0
		for k := range n {
			o := c.outs[i+k]
			s := f.ring.Slot(lo + int64(k))
			room := s.Room()
			if o.len > cap(room) {
				room = f.overflow.Buffer(o.len)
			}
			body := append(room, c.data[o.off:o.off+o.len]...)
			s.Type, s.Kind, s.Batch, s.Time = o.typeID, journal.KindEvent, 0, 0
			if k == 0 && n > 1 {
				s.Batch = uint32(n)
			}
			f.overflow.Put(s, lo+int64(k), body)
			size += o.len
		}
		var here []mark
		for len(here) < len(marks) && marks[len(here)].out < i+n {
			here = marks[:len(here)+1]
		}
		if len(here) > 0 { // before anybody can see the event
			marks = marks[len(here):]
			f.streams.mu.Lock()
			f.streams.placeAll(here, i, lo)
			f.streams.mu.Unlock()
		}
		f.ring.Publish(lo, hi)
		if len(here) > 0 {
			if b := here[len(here)-1].batch; b != nil {
				b.Sequence = lo
				close(b.placed)
			}
		}
		i += n
		f.done(size, hi)
	}
	return nil
}

// claim claims, and lets the lane know while it cannot: then only the lane can make room.
func (f *Feedback) claim(ctx context.Context, n int) (int64, error) {
	hi, err := f.ring.TryClaim(n)
	if !errors.Is(err, ring.ErrFull) {
		return hi, err
	}
	f.needs(n)
	defer f.needs(0)
	return f.ring.ClaimContext(ctx, n)
}

func (f *Feedback) needs(slots int) {
	f.mu.Lock()
	f.need = int64(slots)
	f.change.Broadcast()
	f.mu.Unlock()
}

// relax is for the lane, between two events: while much waits to be published it lets that happen first,
// so that a ring full of commands does not turn into a queue full of answers. applied is the lane's
// cursor. It returns when less waits, or when the ring is full and nobody but this lane can make
// room in it; the slowest of several lanes always goes on, so they cannot wait for each other.
func (f *Feedback) relax(applied int64) {
	for turns := 0; f.loaded(); turns++ {
		f.mu.Lock()
		for f.loaded() && f.need == 0 && f.err == nil {
			f.change.Wait()
		}
		need, stop := f.need, f.err != nil
		f.mu.Unlock()
		if stop || need > 0 && f.ring.Remaining() < need && f.overflow.passed() >= applied {
			return
		}
		// Somebody else is about to make room, or to take it.
		if turns < relaxYields {
			runtime.Gosched()
		} else {
			time.Sleep(relaxSleep)
		}
	}
}

const (
	relaxYields = 20
	relaxSleep  = 50 * time.Microsecond
)

// soft is how many bytes may wait before a lane slows down for them.
func (f *Feedback) soft() int64 { return f.limit / 4 }

// loaded tells whether a lane should slow down.
func (f *Feedback) loaded() bool { return f.bytes.Load() > f.soft() }

func (f *Feedback) done(size int, last int64) {
	f.bytes.Add(int64(-size))
	f.mu.Lock()
	f.gave, f.last = f.gave+1, last
	f.change.Broadcast()
	f.mu.Unlock()
}

func (f *Feedback) stop(err error) {
	f.mu.Lock()
	f.err = err
	f.change.Broadcast()
	f.mu.Unlock()
}

// Flushed waits until all that was emitted before the call is in the ring, whatever comes after it. last is the
// highest sequence that it got, 0 if nothing was ever emitted. It returns the end of ctx, or why the lane stopped.
func (f *Feedback) Flushed(ctx context.Context) (last int64, err error) {
	stop := context.AfterFunc(ctx, func() {
		f.mu.Lock()
		f.change.Broadcast()
		f.mu.Unlock()
	})
	defer stop()
	f.mu.Lock()
	defer f.mu.Unlock()
	for upTo := f.took; f.gave < upTo; {
		switch {
		case ctx.Err() != nil:
			return 0, ctx.Err()
		case f.err != nil:
			return 0, f.err
		}
		f.change.Wait()
	}
	return f.last, nil
}

// WaitBelow waits until at most bytes are in the lane: producers outside call it before they claim,
// so that events causing events go first; with 0 it waits until the lane is empty. It
// returns the end of ctx, or why the lane stopped.
func (f *Feedback) WaitBelow(ctx context.Context, bytes int64) error {
	if f.bytes.Load() <= bytes {
		return nil
	}
	stop := context.AfterFunc(ctx, func() {
		f.mu.Lock()
		f.change.Broadcast()
		f.mu.Unlock()
	})
	defer stop()
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.bytes.Load() > bytes {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case f.err != nil:
			return f.err
		}
		f.change.Wait()
	}
	return nil
}
