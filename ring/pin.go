package ring

import (
	"runtime"

	"github.com/headrace/headrace/internal/cpu"
)

// Pin says where a consumer's goroutine runs. The zero value leaves that to Go's scheduler.
//
// A thread of its own is for consumers that spin: then the operating system's scheduler moves
// them less, and on CPUs that nothing else uses not at all. For one that parks it is a loss, as
// each wake-up becomes a switch of threads.
type Pin struct {
	// Thread locks the goroutine to a thread for as long as the consumer runs.
	Thread bool
	// CPUs, if any, are the processors that the thread may run on, counted from 0 as the operating
	// system does; each must be one that the process may use. It implies Thread. On
	// systems other than Linux it is an *OptionError.
	CPUs []int
}

func (p Pin) validate() error {
	if len(p.CPUs) > 0 && !cpu.CanPin {
		return optionError("Pin.CPUs", "threads cannot be pinned on %s", runtime.GOOS)
	}
	for _, n := range p.CPUs {
		if !cpu.Allowed(n) {
			return optionError("Pin.CPUs", "%d is not a processor that this process may use", n)
		}
	}
	return nil
}

// apply is called once by the consumer's goroutine, which never unlocks its thread: the thread ends
// with it, and nobody inherits the restriction.
func (p Pin) apply() error {
	if !p.Thread && len(p.CPUs) == 0 {
		return nil
	}
	runtime.LockOSThread()
	if len(p.CPUs) == 0 {
		return nil
	}
	return cpu.PinThread(p.CPUs)
}
