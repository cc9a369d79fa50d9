package crc

import (
	"encoding/binary"
	"hash/crc32"
	"sync"
)

// scratch is memory for the words: crc32.Update makes its argument escape.
var scratch = sync.Pool{New: func() any { return new([48]byte) }}

// generic is Tail in terms of the standard library.
func generic(body uint32, w *Words) uint32 {
	b := scratch.Get().(*[48]byte)
	defer scratch.Put(b)
	for i, v := range [6]uint64{w.Salt, w.Offset, w.Length, w.W1, w.W2, w.W3} {
		binary.LittleEndian.PutUint64(b[8*i:], v)
	}
	return crc32.Update(body, castagnoli, b[:])
}
