package handlers

import (
	"sync"
	"sync/atomic"

	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/journal"
)

// Replies finds the events that callers wait for among those that are being written. The journaler looks for
// them, so that nobody gets an answer which the death of the process could take back; while nobody
// waits it costs one load a span.
type Replies struct {
	waiting atomic.Int64 // entries of byCause
	mu      sync.Mutex
	byCause map[event.ID]*Reply
}

// Reply is one caller's wait. Its channel gets one answer at most.
type Reply struct {
	cause  event.ID
	wanted func(typeID uint16) bool
	answer chan Answer
}

// Answer is an event that somebody has waited for, with a body of its own.
type Answer struct {
	Sequence int64
	Type     uint16
	Event    event.View
}

// NewReplies returns a Replies that nobody waits on.
func NewReplies() *Replies { return &Replies{byCause: map[event.ID]*Reply{}} }

// Expect begins a wait for the first event that cause leads to directly and whose type is wanted. It
// returns false if somebody waits for the same cause already. End it with Forget.
func (r *Replies) Expect(cause event.ID, wanted func(typeID uint16) bool) (*Reply, bool) {
	reply := &Reply{cause: cause, wanted: wanted, answer: make(chan Answer, 1)}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, taken := r.byCause[cause]; taken {
		return nil, false
	}
	r.byCause[cause] = reply
	r.waiting.Store(int64(len(r.byCause)))
	return reply, true
}

// Forget ends a wait, whether it was answered or not.
func (r *Replies) Forget(reply *Reply) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byCause[reply.cause] == reply {
		delete(r.byCause, reply.cause)
		r.waiting.Store(int64(len(r.byCause)))
	}
}

// Answer is where the answer comes.
func (r *Reply) Answer() <-chan Answer { return r.answer }

func (r *Replies) wanted() bool { return r != nil && r.waiting.Load() > 0 }

// look finds answers in a span that has just been written. An event is an answer if a handler has
// put it out for the cause that is waited for.
func (r *Replies) look(first int64, span []Slot) {
	for i := range span {
		s := &span[i]
		if s.Kind != journal.KindEvent {
			continue
		}
		v, err := event.Parse(s.Body)
		if err != nil {
			continue // whoever handles it will say so
		}
		if _, caused := v.Origin(); caused {
			r.offer(first+int64(i), s.Type, v)
		}
	}
}

// offer hands an event to who waits for it. v may be a view of memory that changes later.
func (r *Replies) offer(seq int64, typeID uint16, v event.View) {
	r.mu.Lock()
	reply, ok := r.byCause[v.CausationID()]
	if ok = ok && reply.wanted(typeID); ok {
		delete(r.byCause, reply.cause)
		r.waiting.Store(int64(len(r.byCause)))
	}
	r.mu.Unlock()
	if !ok {
		return
	}
	own, err := event.Parse(append([]byte(nil), v.Body()...))
	if err == nil {
		reply.answer <- Answer{Sequence: seq, Type: typeID, Event: own}
	}
}
