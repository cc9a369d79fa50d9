package cpu

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestPinThread(t *testing.T) {
	done := make(chan struct{})
	go func() { // ends with its thread
		defer close(done)
		runtime.LockOSThread()
		first := 0
		for !Allowed(first) {
			first++
		}
		if err := PinThread([]int{first}); err != nil {
			t.Error(err)
			return
		}
		var set unix.CPUSet
		if err := unix.SchedGetaffinity(0, &set); err != nil || set.Count() != 1 || !set.IsSet(first) {
			t.Errorf("%v: %v", set, err)
		}
		if Allowed(first + 1) {
			t.Error("allowed elsewhere")
		}
		if err := PinThread(nil); err == nil {
			t.Error("pinned to nothing")
		}
	}()
	<-done
	require.False(t, Allowed(-1))
	require.False(t, Allowed(maxCPUs))
}
