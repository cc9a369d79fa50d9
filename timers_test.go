package headrace_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/headracetest"
	"github.com/headrace/headrace/journal"
)

var newYear = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// alarms reacts to deposits by scheduling a note, and keeps what fires.
type alarms struct {
	topology *headrace.Topology
	mu       sync.Mutex
	fired    []string
	at       []time.Time
	more     *sync.Cond
}

// newAlarms schedules, for a deposit, the note "account" in Amount seconds, under the name of the account if that is not
// negative.
func newAlarms(t testing.TB) *alarms {
	a := &alarms{topology: headrace.NewTopology(registry(t))}
	a.more = sync.NewCond(&a.mu)
	handlers.Decide(a.topology.Logic(), "alarms", func(c *handlers.Context, d deposit) error {
		var o handlers.ScheduleOptions
		if d.Account >= 0 {
			o.Name = fmt.Sprint("account ", d.Account)
		}
		if d.Amount < 0 {
			return handlers.Cancel(c, o.Name)
		}
		return handlers.Schedule(c, note{fmt.Sprint(d.Account, " ", c.Sequence())}, c.Time().Add(time.Duration(d.Amount)*time.Second), o)
	})
	handlers.Fold(a.topology.Lane("watch", headrace.LaneOptions{}), func(c *handlers.Context, n note) error {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.fired = append(a.fired, n.Text)
		a.at = append(a.at, c.Time())
		a.more.Broadcast()
		return nil
	})
	return a
}

func (a *alarms) await(n int) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.fired) < n {
		a.more.Wait()
	}
	return slices.Clone(a.fired)
}

func withClock(at time.Time) (headrace.Options, *headracetest.Clock) {
	o, clock := small(), headracetest.NewClock(at)
	o.Clock = clock
	o.Journal.SegmentBytes = 256 << 10
	return o, clock
}

func TestSchedule_FiresAtItsTime(t *testing.T) {
	dir := t.TempDir()
	o, clock := withClock(newYear)
	a := newAlarms(t)
	e, err := headrace.Open(dir, a.topology, o)
	require.NoError(t, err)
	m := headrace.Meta{Key: "order 7", CorrelationID: event.NewID(), Trace: event.Trace{TraceID: [16]byte{1}, SpanID: [8]byte{2}}}
	seq, err := headrace.Publish(limit(t), producer(t, e, "web"), deposit{1, 60}, m)
	require.NoError(t, err)
	require.NoError(t, e.WaitFor(limit(t), "logic", seq+1))
	require.EqualValues(t, 1, e.Stats().Timers)
	clock.Advance(59 * time.Second)
	require.EqualValues(t, seq+1, e.Written(), "the clock says nothing before something is due")
	clock.Advance(time.Second)
	require.Equal(t, []string{fmt.Sprint("1 ", seq)}, a.await(1))
	require.Equal(t, newYear.Add(time.Minute), a.at[0])
	closeEngine(t, e)
	require.Zero(t, e.Stats().Timers)

	log := readLog(t, dir)
	scheduled, tick, fired := log[seq], log[seq+1], log[seq+2]
	require.Equal(t, "order 7", scheduled.header.Key)
	require.Equal(t, log[seq-1].header.ID, scheduled.header.CausationID)
	h := fired.header
	require.Equal(t, "order 7", h.Key)
	require.Equal(t, m.CorrelationID, h.CorrelationID)
	require.Equal(t, scheduled.header.ID, h.CausationID)
	require.Equal(t, m.Trace, h.Trace)
	require.Equal(t, event.Notification, h.Kind)
	require.Equal(t, event.Origin{Handler: event.HandlerID(handlers.TimersHandler), Cause: tick.seq, Outputs: 1, Depth: 1}, h.Origin)
	require.Equal(t, event.DeriveID(event.HandlerID(handlers.TimersHandler), tick.header.ID, 0), h.ID)

	again := newAlarms(t)
	_, err = headrace.Replay(dir, again.topology, headrace.ReplayOptions{})
	require.NoError(t, err)
	require.Equal(t, a.fired, again.fired)
	require.Equal(t, a.at, again.at)
}

// What comes due while no engine runs fires when one opens, in the order of the due times.
func TestSchedule_DueWhileNobodyRuns(t *testing.T) {
	dir := t.TempDir()
	o, clock := withClock(newYear)
	e, err := headrace.Open(dir, newAlarms(t).topology, o)
	require.NoError(t, err)
	for i := range int64(200) { // more than one tick takes
		publish(t, producer(t, e, "web"), deposit{-1 - i, 1000 - i})
	}
	closeEngine(t, e)
	for _, l := range readLog(t, dir) {
		require.NotEqual(t, "headrace.timers", l.header.Producer)
	}
	clock.Advance(time.Hour)
	a := newAlarms(t)
	e, err = headrace.Open(dir, a.topology, o)
	require.NoError(t, err)
	fired := a.await(200)
	closeEngine(t, e)
	for i, text := range fired {
		require.True(t, strings.HasPrefix(text, fmt.Sprint(i-200, " ")), "%d: %s", i, text)
	}
}

// Random schedules, cancellations and steps of the clock, beside a list that is searched.
func TestSchedule_AgainstAList(t *testing.T) {
	type entry struct {
		due, seq int64
		account  int64
	}
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 1))
	dir := t.TempDir()
	o, clock := withClock(newYear)
	o.Journal.SegmentBytes = 1 << 20
	var waiting []entry
	var want []string
	var a *alarms
	var e *headrace.Engine
	var err error
	for range 4 { // runs of the engine
		a = newAlarms(t)
		e, err = headrace.Open(dir, a.topology, o)
		require.NoError(t, err)
		for range 60 {
			var last int64
			for range rng.IntN(8) {
				d := deposit{rng.Int64N(12) - 4, rng.Int64N(40) - 5}
				if d.Amount == 0 { // it would fire before the next one can replace it, or after
					d.Amount = 1
				}
				seq := publish(t, producer(t, e, "web"), d)
				last = seq
				if d.Account >= 0 {
					waiting = slices.DeleteFunc(waiting, func(x entry) bool { return x.account == d.Account })
				}
				if d.Amount >= 0 {
					waiting = append(waiting, entry{clock.Now().Unix() + d.Amount, seq, d.Account})
				}
			}
			if last > 0 { // what was asked for is set before time goes on
				require.NoError(t, e.WaitFor(limit(t), "logic", last))
				settleLogic(t, e)
			}
			clock.Advance(time.Duration(rng.IntN(10)) * time.Second)
			sort.Slice(waiting, func(i, k int) bool {
				if waiting[i].due != waiting[k].due {
					return waiting[i].due < waiting[k].due
				}
				return waiting[i].seq < waiting[k].seq
			})
			for len(waiting) > 0 && waiting[0].due <= clock.Now().Unix() {
				want = append(want, fmt.Sprint(waiting[0].account, " ", waiting[0].seq))
				waiting = waiting[1:]
			}
			require.Equal(t, want, append([]string(nil), a.await(len(want))...), "seed %d", seed)
			settleLogic(t, e)
			require.EqualValues(t, len(waiting), e.Stats().Timers, "seed %d", seed)
		}
		closeEngine(t, e)
	}
}

// Cut the log anywhere: no timer is lost, and none fires twice.
func TestSchedule_LogCutAnywhere(t *testing.T) {
	dir := t.TempDir()
	o, clock := withClock(newYear)
	a := newAlarms(t)
	e, err := headrace.Open(dir, a.topology, o)
	require.NoError(t, err)
	for i := range int64(200) {
		publish(t, producer(t, e, "web"), deposit{-1 - i, i % 20})
		if i%10 == 0 {
			settleLogic(t, e)
			clock.Advance(time.Second)
		}
	}
	closeEngine(t, e)
	files, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 1))
	for range 25 {
		cut := int64(8192 + rng.IntN(80<<10))
		torn := copyDir(t, dir)
		require.NoError(t, os.Truncate(filepath.Join(torn, filepath.Base(files[0])), cut))
		clock.Advance(time.Hour)
		a := newAlarms(t)
		e, err := headrace.Open(torn, a.topology, o)
		require.NoError(t, err)
		deposits := 0
		for _, l := range readLog(t, torn) {
			if l.kind == journal.KindEvent && l.header.Kind == event.Command {
				deposits++
			}
		}
		a.await(deposits)
		closeEngine(t, e)
		require.Len(t, a.fired, deposits, "seed %d, cut at %d", seed, cut)
		slices.Sort(a.fired)
		require.Len(t, slices.Compact(a.fired), deposits, "seed %d, cut at %d", seed, cut)
		again := newAlarms(t)
		_, err = headrace.Replay(torn, again.topology, headrace.ReplayOptions{})
		require.NoError(t, err)
		require.Len(t, again.fired, deposits)
	}
}

// A timer that sets itself again goes on for ever, without becoming a chain that is too deep.
func TestSchedule_Recurs(t *testing.T) {
	o, clock := withClock(newYear)
	o.CascadeDepth = 5
	top := headrace.NewTopology(registry(t))
	beats := make(chan time.Time, 100)
	handlers.On(top.Logic(), "beat", func(c *handlers.Context, n note) error {
		beats <- c.Time()
		return handlers.Schedule(c, n, c.Time().Add(time.Minute), handlers.ScheduleOptions{Name: "beat", Key: "k"})
	})
	e, err := headrace.Open(t.TempDir(), top, o)
	require.NoError(t, err)
	_, err = headrace.PublishAt(limit(t), producer(t, e, "web"), note{}, newYear.Add(time.Minute), "beat", headrace.Meta{Kind: event.Document})
	require.NoError(t, err)
	settleLogic(t, e)
	for i := range 20 {
		clock.Advance(time.Minute)
		require.Equal(t, newYear.Add(time.Duration(i+1)*time.Minute), <-beats)
		settleLogic(t, e)
	}
	_, err = headrace.CancelTimer(limit(t), producer(t, e, "web"), "beat", headrace.Meta{})
	require.NoError(t, err)
	settleLogic(t, e)
	require.Zero(t, e.Stats().Timers)
	clock.Advance(time.Hour)
	closeEngine(t, e)
	require.Empty(t, beats)
}

// settleLogic waits until nothing is under way, timers that are due included.
func settleLogic(t testing.TB, e *headrace.Engine) {
	t.Helper()
	require.NoError(t, e.WaitIdle(limit(t)))
}

func TestSchedule_Refusals(t *testing.T) {
	o, _ := withClock(newYear)
	o.Journal.MaxBodyBytes = 1 << 10
	plain := headrace.NewTopology(registry(t)) // nobody reacts
	e, err := headrace.Open(t.TempDir(), plain, o)
	require.NoError(t, err)
	_, err = headrace.PublishAt(limit(t), producer(t, e, "web"), note{}, newYear, "", headrace.Meta{})
	require.ErrorIs(t, err, handlers.ErrNoTimers)
	_, err = headrace.CancelTimer(limit(t), producer(t, e, "web"), "x", headrace.Meta{})
	require.ErrorIs(t, err, handlers.ErrNoTimers)
	closeEngine(t, e)

	top := headrace.NewTopology(ledgerRegistry(t))
	top.Timers()
	handlers.Evolve(top.Logic(), func(*handlers.Context, credited) error { return nil })
	seen := make(chan handlers.Tick, 1)
	handlers.Fold(top.Logic(), func(_ *handlers.Context, k handlers.Tick) error { seen <- k; return nil })
	e, err = headrace.Open(t.TempDir(), top, o)
	require.NoError(t, err)
	p := producer(t, e, "web")
	_, err = headrace.PublishAt(limit(t), p, note{strings.Repeat("x", 900)}, newYear, "", headrace.Meta{})
	require.ErrorIs(t, err, handlers.ErrTooLarge)
	_, err = headrace.PublishAt(limit(t), p, note{}, time.Time{}, "", headrace.Meta{})
	require.ErrorIs(t, err, event.ErrHeader)
	_, err = headrace.PublishAt(limit(t), p, credited{}, newYear, "", headrace.Meta{})
	require.ErrorIs(t, err, handlers.ErrOwned)
	_, err = headrace.PublishAt(limit(t), p, bytesEvent{}, newYear, "", headrace.Meta{})
	require.ErrorIs(t, err, event.ErrUnregistered)
	_, err = headrace.Publish(limit(t), p, handlers.Tick{MaxEvents: 1}, headrace.Meta{})
	require.ErrorIs(t, err, handlers.ErrOwned, "ticks are the engine's")
	_, err = p.Publish(limit(t), handlers.Tick{MaxEvents: 1}, headrace.Meta{})
	require.ErrorIs(t, err, handlers.ErrOwned, "by any way")
	id := event.IDFromName("once")
	first, err := headrace.PublishAt(limit(t), p, note{}, newYear, "", headrace.Meta{ID: id})
	require.NoError(t, err)
	second, err := headrace.PublishAt(limit(t), p, note{}, newYear, "", headrace.Meta{ID: id})
	require.NoError(t, err)
	require.Equal(t, first, second)
	require.Positive(t, (<-seen).MaxEvents, "an application may watch the clock")
	closeEngine(t, e)

	top = headrace.NewTopology(registry(t))
	handlers.On(top.Lane("early", headrace.LaneOptions{Behind: headrace.Published}), "on", func(c *handlers.Context, d deposit) error {
		return handlers.Schedule(c, note{}, c.Time(), handlers.ScheduleOptions{})
	})
	e, err = headrace.Open(t.TempDir(), top, o)
	require.NoError(t, err)
	publish(t, producer(t, e, "web"), deposit{})
	<-e.Halted()
	require.ErrorIs(t, e.Close(limit(t)), handlers.ErrNoTimers)
}

// The system's clock, for once.
func TestSchedule_SystemClock(t *testing.T) {
	a := newAlarms(t)
	e, err := headrace.Open(t.TempDir(), a.topology, small())
	require.NoError(t, err)
	var errs []error
	for i := range 50 {
		_, err := headrace.PublishAt(limit(t), producer(t, e, "web"), note{"x"}, time.Now().Add(time.Duration(i)*time.Millisecond), "", headrace.Meta{})
		errs = append(errs, err)
	}
	require.NoError(t, errors.Join(errs...))
	a.await(50)
	closeEngine(t, e)
}

// What fires is in the version in which it was scheduled, and begins a chain of events causing events anew, however often.
func TestSchedule_VersionAndDepth(t *testing.T) {
	dir := t.TempDir()
	o, clock := withClock(newYear)
	o.CascadeDepth = 3
	r := event.NewRegistry()
	event.MustRegister[note](r, "note", 5)
	top := headrace.NewTopology(r)
	const n = 10
	handlers.Decide(top.Logic(), "again", func(c *handlers.Context, v note) error {
		if len(v.Text) == n {
			return nil
		}
		return handlers.Schedule(c, note{v.Text + "x"}, c.Time().Add(time.Second), handlers.ScheduleOptions{})
	})
	e, err := headrace.Open(dir, top, o)
	require.NoError(t, err)
	publish(t, producer(t, e, "web"), note{})
	for range n {
		require.NoError(t, e.WaitIdle(limit(t)))
		clock.Advance(time.Second)
	}
	require.NoError(t, e.WaitIdle(limit(t)))
	closeEngine(t, e)
	fired := 0
	for _, l := range readLog(t, dir) {
		if l.typeID >= handlers.FirstUserType && l.header.HasOrigin {
			fired++
			require.EqualValues(t, 5, l.header.Version)
			require.EqualValues(t, 1, l.header.Origin.Depth)
		}
	}
	require.Equal(t, n, fired)
}
