//go:build headrace_explore

package atomic

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace/internal/explore"
)

// operations are all that touch memory which others may touch. Each works on a memory of its own.
var operations = []struct {
	name           string
	make           func() (do, store func())
	writes, fenced bool
}{
	{"Int64.Load", on(func(x *Int64) { x.Load() }, (*Int64).Store), false, false},
	{"Int64.Store", on(func(x *Int64) { x.Store(2) }, (*Int64).Store), true, true},
	{"Int64.Add", on(func(x *Int64) { x.Add(2) }, (*Int64).Store), true, true},
	{"Int64.Swap", on(func(x *Int64) { x.Swap(2) }, (*Int64).Store), true, true},
	{"Int64.Or", on(func(x *Int64) { x.Or(2) }, (*Int64).Store), true, true},
	{"Int64.And", on(func(x *Int64) { x.And(2) }, (*Int64).Store), true, true},
	{"Int64.CompareAndSwap", on(func(x *Int64) { x.CompareAndSwap(0, 2) }, (*Int64).Store), true, true},
	{"Int32.Load", on(func(x *Int32) { x.Load() }, (*Int32).Store), false, false},
	{"Int32.Store", on(func(x *Int32) { x.Store(2) }, (*Int32).Store), true, true},
	{"Int32.Add", on(func(x *Int32) { x.Add(2) }, (*Int32).Store), true, true},
	{"Int32.CompareAndSwap", on(func(x *Int32) { x.CompareAndSwap(0, 2) }, (*Int32).Store), true, true},
	{"Uint32.Load", on(func(x *Uint32) { x.Load() }, (*Uint32).Store), false, false},
	{"Uint32.Store", on(func(x *Uint32) { x.Store(2) }, (*Uint32).Store), true, true},
	{"Uint32.Or", on(func(x *Uint32) { x.Or(2) }, (*Uint32).Store), true, true},
	{"Uint32.And", on(func(x *Uint32) { x.And(2) }, (*Uint32).Store), true, true},
	{"Bool.Load", on(func(x *Bool) { x.Load() }, (*Bool).Store), false, false},
	{"Bool.Store", on(func(x *Bool) { x.Store(true) }, (*Bool).Store), true, true},
	{"Pointer.Load", on(func(x *Pointer[int]) { x.Load() }, (*Pointer[int]).Store), false, false},
	{"Pointer.Store", on(func(x *Pointer[int]) { x.Store(nil) }, (*Pointer[int]).Store), true, true},
	{"Pointer.Swap", on(func(x *Pointer[int]) { x.Swap(nil) }, (*Pointer[int]).Store), true, true},
	{"Pointer.CompareAndSwap", on(func(x *Pointer[int]) { x.CompareAndSwap(nil, nil) }, (*Pointer[int]).Store), true, true},
	{"LoadInt64", on(func(x *int64) { LoadInt64(x) }, StoreInt64), false, false},
	{"StoreInt64", on(func(x *int64) { StoreInt64(x, 2) }, StoreInt64), true, true},
	{"StoreRelease", on(func(x *int64) { StoreRelease(x, 2) }, StoreInt64), true, false},
	{"LoadInt32", on(func(x *int32) { LoadInt32(x) }, StoreInt32), false, false},
	{"StoreInt32", on(func(x *int32) { StoreInt32(x, 2) }, StoreInt32), true, true},
	{"StoreRelease32", on(func(x *int32) { StoreRelease32(x, 2) }, StoreInt32), true, false},
	{"StoreFollows", on(func(x *int64) { StoreFollows(x) }, StoreInt64), true, true},
}

// on makes an operation on a T, and the store of a zero there.
func on[T, V any](op func(*T), store func(*T, V)) func() (func(), func()) {
	return func() (func(), func()) {
		x := new(T)
		return func() { op(x) }, func() { var zero V; store(x, zero) }
	}
}

// orders returns how many orders there are of two goroutines.
func orders(t *testing.T, weak bool, make func() (one, two func())) explore.Result {
	t.Helper()
	res, err := explore.All(explore.Options{Weak: weak}, func(r *explore.Run) {
		one, two := make()
		r.Go("one", one)
		r.Go("two", two)
	})
	require.NoError(t, err)
	require.True(t, res.Complete)
	return res
}

// TestSteps_EachOperationIsOne: another goroutine's store to the same memory comes before it or after it, and that to
// other memory in one of the two orders.
func TestSteps_EachOperationIsOne(t *testing.T) {
	for _, o := range operations {
		t.Run(o.name, func(t *testing.T) {
			alone := orders(t, false, func() (one, two func()) { do, _ := o.make(); return do, func() {} })
			require.Equal(t, 1, alone.Runs)
			require.Equal(t, 3, alone.Steps, "two goroutines begin, and one step")
			require.Equal(t, 2, orders(t, false, o.make).Runs-orders(t, false, o.make).Pruned, "a store")
			reads := orders(t, false, func() (one, two func()) { do, _ := o.make(); return do, do })
			require.Equal(t, o.writes, reads.Runs-reads.Pruned == 2, "two of them")
			elsewhere := orders(t, false, func() (one, two func()) {
				do, _ := o.make()
				_, store := o.make()
				return do, store
			})
			require.Equal(t, 1, elsewhere.Runs)
		})
	}
}

// TestSteps_FencesEmptyTheStoreBuffer is store buffering: with a fenced operation between its store and its load one
// side at least sees the other's store.
func TestSteps_FencesEmptyTheStoreBuffer(t *testing.T) {
	for _, o := range operations {
		t.Run(o.name, func(t *testing.T) {
			both := false
			res, err := explore.All(explore.Options{Weak: true}, func(r *explore.Run) {
				var memory, seen [2]int64
				shared := &memory
				for me := range 2 {
					do, _ := o.make()
					r.Go("side", func() {
						StoreRelease(&shared[me], 1)
						do()
						seen[me] = LoadInt64(&shared[1-me])
					})
				}
				r.Check(func() error {
					both = both || seen == [2]int64{}
					return nil
				})
			})
			require.NoError(t, err)
			require.True(t, res.Complete)
			require.Equal(t, !o.fenced, both, "both see nothing")
		})
	}
}
