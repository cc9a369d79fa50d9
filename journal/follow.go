package journal

import (
	"context"
	"errors"
	"iter"
	"slices"
	"time"
)

// Follow delivers what is readable, waits for more, and so on, until ctx ends (its error),
// Until is reached or fn returns ErrStop (nil), fn fails (its error), or, for a reader of
// NewReader, the journal is closed or poisoned and all that was readable has been delivered
// (ErrClosed, ErrPoisoned).
func (r *Reader) Follow(ctx context.Context, fn func(Record) error) error {
	stopped := false
	return r.follow(ctx, &stopped, receiver{one: func(rec Record) error {
		err := fn(rec)
		stopped = stopped || errors.Is(err, ErrStop)
		return err
	}})
}

// follow is Follow; stopped is true once the receiver has returned ErrStop.
func (r *Reader) follow(ctx context.Context, stopped *bool, to receiver) error {
	pause := newPoll()
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		var over error
		if r.j != nil {
			over = r.j.Err() // before reading: what was written until then is delivered
		}
		n, err := r.read(to)
		switch {
		case err != nil:
			return err
		case *stopped || r.ended():
			return nil
		case n > 0:
			pause.reset()
			continue
		case over != nil:
			return over
		}
		if r.j == nil {
			err = pause.wait(ctx, r.clock)
		} else {
			err = r.await(ctx)
		}
		if err != nil {
			return err
		}
	}
}

// await waits for the journal's cursor. The journal's sticky error is for Follow to see after
// one more Read.
func (r *Reader) await(ctx context.Context) error {
	c := &r.j.written
	if r.o.UpTo == Durable {
		c = &r.j.durable
	}
	err := c.wait(ctx, max(r.next, r.skip), r.w, r.j.Err)
	if err != nil && ctx.Err() == nil {
		return nil
	}
	return err
}

// poll waits longer and longer, up to a bound.
type poll struct{ d time.Duration }

const (
	pollMin = time.Millisecond
	pollMax = 20 * time.Millisecond
)

func newPoll() poll { return poll{pollMin} }

func (p *poll) reset() { p.d = pollMin }

func (p *poll) wait(ctx context.Context, clock paceClock) error {
	d := p.d
	p.d = min(2*d, pollMax)
	return clock.sleep(ctx, d)
}

// Records yields everything that is readable now, as Read does, with copies of the bodies, which
// the caller may keep. An error is yielded last, with a zero Record. A loop that is left early
// can be taken up by another, or by Read, with the next record.
func (r *Reader) Records() iter.Seq2[Record, error] {
	// A batch is read ahead: a guarded Read for every record costs too much. Internal records
	// have no sequence of their own by which to come back to the place.
	most := 64
	if r.o.Internal {
		most = 1
	}
	return func(yield func(Record, error) bool) {
		defer func() { r.shown = 0 }()
		var got []Record
		for {
			got = got[:0]
			at := r.Sequence()
			_, err := r.Read(func(rec Record) error {
				rec.Body = slices.Clone(rec.Body)
				if got = append(got, rec); len(got) == most {
					return ErrStop
				}
				return nil
			})
			for i, rec := range got {
				r.shown = rec.Sequence
				if !yield(rec, nil) {
					if i < len(got)-1 {
						r.rewind(rec.Sequence + 1)
					}
					return
				}
			}
			r.shown = 0
			if err != nil {
				yield(Record{}, err)
				return
			}
			if len(got) == 0 || !r.o.Internal && r.Sequence() == at {
				return
			}
		}
	}
}

// rewind makes next the next sequence to deliver.
func (r *Reader) rewind(next int64) {
	_ = r.leave()
	r.ids = nil
	r.next, r.skip, r.past = next, next, false
}
