package ring

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// abortRecorder notes what it is given, aborted events included.
type abortRecorder struct {
	seen    []int64
	aborted []int64
}

func (a *abortRecorder) HandleSpan(first int64, span []int64) error {
	for i, v := range span {
		if v != first+int64(i) {
			return fmt.Errorf("slot %d holds %d", first+int64(i), v)
		}
		a.seen = append(a.seen, v)
	}
	return nil
}

func (a *abortRecorder) OnAbort(lo, hi int64) error {
	for ; lo <= hi; lo++ {
		a.aborted = append(a.aborted, lo)
	}
	return nil
}

func TestAbort_ConsumersSkipExactlyTheAborted(t *testing.T) {
	seed := rand.Uint64()
	both(t, func(t *testing.T, mk maker) {
		for _, slots := range []int{1, 2, 8, 64} {
			rng := rand.New(rand.NewPCG(seed, uint64(slots)))
			r := mk(Options{Slots: slots, FirstSequence: 5})
			var plain []int64
			noted := new(abortRecorder)
			up, err := r.Consume("noted", noted, ConsumerOptions{})
			require.NoError(t, err)
			last := mustConsume(t, r, "plain", func(first int64, span []int64) error {
				plain = append(plain, span...)
				return nil
			}, ConsumerOptions{After: []*Consumer{up}})
			require.NoError(t, r.Start())
			var kept, given []int64
			for range 2000 {
				n := int64(1 + rng.IntN(min(slots, 6)))
				hi, err := r.Claim(int(n))
				require.NoError(t, err)
				for lo := hi - n + 1; lo <= hi; { // parts, each published or aborted
					end := lo + rng.Int64N(hi-lo+1)
					abort := rng.IntN(3) == 0
					for s := lo; s <= end; s++ {
						if abort {
							*r.Slot(s) = -1
							given = append(given, s)
						} else {
							*r.Slot(s) = s
							kept = append(kept, s)
						}
					}
					if abort {
						r.Abort(lo, end)
					} else {
						r.Publish(lo, end)
					}
					lo = end + 1
				}
			}
			require.NoError(t, r.Close(within(t)), "seed %d", seed)
			require.Equal(t, kept, noted.seen, "seed %d", seed)
			require.Equal(t, given, noted.aborted, "seed %d", seed)
			require.Equal(t, kept, plain, "seed %d", seed)
			require.Equal(t, r.Cursor(), last.Cursor())
		}
	})
}

// TestAbort_EmptyRange: nothing is aborted, and nothing becomes readable.
func TestAbort_EmptyRange(t *testing.T) {
	if debugging {
		t.Skip("a misuse there")
	}
	both(t, func(t *testing.T, mk maker) {
		r := mk(Options{Slots: 8})
		hi, err := r.Claim(3)
		require.NoError(t, err)
		r.Abort(hi, hi-1)
		require.Equal(t, int64(0), r.Cursor())
		require.Zero(t, r.Stats().Aborted)
	})
}

// TestAbort_ManyProducers aborts and publishes out of order, from several goroutines.
func TestAbort_ManyProducers(t *testing.T) {
	for _, plain := range plainModes() {
		r, err := newRing[int64](Options{Slots: 32}, plain)
		require.NoError(t, err)
		noted := new(abortRecorder)
		_, err = r.Consume("noted", noted, ConsumerOptions{})
		require.NoError(t, err)
		require.NoError(t, r.Start())
		rounds := 3000
		if testing.Short() || raceEnabled {
			rounds = 500
		}
		var wg sync.WaitGroup
		for p := range 3 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for i := range rounds {
					hi, err := r.Claim(2)
					if err != nil {
						t.Error(err)
						return
					}
					*r.Slot(hi - 1), *r.Slot(hi) = hi-1, hi
					if i%16 == 0 {
						runtime.Gosched()
					}
					if (i+p)%2 == 0 {
						r.Abort(hi-1, hi)
					} else {
						r.Publish(hi-1, hi)
					}
				}
			}()
		}
		wg.Wait()
		require.NoError(t, r.Close(within(t)))
		require.Len(t, noted.seen, 3*rounds)
		require.Len(t, noted.aborted, 3*rounds)
	}
}

func TestPublishFunc(t *testing.T) {
	boom := errors.New("boom")
	both(t, func(t *testing.T, mk maker) {
		r := mk(Options{Slots: 4})
		noted := new(abortRecorder)
		_, err := r.Consume("noted", noted, ConsumerOptions{})
		require.NoError(t, err)
		fill := func(first int64, a, b []int64) error {
			for i := range a {
				a[i] = first + int64(i)
			}
			for i := range b {
				b[i] = first + int64(len(a)+i)
			}
			return nil
		}
		hi, err := r.PublishFunc(2, fill)
		require.NoError(t, err)
		require.Equal(t, int64(2), hi)
		_, err = r.TryPublishFunc(3, fill)
		require.ErrorIs(t, err, ErrFull)
		require.NoError(t, r.Start())
		wrapped := false
		hi, err = r.PublishFuncContext(within(t), 4, func(first int64, a, b []int64) error {
			wrapped = len(a) == 1 && len(b) == 3
			return fill(first, a, b)
		})
		require.NoError(t, err)
		require.Equal(t, int64(6), hi)
		require.True(t, wrapped)

		_, err = r.PublishFunc(1, func(int64, []int64, []int64) error { return boom })
		require.ErrorIs(t, err, boom)
		require.PanicsWithValue(t, "boom", func() {
			_, _ = r.PublishFunc(2, func(int64, []int64, []int64) error { panic("boom") })
		})
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			_, _ = r.PublishFunc(1, func(int64, []int64, []int64) error { runtime.Goexit(); return nil })
		}()
		<-gone
		_, err = r.PublishFunc(5, fill)
		require.ErrorIs(t, err, ErrClaimSize)
		require.NoError(t, r.Close(within(t)))
		require.Equal(t, []int64{1, 2, 3, 4, 5, 6}, noted.seen)
		require.Equal(t, []int64{7, 8, 9, 10}, noted.aborted)
		_, err = r.PublishFunc(1, fill)
		require.ErrorIs(t, err, ErrClosed)
	})
}

func TestSpan_Parts(t *testing.T) {
	r, err := New[int64](Options{Slots: 4})
	require.NoError(t, err)
	for lo := int64(1); lo < 10; lo++ {
		for n := int64(1); n <= 4; n++ {
			a, b := r.Span(lo, lo+n-1)
			require.Equal(t, int(n), len(a)+len(b))
			for i := range n {
				p := r.Slot(lo + i)
				if i < int64(len(a)) {
					require.Same(t, p, &a[i])
				} else {
					require.Same(t, p, &b[i-int64(len(a))])
				}
			}
		}
	}
	a, b := r.Span(1, 5)
	require.Nil(t, a)
	require.Nil(t, b)
	a, _ = r.Span(2, 1)
	require.Nil(t, a)
}

func TestAbortAndPublishFunc_NoAllocation(t *testing.T) {
	both(t, func(t *testing.T, mk maker) {
		r := mk(Options{Slots: 8})
		mustConsume(t, r, "c", ignore, ConsumerOptions{})
		require.NoError(t, r.Start())
		hi, err := r.Claim(1)
		require.NoError(t, err)
		r.Abort(hi, hi) // takes the memory
		fail := false
		allocs := testing.AllocsPerRun(1000, func() {
			fail = !fail
			_, err := r.PublishFunc(2, func(first int64, a, b []int64) error {
				if fail {
					return ErrFull
				}
				a[0] = first
				return nil
			})
			if fail != (err != nil) {
				t.Fatal(err)
			}
		})
		if !raceEnabled && !debugging {
			require.Zero(t, allocs)
		}
		require.NoError(t, r.Close(within(t)))
	})
}
