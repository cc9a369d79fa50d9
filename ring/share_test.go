package ring

import (
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const sharedKeys = 13

func sharedKey(e *int64) uint64 { return uint64(*e % sharedKeys) }

// ledger is what all lanes write: the last sequence of each key. Sequence s has key s mod 13, so
// that of each key every thirteenth has to come.
type ledger struct {
	last [sharedKeys]atomic.Int64
	by   [sharedKeys]atomic.Int64 // lane that had it last
	sum  atomic.Int64
}

func (b *ledger) handler(lane int, dawdle bool) Handler[int64] {
	return HandlerFunc[int64](func(first int64, span []int64) error {
		for i, v := range span {
			if v != first+int64(i) {
				return fmt.Errorf("slot of %d holds %d", first+int64(i), v)
			}
			k := v % sharedKeys
			if last := b.last[k].Load(); last != 0 && last != v-sharedKeys || last == 0 && v > sharedKeys {
				return fmt.Errorf("key %d: %d came after %d", k, v, last)
			}
			if dawdle && v%5 == 0 {
				runtime.Gosched()
			}
			b.last[k].Store(v)
			b.by[k].Store(int64(lane))
			b.sum.Add(1)
		}
		return nil
	})
}

func TestShare_KeysStayInOrderWhileLanesLeave(t *testing.T) {
	count := int64(20_000)
	if testing.Short() || raceEnabled {
		count = 4_000
	}
	seed := rand.Uint64()
	before := runtime.NumGoroutine()
	both(t, func(t *testing.T, mk maker) {
		for _, slots := range []int{2, 64, 1024} {
			rng := rand.New(rand.NewPCG(seed, uint64(slots)))
			r := mk(Options{Slots: slots, Wait: WaitPark()})
			defer r.Halt()
			ctx := within(t)
			book := new(ledger)
			up := mustConsume(t, r, "up", ignore, ConsumerOptions{})
			var hs []Handler[int64]
			for i := range 4 {
				hs = append(hs, book.handler(i, i%2 == 0))
			}
			g, err := r.Share("lanes", sharedKey, hs, ConsumerOptions{After: []*Consumer{up}})
			require.NoError(t, err)
			mustConsume(t, r, "after", func(first int64, span []int64) error {
				for _, v := range span { // completion in order: its lane has handled it
					if last := book.last[v%sharedKeys].Load(); last < v {
						return fmt.Errorf("%d came before its lane had it, which is at %d", v, last)
					}
				}
				return nil
			}, ConsumerOptions{After: g.Lanes()})
			require.NoError(t, r.Start())
			var wg sync.WaitGroup
			wg.Add(1)
			go func() {
				defer wg.Done()
				for range count {
					hi, err := r.Claim(1)
					if err != nil {
						t.Errorf("seed %d: %v", seed, err)
						return
					}
					*r.Slot(hi) = hi
					r.Publish(hi, hi)
				}
			}()
			gone := rng.Perm(4)[:3]
			for i, lane := range gone {
				for r.Cursor() < int64(i+1)*count/5 && r.Err() == nil {
					runtime.Gosched()
				}
				require.NoError(t, g.LeaveLane(ctx, lane), "seed %d", seed)
				require.Len(t, g.Lanes(), 3-i)
			}
			require.ErrorIs(t, g.LeaveLane(ctx, 6-gone[0]-gone[1]-gone[2]), ErrLastConsumer)
			require.NoError(t, g.LeaveLane(ctx, gone[0]), "it has left already")
			wg.Wait()
			require.NoError(t, r.Close(ctx), "seed %d", seed)
			require.Equal(t, count, book.sum.Load(), "seed %d", seed)
		}
	})
	requireGoroutines(t, before)
}

func TestShare_SpreadsKeysAndMovesOnlyThoseOfWhoLeft(t *testing.T) {
	all, three := &epoch{lanes: []int{0, 1, 2, 3}}, &epoch{lanes: []int{0, 1, 3}}
	var share [4]int
	for key := range uint64(4000) {
		i, k := all.lane(key), three.lane(key)
		share[i]++
		if i != 2 {
			require.Equal(t, i, k, "key %d moved", key)
		}
	}
	for i, n := range share {
		require.InDelta(t, 1000, n, 150, "lane %d", i)
	}
}

func TestShare_ErrorPolicyConcernsTheLanesOwnEvents(t *testing.T) {
	for how, fail := range failing {
		t.Run(how, func(t *testing.T) {
			r, err := New[int64](Options{Slots: 64})
			require.NoError(t, err)
			var handled atomic.Int64
			h := HandlerFunc[int64](func(first int64, span []int64) error {
				for i, v := range span {
					if v%8 == 0 && len(span) == 1 {
						return fail(first + int64(i))
					}
				}
				handled.Add(int64(len(span)))
				return nil
			})
			var mu sync.Mutex
			var skipped []int64
			three, odd := &epoch{lanes: []int{0, 1, 2}}, uint64(1)
			for three.lane(odd) == three.lane(0) { // spans of one, as neighbours go to different lanes
				odd++
			}
			_, err = r.Share("g", func(e *int64) uint64 { return uint64(*e) % 2 * odd }, []Handler[int64]{h, h, h}, ConsumerOptions{
				MaxBatch: 64, OnError: ErrorPolicy{Action: SkipOnError, Retries: 1, Backoff: time.Microsecond, Report: func(e *ConsumerError) {
					mu.Lock()
					defer mu.Unlock()
					for s := e.Sequence; s <= e.Last; s++ {
						skipped = append(skipped, s)
					}
				}}})
			require.NoError(t, err)
			publish(t, r, 40)
			require.NoError(t, r.Start())
			require.NoError(t, r.Close(within(t)))
			require.Equal(t, []int64{8, 16, 24, 32, 40}, skipped)
			require.Equal(t, int64(35), handled.Load())
		})
	}
}

func TestShare_Errors(t *testing.T) {
	r, err := New[int64](Options{})
	require.NoError(t, err)
	ctx := within(t)
	h := HandlerFunc[int64](ignore)
	var o *OptionError
	_, err = r.Share("g", nil, []Handler[int64]{h}, ConsumerOptions{})
	require.ErrorAs(t, err, &o)
	_, err = r.Share("g", sharedKey, nil, ConsumerOptions{})
	require.ErrorAs(t, err, &o)
	_, err = r.Share("g", sharedKey, []Handler[int64]{h, nil}, ConsumerOptions{})
	require.ErrorAs(t, err, &o)
	_, err = r.Share("", sharedKey, []Handler[int64]{h}, ConsumerOptions{})
	require.ErrorAs(t, err, &o)
	mustConsume(t, r, "g/1", ignore, ConsumerOptions{})
	_, err = r.Share("g", sharedKey, []Handler[int64]{h, h}, ConsumerOptions{})
	require.ErrorAs(t, err, &o)
	require.Len(t, r.Stats().Consumers, 1, "all or none")
	g, err := r.Share("k", sharedKey, []Handler[int64]{h, HandlerFunc[int64](func(int64, []int64) error { return io.EOF })}, ConsumerOptions{})
	require.NoError(t, err)
	require.ErrorAs(t, g.LeaveLane(ctx, 2), &o)
	require.ErrorAs(t, g.LeaveLane(ctx, -1), &o)
	require.ErrorIs(t, g.LeaveLane(ctx, 1), ErrNotStarted)
	_, err = g.JoinLane(ctx, h)
	require.ErrorIs(t, err, ErrNotStarted)
	_, err = g.JoinLane(ctx, nil)
	require.ErrorAs(t, err, &o)
	require.NoError(t, r.Start())
	require.ErrorAs(t, r.Leave(ctx, g.Lanes()[0]), &o)
	publish(t, r, 20) // the second lane fails
	<-r.Done()
	require.ErrorIs(t, g.LeaveLane(ctx, 1), ErrHalted)
	_, err = g.JoinLane(ctx, h)
	require.ErrorIs(t, err, ErrHalted)
}
