package headrace

import "testing"

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
