package cpu

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// CanPin tells whether PinThread works on this platform.
const CanPin = true

// maxCPUs is how many processors a CPUSet can name.
const maxCPUs = 1024

// Allowed tells whether the calling thread may run on processor n, counted from 0.
func Allowed(n int) bool {
	var set unix.CPUSet
	return n >= 0 && n < maxCPUs && unix.SchedGetaffinity(0, &set) == nil && set.IsSet(n)
}

// PinThread restricts the calling thread to the given processors. The caller must have locked its
// goroutine to the thread, and never unlock it: a thread that another goroutine gets would stay
// restricted.
func PinThread(processors []int) error {
	var set unix.CPUSet
	for _, n := range processors {
		set.Set(n)
	}
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("cpu: pin thread to processors %v: %w", processors, err)
	}
	return nil
}
