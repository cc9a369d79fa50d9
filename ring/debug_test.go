//go:build headrace_debug

package ring

import (
	"context"
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
		"slot without claim":       {nil, func(r *Ring[int64]) { claim(r, 2); r.Slot(3) }},
		"slot before the first":    {nil, func(r *Ring[int64]) { claim(r, 2); r.Slot(0) }},
		"span past the claim":      {nil, func(r *Ring[int64]) { claim(r, 2); r.Span(2, 3) }},
		"slot of another by now":   {nil, func(r *Ring[int64]) { consumed(r, 9); r.Slot(1) }},
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

// consumed publishes n events to a consumer.
func consumed(r *Ring[int64], n int) {
	_, err := r.Consume("c", HandlerFunc[int64](ignore), ConsumerOptions{})
	if err == nil {
		err = r.Start()
	}
	for range n {
		if err == nil {
			_, err = r.PublishFunc(1, func(int64, []int64, []int64) error { return nil })
		}
	}
	if err != nil {
		panic(err)
	}
	r.Halt()
}

// TestMisuse_PollerThatWaitsForItself: what a handler is told in every build.
func TestMisuse_PollerThatWaitsForItself(t *testing.T) {
	both(t, func(t *testing.T, mk maker) {
		r := mk(Options{Slots: 4})
		p, err := r.Poller("p", ConsumerOptions{})
		require.NoError(t, err)
		mustConsume(t, r, "c", ignore, ConsumerOptions{After: []*Consumer{p.Consumer()}})
		require.NoError(t, r.Start())
		publish(t, r, 4)
		_, span, err := p.Poll(4)
		require.NoError(t, err)
		require.Len(t, span, 1)
		_, err = r.Claim(1)
		require.ErrorIs(t, err, ErrWouldDeadlock)
		require.ErrorIs(t, p.Consumer().WaitFor(within(t), 1), ErrWouldDeadlock)
		require.ErrorIs(t, r.Leave(within(t), p.Consumer()), ErrWouldDeadlock)
		_, _, err = p.Poll(4)
		require.ErrorIs(t, err, ErrLeft)
		publish(t, r, 4)
		require.NoError(t, r.Close(within(t)))

		r = mk(Options{})
		p, err = r.Poller("p", ConsumerOptions{})
		require.NoError(t, err)
		require.NoError(t, r.Start())
		_, _, err = p.Poll(4)
		require.NoError(t, err)
		require.ErrorIs(t, r.Close(context.Background()), ErrWouldDeadlock)
		_, _, err = p.Poll(4)
		require.ErrorIs(t, err, ErrClosed)
		require.NoError(t, r.Close(context.Background()))
	})
}
