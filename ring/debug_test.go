//go:build headrace_debug

package ring

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMisuse_IsReported(t *testing.T) {
	claim := func(r *Ring[int64], n int) int64 {
		hi, err := r.Claim(n)
		require.NoError(t, err)
		return hi
	}
	for name, tc := range map[string]struct {
		only   []Producers
		reason string
		misuse func(r *Ring[int64])
	}{
		"publish without claim":    {nil, "not claimed", func(r *Ring[int64]) { r.Publish(1, 1) }},
		"publish past the claim":   {nil, "not claimed", func(r *Ring[int64]) { r.Publish(1, claim(r, 2)+1) }},
		"publish twice":            {nil, "published already", func(r *Ring[int64]) { claim(r, 2); r.Publish(1, 2); r.Publish(2, 2) }},
		"abort what was published": {nil, "published already", func(r *Ring[int64]) { claim(r, 1); r.Publish(1, 1); r.Abort(1, 1) }},
		"publish what was aborted": {nil, "published already", func(r *Ring[int64]) { claim(r, 1); r.Abort(1, 1); r.Publish(1, 1) }},
		"publish an empty range":   {nil, "range is empty", func(r *Ring[int64]) { claim(r, 1); r.Publish(1, 0) }},
		"publish more than a ring": {nil, "larger than the ring", func(r *Ring[int64]) { claim(r, 1); r.Publish(1, 1<<40) }},
		"publish out of order":     {[]Producers{SingleProducer}, "the next to be published is 1", func(r *Ring[int64]) { claim(r, 2); r.Publish(2, 2) }},
		"two goroutines claim":     {[]Producers{SingleProducer}, "has claims that are not published", func(r *Ring[int64]) { claim(r, 1); elsewhere(func() { claim(r, 1) }) }},
		"two goroutines at the same time": {[]Producers{SingleProducer}, "at the same time", func(r *Ring[int64]) {
			r.seq.debug.enter()
			elsewhere(func() { claim(r, 1) })
		}},
	} {
		kinds := tc.only
		if kinds == nil {
			kinds = []Producers{SingleProducer, MultiProducer}
		}
		for _, kind := range kinds {
			t.Run(name+"/"+kind.String(), func(t *testing.T) {
				r, err := New[int64](Options{Slots: 8, Producers: kind})
				require.NoError(t, err)
				var m *MisuseError
				func() {
					defer func() {
						err, _ := recover().(error)
						require.True(t, errors.As(err, &m), "%v", err)
					}()
					tc.misuse(r)
				}()
				require.Contains(t, m.Error(), "ring: misuse: ")
				require.Contains(t, m.Reason, tc.reason)
			})
		}
	}
}

// elsewhere runs f on another goroutine and brings its panic back.
func elsewhere(f func()) {
	caught := make(chan any)
	go func() {
		defer func() { caught <- recover() }()
		f()
	}()
	if v := <-caught; v != nil {
		panic(v)
	}
}

func TestMisuse_HandingOverIsNone(t *testing.T) {
	r, err := New[int64](Options{Slots: 8, Producers: SingleProducer})
	require.NoError(t, err)
	publish(t, r, 2)
	elsewhere(func() {
		hi, err := r.Claim(2)
		require.NoError(t, err)
		elsewhere(func() { r.Publish(hi-1, hi-1); r.Abort(hi, hi) })
	})
	publish(t, r, 1)
}

// TestMisuse_PollerClaimsFromItsOwnFullRing: whoever polls and finds no slot for what it publishes would wait for
// its own next call, with a span in hand or with events that it has not fetched. Somebody else's claim waits.
func TestMisuse_PollerClaimsFromItsOwnFullRing(t *testing.T) {
	for _, kind := range []Producers{SingleProducer, MultiProducer} {
		for _, w := range append(waits(), eagerPark()) {
			r, err := New[int64](Options{Slots: 2, Producers: kind, Wait: w})
			require.NoError(t, err)
			p, err := r.Poller("p", ConsumerOptions{})
			require.NoError(t, err)
			require.NoError(t, r.Start())
			ctx := within(t)
			_, span, err := p.Poll(1)
			require.NoError(t, err)
			require.Empty(t, span)
			publish(t, r, 2)
			_, err = r.ClaimContext(ctx, 1)
			require.ErrorIs(t, err, ErrWouldDeadlock, "nothing fetched")
			_, span, err = p.Poll(1)
			require.NoError(t, err)
			require.Len(t, span, 1)
			_, err = r.ClaimContext(ctx, 1)
			require.ErrorIs(t, err, ErrWouldDeadlock, "a span in hand")
			_, err = r.Producer().Next()
			require.ErrorIs(t, err, ErrWouldDeadlock)

			claimed := make(chan error)
			go func() {
				hi, err := r.ClaimContext(ctx, 1)
				r.Publish(hi, hi)
				claimed <- err
			}()
			for r.Stats().Waiting == 0 && w.name != "spin" {
				require.NoError(t, ctx.Err())
			}
			_, _, err = p.Poll(1) // gives the first slot back
			require.NoError(t, err)
			require.NoError(t, <-claimed)
			r.Halt()
		}
	}
}
