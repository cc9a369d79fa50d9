//go:build amd64 && !race

package cpu

// StoreRelease stores v at p after every earlier load and store of the caller, and without the
// full fence of atomic.StoreInt64: a later load of the caller may overtake it. Whoever stores
// here and then loads a flag needs Membarrier on the side that sets the flag.
//
// On amd64 every plain MOV is a release store; being assembly, the compiler moves nothing across
// it.
//
//go:noescape
func StoreRelease(p *int64, v int64)

// StoreRelease32 is StoreRelease for 32 bits.
//
//go:noescape
func StoreRelease32(p *int32, v int32)
