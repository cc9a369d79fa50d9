//go:build !linux

package cpu

// MemoryBytes is 0 on this platform: it cannot be told.
func MemoryBytes() uint64 { return 0 }
