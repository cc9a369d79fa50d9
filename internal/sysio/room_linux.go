package sysio

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Room asks the system whether it would give n more bytes of private memory in one piece, and gives them back. Go
// ends the process where the system refuses them.
func Room(n int64) error {
	m, err := unix.Mmap(-1, 0, int(n), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return fmt.Errorf("%d bytes of memory: %w", n, err)
	}
	return unix.Munmap(m)
}
