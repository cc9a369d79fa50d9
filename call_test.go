package headrace_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/journal"
)

func TestCall_AnswerIsWritten(t *testing.T) {
	a := newApp(t)
	e := open(t, t.TempDir(), a, small())
	defer closeEngine(t, e)
	p := producer(t, e, "p")
	r, err := headrace.Call[deposited](limit(t), p, deposit{1, 7}, headrace.Meta{})
	require.NoError(t, err)
	require.Equal(t, deposited{1, 7}, r.Value)
	require.Greater(t, r.Sequence, r.Command)
	require.GreaterOrEqual(t, e.Written(), r.Sequence)
	require.NoError(t, a.bank.WaitFor(limit(t), r.Sequence))
	b, _ := a.state()
	require.Equal(t, int64(7), b.Balance[1])
}

// TestCall_AgainWithTheSameID finds the answer in the log, also after a restart, and publishes nothing.
func TestCall_AgainWithTheSameID(t *testing.T) {
	dir, id := t.TempDir(), event.NewID()
	call := func() headrace.Reply[deposited] {
		a := newApp(t)
		e := open(t, dir, a, small())
		defer closeEngine(t, e)
		p := producer(t, e, "p")
		var first headrace.Reply[deposited]
		for i := range 2 {
			r, err := headrace.Call[deposited](limit(t), p, deposit{1, 7}, headrace.Meta{ID: id})
			require.NoError(t, err)
			if i == 0 {
				first = r
			}
			require.Equal(t, first, r)
		}
		b, _ := a.state()
		require.LessOrEqual(t, b.Answers, 1)
		return first
	}
	require.Equal(t, call(), call())
}

func TestCall_Rejected(t *testing.T) {
	dir, id := t.TempDir(), event.NewID()
	for range 2 {
		a := newAppWith(t, func(c *handlers.Context, d deposit) error {
			return handlers.Reject(c, "closed", "the bank is closed")
		})
		e := open(t, dir, a, small())
		_, err := headrace.Call[deposited](limit(t), producer(t, e, "p"), deposit{1, 7}, headrace.Meta{ID: id})
		var r *headrace.RejectedError
		require.ErrorAs(t, err, &r)
		require.Equal(t, "closed", r.Code)
		require.ErrorContains(t, err, "the bank is closed")
		closeEngine(t, e)
	}
}

func TestReject_WithoutACode_FailsTheHandler(t *testing.T) {
	a := newAppWith(t, func(c *handlers.Context, d deposit) error {
		_ = handlers.Reject(c, "", "no")
		return nil
	})
	e := open(t, t.TempDir(), a, small())
	_, err := headrace.Call[deposited](limit(t), producer(t, e, "p"), deposit{1, 7}, headrace.Meta{})
	require.ErrorIs(t, err, headrace.ErrHalted)
	require.ErrorIs(t, err, handlers.ErrCode)
	require.Error(t, e.Close(limit(t)))
}

// TestCall_WithoutAnswer: the caller's context, the engine's end, and a second call for the same id.
func TestCall_WithoutAnswer(t *testing.T) {
	handled := make(chan struct{}, 8)
	a := newAppWith(t, func(c *handlers.Context, d deposit) error {
		handled <- struct{}{}
		return nil
	})
	e := open(t, t.TempDir(), a, small())
	p := producer(t, e, "p")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	id := event.NewID()
	go func() {
		_, err := headrace.Call[deposited](ctx, p, deposit{1, 1}, headrace.Meta{ID: id})
		ended <- err
	}()
	<-handled
	_, err := headrace.Call[deposited](limit(t), p, deposit{1, 1}, headrace.Meta{ID: id})
	require.ErrorIs(t, err, headrace.ErrCalling)
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)

	go func() {
		_, err := headrace.Call[deposited](context.Background(), p, deposit{1, 2}, headrace.Meta{})
		ended <- err
	}()
	<-handled
	closeEngine(t, e)
	require.ErrorIs(t, <-ended, headrace.ErrClosed)

	_, err = headrace.Call[deposited](limit(t), p, deposit{1, 2}, headrace.Meta{})
	require.ErrorIs(t, err, headrace.ErrClosed)
	type stranger struct{}
	_, err = headrace.Call[stranger](limit(t), p, deposit{1, 2}, headrace.Meta{})
	require.ErrorIs(t, err, event.ErrUnregistered)
}

func TestCall_InsideAHandler_IsRefused(t *testing.T) {
	var e *headrace.Engine
	var p *headrace.Producer
	opened := make(chan struct{})
	got := make(chan error, 2)
	a := newAppWith(t, func(c *handlers.Context, d deposit) error {
		<-opened
		_, err := headrace.Call[deposited](c, p, deposit{2, 2}, headrace.Meta{})
		got <- err
		_, err = headrace.Call[deposited](context.Background(), p, deposit{2, 2}, headrace.Meta{})
		got <- err
		return nil
	})
	e = open(t, t.TempDir(), a, small())
	p = producer(t, e, "p")
	close(opened)
	publish(t, p, deposit{1, 1})
	require.ErrorIs(t, <-got, headrace.ErrWouldDeadlock)
	require.ErrorIs(t, <-got, headrace.ErrWouldDeadlock)
	closeEngine(t, e)
}

func TestCall_HandlerFails_TellsTheOutcome(t *testing.T) {
	top := headrace.NewTopology(registry(t))
	handlers.Decide(top.Logic(), "teller", func(c *handlers.Context, d deposit) error { return errRefusing })
	top.Logic().OnFailure("teller", handlers.FailurePolicy{Then: handlers.ThenDeadLetter})
	e := open(t, t.TempDir(), app{topology: top}, small())
	defer closeEngine(t, e)
	_, err := headrace.Call[deposited](limit(t), producer(t, e, "p"), deposit{1, 7}, headrace.Meta{Key: "1"})
	var f *headrace.FailedError
	require.ErrorAs(t, err, &f)
	require.Equal(t, handlers.OutcomeDead, f.Outcome.Outcome)
	require.Equal(t, f.Command, f.Outcome.Cause)
	require.ErrorContains(t, err, errRefusing.Error())
}

// TestOpen_CommandWithTwoHandlers is refused, because it has two answers.
func TestOpen_CommandWithTwoHandlers(t *testing.T) {
	topology := func() *headrace.Topology {
		top := headrace.NewTopology(registry(t))
		handlers.On(top.Logic(), "one", func(c *handlers.Context, d deposit) error { return nil })
		handlers.Decide(top.Lane("other", headrace.LaneOptions{}), "two", func(c *handlers.Context, d deposit) error { return nil })
		handlers.Fold(top.Logic(), func(c *handlers.Context, d deposit) error { return nil })
		return top
	}
	_, err := headrace.Open(t.TempDir(), topology(), small())
	require.ErrorIs(t, err, headrace.ErrTopology)
	require.ErrorContains(t, err, `"bank.deposit"`)
	require.ErrorContains(t, err, `2 handlers, "one" and "two"`)
	top := topology()
	top.AnsweredByMany("bank.deposit")
	closeEngine(t, open(t, t.TempDir(), app{topology: top}, small()))
}

// A command whose answer was given up with the beginning of the log is known, not done again, and said to be so.
func TestCall_AgainWhenTheAnswerWasTrimmed(t *testing.T) {
	dir := t.TempDir()
	o := small()
	ids := []event.ID{event.NewID(), event.NewID()}
	e, s := openCounted(t, dir, o)
	p := producer(t, e, "web")
	reply, err := headrace.Call[deposited](limit(t), p, deposit{1, 7}, headrace.Meta{ID: ids[0]})
	require.NoError(t, err)
	append := func() (headrace.Appended, error) {
		return p.Append(limit(t), "notes", headrace.ExpectAny, headrace.Message{Value: note{"x"}, Meta: headrace.Meta{ID: ids[1]}})
	}
	_, err = append()
	require.NoError(t, err)
	for range 2 {
		for i := range int64(700) {
			publish(t, p, deposit{2, i})
		}
		take(t, e)
	}
	_, err = e.Trim(headrace.Retention{MaxBytes: 1})
	require.NoError(t, err)
	events := 0
	s.View(func(s *till, _ int64) { events = s.Events })
	for range 2 {
		var gone *headrace.TrimmedError
		_, err = headrace.Call[deposited](limit(t), p, deposit{1, 7}, headrace.Meta{ID: ids[0]})
		require.ErrorAs(t, err, &gone)
		require.Equal(t, reply.Command, gone.Sequence)
		first, ferr := firstOf(dir)
		require.NoError(t, ferr)
		require.Equal(t, first, gone.First)
		require.ErrorIs(t, err, journal.ErrOutOfRange)
		_, err = append()
		require.ErrorAs(t, err, &gone)
		require.Greater(t, gone.Sequence, reply.Command)
		s.View(func(s *till, _ int64) { require.Equal(t, events, s.Events) })
		closeEngine(t, e)
		e, s = openCounted(t, dir, o)
		p = producer(t, e, "web")
	}
	closeEngine(t, e)
}
