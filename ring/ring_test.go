package ring

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// both runs a test with each kind of producers, with and without the asymmetric fence.
func both(t *testing.T, f func(t *testing.T, mk maker)) {
	for _, p := range []Producers{SingleProducer, MultiProducer} {
		for _, plain := range plainModes() {
			t.Run(fmt.Sprintf("producers=%v/plain=%v", p, plain), func(t *testing.T) {
				f(t, func(o Options) *Ring[int64] {
					o.Producers = p
					r, err := newRing[int64](o, plain)
					require.NoError(t, err)
					biasAtOnce(r)
					return r
				})
			})
		}
	}
}

type maker func(Options) *Ring[int64]

// within is a bound on how long a correct test may take before it is called hung.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func publish(t *testing.T, r *Ring[int64], n int) {
	t.Helper()
	hi, err := r.Claim(n)
	require.NoError(t, err)
	for s := hi - int64(n) + 1; s <= hi; s++ {
		*r.Slot(s) = s
	}
	r.Publish(hi-int64(n)+1, hi)
}

func TestRing_ClaimPublishHandle(t *testing.T) {
	both(t, func(t *testing.T, mk maker) {
		r := mk(Options{Slots: 8})
		var got []int64
		_, err := r.Consume("a", HandlerFunc[int64](func(first int64, span []int64) error {
			for i, v := range span {
				require.Equal(t, first+int64(i), v)
				got = append(got, v)
			}
			return nil
		}), ConsumerOptions{})
		require.NoError(t, err)
		publish(t, r, 8)
		_, err = r.TryClaim(1)
		require.ErrorIs(t, err, ErrFull)
		require.NoError(t, r.Start())
		for n := range 1000 {
			publish(t, r, n%8+1)
		}
		require.NoError(t, r.Close(within(t)))
		require.Len(t, got, 8+4500)
		_, err = r.Claim(1)
		require.ErrorIs(t, err, ErrClosed)
	})
}
