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

// frame goes on from crc over body, then w.
//
//go:noescape
func frame(crc uint32, body []byte, w *Words) uint32
