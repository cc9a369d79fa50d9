// Package crc computes the checksum of a journal's record in one call: CRC32C of a body and then of
// six words, little-endian.
//
// The standard library's crc32.Update does the same in two calls that take their words from memory.
// For bodies of some hundred bytes the calls cost as much as the polynomial: on amd64 Frame takes
// the words in registers and one loop for short bodies, so that the processor, which needs three
// cycles for eight bytes in a chain and could do three in parallel, overlaps one record's checksum
// with the next one's.
package crc

import "hash/crc32"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Words are what a record's checksum covers after its body: salt, offset, length, and bytes 8 to 32
// of its header.
type Words struct{ Salt, Offset, Length, W1, W2, W3 uint64 }

// long is the length from which the standard library's way for long inputs, three chains at a time,
// is the faster one.
const long = 768

// Body returns the CRC32C of body.
func Body(body []byte) uint32 { return crc32.Update(0, castagnoli, body) }
