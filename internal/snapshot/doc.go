// Package snapshot is the file that holds what an engine's lanes come to at one sequence: its bytes, and how it
// gets onto the disk whole or not at all. What its sections mean is their writers' affair. The bytes are described in
// FORMAT.md.
package snapshot
