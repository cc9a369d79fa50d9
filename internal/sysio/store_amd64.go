//go:build amd64 && !race

package sysio

// StoreRelease64 stores v at p, which is aligned to 8 bytes, after every load and store before
// it in program order. Unlike atomic.StoreUint64 it does not wait for the store buffer.
//
//go:noescape
func StoreRelease64(p *uint64, v uint64)
