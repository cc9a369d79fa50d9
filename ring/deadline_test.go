package ring

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestClaimUntil_GivesUpAtTheDeadline_OrGetsTheSlot(t *testing.T) {
	both(t, func(t *testing.T, mk maker) {
		for _, w := range append(waits(), eagerPark()) {
			r := mk(Options{Slots: 4, Wait: w})
			defer r.Halt()
			entered, leave := make(chan struct{}), make(chan struct{})
			mustConsume(t, r, "slow", func(first int64, _ []int64) error {
				if first == 1 {
					close(entered)
					<-leave
				}
				return nil
			}, ConsumerOptions{MaxBatch: 4})
			fill := func(int64, []int64, []int64) error {
				t.Error("fill was called")
				return nil
			}
			for _, started := range []bool{false, true} {
				if started {
					require.NoError(t, r.Start())
					<-entered
				} else {
					publish(t, r, 4)
				}
				// Whoever only looks at the clock while parked hangs here: nothing else wakes it.
				due := time.Now().Add(2 * time.Millisecond)
				_, err := r.ClaimUntil(due, 1)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.False(t, time.Now().Before(due), "it gave up too early")
				_, err = r.PublishFuncUntil(time.Now().Add(time.Microsecond), 2, fill)
				require.ErrorIs(t, err, context.DeadlineExceeded)
			}
			got := make(chan error)
			go func() {
				_, err := r.PublishFuncUntil(time.Now().Add(time.Hour), 1, func(int64, []int64, []int64) error { return nil })
				got <- err
			}()
			close(leave)
			require.NoError(t, <-got)
			for _, past := range []time.Time{{}, time.Now(), time.Now().Round(0).Add(-time.Hour)} {
				_, err := r.ClaimUntil(past, 1)
				require.ErrorIs(t, err, context.DeadlineExceeded, "there is room, but it is too late")
			}
			for _, n := range []int{-1, 0, 5} {
				_, err := r.ClaimUntil(time.Now().Add(time.Hour), n)
				require.ErrorIs(t, err, ErrClaimSize)
			}
			hi, err := r.ClaimUntil(time.Unix(1<<40, 0), 2) // further than a Duration reaches
			require.NoError(t, err)
			r.Publish(hi-1, hi)
			require.NoError(t, r.Close(within(t)))
			require.Equal(t, int64(7), r.Cursor())
			_, err = r.ClaimUntil(time.Now().Add(time.Hour), 1)
			require.ErrorIs(t, err, ErrClosed)
		}
	})
}

func TestClaimUntil_EndsWhenTheRingHalts(t *testing.T) {
	both(t, func(t *testing.T, mk maker) {
		r := mk(Options{Slots: 1, Wait: eagerPark()})
		mustConsume(t, r, "c", ignore, ConsumerOptions{})
		publish(t, r, 1) // nobody has been started
		failed := make(chan error)
		go func() {
			_, err := r.ClaimUntil(time.Now().Add(time.Hour), 1)
			failed <- err
		}()
		for r.Stats().Waiting == 0 {
			runtime.Gosched()
		}
		r.Halt()
		require.ErrorIs(t, <-failed, ErrHalted)
	})
}

// TestClaimUntil_AllocatesNothing also where it has to wait, and gives up parked.
func TestClaimUntil_AllocatesNothing(t *testing.T) {
	if raceEnabled || debugging {
		t.Skip("sync.Pool drops what it gets under the race detector; the checks of a debug build allocate")
	}
	both(t, func(t *testing.T, mk maker) {
		r := mk(Options{Slots: 2, Wait: eagerPark()})
		defer r.Halt()
		mustConsume(t, r, "c", ignore, ConsumerOptions{})
		publish(t, r, 2) // it is full until Start
		wait := func() {
			if _, err := r.ClaimUntil(time.Now().Add(20*time.Microsecond), 1); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatal(err)
			}
		}
		wait() // makes the timer
		require.Less(t, testing.AllocsPerRun(200, wait), 1.0)
		require.NoError(t, r.Start())
		require.Less(t, testing.AllocsPerRun(200, func() {
			hi, err := r.ClaimUntil(time.Now().Add(time.Minute), 1)
			if err != nil {
				t.Fatal(err)
			}
			r.Publish(hi, hi)
		}), 1.0)
		require.NoError(t, r.Close(within(t)))
	})
}
