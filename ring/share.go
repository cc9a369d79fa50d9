package ring

import (
	"context"
	"errors"
	"fmt"

	"github.com/headrace/headrace/internal/atomic"
	"github.com/headrace/headrace/internal/block"
)

// A Shared is a group of consumers, its lanes, that share out the events among them by key: each
// event goes to one lane, and events with the same key go to the same lane, in sequence order.
//
// Every lane walks over all events and handles those that are its own, so nothing is handed from
// goroutine to goroutine and nothing is allocated. Who comes after all of Lanes sees an event once
// its lane has handled it and the others have passed it: completion is in sequence order.
//
// Which lane has a key is decided by rendezvous hashing over the lanes that are there: when one
// leaves, its keys are spread over the others and no other key moves.
type Shared[T any] struct {
	ring  *Ring[T]
	hash  func(*T) uint64
	lanes []*lane[T]
	// epoch is the assignment in force, with the one before it and where they meet.
	epoch atomic.Pointer[epoch]
	leave chan struct{} // capacity 1: held by the one LeaveLane that is under way
}

// An epoch says which lanes have the events from one sequence on. It never changes but for from,
// which is set once.
//
// A change of lanes must find a sequence that no lane has passed under the old epoch, and lanes
// look at the epoch without a lock, once a span:
//
//	lane                              LeaveLane
//	----                              ---------
//	hi = the barrier                  epoch = the new one, from still unknown
//	look at epoch                     from = 1 + the ring's cursor
//
// A lane that got the old epoch looked before the new one was stored; its hi is older still, and
// the ring's cursor, read after that store, is no less than hi. So all that it handles under the old
// epoch is below from. A lane that gets the new one waits for from, which is a moment.
type epoch struct {
	before *epoch // nil for the first
	lanes  []int  // indexes of the lanes that take part
	from   atomic.Int64
	gone   *Consumer // whoever left: it must be done with what is below from
}

const unknown = 0 // of epoch.from: sequences begin at 1

// errStopped is what a handler of ours returns that waited for something when the ring was halted.
var errStopped = errors.New("ring: stopped")

// lane is the handler of one lane, around the caller's.
type lane[T any] struct {
	shared  *Shared[T]
	index   int
	handler Handler[T]
	loop    *loop[T]
	done    *epoch // the last one of which gone was waited for
}

// Share adds a group of lanes, one for each handler, at least one, under the names name/0, name/1
// and so on. key returns a hash of what must stay in order; it is called by every lane for every
// event, must not change the event, and may be as plain as an integer's value. The handlers get
// spans that end where another lane's event comes; they may have the optional methods of a
// Handler, of which OnBatch and OnAbort get what every lane walks over. o goes for each lane; an
// ErrorPolicy concerns only the failed lane's own events.
//
// It must be called before Start. For the errors see Consume.
func (r *Ring[T]) Share(name string, key func(*T) uint64, handlers []Handler[T], o ConsumerOptions) (*Shared[T], error) {
	if key == nil {
		return nil, optionError("Key", "consumer group %q has none", name)
	}
	if len(handlers) == 0 {
		return nil, optionError("Handlers", "consumer group %q has none", name)
	}
	for i, h := range handlers {
		if err := r.validate(fmt.Sprint(name, "/", i), h, o); name == "" || err != nil {
			return nil, errors.Join(err, r.validatePlace(name, o))
		}
	}
	g := &Shared[T]{ring: r, hash: key, leave: make(chan struct{}, 1)}
	r.mu.Lock()
	defer r.mu.Unlock()
	first := &epoch{}
	first.from.Store(r.seq.first)
	for i := range handlers { // all or none: what else is wrong shows with the first
		if err := r.unused(fmt.Sprint(name, "/", i)); err != nil {
			return nil, err
		}
	}
	for i, h := range handlers {
		c, err := r.addBeforeStart(fmt.Sprint(name, "/", i), o)
		if err != nil {
			return nil, err
		}
		ln := &lane[T]{shared: g, index: i, handler: h}
		ln.loop = r.newLoop(c, ln, o)
		ln.loop.hooks = hooksOf[T](h)
		c.lane = true
		r.loops = append(r.loops, ln.loop)
		g.lanes = append(g.lanes, ln)
		first.lanes = append(first.lanes, i)
	}
	g.epoch.Store(first)
	return g, nil
}

// Lanes returns the consumers of the lanes that have not left, for ConsumerOptions.After of who
// comes after the group.
func (g *Shared[T]) Lanes() []*Consumer {
	var out []*Consumer
	for _, i := range g.epoch.Load().lanes {
		out = append(out, g.lanes[i].loop.Consumer)
	}
	return out
}

// LeaveLane takes a lane, in [0, number of handlers), out of the group while events flow. The lane
// first handles all of its events that are published now; later events of its keys go to the
// lanes that remain, which wait for it at that point: no event is lost or handled twice, and those
// of a key stay in order.
//
// It waits until the lane is done, and returns ctx.Err() when ctx ends first; the lane leaves all
// the same. The errors are an *OptionError for a lane that does not exist, ErrLastConsumer for the
// last one of the group, ErrNotStarted, and ErrClosed or ErrHalted if the ring stops. Called by a
// handler of the ring it returns ErrWouldDeadlock, and nothing happens.
func (g *Shared[T]) LeaveLane(ctx context.Context, index int) error {
	if index < 0 || index >= len(g.lanes) {
		return optionError("Lane", "%d is not in [0, %d)", index, len(g.lanes))
	}
	if g.ring.seq.current() != nil {
		return ErrWouldDeadlock
	}
	if !block.SendOr(g.leave, ctx.Done()) {
		return ctx.Err()
	}
	c := g.lanes[index].loop.Consumer
	old := g.epoch.Load()
	next := &epoch{before: old, gone: c}
	for _, i := range old.lanes {
		if i != index {
			next.lanes = append(next.lanes, i)
		}
	}
	switch {
	case len(next.lanes) == len(old.lanes): // it has left before, or is about to
		block.Recv(g.leave)
	case len(next.lanes) == 0:
		block.Recv(g.leave)
		return ErrLastConsumer
	default:
		err := g.change(next)
		block.Recv(g.leave)
		if err != nil {
			return err
		}
	}
	if !block.RecvOr(c.gone, ctx.Done()) {
		return ctx.Err()
	}
	if !c.left.Load() {
		return g.ring.seq.stopError()
	}
	return nil
}

// change puts next in force.
func (g *Shared[T]) change(next *epoch) error {
	r := g.ring
	r.mu.Lock()
	started := r.started
	r.mu.Unlock()
	if !started {
		return ErrNotStarted
	}
	g.epoch.Store(next)
	last := r.seq.highest()
	for _, ln := range g.lanes { // highest may be an old one if many producers have lapped it
		last = max(last, ln.loop.cursor.Load())
	}
	next.from.Store(last + 1)
	return r.leaveAt(next.gone, last)
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
			for k := e; k != at; k = k.before {
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

// at returns the epoch of seq, and waits until whoever left before it has passed on what is older.
func (l *lane[T]) at(e *epoch, seq int64) (*epoch, error) {
	for e.before != nil {
		for e.from.Load() == unknown {
			block.Yield()
		}
		if seq >= e.from.Load() {
			break
		}
		e = e.before
	}
	for k := e; k != l.done && k.before != nil; k = k.before {
		if err := l.await(k.gone, k.from.Load()-1); err != nil {
			return nil, err
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
		if h := mix(key ^ mix(uint64(i)+1)); best < 0 || h > most {
			best, most = i, h
		}
	}
	return best
}

// mix is the finalizer of SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number
// Generators, 2014).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
