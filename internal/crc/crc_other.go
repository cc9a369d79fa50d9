//go:build !amd64

package crc

// Frame returns the CRC32C of body, then w.
func Frame(body []byte, w *Words) uint32 { return generic(Body(body), w) }

// Tail goes on from the CRC32C of a body over w.
func Tail(body uint32, w *Words) uint32 { return generic(body, w) }

// Record returns the checksum of rec, a record with its header: of what follows the header, then of
// salt, offset, the length of rec and bytes 8 to 32 of the header. It does not allocate.
func Record(rec []byte, salt, offset uint64) uint32 { return recordOf(rec, salt, offset) }

// Records3 returns what Record does of three records in recs that begin stride apart, the first at
// offset. Each is length long; recs reaches to the end of the last one. It does not allocate.
func Records3(recs []byte, length, stride int, salt, offset uint64) (a, b, c uint32) {
	return eachOf3(recs, length, stride, salt, offset)
}
