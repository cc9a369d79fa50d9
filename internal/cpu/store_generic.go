//go:build !amd64 || race

package cpu

import "sync/atomic"

// StoreRelease stores v at p after every earlier load and store of the caller. Here it is
// atomic.StoreInt64, which is stronger.
func StoreRelease(p *int64, v int64) { atomic.StoreInt64(p, v) }

// StoreRelease32 is StoreRelease for 32 bits.
func StoreRelease32(p *int32, v int32) { atomic.StoreInt32(p, v) }
