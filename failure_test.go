package headrace_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/headracetest"
)

// works answers deposits, fails on those that broken says it fails on, and reads what was done.
type works struct {
	topology *headrace.Topology
	done     *handlers.Projection[map[int64][]int64] // amounts answered, by account
	broken   func(d deposit, attempt int) error
	calls    atomic.Int64
}

func newWorks(t testing.TB, p *handlers.FailurePolicy, broken func(d deposit, attempt int) error) *works {
	w := &works{topology: headrace.NewTopology(registry(t)), broken: broken}
	handlers.Decide(w.topology.Logic(), "work", func(c *handlers.Context, d deposit) error {
		w.calls.Add(1)
		if err := handlers.Emit(c, deposited(d)); err != nil { // dropped if it fails after it
			return err
		}
		if w.broken == nil {
			return nil
		}
		return w.broken(d, c.Attempt())
	})
	if p != nil {
		w.topology.Logic().OnFailure("work", *p)
	}
	w.done = handlers.NewProjection("done", &map[int64][]int64{})
	handlers.Apply(w.done, func(m *map[int64][]int64, _ *handlers.Context, d deposited) error {
		(*m)[d.Account] = append((*m)[d.Account], d.Amount)
		return nil
	})
	w.topology.Project(w.done, headrace.LaneOptions{})
	return w
}

func (w *works) state() map[int64][]int64 {
	got := map[int64][]int64{}
	w.done.View(func(m *map[int64][]int64, _ int64) {
		for k, v := range *m {
			got[k] = append([]int64(nil), v...)
		}
	})
	return got
}

// settle waits until nothing is on its way, and what was done is seen.
func (w *works) settle(t testing.TB, e *headrace.Engine) {
	t.Helper()
	settleLogic(t, e)
	require.NoError(t, w.done.WaitFor(limit(t), e.Stats().Ring.Cursor))
}

func (w *works) publish(t testing.TB, e *headrace.Engine, account, amount int64) int64 {
	t.Helper()
	m := headrace.Meta{Key: fmt.Sprint("account ", account)}
	if account < 0 {
		m.Key = ""
	}
	seq, err := headrace.Publish(limit(t), producer(t, e, "web"), deposit{account, amount}, m)
	require.NoError(t, err)
	return seq
}

var errBroken = errors.New("it is broken")

func brokenOn(account int64) func(deposit, int) error {
	return func(d deposit, _ int) error {
		if d.Account == account {
			return errBroken
		}
		return nil
	}
}

func TestFailure_Skip_GoesOnWithoutTheEvent(t *testing.T) {
	for name, c := range map[string]struct {
		broken func(deposit, int) error
		reason string
	}{
		"error": {brokenOn(1), handlers.ReasonError},
		"panic": {func(d deposit, _ int) error {
			if d.Account == 1 {
				panic("poison")
			}
			return nil
		}, handlers.ReasonPanic},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			w := newWorks(t, &handlers.FailurePolicy{Then: handlers.ThenSkip}, c.broken)
			var seen []handlers.Failed
			handlers.Fold(w.topology.Lane("alarm", headrace.LaneOptions{}), func(_ *handlers.Context, f handlers.Failed) error {
				seen = append(seen, f)
				return nil
			})
			e, err := headrace.Open(dir, w.topology, small())
			require.NoError(t, err)
			var poison int64
			for i := range int64(3) {
				seq := w.publish(t, e, i, 7)
				if i == 1 {
					poison = seq
				}
			}
			closeEngine(t, e)
			require.Equal(t, map[int64][]int64{0: {7}, 2: {7}}, w.state())
			require.Len(t, seen, 1)
			require.Equal(t, poison, seen[0].Cause)
			require.Equal(t, c.reason, seen[0].Reason)
			require.Equal(t, handlers.OutcomeSkipped, seen[0].Outcome)
			require.Equal(t, "work", seen[0].Handler)
			require.Empty(t, e.Parked())

			again := newWorks(t, &handlers.FailurePolicy{Then: handlers.ThenSkip}, nil) // fixed: what was skipped stays so
			e, err = headrace.Open(dir, again.topology, small())
			require.NoError(t, err)
			closeEngine(t, e)
			require.Zero(t, again.calls.Load())
			require.Equal(t, w.state(), again.state())
		})
	}
}

func TestFailure_Retry_ParksItsKeyOnly(t *testing.T) {
	dir := t.TempDir()
	o, clock := withClock(newYear)
	policy := handlers.FailurePolicy{Retries: 3, Backoff: handlers.Backoff{First: 10 * time.Second, Factor: 3}, Then: handlers.ThenDeadLetter}
	var attempts []int
	w := newWorks(t, &policy, func(d deposit, attempt int) error {
		if d.Account == 1 && d.Amount == 1 {
			attempts = append(attempts, attempt)
			if attempt < 3 {
				return errBroken
			}
		}
		return nil
	})
	e, err := headrace.Open(dir, w.topology, o)
	require.NoError(t, err)
	first := w.publish(t, e, 1, 1)
	for i := int64(2); i < 6; i++ {
		w.publish(t, e, 1, i)
		w.publish(t, e, 2, i)
	}
	w.settle(t, e)
	require.Equal(t, map[int64][]int64{2: {2, 3, 4, 5}}, w.state())
	parked := e.Parked()
	require.Len(t, parked, 1)
	require.Equal(t, first, parked[0].Sequence)
	require.Equal(t, "account 1", parked[0].Key)
	require.Equal(t, 4, parked[0].Waiting)
	require.Equal(t, 1, parked[0].Attempts)
	require.Equal(t, newYear.Add(10*time.Second), parked[0].RetryAt)
	require.Empty(t, e.DeadLetters())
	clock.Advance(10 * time.Second)
	awaitParked(t, e, func(p []handlers.Parked) bool { return len(p) == 1 && p[0].Attempts == 2 })
	require.Equal(t, newYear.Add(40*time.Second), e.Parked()[0].RetryAt)
	clock.Advance(30 * time.Second)
	awaitParked(t, e, func(p []handlers.Parked) bool { return len(p) == 0 })
	w.publish(t, e, 1, 6)
	closeEngine(t, e)
	require.Equal(t, []int{1, 2, 3}, attempts)
	require.Equal(t, []int64{1, 2, 3, 4, 5, 6}, w.state()[1])
	again := newWorks(t, &policy, nil)
	_, err = headrace.Replay(dir, again.topology, headrace.ReplayOptions{})
	require.NoError(t, err)
	require.Equal(t, w.state(), again.state())
	require.Empty(t, again.topology.Logic().Parked())
}

// awaitParked waits until what is parked is as ok says, as events go by.
func awaitParked(t testing.TB, e *headrace.Engine, ok func([]handlers.Parked) bool) {
	t.Helper()
	ctx := limit(t)
	for seq := e.Written(); !ok(e.Parked()); seq++ {
		require.NoError(t, e.WaitFor(ctx, "logic", seq))
	}
	settleLogic(t, e)
}

func TestFailure_DeadLetter_RedriveAndDiscard(t *testing.T) {
	dir := t.TempDir()
	o, _ := withClock(newYear)
	policy := &handlers.FailurePolicy{Then: handlers.ThenDeadLetter}
	w := newWorks(t, policy, brokenOn(1))
	e, err := headrace.Open(dir, w.topology, o)
	require.NoError(t, err)
	var seqs []int64
	for i := range int64(4) {
		seqs = append(seqs, w.publish(t, e, 1, i))
	}
	alone := w.publish(t, e, -1, 9) // without a key it holds up nobody, and it works
	w.settle(t, e)
	require.Positive(t, alone)
	require.Equal(t, map[int64][]int64{-1: {9}}, w.state())
	_, err = e.Redrive(limit(t), "work", seqs[1])
	require.ErrorIs(t, err, headrace.ErrNotParked, "it waits behind another")
	_, err = e.Discard(limit(t), "play", seqs[0])
	require.ErrorIs(t, err, headrace.ErrNotParked, "another handler has it not parked")
	require.Equal(t, newYear, e.DeadLetters()[0].FailedAt)
	failed := e.DeadLetters()[0].FailedID
	require.False(t, failed.IsZero())
	again, err := e.Redrive(limit(t), "work", seqs[0])
	require.NoError(t, err)
	settleLogic(t, e)
	require.Equal(t, 2, e.DeadLetters()[0].Attempts, "still broken")
	closeEngine(t, e)

	// What is parked survives, also without the policy that parked it.
	w = newWorks(t, nil, nil)
	e, err = headrace.Open(dir, w.topology, o)
	require.NoError(t, err)
	dead := e.DeadLetters()
	require.Len(t, dead, 1)
	require.Equal(t, seqs[0], dead[0].Sequence)
	require.Equal(t, 3, dead[0].Waiting)
	require.Equal(t, "it is broken", dead[0].Message)
	w.publish(t, e, 1, 4)
	_, err = e.Discard(limit(t), "work", seqs[0])
	require.NoError(t, err)
	settleLogic(t, e)
	require.Empty(t, e.Parked())
	_, err = e.Discard(limit(t), "work", seqs[0])
	require.ErrorIs(t, err, headrace.ErrNotParked)
	closeEngine(t, e)
	require.Equal(t, []int64{1, 2, 3, 4}, w.state()[1])

	log := readLog(t, dir)
	redriven := log[again-1].header // goes on with the conversation, in answer to the failure
	require.Equal(t, failed, redriven.CausationID)
	require.Equal(t, log[seqs[0]-1].header.ID, redriven.CorrelationID)
	require.Equal(t, "account 1", redriven.Key)
	byID := map[event.ID]logged{}
	for _, l := range log { // causation names an earlier event of the same conversation
		if cause, ok := byID[l.header.CausationID]; ok && l.header.Producer == "work" && l.header.Kind != 0 {
			conversation := cause.header.CorrelationID
			if conversation.IsZero() {
				conversation = cause.header.ID
			}
			require.Equal(t, conversation, l.header.CorrelationID, "event %d", l.seq)
		}
		byID[l.header.ID] = l
	}
}

// Random failures, and a log that is cut anywhere: in the end every command is answered once, and those of a
// key in their order.
func TestFailure_LogCutAnywhere(t *testing.T) {
	dir := t.TempDir()
	o, clock := withClock(newYear)
	o.Journal.SegmentBytes = 512 << 10
	policy := &handlers.FailurePolicy{Retries: 2, Then: handlers.ThenDeadLetter}
	seed := rand.Uint64()
	// Whether an attempt fails depends on the command and the number of the attempt alone.
	unlucky := func(d deposit, attempt int) error {
		rng := rand.New(rand.NewPCG(seed+uint64(d.Amount), uint64(attempt)))
		switch rng.IntN(6) {
		case 0, 1:
			return errBroken
		case 2:
			panic(errBroken)
		}
		return nil
	}
	w := newWorks(t, policy, unlucky)
	e, err := headrace.Open(dir, w.topology, o)
	require.NoError(t, err)
	rng := rand.New(rand.NewPCG(seed, 2))
	for i := range int64(150) {
		w.publish(t, e, rng.Int64N(6)-1, i)
		if i%10 == 0 {
			clock.Advance(time.Second)
			settleLogic(t, e)
			for _, p := range e.DeadLetters() {
				if rng.IntN(3) == 0 {
					_, err := e.Redrive(limit(t), "work", p.Sequence)
					require.NoError(t, err)
				}
			}
		}
	}
	closeEngine(t, e)
	files, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	for range 20 {
		cut := int64(8192 + rng.IntN(120<<10))
		torn := copyDir(t, dir)
		require.NoError(t, os.Truncate(filepath.Join(torn, filepath.Base(files[0])), cut))
		broken := newWorks(t, policy, unlucky)
		e, err := headrace.Open(torn, broken.topology, o)
		require.NoError(t, err, "seed %d, cut at %d", seed, cut)
		settleLogic(t, e)
		closeEngine(t, e)
		again := newWorks(t, policy, nil)
		parked := broken.topology.Logic().Parked()
		_, err = headrace.Replay(torn, again.topology, headrace.ReplayOptions{})
		require.NoError(t, err)
		require.Equal(t, parked, again.topology.Logic().Parked(), "seed %d, cut at %d", seed, cut)
		require.Equal(t, broken.state(), again.state())

		fixed := newWorks(t, policy, nil)
		e, err = headrace.Open(torn, fixed.topology, o)
		require.NoError(t, err)
		require.Equal(t, parked, fixed.topology.Logic().Parked(), "seed %d, cut at %d", seed, cut)
		finish(t, e, clock)
		closeEngine(t, e)
		want := map[int64][]int64{}
		for _, d := range depositsIn(t, torn) {
			want[d.Account] = append(want[d.Account], d.Amount)
		}
		got := fixed.state()
		require.ElementsMatch(t, want[-1], got[-1], "seed %d, cut at %d", seed, cut)
		delete(want, -1)
		delete(got, -1)
		require.Equal(t, want, got, "seed %d, cut at %d", seed, cut)
	}
}

// finish lets time pass and redrives until nothing is parked.
func finish(t testing.TB, e *headrace.Engine, clock *headracetest.Clock) {
	t.Helper()
	for len(e.Parked()) > 0 {
		clock.Advance(time.Hour)
		for _, p := range e.Parked() {
			if _, err := e.Redrive(limit(t), p.Handler, p.Sequence); err != nil {
				require.ErrorIs(t, err, headrace.ErrNotParked)
			}
		}
		settleLogic(t, e)
	}
}

// depositsIn returns the commands of a log, in order.
func depositsIn(t testing.TB, dir string) (all []deposit) {
	t.Helper()
	top := headrace.NewTopology(registry(t))
	handlers.Fold(top.Logic(), func(_ *handlers.Context, d deposit) error { all = append(all, d); return nil })
	_, err := headrace.Replay(dir, top, headrace.ReplayOptions{})
	require.NoError(t, err)
	return all
}

func TestFailure_RetriesUsedUp_Halt(t *testing.T) {
	dir := t.TempDir()
	o, clock := withClock(newYear)
	w := newWorks(t, &handlers.FailurePolicy{Retries: 1}, brokenOn(1))
	e, err := headrace.Open(dir, w.topology, o)
	require.NoError(t, err)
	seq := w.publish(t, e, 1, 1)
	settleLogic(t, e)
	require.NoError(t, e.Err())
	clock.Advance(time.Second)
	<-e.Halted()
	var he *handlers.HandlerError
	require.ErrorAs(t, e.Close(limit(t)), &he)
	require.Equal(t, seq, he.Sequence)
	require.ErrorIs(t, he, errBroken)

	w = newWorks(t, &handlers.FailurePolicy{Retries: 1}, nil)
	e, err = headrace.Open(dir, w.topology, o)
	require.NoError(t, err)
	closeEngine(t, e)
	require.Equal(t, map[int64][]int64{1: {1}}, w.state())
}

// A handler that is too late has not handled the event; its context tells it.
func TestFailure_Timeout(t *testing.T) {
	o, clock := withClock(newYear)
	policy := &handlers.FailurePolicy{Timeout: time.Second, Then: handlers.ThenDeadLetter}
	top := headrace.NewTopology(registry(t))
	began, woken := make(chan time.Time, 1), make(chan error, 1)
	handlers.Decide(top.Logic(), "slow", func(c *handlers.Context, d deposit) error {
		if d.Account == 0 {
			return handlers.Emit(c, deposited(d))
		}
		end, ok := c.Deadline()
		if !ok {
			return errors.New("no deadline")
		}
		began <- end
		<-c.Done()
		woken <- c.Err()
		return handlers.Emit(c, deposited(d))
	})
	top.Logic().OnFailure("slow", *policy)
	e, err := headrace.Open(t.TempDir(), top, o)
	require.NoError(t, err)
	publish(t, producer(t, e, "web"), deposit{Account: 1})
	require.Equal(t, newYear.Add(time.Second), <-began)
	clock.Advance(2 * time.Second)
	require.Error(t, <-woken)
	publish(t, producer(t, e, "web"), deposit{Account: 0})
	settleLogic(t, e)
	dead := e.DeadLetters()
	require.Len(t, dead, 1)
	require.Equal(t, handlers.ReasonTimeout, dead[0].Reason)
	closeEngine(t, e)
}

// A payload that the program cannot decode is a dead letter until the program can.
func TestFailure_Undecodable_RedrivenThroughTheUpcaster(t *testing.T) {
	dir := t.TempDir()
	build := func(version uint16, upcast bool) (*headrace.Topology, *[]string) {
		reg := event.NewRegistry()
		event.MustRegister[note](reg, "note", version)
		if upcast {
			require.NoError(t, reg.Upcast("note", 1, event.UpcastMap(func(m map[string]any) error {
				m["Text"] = fmt.Sprint(m["Text"], " lifted")
				return nil
			})))
		}
		top := headrace.NewTopology(reg)
		var seen []string
		handlers.Decide(top.Logic(), "reader", func(c *handlers.Context, n note) error { seen = append(seen, n.Text); return nil })
		top.Logic().OnFailure("reader", handlers.FailurePolicy{Then: handlers.ThenDeadLetter})
		return top, &seen
	}
	plain := event.NewRegistry()
	event.MustRegister[note](plain, "note", 1)
	e, err := headrace.Open(dir, headrace.NewTopology(plain), small())
	require.NoError(t, err)
	seq := publish(t, producer(t, e, "web"), note{"old"})
	closeEngine(t, e)

	top, seen := build(2, false)
	top.ReactFromStart("reader")
	o := small()
	o.AcceptSchema = true // there is no upcaster yet
	e, err = headrace.Open(dir, top, o)
	require.NoError(t, err)
	publish(t, producer(t, e, "web"), note{"new"})
	settleLogic(t, e)
	dead := e.DeadLetters()
	require.Len(t, dead, 1)
	require.Equal(t, seq, dead[0].Sequence)
	require.Equal(t, handlers.ReasonDecode, dead[0].Reason)
	closeEngine(t, e)
	require.Equal(t, []string{"new"}, *seen)

	top, seen = build(2, true)
	e, err = headrace.Open(dir, top, small())
	require.NoError(t, err)
	_, err = e.Redrive(limit(t), "reader", seq)
	require.NoError(t, err)
	closeEngine(t, e)
	require.Contains(t, *seen, "old lifted")
	require.Empty(t, e.Parked())
}

func TestFailure_Faults(t *testing.T) {
	top := headrace.NewTopology(registry(t))
	handlers.On(top.Logic(), "on", func(*handlers.Context, note) error { return nil })
	top.Logic().OnFailure("on", handlers.FailurePolicy{Then: handlers.ThenSkip})
	top.Logic().OnFailure("nobody", handlers.FailurePolicy{})
	handlers.Decide(top.Logic(), "a", func(*handlers.Context, note) error { return nil })
	top.Logic().OnFailure("a", handlers.FailurePolicy{Retries: -1})
	handlers.Decide(top.Logic(), "b", func(*handlers.Context, note) error { return nil })
	top.Logic().OnFailure("b", handlers.FailurePolicy{Backoff: handlers.Backoff{Factor: 0.5}})
	handlers.Decide(top.Logic(), "c", func(*handlers.Context, note) error { return nil })
	top.Logic().OnFailure("c", handlers.FailurePolicy{Timeout: -1})
	early := top.Lane("early", headrace.LaneOptions{Behind: headrace.Published})
	handlers.Decide(early, "d", func(*handlers.Context, note) error { return nil })
	early.OnFailure("d", handlers.FailurePolicy{Then: handlers.ThenSkip})
	_, err := headrace.Open(t.TempDir(), top, small())
	for _, want := range []string{`"on"`, `"nobody"`, "Retries = -1", "Factor = 0.5", "Timeout", `"d"): the lane does not stand behind`} {
		require.ErrorContains(t, err, want)
	}
}

// Each retry waits longer than the one before, and none longer than Max.
func TestFailure_Backoff_UpToMax(t *testing.T) {
	o, clock := withClock(newYear)
	policy := handlers.FailurePolicy{Retries: 9, Backoff: handlers.Backoff{First: time.Second, Factor: 4, Max: 10 * time.Second}, Then: handlers.ThenSkip}
	w := newWorks(t, &policy, brokenOn(1))
	e, err := headrace.Open(t.TempDir(), w.topology, o)
	require.NoError(t, err)
	w.publish(t, e, 1, 1)
	for _, want := range []time.Duration{1, 4, 10, 10} {
		require.NoError(t, e.WaitIdle(limit(t)))
		parked := e.Parked()
		require.Len(t, parked, 1)
		require.Equal(t, want*time.Second, parked[0].RetryAt.Sub(clock.Now()))
		clock.Set(parked[0].RetryAt)
	}
	require.NoError(t, e.WaitIdle(limit(t)))
	closeEngine(t, e)
}
