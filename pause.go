package headrace

import (
	"context"
	"errors"
	"fmt"

	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/journal"
	"github.com/headrace/headrace/ring"
)

var (
	// ErrNotProjection reports a Pause, Resume or Rebuild of what is no projection, or one that stands behind Published.
	ErrNotProjection = errors.New("headrace: not a projection behind the journal")

	// ErrRebuilding reports a Rebuild of a projection that is being rebuilt.
	ErrRebuilding = errors.New("headrace: projection is being rebuilt")
)

// Pause makes a projection stand still, and returns when it does: its state does not change until Resume, and events are
// neither handled nor lost, since the log has them. The ring does not wait for it. Those who wait for it wait on;
// Health says that it is paused, and how far it is behind. Pausing twice is pausing once. After a restart nothing is
// paused: the state is rebuilt from the log.
//
// While one is paused, or has not caught up again, no snapshots are taken: handlers.ErrPaused. Errors: ErrUnknownLane;
// ErrNotProjection; ErrNoLog on an engine in memory; ErrClosed; ErrWouldDeadlock on a lane. Inside a View of
// the projection it would wait for itself.
func (e *Engine) Pause(projection string) error {
	l, err := e.readModel(projection)
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closing.Load() {
		return ErrClosed
	}
	l.Pause()
	return nil
}

// Resume lets a projection that is paused go on. It returns at once: the projection reads from the log what it has missed, while
// events flow, and then goes on in the ring, with no gap and no repeat; WaitFor waits for that. For as long as events come
// faster than it handles them it stays behind, and the ring does not wait for it. A handler that fails
// halts the engine as ever. Resuming what is not paused does nothing. Errors are those of Pause.
func (e *Engine) Resume(projection string) error {
	l, err := e.readModel(projection)
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closing.Load() {
		return ErrClosed
	}
	if !l.Paused() {
		return nil
	}
	l.Resume()
	e.follows.Add(1)
	e.rejoining[projection]++
	go func() {
		err := fmt.Errorf("headrace: lane %q: %w", projection, ring.ErrGoexit) // stands if a handler ends the goroutine
		defer func() {
			if err != nil && e.ctx.Err() == nil {
				e.fail(err)
				e.ring.Halt()
			}
			e.mu.Lock()
			if e.rejoining[projection]--; e.rejoining[projection] == 0 {
				delete(e.rejoining, projection)
			}
			e.mu.Unlock()
			e.follows.Done()
		}()
		err = l.Rejoin(e.ctx, e.near(), e.rereadWhole)
	}()
	return nil
}

// near is how many events may be missing for the ring to wait until they are handled.
func (e *Engine) near() int64 { return int64(e.options.Slots / 2) }

// rereadWhole reads the log again, and fails on lost records that nobody has accepted.
func (e *Engine) rereadWhole(from, to int64, fn func(journal.Record) error) error {
	return opener(e.journal.NewReader).reread(from, to, e.whole(fn))
}

// readModel returns the lane of a projection that can be paused.
func (e *Engine) readModel(name string) (*handlers.Lane, error) {
	if handlers.OnLane(e.lanes) {
		return nil, ErrWouldDeadlock
	}
	if e.inMemory() {
		return nil, fmt.Errorf("%w: projection %q could not go on from it", ErrNoLog, name)
	}
	for _, p := range e.topology.lanes {
		switch {
		case p.lane.Name() != name:
		case p.projector == nil || p.options.Behind == Published:
			return nil, fmt.Errorf("%w: %q", ErrNotProjection, name)
		default:
			return p.lane, nil
		}
	}
	return nil, fmt.Errorf("%w: %q", ErrUnknownLane, name)
}

// away returns the name of a projection that is paused or has not caught up, "" for none.
func (e *Engine) away() string {
	for _, l := range e.lanes {
		if l.Away() {
			return l.Name()
		}
	}
	return ""
}

// awaitLane is await for a lane that may be away.
func (e *Engine) awaitLane(ctx context.Context, c *ring.Consumer, l *handlers.Lane, seq int64) error {
	if err := e.await(ctx, c, seq); err != nil || !l.Away() {
		return err
	}
	if l.Sequence() < seq && (handlers.InLane(ctx) || handlers.OnLane(e.lanes)) {
		return ErrWouldDeadlock
	}
	if err := l.Reached(ctx, seq, e.ctx.Done()); err != nil {
		state := "is catching up"
		if l.Paused() {
			state = "is paused"
		}
		return e.stopped(ctx, err, "projection %q %s, at %d of %d", l.Name(), state, l.Sequence(), seq)
	}
	if l.Away() && l.Sequence() < seq {
		return e.stopped(ctx, ErrClosed, "projection %q is at %d of %d", l.Name(), l.Sequence(), seq)
	}
	return nil
}

// catchUp waits, at Close, for projections that were resumed.
func (e *Engine) catchUp(ctx context.Context, last int64) error {
	for _, l := range e.lanes {
		if l.Away() && !l.Paused() {
			if err := l.Reached(ctx, last, e.ctx.Done()); err != nil {
				return fmt.Errorf("headrace: projection %q has not caught up: at %d of %d: %w", l.Name(), l.Sequence(), last, err)
			}
		}
	}
	return nil
}

// Rebuild makes the state of a projection anew from the log, with the handlers that it has, beside the live one, while
// events flow; when it has caught up it takes the place of the live one at one sequence. Who looks in with View sees the
// old one whole or the new one whole; the old one is dropped. It returns when that is done. Health shows it as a follower
// "rebuild/NAME". A projection that is paused is rebuilt up to where it stands. A crash in the middle loses nothing: the
// next Open makes the state from the log anyway.
//
// The state of an empty log is that which NewProjection was given, if it can be encoded (else handlers.ErrNotKept), or what
// handlers.Projection.Fresh makes. A handler that fails on the way is the error, and the live state goes on. Errors besides:
// ErrRebuilding; journal.ErrOutOfRange if the log's beginning was given up; the error of ctx; those of Pause.
func (e *Engine) Rebuild(ctx context.Context, projection string) error {
	l, err := e.readModel(projection)
	if err != nil {
		return err
	}
	begin, first := e.snapshots.known.begin, e.journal.FirstSequence()
	f := &follower{engine: e, options: FollowOptions{Name: "rebuild/" + projection, Provisional: true}}
	if err := e.beginFollow(f.options.Name); err != nil {
		if errors.Is(err, ErrFollowing) {
			err = fmt.Errorf("%w: %q", ErrRebuilding, projection)
		}
		return err
	}
	defer e.endFollow(f.options.Name)
	e.nowReads(f)
	defer e.readsNoMore(f)
	if first > begin {
		return fmt.Errorf("%w: projection %q cannot be rebuilt: the log begins with event %d", journal.ErrOutOfRange, projection, first)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(e.snapshotCtx, func() { cancel(ErrClosed) })() // ends when the engine closes or halts
	err = l.Rebuild(ctx, first, e.near(), e.rereadWhole, func(seq int64) {
		f.reads.Store(seq)
		f.shown.Store(seq)
	})
	if err != nil && errors.Is(err, context.Canceled) && context.Cause(ctx) == ErrClosed {
		if err = e.haltedOrNil(); err == nil {
			err = ErrClosed
		}
	}
	return err
}
