package headrace_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
)

func TestPublish_SameID_OnceAlsoAfterReopen(t *testing.T) {
	dir := t.TempDir()
	a := newApp(t)
	e := open(t, dir, a, small())
	id := event.IDFromName("order 17")
	var wg sync.WaitGroup
	got := make([]int64, 16)
	for i := range got {
		p := producer(t, e, string(rune('a'+i)))
		wg.Go(func() {
			var err error
			if got[i], err = headrace.Publish(context.Background(), p, deposit{Amount: 17}, headrace.Meta{ID: id}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, seq := range got {
		require.Equal(t, got[0], seq)
	}
	require.EqualValues(t, len(got)-1, e.Stats().Duplicates)
	_, err := headrace.Publish(limit(t), producer(t, e, "a"), note{}, headrace.Meta{ID: id})
	require.ErrorIs(t, err, handlers.ErrIDConflict)

	failed := event.IDFromName("fails at first")
	_, err = headrace.Publish(limit(t), producer(t, e, "a"), note{strings.Repeat("x", 60<<10)}, headrace.Meta{ID: failed})
	require.ErrorIs(t, err, handlers.ErrTooLarge)
	again, err := headrace.Publish(limit(t), producer(t, e, "a"), note{"short"}, headrace.Meta{ID: failed})
	require.NoError(t, err, "a publish that failed may be tried again")
	require.Greater(t, again, got[0])
	closeEngine(t, e)

	b := newApp(t)
	e = open(t, dir, b, small())
	seq, err := headrace.Publish(limit(t), producer(t, e, "z"), deposit{Amount: 17}, headrace.Meta{ID: id})
	require.NoError(t, err)
	require.Equal(t, got[0], seq)
	closeEngine(t, e)
	state, _ := b.state()
	require.Equal(t, []int64{17}, state.Order)
}

func TestPublish_DedupWindow_ForgetsTheOldest(t *testing.T) {
	o := small()
	o.DedupWindow = 4
	e := open(t, t.TempDir(), newApp(t), o)
	p := producer(t, e, "web")
	pub := func(name string) int64 {
		seq, err := headrace.Publish(limit(t), p, deposit{}, headrace.Meta{ID: event.IDFromName(name)})
		require.NoError(t, err)
		return seq
	}
	first := pub("1")
	require.Equal(t, first, pub("1"))
	for _, n := range []string{"2", "3", "4", "5"} {
		pub(n)
	}
	require.NotEqual(t, first, pub("1"))
	closeEngine(t, e)
}

// A handler that makes eight of one, over a ring that is far too small for it, next to producers that never rest.
func TestEmit_FansOut_NoDeadlock(t *testing.T) {
	o := small()
	o.Slots = 64
	o.FeedbackBytes = 1 << 20
	top := headrace.NewTopology(registry(t))
	handlers.On(top.Logic(), "fan", func(c *handlers.Context, d deposit) error {
		if d.Account == 0 {
			return nil
		}
		for range 8 {
			if err := handlers.Emit(c, deposit{d.Account - 1, 1}); err != nil {
				return err
			}
		}
		return nil
	})
	count := handlers.NewProjection("count", new(int))
	handlers.Apply(count, func(n *int, _ *handlers.Context, d deposit) error { *n++; return nil })
	top.Project(count, headrace.LaneOptions{})
	e, err := headrace.Open(t.TempDir(), top, o)
	require.NoError(t, err)
	var wg sync.WaitGroup
	for _, name := range []string{"a", "b", "c"} {
		p := producer(t, e, name)
		wg.Go(func() {
			for range 100 {
				if _, err := headrace.Publish(limit(t), p, deposit{2, 1}, headrace.Meta{}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	closeEngine(t, e)
	count.View(func(n *int, _ int64) { require.Equal(t, 300*(1+8+64), *n) })
}

func TestEmit_Limits_HaltWithErrFeedbackFull(t *testing.T) {
	for name, teller := range map[string]func(*handlers.Context, deposit) error{
		"bytes": func(c *handlers.Context, d deposit) error {
			for range 60 {
				if err := handlers.Emit(c, note{strings.Repeat("x", 2000)}); err != nil {
					return err
				}
			}
			return nil
		},
		"depth": func(c *handlers.Context, d deposit) error { return handlers.Emit(c, d) },
	} {
		t.Run(name, func(t *testing.T) {
			o := small()
			o.FeedbackBytes, o.CascadeDepth = 64<<10, 50
			o.Journal.SegmentBytes = 1 << 20
			e := open(t, t.TempDir(), newAppWith(t, teller), o)
			publish(t, producer(t, e, "web"), deposit{})
			<-e.Halted()
			require.ErrorIs(t, e.Err(), handlers.ErrFeedbackFull)
			require.ErrorIs(t, e.Close(limit(t)), handlers.ErrFeedbackFull)
		})
	}
}

func TestEmit_WhereItMayNot(t *testing.T) {
	var kept *handlers.Context
	got := make(chan error, 2)
	top := headrace.NewTopology(registry(t))
	handlers.On(top.Logic(), "keeps its context", func(c *handlers.Context, d deposit) error { kept = c; return nil })
	p := handlers.NewProjection("reads", new(int))
	handlers.Apply(p, func(_ *int, c *handlers.Context, d deposit) error { got <- handlers.Emit(c, deposited{}); return nil })
	top.Project(p, headrace.LaneOptions{})
	e, err := headrace.Open(t.TempDir(), top, small())
	require.NoError(t, err)
	publish(t, producer(t, e, "web"), deposit{})
	require.ErrorIs(t, <-got, handlers.ErrReadOnly)
	closeEngine(t, e)
	require.ErrorIs(t, handlers.Emit(kept, deposited{}), handlers.ErrNotInHandler)
}

func TestEmit_EnvelopeContinuesTheCause(t *testing.T) {
	dir := t.TempDir()
	e := open(t, dir, newApp(t), small())
	corr := event.NewID()
	seq, err := headrace.Publish(limit(t), producer(t, e, "web"), deposit{}, headrace.Meta{Key: "account 1", CorrelationID: corr, Time: time.Unix(1, 2), Trace: publishTrace})
	require.NoError(t, err)
	bare := publish(t, producer(t, e, "web"), deposit{})
	closeEngine(t, e)
	byCause := map[int64]event.Header{}
	log := readLog(t, dir)
	for _, l := range log {
		if l.header.HasOrigin {
			byCause[l.header.Origin.Cause] = l.header
		}
	}
	cause := log[seq-1].header
	require.Equal(t, event.Command, cause.Kind)
	require.Equal(t, int64(1_000_000_002), cause.Time)
	answer := byCause[seq]
	require.Equal(t, corr, answer.CorrelationID)
	require.Equal(t, cause.ID, answer.CausationID)
	require.Equal(t, publishTrace, answer.Trace)
	require.Equal(t, "account 1", answer.Key)
	require.Equal(t, "teller", answer.Producer)
	require.Equal(t, event.Notification, answer.Kind)
	require.Equal(t, log[bare-1].header.ID, byCause[bare].CorrelationID)
}

// A handler that is new to a log, and one that answers more than before, leave the past alone.
func TestHandler_NewToTheLog(t *testing.T) {
	dir := t.TempDir()
	run := func(fromStart bool, register func(top *headrace.Topology)) (notes int) {
		top := headrace.NewTopology(registry(t))
		register(top)
		top.AnsweredByMany("bank.deposit")
		count := handlers.NewProjection("count", new(int))
		handlers.Apply(count, func(n *int, _ *handlers.Context, d note) error { *n++; return nil })
		top.Project(count, headrace.LaneOptions{})
		if fromStart {
			top.ReactFromStart("second")
		}
		e, err := headrace.Open(dir, top, small())
		require.NoError(t, err)
		publish(t, producer(t, e, "web"), deposit{})
		closeEngine(t, e)
		count.View(func(n *int, _ int64) { notes = *n })
		return notes
	}
	answer := func(c *handlers.Context, d deposit) error { return handlers.Emit(c, note{}) }
	silent := func(c *handlers.Context, d deposit) error { return nil }

	handlersOf := func(fns map[string]func(*handlers.Context, deposit) error) func(*headrace.Topology) {
		return func(top *headrace.Topology) {
			for _, id := range []string{"first", "second"} {
				if fn := fns[id]; fn != nil {
					handlers.On(top.Logic(), id, fn)
				}
			}
		}
	}
	type fns = map[string]func(*handlers.Context, deposit) error
	require.Equal(t, 0, run(false, handlersOf(fns{"first": silent})))
	require.Equal(t, 1, run(false, handlersOf(fns{"first": answer})), "now answers, but not the past")
	require.Equal(t, 2, run(false, handlersOf(fns{"first": answer})), "nothing twice")
	require.Equal(t, 2+3+2, run(true, handlersOf(fns{"first": answer, "second": answer})), "the second answers the past too")
	require.Equal(t, 7+2, run(true, handlersOf(fns{"first": answer, "second": answer})), "and not again")
}

func TestContext_TimeAndRandomness_AreReplayed(t *testing.T) {
	dir := t.TempDir()
	type drawn struct {
		at time.Time
		n  uint64
	}
	run := func() []drawn {
		var all []drawn
		a := newAppWith(t, func(c *handlers.Context, d deposit) error {
			all = append(all, drawn{c.Time(), c.Rand().Uint64()})
			return nil
		})
		e := open(t, dir, a, small())
		for range 100 {
			publish(t, producer(t, e, "web"), deposit{})
		}
		closeEngine(t, e)
		return all
	}
	first := run()
	second := run()
	require.Equal(t, first, second[:100])
	require.NotEqual(t, first[0].n, first[1].n)
	for i := 1; i < len(second); i++ {
		require.False(t, second[i].at.Before(second[i-1].at))
	}
}
