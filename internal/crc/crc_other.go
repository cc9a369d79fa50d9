//go:build !amd64

package crc

// Frame returns the CRC32C of body, then w.
func Frame(body []byte, w *Words) uint32 { return generic(Body(body), w) }

// Tail goes on from the CRC32C of a body over w.
func Tail(body uint32, w *Words) uint32 { return generic(body, w) }
