package headrace

import "testing"

// OnSnapshotStep calls fn before each step of writing a snapshot; nil ends it.
func OnSnapshotStep(t testing.TB, fn func(step string) error) {
	snapshotStep = fn
	t.Cleanup(func() { snapshotStep = nil })
}
