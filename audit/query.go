package audit

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/journal"
)

// Query chooses events. The zero Query is all of them; what is set must all hold. Lost records, of which a
// repair has kept nothing but the place, are chosen by the range alone: nobody knows what they were.
type Query struct {
	From  int64     // first sequence; 0 = the oldest
	Until int64     // last sequence; 0 = the newest
	Since time.Time // first time of journaling; zero = no bound
	To    time.Time // last time of journaling; zero = no bound

	Key         string   // what they are about
	Correlation event.ID // the conversation: the event with this id, and those that carry it as correlation
	Producer    string   // who: a producer, or a handler's id
	Types       []string // names, as the log has them
}

func (q Query) validate() error {
	switch {
	case q.From < 0 || q.Until < 0:
		return fmt.Errorf("audit: Query from %d until %d: sequences are not negative", q.From, q.Until)
	case q.Until > 0 && q.From > q.Until:
		return fmt.Errorf("audit: Query from %d until %d: nothing lies between", q.From, q.Until)
	case !q.To.IsZero() && q.Since.After(q.To):
		return fmt.Errorf("audit: Query since %v to %v: nothing lies between", q.Since, q.To)
	}
	return nil
}

// wants tells whether an event is chosen, but for the range.
func (q *Query) wants(name string, v event.View) bool {
	switch {
	case q.Key != "" && string(v.KeyBytes()) != q.Key,
		q.Producer != "" && string(v.ProducerBytes()) != q.Producer,
		!q.Correlation.IsZero() && v.CorrelationID() != q.Correlation && v.ID() != q.Correlation,
		len(q.Types) > 0 && !slices.Contains(q.Types, name):
		return false
	}
	return true
}

// Events calls fn for each event that q chooses, in sequence. It ends with the error of fn, with that of ctx,
// or at the end of what is readable at that moment.
//
// Errors: those of journal.Reader.Read; ErrEvent for a record that is no event of package event.
func (l *Log) Events(ctx context.Context, q Query, fn func(Entry) error) error {
	return l.read(ctx, q, func(r *journal.Reader, rec journal.Record, v event.View) error { return fn(l.entry(rec, v)) })
}

var (
	// ErrEvent reports a record that holds no event of package event.
	ErrEvent = errors.New("audit: a record is no event")

	// ErrNotFound reports a sequence at which the log has no event.
	ErrNotFound = errors.New("audit: no such event")
)

func parse(rec journal.Record) (event.View, error) {
	v, err := event.Parse(rec.Body)
	if err != nil {
		return v, fmt.Errorf("%w: sequence %d: %w", ErrEvent, rec.Sequence, err)
	}
	return v, nil
}

// read calls fn for the records that q chooses. The view of a lost record is the zero one.
func (l *Log) read(ctx context.Context, q Query, fn func(r *journal.Reader, rec journal.Record, v event.View) error) (err error) {
	if err := q.validate(); err != nil {
		return err
	}
	from, err := l.begin(&q)
	if err != nil || from == 0 {
		return err
	}
	o := journal.ReaderOptions{Until: q.Until, Archives: l.o.Archives}
	if l.o.Durable {
		o.UpTo = journal.Durable
	}
	if !q.To.IsZero() {
		o.UntilTime = nanos(q.To)
	}
	r, err := journal.OpenReader(l.dir, from, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	_, err = r.Read(func(rec journal.Record) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		l.passed(rec)
		v, ok, err := l.chosen(&q, rec)
		if err != nil || !ok {
			return err
		}
		return fn(r, rec, v)
	})
	return err
}

// chosen tells whether q wants the record, of which the range is right.
func (l *Log) chosen(q *Query, rec journal.Record) (v event.View, ok bool, err error) {
	switch rec.Kind {
	case journal.KindLost:
		return v, true, nil
	case journal.KindEvent:
		v, err = parse(rec)
		return v, err == nil && q.wants(nameOf(l.names, rec.Type), v), err
	}
	return v, false, nil
}

// begin returns the first sequence of q, and 0 if there is none yet; it learns what names are bound before.
func (l *Log) begin(q *Query) (from int64, err error) {
	from = q.From
	if !q.Since.IsZero() {
		at, err := l.at(q.Since)
		if err != nil || at == 0 {
			return 0, err
		}
		from = max(from, at)
	}
	if from == 0 {
		r, err := journal.OpenReader(l.dir, 0, journal.ReaderOptions{Archives: l.o.Archives})
		if err != nil {
			return 0, err
		}
		if from = r.Sequence() + 1; r.Close() != nil {
			return 0, err
		}
		if l.learned == 0 {
			l.learned = from - 1
		}
	}
	return from, l.prepare(from)
}

// at returns the sequence of the first record that is not older than t, 0 if there is none.
func (l *Log) at(t time.Time) (seq int64, err error) {
	r, err := journal.OpenReaderAt(l.dir, time.Unix(0, nanos(t)), journal.ReaderOptions{Archives: l.o.Archives})
	if err != nil {
		return 0, err
	}
	_, err = r.Read(func(rec journal.Record) error { seq = rec.Sequence; return journal.ErrStop })
	return seq, errors.Join(err, r.Close())
}

var (
	earliest = time.Unix(0, math.MinInt64)
	latest   = time.Unix(0, math.MaxInt64)
)

// nanos is t in unix nanoseconds, or the nearest that there is.
func nanos(t time.Time) int64 {
	switch {
	case t.Before(earliest):
		return math.MinInt64
	case t.After(latest):
		return math.MaxInt64
	}
	return t.UnixNano()
}
