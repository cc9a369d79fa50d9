package headrace

import (
	"context"
	"errors"
	"hash/maphash"
	"runtime/debug"
	"slices"

	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/internal/mix"
	"github.com/headrace/headrace/journal"
	"github.com/headrace/headrace/ring"
)

// serve brings members into the group, and returns when they have left it.
func (g *group) serve(ctx context.Context, members int, fn func(context.Context, handlers.Delivery) error) error {
	ctx = context.WithValue(ctx, followKey{}, g.engine)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(g.engine.followCtx, func() { cancel(ErrClosed) })()
	all := make([]*member, members)
	if !g.join(all) {
		return errGroupEnds
	}
	var err error
	if members == 1 {
		err = g.work(ctx, all[0], fn)
	} else {
		errs := make(chan error, members)
		for _, m := range all {
			go func() {
				err := ring.ErrGoexit // stands if fn ends the goroutine
				defer func() {
					if v := recover(); v != nil {
						err = &handlers.PanicError{Value: v, Stack: debug.Stack()}
					}
					errs <- err
				}()
				err = g.work(ctx, m, fn)
			}()
		}
		for range all {
			if got := <-errs; got != nil && err == nil {
				err = got
				cancel(errSiblings)
			}
		}
	}
	g.mu.Lock()
	last := g.ending
	g.mu.Unlock()
	if last {
		<-g.ended
		if g.saveErr != nil {
			err = errors.Join(err, g.saveErr)
		}
	}
	return err
}

// errSiblings ends the members of a call of which one has failed.
var errSiblings = errors.New("headrace: another member of the call has failed")

// join makes all members of the group, unless it ends.
func (g *group) join(all []*member) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ending {
		return false
	}
	for i := range all {
		g.next++
		all[i] = &member{id: g.next, wake: make(chan struct{}, 1)}
	}
	g.members = append(g.members, all...)
	if !g.started {
		g.started = true
		go g.run()
	}
	return true
}

// work is a member's life.
func (g *group) work(ctx context.Context, m *member, fn func(context.Context, handlers.Delivery) error) error {
	var now *share
	defer func() { g.leave(m, now) }() // also when fn panics or ends the goroutine
	defer g.engine.followers.Leave(g.engine.followers.Enter())
	for {
		g.mu.Lock()
		switch {
		case ctx.Err() != nil:
		case g.over && (g.err != nil || len(m.queue) == 0):
			err := g.err
			g.mu.Unlock()
			return err
		case len(m.queue) > 0:
			now, m.queue = m.queue[0], m.queue[1:]
			m.at = now.d.Sequence
		}
		g.mu.Unlock()
		if err := ctx.Err(); err != nil && now == nil {
			if context.Cause(ctx) == ErrClosed {
				return ErrClosed
			}
			return err
		}
		if now == nil {
			select {
			case <-m.wake:
			case <-ctx.Done():
			}
			continue
		}
		if err := fn(ctx, now.d); err != nil {
			return err
		}
		s := now
		now = nil
		if err := g.finish(m, s); err != nil {
			return err
		}
	}
}

// leave takes a member out. What it has not done goes to the others; failed is what it was at, nil for nothing.
func (g *group) leave(m *member, failed *share) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.members = slices.DeleteFunc(g.members, func(o *member) bool { return o == m })
	nudge(g.room)
	if len(g.members) == 0 {
		g.ending = true
		g.cancel(context.Canceled)
	}
	if g.over || g.ending {
		return
	}
	if failed != nil {
		m.queue = slices.Insert(m.queue, 0, failed)
	}
	for _, s := range m.queue { // all that is on its way of its keys, in order
		if a := g.keys[s.key]; s.keyed && a.owner == m {
			a.owner = g.choose(s.key)
		}
		g.hand(s)
	}
	m.queue = nil
}

// choose is whose a key is: the highest of a number for each member and the key.
func (g *group) choose(key uint64) (owner *member) {
	var best uint64
	for _, m := range g.members {
		if n := mix.Weight(key, m.id); owner == nil || n > best {
			owner, best = m, n
		}
	}
	return owner
}

// hand puts an event into the queue of a member. There is one.
func (g *group) hand(s *share) {
	var m *member
	if s.keyed {
		m = g.keys[s.key].owner
	} else {
		m = slices.MinFunc(g.members, func(a, b *member) int { return len(a.queue) - len(b.queue) })
	}
	m.queue = append(m.queue, s)
	nudge(m.wake)
}

var keySeed = maphash.MakeSeed()

// take hands out an event. It waits while too many are on their way.
func (g *group) take(ctx context.Context, rec journal.Record, d handlers.Delivery, wanted bool) error {
	at := handlers.CheckpointOf(rec)
	g.mu.Lock()
	if !wanted {
		if n := len(g.window); n > 0 {
			last := g.window[n-1]
			last.through, last.records = at, last.records+1
		} else {
			g.reach(at, 1)
		}
		g.mu.Unlock()
		return g.saveDue()
	}
	for len(g.window) >= sharedEvents || g.bytes >= sharedBytes {
		if err := g.await(ctx); err != nil {
			return err
		}
	}
	defer g.mu.Unlock()
	if len(g.members) == 0 {
		return context.Canceled
	}
	s := &share{}
	if n := len(g.free); n > 0 {
		s, g.free = g.free[n-1], g.free[:n-1]
	}
	body := s.d.Event.Body()
	*s = share{d: d.Clone(body), at: at, through: at, records: 1}
	if k := d.Event.KeyBytes(); len(k) > 0 {
		s.keyed, s.key = true, maphash.Bytes(keySeed, k)
		a := g.keys[s.key]
		if a == nil {
			a = &assigned{owner: g.choose(s.key)}
			g.keys[s.key] = a
		}
		a.count++
	}
	g.window = append(g.window, s)
	g.bytes += len(s.d.Event.Body())
	g.hand(s)
	return nil
}

// rest waits, at the end of the log, until all is done.
func (g *group) rest(ctx context.Context, over bool) error {
	if !over {
		return nil
	}
	g.mu.Lock()
	for len(g.window) > 0 {
		if len(g.members) == 0 {
			g.mu.Unlock()
			return context.Canceled
		}
		if err := g.await(ctx); err != nil {
			return err
		}
	}
	g.mu.Unlock()
	return nil
}

// await lets go of the lock and waits for a change. After an error the lock is free.
func (g *group) await(ctx context.Context) error {
	g.mu.Unlock()
	select {
	case <-g.room:
	case <-ctx.Done():
		return ctx.Err()
	}
	g.mu.Lock()
	return nil
}

// finish notes that a member is done with an event.
func (g *group) finish(m *member, s *share) error {
	g.mu.Lock()
	m.at, s.done = 0, true
	if s.keyed {
		if a := g.keys[s.key]; a.count > 1 {
			a.count--
		} else {
			delete(g.keys, s.key)
		}
	}
	for len(g.window) > 0 && g.window[0].done {
		first := g.window[0]
		g.window = g.window[1:]
		g.bytes -= len(first.d.Event.Body())
		g.reach(first.through, first.records)
		g.free = append(g.free, first)
	}
	nudge(g.room)
	g.mu.Unlock()
	return g.saveDue()
}

// reach notes that all up to at is done. The lock is held.
func (g *group) reach(at handlers.Checkpoint, records int) {
	g.low = at
	g.unsaved += records
	g.reader.reads.Store(at.Sequence)
	g.reader.shown.Store(at.Sequence)
}

// saveDue saves the checkpoint if it is time.
func (g *group) saveDue() error {
	g.mu.Lock()
	if g.unsaved < g.options.CheckpointEvery || g.saving {
		g.mu.Unlock()
		return nil
	}
	g.saving = true
	at := g.low
	g.unsaved = 0
	g.mu.Unlock()
	err := at.Save(g.reader.path)
	g.mu.Lock()
	g.saving = false
	nudge(g.room)
	g.mu.Unlock()
	return err
}

// save saves the checkpoint when the group ends. The lock is held.
func (g *group) save() error {
	if g.unsaved == 0 {
		return nil
	}
	g.unsaved = 0
	return g.low.Save(g.reader.path)
}
