package ring

import (
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestPin_ThreadOfItsOwn: nobody else ever runs on the thread of a pinned consumer, though there is one processor
// for all goroutines.
func TestPin_ThreadOfItsOwn(t *testing.T) {
	defer noteProcessors()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for _, pin := range []Pin{{Thread: true}, {CPUs: []int{anyCPU()}}} {
		r, err := New[int64](Options{Wait: WaitPark()})
		require.NoError(t, err)
		var thread atomic.Int64
		c := mustConsume(t, r, "c", func(int64, []int64) error {
			thread.Store(int64(syscall.Gettid()))
			return nil
		}, ConsumerOptions{Pin: pin})
		require.NoError(t, r.Start())
		ctx := within(t)
		for seq := range int64(100) {
			publish(t, r, 1)
			require.NoError(t, c.WaitFor(ctx, seq+1))
			require.NotEqual(t, thread.Load(), int64(syscall.Gettid()))
		}
		require.NoError(t, r.Close(ctx))
	}
}
