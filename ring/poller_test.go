package ring

import (
	"context"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPoller_EveryEventInOrder(t *testing.T) {
	both(t, func(t *testing.T, mk maker) {
		r := mk(Options{Slots: 8})
		up := mustConsume(t, r, "up", ignore, ConsumerOptions{})
		p, err := r.Poller("p", ConsumerOptions{After: []*Consumer{up}})
		require.NoError(t, err)
		w := &witness{after: []*Consumer{up}}
		down, err := r.Consume("down", w, ConsumerOptions{After: []*Consumer{p.Consumer()}})
		require.NoError(t, err)
		require.NoError(t, r.Start())
		go func() {
			for n := range 3000 {
				hi, err := r.Claim(2)
				if err != nil {
					t.Error(err)
					return
				}
				*r.Slot(hi - 1), *r.Slot(hi) = hi-1, hi
				if n%5 == 0 {
					r.Abort(hi-1, hi)
				} else {
					r.Publish(hi-1, hi)
				}
			}
			if err := r.Close(within(t)); err != nil {
				t.Error(err)
			}
		}()
		last, events, spans := int64(0), 0, int64(0)
		for turn := 0; ; turn++ {
			if turn%2 == 0 {
				require.NoError(t, p.Wait(within(t)))
			}
			first, span, err := p.Poll(1 + turn%3)
			if err != nil {
				require.ErrorIs(t, err, ErrClosed)
				break
			}
			require.LessOrEqual(t, len(span), 1+turn%3)
			if len(span) == 0 {
				runtime.Gosched()
				continue
			}
			require.Greater(t, first, last)
			for i, v := range span {
				require.Equal(t, first+int64(i), v)
				last = v
				require.NotZero(t, (v-1)/2%5, "aborted")
			}
			events += len(span)
			spans++
			require.Less(t, p.Cursor(), first, "not handled before the next call")
			require.LessOrEqual(t, down.Cursor(), p.Cursor())
		}
		require.Equal(t, 4800, events)
		for _, n := range r.Stats().Consumers[1].Batches {
			spans -= n
		}
		require.Zero(t, spans, "each span is counted")
		<-r.Done()
		require.Equal(t, int64(6000), down.Cursor())
		_, _, err = p.Poll(1)
		require.ErrorIs(t, err, ErrClosed)
		require.ErrorIs(t, p.Err(), ErrClosed)
		require.NoError(t, p.Wait(within(t)))
	})
}

func TestPoller_GatesTheProducer(t *testing.T) {
	both(t, func(t *testing.T, mk maker) {
		r := mk(Options{Slots: 4})
		p, err := r.Poller("p", ConsumerOptions{})
		require.NoError(t, err)
		require.NoError(t, r.Start())
		publish(t, r, 4)
		first, span, err := p.Poll(2)
		require.NoError(t, err)
		require.Equal(t, int64(1), first)
		require.Len(t, span, 1, "MaxBatch is an eighth of the ring, at least 1")
		_, err = r.TryClaim(1)
		require.ErrorIs(t, err, ErrFull)
		p.Release(1)
		publish(t, r, 1)
		_, _, err = p.Poll(2)
		require.NoError(t, err)
		_, err = r.TryClaim(1)
		require.ErrorIs(t, err, ErrFull)
		require.ErrorIs(t, p.Leave(), ErrLastConsumer)
		closed, cancel := context.WithCancel(within(t))
		cancel()
		var d *DrainError
		require.ErrorAs(t, r.Close(closed), &d)
		require.Equal(t, "p", d.Late[0].Name)
		for err = nil; err == nil; {
			_, _, err = p.Poll(4)
		}
		require.ErrorIs(t, err, ErrClosed)
		require.NoError(t, r.Close(within(t)))
		require.Equal(t, int64(5), p.Cursor())
	})
}

func TestPoller_Iterators(t *testing.T) {
	both(t, func(t *testing.T, mk maker) {
		ctx := within(t)
		r := mk(Options{Slots: 16})
		p, err := r.Poller("p", ConsumerOptions{MaxBatch: 16})
		require.NoError(t, err)
		require.NoError(t, r.Start())
		publish(t, r, 8)
		for seq, e := range p.Events(ctx) {
			require.Equal(t, seq, *e)
			if seq == 3 {
				break
			}
		}
		require.Equal(t, int64(3), p.Cursor(), "the one that was left in counts")
		require.Panics(t, func() {
			for range p.Spans(ctx, 2) {
				panic("boom")
			}
		})
		require.Equal(t, int64(3), p.Cursor())
		for first, span := range p.Spans(ctx, 2) {
			require.Len(t, span, 2)
			if first >= 6 {
				break
			}
		}
		require.Equal(t, int64(7), p.Cursor())
		brief, cancel := context.WithCancel(ctx)
		defer cancel()
		n := 0
		for range p.Events(brief) {
			n++
			cancel()
		}
		require.Equal(t, 1, n)
		require.NoError(t, p.Err())
		require.ErrorIs(t, p.Wait(brief), context.Canceled)
		go func() { _ = r.Close(ctx) }()
		for range p.Events(ctx) {
			t.Error("there is nothing left")
		}
		require.ErrorIs(t, p.Err(), ErrClosed)
		<-r.Done()
	})
}

// TestPoller_WaitEndsWithItsContext, and with Close, when nothing comes.
func TestPoller_WaitEndsWithItsContext(t *testing.T) {
	both(t, func(t *testing.T, mk maker) {
		r := mk(Options{Slots: 16, Wait: eagerPark()})
		p, err := r.Poller("p", ConsumerOptions{})
		require.NoError(t, err)
		require.NoError(t, r.Start())
		whole := within(t)
		waited := make(chan error)
		wait := func(ctx context.Context) {
			go func() { waited <- p.Wait(ctx) }()
			waitUntil(whole, t, func() bool { return r.seq.published.wakeAt.Load() == 1 })
		}
		ctx, cancel := context.WithCancel(whole)
		wait(ctx)
		cancel()
		require.ErrorIs(t, <-waited, context.Canceled)
		wait(whole)
		closed := make(chan error)
		go func() { closed <- r.Close(whole) }()
		require.NoError(t, <-waited)
		_, _, err = p.Poll(1)
		require.ErrorIs(t, err, ErrClosed)
		require.NoError(t, <-closed)
	})
}

// TestPoller_HaltWakesAndDoesNotWait: also for a poller that nobody polls.
func TestPoller_HaltWakesAndDoesNotWait(t *testing.T) {
	both(t, func(t *testing.T, mk maker) {
		r := mk(Options{Slots: 16, Wait: eagerPark()})
		p, err := r.Poller("p", ConsumerOptions{})
		require.NoError(t, err)
		_, err = r.Poller("forgotten", ConsumerOptions{})
		require.NoError(t, err)
		require.NoError(t, r.Start())
		woken := make(chan error)
		go func() {
			if err := p.Wait(context.Background()); err != nil {
				t.Error(err)
			}
			_, _, err := p.Poll(1)
			woken <- err
		}()
		r.Halt()
		require.ErrorIs(t, <-woken, ErrHalted)
		<-r.Done()
		require.NoError(t, p.Leave())
		require.ErrorIs(t, r.Close(within(t)), ErrHalted)
	})
}

func TestPoller_JoinAndLeave(t *testing.T) {
	both(t, func(t *testing.T, mk maker) {
		ctx := within(t)
		r := mk(Options{Slots: 8})
		mustConsume(t, r, "c", ignore, ConsumerOptions{})
		_, err := r.JoinPoller(ctx, "p", ConsumerOptions{})
		require.ErrorIs(t, err, ErrNotStarted)
		require.NoError(t, r.Start())
		publish(t, r, 5)
		p, err := r.JoinPoller(ctx, "p", ConsumerOptions{From: 2, MaxBatch: 8})
		require.NoError(t, err)
		require.NoError(t, p.Wait(ctx))
		first, span, err := p.Poll(8)
		require.NoError(t, err)
		require.Equal(t, int64(2), first)
		require.Equal(t, []int64{2, 3, 4, 5}, span)
		require.NoError(t, p.Leave())
		require.Equal(t, int64(5), p.Cursor())
		require.Len(t, r.Stats().Consumers, 1, "at once")
		_, _, err = p.Poll(1)
		require.ErrorIs(t, err, ErrLeft)
		for range 5 {
			publish(t, r, 8)
		}
		q, err := r.JoinPoller(ctx, "p", ConsumerOptions{})
		require.NoError(t, err)
		left := make(chan error)
		go func() { left <- r.Leave(ctx, q.Consumer()) }()
		require.NoError(t, q.Wait(ctx))
		_, _, err = q.Poll(1)
		require.ErrorIs(t, err, ErrLeft)
		require.NoError(t, <-left)
		require.NoError(t, r.Close(ctx))
	})
}

func TestPoller_NoAllocation(t *testing.T) {
	r, err := New[int64](Options{Slots: 8})
	require.NoError(t, err)
	p, err := r.Poller("p", ConsumerOptions{})
	require.NoError(t, err)
	require.NoError(t, r.Start())
	ctx := within(t)
	allocs := testing.AllocsPerRun(500, func() {
		hi, _ := r.Claim(1)
		r.Publish(hi, hi)
		if err := p.Wait(ctx); err != nil {
			t.Fatal(err)
		}
		if _, _, err := p.Poll(1); err != nil {
			t.Fatal(err)
		}
	})
	if !raceEnabled && !debugging {
		require.Zero(t, allocs)
	}
	r.Halt()
}
