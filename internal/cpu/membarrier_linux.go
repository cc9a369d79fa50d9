//go:build linux && amd64 && !race

package cpu

import (
	"time"

	"golang.org/x/sys/unix"
)

// Commands of membarrier(2).
const (
	membarrierPrivateExpedited         = 1 << 3
	membarrierRegisterPrivateExpedited = 1 << 4
)

var hasMembarrier = registerMembarrier()

// registerMembarrier makes the process known to the kernel. It fails on kernels before 4.14 and
// under seccomp filters that refuse the call; then there is no asymmetric fence.
func registerMembarrier() bool {
	_, _, errno := unix.RawSyscall(unix.SYS_MEMBARRIER, membarrierRegisterPrivateExpedited, 0, 0)
	return errno == 0 && membarrier() == 0
}

func membarrier() unix.Errno {
	_, _, errno := unix.RawSyscall(unix.SYS_MEMBARRIER, membarrierPrivateExpedited, 0, 0)
	return errno
}

// HasMembarrier tells whether Membarrier fences the other threads. It does not change while the
// process lives. Where it is false, StoreRelease must not be followed by a load that has to stay
// behind it: use sync/atomic there.
func HasMembarrier() bool { return hasMembarrier }

// Membarrier is the slow half of an asymmetric fence: when it returns, every thread of the
// process has executed a full memory barrier since the call. The fast half is no instruction at
// all. It takes about a microsecond and interrupts the cores that run this process.
func Membarrier() {
	if membarrier() != 0 {
		// Only a filter installed after the start can refuse a registered process. Store buffers
		// drain at the next timer interrupt at the latest.
		time.Sleep(20 * time.Millisecond)
	}
}
