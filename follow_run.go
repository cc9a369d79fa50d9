package headrace

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/journal"
)

// follower reads the log for somebody, and knows how far that is.
type follower struct {
	engine  *Engine
	options FollowOptions
	taker   taker
	match   *handlers.Match
	path    string // of the checkpoint; empty = none

	reads   atomic.Int64        // it needs the log from here on; 0 = from its beginning
	at      handlers.Checkpoint // the last event handled
	unsaved int
	failed  error        // what fn returned
	shown   atomic.Int64 // sequence of at, for those who look
}

// provisional tells whether it reads what is not durable.
func (f *follower) provisional() bool {
	return f.options.Provisional || f.engine.options.Journal.Durability == journal.None()
}

func (f *follower) run(ctx context.Context) error {
	from, err := f.resume()
	if err != nil {
		return err
	}
	f.reads.Store(from)
	gate := journal.Durable
	if f.provisional() {
		gate = journal.Written
	}
	r, err := f.engine.journal.NewReader(from, journal.ReaderOptions{UpTo: gate, Until: f.options.Until})
	if err != nil {
		return err
	}
	defer r.Close()
	if from == 0 && !f.options.FromTime.IsZero() {
		if err := r.SeekTime(f.options.FromTime); err != nil {
			return err
		}
	}

	// The engine's end stops the wait for more; what is readable by then is still read.
	follow, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(f.engine.ctx, stop)()

	handle := func(rec journal.Record) error { return f.handle(ctx, rec) }
	err = f.readOn(ctx, follow, r, handle)
	if ctx.Err() == nil && f.engine.ctx.Err() != nil && errors.Is(err, context.Canceled) {
		if err = f.engine.haltedOrNil(); err == nil {
			_, err = r.Read(handle)
		}
	}
	if err == nil {
		err = f.taker.rest(ctx, true)
	}
	if f.failed != nil {
		err = f.failed
	}
	if f.unsaved > 0 {
		if serr := f.save(); serr != nil {
			err = errors.Join(err, serr)
		}
	}
	return err
}

// readOn reads what there is, and then what comes, until follow ends.
func (f *follower) readOn(ctx, follow context.Context, r *journal.Reader, handle func(journal.Record) error) error {
	for {
		if err := follow.Err(); err != nil {
			return err
		}
		if _, err := r.Read(handle); err != nil {
			return err
		}
		if err := f.taker.rest(ctx, false); err != nil {
			return err
		}
		more := false
		err := r.Follow(follow, func(rec journal.Record) error {
			more = true
			if err := handle(rec); err != nil {
				return err
			}
			return journal.ErrStop // Read takes the rest
		})
		if err != nil || !more {
			return err
		}
	}
}

// errFollowFailed ends a reader; what Follow returns is follower.failed.
var errFollowFailed = errors.New("headrace: follower's function failed")

// resume returns where to begin, after checking that the checkpoint is of this history.
func (f *follower) resume() (int64, error) {
	c := f.options.After
	if f.path != "" {
		var err error
		if c, err = handlers.LoadCheckpoint(f.path); err != nil {
			return 0, err
		}
	}
	if c.Sequence == 0 {
		return f.options.From, nil
	}
	if written := f.engine.journal.Written(); c.Sequence > written {
		return 0, fmt.Errorf("%w: it says %d, the log ends at %d", handlers.ErrDiverged, c.Sequence, written)
	}
	r, err := f.engine.journal.NewReader(c.Sequence, journal.ReaderOptions{Until: c.Sequence})
	if err != nil {
		return 0, err
	}
	defer r.Close()
	n, err := r.Read(c.Check)
	if err == nil && n == 0 {
		err = fmt.Errorf("%w: no event %d", handlers.ErrDiverged, c.Sequence)
	}
	f.at = c
	f.shown.Store(c.Sequence)
	return c.Sequence + 1, err
}

// delivery returns the event of a record, if it is to be delivered.
func (f *follower) delivery(rec journal.Record) (d handlers.Delivery, wanted bool, err error) {
	if rec.Kind != journal.KindEvent || !f.match.Type(rec.Type) {
		return d, false, nil
	}
	d, err = handlers.NewDelivery(f.engine.types, rec)
	return d, err == nil && f.match.Event(d.Event), err
}

func (f *follower) handle(ctx context.Context, rec journal.Record) error {
	d, wanted, err := f.delivery(rec)
	if err != nil {
		return err
	}
	return f.taker.take(ctx, rec, d, wanted)
}

// reached notes that all up to a record is handled, events of them since last time.
func (f *follower) reached(at handlers.Checkpoint, events int) error {
	f.at = at
	f.reads.Store(at.Sequence)
	f.shown.Store(at.Sequence)
	if f.unsaved += events; f.path != "" && f.unsaved >= f.options.CheckpointEvery {
		return f.save()
	}
	return nil
}

// failing ends the reader with an error of the application.
func (f *follower) failing(err error) error {
	if f.failed = err; err != nil {
		return errFollowFailed
	}
	return nil
}

// passed tells of a record that is not delivered.
func (f *follower) passed(at handlers.Checkpoint) error {
	if f.options.Passed == nil {
		return nil
	}
	return f.failing(f.options.Passed(at))
}

// single is a follower that gets events one by one.
type single struct {
	*follower
	fn func(context.Context, handlers.Delivery) error
}

func (s *single) take(ctx context.Context, rec journal.Record, d handlers.Delivery, wanted bool) (err error) {
	if wanted {
		err = s.failing(s.fn(ctx, d))
	} else {
		err = s.passed(handlers.CheckpointOf(rec))
	}
	if err != nil {
		return err
	}
	return s.reached(handlers.CheckpointOf(rec), 1)
}

func (s *single) rest(context.Context, bool) error { return nil }

func (f *follower) save() error {
	f.unsaved = 0
	if f.path == "" {
		return nil
	}
	return f.at.Save(f.path)
}
