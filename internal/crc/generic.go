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

const headerBytes = 32

// recordOf is Record in terms of Frame.
func recordOf(rec []byte, salt, offset uint64) uint32 {
	le := binary.LittleEndian
	w := Words{salt, offset, uint64(len(rec)), le.Uint64(rec[8:]), le.Uint64(rec[16:]), le.Uint64(rec[24:])}
	return Frame(rec[headerBytes:], &w)
}

// eachOf3 is Records3, one after the other.
func eachOf3(recs []byte, length, stride int, salt, offset uint64) (a, b, c uint32) {
	step := uint64(stride)
	a = Record(recs[:length], salt, offset)
	b = Record(recs[stride:stride+length], salt, offset+step)
	c = Record(recs[2*stride:2*stride+length], salt, offset+2*step)
	return a, b, c
}
