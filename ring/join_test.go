package ring

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// witness checks that a consumer gets every sequence from its first on, and that no producer
// writes into a slot that it holds.
type witness struct {
	first, next int64
	after       []*Consumer
	before      []*witness
	upto        atomic.Int64 // it has been given events up to this one
	dawdles     bool
}

func (w *witness) OnStart(c *Consumer) error {
	w.first = c.Cursor() + 1
	w.next = w.first
	return nil
}

func (w *witness) HandleSpan(first int64, span []int64) error { return w.check(first, span) }

func (w *witness) OnAbort(lo, hi int64) error {
	if lo != w.next {
		return fmt.Errorf("aborted %d, not %d", lo, w.next)
	}
	w.next = hi + 1
	return nil
}

func (w *witness) check(first int64, span []int64) error {
	if first != w.next {
		return fmt.Errorf("got %d, not %d", first, w.next)
	}
	w.upto.Store(first + int64(len(span)) - 1)
	for _, down := range w.before {
		if upto := down.upto.Load(); upto >= first {
			return fmt.Errorf("got %d when one that comes later had %d", first, upto)
		}
	}
	for pass := range 2 {
		for i, v := range span {
			if v != first+int64(i) {
				return fmt.Errorf("pass %d: slot of %d holds %d", pass, first+int64(i), v)
			}
		}
		if w.dawdles {
			runtime.Gosched()
		}
	}
	for _, up := range w.after {
		if up.Cursor() < first+int64(len(span))-1 && !up.left.Load() && up.leaveAt.Load() == never {
			return fmt.Errorf("%d came before %q had handled it", first, up.Name())
		}
	}
	w.next = first + int64(len(span))
	return nil
}

// TestLive_JoinAndLeaveUnderLoad lets consumers come and go everywhere in the graph while
// producers publish into a small ring.
func TestLive_JoinAndLeaveUnderLoad(t *testing.T) {
	turns := 150
	if testing.Short() || raceEnabled {
		turns = 40
	}
	seed := rand.Uint64()
	before := runtime.NumGoroutine()
	both(t, func(t *testing.T, mk maker) {
		for _, slots := range []int{1, 8, 256} {
			rng := rand.New(rand.NewPCG(seed, uint64(slots)))
			r := mk(Options{Slots: slots, FirstSequence: 1<<32*int64(slots) - 100})
			defer r.Halt()
			ctx := within(t)
			base := &witness{dawdles: true}
			a, err := r.Consume("base", base, ConsumerOptions{})
			require.NoError(t, err)
			require.NoError(t, r.Start())
			producers := 1
			if r.seq.multi {
				producers = 3
			}
			stop := make(chan struct{})
			var wg sync.WaitGroup
			for range producers {
				wg.Add(1)
				go func() {
					defer wg.Done()
					p := r.Producer()
					for i := 0; ; i++ {
						select {
						case <-stop:
							return
						default:
						}
						n := int64(1 + i%min(slots, 4))
						var hi int64
						var err error
						if n == 1 || i%64 < 32 { // more often than not it has the bias for a while
							n = 1
							hi, err = p.Next()
						} else {
							hi, err = r.Claim(int(n))
						}
						if err != nil {
							t.Errorf("seed %d: %v", seed, err)
							return
						}
						if i%8 == 0 {
							runtime.Gosched()
						}
						for s := hi - n + 1; s <= hi; s++ {
							*r.Slot(s) = s
						}
						r.Publish(hi-n+1, hi)
					}
				}()
			}
			type member struct {
				c *Consumer
				w *witness
			}
			members := []member{{a, base}}
			gone, joined := 0, 0
			for turn := range turns {
				if len(members) > 1 && (len(members) > 6 || rng.IntN(2) == 0) {
					i := 1 + rng.IntN(len(members)-1)
					m := members[i]
					require.NoError(t, r.Leave(ctx, m.c), "seed %d", seed)
					require.Equal(t, m.w.next-1, m.c.Cursor(), "seed %d", seed)
					require.ErrorIs(t, m.c.WaitFor(ctx, m.c.Cursor()+1), ErrLeft)
					members = append(members[:i], members[i+1:]...)
					continue
				}
				o := ConsumerOptions{MaxBatch: rng.IntN(3)}
				for range rng.IntN(3) {
					o.After = append(o.After, members[rng.IntN(len(members))].c)
				}
				var before []*witness
				switch m := members[rng.IntN(len(members))]; rng.IntN(4) {
				case 0, 1:
					o.Before, o.After, before = []*Consumer{m.c}, nil, []*witness{m.w}
					for _, up := range m.c.after() {
						if rng.IntN(2) == 0 {
							o.After = append(o.After, up)
						}
					}
				case 2:
					o.From = max(r.seq.first, r.seq.reached(o.After)-rng.Int64N(int64(slots)+2))
				}
				w := &witness{dawdles: rng.IntN(2) == 0, after: o.After, before: before}
				c, err := r.Join(ctx, fmt.Sprint(turn), w, o)
				var g *GoneError
				if o.From > 0 && errors.As(err, &g) {
					gone++
					continue
				}
				require.NoError(t, err, "seed %d", seed)
				joined++
				if o.From > 0 {
					require.NoError(t, c.WaitFor(ctx, o.From))
				} else {
					require.NoError(t, c.WaitFor(ctx, c.Cursor()+1))
				}
				if o.From > 0 {
					require.Equal(t, o.From, w.first, "seed %d", seed)
				}
				members = append(members, member{c, w})
			}
			close(stop)
			wg.Wait()
			require.NoError(t, r.Close(ctx), "seed %d", seed)
			for _, m := range members {
				require.Equal(t, r.Cursor()+1, m.w.next, "seed %d", seed)
				require.Equal(t, r.Cursor(), m.c.Cursor(), "seed %d", seed)
			}
			require.Equal(t, r.Cursor()+1, base.next, "seed %d", seed)
			require.Positive(t, joined)
		}
	})
	requireGoroutines(t, before)
}

// TestJoin_FromASequenceStillInTheRing reads back a full ring of events that everybody else has
// handled, though the producer's cached gating sequence would let it overwrite them all.
func TestJoin_FromASequenceStillInTheRing(t *testing.T) {
	both(t, func(t *testing.T, mk maker) {
		ctx := within(t)
		r := mk(Options{Slots: 8})
		c := mustConsume(t, r, "c", ignore, ConsumerOptions{})
		require.NoError(t, r.Start())
		publish(t, r, 8)
		require.NoError(t, c.WaitFor(ctx, 8))
		publish(t, r, 1) // now the producer has seen that all 8 are free
		require.NoError(t, c.WaitFor(ctx, 9))

		var o *OptionError
		_, err := r.Join(ctx, "future", HandlerFunc[int64](ignore), ConsumerOptions{From: 11})
		require.ErrorAs(t, err, &o)
		var g *GoneError
		_, err = r.Join(ctx, "past", HandlerFunc[int64](ignore), ConsumerOptions{From: 1})
		require.ErrorAs(t, err, &g)
		require.Equal(t, GoneError{From: 1, Oldest: 2}, *g)

		hold := make(chan struct{})
		held := &holding{hold: hold}
		old, err := r.Join(ctx, "old", held, ConsumerOptions{From: 4, After: []*Consumer{c}})
		require.NoError(t, err)
		claimed := r.seq.claimed()
		for r.Remaining() > 0 {
			publish(t, r, 1)
		}
		require.Equal(t, int64(11), r.seq.claimed(), "held back at 3")
		_, err = r.TryClaim(1)
		require.ErrorIs(t, err, ErrFull)
		close(hold)
		publish(t, r, 3)
		require.NoError(t, old.WaitFor(ctx, 14))
		require.GreaterOrEqual(t, claimed, int64(9))
		require.NoError(t, r.Close(ctx))
		require.Equal(t, int64(4), held.first)
		require.Equal(t, int64(15), held.next)
	})
}

// holding is a witness that holds its first span until it is let go.
type holding struct {
	witness
	hold chan struct{}
}

func (h *holding) HandleSpan(first int64, span []int64) error {
	<-h.hold
	return h.check(first, span)
}

// TestLeave_MiddleOfAChain: who comes after goes on with what the leaving consumer came after,
// also if it waits for it just then.
func TestLeave_MiddleOfAChain(t *testing.T) {
	both(t, func(t *testing.T, mk maker) {
		ctx := within(t)
		r := mk(Options{Slots: 8, Wait: eagerPark()})
		entered, leave := make(chan struct{}), make(chan struct{})
		first := mustConsume(t, r, "first", ignore, ConsumerOptions{})
		middle := mustConsume(t, r, "middle", func(first int64, _ []int64) error {
			if first == 3 {
				close(entered)
				<-leave
			}
			return nil
		}, ConsumerOptions{After: []*Consumer{first}, MaxBatch: 1})
		w := &witness{}
		last, err := r.Consume("last", w, ConsumerOptions{After: []*Consumer{middle}})
		require.NoError(t, err)
		require.NoError(t, r.Start())
		publish(t, r, 8)
		<-entered
		blocked := make(chan error)
		go func() { // a producer that waits for the one that leaves
			hi, err := r.Claim(8)
			if err == nil {
				r.Abort(hi-7, hi)
			}
			blocked <- err
		}()
		require.NoError(t, last.WaitFor(ctx, 2))
		early, cancel := context.WithCancel(ctx)
		cancel()
		require.ErrorIs(t, r.Leave(early, middle), context.Canceled)
		close(leave)
		require.NoError(t, r.Leave(ctx, middle))
		require.NoError(t, <-blocked)
		require.Equal(t, int64(3), middle.Cursor())
		require.NoError(t, last.WaitFor(ctx, 16))
		require.Equal(t, []*Consumer{first}, last.after())
		_, err = r.Join(ctx, "behind nobody", HandlerFunc[int64](ignore), ConsumerOptions{After: []*Consumer{middle}})
		var o *OptionError
		require.ErrorAs(t, err, &o)
		again, err := r.Join(ctx, "middle", HandlerFunc[int64](ignore), ConsumerOptions{})
		require.NoError(t, err, "the name is free")
		require.NoError(t, r.Leave(ctx, middle), "left long ago")
		require.NoError(t, r.Leave(ctx, first))
		require.NoError(t, r.Leave(ctx, again))
		require.ErrorIs(t, r.Leave(ctx, last), ErrLastConsumer)
		publish(t, r, 8)
		require.NoError(t, r.Close(ctx))
		require.Equal(t, int64(25), w.next)
	})
}

func TestLeave_FromItsOwnHandler(t *testing.T) {
	both(t, func(t *testing.T, mk maker) {
		ctx := within(t)
		r := mk(Options{Slots: 8})
		mustConsume(t, r, "stays", ignore, ConsumerOptions{})
		var c *Consumer
		var err error
		c = mustConsume(t, r, "goes", func(first int64, _ []int64) error {
			err = r.Leave(ctx, c)
			return nil
		}, ConsumerOptions{MaxBatch: 2})
		publish(t, r, 8)
		require.NoError(t, r.Start())
		<-c.gone
		require.ErrorIs(t, err, ErrWouldDeadlock)
		require.Equal(t, int64(2), c.Cursor())
		require.True(t, c.left.Load())
		require.NoError(t, r.Close(ctx))
	})
}

// TestLeave_HoldsNobodyBack: producers do not wait for one that has left, also if nothing else ever changes.
func TestLeave_HoldsNobodyBack(t *testing.T) {
	both(t, func(t *testing.T, mk maker) {
		ctx := within(t)
		r := mk(Options{Slots: 4})
		stays := mustConsume(t, r, "stays", ignore, ConsumerOptions{})
		goes := mustConsume(t, r, "goes", ignore, ConsumerOptions{})
		require.NoError(t, r.Start())
		require.NoError(t, r.Leave(ctx, goes))
		for seq := int64(4); seq <= 12; seq += 4 {
			hi, err := r.TryClaim(4)
			require.NoError(t, err)
			r.Publish(hi-3, hi)
			require.NoError(t, stays.WaitFor(ctx, seq))
		}
		require.NoError(t, r.Close(ctx))
	})
}

func TestLeave_IdleAndBackingOff(t *testing.T) {
	both(t, func(t *testing.T, mk maker) {
		for _, w := range append(waits(), eagerPark()) {
			ctx := within(t)
			r := mk(Options{Slots: 8, Wait: w})
			mustConsume(t, r, "stays", ignore, ConsumerOptions{})
			idle := mustConsume(t, r, "idle", ignore, ConsumerOptions{})
			failed := make(chan struct{}, 8)
			retries := mustConsume(t, r, "retries", func(int64, []int64) error {
				failed <- struct{}{}
				return context.Canceled
			}, ConsumerOptions{OnError: ErrorPolicy{Retries: 5, Backoff: 1 << 40, MaxBackoff: 1 << 50}})
			require.NoError(t, r.Start())
			publish(t, r, 1)
			<-failed
			require.NoError(t, r.Leave(ctx, retries))
			require.Equal(t, int64(0), retries.Cursor())
			require.NoError(t, idle.WaitFor(ctx, 1))
			require.NoError(t, r.Leave(ctx, idle))
			require.NoError(t, r.Close(ctx))
		}
	})
}

func TestJoinAndLeave_Errors(t *testing.T) {
	both(t, func(t *testing.T, mk maker) {
		ctx := within(t)
		r, other := mk(Options{}), mk(Options{})
		h := HandlerFunc[int64](ignore)
		stranger := mustConsume(t, other, "s", ignore, ConsumerOptions{})
		c := mustConsume(t, r, "c", ignore, ConsumerOptions{})
		_, err := r.Join(ctx, "x", h, ConsumerOptions{})
		require.ErrorIs(t, err, ErrNotStarted)
		require.ErrorIs(t, r.Leave(ctx, c), ErrNotStarted)
		var o *OptionError
		require.ErrorAs(t, r.Leave(ctx, stranger), &o)
		require.ErrorAs(t, r.Leave(ctx, nil), &o)
		require.NoError(t, r.Start())
		_, err = r.Join(ctx, "c", h, ConsumerOptions{})
		require.ErrorAs(t, err, &o)
		_, err = r.Join(ctx, "", h, ConsumerOptions{})
		require.ErrorAs(t, err, &o)
		_, err = r.Join(ctx, "x", nil, ConsumerOptions{})
		require.ErrorAs(t, err, &o)
		cancelled, cancel := context.WithCancel(ctx)
		cancel()
		_, err = r.Join(cancelled, "x", h, ConsumerOptions{})
		require.ErrorIs(t, err, context.Canceled)
		require.NoError(t, r.Close(ctx))
		_, err = r.Join(ctx, "x", h, ConsumerOptions{})
		require.ErrorIs(t, err, ErrClosed)
		require.ErrorIs(t, r.Leave(ctx, c), ErrClosed)
	})
}

// TestLive_CloseAndHaltMeanwhile: whatever Join and Leave return, all ends.
func TestLive_CloseAndHaltMeanwhile(t *testing.T) {
	runs := 60
	if testing.Short() || raceEnabled {
		runs = 20
	}
	before := runtime.NumGoroutine()
	both(t, func(t *testing.T, mk maker) {
		for run := range runs {
			ctx := within(t)
			r := mk(Options{Slots: 4, Wait: eagerPark()})
			base := &witness{}
			_, err := r.Consume("base", base, ConsumerOptions{})
			require.NoError(t, err)
			require.NoError(t, r.Start())
			var wg sync.WaitGroup
			wg.Add(2)
			go func() {
				defer wg.Done()
				for {
					hi, err := r.Claim(1)
					if err != nil {
						return
					}
					*r.Slot(hi) = hi
					r.Publish(hi, hi)
				}
			}()
			go func() {
				defer wg.Done()
				for i := 0; ; i++ {
					c, err := r.Join(ctx, fmt.Sprint(i), &witness{}, ConsumerOptions{})
					if err == nil && i%2 == 0 {
						err = r.Leave(ctx, c)
					}
					if err != nil {
						if !errors.Is(err, ErrClosed) && !errors.Is(err, ErrHalted) {
							t.Error(err)
						}
						return
					}
				}
			}()
			for r.Cursor() < int64(run%7) {
				runtime.Gosched()
			}
			if run%2 == 0 {
				require.NoError(t, r.Close(ctx))
				require.Equal(t, r.Cursor()+1, base.next)
			} else {
				r.Halt()
				<-r.Done()
			}
			wg.Wait()
		}
	})
	requireGoroutines(t, before)
}

// TestJoin_ClaimUnderTheOldSet_IsSeen: a claim that was checked before the newcomer was there, and
// takes its first slot.
func TestJoin_ClaimUnderTheOldSet_IsSeen(t *testing.T) {
	both(t, func(t *testing.T, mk maker) {
		ctx := within(t)
		r := mk(Options{Slots: 8})
		c := mustConsume(t, r, "c", ignore, ConsumerOptions{})
		require.NoError(t, r.Start())
		publish(t, r, 8)
		require.NoError(t, c.WaitFor(ctx, 8))
		for _, from := range []int64{2, 0} {
			n, _, outdated, err := r.linkIn("n", newcomer{options: func() ConsumerOptions { return ConsumerOptions{From: from, After: []*Consumer{c}} }})
			require.NoError(t, err)
			if from == 0 {
				n.cursor.Store(1)
			}
			if r.seq.multi {
				r.seq.shared.word.Store(10)
			} else {
				r.seq.single.claimed, r.seq.single.ceiling = 10, 10
			}
			err = r.settle(ctx, n, from, outdated)
			if from == 0 {
				require.NoError(t, err)
				require.Equal(t, int64(8), n.Cursor(), "moved up to those that it comes after")
			} else {
				var g *GoneError
				require.ErrorAs(t, err, &g)
				require.Equal(t, GoneError{From: 2, Oldest: 3}, *g)
			}
			if r.seq.multi {
				r.seq.shared.word.Store(8)
			} else {
				r.seq.single.claimed = 8
			}
			r.mu.Lock()
			r.unlink(n)
			r.mu.Unlock()
		}
		publish(t, r, 8)
		require.NoError(t, r.Close(ctx))
	})
}

// TestJoin_OldestOfAFullRing: it is safe as long as somebody else has not handled it, whether anybody
// claims or not, and takes no sequence.
func TestJoin_OldestOfAFullRing(t *testing.T) {
	both(t, func(t *testing.T, mk maker) {
		for _, unpublished := range []int{0, 3} {
			ctx := within(t)
			r := mk(Options{Slots: 8})
			hold := make(chan struct{})
			base := &holding{hold: hold}
			_, err := r.Consume("base", base, ConsumerOptions{MaxBatch: 1})
			require.NoError(t, err)
			require.NoError(t, r.Start())
			publish(t, r, 8-unpublished)
			claimed := int64(8)
			if unpublished > 0 {
				claimed, err = r.Claim(unpublished)
				require.NoError(t, err)
			}
			_, err = r.TryClaim(1)
			require.ErrorIs(t, err, ErrFull)

			late := &witness{}
			_, err = r.Join(ctx, "late", late, ConsumerOptions{From: 1})
			require.NoError(t, err)
			next, err := r.Join(ctx, "next", &witness{}, ConsumerOptions{})
			require.NoError(t, err)
			require.Equal(t, int64(8-unpublished), next.Cursor())
			require.Equal(t, claimed, r.seq.claimed())
			require.Zero(t, r.Stats().Aborted)

			if unpublished > 0 {
				for s := claimed - int64(unpublished) + 1; s <= claimed; s++ {
					*r.Slot(s) = s
				}
				r.Publish(claimed-int64(unpublished)+1, claimed)
			}
			close(hold)
			publish(t, r, 8)
			require.NoError(t, r.Close(ctx))
			require.Equal(t, int64(1), late.first)
			require.Equal(t, int64(17), late.next)
			require.Equal(t, int64(17), base.next)
		}
	})
}

// TestJoin_FromAHandlerThatHoldsTheSlot: below what all had handled Join with many producers takes a
// sequence, and there is no slot for it before the handler returns.
func TestJoin_FromAHandlerThatHoldsTheSlot(t *testing.T) {
	r, err := New[int64](Options{Slots: 8})
	require.NoError(t, err)
	ctx := within(t)
	c := mustConsume(t, r, "c", ignore, ConsumerOptions{})
	require.NoError(t, r.Start())
	publish(t, r, 8)
	require.NoError(t, c.WaitFor(ctx, 8))

	joined := make(chan error, 1)
	_, err = r.Join(ctx, "holds", HandlerFunc[int64](func(first int64, span []int64) error {
		if first > 3 {
			return nil
		}
		var err error
		for hi := int64(0); err == nil; {
			if hi, err = r.TryClaim(1); err == nil {
				r.Publish(hi, hi)
			}
		}
		_, err = r.Join(ctx, "late", HandlerFunc[int64](ignore), ConsumerOptions{From: 4})
		joined <- err
		return nil
	}), ConsumerOptions{From: 3, MaxBatch: 1})
	require.NoError(t, err)
	require.ErrorIs(t, <-joined, ErrWouldDeadlock)
	require.Len(t, r.Stats().Consumers, 2, "who could not join holds nobody back")
	require.NoError(t, r.Close(ctx))
}

// TestBefore_ConsumersInFrontOfOthers puts consumers in front of one that clears the slots, before
// Start and later, between two others and at the head.
func TestBefore_ConsumersInFrontOfOthers(t *testing.T) {
	both(t, func(t *testing.T, mk maker) {
		ctx := within(t)
		r := mk(Options{Slots: 8})
		clearing, err := r.Consume("clear", Clear[int64](nil), ConsumerOptions{})
		require.NoError(t, err)
		publish(t, r, 3)
		first := &witness{}
		a, err := r.Consume("first", first, ConsumerOptions{Before: []*Consumer{clearing}})
		require.NoError(t, err)
		require.NoError(t, r.Start())
		require.NoError(t, clearing.WaitFor(ctx, 3))

		second := &witness{after: []*Consumer{a}}
		b, err := r.Join(ctx, "second", second, ConsumerOptions{After: []*Consumer{a}, Before: []*Consumer{clearing}})
		require.NoError(t, err)
		p, err := r.JoinPoller(ctx, "poller", ConsumerOptions{Before: []*Consumer{b, clearing}})
		require.NoError(t, err)
		var names [][]string
		for _, c := range r.Stats().Consumers {
			names = append(names, append([]string{c.Name}, c.After...))
		}
		require.Equal(t, [][]string{{"first"}, {"poller"}, {"second", "first", "poller"}, {"clear", "second", "poller"}}, names)

		publish(t, r, 8)
		require.NoError(t, a.WaitFor(ctx, 11))
		require.Equal(t, int64(3), b.Cursor(), "the poller has not moved")
		require.Zero(t, r.Remaining())
		for n := 0; n < 8; {
			_, span, err := p.Poll(8)
			require.NoError(t, err)
			for _, v := range span {
				n++
				require.Equal(t, int64(3+n), v)
			}
		}
		require.NoError(t, p.Leave())
		publish(t, r, 2)
		require.NoError(t, r.Close(ctx))
		require.Equal(t, int64(1), first.first)
		require.Equal(t, int64(14), first.next)
		require.Equal(t, int64(4), second.first)
		require.Equal(t, int64(14), second.next)
		require.Equal(t, make([]int64, 8), r.slots)
	})
}

func TestBefore_Errors(t *testing.T) {
	r, err := New[int64](Options{})
	require.NoError(t, err)
	other, err := New[int64](Options{})
	require.NoError(t, err)
	h := HandlerFunc[int64](ignore)
	stranger := mustConsume(t, other, "s", ignore, ConsumerOptions{})
	a := mustConsume(t, r, "a", ignore, ConsumerOptions{})
	b := mustConsume(t, r, "b", ignore, ConsumerOptions{After: []*Consumer{a}})
	c := mustConsume(t, r, "c", ignore, ConsumerOptions{})
	gone := mustConsume(t, r, "gone", ignore, ConsumerOptions{})
	require.NoError(t, r.Start())
	require.NoError(t, r.Leave(within(t), gone))
	for reason, o := range map[string]ConsumerOptions{
		"From: it cannot be chosen":               {Before: []*Consumer{b}, From: 1},
		`Before: consumer "b" does not come`:      {Before: []*Consumer{b}, After: []*Consumer{c}},
		`Before: consumer "a" does not come`:      {Before: []*Consumer{b, a}, After: []*Consumer{a}},
		`Before: consumer "c" does not come`:      {Before: []*Consumer{c}, After: []*Consumer{b}},
		`Before: consumer "gone" has left`:        {Before: []*Consumer{gone}},
		`Before: consumer "s" belongs to another`: {Before: []*Consumer{stranger}},
		"Before: entry 1 is nil":                  {Before: []*Consumer{b, nil}},
	} {
		_, err := r.Join(within(t), "x", h, o)
		var f *OptionError
		require.ErrorAs(t, err, &f, reason)
		require.ErrorContains(t, err, reason)
	}
	require.NoError(t, r.Close(within(t)))
	_, err = other.Share("s", func(*int64) uint64 { return 0 }, []Handler[int64]{h, h}, ConsumerOptions{Before: []*Consumer{stranger}})
	require.NoError(t, err)
	_ = mustConsume(t, other, "g/1", ignore, ConsumerOptions{})
	links := stranger.after()
	_, err = other.Share("g", func(*int64) uint64 { return 0 }, []Handler[int64]{h, h}, ConsumerOptions{Before: []*Consumer{stranger}})
	require.ErrorContains(t, err, `"g/1"`)
	require.Equal(t, links, stranger.after(), "nothing was changed")
}

type barrierFunc func() int64

func (f barrierFunc) Load() int64 { return f() }

// TestUpstream_LinkExchangedMeanwhile: what was found by an old link does not count.
func TestUpstream_LinkExchangedMeanwhile(t *testing.T) {
	c := &Consumer{}
	c.link.Store(&link{barrier: barrierFunc(func() int64 {
		c.link.Store(&link{barrier: barrierFunc(func() int64 { return 5 })})
		return 9
	})})
	require.Equal(t, int64(5), upstream{c}.Load())
}

// TestJoin_BehindANewcomer: one that began at an old event stands still, and who joins behind it waits for
// nothing.
func TestJoin_BehindANewcomer(t *testing.T) {
	both(t, func(t *testing.T, mk maker) {
		r := mk(Options{Slots: 8})
		head, err := r.Poller("head", ConsumerOptions{})
		require.NoError(t, err)
		require.NoError(t, r.Start())
		publish(t, r, 4)
		_, span, err := head.Poll(1)
		for err == nil && len(span) > 0 {
			_, span, err = head.Poll(8)
		}
		require.NoError(t, err)
		old, err := r.JoinPoller(within(t), "old", ConsumerOptions{From: 2})
		require.NoError(t, err)
		behind, err := r.JoinPoller(within(t), "behind", ConsumerOptions{After: []*Consumer{old.Consumer()}})
		require.NoError(t, err)
		require.Equal(t, int64(1), behind.Consumer().Cursor())
	})
}
