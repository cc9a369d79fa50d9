package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/journal"
)

const (
	pacedRate  = 100_000 // appends a second
	outlierMin = 100 * time.Microsecond
)

// BenchmarkPacedAppend shows how long an append takes at 100,000 a second, counted from when it was due,
// across roll-overs of segments of 8 MiB that are recycled. b.N appends.
//
// An append of more than 100 us is an outlier and gets the first of these names that fits: what the
// journal says that its writer waited for; a page fault of the thread; the thread was preempted; a
// collection; late because the one before was; else none.
func BenchmarkPacedAppend(b *testing.B) {
	for _, where := range []string{"tmpfs", "disk"} {
		for _, mode := range []journal.Durability{journal.None(), journal.Group(5*time.Millisecond, 1<<20)} {
			b.Run(fmt.Sprintf("%s/%v", where, mode), func(b *testing.B) {
				dir := b.TempDir()
				if where == "tmpfs" {
					var err error
					if dir, err = os.MkdirTemp("/dev/shm", "headrace-bench-"); err != nil {
						b.Skip(err)
					}
					b.Cleanup(func() { os.RemoveAll(dir) })
				}
				pacedAppend(b, filepath.Join(dir, "log"), mode)
			})
		}
	}
}

func pacedAppend(b *testing.B, dir string, mode journal.Durability) {
	const keep = 4
	j, err := journal.Open(dir, journal.Options{Durability: mode, SegmentBytes: 8 << 20, RecycleSegments: keep + 4})
	if err != nil {
		b.Fatal(err)
	}
	defer j.Close()
	// The trimmer makes files of what is full; it is not the writer's thread.
	stop, trimmed := make(chan struct{}), make(chan error, 1)
	go func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			if _, err := j.Trim(journal.Retention{MaxBytes: keep * 8 << 20}); err != nil {
				trimmed <- err
				return
			}
			select {
			case <-stop:
				trimmed <- nil
				return
			case <-tick.C:
			}
		}
	}()
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	body := make([]byte, 128)
	appendOne := func() {
		if _, err := j.Append(journal.Entry{Body: body}); err != nil {
			b.Fatal(err)
		}
	}
	for j.Stats().Rolls < keep+3 { // every segment that will be recycled is there
		appendOne()
	}
	before := j.Stats()
	took := make([]time.Duration, b.N)
	names := map[string]int{}
	at := threadState(j)
	late := false
	b.ResetTimer()
	start := time.Now()
	for i := range took {
		due := start.Add(time.Duration(i) * time.Second / pacedRate)
		for time.Now().Before(due) {
		}
		appendOne()
		took[i] = time.Since(due)
		if took[i] < outlierMin {
			late = false
			continue
		}
		now := threadState(j)
		names[at.name(&now, late)]++
		at, late = threadState(j), true
	}
	b.StopTimer()
	close(stop)
	if err := <-trimmed; err != nil {
		b.Fatal(err)
	}
	slices.Sort(took)
	quantile := func(q float64) float64 { return float64(took[min(len(took)-1, int(q*float64(len(took))))]) }
	b.ReportMetric(quantile(0.5), "p50-ns")
	b.ReportMetric(quantile(0.99), "p99-ns")
	b.ReportMetric(quantile(0.999), "p99.9-ns")
	b.ReportMetric(quantile(0.9999), "p99.99-ns")
	b.ReportMetric(quantile(1), "max-ns")
	after := j.Stats()
	b.ReportMetric(float64(after.Rolls-before.Rolls), "rolls")
	for _, name := range outlierNames {
		if names[name] > 0 {
			b.ReportMetric(float64(names[name]), name)
		}
	}
	b.ReportMetric(0, "ns/op")
}

// Names of outliers, as units of the benchmark.
const (
	nameJournal   = "outliers-journal"   // the journal's own Stats.Named tells which
	nameFault     = "outliers-fault"     // a page fault of the writer's thread
	namePreempted = "outliers-preempted" // the kernel gave the processor to another thread
	nameGC        = "outliers-gc"
	nameLate      = "outliers-behind" // behind another outlier, and not yet caught up
	nameNone      = "outliers-none"   // none of these: the hypervisor, an interrupt
)

var outlierNames = []string{nameJournal, nameFault, namePreempted, nameGC, nameLate, nameNone}

// state is what can name an outlier.
type state struct {
	waits, faults, switches int64
	collections             uint32
}

func threadState(j *journal.Journal) (s state) {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_THREAD, &u)
	s.faults, s.switches = int64(u.Minflt)+int64(u.Majflt), int64(u.Nivcsw)+int64(u.Nvcsw)
	for _, w := range j.Stats().Named {
		s.waits += int64(w.Count)
	}
	var gc debug.GCStats
	debug.ReadGCStats(&gc)
	s.collections = uint32(gc.NumGC)
	return s
}

func (s *state) name(now *state, late bool) string {
	switch {
	case now.waits > s.waits:
		return nameJournal
	case late:
		return nameLate
	case now.switches > s.switches:
		return namePreempted
	case now.faults > s.faults:
		return nameFault
	case now.collections > s.collections:
		return nameGC
	}
	return nameNone
}
