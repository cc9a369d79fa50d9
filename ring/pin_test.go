package ring

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace/internal/cpu"
)

func TestPin(t *testing.T) {
	r, err := New[int64](Options{})
	require.NoError(t, err)
	var o *OptionError
	for _, n := range []int{-1, 1 << 20, math.MaxInt} {
		_, err = r.Consume("c", HandlerFunc[int64](ignore), ConsumerOptions{Pin: Pin{CPUs: []int{n}}})
		require.ErrorAs(t, err, &o)
		require.Equal(t, "Pin.CPUs", o.Field)
	}
	thread := mustConsume(t, r, "thread", ignore, ConsumerOptions{Pin: Pin{Thread: true}})
	if cpu.CanPin {
		only := anyCPU()
		mustConsume(t, r, "pinned", func(int64, []int64) error {
			for n := range 256 {
				if cpu.Allowed(n) != (n == only) {
					t.Errorf("processor %d", n)
				}
			}
			return nil
		}, ConsumerOptions{Pin: Pin{CPUs: []int{only}}})
	}
	publish(t, r, 1)
	require.NoError(t, r.Start())
	require.NoError(t, r.Close(within(t)))
	require.Equal(t, int64(1), thread.Cursor())
}

// anyCPU is one that the process may use.
func anyCPU() (n int) {
	for !cpu.Allowed(n) {
		n++
	}
	return n
}
