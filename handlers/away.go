package handlers

import (
	"context"
	"errors"

	"github.com/headrace/headrace/journal"
)

// ErrPaused reports a snapshot while a read model is paused, or has not caught up again: it would not be in it.
var ErrPaused = errors.New("handlers: a read model is paused, or catching up")

// Pause makes the lane pass over what comes through the ring, and returns when no handler of it runs. The log keeps
// what it passes over, and Rejoin takes it up. It is for lanes that emit nothing, and stand behind the journal.
func (l *Lane) Pause() {
	l.lock.Lock()
	defer l.lock.Unlock()
	l.paused.Store(true)
	if !l.away.Load() {
		l.passed = l.applied
		l.away.Store(true)
	}
}

// Resume takes back Pause; Rejoin follows.
func (l *Lane) Resume() {
	l.lock.Lock()
	l.paused.Store(false)
	l.lock.Unlock()
}

// Paused tells whether the lane is paused, Away whether it is that or has not caught up since.
func (l *Lane) Paused() bool { return l.paused.Load() }

// Away tells whether the lane handles nothing that comes through the ring.
func (l *Lane) Away() bool { return l.away.Load() }

// Sequence is the last event that the lane has handled. It may be called from any goroutine.
func (l *Lane) Sequence() int64 { return l.shown.Load() }

// passBy lets a span of the ring go by. The lock is held. An atomic batch goes by with its first slot, since the log has
// all of it then: so a batch handler that rejoins gets it whole.
func (l *Lane) passBy(first int64, span []Slot) {
	for i := range span {
		if span[i].Type == markedID {
			l.notMarked()
		}
		l.passed = max(l.passed, first+int64(i)+max(1, int64(span[i].Batch))-1)
	}
}

// notMarked tells who waits for an image that there is none.
func (l *Lane) notMarked() {
	if w := l.wish.Swap(nil); w != nil {
		w.image <- &Image{Lane: l.name, Err: ErrPaused}
	}
}

// reader reads the records [from, to] of the log.
type reader func(from, to int64, fn func(journal.Record) error) error

// Rejoin reads what the lane has passed over from the log, and lets it go on with what comes through the ring. While more
// than near events are missing the ring goes on meanwhile; for the rest it waits. It returns early, and
// the lane stays away, when the lane is paused again or ctx ends.
func (l *Lane) Rejoin(ctx context.Context, near int64, read func(from, to int64, fn func(journal.Record) error) error) error {
	l.rejoining.Lock()
	defer l.rejoining.Unlock()
	for {
		l.lock.Lock()
		from, to := l.applied+1, l.passed
		switch {
		case ctx.Err() != nil || l.paused.Load() || !l.away.Load():
			l.lock.Unlock()
			return ctx.Err()
		case to-from < near:
			err := l.rejoin(from, to, read)
			l.lock.Unlock()
			l.stir()
			return err
		}
		l.lock.Unlock()
		inBatch := false // between two records of an atomic batch
		err := reader(read)(from, to, func(rec journal.Record) error {
			if !inBatch && (l.paused.Load() || ctx.Err() != nil) {
				return errEnough
			}
			if rec.Sequence%256 == 0 {
				l.stir()
			}
			inBatch = rec.Flags&journal.FlagBatch != 0
			return l.Replay(rec)
		})
		if errors.Is(err, errEnough) {
			err = nil
		}
		if err == nil {
			err = l.Replayed()
		}
		l.stir()
		if err != nil {
			return err
		}
	}
}

// rejoin reads the rest, and takes up the ring. The lock is held.
func (l *Lane) rejoin(from, to int64, read reader) error {
	defer l.visible()
	if from <= to {
		if err := read(from, to, l.replay); err != nil {
			return err
		}
		if l.batch != nil {
			if err := l.flush(); err != nil {
				return err
			}
		}
	}
	l.applied = max(l.applied, to)
	l.away.Store(false)
	return nil
}

// errEnough ends a pass over the log.
var errEnough = errors.New("handlers: enough")

// stir wakes those who wait for a lane that is away.
func (l *Lane) stir() {
	l.stirring.Lock()
	defer l.stirring.Unlock()
	if l.stirred != nil {
		close(l.stirred)
		l.stirred = nil
	}
}

// Reached returns when a lane that the ring's cursor has passed seq on has handled it: at once, unless it is away. It returns
// the error of ctx if that ends first, and nil when ended is closed.
func (l *Lane) Reached(ctx context.Context, seq int64, ended <-chan struct{}) error {
	for {
		l.stirring.Lock()
		if l.stirred == nil {
			l.stirred = make(chan struct{})
		}
		again := l.stirred
		l.stirring.Unlock()
		if !l.away.Load() || l.shown.Load() >= seq {
			return nil
		}
		select {
		case <-again:
		case <-ended:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Rebuild makes the lane's states anew from the log, with the lane's own handlers, beside the live ones, and then puts
// them in their place at one sequence: who looks in sees the old ones whole or the new ones whole. first is where the log
// begins. A handler that fails meanwhile is the call's error, and changes nothing. It is for lanes that emit
// nothing; one at a time.
func (l *Lane) Rebuild(ctx context.Context, first, near int64, read func(from, to int64, fn func(journal.Record) error) error, progress func(seq int64)) error {
	s, err := l.beside()
	if err != nil {
		return err
	}
	s.applied = first - 1
	for {
		l.lock.Lock()
		from, to := s.applied+1, l.applied
		if to-from < near {
			defer l.lock.Unlock()
			if err := s.readOn(ctx, from, to, read, progress); err != nil {
				return err
			}
			for i, st := range l.states {
				st.adopt(s.states[i])
			}
			return nil
		}
		l.lock.Unlock()
		if err := s.readOn(ctx, from, to, read, progress); err != nil {
			return err
		}
	}
}

// readOn replays [from, to].
func (l *Lane) readOn(ctx context.Context, from, to int64, read reader, progress func(seq int64)) error {
	if from > to {
		return nil
	}
	err := read(from, to, func(rec journal.Record) error {
		if rec.Sequence%256 == 0 {
			progress(rec.Sequence)
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		return l.Replay(rec)
	})
	if err == nil {
		err = l.Replayed()
	}
	l.applied = max(l.applied, to)
	return err
}

// beside returns a lane with the same handlers and states of an empty log. Nobody else sees it.
func (l *Lane) beside() (*Lane, error) {
	s := &Lane{name: l.name, registers: l.registers, reactions: l.reactions, declared: true,
		ctx: l.ctx, types: l.types, clock: l.clock, published: l.published}
	for _, st := range l.states {
		b, err := st.beside(s)
		if err != nil {
			return nil, err
		}
		s.states = append(s.states, b)
	}
	if l.batch != nil {
		s.batch = &batcher{filtered: l.batch.filtered, max: l.batch.max, fn: l.batch.fn}
	}
	s.call.lane, s.ahead.lane = s, s
	s.ahead.pass, s.evolving = passAhead, &reaction{role: roleEvolve}
	return s, errors.Join(s.bindHandlers()...)
}
