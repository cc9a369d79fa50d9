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
		misuse func(r *Ring[int64])
	}{
		"publish without claim":    {nil, func(r *Ring[int64]) { r.Publish(1, 1) }},
		"publish past the claim":   {nil, func(r *Ring[int64]) { r.Publish(1, claim(r, 2)+1) }},
		"publish twice":            {nil, func(r *Ring[int64]) { claim(r, 2); r.Publish(1, 2); r.Publish(2, 2) }},
		"abort what was published": {nil, func(r *Ring[int64]) { claim(r, 1); r.Publish(1, 1); r.Abort(1, 1) }},
		"publish what was aborted": {nil, func(r *Ring[int64]) { claim(r, 1); r.Abort(1, 1); r.Publish(1, 1) }},
		"publish an empty range":   {nil, func(r *Ring[int64]) { claim(r, 1); r.Publish(1, 0) }},
		"publish more than a ring": {nil, func(r *Ring[int64]) { claim(r, 1); r.Publish(1, 1<<40) }},
		"publish out of order":     {[]Producers{SingleProducer}, func(r *Ring[int64]) { claim(r, 2); r.Publish(2, 2) }},
		"two goroutines claim":     {[]Producers{SingleProducer}, func(r *Ring[int64]) { claim(r, 1); elsewhere(func() { claim(r, 1) }) }},
		"two goroutines at the same time": {[]Producers{SingleProducer}, func(r *Ring[int64]) {
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
