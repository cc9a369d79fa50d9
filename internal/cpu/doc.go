// Package cpu holds what the lock-free parts need from the processor and Go does not offer: a
// spin-loop hint, a release store without a fence, an asymmetric fence, and the distance at
// which two variables stop disturbing each other.
//
// Every function has a portable form that is correct everywhere and a faster one where the
// platform has it. Under the race detector the portable forms are used, because the detector
// sees only sync/atomic.
package cpu

// LineBytes is the distance in bytes that keeps two variables from sharing a cache line or the
// adjacent line that the hardware prefetches along with it.
const LineBytes = 128

// Pad keeps the fields before it and after it at least LineBytes apart.
type Pad [LineBytes]byte
