package handlers

import (
	"sync"

	"github.com/headrace/headrace/journal"
)

// Owed is where lanes emit while the engine opens and replays: what a crash kept from the log is
// appended to it directly, since nobody else writes yet. So it needs no memory, however much a
// handler owes; one that reacts to the whole past owes as much as the log holds.
//
// Several lanes may emit at the same time.
type Owed struct {
	mu      sync.Mutex
	journal *journal.Journal
	now     int64 // time of the records
	entries []journal.Entry
	streams *Streams // nil if nobody numbers
}

// NewOwed returns a sink into j, whose records get the time unixNano, or that of the journal's last
// record if it is later. s learns where numbered outputs are.
func NewOwed(j *journal.Journal, unixNano int64, s *Streams) *Owed {
	return &Owed{journal: j, now: unixNano, streams: s}
}

func (o *Owed) loaded() bool { return false }

func (o *Owed) relax(int64) {}

func (o *Owed) emit(data []byte, outs []output, marks []mark) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.entries = o.entries[:0]
	for _, out := range outs {
		o.entries = append(o.entries, journal.Entry{Type: out.typeID, Time: o.now, Body: data[out.off : out.off+out.len]})
	}
	last, err := o.journal.AppendBatch(o.entries)
	if err == nil && len(marks) > 0 {
		o.streams.placeAll(marks, 0, last+1-int64(len(outs))) // who emits marks holds the lock
	}
	return err
}
