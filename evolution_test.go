package headrace_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/headracetest"
	"github.com/headrace/headrace/journal"
)

// teller is a topology with a handler of this id that answers each deposit, and draws from its randomness.
func teller(t testing.TB, id string) (*headrace.Topology, *[]uint64) {
	t.Helper()
	top := headrace.NewTopology(registry(t))
	drawn := new([]uint64)
	if id != "" {
		handlers.On(top.Logic(), id, func(c *handlers.Context, d deposit) error {
			*drawn = append(*drawn, c.Rand().Uint64())
			return handlers.Emit(c, deposited(d))
		})
	}
	return top, drawn
}

func openTop(t testing.TB, dir string, top *headrace.Topology) *headrace.Engine {
	t.Helper()
	e, err := headrace.Open(dir, top, small())
	require.NoError(t, err)
	return e
}

// answers counts the answers in a log by producer, and checks that each cause has one.
func answers(t testing.TB, dir string) map[string]int {
	t.Helper()
	by, causes := map[string]int{}, map[int64]bool{}
	for _, l := range readLog(t, dir) {
		if l.header.HasOrigin {
			by[l.header.Producer]++
			require.Equal(t, event.HandlerID("a"), l.header.Origin.Handler, "the log knows it by its first id")
			require.False(t, causes[l.header.Origin.Cause], "cause %d was answered twice", l.header.Origin.Cause)
			causes[l.header.Origin.Cause] = true
		}
	}
	return by
}

func TestRenameHandler_AnswersNothingAgain_OwesWhatItOwed(t *testing.T) {
	dir := t.TempDir()
	top, drawn := teller(t, "a")
	e := openTop(t, dir, top)
	for i := range int64(3) {
		publish(t, producer(t, e, "web"), deposit{i, i})
	}
	settleLogic(t, e)
	crashed := copyDir(t, dir)
	closeEngine(t, e)
	require.Equal(t, map[string]int{"a": 3}, answers(t, crashed))

	// While the program runs without it, it owes.
	top, _ = teller(t, "")
	top.Timers()
	e = openTop(t, crashed, top)
	publish(t, producer(t, e, "web"), deposit{4, 4})
	settleLogic(t, e)
	crashed = copyDir(t, crashed)
	closeEngine(t, e)
	require.Equal(t, map[string]int{"a": 3}, answers(t, crashed))

	for round, also := range []func(top *headrace.Topology){
		func(top *headrace.Topology) { top.RenameHandler("a", "b") },
		func(top *headrace.Topology) { top.RenameHandler("a", "b") }, // the line stays
		func(top *headrace.Topology) { top.RenameHandler("b", "c"); top.RenameHandler("a", "b") },
		func(top *headrace.Topology) { top.RenameHandler("c", "a") }, // and back
	} {
		id := []string{"b", "b", "c", "a"}[round]
		top, again := teller(t, id)
		also(top)
		e = openTop(t, crashed, top)
		settleLogic(t, e)
		require.Equal(t, *drawn, (*again)[:3], "its random numbers are those of its first id")
		publish(t, producer(t, e, "web"), deposit{5, 5})
		settleLogic(t, e)
		next := copyDir(t, crashed)
		closeEngine(t, e)
		crashed = next
	}
	// Three at first, one that was owed, and four more, under the id of the time.
	require.Equal(t, map[string]int{"a": 4, "b": 3, "c": 1}, answers(t, crashed))
	var names []uint16
	for _, l := range readLog(t, crashed) {
		if l.typeID == 10 {
			names = append(names, l.typeID)
		}
	}
	require.Len(t, names, 3, "each rename is told once")
}

// Renames of what is renamed may stand in any order, in a program that opens a log from before all of them.
func TestRenameHandler_ChainInAnyOrder(t *testing.T) {
	dir := t.TempDir()
	top, drawn := teller(t, "a")
	e := openTop(t, dir, top)
	publish(t, producer(t, e, "web"), deposit{1, 1})
	closeEngine(t, e)

	top, again := teller(t, "d")
	for _, r := range [][2]string{{"c", "d"}, {"b", "c"}, {"a", "b"}} {
		top.RenameHandler(r[0], r[1])
	}
	e = openTop(t, dir, top)
	publish(t, producer(t, e, "web"), deposit{2, 2})
	closeEngine(t, e)
	require.Equal(t, map[string]int{"a": 1, "d": 1}, answers(t, dir))
	require.Equal(t, *drawn, (*again)[:1], "it draws what it drew")
}

// A crash in the middle of what Open tells the log: from every beginning of it the next Open gets to the same.
func TestRenameHandler_CrashWhileOpening(t *testing.T) {
	dir := t.TempDir()
	first := func() *headrace.Topology {
		top, _ := teller(t, "a")
		handlers.On(top.Logic(), "old", func(c *handlers.Context, d deposited) error { return handlers.Emit(c, note{"old"}) })
		return top
	}
	second := func() *headrace.Topology {
		top, _ := teller(t, "c")
		top.RenameHandler("a", "b")
		top.RenameHandler("b", "c")
		top.RetireHandler("old")
		handlers.On(top.Logic(), "new", func(c *handlers.Context, d deposited) error { return handlers.Emit(c, note{"new"}) })
		return top
	}
	e := openTop(t, dir, first())
	publish(t, producer(t, e, "web"), deposit{1, 1})
	settleLogic(t, e)
	closeEngine(t, e)
	before := int64(len(readLog(t, dir)))

	contents := func(dir string) (all []string) {
		for _, l := range readLog(t, dir) {
			all = append(all, fmt.Sprint(l.typeID, l.header.Producer, l.header.Origin))
		}
		return all
	}
	whole := copyDir(t, dir)
	closeEngine(t, openTop(t, whole, second()))
	want := contents(whole)
	require.Len(t, want, int(before)+4, "two renames, one retirement, one handler that is new")
	for last := before; last < before+4; last++ {
		part := filepath.Join(t.TempDir(), "part")
		_, err := journal.Restore(limit(t), whole, part, journal.RestoreOptions{Until: last})
		require.NoError(t, err)
		e := openTop(t, part, second())
		settleLogic(t, e)
		closeEngine(t, e)
		require.Equal(t, want, contents(part), "crash behind event %d", last)
	}
}

// What a handler has parked is parked under its new id too; retries that were on their way arrive, and a handler
// that is retired gives its own up.
func TestRenameHandler_KeepsWhatIsParked(t *testing.T) {
	dir := t.TempDir()
	clock := headracetest.NewClock(newYear)
	o := small()
	o.Clock = clock
	fails := true
	build := func(id string) *headrace.Topology {
		top := headrace.NewTopology(registry(t))
		handlers.Decide(top.Logic(), id, func(c *handlers.Context, d deposit) error {
			if fails {
				return errors.New("not today")
			}
			return handlers.Emit(c, deposited(d))
		})
		top.Logic().OnFailure(id, handlers.FailurePolicy{Retries: 1, Backoff: handlers.Backoff{First: time.Hour}, Then: handlers.ThenDeadLetter})
		return top
	}
	reopen := func(top *headrace.Topology, id string) *headrace.Engine {
		if id != "a" && top != nil {
			top.RenameHandler("a", id)
		}
		e, err := headrace.Open(dir, top, o)
		require.NoError(t, err)
		return e
	}
	e := reopen(build("a"), "a")
	publish(t, producer(t, e, "web"), deposit{1, 1})
	settleLogic(t, e)
	require.Len(t, e.Parked(), 1)
	dir = copyDir(t, dir)
	closeEngine(t, e)

	e = reopen(build("b"), "b")
	require.Equal(t, "b", e.Parked()[0].Handler)
	clock.Advance(2 * time.Hour) // the retry that was scheduled under the old id
	await(t, func() bool { return len(e.DeadLetters()) == 1 })
	dead := e.DeadLetters()[0]
	require.Equal(t, 2, dead.Attempts)
	settleLogic(t, e) // so that the outcome is in the log that is copied
	dir = copyDir(t, dir)
	closeEngine(t, e)
	parked := copyDir(t, dir)

	fails = false
	e = reopen(build("b"), "b")
	require.Equal(t, []handlers.Parked{dead}, e.DeadLetters())
	_, err := e.Redrive(limit(t), "b", dead.Sequence)
	require.NoError(t, err)
	settleLogic(t, e)
	require.Empty(t, e.Parked())
	closeEngine(t, e)

	dir = parked
	top := headrace.NewTopology(registry(t))
	top.Timers()
	top.RetireHandler("b")
	e = reopen(top, "a")
	require.Empty(t, e.Parked())
	publish(t, producer(t, e, "web"), deposit{2, 2})
	closeEngine(t, e)
	gone := false
	for _, l := range readLog(t, dir) {
		gone = gone || l.typeID == 11
		require.False(t, gone && l.header.Producer == "b", "a retired handler owes nothing: event %d", l.seq)
	}
	require.True(t, gone)
	e, err = headrace.Open(dir, build("b"), o)
	require.ErrorIs(t, err, headrace.ErrHandlerID)
	require.ErrorContains(t, err, "retired")
	require.Nil(t, e)
}

// await looks until cond holds.
func await(t testing.TB, cond func() bool) {
	t.Helper()
	require.Eventually(t, cond, hang, time.Millisecond)
}

func TestHandlerIDs_ThatTheLogDoesNotAllow(t *testing.T) {
	dir := t.TempDir()
	top, _ := teller(t, "a")
	handlers.On(top.Logic(), "other", func(c *handlers.Context, d deposited) error { return nil })
	closeEngine(t, openTop(t, dir, top))
	renamed := copyDir(t, dir)
	top, _ = teller(t, "b")
	top.RenameHandler("a", "b")
	top.RetireHandler("other")
	closeEngine(t, openTop(t, renamed, top))

	for name, c := range map[string]struct {
		dir  string
		id   string
		also func(top *headrace.Topology)
		want error
		says string
	}{
		"old version after a rename": {renamed, "a", nil, headrace.ErrHandlerID, `"b" now`},
		"retired, and there again":   {renamed, "other", nil, headrace.ErrHandlerID, "retired"},
		"to one that was retired":    {renamed, "other", func(top *headrace.Topology) { top.RenameHandler("b", "other") }, headrace.ErrHandlerID, "retired"},
		"to one with its own past":   {dir, "other", func(top *headrace.Topology) { top.RenameHandler("a", "other") }, headrace.ErrHandlerID, "knows both"},
		"the old one is there too":   {dir, "a", func(top *headrace.Topology) { top.RenameHandler("a", "b") }, headrace.ErrTopology, `there is a handler "a"`},
		"to nobody":                  {dir, "b", func(top *headrace.Topology) { top.RenameHandler("a", "x") }, headrace.ErrTopology, `no handler "x"`},
		"to itself":                  {dir, "b", func(top *headrace.Topology) { top.RenameHandler("a", "a") }, headrace.ErrTopology, "the same"},
		"in a circle":                {dir, "b", func(top *headrace.Topology) { top.RenameHandler("a", "b"); top.RenameHandler("b", "a") }, headrace.ErrTopology, `there is a handler "b"`},
		"to two":                     {dir, "b", func(top *headrace.Topology) { top.RenameHandler("a", "b"); top.RenameHandler("a", "c") }, headrace.ErrTopology, "something else"},
		"retired and there":          {dir, "a", func(top *headrace.Topology) { top.RetireHandler("a") }, headrace.ErrTopology, "there is such a handler"},
		"the engine's own":           {dir, "a", func(top *headrace.Topology) { top.RetireHandler(handlers.TimersHandler) }, headrace.ErrTopology, "neither"},
	} {
		top, _ := teller(t, c.id)
		if c.also != nil {
			c.also(top)
		}
		before := readLog(t, c.dir)
		_, err := headrace.Open(c.dir, top, small())
		require.ErrorIs(t, err, c.want, name)
		require.ErrorContains(t, err, c.says, name)
		require.Equal(t, before, readLog(t, c.dir), "%s: an Open that fails changes nothing", name)
		top, _ = teller(t, c.id)
		if c.also != nil {
			c.also(top)
		}
		_, err = headrace.Replay(c.dir, top, headrace.ReplayOptions{})
		require.ErrorIs(t, err, c.want, name)
	}
	// On a log that knows none of them they say nothing.
	fresh := t.TempDir()
	top, _ = teller(t, "c")
	top.RenameHandler("a", "b")
	top.RenameHandler("b", "c")
	top.RetireHandler("other")
	closeEngine(t, openTop(t, fresh, top))
	for _, l := range readLog(t, fresh) {
		require.NotContains(t, []uint16{10, 11}, l.typeID)
	}
	// A replay of a log from before a rename, by the program from behind it, gets to the same state.
	top, drawn := teller(t, "b")
	top.RenameHandler("a", "b")
	e := openTop(t, dir, top)
	publish(t, producer(t, e, "web"), deposit{1, 1})
	settleLogic(t, e)
	closeEngine(t, e)
	top, again := teller(t, "b")
	top.RenameHandler("a", "b")
	_, err := headrace.Replay(dir, top, headrace.ReplayOptions{})
	require.NoError(t, err)
	require.Equal(t, *drawn, *again)
}

// An effect that is renamed calls nothing again, and calls for what it owes with the keys that it had. What was redriven or
// discarded under its former name is so.
func TestRenameHandler_Effect(t *testing.T) {
	dir := t.TempDir()
	var keys []string
	build := func(name string) *headrace.Topology {
		top := headrace.NewTopology(registry(t))
		top.Effect(handlers.NewEffect(name, func(c *handlers.EffectContext, d deposit) error {
			again := slices.Contains(keys, c.IdempotencyKey())
			keys = append(keys, c.IdempotencyKey())
			if d.Amount >= 2 && !again {
				return errors.New("down")
			}
			return handlers.Report(c, deposited(d))
		}, handlers.EffectOptions{Workers: 1, Failure: handlers.FailurePolicy{Then: handlers.ThenDeadLetter}}), headrace.LaneOptions{})
		return top
	}
	e := openTop(t, dir, build("card"))
	for amount := range int64(5) {
		publish(t, producer(t, e, "web"), deposit{amount, amount})
	}
	await(t, func() bool { return len(e.DeadLetters()) == 3 })
	dead := e.DeadLetters()
	_, err := e.Discard(limit(t), "card", dead[1].Sequence)
	require.NoError(t, err)
	_, err = e.Redrive(limit(t), "card", dead[2].Sequence)
	require.NoError(t, err)
	await(t, func() bool { return len(e.Parked()) == 1 })
	closeEngine(t, e)
	require.Len(t, keys, 6)

	top := build("payment")
	top.RenameHandler("card", "payment")
	e = openTop(t, dir, top)
	dead = e.DeadLetters()
	require.Len(t, dead, 1)
	require.Equal(t, "payment", dead[0].Handler)
	_, err = e.Redrive(limit(t), "payment", dead[0].Sequence)
	require.NoError(t, err)
	await(t, func() bool { return len(e.Parked()) == 0 })
	closeEngine(t, e)
	require.Len(t, keys, 7, "nothing is called again")
	require.Equal(t, keys[2], keys[6])

	// What it is for is known of it under its new name too.
	top = headrace.NewTopology(registry(t))
	top.Effect(handlers.NewEffect("payment", func(*handlers.EffectContext, note) error { return nil }, handlers.EffectOptions{}), headrace.LaneOptions{})
	_, err = headrace.Open(dir, top, small())
	require.ErrorIs(t, err, headrace.ErrTopology)
	require.ErrorContains(t, err, "bank.deposit")
}

// A snapshot that was taken under a former id fits, whether the program says so or the log, and one that was taken under the
// present id says what the log says of former ones.
func TestRenameHandler_Snapshots(t *testing.T) {
	dir := t.TempDir()
	build := func(ids ...string) *headrace.Topology {
		top := headrace.NewTopology(registry(t))
		s := handlers.Keep(top.Logic(), "till", newTill)
		handlers.On(top.Logic(), ids[0], func(c *handlers.Context, d deposit) error {
			s.Of(c).Events++
			return handlers.Emit(c, deposited(d))
		})
		for _, id := range ids[1:] {
			handlers.Decide(top.Logic(), id, func(*handlers.Context, note) error { return nil }) // which fits a snapshot without it
		}
		return top
	}
	run := func(top *headrace.Topology, from int64, save bool) (snapshot int64) {
		e := openTop(t, dir, top)
		stats := e.Stats().Snapshots
		require.Equal(t, from, stats.OpenedAt, "%v", stats.PassedOver)
		publish(t, producer(t, e, "web"), deposit{1, 1})
		settleLogic(t, e)
		if save {
			snapshot = take(t, e).Sequence
		}
		closeEngine(t, e)
		return snapshot
	}
	run(build("a", "other"), 0, false)
	top := build("a")
	top.RetireHandler("other")
	first := run(top, 0, true)
	top = build("b")
	top.RenameHandler("a", "b")
	run(top, first, false)
	second := run(build("b"), first, true)
	for _, top := range []*headrace.Topology{build("a"), build("b", "other")} {
		_, err := headrace.Open(dir, top, small())
		require.ErrorIs(t, err, headrace.ErrHandlerID)
	}
	run(build("b"), second, false)
	top = build("a")
	top.RenameHandler("b", "a") // and back
	run(top, second, false)
	require.Equal(t, map[string]int{"a": 3, "b": 3}, answers(t, dir))
}
