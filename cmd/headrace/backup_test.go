package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	engine "github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/journal"
)

// counter is a topology that sums what is placed.
func counter(t testing.TB) (*engine.Topology, *handlers.Projection[int64]) {
	types := event.NewRegistry()
	event.MustRegister[placed](types, "order.placed", 1)
	top := engine.NewTopology(types)
	sum := handlers.NewProjection("sum", new(int64))
	handlers.Apply(sum, func(s *int64, _ *handlers.Context, p placed) error { *s += p.Cents; return nil })
	top.Project(sum, engine.LaneOptions{})
	return top, sum
}

// What an engine keeps beside its log goes with it, without being asked: the beginning of this log is gone, and only a
// snapshot makes up for it.
func TestBackup_OfATrimmedLog_OpensElsewhere(t *testing.T) {
	ctx := context.Background()
	dir, copied, back := t.TempDir(), filepath.Join(t.TempDir(), "copy"), filepath.Join(t.TempDir(), "back")
	top, sum := counter(t)
	e, err := engine.Open(dir, top, engine.Options{Journal: journal.Options{SegmentBytes: journal.MinSegmentBytes, Durability: journal.None()}})
	require.NoError(t, err)
	p, err := e.Producer("test")
	require.NoError(t, err)
	var snapshots []int64
	for range 3 {
		for i := range 1000 {
			_, err := engine.Publish(ctx, p, placed{fmt.Sprint("order-", i), 1}, engine.Meta{})
			require.NoError(t, err)
		}
		info, err := e.Snapshot(ctx)
		require.NoError(t, err)
		snapshots = append([]int64{info.Sequence}, snapshots...)
	}
	_, err = e.Trim(engine.Retention{MaxBytes: 1})
	require.NoError(t, err)
	require.NoError(t, e.Close(ctx))
	want := int64(0)
	sum.View(func(s *int64, _ int64) { want = *s })

	got := lines(t, ok(t, "backup", "--json", dir, copied))[0]
	require.Greater(t, got["first_sequence"], float64(1))
	require.Equal(t, fmt.Sprint(snapshots[:2]), fmt.Sprint(got["snapshots"]))
	require.Contains(t, ok(t, "backup", dir, copied), "; 2 snapshots, the newest at")
	require.Contains(t, ok(t, "restore", copied, back), "; 2 snapshots, the newest at")
	top, sum = counter(t)
	e, err = engine.Open(back, top, engine.Options{})
	require.NoError(t, err)
	require.NoError(t, e.Close(ctx))
	sum.View(func(s *int64, _ int64) { require.Equal(t, want, *s) })

	got = lines(t, ok(t, "restore", "--json", "--until", fmt.Sprint(snapshots[0]-1), copied, filepath.Join(t.TempDir(), "then")))[0]
	require.Equal(t, fmt.Sprint(snapshots[1:2]), fmt.Sprint(got["snapshots"]))
	code, _, errs := headrace("restore", "--until", fmt.Sprint(snapshots[1]-1), copied, filepath.Join(t.TempDir(), "before"))
	require.Equal(t, exitFailed, code)
	require.True(t, strings.Contains(errs, "no snapshot to begin with"), errs)
}
