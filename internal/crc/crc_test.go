package crc

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// reference spells out what Frame computes.
func reference(body []byte, w *Words) uint32 {
	all := append([]byte(nil), body...)
	for _, v := range []uint64{w.Salt, w.Offset, w.Length, w.W1, w.W2, w.W3} {
		all = binary.LittleEndian.AppendUint64(all, v)
	}
	return crc32.Checksum(all, crc32.MakeTable(crc32.Castagnoli))
}

func TestFrame_EveryLengthAndAlignment(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	memory := make([]byte, 3000)
	for i := range memory {
		memory[i] = byte(rnd.Uint32())
	}
	for n := 0; n <= 2100; n++ {
		body := memory[n%9 : n%9+n : n%9+n]
		w := Words{rnd.Uint64(), rnd.Uint64(), rnd.Uint64(), rnd.Uint64(), rnd.Uint64(), rnd.Uint64()}
		want := reference(body, &w)
		require.Equal(t, want, Frame(body, &w), "%d bytes", n)
		require.Equal(t, want, Tail(Body(body), &w), "%d bytes", n)
		require.Equal(t, want, generic(Body(body), &w), "%d bytes", n)
	}
}

func TestRecord_EveryLengthAndAlignment(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	memory := make([]byte, 8000)
	for i := range memory {
		memory[i] = byte(rnd.Uint32())
	}
	of := func(rec []byte, salt, offset uint64) uint32 {
		le := binary.LittleEndian
		return reference(rec[32:], &Words{salt, offset, uint64(len(rec)), le.Uint64(rec[8:]), le.Uint64(rec[16:]), le.Uint64(rec[24:])})
	}
	for n := 32; n <= 2100; n++ {
		at, salt, offset := n%9, rnd.Uint64(), rnd.Uint64()
		stride := n + rnd.IntN(12)
		recs := memory[at : at+2*stride+n : at+2*stride+n]
		var want [3]uint32
		for i := range want {
			rec := recs[i*stride : i*stride+n : i*stride+n]
			want[i] = of(rec, salt, offset+uint64(i*stride))
			require.Equal(t, want[i], Record(rec, salt, offset+uint64(i*stride)), "%d bytes", n)
			require.Equal(t, want[i], recordOf(rec, salt, offset+uint64(i*stride)), "%d bytes", n)
		}
		a, b, c := Records3(recs, n, stride, salt, offset)
		require.Equal(t, want, [3]uint32{a, b, c}, "%d bytes, %d apart", n, stride)
		a, b, c = eachOf3(recs, n, stride, salt, offset)
		require.Equal(t, want, [3]uint32{a, b, c}, "%d bytes, %d apart", n, stride)
	}
}

func TestRecords3_OutOfRange(t *testing.T) {
	require.Panics(t, func() { Records3(make([]byte, 100), 31, 32, 0, 0) })
	require.Panics(t, func() { Records3(make([]byte, 100), 40, 32, 0, 0) })
	require.Panics(t, func() { Records3(make([]byte, 95), 32, 32, 0, 0) })
	require.NotPanics(t, func() { Records3(make([]byte, 96), 32, 32, 0, 0) })
	require.Panics(t, func() { Record(make([]byte, 31), 0, 0) })
}

func TestFrame_DoesNotAllocate(t *testing.T) {
	body, w := make([]byte, 128), Words{}
	require.Zero(t, testing.AllocsPerRun(100, func() { Frame(body, &w) }))
	require.Zero(t, testing.AllocsPerRun(100, func() { Record(body, 1, 2); Records3(body, 32, 32, 1, 2) }))
}

func FuzzFrame(f *testing.F) {
	f.Add([]byte("body"), uint64(1), uint64(2))
	f.Fuzz(func(t *testing.T, body []byte, a, b uint64) {
		w := Words{a, b, a ^ b, a + b, a * b, ^a}
		require.Equal(t, reference(body, &w), Frame(body, &w))
	})
}

func BenchmarkFrame(b *testing.B) {
	for _, n := range []int{16, 128, 1000, 1024, 4096} {
		b.Run(fmt.Sprintf("body=%d", n), func(b *testing.B) {
			body, w := make([]byte, n), Words{}
			b.SetBytes(int64(n + 48))
			for b.Loop() {
				w.W1++
				Frame(body, &w)
			}
		})
	}
}

func BenchmarkRecord(b *testing.B) {
	for _, n := range []int{48, 160, 544} {
		recs := make([]byte, 3*n)
		b.Run(fmt.Sprintf("one/bytes=%d", n), func(b *testing.B) {
			b.SetBytes(int64(n))
			for i := 0; i < b.N; i++ {
				Record(recs[:n], 1, uint64(i))
			}
		})
		b.Run(fmt.Sprintf("three/bytes=%d", n), func(b *testing.B) {
			b.SetBytes(int64(n))
			for i := 0; i < b.N; i += 3 {
				Records3(recs, n, n, 1, uint64(i))
			}
		})
	}
}
