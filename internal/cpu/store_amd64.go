//go:build amd64 && !race

package cpu

// StoreRelease stores v at p after every earlier load and store of the caller, and without the
// full fence of atomic.StoreInt64: a later load of the caller may overtake it. Whoever stores
// here and then loads a flag needs Membarrier on the side that sets the flag. p must be aligned
// to 8 bytes.
//
// On amd64 every MOV is a release store, so what remains is to keep the compiler from moving it.
// gc does not: each store takes the memory state that the one before it left, atomic loads
// included, and it neither sinks stores nor postpones them. The alternative that does not depend
// on this is a MOV in an assembly function. It cannot be inlined, and made a claim and publish
// of one event take 4.9 ns instead of 3.5.
func StoreRelease(p *int64, v int64) { *p = v }

// StoreRelease32 is StoreRelease for 32 bits.
func StoreRelease32(p *int32, v int32) { *p = v }
