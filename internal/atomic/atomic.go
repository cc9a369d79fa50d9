//go:build !headrace_explore

package atomic

import (
	"sync/atomic"

	"github.com/headrace/headrace/internal/cpu"
)

type (
	// Int64 is sync/atomic's.
	Int64 = atomic.Int64
	// Int32 is sync/atomic's.
	Int32 = atomic.Int32
	// Uint32 is sync/atomic's.
	Uint32 = atomic.Uint32
	// Bool is sync/atomic's.
	Bool = atomic.Bool
	// Pointer is sync/atomic's.
	Pointer[T any] = atomic.Pointer[T]
)

// LoadInt64 is sync/atomic's.
func LoadInt64(p *int64) int64 { return atomic.LoadInt64(p) }

// StoreInt64 is sync/atomic's.
func StoreInt64(p *int64, v int64) { atomic.StoreInt64(p, v) }

// LoadInt32 is sync/atomic's.
func LoadInt32(p *int32) int32 { return atomic.LoadInt32(p) }

// StoreInt32 is sync/atomic's.
func StoreInt32(p *int32, v int32) { atomic.StoreInt32(p, v) }

// StoreRelease is internal/cpu's.
func StoreRelease(p *int64, v int64) { cpu.StoreRelease(p, v) }

// StoreRelease32 is internal/cpu's.
func StoreRelease32(p *int32, v int32) { cpu.StoreRelease32(p, v) }

// LoadOwn loads what only the caller stores, with StoreRelease or otherwise.
func LoadOwn(p *int64) int64 { return *p }

// Membarrier is internal/cpu's.
func Membarrier() { cpu.Membarrier() }

// StoreFollows says that the caller is about to return into code outside of this module which
// stores at p atomically.
func StoreFollows(p *int64) {}
