package headrace

import (
	"context"
	"fmt"

	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/journal"
)

// FollowBatch is Follow for who would rather have many events at once, such as for one transaction or one request: fn
// gets those that can be read, up to maxEvents, 0 = handlers.BatchEvents, and does not wait for there to be so many. An
// atomic batch is never split: where the last one does not end at maxEvents there are more, by as much as one
// atomic batch holds. Only FollowOptions.Until, the end of the engine, and a From in its middle may cut one.
//
// The slice and the views in it are valid inside the call. If fn fails, none of its events counts as handled: the
// checkpoint is before the first, and all of them come again, perhaps cut otherwise. Delivery.Checkpoint of the last one
// is that of them all. FollowOptions.Passed is told of the last record that is passed over, and not before
// what comes ahead of it is handled. All else is as with Follow.
func (e *Engine) FollowBatch(ctx context.Context, o FollowOptions, maxEvents int, fn func(context.Context, []handlers.Delivery) error) error {
	if maxEvents < 0 {
		return fmt.Errorf("headrace: FollowBatch of %d events: want at least 1, or 0", maxEvents)
	}
	if maxEvents == 0 {
		maxEvents = handlers.BatchEvents
	}
	if fn == nil {
		return e.follow(ctx, o, nil)
	}
	return e.follow(ctx, o, func(f *follower) taker { return &several{follower: f, max: maxEvents, fn: fn} })
}

// several is a follower that gets many events at once.
type several struct {
	*follower
	max     int
	fn      func(context.Context, []handlers.Delivery) error
	events  []handlers.Delivery
	rooms   [][]byte            // for the copies of their bodies
	records int                 // since the last call
	last    handlers.Checkpoint // all up to here is in events, or passed over
	goesOn  bool                // the atomic batch of the record there does
	over    bool                // the record there is passed over
}

func (s *several) take(ctx context.Context, rec journal.Record, d handlers.Delivery, wanted bool) error {
	s.last, s.goesOn, s.over = handlers.CheckpointOf(rec), rec.Flags&journal.FlagBatch != 0, !wanted
	s.records++
	if wanted {
		n := len(s.events)
		if n == len(s.rooms) {
			s.rooms = append(s.rooms, nil)
		}
		d = d.Clone(s.rooms[n])
		s.rooms[n] = d.Event.Body()
		s.events = append(s.events, d)
	}
	if len(s.events) < s.max || s.goesOn {
		return nil
	}
	return s.flush(ctx)
}

func (s *several) rest(ctx context.Context, over bool) error {
	if s.records == 0 || s.goesOn && !over {
		return nil
	}
	return s.flush(ctx)
}

// flush hands on what there is.
func (s *several) flush(ctx context.Context) error {
	if len(s.events) > 0 {
		if err := s.failing(s.fn(ctx, s.events)); err != nil {
			return err
		}
		clear(s.events)
		s.events = s.events[:0]
	}
	if s.over {
		if err := s.passed(s.last); err != nil {
			return err
		}
	}
	n := s.records
	s.records = 0
	return s.reached(s.last, n)
}
