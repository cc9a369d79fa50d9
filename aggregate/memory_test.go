package aggregate_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/aggregate"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
)

// On an engine in memory aggregates decide, reject and number as with a log, beside appends to their streams.
func TestAggregate_InMemory(t *testing.T) {
	r := types()
	event.MustRegister[noted](r, "noted", 1)
	top := headrace.NewTopology(r)
	d := accounts()
	require.NoError(t, d.Attach(top.Logic()))
	table := d.Projection("accounts")
	top.Project(table, headrace.LaneOptions{})
	e, err := headrace.OpenMemory(top, headrace.Options{})
	require.NoError(t, err)
	web, err := e.Producer("web")
	require.NoError(t, err)
	b := bank{e, web, table}
	defer b.stop(t)

	_, err = headrace.Call[opened](limit(t), web, open{"Ada"}, key("1"))
	require.NoError(t, err)
	got, err := e.Append(limit(t), "1", 1, headrace.Message{Value: noted{"x"}}, headrace.Message{Value: noted{"y"}})
	require.NoError(t, err)
	require.EqualValues(t, 3, got.Version)
	_, err = e.Append(limit(t), "1", 1, headrace.Message{Value: noted{"late"}})
	var stale *headrace.VersionError
	require.ErrorAs(t, err, &stale)
	require.EqualValues(t, 3, stale.Actual)
	answer, err := headrace.Call[deposited](limit(t), web, deposit{10}, key("1"))
	require.NoError(t, err)
	require.EqualValues(t, 10, answer.Value.Amount)
	_, err = headrace.Call[withdrawn](limit(t), web, withdraw{11}, key("1"))
	var rejected *headrace.RejectedError
	require.ErrorAs(t, err, &rejected)
	require.Equal(t, "funds", rejected.Code)
	_, err = e.Append(limit(t), "1", headrace.ExpectAny, headrace.Message{Value: deposited{1}})
	require.ErrorIs(t, err, handlers.ErrOwned)

	require.NoError(t, e.WaitIdle(limit(t)))
	a, version := b.get("1")
	require.Equal(t, account{"Ada", 10}, a)
	require.EqualValues(t, 4, version)
	require.EqualValues(t, 4, e.StreamVersion("1"))
	for _, err := range e.ReadStream(limit(t), "1", 0, headrace.StreamOptions{}) {
		require.ErrorIs(t, err, headrace.ErrNoLog)
	}
	_, err = headrace.Call[deposited](limit(t), web, deposit{1}, headrace.Meta{Key: "1", StreamVersion: 4})
	require.ErrorAs(t, err, &rejected)
	require.Equal(t, aggregate.ConflictCode, rejected.Code)
}
