package event

import "encoding/binary"

// SetOutputs writes n into Origin.Outputs of a body that AppendHeader made: a handler knows how
// many events it puts out only when the last one is encoded. A body without Origin is left as it is.
// It does not allocate.
func SetOutputs(body []byte, n uint32) {
	if len(body) < fixedBytes {
		return
	}
	flags := binary.LittleEndian.Uint16(body[offFlags:])
	if flags&flagOrigin == 0 {
		return
	}
	at := fixedBytes
	for _, f := range []uint16{flagCorrelation, flagCausation} {
		if flags&f != 0 {
			at += idBytes
		}
	}
	const outputsInOrigin = 8 + 8 + 4 // behind handler, cause and ordinal
	if at += outputsInOrigin; at+4 <= len(body) {
		binary.LittleEndian.PutUint32(body[at:], n)
	}
}

// SetStreamVersion writes n, from 1, into the stream version of a body that AppendHeader made with one: which number
// an event gets is known only when it goes to the log. A body without one is left as it is. It does not allocate.
func SetStreamVersion(body []byte, n int64) {
	v, err := Parse(body)
	if err != nil || v.flags&flagStreamVersion == 0 || n < 1 {
		return
	}
	binary.LittleEndian.PutUint64(body[v.versionAt():], uint64(n))
}
