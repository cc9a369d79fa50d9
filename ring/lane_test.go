package ring

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestShare_KeysStayInOrderWhileLanesComeAndGo has lanes join and leave at random while one or two
// producers publish, with a consumer behind the group from the beginning and one that joins there.
func TestShare_KeysStayInOrderWhileLanesComeAndGo(t *testing.T) {
	count, changes := int64(20_000), 60
	if testing.Short() || raceEnabled {
		count, changes = 3_000, 12
	}
	seed := rand.Uint64()
	before := runtime.NumGoroutine()
	both(t, func(t *testing.T, mk maker) {
		for _, slots := range []int{2, 64} {
			rng := rand.New(rand.NewPCG(seed, uint64(slots)))
			r := mk(Options{Slots: slots, Wait: WaitPark()})
			defer r.Halt()
			ctx := within(t)
			book := new(ledger)
			up := mustConsume(t, r, "up", ignore, ConsumerOptions{})
			g, err := r.Share("lanes", sharedKey, []Handler[int64]{book.handler(0, false), book.handler(1, true)}, ConsumerOptions{After: []*Consumer{up}})
			require.NoError(t, err)
			behind := func(first int64, span []int64) error {
				for _, v := range span { // completion in order: its lane has handled it
					if last := book.last[v%sharedKeys].Load(); last < v {
						return fmt.Errorf("%d came before its lane had it, which is at %d", v, last)
					}
				}
				return nil
			}
			mustConsume(t, r, "after", behind, ConsumerOptions{After: g.Lanes()[:1]}) // behind one is behind all
			require.NoError(t, r.Start())
			var took, made atomic.Int64 // events of lanes that joined; changes
			var wg sync.WaitGroup
			wg.Add(1)
			go func() {
				defer wg.Done()
				for n := range count {
					for n > (made.Load()+2)*count/int64(changes+1) && r.Err() == nil { // not before there were changes
						runtime.Gosched()
					}
					hi, err := r.Claim(1)
					if err != nil {
						t.Errorf("seed %d: %v", seed, err)
						return
					}
					*r.Slot(hi) = hi
					r.Publish(hi, hi)
				}
			}()
			there, next := []int{0, 1}, 2
			for i := range changes {
				for r.Cursor() < int64(i+1)*count/int64(changes+1) && r.Err() == nil {
					runtime.Gosched()
				}
				if len(there) == 1 || len(there) < 5 && rng.IntN(2) == 0 {
					h := book.handler(next, rng.IntN(2) == 0)
					index, err := g.JoinLane(ctx, HandlerFunc[int64](func(first int64, span []int64) error {
						took.Add(int64(len(span)))
						return h.HandleSpan(first, span)
					}))
					require.NoError(t, err, "seed %d", seed)
					require.Equal(t, next, index)
					there, next = append(there, index), next+1
				} else {
					k := rng.IntN(len(there))
					require.NoError(t, g.LeaveLane(ctx, there[k]), "seed %d", seed)
					require.NoError(t, g.LeaveLane(ctx, there[k]), "it has left already")
					there = append(there[:k], there[k+1:]...)
				}
				if i%8 == 3 {
					late, err := r.Join(ctx, "late", HandlerFunc[int64](behind), ConsumerOptions{After: g.Lanes()[:1]})
					require.NoError(t, err, "seed %d", seed)
					defer func() { require.NoError(t, r.Leave(ctx, late)) }()
					require.NoError(t, r.Leave(ctx, late))
				}
				var names []string
				for _, c := range g.Lanes() {
					names = append(names, c.Name())
				}
				var want []string
				for _, index := range there {
					want = append(want, fmt.Sprint("lanes/", index))
				}
				require.ElementsMatch(t, want, names)
				made.Add(1)
			}
			wg.Wait()
			require.NoError(t, r.Close(ctx), "seed %d", seed)
			require.Equal(t, count, book.sum.Load(), "seed %d", seed)
			require.Positive(t, took.Load(), "seed %d: no lane that joined ever had a key", seed)
			require.LessOrEqual(t, len(g.lanes), 8, "lanes that have left are kept")
			n := 0
			for e := g.epoch.Load(); e != nil; e = e.before.Load() {
				n++
			}
			require.Less(t, n, changes/2+8, "epochs that nobody needs are kept")
		}
	})
	requireGoroutines(t, before)
}

// TestShare_NewLaneWaitsForTheOldOnes: an event of a key that moves to the new lane comes after
// those that the old lane still has, though that lane is stuck in the span with the older one.
func TestShare_NewLaneWaitsForTheOldOnes(t *testing.T) {
	two, three := &epoch{lanes: []int{0, 1}}, &epoch{lanes: []int{0, 1, 2}}
	moves, stays := uint64(1), uint64(1)
	for three.lane(moves) != 2 {
		moves++
	}
	for three.lane(stays) != two.lane(moves) {
		stays++
	}
	both(t, func(t *testing.T, mk maker) {
		r := mk(Options{Slots: 16})
		defer r.Halt()
		ctx := within(t)
		var mu sync.Mutex
		var got []int64
		entered, release := make(chan struct{}), make(chan struct{})
		h := HandlerFunc[int64](func(first int64, span []int64) error {
			if first == 1 {
				close(entered)
				<-release
			}
			mu.Lock()
			defer mu.Unlock()
			for i := range span {
				got = append(got, first+int64(i))
			}
			return nil
		})
		key := func(v *int64) uint64 { return uint64(*v) }
		g, err := r.Share("g", key, []Handler[int64]{h, h}, ConsumerOptions{MaxBatch: 16})
		require.NoError(t, err)
		put := func(k uint64) {
			hi, err := r.Claim(1)
			require.NoError(t, err)
			*r.Slot(hi) = int64(k)
			r.Publish(hi, hi)
		}
		require.NoError(t, r.Start())
		put(moves)
		<-entered // the old lane is in event 1
		put(moves)
		index, err := g.JoinLane(ctx, h)
		require.NoError(t, err)
		put(moves) // of the new lane, which must not be ahead of 1 and 2
		put(stays)
		stuck := g.lanes[two.lane(moves)].loop.Consumer
		for stuck.gate.wakeAt.Load() == never { // the new lane waits there
			runtime.Gosched()
		}
		mu.Lock()
		require.Empty(t, got)
		mu.Unlock()
		close(release)
		require.NoError(t, r.Close(ctx))
		mu.Lock()
		defer mu.Unlock()
		at := map[int64]int{}
		for i, seq := range got {
			at[seq] = i
		}
		require.Len(t, at, 4)
		require.Less(t, at[1], at[2])
		require.Less(t, at[2], at[3])
		require.Equal(t, 2, index)
	})
}

func TestShare_LanesFromAHandler(t *testing.T) {
	r, err := New[int64](Options{Slots: 8})
	require.NoError(t, err)
	ctx := within(t)
	var g *Shared[int64]
	h := HandlerFunc[int64](ignore)
	answers := make(chan error, 2)
	mustConsume(t, r, "up", func(first int64, _ []int64) error {
		if first == 1 {
			_, err := g.JoinLane(ctx, h)
			answers <- err
			answers <- g.LeaveLane(ctx, 0)
		}
		return nil
	}, ConsumerOptions{})
	g, err = r.Share("g", sharedKey, []Handler[int64]{h, h}, ConsumerOptions{})
	require.NoError(t, err)
	require.NoError(t, r.Start())
	publish(t, r, 1)
	require.NoError(t, <-answers)
	require.ErrorIs(t, <-answers, ErrWouldDeadlock)
	require.Len(t, g.Lanes(), 3)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, err = g.JoinLane(ended, h)
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, r.Close(ctx))
	_, err = g.JoinLane(ctx, h)
	require.ErrorIs(t, err, ErrClosed)
	require.Len(t, g.Lanes(), 3)
}

// TestShare_ErrorNamesAnEventOfAnotherLane: a lane's handler cannot skip what is not its own.
func TestShare_ErrorNamesAnEventOfAnotherLane(t *testing.T) {
	two := &epoch{lanes: []int{0, 1}}
	other := uint64(1)
	for two.lane(other) == two.lane(0) {
		other++
	}
	r, err := New[int64](Options{Slots: 8})
	require.NoError(t, err)
	var skipped []int64
	mine := HandlerFunc[int64](func(first int64, span []int64) error {
		if first == 1 {
			return At(2, ErrFull) // the other lane's; 3 is to come
		}
		for i := range span {
			skipped = append(skipped, -first-int64(i))
		}
		return nil
	})
	handlers := []Handler[int64]{HandlerFunc[int64](ignore), HandlerFunc[int64](ignore)}
	handlers[two.lane(0)] = mine
	_, err = r.Share("g", func(v *int64) uint64 { return uint64(*v) }, handlers, ConsumerOptions{MaxBatch: 8,
		OnError: ErrorPolicy{Action: SkipOnError, Report: func(e *ConsumerError) { skipped = append(skipped, e.Sequence, e.Last) }}})
	require.NoError(t, err)
	hi, err := r.Claim(3)
	require.NoError(t, err)
	for i, k := range []uint64{0, other, 0} {
		*r.Slot(hi - 2 + int64(i)) = int64(k)
	}
	r.Publish(hi-2, hi)
	require.NoError(t, r.Start())
	require.NoError(t, r.Close(within(t)))
	require.Equal(t, []int64{1, 1, -3}, skipped)
}
