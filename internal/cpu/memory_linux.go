package cpu

import "golang.org/x/sys/unix"

// MemoryBytes returns how much memory the machine has, 0 if that cannot be told.
func MemoryBytes() uint64 {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return 0
	}
	return uint64(info.Totalram) * uint64(info.Unit)
}
