package ring

import (
	"flag"
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var idle = flag.Bool("idle", false, "measure the processor time of idle consumers, for some seconds")

// TestWait_IdleConsumersCostNothing is about more consumers than processors, of which none has
// anything to do: under 1 % of a processor each.
func TestWait_IdleConsumersCostNothing(t *testing.T) {
	if !*idle {
		t.Skip("measures time: run with -idle on a quiet machine")
	}
	for _, procs := range []int{1, runtime.NumCPU()} {
		for _, w := range []WaitStrategy{{}, WaitPark(), WaitSleep()} {
			t.Run(fmt.Sprintf("procs=%d/wait=%v", procs, w), func(t *testing.T) {
				defer noteProcessors()
				defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
				noteProcessors()
				consumers := 4 * runtime.NumCPU()
				r, err := New[int64](Options{Wait: w})
				require.NoError(t, err)
				for i := range consumers {
					mustConsume(t, r, fmt.Sprint(i), ignore, ConsumerOptions{})
				}
				require.NoError(t, r.Start())
				publish(t, r, 100)
				const window = 2 * time.Second
				before, start := processorTime(t), time.Now()
				<-time.After(window)
				share := float64(processorTime(t)-before) / float64(time.Since(start)) / float64(consumers)
				require.NoError(t, r.Close(within(t)))
				t.Logf("%.3f %% of a processor for each of %d consumers", 100*share, consumers)
				require.Less(t, share, 0.01)
			})
		}
	}
}

func processorTime(t *testing.T) time.Duration {
	var u syscall.Rusage
	require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
