//go:build !linux || !amd64 || race

package cpu

// HasMembarrier tells whether Membarrier fences the other threads: not on this platform. Both
// sides have to use sync/atomic.
func HasMembarrier() bool { return false }

// Membarrier does nothing on this platform; see HasMembarrier.
func Membarrier() {}
