package sqlite

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
)

// passed is one event on its way from the log to the database; or a sequence without one that concerns us.
type passed struct {
	at       handlers.Checkpoint
	delivery handlers.Delivery
	is       bool // there is a delivery
}

// Run keeps the tables up to date with the log of eng, until ctx ends or the engine closes; then it returns nil, when all
// that was readable is in the tables or, after ctx, what was begun. If the tables are of another version they are
// rebuilt first, while readers see the old ones.
//
// Errors: ErrRunning; ErrConflict; handlers.ErrDiverged; what a function of Apply returned, with the event; those of the
// database and of Engine.Follow.
func (p *Projection) Run(ctx context.Context, eng *headrace.Engine) error {
	if !p.begin(&p.running) {
		return ErrRunning
	}
	defer p.end(&p.running)
	if err := p.refresh(ctx); err != nil {
		return err
	}
	if p.generation().version != int64(p.o.Version) {
		if done, err := p.rebuild(ctx, eng); err != nil || !done {
			return err
		}
	}
	return p.follow(ctx, eng, p.generation().at, func(batch []passed) (bool, error) {
		p.write.Lock()
		defer p.write.Unlock()
		live := p.generation()
		for len(batch) > 0 && batch[0].at.Sequence <= live.at.Sequence {
			batch = batch[1:] // a rebuild has switched meanwhile
		}
		at, err := p.apply(ctx, live, batch, nil)
		if err == nil {
			live.at = at
			p.setLive(live)
		}
		return false, err
	})
}

// Rebuild fills new tables from the beginning of the log, beside those that readers see, and switches to them when
// they contain as much: in one transaction, during the last part of which Run waits. It may be called beside Run or
// without. One that was interrupted goes on, unless the log is another one now; then it begins anew.
//
// Errors: those of Run, the error of ctx, and headrace.ErrClosed if the engine closed before the switch.
func (p *Projection) Rebuild(ctx context.Context, eng *headrace.Engine) error {
	done, err := p.rebuild(ctx, eng)
	if err != nil || done {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return fmt.Errorf("sqlite: projection %q is not rebuilt yet: %w", p.o.Name, headrace.ErrClosed)
}

// rebuild reports whether it came to the switch.
func (p *Projection) rebuild(ctx context.Context, eng *headrace.Engine) (done bool, err error) {
	if !p.begin(&p.building) {
		return false, ErrRunning
	}
	defer p.end(&p.building)
	g, err := p.beside(ctx, false)
	if err != nil {
		return false, err
	}
	done, err = p.fill(ctx, eng, g)
	if g.at.Sequence == 0 || !errors.Is(err, handlers.ErrDiverged) {
		return done, err
	}
	if g, err = p.beside(ctx, true); err != nil { // what was begun has seen another log
		return false, err
	}
	return p.fill(ctx, eng, g)
}

// fill brings a generation beside the live one as far as that is, and makes it the live one.
func (p *Projection) fill(ctx context.Context, eng *headrace.Engine, g generation) (switched bool, err error) {
	locked := false // the live generation waits for us
	defer func() {
		if locked {
			p.write.Unlock()
		}
	}()
	goal := eng.Written()
	err = p.follow(ctx, eng, g.at, func(batch []passed) (done bool, err error) {
		if !locked {
			p.write.Lock()
			locked = true
		}
		live := p.generation()
		// The tables of another version are as far as their program came, and those ahead of the log have seen another
		// one: the goal is what the log had then.
		target := live.at.Sequence
		if live.version != int64(p.o.Version) || target > eng.Written() {
			target = goal
		}
		last := batch[len(batch)-1].at.Sequence
		var also func(tx *Tx) error
		if last >= target {
			also = func(tx *Tx) error { return p.swap(tx, live, g) }
		}
		at, err := p.apply(ctx, g, batch, also)
		if err != nil {
			return false, err
		}
		if g.at = at; also != nil {
			p.setLive(g)
			switched = true
			return true, nil
		}
		if target-last > int64(p.o.Batch) {
			p.write.Unlock() // far behind: the live one goes on
			locked = false
		}
		return false, nil
	})
	return switched, err
}

// beside returns the generation that is being built: the one that was begun, or a new one, always with anew.
func (p *Projection) beside(ctx context.Context, anew bool) (g generation, err error) {
	p.write.Lock()
	defer p.write.Unlock()
	next := generation{number: p.generation().number + 1, version: int64(p.o.Version)}
	err = p.transact(context.WithoutCancel(ctx), next.number, func(tx *Tx) error {
		begun, ok, err := p.row(tx, false)
		if err != nil {
			return err
		}
		if ok && !anew && begun.version == next.version && begun.number == next.number {
			g = begun
			return nil
		}
		if ok {
			if err := p.drop(tx, begun); err != nil {
				return err
			}
		}
		g = next
		return p.create(tx, next, false)
	})
	return g, err
}

// swap makes g the live generation instead of old.
func (p *Projection) swap(tx *Tx, old, g generation) error {
	if err := p.show(tx); err != nil {
		return err
	}
	if err := p.hide(tx, old); err != nil {
		return err
	}
	if err := p.drop(tx, old); err != nil {
		return err
	}
	return tx.Exec(`UPDATE headrace_projections SET live = 1 WHERE name = ? AND generation = ?`, p.o.Name, g.number)
}

// apply applies a batch to a generation in one transaction, and returns where it then is.
func (p *Projection) apply(ctx context.Context, g generation, batch []passed, also func(tx *Tx) error) (handlers.Checkpoint, error) {
	if len(batch) == 0 {
		return g.at, nil
	}
	at := batch[len(batch)-1].at
	// What is begun is finished: a transaction takes no longer than its batch.
	err := p.transact(context.WithoutCancel(ctx), g.number, func(tx *Tx) error {
		for _, one := range batch {
			if !one.is {
				continue
			}
			for _, fn := range p.applies {
				if _, err := fn(tx, one.delivery); err != nil {
					return fmt.Errorf("sqlite: projection %q: event %d (%s): %w", p.o.Name, one.at.Sequence, one.delivery.Type, err)
				}
			}
		}
		if err := p.move(tx, g, at); err != nil {
			return err
		}
		if also != nil {
			return also(tx)
		}
		return nil
	})
	return at, err
}

// follow reads the log behind a checkpoint and calls write with what there is, until it says that it is done.
func (p *Projection) follow(ctx context.Context, eng *headrace.Engine, after handlers.Checkpoint, write func(batch []passed) (done bool, err error)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	queue := make(chan passed, p.o.Batch)
	ended := make(chan error, 1)
	put := func(one passed) error {
		select {
		case queue <- one:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	go func() {
		defer close(queue)
		ended <- eng.Follow(ctx, headrace.FollowOptions{
			After:  after,
			Passed: func(at handlers.Checkpoint) error { return put(passed{at: at}) },
		}, func(_ context.Context, d handlers.Delivery) error {
			v, err := event.Parse(bytes.Clone(d.Event.Body()))
			if err != nil {
				return err
			}
			d.Event = v
			return put(passed{d.Checkpoint(), d, true})
		})
	}()
	var failed error
	done := false
	batch := make([]passed, 0, p.o.Batch)
	for one := range queue {
		if failed != nil || done || ctx.Err() != nil {
			continue // drain
		}
		batch = append(batch[:0], one)
		for more := true; more && len(batch) < cap(batch); {
			select {
			case one, open := <-queue:
				if more = open; open {
					batch = append(batch, one)
				}
			default:
				more = false
			}
		}
		if done, failed = write(batch); failed != nil || done {
			cancel(errDone)
		}
	}
	err := <-ended
	switch {
	case failed != nil:
		return failed
	case done, errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, headrace.ErrClosed):
		return nil
	}
	return err
}

// errDone ends a follower that is not needed any more.
var errDone = errors.New("sqlite: done")

func (p *Projection) generation() generation {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.live
}

func (p *Projection) setLive(g generation) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.live = g
	close(p.moved)
	p.moved = make(chan struct{})
}

// begin takes one of the flags, unless somebody has it.
func (p *Projection) begin(flag *bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if *flag {
		return false
	}
	*flag = true
	return true
}

func (p *Projection) end(flag *bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	*flag = false
}
