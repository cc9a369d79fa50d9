package cpu

import (
	"math"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
)

func TestPause_AnyCountReturns(t *testing.T) {
	for _, n := range []int32{-1 << 31, -1, 0, 1, 1000} {
		Pause(n)
	}
}

func TestPausesFor_LongerTakesMore(t *testing.T) {
	require.GreaterOrEqual(t, PausesFor(0), int32(1))
	require.GreaterOrEqual(t, PausesFor(-time.Second), int32(1))
	require.Greater(t, PausesFor(time.Millisecond), PausesFor(10*time.Microsecond))
	require.LessOrEqual(t, PausesFor(time.Hour), int32(1<<20))
}

func TestPad_SeparatesFields(t *testing.T) {
	var v struct {
		a int64
		_ Pad
		b int64
	}
	require.GreaterOrEqual(t, unsafe.Offsetof(v.b)-unsafe.Offsetof(v.a), uintptr(LineBytes))
}

func TestPrefetch_ChangesNothing(t *testing.T) {
	words := [64]int64{0: 1, 63: 2}
	PrefetchRead(unsafe.Pointer(&words[63]))
	PrefetchRead(nil) // is no access
	for _, n := range []int64{math.MinInt64, -1, 0, 1, 64, 8 * 64, 1 << 12} {
		PrefetchWrite(unsafe.Pointer(&words[1]), n) // past the end too
	}
	require.Equal(t, [64]int64{0: 1, 63: 2}, words)
}

func TestStoreRelease_StoresEveryBitAndNothingElse(t *testing.T) {
	words := [3]int64{-1, -1, -1}
	StoreRelease(&words[1], 0x0123456789abcdef)
	require.Equal(t, [3]int64{-1, 0x0123456789abcdef, -1}, words)
	halves := [3]int32{-1, -1, -1}
	StoreRelease32(&halves[1], 0x01234567)
	require.Equal(t, [3]int32{-1, 0x01234567, -1}, halves)
}

// TestStoreRelease_MessagePassing: whoever sees the flag sees the data stored before it.
func TestStoreRelease_MessagePassing(t *testing.T) {
	const rounds = 100_000
	var data, flag int64
	var ack atomic.Int64
	go func() {
		for i := int64(1); i <= rounds; i++ {
			atomic.StoreInt64(&data, i)
			StoreRelease(&flag, i)
			for ack.Load() != i {
				runtime.Gosched()
			}
		}
	}()
	for i := int64(1); i <= rounds; i++ {
		for atomic.LoadInt64(&flag) != i {
			runtime.Gosched()
		}
		require.Equal(t, i, atomic.LoadInt64(&data))
		ack.Store(i)
	}
}

// TestMembarrier_StoreBuffering is the litmus test of Dekker's pair: with one side fenced by
// Membarrier and the other by nothing, both loads reading the old value is forbidden.
func TestMembarrier_StoreBuffering(t *testing.T) {
	if !HasMembarrier() {
		t.Skip("no asymmetric fence on this platform or under the race detector")
	}
	rounds := int64(100_000)
	if testing.Short() {
		rounds = 5_000
	}
	type word struct {
		v int64
		_ Pad
	}
	var x, y, fast, start, done word
	go func() {
		for i := int64(1); i <= rounds; i++ {
			for n := 0; atomic.LoadInt64(&start.v) != i; n++ {
				if n > 100 {
					runtime.Gosched()
				}
			}
			StoreRelease(&x.v, i)
			fast.v = atomic.LoadInt64(&y.v)
			atomic.StoreInt64(&done.v, i)
		}
	}()
	for i := int64(1); i <= rounds; i++ {
		atomic.StoreInt64(&start.v, i)
		StoreRelease(&y.v, i)
		Membarrier()
		slow := atomic.LoadInt64(&x.v)
		for n := 0; atomic.LoadInt64(&done.v) != i; n++ {
			if n > 100 {
				runtime.Gosched()
			}
		}
		require.False(t, slow != i && fast.v != i, "round %d: both sides read the old value", i)
	}
}

func BenchmarkMembarrier(b *testing.B) {
	for b.Loop() {
		Membarrier()
	}
}

func BenchmarkPause(b *testing.B) {
	for b.Loop() {
		Pause(1)
	}
}
