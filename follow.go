package headrace

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/journal"
)

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
	defer e.followers.Leave(e.followers.Enter())
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

// haltedOrNil is the engine's error if it halted, and nil if it closed in order.
func (e *Engine) haltedOrNil() error {
	if cause := e.Err(); cause != nil {
		return e.haltError()
	}
	return nil
}
