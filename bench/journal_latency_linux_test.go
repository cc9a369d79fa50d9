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

	"github.com/headrace/headrace/journal"
)

const (
	pacedRate  = 100_000 // appends a second
	outlierMin = 100 * time.Microsecond
)

// BenchmarkPacedAppend shows how long an append takes at 100,000 a second, counted from when it was due,
// across roll-overs of segments of 8 MiB that are recycled. b.N appends. no-journal copies the same bytes
// into memory instead: what the machine allows. Quantiles "alone" count from when an append began.
//
// An append of more than 100 us is an outlier and gets the first of these names that fits: what the
// journal says that its writer waited for; the thread was preempted; a page fault of the thread; a
// collection; late because the one before was; else the machine.
func BenchmarkPacedAppend(b *testing.B) {
	b.Run("no-journal", func(b *testing.B) {
		body, to := make([]byte, 128), make([]byte, 8<<20)
		clear(to)
		at := 0
		paced(b, func() time.Duration { return 0 }, func() {
			at = (at + copy(to[at:], body)) % len(to)
		})
	})
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
	paced(b, func() (d time.Duration) {
		for _, w := range j.Stats().Named {
			d += w.Total
		}
		return d
	}, appendOne)
	close(stop)
	if err := <-trimmed; err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(j.Stats().Rolls-before.Rolls), "rolls")
}

// paced calls appendOne b.N times, pacedRate a second, and reports how long after it was due each was done.
// waited returns how long a journal's writer has waited for what the journal has a name for.
func paced(b *testing.B, waited func() time.Duration, appendOne func()) {
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	took, alone := make([]time.Duration, b.N), make([]time.Duration, b.N)
	for i := range took {
		took[i], alone[i] = 1, 1 // no first touch of a page while it is measured
	}
	outliers := newOutliers(waited)
	b.ResetTimer()
	start := time.Now()
	for i := range took {
		due := start.Add(time.Duration(i) * time.Second / pacedRate)
		if time.Until(due) > 3*time.Microsecond {
			outliers.idle()
		}
		begun := time.Now()
		for begun.Before(due) {
			begun = time.Now()
		}
		appendOne()
		done := time.Now()
		took[i], alone[i] = done.Sub(due), done.Sub(begun)
		outliers.look(took[i], alone[i])
	}
	b.StopTimer()
	b.ReportMetric(0, "ns/op")
	for _, kind := range []struct {
		suffix string
		took   []time.Duration
	}{{"-ns", took}, {"-alone-ns", alone}} {
		slices.Sort(kind.took)
		for _, q := range []struct {
			name string
			of   float64
		}{{"p50", 0.5}, {"p99", 0.99}, {"p99.9", 0.999}, {"p99.99", 0.9999}, {"max", 1}} {
			i := min(len(kind.took)-1, int(q.of*float64(len(kind.took))))
			b.ReportMetric(float64(kind.took[i]), q.name+kind.suffix)
		}
	}
	outliers.report(b)
}
