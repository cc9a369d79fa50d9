package headrace_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
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

// outside is the party that the tests' effect calls for deposits.
type outside struct {
	topology *headrace.Topology
	effect   *handlers.Effect
	done     *handlers.Projection[map[int64][]int64] // amounts answered, by account

	mu    sync.Mutex
	keys  map[string]int // calls by idempotency key
	order []int64        // amounts in the order of the calls
}

// newOutside has fn called for each deposit; a nil one reports it.
func newOutside(t testing.TB, o handlers.EffectOptions, gate headrace.Gate, fn func(*handlers.EffectContext, deposit) error) *outside {
	t.Helper()
	w := &outside{topology: headrace.NewTopology(registry(t)), keys: map[string]int{}}
	w.effect = handlers.NewEffect("outside", func(c *handlers.EffectContext, d deposit) error {
		w.mu.Lock()
		w.keys[c.IdempotencyKey()]++
		w.order = append(w.order, d.Amount)
		w.mu.Unlock()
		if fn != nil {
			return fn(c, d)
		}
		return handlers.Report(c, deposited(d))
	}, o)
	w.topology.Effect(w.effect, headrace.LaneOptions{Behind: gate})
	w.done = handlers.NewProjection("done", &map[int64][]int64{})
	handlers.Apply(w.done, func(m *map[int64][]int64, _ *handlers.Context, d deposited) error {
		(*m)[d.Account] = append((*m)[d.Account], d.Amount)
		return nil
	})
	w.topology.Project(w.done, headrace.LaneOptions{})
	return w
}

func (w *outside) state() map[int64][]int64 {
	got := map[int64][]int64{}
	w.done.View(func(m *map[int64][]int64, _ int64) {
		for k, v := range *m {
			got[k] = append([]int64(nil), v...)
		}
	})
	return got
}

func (w *outside) calls() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.order)
}

func (w *outside) open(t testing.TB, dir string, o headrace.Options) *headrace.Engine {
	t.Helper()
	e, err := headrace.Open(dir, w.topology, o)
	require.NoError(t, err)
	return e
}

func (w *outside) publish(t testing.TB, e *headrace.Engine, account, amount int64) int64 {
	t.Helper()
	m := headrace.Meta{Key: fmt.Sprint("account ", account)}
	if account < 0 {
		m.Key = ""
	}
	seq, err := headrace.Publish(limit(t), producer(t, e, "web"), deposit{account, amount}, m)
	require.NoError(t, err)
	return seq
}

// settle waits until every published event that can be called for is answered or parked, and what was answered is seen.
func (w *outside) settle(t testing.TB, e *headrace.Engine) {
	t.Helper()
	for {
		last := e.Stats().Ring.Cursor
		require.NoError(t, e.WaitFor(limit(t), "outside", last))
		require.NoError(t, w.effect.WaitIdle(limit(t)))
		settleLogic(t, e)
		require.NoError(t, w.done.WaitFor(limit(t), last))
		if e.Stats().Ring.Cursor == last {
			return
		}
	}
}

func deadLetters(retries int) handlers.EffectOptions {
	return handlers.EffectOptions{Failure: handlers.FailurePolicy{Retries: retries, Then: handlers.ThenDeadLetter}}
}

func TestEffect_AnswerStandsInTheLog(t *testing.T) {
	for name, gate := range map[string]headrace.Gate{"written": headrace.Written, "durable": headrace.Durable} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			var e *headrace.Engine
			var early error
			w := newOutside(t, handlers.EffectOptions{}, gate, func(c *handlers.EffectContext, d deposit) error {
				if gate == headrace.Durable && e.Durable() < c.Sequence() {
					early = fmt.Errorf("event %d called for, %d is durable", c.Sequence(), e.Durable())
				}
				return errors.Join(handlers.Report(c, deposited(d)), handlers.ReportWith(c, note{c.Key()}, handlers.EmitOptions{Key: "notes"}))
			})
			o := small()
			o.Journal.Durability = journal.Batch()
			e = w.open(t, dir, o)
			cause := w.publish(t, e, 1, 7)
			w.settle(t, e)
			closeEngine(t, e)
			require.NoError(t, early)
			require.Equal(t, map[int64][]int64{1: {7}}, w.state())

			log := readLog(t, dir)
			checkAnswersOf(t, log, cause, 2)
			var answer []logged
			for _, l := range log {
				if l.header.HasOrigin {
					answer = append(answer, l)
				}
			}
			require.Equal(t, "outside", answer[0].header.Producer)
			require.Equal(t, "account 1", answer[0].header.Key)
			require.Equal(t, "notes", answer[1].header.Key)
			require.Equal(t, log[cause-1].header.ID, answer[1].header.CorrelationID)
			require.NotZero(t, answer[0].flags&journal.FlagBatch, "one atomic batch")

			again := newOutside(t, handlers.EffectOptions{}, gate, nil)
			closeEngine(t, again.open(t, dir, o))
			require.Zero(t, again.calls())
			require.Equal(t, w.state(), again.state())
		})
	}
}

// checkAnswersOf checks ids and batch of the answer to a cause.
func checkAnswersOf(t *testing.T, log []logged, cause int64, n uint32) {
	t.Helper()
	var ordinal uint32
	for _, l := range log {
		h := l.header
		if !h.HasOrigin || h.Origin.Cause != cause {
			continue
		}
		require.Equal(t, ordinal, h.Origin.Ordinal)
		require.Equal(t, n, h.Origin.Outputs)
		require.Equal(t, log[cause-1].header.ID, h.CausationID)
		require.Equal(t, event.DeriveID(event.HandlerID("outside"), h.CausationID, ordinal), h.ID)
		ordinal++
	}
	require.Equal(t, n, ordinal)
}

// A call that reports nothing is done all the same, and so is one whose answer was the last thing before a close.
func TestEffect_ReportsNothing_IsDone(t *testing.T) {
	dir := t.TempDir()
	nothing := func(*handlers.EffectContext, deposit) error { return nil }
	w := newOutside(t, handlers.EffectOptions{}, headrace.Written, nothing)
	e := w.open(t, dir, small())
	cause := w.publish(t, e, -1, 7)
	w.settle(t, e)
	closeEngine(t, e)
	checkAnswersOf(t, readLog(t, dir), cause, 1)
	again := newOutside(t, handlers.EffectOptions{}, headrace.Written, nothing)
	closeEngine(t, again.open(t, dir, small()))
	require.Zero(t, again.calls())
}

func TestEffect_KeysAreCalledInOrder_OthersSideBySide(t *testing.T) {
	for name, unordered := range map[string]bool{"ordered": false, "unordered": true} {
		t.Run(name, func(t *testing.T) {
			began, let := make(chan int64, 10), make(chan struct{})
			w := newOutside(t, handlers.EffectOptions{Unordered: unordered}, headrace.Written, func(c *handlers.EffectContext, d deposit) error {
				began <- d.Amount
				<-let
				return handlers.Report(c, deposited(d))
			})
			e := w.open(t, t.TempDir(), small())
			w.publish(t, e, 1, 1)
			w.publish(t, e, 1, 2)
			last := w.publish(t, e, 2, 3)
			require.NoError(t, e.WaitFor(limit(t), "outside", last))
			got := map[int64]bool{<-began: true, <-began: true}
			if unordered {
				got[<-began] = true
				require.Equal(t, map[int64]bool{1: true, 2: true, 3: true}, got)
			} else {
				require.Equal(t, map[int64]bool{1: true, 3: true}, got)
				st := e.Stats().Effects[0]
				require.Equal(t, 2, st.Running)
				require.Equal(t, 1, st.Waiting)
			}
			close(let)
			w.settle(t, e)
			st := e.Stats().Effects[0]
			require.Equal(t, handlers.EffectStats{Name: "outside", LowWater: e.Written(), Calls: 3}, st)
			closeEngine(t, e)
			if !unordered {
				require.Equal(t, []int64{1, 2}, w.state()[1])
			}
		})
	}
}

// A call that runs when the process dies is made again, with the same key; one that was answered is not.
func TestEffect_Crash_OnlyTheUnansweredAreCalledAgain(t *testing.T) {
	dir := t.TempDir()
	let := make(chan struct{})
	w := newOutside(t, handlers.EffectOptions{Workers: 3}, headrace.Written, func(c *handlers.EffectContext, d deposit) error {
		if d.Amount%2 == 1 {
			<-let
		}
		return handlers.Report(c, deposited(d))
	})
	e := w.open(t, dir, small())
	for i := range int64(6) {
		w.publish(t, e, i, i)
	}
	// 1 and 3 hold two workers, 0, 2 and 4 pass, 5 takes the third.
	for i := int64(0); i < 6; i += 2 {
		await(t, func() bool { return len(w.state()[i]) == 1 })
	}
	await(t, func() bool { return w.calls() == 6 }) // that 4 is answered frees its worker a moment after it is seen
	require.NoError(t, e.WaitWritten(limit(t), e.Stats().Ring.Cursor))
	crashed := copyDir(t, dir)
	again := newOutside(t, handlers.EffectOptions{Workers: 3}, headrace.Written, nil)
	e2 := again.open(t, crashed, small())
	again.settle(t, e2)
	closeEngine(t, e2)
	require.ElementsMatch(t, []int64{1, 3, 5}, again.order)
	w.mu.Lock()
	for key := range again.keys {
		require.Contains(t, w.keys, key)
	}
	w.mu.Unlock()
	require.Len(t, again.state(), 6)
	close(let)
	closeEngine(t, e)
	require.Equal(t, again.state(), w.state())
}

func TestEffect_Failures(t *testing.T) {
	for name, c := range map[string]struct {
		fn     func(*handlers.EffectContext) error
		reason string
	}{
		"error":  {func(*handlers.EffectContext) error { return errBroken }, handlers.ReasonError},
		"panic":  {func(*handlers.EffectContext) error { panic("poison") }, handlers.ReasonPanic},
		"goexit": {func(*handlers.EffectContext) error { runtime.Goexit(); return nil }, handlers.ReasonPanic},
		"report": {func(c *handlers.EffectContext) error { _ = handlers.Report(c, refusing{}); return nil }, handlers.ReasonError},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			bad := func(ec *handlers.EffectContext, d deposit) error {
				if d.Account == 1 {
					return c.fn(ec)
				}
				return handlers.Report(ec, deposited(d))
			}
			w := newOutside(t, deadLetters(0), headrace.Written, bad)
			e := w.open(t, dir, small())
			poison := w.publish(t, e, 1, 1)
			w.publish(t, e, 1, 2)
			w.publish(t, e, 2, 3)
			w.settle(t, e)
			require.Equal(t, map[int64][]int64{2: {3}}, w.state())
			dead := e.DeadLetters()
			require.Len(t, dead, 1)
			require.Equal(t, poison, dead[0].Sequence)
			require.Equal(t, c.reason, dead[0].Reason)
			require.Equal(t, 1, dead[0].Waiting)
			closeEngine(t, e)

			shown := newOutside(t, deadLetters(0), headrace.Written, nil)
			_, err := headrace.Replay(dir, shown.topology, headrace.ReplayOptions{})
			require.NoError(t, err)
			require.Zero(t, shown.calls(), "a replay calls nobody")
			require.Equal(t, dead, shown.topology.Parked())

			fixed := newOutside(t, deadLetters(0), headrace.Written, nil)
			e = fixed.open(t, dir, small())
			_, err = e.Redrive(limit(t), "outside", poison)
			require.NoError(t, err)
			fixed.settle(t, e)
			require.Equal(t, map[int64][]int64{1: {1, 2}, 2: {3}}, fixed.state())
			require.Empty(t, e.Parked())
			for key := range fixed.keys {
				require.LessOrEqual(t, fixed.keys[key], 1)
			}
			closeEngine(t, e)
		})
	}
}

func TestEffect_Discard_LetsTheNextGo(t *testing.T) {
	w := newOutside(t, deadLetters(0), headrace.Written, func(c *handlers.EffectContext, d deposit) error {
		if d.Amount == 1 {
			return handlers.Permanent(errBroken)
		}
		return handlers.Report(c, deposited(d))
	})
	e := w.open(t, t.TempDir(), small())
	poison := w.publish(t, e, 1, 1)
	w.publish(t, e, 1, 2)
	w.settle(t, e)
	_, err := e.Discard(limit(t), "outside", poison)
	require.NoError(t, err)
	w.settle(t, e)
	require.Equal(t, map[int64][]int64{1: {2}}, w.state())
	_, err = e.Discard(limit(t), "outside", poison)
	require.ErrorIs(t, err, headrace.ErrNotParked)
	closeEngine(t, e)
}

// Retries wait in the log for the clock: across a crash, with the same key, up to the dead letter.
func TestEffect_Retries(t *testing.T) {
	dir := t.TempDir()
	clock := headracetest.NewClock(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
	o := small()
	o.Clock = clock
	var attempts []int
	fail := func(c *handlers.EffectContext, _ deposit) error {
		attempts = append(attempts, c.Attempt())
		return errBroken
	}
	w := newOutside(t, deadLetters(2), headrace.Written, fail)
	e := w.open(t, dir, o)
	cause := w.publish(t, e, 1, 1)
	w.settle(t, e)
	p := e.Parked()
	require.Len(t, p, 1)
	require.Equal(t, clock.Now().Add(time.Second), p[0].RetryAt)
	closeEngine(t, e)

	clock.Advance(time.Second)
	w2 := newOutside(t, deadLetters(2), headrace.Written, fail)
	e = w2.open(t, dir, o)
	await(t, func() bool { p := e.Parked(); return len(p) == 1 && p[0].Attempts == 2 })
	clock.Advance(2 * time.Second)
	await(t, func() bool { return len(e.DeadLetters()) == 1 })
	require.Equal(t, cause, e.DeadLetters()[0].Sequence)
	closeEngine(t, e)
	require.Equal(t, []int{1, 2, 3}, attempts)
	require.Len(t, w2.keys, 1)
	for key := range w.keys {
		require.Equal(t, 2, w2.keys[key])
	}
}

func TestEffect_Timeout(t *testing.T) {
	clock := headracetest.NewClock(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
	o := small()
	o.Clock = clock
	began := make(chan struct{})
	options := deadLetters(0)
	options.Failure.Timeout = time.Second
	w := newOutside(t, options, headrace.Written, func(c *handlers.EffectContext, d deposit) error {
		at, ok := c.Deadline()
		if !ok || !at.Equal(clock.Now().Add(time.Second)) {
			return handlers.Permanent(fmt.Errorf("deadline %v", at))
		}
		began <- struct{}{}
		<-c.Done()
		if d.Amount == 2 {
			return handlers.Report(c, deposited(d)) // late, and done
		}
		return c.Err()
	})
	e := w.open(t, t.TempDir(), o)
	w.publish(t, e, 1, 1)
	w.publish(t, e, 2, 2)
	<-began
	<-began
	clock.Advance(time.Second)
	w.settle(t, e)
	dead := e.DeadLetters()
	require.Len(t, dead, 1)
	require.Equal(t, handlers.ReasonTimeout, dead[0].Reason)
	require.Equal(t, map[int64][]int64{2: {2}}, w.state())
	closeEngine(t, e)
}

func TestEffect_Circuit(t *testing.T) {
	for name, fast := range map[string]bool{"waits": false, "fails fast": true} {
		t.Run(name, func(t *testing.T) {
			clock := headracetest.NewClock(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
			o := small()
			o.Clock = clock
			down := true
			options := deadLetters(0)
			options.Workers = 1
			options.Circuit = handlers.Circuit{Failures: 2, OpenFor: time.Minute, FailFast: fast}
			var w *outside
			w = newOutside(t, options, headrace.Written, func(c *handlers.EffectContext, d deposit) error {
				w.mu.Lock()
				defer w.mu.Unlock()
				if down {
					return errBroken
				}
				return handlers.Report(c, deposited(d))
			})
			e := w.open(t, t.TempDir(), o)
			for i := range int64(4) {
				w.publish(t, e, i, i)
			}
			require.NoError(t, e.WaitFor(limit(t), "outside", e.Stats().Ring.Cursor))
			open := func() bool { return e.Stats().Effects[0].Circuit == handlers.CircuitOpen }
			await(t, open)
			st := e.Stats().Effects[0]
			require.Equal(t, clock.Now().Add(time.Minute), st.Until)
			require.EqualValues(t, 1, st.Openings)
			if fast {
				w.settle(t, e)
				require.Equal(t, 2, w.calls())
				dead := e.DeadLetters()
				require.Len(t, dead, 4)
				require.Equal(t, handlers.ReasonCircuit, dead[3].Reason)
				closeEngine(t, e)
				return
			}
			require.Equal(t, 2, w.calls())
			require.Equal(t, 2, st.Waiting)
			clock.Advance(time.Minute) // half-open: one probe, which fails
			await(t, func() bool { return e.Stats().Effects[0].Openings == 2 })
			require.Equal(t, 3, w.calls())
			w.mu.Lock()
			down = false
			w.mu.Unlock()
			clock.Advance(time.Minute)
			w.settle(t, e)
			require.Equal(t, handlers.CircuitClosed, e.Stats().Effects[0].Circuit)
			require.Len(t, e.DeadLetters(), 3)
			require.Equal(t, map[int64][]int64{3: {3}}, w.state())
			closeEngine(t, e)
		})
	}
}

// Who learns that a call has failed finds the circuit open already: no answer gets into the log, to let the worker go
// on, before the call is counted.
func TestEffect_Circuit_CountsACallBeforeItIsAnswered(t *testing.T) {
	var e *headrace.Engine
	var circuits []string
	o := small()
	o.Logger = slog.New(saysWhen{
		"headrace: event is a dead letter; it holds up its key until somebody redrives or discards it",
		func() { circuits = append(circuits, e.Stats().Effects[0].Circuit) },
	})
	options := deadLetters(0)
	options.Workers = 1
	options.Circuit = handlers.Circuit{Failures: 2, OpenFor: time.Hour, FailFast: true}
	w := newOutside(t, options, headrace.Written, func(*handlers.EffectContext, deposit) error { return errBroken })
	e = w.open(t, t.TempDir(), o)
	for i := range int64(3) {
		w.publish(t, e, i, i)
	}
	w.settle(t, e)
	closeEngine(t, e)
	require.Equal(t, []string{handlers.CircuitClosed, handlers.CircuitOpen, handlers.CircuitOpen}, circuits)
}

// While too much waits for a party outside, producers outside wait, and nobody else: a ring's worth of other events passes.
func TestEffect_Backpressure(t *testing.T) {
	let := make(chan struct{})
	var p *headrace.Producer
	w := newOutside(t, handlers.EffectOptions{Workers: 1, MaxWaiting: 3}, headrace.Written, func(c *handlers.EffectContext, d deposit) error {
		<-let
		if _, err := headrace.Publish(c, p, note{"from a call"}, headrace.Meta{}); err != nil {
			return err
		}
		return handlers.Report(c, deposited(d))
	})
	handlers.Decide(w.topology.Logic(), "many", func(c *handlers.Context, n note) error {
		for i := range 50 {
			if n.Text != "many" {
				return nil
			}
			if err := handlers.EmitWith(c, deposit{int64(i), 1}, handlers.EmitOptions{Key: fmt.Sprint(i)}); err != nil {
				return err
			}
		}
		return nil
	})
	e := w.open(t, t.TempDir(), small())
	p = producer(t, e, "web")
	var batch []headrace.Message
	for range 20 {
		batch = append(batch, headrace.Message{Value: note{"many"}})
	}
	_, err := p.PublishBatch(limit(t), batch) // a handler makes 1,000 causes of it, in a ring of 256
	require.NoError(t, err)
	for last := int64(0); e.Stats().FeedbackBytes > 0 || e.Stats().Ring.Cursor != last; { // the call is under way all the while
		last = e.Stats().Ring.Cursor
		require.NoError(t, e.WaitFor(limit(t), "logic", last))
	}
	require.NoError(t, e.WaitFor(limit(t), "outside", e.Stats().Ring.Cursor))
	st := e.Stats().Effects[0]
	require.Equal(t, 999, st.Waiting)
	require.Equal(t, 1, st.Running)
	_, err = p.TryPublish(note{"x"}, headrace.Meta{})
	require.ErrorIs(t, err, headrace.ErrWouldBlock)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = headrace.Publish(ctx, p, note{"x"}, headrace.Meta{})
	require.ErrorIs(t, err, context.Canceled)
	waits := make(chan error)
	go func() {
		_, err := headrace.Publish(limit(t), p, note{"x"}, headrace.Meta{})
		waits <- err
	}()
	close(let)
	require.NoError(t, <-waits)
	w.settle(t, e)
	closeEngine(t, e)
	require.Len(t, w.state(), 50)
	require.Len(t, w.state()[7], 20)
}

func TestEffect_Close_WaitsForCalls_OrCancelsThem(t *testing.T) {
	dir := t.TempDir()
	began, let := make(chan struct{}), make(chan struct{})
	w := newOutside(t, handlers.EffectOptions{Workers: 1}, headrace.Written, func(c *handlers.EffectContext, d deposit) error {
		began <- struct{}{}
		select {
		case <-let:
			return handlers.Report(c, deposited(d))
		case <-c.Done():
			return c.Err()
		}
	})
	e := w.open(t, dir, small())
	w.publish(t, e, 1, 1)
	w.publish(t, e, 2, 2) // waits, and stays owed
	<-began
	closed := make(chan error)
	go func() { closed <- e.Close(limit(t)) }()
	p := producer(t, e, "web")
	await(t, func() bool {
		_, err := p.TryPublish(note{}, headrace.Meta{})
		return errors.Is(err, headrace.ErrClosed)
	})
	close(let)
	require.NoError(t, <-closed)
	require.Equal(t, map[int64][]int64{1: {1}}, w.state())

	w = newOutside(t, handlers.EffectOptions{}, headrace.Written, func(c *handlers.EffectContext, d deposit) error {
		began <- struct{}{}
		<-c.Done()
		return c.Err()
	})
	e = w.open(t, dir, small())
	<-began
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	err := e.Close(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, `"outside"`)

	w = newOutside(t, handlers.EffectOptions{}, headrace.Written, nil)
	e = w.open(t, dir, small())
	w.settle(t, e)
	require.Equal(t, map[int64][]int64{1: {1}, 2: {2}}, w.state())
	closeEngine(t, e)
}

func TestEffect_ZeroPolicy_Halts(t *testing.T) {
	dir := t.TempDir()
	w := newOutside(t, handlers.EffectOptions{}, headrace.Written, func(*handlers.EffectContext, deposit) error { return errBroken })
	e := w.open(t, dir, small())
	seq := w.publish(t, e, 1, 1)
	<-e.Halted()
	err := e.Close(limit(t))
	require.ErrorIs(t, err, errBroken)
	var he *handlers.HandlerError
	require.ErrorAs(t, err, &he)
	require.Equal(t, seq, he.Sequence)
	require.Equal(t, "outside", he.Handler)
	fixed := newOutside(t, handlers.EffectOptions{}, headrace.Written, nil)
	e = fixed.open(t, dir, small())
	fixed.settle(t, e)
	require.Equal(t, map[int64][]int64{1: {1}}, fixed.state())
	closeEngine(t, e)
}

func TestEffect_New_LeavesThePastAlone(t *testing.T) {
	dir := t.TempDir()
	a := newAppWith(t, nil)
	e := open(t, dir, a, small())
	publish(t, producer(t, e, "web"), deposit{1, 1})
	closeEngine(t, e)
	for name, fromStart := range map[string]bool{"from now": false, "from the start": true} {
		t.Run(name, func(t *testing.T) {
			dir := copyDir(t, dir)
			w := newOutside(t, handlers.EffectOptions{}, headrace.Written, nil)
			if fromStart {
				w.topology.ReactFromStart("outside")
			}
			e := w.open(t, dir, small())
			w.publish(t, e, 2, 2)
			w.settle(t, e)
			closeEngine(t, e)
			want := map[int64][]int64{2: {2}}
			if fromStart {
				want[1] = []int64{1}
			}
			require.Equal(t, want, w.state())
		})
	}
}

func TestEffect_Faults(t *testing.T) {
	fn := func(*handlers.EffectContext, deposit) error { return nil }
	for name, c := range map[string]struct {
		add  func(top *headrace.Topology)
		says string
	}{
		"no name": {func(top *headrace.Topology) {
			top.Effect(handlers.NewEffect("", fn, handlers.EffectOptions{}), headrace.LaneOptions{})
		}, `lane name ""`},
		"no function": {func(top *headrace.Topology) {
			top.Effect(handlers.NewEffect[deposit]("x", nil, handlers.EffectOptions{}), headrace.LaneOptions{})
		}, "calls nothing"},
		"no type": {func(top *headrace.Topology) {
			top.Effect(handlers.NewEffect("x", func(*handlers.EffectContext, int) error { return nil }, handlers.EffectOptions{}), headrace.LaneOptions{})
		}, "not registered"},
		"published": {func(top *headrace.Topology) {
			top.Effect(handlers.NewEffect("x", fn, handlers.EffectOptions{}), headrace.LaneOptions{Behind: headrace.Published})
		}, "does not stand behind the journal"},
		"options": {func(top *headrace.Topology) {
			top.Effect(handlers.NewEffect("x", fn, handlers.EffectOptions{Workers: -1, MaxWaiting: -1, Circuit: handlers.Circuit{Failures: -1}, Failure: handlers.FailurePolicy{Retries: -1}}), headrace.LaneOptions{})
		}, "Workers"},
		"two that answer": {func(top *headrace.Topology) {
			top.Effect(handlers.NewEffect("x", fn, handlers.EffectOptions{}), headrace.LaneOptions{})
			top.Effect(handlers.NewEffect("y", fn, handlers.EffectOptions{}), headrace.LaneOptions{})
		}, "answered by 2 handlers"},
		"one name": {func(top *headrace.Topology) {
			top.Effect(handlers.NewEffect("x", fn, handlers.EffectOptions{}), headrace.LaneOptions{})
			top.Effect(handlers.NewEffect("x", fn, handlers.EffectOptions{}), headrace.LaneOptions{})
		}, `two lanes are named "x"`},
	} {
		t.Run(name, func(t *testing.T) {
			top := headrace.NewTopology(registry(t))
			c.add(top)
			_, err := headrace.Open(t.TempDir(), top, small())
			require.ErrorContains(t, err, c.says)
		})
	}
	t.Run("another type under the name", func(t *testing.T) {
		dir := t.TempDir()
		w := newOutside(t, handlers.EffectOptions{}, headrace.Written, nil)
		closeEngine(t, w.open(t, dir, small()))
		top := headrace.NewTopology(registry(t))
		top.Effect(handlers.NewEffect("outside", func(*handlers.EffectContext, note) error { return nil }, handlers.EffectOptions{}), headrace.LaneOptions{})
		_, err := headrace.Open(dir, top, small())
		require.ErrorIs(t, err, headrace.ErrTopology)
		require.ErrorContains(t, err, "bank.deposit")
	})
}

// Permanent says that no attempt will mend it: there is no retry, and for the circuit the party has answered.
func TestEffect_Permanent(t *testing.T) {
	w := newOutside(t, handlers.EffectOptions{
		Failure: handlers.FailurePolicy{Retries: 5, Then: handlers.ThenDeadLetter}, Circuit: handlers.Circuit{Failures: 1},
	}, headrace.Written, func(*handlers.EffectContext, deposit) error { return handlers.Permanent(errBroken) })
	o, _ := withClock(newYear)
	e := w.open(t, t.TempDir(), o)
	for range 3 {
		publish(t, producer(t, e, "web"), deposit{})
	}
	require.NoError(t, e.WaitIdle(limit(t)))
	require.Equal(t, 3, w.calls())
	dead := e.DeadLetters()
	require.Len(t, dead, 3)
	require.Equal(t, 1, dead[0].Attempts)
	require.Equal(t, handlers.CircuitClosed, w.effect.Stats().Circuit)
	closeEngine(t, e)
}

// What a call leaves running reports nothing any more when it has returned.
func TestEffect_ReportAfterTheCall(t *testing.T) {
	kept := make(chan *handlers.EffectContext, 1)
	w := newOutside(t, handlers.EffectOptions{}, headrace.Written, func(c *handlers.EffectContext, _ deposit) error {
		kept <- c
		return nil
	})
	e := w.open(t, t.TempDir(), small())
	publish(t, producer(t, e, "web"), deposit{})
	require.NoError(t, e.WaitIdle(limit(t)))
	require.ErrorIs(t, handlers.Report(<-kept, deposited{}), handlers.ErrNotInHandler)
	closeEngine(t, e)
	require.Empty(t, w.state())
}
