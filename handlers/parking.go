package handlers

import (
	"slices"
	"sync"
	"time"

	"github.com/headrace/headrace/event"
)

// parking is what one handler keeps aside: keys with an event that it could not handle. It is state like
// any other, made by the events of the log and the outcomes among them; the queues behind an
// event follow from it and cost no event.
type parking struct {
	policy   FailurePolicy
	outcomes map[int64]Outcome // at Open: by the cause that they answer

	mu    sync.Mutex // held by the lane for changes, and by those who look in from outside
	parks map[parkID]*park
}

func newParking(policy FailurePolicy, outcomes map[int64]Outcome) *parking {
	if outcomes == nil {
		outcomes = map[int64]Outcome{}
	}
	return &parking{policy: policy, outcomes: outcomes, parks: map[parkID]*park{}}
}

// Outcome is what became of an event: a Failed event of the log.
type Outcome struct {
	Failed
	ID, CorrelationID event.ID // of the Failed event
}

// parkID is a key, or for an event without one its sequence.
type parkID struct {
	key      string
	sequence int64
}

// park is a parked key: the event at its head, and those that wait behind it.
type park struct {
	cause int64
	last  Outcome // the zero one while the event has not been tried since it moved up
	at    int64   // time of the last outcome
	queue []int64
}

func (c *Context) parkID() parkID {
	if key := c.Key(); key != "" {
		return parkID{key: key}
	}
	return parkID{sequence: c.sequence}
}

// await queues the event of c behind its key, if that is parked.
func (p *parking) await(c *Context) bool {
	if len(p.parks) == 0 || len(c.event.KeyBytes()) == 0 {
		return false
	}
	w := p.parks[parkID{key: c.Key()}]
	if w == nil {
		return false
	}
	p.mu.Lock()
	w.queue = append(w.queue, c.sequence)
	p.mu.Unlock()
	return true
}

// attempt is the number of the attempt that is being made on the event of c, from 1.
func (p *parking) attempt(c *Context) int {
	if w := p.parks[c.parkID()]; w != nil && w.cause == c.sequence {
		return w.last.Attempt + 1
	}
	return 1
}

// apply takes in an outcome that is, or will be, in the log. next is the event that is to be delivered in
// consequence, 0 for none.
func (p *parking) apply(id parkID, o Outcome, at int64) (next int64) {
	if o.Outcome == OutcomeSkipped {
		return p.advance(id, o.Cause)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.parks[id]
	if w == nil {
		w = &park{cause: o.Cause}
		p.parks[id] = w
	}
	w.last, w.at = o, at
	return 0
}

// advance takes the event cause from the head of its key: it is through. next is the one that moves up,
// 0 if the key is free.
func (p *parking) advance(id parkID, cause int64) (next int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.parks[id]
	if w == nil || w.cause != cause {
		return 0
	}
	if len(w.queue) == 0 {
		delete(p.parks, id)
		return 0
	}
	*w = park{cause: w.queue[0], queue: w.queue[1:]}
	return w.cause
}

// head tells whether the event cause is at the head of its key.
func (p *parking) head(id parkID, cause int64) bool {
	w := p.parks[id]
	return w != nil && w.cause == cause
}

// Parked is an event that a handler could not handle, and that holds up its key.
type Parked struct {
	Handler  string
	Sequence int64
	Key      string
	Dead     bool      // it waits for somebody to redrive or discard it; else for its next attempt
	Attempts int       // so far; 0 if it has moved up and is about to be tried
	Reason   string    // of the last attempt's failure: ReasonError, ReasonPanic, ReasonTimeout, ReasonDecode
	Message  string    // of the last attempt's failure
	FailedAt time.Time // of the last attempt
	RetryAt  time.Time // zero if no retry is to come
	Waiting  int       // events with the same key behind it

	// For the events that go on with it.
	FailedID      event.ID // of the Failed event
	CorrelationID event.ID
}

// Parked returns what the lane's handlers have parked, by sequence. It may be called from any goroutine.
func (l *Lane) Parked() []Parked {
	var all []Parked
	if l.effect != nil {
		l.lock.Lock()
		all = l.effect.parkedCalls()
		l.lock.Unlock()
	}
	for _, r := range l.reactions {
		if r.parked == nil {
			continue
		}
		r.parked.mu.Lock()
		for id, w := range r.parked.parks {
			one := Parked{
				Handler: r.id, Sequence: w.cause, Key: id.key, Dead: w.last.Outcome == OutcomeDead, Attempts: w.last.Attempt,
				Reason: w.last.Reason, Message: w.last.Message, Waiting: len(w.queue), FailedID: w.last.ID, CorrelationID: w.last.CorrelationID,
			}
			if w.at != 0 {
				one.FailedAt = time.Unix(0, w.at).UTC()
			}
			if w.last.RetryAt != 0 {
				one.RetryAt = time.Unix(0, w.last.RetryAt).UTC()
			}
			all = append(all, one)
		}
		r.parked.mu.Unlock()
	}
	slices.SortFunc(all, func(a, b Parked) int { return int(a.Sequence - b.Sequence) })
	return all
}
