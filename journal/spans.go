package journal

import (
	"context"
	"errors"
)

// Reading many records with one call of the function that takes them.

// receiver is whom a reader delivers to: one record a call, or a span of them. One of the two is nil.
type receiver struct {
	one  func(Record) error
	many func([]Record) error
}

// ReadSpans is Read with fewer calls: it delivers the same records in the same order, in spans of at least
// one. Where a span ends has no meaning: at what was decoded ahead (some dozens of small records, 16 KiB
// of them), at the gate, at the end of a segment or of what is readable, inside an atomic batch too.
//
// fn may change and move the elements of its slice; they, and the Bodies, which are views not to be
// changed, are valid inside fn. Until it returns, Sequence is below the span. If fn fails, or panics, none
// of its span counts as delivered, and all of it will be delivered again; with ErrStop all of it counts.
// n is how many records were in the spans that count.
//
// Errors: those of Read. ReadSpans does not allocate per record.
func (r *Reader) ReadSpans(fn func([]Record) error) (n int, err error) {
	return r.read(receiver{many: fn})
}

// FollowSpans is Follow with spans of records, as ReadSpans delivers them: it does not wait for a span to
// become longer. Errors: those of Follow.
func (r *Reader) FollowSpans(ctx context.Context, fn func([]Record) error) error {
	stopped := false
	return r.follow(ctx, &stopped, receiver{many: func(recs []Record) error {
		err := fn(recs)
		stopped = errors.Is(err, ErrStop)
		return err
	}})
}

// handOutSpan delivers the events of the window's run up to gate in one call.
func (r *Reader) handOutSpan(gate int64, fn func([]Record) error) (n int, err error) {
	q := &r.win.run
	at, end, first := q.at, q.n, q.recs[q.at].Sequence
	if first > gate {
		return 0, nil
	}
	stop := at + int(min(int64(end-at), gate-first+1))
	last := &q.recs[stop-1]
	next, time, sequence := last.Offset+recordBytes(len(last.Body)), last.Time, last.Sequence
	if first < r.skip {
		at += int(min(int64(stop-at), r.skip-first))
	}
	if recs := r.picked(q.recs[at:stop:stop]); len(recs) > 0 {
		q.drop() // fn may fail or panic, and may have changed the records
		if err = fn(recs); err != nil && !errors.Is(err, ErrStop) {
			return 0, err
		}
		n = len(recs)
	}
	r.off, r.time, r.next = next, time, sequence+1
	q.at, q.n = stop, end
	return n, err
}

// picked moves the records that are asked for to the front of recs, and returns them.
func (r *Reader) picked(recs []Record) []Record {
	if !r.picky {
		return recs
	}
	n := 0
	for i := range recs {
		if rec := &recs[i]; r.pass(KindEvent, rec.Type, rec.Time) {
			recs[n] = *rec
			n++
		}
	}
	return recs[:n:n]
}

// give delivers one record that is in no run, while the window's run is empty.
func (r *Reader) give(to receiver, rec Record) error {
	if to.many == nil {
		return to.one(rec)
	}
	span := r.win.run.recs[:1:1]
	span[0] = rec
	return to.many(span)
}
