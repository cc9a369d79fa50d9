package handlers

import (
	"context"
	"fmt"
	"sync"

	"github.com/headrace/headrace/event"
)

// Dedup remembers the ids of the last events whose publisher gave one, and the sequence that each
// got, so that publishing again is answered instead of repeated. Its window is counted in such
// events; what falls out of it is forgotten, oldest first. After a restart it is filled again
// from the journal.
//
// All methods may be called from any goroutine.
type Dedup struct {
	refuse func() error // why the caller may not wait; nil: everybody may

	mu      sync.Mutex
	settled *sync.Cond // an id in flight was settled
	size    int        // of the window
	index   map[event.ID]int
	window  []dedupEntry // a ring; next is the oldest; nil until there is an id
	next    int
	hits    int64
}

type dedupEntry struct {
	id     event.ID
	seq    int64 // 0 = in flight
	typeID uint16
}

// NewDedup returns an empty window of n ids, n >= 1. The first id takes the memory for all of them.
func NewDedup(n int) *Dedup {
	d := &Dedup{size: n}
	d.settled = sync.NewCond(&d.mu)
	return d
}

// Refusing makes Begin ask before it waits, and return the error that refuse gives, if that is one. It is the engine's to
// call, before anybody publishes.
func (d *Dedup) Refusing(refuse func() error) { d.refuse = refuse }

// Known tells whether id is remembered, or in flight.
func (d *Dedup) Known(id event.ID) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, known := d.index[id]
	return known
}

// Begin asks whether id may be published. If fresh, the caller publishes and then calls Done, or
// Cancel if it did not; until then others who ask for the same id wait. If not fresh, seq is
// what the first got. It returns ErrIDConflict if the id belongs to an event of another type, and
// the error of ctx if that ends first.
func (d *Dedup) Begin(ctx context.Context, id event.ID, typeID uint16) (seq int64, fresh bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for {
		i, known := d.index[id]
		if !known {
			d.insert(dedupEntry{id: id, typeID: typeID})
			return 0, true, nil
		}
		e := d.window[i]
		if e.typeID != typeID {
			return 0, false, fmt.Errorf("%w: %s", ErrIDConflict, id)
		}
		if e.seq != 0 {
			d.hits++
			return e.seq, false, nil
		}
		if d.refuse != nil && ctx.Err() == nil {
			if err := d.refuse(); err != nil {
				return 0, false, err
			}
		}
		if err := d.await(ctx); err != nil {
			return 0, false, fmt.Errorf("handlers: an event with the id %s is just being published: %w", id, err)
		}
	}
}

// await waits for a change under the lock, or the end of ctx.
func (d *Dedup) await(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() {
		d.mu.Lock()
		d.settled.Broadcast()
		d.mu.Unlock()
	})
	d.settled.Wait()
	stop()
	return nil
}

// insert puts e in the place of the oldest entry that is not in flight.
func (d *Dedup) insert(e dedupEntry) {
	if d.window == nil { // most logs have no ids of publishers, and each Open and Replay has a window
		d.index, d.window = make(map[event.ID]int, d.size), make([]dedupEntry, d.size)
	}
	for range d.window {
		old := d.window[d.next]
		if old.id.IsZero() || old.seq != 0 {
			break
		}
		d.next = (d.next + 1) % len(d.window)
	}
	// If every entry is in flight, the oldest is forgotten early: its publisher's Done finds
	// nothing, and that id is not remembered.
	if old := d.window[d.next]; !old.id.IsZero() {
		delete(d.index, old.id)
	}
	d.window[d.next] = e
	d.index[e.id] = d.next
	d.next = (d.next + 1) % len(d.window)
}

// Done settles an id in flight: its event has sequence seq.
func (d *Dedup) Done(id event.ID, seq int64) { d.settle(id, func(e *dedupEntry) { e.seq = seq }) }

// Cancel settles an id in flight that was not published: it may be tried again.
func (d *Dedup) Cancel(id event.ID) {
	d.settle(id, func(e *dedupEntry) {
		delete(d.index, id)
		*e = dedupEntry{}
	})
}

func (d *Dedup) settle(id event.ID, change func(*dedupEntry)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if i, ok := d.index[id]; ok {
		change(&d.window[i])
	}
	d.settled.Broadcast()
}

// Learn enters an id that the log holds, in the order of the log.
func (d *Dedup) Learn(id event.ID, seq int64, typeID uint16) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, known := d.index[id]; !known {
		d.insert(dedupEntry{id: id, seq: seq, typeID: typeID})
	}
}

// DedupImage is an id that is remembered, as it stands in a snapshot.
type DedupImage struct {
	ID       event.ID
	Sequence int64
	Type     uint16
}

// Image returns the ids that are remembered with sequences up to upTo, oldest first. Everything up to there must be
// published: then it waits only for publishers who are about to say which sequence they got, or until
// ctx ends.
func (d *Dedup) Image(ctx context.Context, upTo int64) ([]DedupImage, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	inFlight := map[event.ID]bool{}
	for _, e := range d.window {
		if !e.id.IsZero() && e.seq == 0 {
			inFlight[e.id] = true
		}
	}
	for d.unsettled(inFlight) {
		if err := d.await(ctx); err != nil {
			return nil, err
		}
	}
	var all []DedupImage
	for i := range d.window {
		if e := d.window[(d.next+i)%len(d.window)]; e.seq != 0 && e.seq <= upTo {
			all = append(all, DedupImage{e.id, e.seq, e.typeID})
		}
	}
	return all, nil
}

// unsettled tells whether some of the ids are still in flight.
func (d *Dedup) unsettled(ids map[event.ID]bool) bool {
	for id := range ids {
		if i, ok := d.index[id]; ok && d.window[i].seq == 0 {
			return true
		}
		delete(ids, id)
	}
	return false
}

// Hits is how many publishes were answered from the window.
func (d *Dedup) Hits() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.hits
}
