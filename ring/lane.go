package ring

import (
	"errors"

	"github.com/headrace/headrace/internal/atomic"
	"github.com/headrace/headrace/internal/block"
	"github.com/headrace/headrace/internal/mix"
)

// An epoch says which lanes have the events from one sequence on. It never changes, but that from is
// set once, and before is forgotten once nobody needs it: all lanes that are in the graph are past it.
//
// A change of lanes must find a sequence that no lane has passed under the old epoch, and lanes
// look at the epoch without a lock, once a span:
//
//	lane                              JoinLane, LeaveLane
//	----                              -------------------
//	hi = the barrier                  epoch = the new one, from still unknown
//	look at epoch                     from = 1 + the ring's cursor
//
// A lane that got the old epoch looked before the new one was stored; its hi is older still, and
// the ring's cursor, read after that store, is no less than hi. So all that it handles under the old
// epoch is below from. A lane that gets the new one waits for from, which is a moment.
//
// A key's new lane must not be ahead of the old one. So the newcomer, if there is one, and otherwise every
// lane waits, before the first event of the epoch, until those in awaited are done with what is below from: a
// newcomer for all others, and everybody for one who left. Whoever waits has let go of all that is
// below from itself, and so is ahead of whom it waits for: they cannot wait in a circle.
type epoch struct {
	before   atomic.Pointer[epoch] // nil for the first, or if forgotten
	lanes    []int                 // indexes of the lanes that take part
	from     atomic.Int64
	awaited  []*Consumer
	newcomer int // index of the lane that joined, or nobody
}

const (
	unknown = 0  // epoch.from: sequences begin at 1
	nobody  = -1 // epoch.newcomer
)

// errStopped is what a handler of ours returns that waited for something when the ring was halted.
var errStopped = errors.New("ring: stopped")

// lane is the handler of one lane, around the caller's.
type lane[T any] struct {
	shared  *Shared[T]
	index   int
	handler Handler[T]
	loop    *loop[T]
	done    *epoch // the last one for which it has waited
}

// HandleSpan hands the lane's own events of the span to its handler.
func (l *lane[T]) HandleSpan(first int64, span []T) error {
	l.loop.narrow = sequences{}
	e := l.shared.epoch.Load()
	for i := 0; i < len(span); {
		seq := first + int64(i)
		at, err := l.at(e, seq)
		if err != nil {
			return err
		}
		until := len(span)
		if at != e { // an older one, up to where the next begins
			for k := e; k != at; k = k.before.Load() {
				until = int(min(int64(until), k.from.Load()-first))
			}
		}
		if err := l.handle(at, first, span, i, until); err != nil {
			return err
		}
		i = until
	}
	l.loop.narrow = sequences{}
	return nil
}

// at returns the epoch of seq, and waits for those that have to be done with what is older.
func (l *lane[T]) at(e *epoch, seq int64) (*epoch, error) {
	for {
		for e.from.Load() == unknown {
			block.Yield()
		}
		before := e.before.Load()
		if before == nil || seq >= e.from.Load() {
			break
		}
		e = before
	}
	for k := e; k != nil && k != l.done; k = k.before.Load() {
		if k.newcomer != nobody && k.newcomer != l.index {
			continue
		}
		for _, c := range k.awaited {
			l.loop.Release(seq - 1) // see epoch
			if err := l.await(c, k.from.Load()-1); err != nil {
				return nil, err
			}
		}
	}
	l.done = e
	return e, nil
}

// await blocks until c has handled seq or has left.
func (l *lane[T]) await(c *Consumer, seq int64) error {
	s := c.seq
	if c == l.loop.Consumer {
		return nil
	}
	ready := func() bool { return c.cursor.Load() >= seq || c.stopped.Load() || s.halted() }
	for !ready() {
		c.gate.park(l.loop.parker, seq, ready, nil)
	}
	if c.cursor.Load() >= seq {
		return nil
	}
	return errStopped
}

// handle walks over span[from:until], which belongs to one epoch.
func (l *lane[T]) handle(e *epoch, first int64, span []T, from, until int) error {
	for from < until {
		if e.lane(l.shared.hash(&span[from])) != l.index {
			from++
			continue
		}
		end := from + 1
		for end < until && e.lane(l.shared.hash(&span[end])) == l.index {
			end++
		}
		lo, hi := first+int64(from), first+int64(end)-1
		l.loop.narrow = sequences{lo, hi}
		if err := l.handler.HandleSpan(lo, span[from:end:end]); err != nil {
			return err
		}
		from = end
	}
	return nil
}

// lane returns which lane has a key: the one whose index, mixed with the key, gives most.
func (e *epoch) lane(key uint64) int {
	best, most := -1, uint64(0)
	for _, i := range e.lanes {
		if h := mix.Weight(key, uint64(i)+1); best < 0 || h > most {
			best, most = i, h
		}
	}
	return best
}
