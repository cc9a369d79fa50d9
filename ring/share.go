package ring

import (
	"context"
	"errors"
	"fmt"
	"slices"

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
// leaves, its keys are spread over the others, when one joins, it gets a share of each of theirs, and
// no other key moves.
type Shared[T any] struct {
	ring    *Ring[T]
	name    string
	hash    func(*T) uint64
	options ConsumerOptions // of each lane
	// lanes have not left, or not long ago; least index first. The slice is replaced, not changed, by
	// whoever holds both changing and ring.mu.
	lanes []*lane[T]
	next  int // index of the next lane; guarded like lanes
	// epoch is the assignment in force, with the one before it and where they meet.
	epoch    atomic.Pointer[epoch]
	changing chan struct{} // capacity 1: held by the one JoinLane or LeaveLane that is under way
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
	g := &Shared[T]{ring: r, name: name, hash: key, options: o, next: len(handlers), changing: make(chan struct{}, 1)}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range handlers { // all or none: what else is wrong shows with the first
		if err := r.unused(g.laneName(i)); err != nil {
			return nil, err
		}
	}
	first := &epoch{newcomer: nobody}
	first.from.Store(r.seq.first)
	for i, h := range handlers {
		c, err := r.addBeforeStart(g.laneName(i), o)
		if err != nil {
			return nil, err
		}
		ln := g.newLane(c, i, h)
		r.loops = append(r.loops, ln.loop)
		g.lanes = append(g.lanes, ln)
		first.lanes = append(first.lanes, i)
	}
	for _, ln := range g.lanes { // now, because each of them was added without the others
		ln.loop.group = g
	}
	g.epoch.Store(first)
	return g, nil
}

func (g *Shared[T]) laneName(index int) string { return fmt.Sprint(g.name, "/", index) }

func (g *Shared[T]) newLane(c *Consumer, index int, h Handler[T]) *lane[T] {
	ln := &lane[T]{shared: g, index: index, handler: h}
	ln.loop = g.ring.newLoop(c, ln, g.options)
	ln.loop.hooks = hooksOf[T](h)
	return ln
}

// lane returns the lane with an index, nil if it has left.
func (g *Shared[T]) lane(index int) *lane[T] {
	for _, ln := range g.lanes {
		if ln.index == index {
			return ln
		}
	}
	return nil
}

// Lanes returns the consumers of the lanes that take part, for ConsumerOptions.After of who comes
// after the group. Whoever comes after one lane comes after all of them, also those that join later,
// or are about to leave.
func (g *Shared[T]) Lanes() []*Consumer {
	g.ring.mu.Lock()
	defer g.ring.mu.Unlock()
	var out []*Consumer
	for _, i := range g.epoch.Load().lanes {
		out = append(out, g.lane(i).loop.Consumer)
	}
	return out
}

// group is a Shared of any type.
type group interface{ members() []*Consumer }

// members returns the lanes that are in the graph. ring.mu is held.
func (g *Shared[T]) members() []*Consumer {
	var out []*Consumer
	for _, ln := range g.lanes {
		if !ln.loop.left.Load() {
			out = append(out, ln.loop.Consumer)
		}
	}
	return out
}

// withGroups adds to each lane in list the others of its group. ring.mu is held.
func withGroups(list []*Consumer) []*Consumer {
	var out []*Consumer
	for _, c := range list {
		out = append(out, c)
		if c.group != nil {
			out = append(out, c.group.members()...)
		}
	}
	return distinct(out)
}

// JoinLane adds a lane to the group while events flow, with the options that the group has, and returns
// its index: the next one that no lane has had. Its name is that of the group, a slash and the index.
// It gets a share of every other lane's keys, from an event on that is published about now, and before it
// handles the first it waits until the other lanes have handled what is older: no event is lost or
// handled twice, and those of a key stay in order. Whoever comes after the group comes after the new lane
// too. Nobody else waits, and what is in the ring already stays with the lanes that have it.
//
// It does not wait for that: the lane takes part when JoinLane returns. It may be called from any goroutine,
// a handler too, and waits only while another JoinLane or LeaveLane is at work, until ctx ends. The
// errors are those of Join.
func (g *Shared[T]) JoinLane(ctx context.Context, h Handler[T]) (index int, err error) {
	if err := g.ring.validate(g.name, h, g.options); err != nil {
		return 0, err
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if !block.SendOr(g.changing, ctx.Done()) {
		return 0, ctx.Err()
	}
	defer block.Recv(g.changing)
	index = g.next
	var ln *lane[T]
	_, err = g.ring.join(ctx, g.laneName(index), newcomer{
		options: g.place,
		linked: func(c *Consumer) { // from now on, who joins behind the group joins behind it too
			c.group = g
			ln = g.newLane(c, index, h)
			g.tidy()
			g.lanes = append(g.lanes, ln)
		},
		start: func(*Consumer) { block.Go(ln.loop.run) },
	})
	if err != nil {
		return 0, err
	}
	g.next++
	old := g.epoch.Load()
	next := &epoch{newcomer: index, lanes: append(old.lanes[:len(old.lanes):len(old.lanes)], index)}
	for _, i := range old.lanes {
		next.awaited = append(next.awaited, g.lane(i).loop.Consumer)
	}
	g.change(old, next)
	return index, nil
}

// place returns the options of a lane that joins: it comes after all that the others come after, and
// before all that come after them. ring.mu is held.
func (g *Shared[T]) place() ConsumerOptions {
	o := g.options
	o.From, o.After, o.Before = 0, nil, nil
	lanes := g.members()
	for _, c := range lanes {
		o.After = append(o.After, c.after()...)
	}
	for _, d := range g.ring.consumers {
		if !slices.Contains(lanes, d) && slices.ContainsFunc(d.after(), func(c *Consumer) bool { return slices.Contains(lanes, c) }) {
			o.Before = append(o.Before, d)
		}
	}
	return o
}

// tidy forgets the lanes that have left. changing and ring.mu are held.
func (g *Shared[T]) tidy() {
	g.lanes = slices.DeleteFunc(slices.Clone(g.lanes), func(ln *lane[T]) bool { return ln.loop.left.Load() })
}

// LeaveLane takes a lane, by its index, out of the group while events flow. The lane
// first handles all of its events that are published now; later events of its keys go to the
// lanes that remain, which wait for it at that point: no event is lost or handled twice, and those
// of a key stay in order.
//
// It waits until the lane is done, and returns ctx.Err() when ctx ends first; the lane leaves all
// the same. For a lane that has left it returns nil. The errors are an *OptionError for one that was
// never there, ErrLastConsumer for the last one of the group, ErrNotStarted, and ErrClosed or ErrHalted if the
// ring stops. Called by a handler of the ring it returns ErrWouldDeadlock, and nothing happens.
func (g *Shared[T]) LeaveLane(ctx context.Context, index int) error {
	if g.ring.seq.current() != nil {
		return ErrWouldDeadlock
	}
	if !block.SendOr(g.changing, ctx.Done()) {
		return ctx.Err()
	}
	c, err := g.dismiss(index)
	block.Recv(g.changing)
	if c == nil || err != nil {
		return err
	}
	if !block.RecvOr(c.gone, ctx.Done()) {
		return ctx.Err()
	}
	if !c.left.Load() {
		return g.ring.seq.stopError()
	}
	return nil
}

// dismiss makes a lane leave, and returns it, or nil if it is gone. changing is held.
func (g *Shared[T]) dismiss(index int) (*Consumer, error) {
	if index < 0 || index >= g.next {
		return nil, optionError("Lane", "%d is not in [0, %d)", index, g.next)
	}
	ln := g.lane(index)
	if ln == nil {
		return nil, nil
	}
	c := ln.loop.Consumer
	old := g.epoch.Load()
	if !slices.Contains(old.lanes, index) { // it is about to leave
		return c, nil
	}
	next := &epoch{newcomer: nobody, awaited: []*Consumer{c}}
	for _, i := range old.lanes {
		if i != index {
			next.lanes = append(next.lanes, i)
		}
	}
	if len(next.lanes) == 0 {
		return nil, ErrLastConsumer
	}
	r := g.ring
	r.mu.Lock()
	started := r.started
	r.mu.Unlock()
	if !started {
		return nil, ErrNotStarted
	}
	return c, r.leaveAt(c, g.change(old, next))
}

// change puts next in force, and returns the last sequence of what is before it. changing is held.
func (g *Shared[T]) change(old, next *epoch) (last int64) {
	g.forget(old)
	next.before.Store(old)
	g.epoch.Store(next)
	last = g.ring.seq.highest()
	for _, ln := range g.lanes { // highest may be an old one if many producers have lapped it
		last = max(last, ln.loop.cursor.Load())
	}
	next.from.Store(last + 1)
	return last
}

// forget cuts off what came before e, or before what came before it and so on, once all lanes are past it.
func (g *Shared[T]) forget(e *epoch) {
	done := int64(never)
	for _, ln := range g.lanes {
		if !ln.loop.left.Load() {
			done = min(done, ln.loop.cursor.Load())
		}
	}
	for e.before.Load() != nil && e.from.Load()-1 > done {
		e = e.before.Load()
	}
	e.before.Store(nil)
}
