//go:build !amd64 && !arm64

package cpu

import "unsafe"

// PrefetchWrite does nothing on this platform.
func PrefetchWrite(unsafe.Pointer, int64) {}

// PrefetchRead does nothing on this platform.
func PrefetchRead(unsafe.Pointer) {}
