package handlers

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/headrace/headrace/internal/failpoint"
	"github.com/headrace/headrace/journal"
	"github.com/headrace/headrace/ring"
)

// Journaler is the consumer that persists every slot, in sequence, to a journal. Consumers that
// come after it see only what is written: it survives the death of the process.
//
// It stamps the slots of one batch with one time, never smaller than the last. An atomic batch
// is staged as one, so that a crash leaves all of its records or none.
type Journaler struct {
	journal  *journal.Journal
	ring     *ring.Ring[Slot]
	now      func() int64
	lastTime int64
	next     int64 // everything before it is journaled
	hurry    int64 // backlog of the durable gate, in events, from which a sync is asked for; 0 = never
	replies  *Replies
	voids    int64 // staged so far
	mark     atomic.Pointer[Mark]
}

// Mark is a SnapshotMarked event that was journaled, with what a snapshot there says of the log.
type Mark struct {
	Sequence int64
	Voids    int64 // voids before it since the journaler began
}

// Mark returns the last SnapshotMarked event that was journaled, nil for none. It may be called from any goroutine.
func (h *Journaler) Mark() *Mark { return h.mark.Load() }

// Voids is how many voids were journaled. The journaler must have stopped.
func (h *Journaler) Voids() int64 { return h.voids }

// JournalerOptions configures a Journaler; the zero value is the default.
type JournalerOptions struct {
	Now      func() int64 // unix nanoseconds; default the system's clock
	LastTime int64        // time of the newest record in the journal: no later one is smaller
	// SyncBacklog asks for a sync at once when so many events are written and not durable. It
	// is for rings in which a consumer waits for durability. 0 leaves the time to the journal.
	SyncBacklog int64
	// Replies are told of every event that is written while somebody waits for one. Default none.
	Replies *Replies
}

// NewJournaler returns a journaler from r to j. The next sequence of both must agree.
func NewJournaler(r *ring.Ring[Slot], j *journal.Journal, o JournalerOptions) *Journaler {
	if o.Now == nil {
		o.Now = func() int64 { return time.Now().UnixNano() }
	}
	return &Journaler{journal: j, ring: r, now: o.Now, lastTime: o.LastTime, hurry: o.SyncBacklog, replies: o.Replies}
}

// HandleSpan stages the span's slots and commits them. An error of the journal stops the ring; the
// events before the one that failed are committed.
func (h *Journaler) HandleSpan(first int64, span []Slot) error {
	h.lastTime = max(h.lastTime, h.now())
	end := first + int64(len(span))
	for seq := max(first, h.next); seq < end; seq = h.next {
		if err := h.stage(seq, h.ring.Slot(seq).Batch); err != nil {
			h.journal.CancelBatch()
			return errors.Join(err, h.journal.Commit())
		}
	}
	if err := h.journal.Commit(); err != nil {
		return err
	}
	failpoint.Hit(failpoint.AfterJournal)
	if h.replies.wanted() {
		h.replies.look(first, span)
	}
	if h.hurry > 0 && h.journal.Written()-h.journal.Durable() >= h.hurry {
		h.journal.RequestSync()
	}
	return nil
}

// stage stages the slot at seq, with all that belong to its atomic batch. Those are published when the first
// is, so they may be read here although the ring's end or the batch limit keeps some out of this
// span; what comes in the next one is then journaled already.
func (h *Journaler) stage(seq int64, batch uint32) error {
	n := max(1, int64(batch))
	if n > 1 {
		var bytes int64
		for i := range n {
			bytes += int64(len(h.ring.Slot(seq + i).Body))
		}
		if err := h.journal.BeginBatch(int(n), bytes); err != nil {
			return err
		}
	}
	for i := range n {
		s := h.ring.Slot(seq + i)
		s.Time = h.lastTime
		got, err := h.journal.Stage(journal.Entry{Type: s.Type, Kind: s.Kind, Time: s.Time, Body: s.Body})
		if err != nil {
			return err
		}
		if got != seq+i {
			return fmt.Errorf("%w: ring %d, journal %d", ErrSequence, seq+i, got)
		}
		if s.Kind != journal.KindEvent {
			h.voids++
		} else if s.Type == markedID {
			h.mark.Store(&Mark{got, h.voids})
		}
	}
	h.next = seq + n
	return nil
}
