package ring

import (
	"io"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// idling hands out, at each idle time, the sequence that it waits for, and returns what it gets.
type idling struct {
	next   int64
	idle   chan int64
	answer chan func() error
}

func newIdling() *idling {
	return &idling{next: 1, idle: make(chan int64), answer: make(chan func() error)}
}

func (h *idling) HandleSpan(first int64, span []int64) error {
	h.next = first + int64(len(span))
	return nil
}

func (h *idling) OnIdle() error {
	h.idle <- h.next
	return (<-h.answer)()
}

func fine() error { return nil }

func TestIdleHandler_CalledAgainUntilEventsCome(t *testing.T) {
	for _, w := range []WaitStrategy{WaitAdaptive(), WaitPark(), WaitSleep(), WaitYield(), WaitSpin(), eagerPark()} {
		t.Run(w.String(), func(t *testing.T) {
			r, err := New[int64](Options{Slots: 8})
			require.NoError(t, err)
			h := newIdling()
			up := mustConsume(t, r, "up", ignore, ConsumerOptions{})
			_, err = r.Consume("c", h, ConsumerOptions{After: []*Consumer{up}, Wait: w, IdleAfter: time.Millisecond})
			require.NoError(t, err)
			require.NoError(t, r.Start())
			for range 3 {
				require.Equal(t, int64(1), <-h.idle)
				h.answer <- fine
			}
			require.Equal(t, int64(1), <-h.idle)
			publish(t, r, 5)
			require.NoError(t, up.WaitFor(within(t), 5))
			h.answer <- fine
			require.Equal(t, int64(6), <-h.idle, "after the events")
			h.answer <- fine
			closed := make(chan error)
			require.Equal(t, int64(6), <-h.idle)
			go func() { closed <- r.Close(within(t)) }()
			for !r.seq.stopping() {
				runtime.Gosched()
			}
			h.answer <- fine
			require.NoError(t, <-closed, "the end is no idle time")
		})
	}
}

func TestIdleHandler_FailureHalts(t *testing.T) {
	for how, fail := range map[string]func() error{
		"error":  func() error { return io.EOF },
		"panic":  func() error { panic(io.EOF) },
		"goexit": func() error { runtime.Goexit(); return nil },
	} {
		t.Run(how, func(t *testing.T) {
			r, err := New[int64](Options{Slots: 8})
			require.NoError(t, err)
			h := newIdling()
			_, err = r.Consume("c", h, ConsumerOptions{IdleAfter: 1, OnError: ErrorPolicy{Action: SkipOnError}})
			require.NoError(t, err)
			require.NoError(t, r.Start())
			<-h.idle
			h.answer <- fail
			<-r.Done()
			var c *ConsumerError
			require.ErrorAs(t, r.Err(), &c)
			require.Equal(t, int64(1), c.Sequence)
			if how == "goexit" {
				require.ErrorIs(t, c, ErrGoexit)
			} else {
				require.ErrorIs(t, c, io.EOF)
			}
		})
	}
}

// TestIdleHandler_BusyCostsNothing: setting the alarm again and again allocates nothing, and nobody
// is told of an hour that has not passed.
func TestIdleHandler_BusyCostsNothing(t *testing.T) {
	if raceEnabled || debugging {
		t.Skip("they allocate")
	}
	r, err := New[int64](Options{Slots: 8})
	require.NoError(t, err)
	c, err := r.Consume("c", newIdling(), ConsumerOptions{IdleAfter: time.Hour})
	require.NoError(t, err)
	require.NoError(t, r.Start())
	one := func() {
		hi, err := r.Claim(1)
		if err != nil {
			panic(err)
		}
		r.Publish(hi, hi)
		for c.Cursor() < hi {
			runtime.Gosched()
		}
	}
	one()
	require.Zero(t, testing.AllocsPerRun(1000, one))
	require.NoError(t, r.Close(within(t)))
}

func TestIdleAfter_Negative(t *testing.T) {
	r, err := New[int64](Options{})
	require.NoError(t, err)
	_, err = r.Consume("c", newIdling(), ConsumerOptions{IdleAfter: -1})
	require.ErrorContains(t, err, "ring: IdleAfter: ")
}
