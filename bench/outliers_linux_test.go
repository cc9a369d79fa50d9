package bench

import (
	"runtime/debug"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Names of outliers, in the units of the benchmark.
const (
	nameJournal   = "journal"   // the journal's own Stats.Named tells which
	nameFault     = "fault"     // a page fault of the writer's thread
	namePreempted = "preempted" // the kernel gave the processor to another thread
	nameGC        = "gc"
	nameLate      = "behind"  // behind another outlier, and not yet caught up
	nameMachine   = "machine" // none of these: the hypervisor, an interrupt
)

var outlierNames = []string{nameJournal, nameFault, namePreempted, nameGC, nameLate, nameMachine}

// outliers names appends that took too long.
type outliers struct {
	journal          func() time.Duration
	faults, switches int64         // of the thread, when it was last idle
	waited           time.Duration // by the journal's writer, at the last outlier
	collections      int64         // at the last outlier
	late             bool          // the append before was an outlier
	alone            int           // outliers that took too long by themselves
	names            map[string]int
	longest          map[string]time.Duration
}

func newOutliers(journal func() time.Duration) *outliers {
	o := &outliers{journal: journal, names: map[string]int{}, longest: map[string]time.Duration{}}
	o.idle()
	o.waited, o.collections = o.journal(), collections()
	return o
}

// idle notes what the thread has been through, between two appends; it makes no wait for a lock.
func (o *outliers) idle() { o.faults, o.switches = threadCounts() }

// look is told of each append: how long after it was due it was done, and how long it took by itself.
func (o *outliers) look(took, alone time.Duration) {
	if took < outlierMin {
		o.late = false
		return
	}
	if alone >= outlierMin {
		o.alone++
	}
	name := nameLate
	// Asking for a name costs more than an append: asked for each that is late because of another, it would
	// itself keep them late.
	if !o.late || alone >= outlierMin {
		faults, switches := threadCounts()
		waited, gcs := o.journal(), collections()
		switch {
		case waited-o.waited >= outlierMin/2:
			name = nameJournal
		case switches > o.switches:
			name = namePreempted
		case faults > o.faults:
			name = nameFault
		case gcs > o.collections:
			name = nameGC
		case !o.late:
			name = nameMachine
		}
		o.faults, o.switches, o.waited, o.collections = faults, switches, waited, gcs
	}
	o.late = true
	o.names[name]++
	o.longest[name] = max(o.longest[name], took)
}

func (o *outliers) report(b *testing.B) {
	for _, name := range outlierNames {
		if n := o.names[name]; n > 0 {
			b.ReportMetric(float64(n), "outliers-"+name)
			b.ReportMetric(float64(o.longest[name]), "longest-"+name+"-ns")
		}
	}
	b.ReportMetric(float64(o.alone), "outliers-alone")
}

func threadCounts() (faults, switches int64) {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_THREAD, &u)
	return int64(u.Minflt) + int64(u.Majflt), int64(u.Nivcsw) + int64(u.Nvcsw)
}

func collections() int64 {
	var gc debug.GCStats
	debug.ReadGCStats(&gc)
	return gc.NumGC
}
