// Package sysio holds the system calls and the few machine instructions that the journal needs, and one for the ring,
// and that the standard library does not offer: mapping, allocation, locks owned by an open
// file, the identity of boot and mount, and a store with release order.
//
// Everything that depends on the operating system lives here, by file suffix; the packages above
// have no build tags. Where a platform cannot do a thing the function returns ErrUnsupported.
package sysio

import "errors"

// ErrUnsupported reports that this platform has no such operation.
var ErrUnsupported = errors.New("sysio: not supported on this platform")

// ErrLocked reports that another open file holds the lock.
var ErrLocked = errors.New("sysio: locked")
