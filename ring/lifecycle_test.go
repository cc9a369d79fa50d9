package ring

import (
	"context"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

func ignore(int64, []int64) error { return nil }

func mustConsume(t *testing.T, r *Ring[int64], name string, h HandlerFunc[int64], o ConsumerOptions) *Consumer {
	t.Helper()
	c, err := r.Consume(name, h, o)
	require.NoError(t, err)
	return c
}

func TestNew_BadOptions_EachFieldNamed(t *testing.T) {
	_, err := New[int64](Options{Slots: 3, FirstSequence: -1, Producers: 9})
	for _, field := range []string{"Slots", "FirstSequence", "Producers"} {
		require.ErrorContains(t, err, "ring: "+field+": ")
	}
	var o *OptionError
	require.ErrorAs(t, err, &o)
	for _, slots := range []int{-1, 6, math.MinInt, math.MaxInt, MaxSlots + 1} {
		_, err := New[int64](Options{Slots: slots})
		require.ErrorAs(t, err, &o, "%d slots", slots)
	}
	_, err = New[[1 << 20]byte](Options{Slots: MaxSlots})
	require.ErrorAs(t, err, &o)
	_, err = New[int64](Options{FirstSequence: MaxFirstSequence + 1})
	require.ErrorAs(t, err, &o)
	r, err := New[struct{}](Options{})
	require.NoError(t, err)
	require.Equal(t, DefaultSlots, r.Slots())
	require.Equal(t, int64(0), r.Cursor())
	require.Equal(t, int64(DefaultSlots), r.Remaining())
	require.NotNil(t, r.Slot(1))
}

func TestConsume_BadArguments(t *testing.T) {
	r, err := New[int64](Options{})
	require.NoError(t, err)
	other, err := New[int64](Options{})
	require.NoError(t, err)
	stranger := mustConsume(t, other, "x", ignore, ConsumerOptions{})
	var o *OptionError
	for name, f := range map[string]func() error{
		"no handler":   func() error { _, err := r.Consume("a", nil, ConsumerOptions{}); return err },
		"nil function": func() error { _, err := r.Consume("a", HandlerFunc[int64](nil), ConsumerOptions{}); return err },
		"no name":      func() error { _, err := r.Consume("", HandlerFunc[int64](ignore), ConsumerOptions{}); return err },
		"other ring": func() error {
			_, err := r.Consume("a", HandlerFunc[int64](ignore), ConsumerOptions{After: []*Consumer{stranger}, MaxBatch: -1})
			return err
		},
		"nil consumer": func() error {
			_, err := r.Consume("a", HandlerFunc[int64](ignore), ConsumerOptions{After: []*Consumer{nil}})
			return err
		},
	} {
		require.ErrorAs(t, f(), &o, name)
	}
	require.ErrorIs(t, r.Start(), ErrNoConsumers)
	a := mustConsume(t, r, "a", ignore, ConsumerOptions{})
	_, err = r.Consume("a", HandlerFunc[int64](ignore), ConsumerOptions{})
	require.ErrorAs(t, err, &o)
	b := mustConsume(t, r, "b", ignore, ConsumerOptions{After: []*Consumer{a, a}})
	require.Equal(t, []*Consumer{a}, b.after())
	require.Equal(t, "b", b.Name())
	require.NoError(t, r.Start())
	require.ErrorIs(t, r.Start(), ErrStarted)
	_, err = r.Consume("c", HandlerFunc[int64](ignore), ConsumerOptions{})
	require.ErrorIs(t, err, ErrStarted)
	require.NoError(t, r.Close(within(t)))
}

func TestClaim_SizeOutOfRange(t *testing.T) {
	both(t, func(t *testing.T, mk maker) {
		r := mk(Options{Slots: 4, FirstSequence: MaxFirstSequence})
		for _, n := range []int{0, -1, 5, math.MaxInt, math.MinInt} {
			_, err := r.Claim(n)
			require.ErrorIs(t, err, ErrClaimSize, "%d", n)
			_, err = r.TryClaim(n)
			require.ErrorIs(t, err, ErrClaimSize, "%d", n)
			_, err = r.ClaimContext(within(t), n)
			require.ErrorIs(t, err, ErrClaimSize, "%d", n)
		}
		require.Equal(t, int64(4), r.Remaining())
	})
}

func TestClaimContext_Cancelled(t *testing.T) {
	both(t, func(t *testing.T, mk maker) {
		for _, w := range append(waits(), eagerPark()) {
			r := mk(Options{Slots: 4, Wait: w})
			entered, leave := make(chan struct{}), make(chan struct{})
			mustConsume(t, r, "slow", func(first int64, _ []int64) error {
				if first == 1 {
					close(entered)
					<-leave
				}
				return nil
			}, ConsumerOptions{MaxBatch: 4})
			for _, started := range []bool{false, true} {
				if started {
					require.NoError(t, r.Start())
					<-entered
				} else {
					publish(t, r, 4)
				}
				ctx, cancel := context.WithCancel(within(t))
				failed := make(chan error)
				go func() {
					_, err := r.ClaimContext(ctx, 1)
					failed <- err
				}()
				for r.Stats().Waiting == 0 && w.name != "spin" { // of that nobody sees that it waits
					require.NoError(t, ctx.Err())
					runtime.Gosched()
				}
				cancel()
				require.ErrorIs(t, <-failed, context.Canceled)
				_, err := r.ClaimContext(ctx, 1)
				require.ErrorIs(t, err, context.Canceled)
				_, err = r.TryClaim(1)
				require.ErrorIs(t, err, ErrFull)
			}
			close(leave)
			require.NoError(t, r.Close(within(t)))
		}
	})
}

// TestTryClaim_Exact: of many that race for the last slots, exactly as many win as there are.
func TestTryClaim_Exact(t *testing.T) {
	r, err := New[int64](Options{Slots: 64})
	require.NoError(t, err)
	c := consumerForTest(r)
	for round := range 200 {
		free := r.Remaining()
		var won, lost atomic.Int64
		var wg sync.WaitGroup
		for range 4 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for {
					switch _, err := r.TryClaim(1); {
					case err == nil:
						won.Add(1)
					case errors.Is(err, ErrFull):
						lost.Add(1)
						return
					default:
						t.Error(err)
						return
					}
				}
			}()
		}
		wg.Wait()
		require.Equal(t, free, won.Load())
		require.Equal(t, int64(4), lost.Load())
		require.Zero(t, r.Remaining())
		c.cursor.Store(c.cursor.Load() + int64(1+round%64))
	}
}

// TestPublish_Multi_WholeRangeOrNothing: a barrier never shows a part of a published range.
func TestPublish_Multi_WholeRangeOrNothing(t *testing.T) {
	for _, plain := range plainModes() {
		r, err := newRing[int64](Options{Slots: 64, FirstSequence: 1<<37 - 1000}, plain)
		require.NoError(t, err)
		c := consumerForTest(r)
		rounds := 20_000
		if testing.Short() || raceEnabled {
			rounds = 2_000
		}
		for range 2 {
			go func() {
				for range rounds {
					hi, err := r.Claim(16)
					if err != nil {
						t.Error(err)
						return
					}
					r.Publish(hi-15, hi)
				}
			}()
		}
		b := newLink(c, nil).barrier
		for last := r.seq.first - 1; last < r.seq.first-1+int64(rounds)*32; {
			hi := b.Load()
			require.Zero(t, (hi-(r.seq.first-1))%16, "a part of a range")
			if hi == last {
				runtime.Gosched()
				continue
			}
			last = hi
			c.cursor.Store(hi)
			c.gate.notify(hi)
		}
	}
}

func TestFailure_NamesConsumerAndSequence(t *testing.T) {
	boom := errors.New("boom")
	for name, tc := range map[string]struct {
		fail  func() error
		check func(t *testing.T, e *ConsumerError)
	}{
		"error": {func() error { return boom }, func(t *testing.T, e *ConsumerError) {
			require.ErrorIs(t, e, boom)
			require.Nil(t, e.Stack)
		}},
		"panic": {func() error { panic("boom") }, func(t *testing.T, e *ConsumerError) {
			var p *PanicError
			require.ErrorAs(t, e, &p)
			require.Equal(t, "boom", p.Value)
			require.Contains(t, string(e.Stack), "TestFailure_NamesConsumerAndSequence")
		}},
		"panic with error": {func() error { panic(io.ErrUnexpectedEOF) }, func(t *testing.T, e *ConsumerError) {
			require.ErrorIs(t, e, io.ErrUnexpectedEOF)
		}},
		"panic with nil": {func() error { panic(nil) }, func(t *testing.T, e *ConsumerError) {
			var p *runtime.PanicNilError
			require.ErrorAs(t, e, &p)
		}},
		"goexit": {func() error { runtime.Goexit(); return nil }, func(t *testing.T, e *ConsumerError) {
			require.ErrorIs(t, e, ErrGoexit)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, mk maker) {
				before := runtime.NumGoroutine()
				var called []*ConsumerError
				r := mk(Options{Slots: 8, Wait: eagerPark(), OnError: func(e *ConsumerError) {
					called = append(called, e)
					panic("swallowed")
				}})
				up := mustConsume(t, r, "up", ignore, ConsumerOptions{})
				bad := mustConsume(t, r, "bad", func(first int64, span []int64) error {
					if first >= 5 {
						return tc.fail()
					}
					return nil
				}, ConsumerOptions{After: []*Consumer{up}, MaxBatch: 1})
				down := mustConsume(t, r, "down", ignore, ConsumerOptions{After: []*Consumer{bad}})
				publish(t, r, 8)
				require.NoError(t, r.Start())
				var err error
				for err == nil { // blocks once the ring is full, and then is woken
					_, err = r.Claim(1)
				}
				require.ErrorIs(t, err, ErrHalted)
				var e *ConsumerError
				require.ErrorAs(t, err, &e)
				require.Equal(t, "bad", e.Consumer)
				require.Equal(t, int64(5), e.Sequence)
				tc.check(t, e)
				<-r.Done()
				require.Same(t, e, r.Err())
				require.Equal(t, []*ConsumerError{e}, called)
				require.Equal(t, int64(4), bad.Cursor())
				require.LessOrEqual(t, down.Cursor(), int64(4))
				require.ErrorIs(t, down.WaitFor(within(t), 5), ErrHalted)
				require.ErrorAs(t, r.Close(within(t)), &e)
				_, err = r.TryClaim(1)
				require.ErrorIs(t, err, ErrHalted)
				r.Halt()
				requireGoroutines(t, before)
			})
		})
	}
}

func TestFailure_ReleasedPartStaysHandled(t *testing.T) {
	r, err := New[int64](Options{Slots: 8})
	require.NoError(t, err)
	var c *Consumer
	c = mustConsume(t, r, "c", func(first int64, span []int64) error {
		c.Release(first + 2)
		return io.EOF
	}, ConsumerOptions{MaxBatch: 8})
	publish(t, r, 8)
	require.NoError(t, r.Start())
	<-r.Done()
	require.Equal(t, int64(3), c.Cursor())
	require.ErrorIs(t, r.Err(), io.EOF)
}

func TestRelease_FreesSlotsBeforeTheHandlerReturns(t *testing.T) {
	both(t, func(t *testing.T, mk maker) {
		r := mk(Options{Slots: 4, Wait: eagerPark()})
		var c *Consumer
		leave := make(chan struct{})
		c = mustConsume(t, r, "c", func(first int64, span []int64) error {
			if first == 1 {
				c.Release(2)
				c.Release(5) // not of this span: nothing happens
				<-leave
			}
			return nil
		}, ConsumerOptions{MaxBatch: 4})
		publish(t, r, 4)
		require.NoError(t, r.Start())
		publish(t, r, 2) // blocks until the release
		_, err := r.TryClaim(1)
		require.ErrorIs(t, err, ErrFull)
		close(leave)
		require.NoError(t, r.Close(within(t)))
	})
}

func TestClose_NeverStarted(t *testing.T) {
	both(t, func(t *testing.T, mk maker) {
		r := mk(Options{})
		mustConsume(t, r, "c", ignore, ConsumerOptions{})
		require.NoError(t, r.Close(within(t)))
		require.ErrorIs(t, r.Start(), ErrClosed)
		_, err := r.Consume("d", HandlerFunc[int64](ignore), ConsumerOptions{})
		require.ErrorIs(t, err, ErrClosed)

		r = mk(Options{})
		c := mustConsume(t, r, "c", ignore, ConsumerOptions{})
		publish(t, r, 1)
		require.ErrorIs(t, r.Close(within(t)), ErrNotStarted)
		<-r.Done()
		require.ErrorIs(t, c.WaitFor(within(t), 1), ErrClosed)

		r = mk(Options{})
		r.Halt()
		<-r.Done()
		require.ErrorIs(t, r.Start(), ErrHalted)
	})
}

func TestClose_WakesProducerThatWaitsForStart(t *testing.T) {
	both(t, func(t *testing.T, mk maker) {
		r := mk(Options{Slots: 1, Wait: eagerPark()})
		mustConsume(t, r, "c", ignore, ConsumerOptions{})
		publish(t, r, 1)
		failed := make(chan error)
		go func() {
			_, err := r.Claim(1)
			failed <- err
		}()
		require.ErrorIs(t, r.Close(within(t)), ErrNotStarted)
		require.ErrorIs(t, <-failed, ErrClosed)
	})
}

// A producer that is parked behind a consumer that is stuck learns of Close while that is stuck.
func TestClose_WakesProducerBehindAStuckConsumer(t *testing.T) {
	both(t, func(t *testing.T, mk maker) {
		for range 20 {
			r := mk(Options{Slots: 1, Wait: eagerPark()})
			entered, leave := make(chan struct{}), make(chan struct{})
			c := mustConsume(t, r, "stuck", func(int64, []int64) error {
				close(entered)
				<-leave
				return nil
			}, ConsumerOptions{})
			require.NoError(t, r.Start())
			publish(t, r, 1)
			<-entered
			failed := make(chan error, 1)
			go func() {
				_, err := r.Claim(1)
				failed <- err
			}()
			for c.gate.wakeAt.Load() == never {
				runtime.Gosched()
			}
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			var late *DrainError
			require.ErrorAs(t, r.Close(ctx), &late)
			select {
			case err := <-failed:
				require.ErrorIs(t, err, ErrClosed)
			case <-within(t).Done():
				t.Fatal("the producer sleeps on")
			}
			close(leave)
			require.NoError(t, r.Close(within(t)))
		}
	})
}

func TestStart_WakesBlockedProducer(t *testing.T) {
	both(t, func(t *testing.T, mk maker) {
		r := mk(Options{Slots: 1, Wait: eagerPark()})
		mustConsume(t, r, "c", ignore, ConsumerOptions{})
		publish(t, r, 1)
		claimed := make(chan int64)
		go func() {
			hi, err := r.Claim(1)
			if err != nil {
				t.Error(err)
			}
			r.Publish(hi, hi)
			claimed <- hi
		}()
		waitUntil(within(t), t, func() bool {
			r.seq.changed.mu.Lock()
			defer r.seq.changed.mu.Unlock()
			return len(r.seq.changed.parked) > 0
		})
		require.NoError(t, r.Start())
		require.Equal(t, int64(2), <-claimed)
		require.NoError(t, r.Close(within(t)))
	})
}

func TestClose_DeadlineNamesWhoIsLate(t *testing.T) {
	both(t, func(t *testing.T, mk maker) {
		r := mk(Options{Slots: 8})
		entered, leave := make(chan struct{}), make(chan struct{})
		slow := mustConsume(t, r, "slow", func(first int64, _ []int64) error {
			if first == 1 {
				close(entered)
				<-leave
			}
			return nil
		}, ConsumerOptions{})
		mustConsume(t, r, "behind", ignore, ConsumerOptions{After: []*Consumer{slow}})
		require.NoError(t, r.Start())
		publish(t, r, 1)
		hi, err := r.Claim(1) // never published until below
		require.NoError(t, err)
		<-entered
		ctx, cancel := context.WithCancel(within(t))
		cancel()
		err = r.Close(ctx)
		require.ErrorIs(t, err, context.Canceled)
		var d *DrainError
		require.ErrorAs(t, err, &d)
		require.Equal(t, int64(2), d.Claimed)
		require.Equal(t, int64(1), d.Published)
		require.Equal(t, []ConsumerStats{{Name: "slow", Lag: 1}, {Name: "behind", Lag: 1}}, d.Late)
		for _, part := range []string{"sequence 2 is claimed but not published", `consumer "slow" is at 0 of 2`, `"behind"`} {
			require.ErrorContains(t, err, part)
		}
		r.Publish(hi, hi)
		close(leave)
		require.NoError(t, r.Close(within(t)))
		require.Equal(t, int64(2), slow.Cursor())
	})
}

func TestClose_FromHandler(t *testing.T) {
	both(t, func(t *testing.T, mk maker) {
		r := mk(Options{Slots: 8})
		var fromHandler error
		c := mustConsume(t, r, "c", func(first int64, _ []int64) error {
			if first == 1 {
				fromHandler = r.Close(context.Background())
			}
			return nil
		}, ConsumerOptions{MaxBatch: 1})
		publish(t, r, 5)
		require.NoError(t, r.Start())
		<-r.Done()
		require.ErrorIs(t, fromHandler, ErrWouldDeadlock)
		require.Equal(t, int64(5), c.Cursor())
		require.NoError(t, r.Close(within(t)))
	})
}

func TestHalt_FromHandlerStopsAfterTheSpan(t *testing.T) {
	both(t, func(t *testing.T, mk maker) {
		r := mk(Options{Slots: 8})
		c := mustConsume(t, r, "c", func(first int64, _ []int64) error {
			if first == 3 {
				r.Halt()
			}
			return nil
		}, ConsumerOptions{MaxBatch: 1})
		publish(t, r, 5)
		require.NoError(t, r.Start())
		<-r.Done()
		require.Equal(t, int64(3), c.Cursor())
		require.NoError(t, r.Err())
		require.ErrorIs(t, r.Close(within(t)), ErrHalted)
		_, err := r.Claim(1)
		require.ErrorIs(t, err, ErrHalted)
	})
}

func TestHalt_AfterCloseChangesNothing(t *testing.T) {
	both(t, func(t *testing.T, mk maker) {
		r := mk(Options{})
		mustConsume(t, r, "c", ignore, ConsumerOptions{})
		require.NoError(t, r.Start())
		publish(t, r, 1)
		require.NoError(t, r.Close(within(t)))
		r.Halt()
		require.NoError(t, r.Close(within(t)))
		_, err := r.Claim(1)
		require.ErrorIs(t, err, ErrClosed)
	})
}

// TestHalt_WakesEverybody: consumers that park, a blocked producer and a waiting reader.
func TestHalt_WakesEverybody(t *testing.T) {
	before := runtime.NumGoroutine()
	both(t, func(t *testing.T, mk maker) {
		for range 50 {
			r := mk(Options{Slots: 1, Wait: eagerPark()})
			leave := make(chan struct{})
			a := mustConsume(t, r, "a", func(int64, []int64) error { <-leave; return nil }, ConsumerOptions{})
			b := mustConsume(t, r, "b", ignore, ConsumerOptions{After: []*Consumer{a}})
			require.NoError(t, r.Start())
			publish(t, r, 1)
			failed := make(chan error, 2)
			go func() {
				_, err := r.Claim(1)
				failed <- err
			}()
			go func() { failed <- b.WaitFor(context.Background(), 3) }()
			r.Halt()
			close(leave)
			require.ErrorIs(t, <-failed, ErrHalted)
			require.ErrorIs(t, <-failed, ErrHalted)
			<-r.Done()
		}
	})
	requireGoroutines(t, before)
}

func TestHandler_ThatWouldWaitForItself(t *testing.T) {
	both(t, func(t *testing.T, mk maker) {
		for _, w := range append(waits(), eagerPark()) {
			r := mk(Options{Slots: 2, Wait: w})
			errs := map[string]error{}
			told := make(chan struct{})
			var self, down *Consumer
			ctx := within(t)
			self = mustConsume(t, r, "self", func(first int64, _ []int64) error {
				if first == 1 {
					defer close(told)
					_, errs["claim"] = r.Claim(1)
					errs["self"] = self.WaitFor(ctx, 1)
					errs["down"] = down.WaitFor(ctx, 1)
					errs["past"] = down.WaitFor(ctx, 0)
				}
				return nil
			}, ConsumerOptions{})
			down = mustConsume(t, r, "down", ignore, ConsumerOptions{After: []*Consumer{self}})
			publish(t, r, 2)
			require.NoError(t, r.Start())
			select { // Close would end the claim
			case <-told:
			case <-ctx.Done():
				require.FailNow(t, "the handler waits")
			}
			require.NoError(t, r.Close(ctx))
			for _, what := range []string{"claim", "self", "down"} {
				require.ErrorIs(t, errs[what], ErrWouldDeadlock, what)
			}
			require.NoError(t, errs["past"])
		}
	})
}

func TestWaitFor(t *testing.T) {
	both(t, func(t *testing.T, mk maker) {
		r := mk(Options{Slots: 16})
		c := mustConsume(t, r, "c", ignore, ConsumerOptions{})
		ctx, cancel := context.WithCancel(within(t))
		cancel()
		require.ErrorIs(t, c.WaitFor(ctx, 1), context.Canceled)
		require.NoError(t, c.WaitFor(ctx, 0))
		require.NoError(t, r.Start())
		var wg sync.WaitGroup
		for range 8 {
			seqs := rand.Perm(500)
			wg.Add(1)
			go func() {
				defer wg.Done()
				for _, s := range seqs[:50] {
					if err := c.WaitFor(context.Background(), int64(s)); err != nil || c.Cursor() < int64(s) {
						t.Errorf("waited for %d, is at %d: %v", s, c.Cursor(), err)
					}
				}
			}()
		}
		for range 500 {
			publish(t, r, 1)
		}
		wg.Wait()
		late := make(chan error)
		go func() { late <- c.WaitFor(context.Background(), 501) }()
		require.NoError(t, r.Close(within(t)))
		require.ErrorIs(t, <-late, ErrClosed)
		require.NoError(t, c.WaitFor(context.Background(), 500))
	})
}

// TestPark_NoLostWakeUp hands single events to and fro between goroutines that park at once.
func TestPark_NoLostWakeUp(t *testing.T) {
	rounds := int64(20_000)
	if testing.Short() || raceEnabled {
		rounds = 4_000
	}
	both(t, func(t *testing.T, mk maker) {
		for _, w := range []WaitStrategy{eagerPark(), {name: "random", spins: 1, pause: 8, parks: true}, WaitAdaptive()} {
			r := mk(Options{Slots: 2, Wait: w})
			c := mustConsume(t, r, "c", ignore, ConsumerOptions{})
			require.NoError(t, r.Start())
			ctx := within(t)
			for s := range rounds {
				publish(t, r, 1)
				if s%3 == 0 {
					require.NoError(t, c.WaitFor(ctx, s+1))
				}
			}
			require.NoError(t, r.Close(ctx))
			require.Equal(t, rounds, c.Cursor())
		}
	})
}

func TestRing_NoAllocationPerEvent(t *testing.T) {
	both(t, func(t *testing.T, mk maker) {
		for _, w := range []WaitStrategy{WaitAdaptive(), eagerPark()} {
			r := mk(Options{Slots: 8, Wait: w})
			c := mustConsume(t, r, "c", ignore, ConsumerOptions{})
			d := mustConsume(t, r, "d", ignore, ConsumerOptions{After: []*Consumer{c}})
			require.NoError(t, r.Start())
			ctx := within(t)
			allocs := testing.AllocsPerRun(2000, func() {
				hi, err := r.Claim(3)
				if err != nil {
					t.Fatal(err)
				}
				r.Publish(hi-2, hi)
				if hi, err = r.ClaimContext(ctx, 1); err != nil {
					t.Fatal(err)
				}
				r.Publish(hi, hi)
				if hi%5 == 0 {
					err = d.WaitFor(ctx, hi)
				}
				if err != nil || d.Lag() < 0 {
					t.Fatal(err)
				}
			})
			if !raceEnabled && !debugging { // the detector makes sync.Pool forget
				require.Zero(t, allocs)
			}
			require.NoError(t, r.Close(ctx))
		}
	})
}

func TestOneSlot_EveryEventPasses(t *testing.T) {
	both(t, func(t *testing.T, mk maker) {
		r := mk(Options{Slots: 1, FirstSequence: math.MaxInt32})
		next := int64(math.MaxInt32)
		mustConsume(t, r, "c", func(first int64, span []int64) error {
			if first != next || len(span) != 1 || span[0] != first {
				return io.ErrNoProgress
			}
			next++
			return nil
		}, ConsumerOptions{})
		require.NoError(t, r.Start())
		for range 2000 {
			publish(t, r, 1)
		}
		require.NoError(t, r.Close(within(t)))
		require.Equal(t, int64(math.MaxInt32+2000), next)
	})
}

func TestWaitStrategy_Names(t *testing.T) {
	require.Equal(t, "default", WaitStrategy{}.String())
	for i, name := range []string{"adaptive", "spin", "yield", "park", "sleep"} {
		require.Equal(t, name, waits()[i].String())
	}
}

// TestClaim_IntoClosedRing_TakenBack is the claim whose store comes before Close and whose look at
// the state comes after it.
func TestClaim_IntoClosedRing_TakenBack(t *testing.T) {
	both(t, func(t *testing.T, mk maker) {
		r := mk(Options{Slots: 8})
		publish(t, r, 2)
		r.seq.fence()
		p := newParker() // like a consumer that looked while claimed was too large
		p.seq = 3
		r.seq.published.insert(p)
		r.seq.published.arm()
		for range 3 {
			_, err := r.Claim(2)
			require.ErrorIs(t, err, ErrClosed)
			_, err = r.TryClaim(1)
			require.ErrorIs(t, err, ErrClosed)
		}
		require.Equal(t, int64(2), r.seq.claimed())
		require.True(t, r.seq.drained(2))
		if r.seq.quick {
			require.Len(t, p.wake, 1)
		}
	})
}

// TestWaitFor_WokenWhileTheNextBatchIsHandled: the end of a batch is stored by Reader, and whoever
// waits for it does not wait for the batch after it.
func TestWaitFor_WokenWhileTheNextBatchIsHandled(t *testing.T) {
	both(t, func(t *testing.T, mk maker) {
		r := mk(Options{Slots: 8})
		var c *Consumer
		waited := make(chan error, 1)
		ctx := within(t)
		c = mustConsume(t, r, "c", func(first int64, _ []int64) error {
			if first == 2 {
				return <-waited
			}
			for c.gate.wakeAt.Load() != 1 {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				runtime.Gosched()
			}
			publish(t, r, 1)
			return nil
		}, ConsumerOptions{})
		require.NoError(t, r.Start())
		publish(t, r, 1)
		waited <- c.WaitFor(ctx, 1)
		require.NoError(t, r.Close(ctx))
	})
}
