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

func TestFrame_DoesNotAllocate(t *testing.T) {
	body, w := make([]byte, 128), Words{}
	require.Zero(t, testing.AllocsPerRun(100, func() { Frame(body, &w) }))
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
