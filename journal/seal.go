package journal

import "fmt"

// The seal is a segment's last record. In this version it carries no root and no signature: the
// fields are there, zero, for the chain that will use them.
const (
	sealBodyBytes   = 104
	sealRecordBytes = recordHeaderBytes + sealBodyBytes

	sealRootPresent = 1 << 0
	sealSigned      = 1 << 1
	sealAtTear      = 1 << 2 // recovery cut the segment here
	sealRepaired    = 1 << 3 // Repair made this segment, or mended it
)

// seal is the body of a seal record.
type seal struct {
	flags        uint32
	lastSequence int64
	lastTime     int64
	indexOffset  uint64 // 0: no index
	previousRoot [32]byte
	root         [32]byte
	// The signature's length and bytes follow; length 0 now.
}

func (s *seal) encode(b []byte) {
	clear(b[:sealBodyBytes])
	le.PutUint32(b[0:], s.flags)
	le.PutUint64(b[8:], uint64(s.lastSequence))
	le.PutUint64(b[16:], uint64(s.lastTime))
	le.PutUint64(b[24:], s.indexOffset)
	copy(b[32:], s.previousRoot[:])
	copy(b[64:], s.root[:])
}

func (s *seal) decode(b []byte) error {
	if len(b) < sealBodyBytes || len(b) != sealBodyBytes+int(le.Uint32(b[96:])) {
		return fmt.Errorf("%w: %d bytes", ErrSeal, len(b))
	}
	s.flags = le.Uint32(b[0:])
	s.lastSequence = int64(le.Uint64(b[8:]))
	s.lastTime = int64(le.Uint64(b[16:]))
	s.indexOffset = le.Uint64(b[24:])
	copy(s.previousRoot[:], b[32:])
	copy(s.root[:], b[64:])
	return nil
}

// putSeal writes a seal record for position off of a segment into rec, which is sealRecordBytes
// long, but for its first word. It returns the first word, which holds
// length and checksum and is for the caller to store last.
func putSeal(rec []byte, off int64, salt uint64, s *seal, durable int64, t *frameTail) (first uint64) {
	body := rec[recordHeaderBytes:sealRecordBytes]
	s.encode(body)
	w1, w2 := uint64(s.lastSequence), uint64(s.lastTime)
	w3 := packWord3(0, KindSeal, 0, lagOf(s.lastSequence, durable))
	le.PutUint64(rec[8:], w1)
	le.PutUint64(rec[16:], w2)
	le.PutUint64(rec[24:], w3)
	crc := t.sum(checksum(body), salt, uint64(off), sealRecordBytes, w1, w2, w3)
	return uint64(sealRecordBytes) | uint64(crc)<<32
}
