package handlers

import (
	"context"

	"github.com/headrace/headrace/journal"
)

// Syncer is the consumer behind the journaler whose cursor is the durable sequence: consumers
// that come after it see only what a power cut cannot take. It is the only stage that holds ring
// slots during a sync, and a ring in which nobody needs it goes without.
//
// In durability mode None nothing is ever promised, and the stage lets everything written pass.
type Syncer struct {
	journal *journal.Journal
	ctx     context.Context
	pass    bool
}

// NewSyncer returns the stage for j. The end of ctx stops a wait; the engine ends it when it halts.
func NewSyncer(ctx context.Context, j *journal.Journal, mode journal.Durability) *Syncer {
	return &Syncer{journal: j, ctx: ctx, pass: mode == journal.None()}
}

// HandleSpan waits until the last event of the span is durable.
func (h *Syncer) HandleSpan(first int64, span []Slot) error {
	if h.pass {
		return nil
	}
	return h.journal.WaitDurable(h.ctx, first+int64(len(span))-1)
}
