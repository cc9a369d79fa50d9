package handlers

import (
	"fmt"

	"github.com/headrace/headrace/journal"
)

// rebuild makes the lane's states anew from the last snapshot, if there is one, and the log up to end, and nothing else: a handler has failed on the event
// behind it, which the lane is at, and nobody knows how much of the state it has changed. What is parked
// and the timers are as they were, since no handler of the application touches them.
//
// Handlers before the one that failed have had that event too; before, if there is one, runs them.
//
// The handlers run as at a replay, with outcomes from the log and from this run. They have handled these
// events before; one that fails now computes something else than it did, and the lane stops.
func (l *Lane) rebuild(end int64, before func(*Context) error) error {
	call, repeat, ahead := l.call, l.repeat, l.ahead
	parkings := make([]*parking, len(l.reactions))
	for i, r := range l.reactions {
		if parkings[i] = r.parking; r.parking != nil {
			r.parking = newParking(r.parking.policy, r.parking.outcomes) // goes through what it went through
		}
	}
	defer func() {
		l.call, l.repeat, l.ahead = call, repeat, ahead
		for i, r := range l.reactions {
			r.parking = parkings[i]
		}
	}()
	from, err := l.rewind()
	if err != nil {
		return err
	}
	l.call.pass = passRebuild
	err = l.reread(from, end, func(rec journal.Record) error {
		if rec.Kind != journal.KindEvent {
			return nil
		}
		return l.handle(rec.Sequence, rec.Time, rec.Type, rec.Body)
	})
	if err == nil && before != nil {
		l.call = call
		l.call.pass, l.call.handler = passRebuild, nil
		err = before(&l.call)
	}
	if err != nil {
		return fmt.Errorf("handlers: lane %q: its state cannot be rebuilt: %w", l.name, err)
	}
	return nil
}

// rewind takes the states, and what the handlers have parked, back to the last snapshot, or to the beginning. from is
// the first event behind it.
func (l *Lane) rewind() (from int64, err error) {
	if l.base == nil {
		for _, s := range l.states {
			if err := s.reset(); err != nil {
				return 0, err
			}
		}
		return 0, nil
	}
	if err := l.restore(l.base); err != nil {
		return 0, err
	}
	for _, p := range l.base.Parked {
		for _, r := range l.reactions {
			if r.id == p.Handler && r.parking != nil {
				if err := r.parking.load(p.Data); err != nil {
					return 0, err
				}
			}
		}
	}
	return l.base.Sequence + 1, nil
}
