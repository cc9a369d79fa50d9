package headrace

import (
	"maps"
	"testing"
	"time"

	"github.com/headrace/headrace/journal"
)

// OnSnapshotStep calls fn before each step of writing a snapshot; nil ends it.
func OnSnapshotStep(t testing.TB, fn func(step string) error) {
	snapshotStep = fn
	t.Cleanup(func() { snapshotStep = nil })
}

// OnSnapshotsRun calls fn inside Open, as soon as snapshots may be taken.
func OnSnapshotsRun(t testing.TB, fn func()) {
	snapshotsRun = fn
	t.Cleanup(func() { snapshotsRun = nil })
}

// WithSpan has Replay hand n records to the lanes at a time.
func (o ReplayOptions) WithSpan(n int) ReplayOptions {
	o.span = n
	return o
}

// InTurn has Replay give each record to one lane after the other, on its own goroutine, when the first pass is over.
func (o ReplayOptions) InTurn() ReplayOptions {
	o.handle = func(t *Topology, read reading) error {
		return read(func(rec journal.Record) error {
			for _, p := range t.lanes {
				if err := p.lane.Replay(rec); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return o
}

// WithReader has Replay call fn before the lanes get a record.
func (o ReplayOptions) WithReader(span int, fn func(sequence int64) error) ReplayOptions {
	o.span, o.before = span, fn
	return o
}

// OptionsOf returns o as OpenConfig makes it for a journal, by what c says.
func OptionsOf(c Config, o Options) (Options, error) {
	known := o.settings()
	maps.Copy(known, o.journalSettings())
	err := c.refuse(known)
	return o, err
}

// SetHaltGrace sets for how long Close waits for what has been told to stop, until the test ends.
func SetHaltGrace(t interface{ Cleanup(func()) }, d time.Duration) {
	was := haltGrace
	haltGrace = d
	t.Cleanup(func() { haltGrace = was })
}
