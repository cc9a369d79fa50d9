package headrace_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/journal"
)

func deposits(amounts ...int64) []headrace.Message {
	var all []headrace.Message
	for _, a := range amounts {
		all = append(all, headrace.Message{Value: deposit{1, a}})
	}
	return all
}

// TestPublishBatch_IsOnePiece: batches of several goroutines never interleave, and their flags say where
// each ends.
func TestPublishBatch_IsOnePiece(t *testing.T) {
	dir, a := t.TempDir(), newAppWith(t, nil)
	e := open(t, dir, a, small())
	const writers, rounds = 4, 200
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			p, err := e.Producer(fmt.Sprint(w))
			if err != nil {
				t.Error(err)
				return
			}
			for r := range rounds {
				size := 1 + (r+w)%7
				messages := make([]headrace.Message, size)
				for i := range messages {
					messages[i] = headrace.Message{Value: &deposit{int64(size), int64(i)}, Meta: headrace.Meta{Key: fmt.Sprint(w, "-", r)}}
				}
				if _, err := p.PublishBatch(limit(t), messages); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	closeEngine(t, e)

	batches := 0
	var key string
	var run int
	for _, l := range readLog(t, dir) {
		if l.kind != journal.KindEvent || l.header.Key == "" {
			continue
		}
		if run == 0 {
			key, batches = l.header.Key, batches+1
		}
		require.Equal(t, key, l.header.Key, "event %d", l.seq)
		run++
		if l.flags&journal.FlagBatch == 0 {
			run = 0
		}
	}
	require.Equal(t, writers*rounds, batches)
	require.Zero(t, run)
}

// TestPublishBatch_AnErrorLeavesNothing whichever message it is about.
func TestPublishBatch_AnErrorLeavesNothing(t *testing.T) {
	dir, a := t.TempDir(), newApp(t)
	e := open(t, dir, a, small())
	p := producer(t, e, "p")
	id := event.NewID()
	for i := range 3 {
		messages := deposits(1, 2, 3)
		messages[0].Meta.ID = id
		messages[i].Value = refusing{Panic: i == 1}
		_, err := p.PublishBatch(limit(t), messages)
		var encode *event.EncodeError
		require.ErrorAs(t, err, &encode)
		require.ErrorContains(t, err, fmt.Sprintf("message %d of 3", i))
	}
	_, err := p.PublishBatch(limit(t), nil)
	require.ErrorIs(t, err, headrace.ErrEmptyBatch)
	_, err = p.PublishBatch(limit(t), make([]headrace.Message, 65))
	require.ErrorIs(t, err, handlers.ErrBatchTooLarge, "a quarter of 256 slots")
	_, err = p.PublishBatch(limit(t), []headrace.Message{{Value: "text"}})
	require.ErrorIs(t, err, event.ErrUnregistered)
	_, err = p.PublishBatch(limit(t), []headrace.Message{{Value: (*deposit)(nil)}, {}})
	require.ErrorIs(t, err, event.ErrUnregistered)
	big := make([]headrace.Message, 8)
	for i := range big {
		big[i].Value = note{Text: string(make([]byte, 8<<10))}
	}
	_, err = p.PublishBatch(limit(t), big)
	require.ErrorIs(t, err, handlers.ErrBatchTooLarge, "a segment of 64 KiB")

	messages := deposits(5, 6)
	messages[0].Meta.ID = id // the failed calls have not used it up
	_, err = p.PublishBatch(limit(t), messages)
	require.NoError(t, err)
	closeEngine(t, e)
	a.bank.View(func(b *bank, _ int64) { require.Equal(t, []int64{5, 6}, b.Order) })
}

func TestPublishBatch_Repeats(t *testing.T) {
	dir := t.TempDir()
	ids := []event.ID{event.NewID(), event.NewID(), event.NewID()}
	with := func(order ...int) []headrace.Message {
		var all []headrace.Message
		for _, i := range order {
			all = append(all, headrace.Message{Value: deposit{1, int64(i)}, Meta: headrace.Meta{ID: ids[i]}})
		}
		return all
	}
	a := newApp(t)
	e := open(t, dir, a, small())
	p := producer(t, e, "p")
	first, err := p.PublishBatch(limit(t), with(0, 1))
	require.NoError(t, err)
	again, err := p.PublishBatch(limit(t), with(0, 1))
	require.NoError(t, err)
	require.Equal(t, first, again)
	_, err = p.PublishBatch(limit(t), with(0, 2))
	require.ErrorIs(t, err, headrace.ErrPartialRepeat)
	_, err = p.PublishBatch(limit(t), append(with(0, 1), deposits(9)...))
	require.ErrorIs(t, err, headrace.ErrPartialRepeat)
	_, err = p.PublishBatch(limit(t), with(2, 2))
	require.ErrorIs(t, err, handlers.ErrIDConflict)
	_, err = p.PublishBatch(limit(t), []headrace.Message{{Value: note{}, Meta: headrace.Meta{ID: ids[0]}}, {Value: note{}}})
	require.ErrorIs(t, err, handlers.ErrIDConflict)
	closeEngine(t, e)

	a = newApp(t)
	e = open(t, dir, a, small())
	p = producer(t, e, "p")
	again, err = p.PublishBatch(limit(t), with(0, 1))
	require.NoError(t, err)
	require.Equal(t, first, again, "known from the log")
	_, err = p.PublishBatch(limit(t), with(2))
	require.NoError(t, err)
	closeEngine(t, e)
	a.bank.View(func(b *bank, _ int64) { require.Equal(t, []int64{0, 1, 2}, b.Order) })
}

// TestPublishBatch_SameIDsInAnotherOrder: callers that hold one of each other's ids would wait for ever.
func TestPublishBatch_SameIDsInAnotherOrder(t *testing.T) {
	a := newApp(t)
	e := open(t, t.TempDir(), a, small())
	p := producer(t, e, "p")
	for range 300 {
		x, y := event.NewID(), event.NewID()
		messages := []headrace.Message{{Value: deposit{1, 1}, Meta: headrace.Meta{ID: x}}, {Value: deposit{1, 2}, Meta: headrace.Meta{ID: y}}}
		turned := []headrace.Message{messages[1], messages[0]}
		var wg sync.WaitGroup
		for _, m := range [][]headrace.Message{messages, turned} {
			wg.Go(func() {
				if _, err := p.PublishBatch(limit(t), m); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	closeEngine(t, e)
	a.bank.View(func(b *bank, _ int64) { require.Equal(t, 600, b.Answers) })
}

// TestTryPublish_NeverWaits at a full ring, and publishes again when there is room.
func TestTryPublish_NeverWaits(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	var once sync.Once
	a := newAppWith(t, func(c *handlers.Context, d deposit) error {
		once.Do(func() { close(entered); <-leave })
		return nil
	})
	e := open(t, t.TempDir(), a, small())
	p := producer(t, e, "p")
	publish(t, p, deposit{1, 1})
	<-entered
	n := 0
	for {
		_, err := p.TryPublish(deposit{1, 1}, headrace.Meta{})
		if err != nil {
			require.ErrorIs(t, err, headrace.ErrWouldBlock)
			break
		}
		n++
	}
	require.Positive(t, n)
	require.Less(t, n, 256)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := p.Publish(ctx, deposit{1, 1}, headrace.Meta{})
	require.ErrorIs(t, err, context.Canceled)
	close(leave)
	require.NoError(t, e.WaitIdle(limit(t))) // each consumer has let go of the slots, not the first of them alone
	_, err = p.TryPublish(deposit{1, 1}, headrace.Meta{})
	require.NoError(t, err)
	closeEngine(t, e)
	_, err = p.TryPublish(deposit{1, 1}, headrace.Meta{})
	require.ErrorIs(t, err, headrace.ErrClosed)
	_, err = p.PublishBatch(limit(t), deposits(1))
	require.ErrorIs(t, err, headrace.ErrClosed)
}

// A deadline that passes while the ring is full: publishing gives up, and nothing of what it gave up is in the log.
func TestPublish_Deadline_RingIsFull(t *testing.T) {
	entered, leave := make(chan struct{}, 1), make(chan struct{})
	a := newAppWith(t, func(*handlers.Context, deposit) error {
		select {
		case entered <- struct{}{}:
		default:
		}
		<-leave
		return nil
	})
	dir := t.TempDir()
	e := open(t, dir, a, small())
	p := producer(t, e, "p")
	publish(t, p, deposit{1, 1})
	<-entered // from here on the lane makes no more room
	for {
		if _, err := p.TryPublish(deposit{1, 1}, headrace.Meta{}); err != nil {
			require.ErrorIs(t, err, headrace.ErrWouldBlock)
			break
		}
	}
	soon := func() context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		t.Cleanup(cancel)
		return ctx
	}
	one, many := event.NewID(), event.NewID()
	// Who does not look at the deadline waits for as long as the handler: it is let go after a minute.
	hung := time.AfterFunc(time.Minute, func() { close(leave) })
	_, err := p.Publish(soon(), deposit{1, 1}, headrace.Meta{ID: one})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	_, err = p.PublishBatch(soon(), []headrace.Message{{Value: deposit{1, 1}, Meta: headrace.Meta{ID: many}}})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.True(t, hung.Stop(), "it gave up at its deadline")
	close(leave)
	publish(t, p, deposit{1, 1}) // whoever has given up is in nobody's way
	closeEngine(t, e)
	for _, l := range readLog(t, dir) {
		require.NotContains(t, []event.ID{one, many}, l.header.ID)
	}
}
