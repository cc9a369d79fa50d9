package journal

import (
	"time"

	"github.com/headrace/headrace/internal/sysio"
)

// Stats are figures about an open journal, of one moment or since Open.
type Stats struct {
	Written, Durable int64         // last sequences
	WrittenBytes     int64         // of records since Open
	LossEvents       int64         // what a power cut would take now: events,
	LossBytes        int64         // and bytes of records,
	LossTime         time.Duration // at most so old
	Syncs            uint64        // syncs done
	SyncTime         time.Duration // spent in them
	LastSync         time.Time     // when the last one ended; zero if there was none since Open
	Rolls            uint64        // segments begun after the first,
	Recycled         uint64        // as many of them, or one more, in recycled files
	// Stalls counts how often the writer had to wait for a segment or touch a page itself,
	// because the goroutine that prepares ahead was late.
	Stalls   uint64
	Segments int // segments mapped by the writer: the active one and those not yet synced

	// Named is what the writer waited for, by kind, indexed by StallKind; the clock is read only
	// when it waits.
	Named [stallKinds]Stall
	// MinorFaults and MajorFaults are the page faults of the whole process since Open. Linux
	// counts them by thread, and a goroutine has none of its own, so they bound the writer's
	// from above: those of the runtime, of readers and of the goroutine that touches ahead, which
	// takes them in the writer's stead, are among them. Where no other goroutine works, a
	// difference of zero over some appends proves that the writer took none. 0 where unknown.
	MinorFaults, MajorFaults uint64
}

// Stats returns the figures. It may be called at any time; it costs the writer nothing, and the
// caller a system call.
func (j *Journal) Stats() Stats {
	// Durable and synced first: they must not appear ahead of written.
	s := Stats{Durable: j.Durable()}
	synced := j.syncedBytes.Load()
	s.Written = j.Written()
	s.LossEvents = s.Written - s.Durable
	s.WrittenBytes = j.writtenBytes.Load()
	s.LossBytes = max(0, s.WrittenBytes-synced)
	if s.LossBytes > 0 {
		s.LossTime = max(0, time.Since(time.Unix(0, j.dirtySince.Load())))
	}
	s.Syncs = j.stats.syncs.Load()
	if at := j.stats.lastSync.Load(); at != 0 {
		s.LastSync = time.Unix(0, at)
	}
	s.SyncTime = time.Duration(j.stats.syncNanos.Load())
	s.Rolls = j.stats.rolls.Load()
	s.Recycled = j.stats.recycled.Load()
	s.Stalls = j.stats.stalls.Load()
	for k := range s.Named {
		s.Named[k] = j.stats.named[k].load()
	}
	minor, major := sysio.Faults()
	s.MinorFaults, s.MajorFaults = minor-j.stats.minorBefore, major-j.stats.majorThen
	j.mu.Lock()
	s.Segments = len(j.live)
	j.mu.Unlock()
	return s
}
