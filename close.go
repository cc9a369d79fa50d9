package headrace

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/journal"
	"github.com/headrace/headrace/ring"
)

// Close refuses new events, lets the lanes handle all that was published and all that this makes them emit,
// syncs the journal and closes it. After it returns, no goroutine, mapping or descriptor of the
// engine is left, unless a handler never returns.
//
// If ctx ends first, or has ended before, the engine halts where it stands: what is written stays in the log, and
// the next Open goes on from there. The error then names the lane that was late. Handlers learn of it by
// their Context; one that does not return within 5 s is left behind. The journal, and with it the lock of the directory,
// then stays open until it, the last call of an effect and the last follower have returned, and is closed by that
// moment: nothing more need be called. If the engine had halted before, the error is why.
//
// Calling it again waits, as long as its own ctx allows, until nothing is left behind, and returns what became of the first
// call but for that: nil if all was handled and only followers were late, else why it could not end in order, although
// the directory is free then: what was not handled is the next Open's to handle, and a nil would say that nothing is. If ctx
// ends first its error is wrapped in one that says who is late. Unless the engine had halted, Health tells the one from the
// other: it is StateClosed once the directory is free.
//
// A handler, the call of an effect or a follower's function may not call Close, which would wait for it: ErrWouldDeadlock.
func (e *Engine) Close(ctx context.Context) error {
	if handlers.InLane(ctx) || handlers.OnLane(e.lanes) || ctx.Value(followKey{}) == e || e.followers.Here() || e.insideEffect(ctx) {
		return ErrWouldDeadlock
	}
	if e.closed.CompareAndSwap(false, true) {
		return e.close(ctx)
	}
	select {
	case <-e.done:
		return e.closeErr
	default:
	}
	select {
	case <-e.done:
		return e.closeErr
	case <-ctx.Done():
		return fmt.Errorf("headrace: still closing: %s: %w", e.late(), ctx.Err())
	}
}

func (e *Engine) close(ctx context.Context) error {
	var errs []error
	e.mu.Lock()
	e.closing.Store(true) // no follower begins after this
	e.mu.Unlock()
	e.stopSnapshots()
	<-e.snapshots.ended
	e.crowd.Stop()
	ended := ctx.Err()
	err := e.stopEffects(ctx)
	if err == nil {
		err = e.drain(ctx)
	}
	if err == nil && ended != nil {
		err = fmt.Errorf("headrace: closed without waiting for anything: %w", ended)
	}
	complete := err == nil
	if err == nil {
		err = e.ring.Close(ctx)
	}
	if err == nil {
		err = e.haltedOrNil() // an effect may have halted it while nobody was in the ring
	}
	if err == nil {
		err = e.journal.Sync() // followers may read all of it before they end
	}
	if err != nil {
		complete = false
		e.ring.Halt()
		if cause := e.Err(); cause != nil {
			err = cause // the drain failed because of it
		}
		errs = append(errs, err)
	}
	e.cancel()
	<-e.fed
	<-e.ticked
	late := errors.Join(e.awaitStop(), e.awaitEffects())
	if late == nil {
		late = e.awaitFollowers(ctx)
	}
	if late != nil { // the journal may be in use: it stays open
		e.dropFollowers()
		go func() {
			e.awaitAll()
			e.conclude(context.WithoutCancel(ctx), complete, errs)
		}()
		return errors.Join(append(slices.Clone(errs), late)...)
	}
	e.conclude(ctx, complete, errs)
	return e.closeErr
}

// conclude closes the journal, which nobody uses any more. complete: all is handled; errs is what went wrong before.
func (e *Engine) conclude(ctx context.Context, complete bool, errs []error) {
	e.snapshots.turn <- struct{}{} // one that was asked for ends first
	if complete && e.options.Snapshots.AtClose {
		e.snapshots.close(ctx)
	}
	if complete && !e.inMemory() {
		if err := e.markProgress(); err != nil {
			errs = append(errs, err)
		}
	}
	if err := e.journal.Close(); err != nil {
		errs = append(errs, err)
	}
	e.closeErr = errors.Join(errs...)
	close(e.done)
}

// awaitAll waits until no goroutine that somebody's function runs on is left, however long that takes.
func (e *Engine) awaitAll() {
	<-e.ring.Done()
	for _, x := range e.effects {
		_ = x.Stopped(context.Background())
	}
	e.follows.Wait()
}

// late says who has not returned, for people.
func (e *Engine) late() string {
	var who []string
	for _, c := range e.lateLanes() {
		who = append(who, fmt.Sprintf("lane %q is at event %d", c.Name(), c.Cursor()))
	}
	for _, x := range e.effects {
		if s := x.Stats(); s.Running > 0 {
			who = append(who, fmt.Sprintf("effect %q has %d calls running", s.Name, s.Running))
		}
	}
	if names := e.followerNames(); names != "" {
		who = append(who, names+" has not returned")
	}
	if len(who) == 0 {
		return "it is about to end"
	}
	return strings.Join(who, ", ")
}

// lateLanes returns the ring's consumers that have something to do and have not ended: one that was halted is behind too.
func (e *Engine) lateLanes() (late []*ring.Consumer) {
	over, end := context.WithCancel(context.Background())
	end()
	for _, c := range e.consumers {
		if c.Lag() > 0 && c.WaitFor(over, math.MaxInt64) == over.Err() {
			late = append(late, c)
		}
	}
	return late
}

// followerNames names the followers that run, and the projections that catch up, for people; "" if there are none.
func (e *Engine) followerNames() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var names []string
	for name := range e.following {
		names = append(names, fmt.Sprintf("follower %q", name))
	}
	for name := range e.rejoining {
		names = append(names, fmt.Sprintf("projection %q, which is catching up,", name))
	}
	slices.Sort(names)
	for f := range e.reading {
		if f.options.Name == "" {
			names = append(names, fmt.Sprintf("a follower without a name, behind event %d", f.shown.Load()))
		}
	}
	return strings.Join(names, ", ")
}

// drain waits until nothing is published that a lane has not handled, and nothing emitted that
// is not published. Producers outside are refused already, so it ends unless handlers go on for ever.
func (e *Engine) drain(ctx context.Context) error {
	if err := e.fenceProducers(ctx); err != nil {
		return err
	}
	for {
		last := e.ring.Cursor()
		for _, c := range e.consumers {
			if c == e.waits[syncStage] {
				e.journal.RequestSync() // the journaler is at last, and nobody need wait for the sync's time
			}
			if err := c.WaitFor(ctx, last); err != nil {
				return fmt.Errorf("headrace: lane %q is late: at %d of %d: %w", c.Name(), c.Cursor(), last, e.translate(err))
			}
		}
		if err := e.catchUp(ctx, last); err != nil {
			return err
		}
		if err := e.feedback.WaitBelow(ctx, 0); err != nil {
			return fmt.Errorf("headrace: %d emitted bytes wait for the ring: %w", e.feedback.Bytes(), err)
		}
		if e.ring.Cursor() == last {
			return nil
		}
	}
}

// awaitStop waits until every consumer has stopped, but for a handler that does not return no longer
// than a grace.
func (e *Engine) awaitStop() error {
	grace := time.NewTimer(haltGrace)
	defer grace.Stop()
	select {
	case <-e.ring.Done():
		return nil
	case <-grace.C:
	}
	select {
	case <-e.ring.Done(): // at the same time
		return nil
	default:
	}
	var late []error
	for _, c := range e.lateLanes() {
		late = append(late, fmt.Errorf("headrace: lane %q has not returned from its handler since event %d; the journal stays open", c.Name(), c.Cursor()))
	}
	if len(late) == 0 {
		late = append(late, errors.New("headrace: a lane has not ended; the journal stays open"))
	}
	return errors.Join(late...)
}

// awaitFollowers lets the followers read to the end, until ctx ends; then it tells them to stop, and
// waits no longer than a grace.
func (e *Engine) awaitFollowers(ctx context.Context) error {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		e.follows.Wait()
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		e.dropFollowers()
	}
	grace := time.NewTimer(haltGrace)
	defer grace.Stop()
	select {
	case <-ended:
		return nil
	case <-grace.C:
		return fmt.Errorf("headrace: %s has not returned; the journal stays open: %w", e.followerNames(), ctx.Err())
	}
}

// markProgress notes in the log that no answer is missing, so that a handler which answers more
// types in its next version does not answer the past.
func (e *Engine) markProgress() error {
	now := e.now()
	var ids []uint64
	for _, p := range e.topology.reacting() {
		if p.effect != nil {
			continue // the log itself tells which causes have no answer
		}
		for _, id := range p.lane.HandlerIDs() {
			ids = append(ids, e.names.hash(id))
		}
	}
	last := e.journal.Written()
	for some := range slices.Chunk(ids, progressHandlers) {
		body, err := systemBody(progress{Sequence: last, Handlers: some}, now)
		if err != nil {
			return err
		}
		if _, err := e.journal.Append(journal.Entry{Type: progressID, Kind: journal.KindCheckpoint, Time: now, Body: body}); err != nil {
			return err
		}
	}
	return nil
}

// progressHandlers is how many handlers one progress record names: it fits the smallest MaxBodyBytes.
const progressHandlers = 64
