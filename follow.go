package headrace

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/journal"
)

// FollowOptions configures a follower; the zero value is the default.
type FollowOptions struct {
	// From is the first sequence to deliver, 0 = from the beginning. With a checkpoint it counts
	// only as long as there is none.
	From int64

	// FromTime makes the first event to deliver the first that was journaled at this time or later, instead of From.
	// With a checkpoint it counts only as long as there is none. Default: no time, in the years 1678 to 2261.
	FromTime time.Time

	// Until is the last sequence to deliver, after which Follow returns nil. Default 0: no end.
	Until int64

	// Filter says which events it gets; the others it passes over, and its checkpoint with them: what a former filter
	// has passed over does not come back. Default all.
	Filter handlers.Filter

	// Provisional lets it read all that is written, which a power cut may take back and whose
	// numbers may then be given out again. By default it reads what is durable. In durability mode
	// None nothing becomes durable by itself, and a follower reads what is written.
	Provisional bool

	// Name makes it a follower with a checkpoint, kept in the journal's directory under
	// checkpoints/: started again under the same name it goes on where it was. Letters, digits, '-', '_'
	// and '.', at most 100 of them. Default none.
	Name string

	// After is a checkpoint that is kept elsewhere, as a projection into a database does in the database: the
	// follower begins behind it, if the log still has the record that it names, else handlers.ErrDiverged.
	// Not with Name or From. Default none.
	After handlers.Checkpoint

	// Passed is told of each record that is not delivered, being the engine's own, void or filtered out, so that whoever
	// waits for a sequence can be told that it is reached. Its error ends the follower. Default none.
	Passed func(at handlers.Checkpoint) error

	// CheckpointEvery is after how many events the checkpoint is saved; it is also saved when the follower
	// ends. What was handled since is delivered again after a crash. Default 1000.
	CheckpointEvery int
}

func (o FollowOptions) withDefaults() (FollowOptions, error) {
	setDefault(&o.CheckpointEvery, 1000)
	var faults []error
	if o.From < 0 {
		faults = append(faults, fmt.Errorf("headrace: FollowOptions.From = %d: want 0 or a sequence", o.From))
	}
	if !o.FromTime.IsZero() {
		if o.From != 0 || o.After != (handlers.Checkpoint{}) {
			faults = append(faults, errors.New("headrace: FollowOptions.FromTime: not with From or After"))
		}
		if !time.Unix(0, o.FromTime.UnixNano()).Equal(o.FromTime) {
			faults = append(faults, fmt.Errorf("headrace: FollowOptions.FromTime = %v: want a time in the years 1678 to 2261", o.FromTime))
		}
	}
	if o.Until < 0 {
		faults = append(faults, fmt.Errorf("headrace: FollowOptions.Until = %d: want 0 or a sequence", o.Until))
	}
	if o.CheckpointEvery < 0 {
		faults = append(faults, fmt.Errorf("headrace: FollowOptions.CheckpointEvery = %d: want at least 1", o.CheckpointEvery))
	}
	if err := o.Filter.Validate(); err != nil {
		faults = append(faults, fmt.Errorf("headrace: FollowOptions.Filter: %w", err))
	}
	if o.After != (handlers.Checkpoint{}) && (o.Name != "" || o.From != 0 || o.After.Sequence < 1) {
		faults = append(faults, fmt.Errorf("headrace: FollowOptions.After = %v: want a checkpoint, and neither Name nor From", o.After))
	}
	if !validName(o.Name) {
		faults = append(faults, fmt.Errorf("headrace: FollowOptions.Name = %q: want letters, digits, '-', '_', '.', at most 100", o.Name))
	}
	return o, errors.Join(faults...)
}

func validName(name string) bool {
	if len(name) > 100 || name == "." || name == ".." {
		return false
	}
	for _, c := range name {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}

// Follow reads the journal at its own pace and calls fn for each event, in sequence: first what is there,
// then what comes, with no gap and no repeat between the two. However slow it is, the ring does not
// wait for it. Followers are for the world outside: forwarders, exports, mails.
//
// fn gets a context that ends with ctx, or when Close cannot wait for it any longer. Follow returns
// when fn returns an error, which it returns as it is and whose event counts as not
// handled; when ctx ends, with its error; ErrClosed when Close could not wait; nil after FollowOptions.Until, or when the engine closes and
// all that it may read was handled. handlers.ErrDiverged means that the checkpoint belongs to a
// history that a power cut took back: the follower has acted on events that are no more.
//
// Two followers of one name at a time are refused with ErrFollowing, and inside a handler it is
// ErrWouldDeadlock. Each event is delivered at least once: after a crash from the last checkpoint on.
func (e *Engine) Follow(ctx context.Context, o FollowOptions, fn func(context.Context, handlers.Delivery) error) error {
	if fn == nil {
		return e.follow(ctx, o, nil)
	}
	return e.follow(ctx, o, func(f *follower) taker { return &single{f, fn} })
}

// taker is what becomes of the records that a follower reads.
type taker interface {
	// take gets one record, and the event in it if that is to be delivered.
	take(ctx context.Context, rec journal.Record, d handlers.Delivery, wanted bool) error
	// rest is called when nothing more can be read for now, or at all.
	rest(ctx context.Context, over bool) error
}

// follow runs a follower until it ends. take is nil if nobody said what to do.
func (e *Engine) follow(ctx context.Context, o FollowOptions, take func(*follower) taker) error {
	o, err := o.withDefaults()
	if err != nil {
		return err
	}
	if handlers.InLane(ctx) || handlers.OnLane(e.lanes) {
		return ErrWouldDeadlock
	}
	if e.inMemory() {
		return fmt.Errorf("%w: nothing to follow", ErrNoLog)
	}
	if err := e.beginFollow(o.Name); err != nil {
		return err
	}
	defer e.endFollow(o.Name)
	if take == nil {
		return errNilFollower
	}

	ctx = context.WithValue(ctx, followKey{}, e)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(e.followCtx, func() { cancel(ErrClosed) })()
	f := &follower{engine: e, options: o}
	if f.match, err = handlers.NewMatch(o.Filter, e.types); err != nil {
		return err
	}
	f.taker = take(f)
	f.shown.Store(max(o.From, 1) - 1)
	e.nowReads(f)
	defer e.readsNoMore(f)
	if o.Name != "" {
		f.path = filepath.Join(e.dir, checkpointFolder, o.Name)
	}
	err = f.run(ctx)
	if f.failed == nil && errors.Is(err, context.Canceled) && context.Cause(ctx) == ErrClosed {
		return ErrClosed // not the caller's context ended, but Close's patience
	}
	return err
}

var errNilFollower = errors.New("headrace: Follow: its function is nil")

// checkpointFolder is where followers' checkpoints lie, in the journal's directory.
const checkpointFolder = "checkpoints"

// followKey marks the context of a follower's function with its engine.
type followKey struct{}

func (e *Engine) beginFollow(name string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.closing.Load():
		return ErrClosed
	case name != "" && e.following[name]:
		return fmt.Errorf("%w: %q", ErrFollowing, name)
	}
	if name != "" {
		e.following[name] = true
	}
	e.follows.Add(1)
	return nil
}

// nowReads and readsNoMore stand around what a follower does: meanwhile nothing is removed that it has not read.
func (e *Engine) nowReads(f *follower) {
	e.mu.Lock()
	e.reading[f] = true
	e.mu.Unlock()
}

func (e *Engine) readsNoMore(f *follower) {
	e.mu.Lock()
	delete(e.reading, f)
	e.mu.Unlock()
}

func (e *Engine) endFollow(name string) {
	e.mu.Lock()
	delete(e.following, name)
	e.mu.Unlock()
	e.follows.Done()
}

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

// haltedOrNil is the engine's error if it halted, and nil if it closed in order.
func (e *Engine) haltedOrNil() error {
	if cause := e.Err(); cause != nil {
		return e.haltError()
	}
	return nil
}
