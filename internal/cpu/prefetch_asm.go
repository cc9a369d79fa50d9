//go:build amd64 || arm64

package cpu

import "unsafe"

// PrefetchWrite asks for the cache lines of [p, p+bytes) to be written soon. It returns at once, and
// changes nothing but what the caches hold. A store to a line that another core has read must
// take it back first, and stores happen in order, so that all those behind it wait too; fetched
// ahead, the lines come side by side. Nothing happens when bytes <= 0.
//
//go:noescape
func PrefetchWrite(p unsafe.Pointer, bytes int64)

// PrefetchRead asks for the cache line of *p to be read soon. It returns at once, and changes nothing
// but what the caches hold.
//
//go:noescape
func PrefetchRead(p unsafe.Pointer)
