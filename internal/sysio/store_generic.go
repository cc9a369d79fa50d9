//go:build !amd64 || race

package sysio

import "sync/atomic"

// StoreRelease64 stores v at p, which is aligned to 8 bytes, after every load and store before
// it in program order.
func StoreRelease64(p *uint64, v uint64) { atomic.StoreUint64(p, v) }
