package crc

import "golang.org/x/sys/cpu"

var hasCRC32 = cpu.X86.HasSSE42

// Frame returns the CRC32C of body, then w. It does not allocate.
func Frame(body []byte, w *Words) uint32 {
	if !hasCRC32 {
		return generic(Body(body), w)
	}
	if len(body) >= long {
		return frame(Body(body), nil, w)
	}
	return frame(0, body, w)
}

// Tail goes on from the CRC32C of a body over w.
func Tail(body uint32, w *Words) uint32 {
	if !hasCRC32 {
		return generic(body, w)
	}
	return frame(body, nil, w)
}

// Record returns the checksum of rec, a record with its header: of what follows the header, then of
// salt, offset, the length of rec and bytes 8 to 32 of the header. It does not allocate.
func Record(rec []byte, salt, offset uint64) uint32 {
	if len(rec) < headerBytes+long && len(rec) >= headerBytes && hasCRC32 {
		return record(&rec[0], len(rec), salt, offset)
	}
	return recordOf(rec, salt, offset)
}

// Records3 returns what Record does of three records in recs that begin stride apart, the first at
// offset. Each is length long; recs reaches to the end of the last one. It does not allocate.
func Records3(recs []byte, length, stride int, salt, offset uint64) (a, b, c uint32) {
	if length < headerBytes || stride < length || len(recs) < 2*stride+length {
		panic("crc: records out of range")
	}
	if length < headerBytes+long && hasCRC32 {
		return records3(&recs[0], length, stride, salt, offset)
	}
	return eachOf3(recs, length, stride, salt, offset)
}

//go:noescape
func record(rec *byte, length int, salt, offset uint64) uint32

//go:noescape
func records3(rec *byte, length, stride int, salt, offset uint64) (a, b, c uint32)

// frame goes on from crc over body, then w.
//
//go:noescape
func frame(crc uint32, body []byte, w *Words) uint32
