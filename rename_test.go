package headrace_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
)

// TestRename_OldEventsReachTheHandlers: a log that was written under two former names is read as one type, by
// handlers, read models and followers; events of a retired type pass untouched.
func TestRename_OldEventsReachTheHandlers(t *testing.T) {
	type paid struct{ Amount int }
	type gone struct{ Text string }
	dir := t.TempDir()
	run := func(name string, setup func(r *event.Registry), also func(eng *headrace.Engine, p *headrace.Producer)) (sum int, names []string) {
		reg := event.NewRegistry()
		setup(reg)
		event.MustRegister[paid](reg, name, 1)
		topology := headrace.NewTopology(reg)
		total := handlers.NewProjection("total", new(int))
		handlers.Apply(total, func(s *int, _ *handlers.Context, e paid) error {
			*s += e.Amount
			return nil
		})
		topology.Project(total, headrace.LaneOptions{})
		eng, err := headrace.Open(dir, topology, headrace.Options{})
		require.NoError(t, err)
		defer func() { require.NoError(t, eng.Close(t.Context())) }()
		p, err := eng.Producer("p")
		require.NoError(t, err)
		seq, err := headrace.Publish(t.Context(), p, paid{1}, headrace.Meta{})
		require.NoError(t, err)
		if also != nil {
			also(eng, p)
		}
		require.NoError(t, total.WaitFor(t.Context(), seq))
		total.View(func(s *int, _ int64) { sum = *s })
		require.NoError(t, eng.WaitDurable(t.Context(), seq))
		err = eng.Follow(t.Context(), headrace.FollowOptions{Until: seq}, func(_ context.Context, d handlers.Delivery) error {
			v, ok, err := handlers.Decode[paid](d)
			if ok {
				require.Equal(t, 1, v.Amount)
				names = append(names, d.Type)
			}
			return err
		})
		require.NoError(t, err)
		return sum, names
	}
	sum, _ := run("first", func(r *event.Registry) { event.MustRegister[gone](r, "gone", 1) },
		func(_ *headrace.Engine, p *headrace.Producer) {
			_, err := headrace.Publish(t.Context(), p, gone{"x"}, headrace.Meta{})
			require.NoError(t, err)
		})
	require.Equal(t, 1, sum)
	sum, _ = run("second", func(r *event.Registry) { require.NoError(t, r.Rename("first", "second")) }, nil)
	require.Equal(t, 2, sum)
	sum, names := run("third", func(r *event.Registry) {
		require.NoError(t, r.Rename("first", "third"))
		require.NoError(t, r.Rename("second", "third"))
		require.NoError(t, r.Retire("gone"))
	}, nil)
	require.Equal(t, 3, sum)
	require.Equal(t, []string{"first", "second", "third"}, names)
}
