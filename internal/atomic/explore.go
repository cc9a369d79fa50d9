//go:build headrace_explore

package atomic

import (
	"sync/atomic"
	"unsafe"

	"github.com/headrace/headrace/internal/cpu"
	"github.com/headrace/headrace/internal/explore"
)

// Int64 is sync/atomic's, in steps.
type Int64 struct{ v atomic.Int64 }

// Load loads.
func (x *Int64) Load() int64 {
	explore.Step(explore.Load, unsafe.Pointer(x))
	return x.v.Load()
}

// Store stores.
func (x *Int64) Store(v int64) {
	explore.Step(explore.Store, unsafe.Pointer(x))
	x.v.Store(v)
}

// Add adds.
func (x *Int64) Add(d int64) int64 {
	explore.Step(explore.Update, unsafe.Pointer(x))
	return x.v.Add(d)
}

// Swap swaps.
func (x *Int64) Swap(v int64) int64 {
	explore.Step(explore.Update, unsafe.Pointer(x))
	return x.v.Swap(v)
}

// Or sets bits.
func (x *Int64) Or(v int64) int64 {
	explore.Step(explore.Update, unsafe.Pointer(x))
	return x.v.Or(v)
}

// And clears bits.
func (x *Int64) And(v int64) int64 {
	explore.Step(explore.Update, unsafe.Pointer(x))
	return x.v.And(v)
}

// CompareAndSwap compares and swaps.
func (x *Int64) CompareAndSwap(old, v int64) bool {
	explore.Step(explore.Update, unsafe.Pointer(x))
	return x.v.CompareAndSwap(old, v)
}

// Int32 is sync/atomic's, in steps.
type Int32 struct{ v atomic.Int32 }

// Load loads.
func (x *Int32) Load() int32 {
	explore.Step(explore.Load, unsafe.Pointer(x))
	return x.v.Load()
}

// Store stores.
func (x *Int32) Store(v int32) {
	explore.Step(explore.Store, unsafe.Pointer(x))
	x.v.Store(v)
}

// Add adds.
func (x *Int32) Add(d int32) int32 {
	explore.Step(explore.Update, unsafe.Pointer(x))
	return x.v.Add(d)
}

// CompareAndSwap compares and swaps.
func (x *Int32) CompareAndSwap(old, v int32) bool {
	explore.Step(explore.Update, unsafe.Pointer(x))
	return x.v.CompareAndSwap(old, v)
}

// Uint32 is sync/atomic's, in steps.
type Uint32 struct{ v atomic.Uint32 }

// Load loads.
func (x *Uint32) Load() uint32 {
	explore.Step(explore.Load, unsafe.Pointer(x))
	return x.v.Load()
}

// Store stores.
func (x *Uint32) Store(v uint32) {
	explore.Step(explore.Store, unsafe.Pointer(x))
	x.v.Store(v)
}

// Or sets bits.
func (x *Uint32) Or(v uint32) uint32 {
	explore.Step(explore.Update, unsafe.Pointer(x))
	return x.v.Or(v)
}

// And clears bits.
func (x *Uint32) And(v uint32) uint32 {
	explore.Step(explore.Update, unsafe.Pointer(x))
	return x.v.And(v)
}

// Bool is sync/atomic's, in steps.
type Bool struct{ v atomic.Bool }

// Load loads.
func (x *Bool) Load() bool {
	explore.Step(explore.Load, unsafe.Pointer(x))
	return x.v.Load()
}

// Store stores.
func (x *Bool) Store(v bool) {
	explore.Step(explore.Store, unsafe.Pointer(x))
	x.v.Store(v)
}

// Pointer is sync/atomic's, in steps.
type Pointer[T any] struct{ v atomic.Pointer[T] }

// Load loads.
func (x *Pointer[T]) Load() *T {
	explore.Step(explore.Load, unsafe.Pointer(x))
	return x.v.Load()
}

// Store stores.
func (x *Pointer[T]) Store(v *T) {
	explore.Step(explore.Store, unsafe.Pointer(x))
	x.v.Store(v)
}

// Swap swaps.
func (x *Pointer[T]) Swap(v *T) *T {
	explore.Step(explore.Update, unsafe.Pointer(x))
	return x.v.Swap(v)
}

// CompareAndSwap compares and swaps.
func (x *Pointer[T]) CompareAndSwap(old, v *T) bool {
	explore.Step(explore.Update, unsafe.Pointer(x))
	return x.v.CompareAndSwap(old, v)
}

// LoadInt64 loads, what the caller has in its store buffer if p is there.
func LoadInt64(p *int64) int64 {
	explore.Step(explore.Load, unsafe.Pointer(p))
	if v, ok := explore.Forward(unsafe.Pointer(p)); ok {
		return int64(v)
	}
	return atomic.LoadInt64(p)
}

// StoreInt64 stores.
func StoreInt64(p *int64, v int64) {
	explore.Step(explore.Store, unsafe.Pointer(p))
	atomic.StoreInt64(p, v)
}

// LoadInt32 loads, what the caller has in its store buffer if p is there.
func LoadInt32(p *int32) int32 {
	explore.Step(explore.Load, unsafe.Pointer(p))
	if v, ok := explore.Forward(unsafe.Pointer(p)); ok {
		return int32(uint32(v))
	}
	return atomic.LoadInt32(p)
}

// StoreInt32 stores.
func StoreInt32(p *int32, v int32) {
	explore.Step(explore.Store, unsafe.Pointer(p))
	atomic.StoreInt32(p, v)
}

// StoreRelease stores into the store buffer.
func StoreRelease(p *int64, v int64) {
	if !explore.Put(unsafe.Pointer(p), 8, uint64(v)) {
		atomic.StoreInt64(p, v)
	}
}

// StoreRelease32 stores into the store buffer.
func StoreRelease32(p *int32, v int32) {
	if !explore.Put(unsafe.Pointer(p), 4, uint64(uint32(v))) {
		atomic.StoreInt32(p, v)
	}
}

// LoadOwn loads what only the caller stores.
func LoadOwn(p *int64) int64 {
	if v, ok := explore.Forward(unsafe.Pointer(p)); ok {
		return int64(v)
	}
	return atomic.LoadInt64(p)
}

// Membarrier empties all store buffers.
func Membarrier() {
	if explore.Running() {
		explore.Membarrier()
		return
	}
	cpu.Membarrier()
}

// StoreFollows says that the caller is about to return into code outside of this module which
// stores at p atomically.
func StoreFollows(p *int64) { explore.Step(explore.Store, unsafe.Pointer(p)) }
