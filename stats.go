package headrace

import (
	"time"

	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/journal"
	"github.com/headrace/headrace/ring"
)

// Stats is a look at a running engine. Its parts are read one after the other, each right by itself.
type Stats struct {
	Ring          ring.Stats
	Journal       journal.Stats
	FeedbackBytes int64     // emitted and not yet in the ring
	OverflowBytes int64     // of events larger than a slot
	Timers        int64     // events that wait for their time
	NextTimer     time.Time // when the first of them is due; zero if there is none
	Duplicates    int64     // publishes that were answered from the dedup window
	Streams       int       // streams of numbered events
	StreamBytes   int64     // that the places of their events take
	Effects       []handlers.EffectStats
	Snapshots     SnapshotStats
}

// Stats reads the engine's figures. It may be called at any time, from any goroutine, and costs the hot
// path nothing.
func (e *Engine) Stats() Stats {
	s := Stats{
		Ring:          e.ring.Stats(),
		Journal:       e.journal.Stats(),
		FeedbackBytes: e.feedback.Bytes(),
		OverflowBytes: e.overflow.Bytes(),
		Duplicates:    e.dedup.Hits(),
		Streams:       e.streams.Len(),
		StreamBytes:   e.streams.PlaceBytes(),
	}
	for _, x := range e.effects {
		s.Effects = append(s.Effects, x.Stats())
	}
	if e.timers != nil {
		s.Timers, s.NextTimer = e.timers.Pending(), e.nextTimer()
	}
	e.snapshots.mu.Lock()
	s.Snapshots = e.snapshots.stats
	e.snapshots.mu.Unlock()
	return s
}
