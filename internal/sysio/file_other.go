//go:build !linux

package sysio

import "os"

// OpenFile returns ErrUnsupported: see file_linux.go for what it does elsewhere.
func OpenFile(string, int, os.FileMode) (*os.File, error) { return nil, ErrUnsupported }

// Lock returns ErrUnsupported.
func Lock(*os.File) error { return ErrUnsupported }

// LockShared returns ErrUnsupported.
func LockShared(*os.File) error { return ErrUnsupported }

// Unlock returns ErrUnsupported.
func Unlock(*os.File) error { return ErrUnsupported }

// Links returns ErrUnsupported.
func Links(*os.File) (uint64, error) { return 0, ErrUnsupported }

// Lengths asks for the size alone.
func Lengths(f *os.File) (links uint64, size int64, err error) {
	st, err := f.Stat()
	if err != nil {
		return 0, 0, err
	}
	return 0, st.Size(), nil
}

// Locked returns ErrUnsupported.
func Locked(*os.File) (bool, error) { return false, ErrUnsupported }

// Allocate returns ErrUnsupported.
func Allocate(*os.File, int64, int64) error { return ErrUnsupported }

// SyncData returns ErrUnsupported.
func SyncData(*os.File) error { return ErrUnsupported }

// StartWriteback returns ErrUnsupported.
func StartWriteback(*os.File, int64, int64) error { return ErrUnsupported }

// Map returns ErrUnsupported.
func Map(*os.File, int64, bool) ([]byte, error) { return nil, ErrUnsupported }

// Unmap returns ErrUnsupported.
func Unmap([]byte) error { return ErrUnsupported }

// PopulateWrite returns ErrUnsupported.
func PopulateWrite([]byte) error { return ErrUnsupported }

// PopulateRead returns ErrUnsupported.
func PopulateRead([]byte) error { return ErrUnsupported }

// AdviseRandom returns ErrUnsupported.
func AdviseRandom([]byte) error { return ErrUnsupported }

// NextData returns off: everything may be data.
func NextData(_ *os.File, off int64) (at int64, ok bool) { return off, true }

// NextHole returns ErrUnsupported.
func NextHole(_ *os.File, off int64) (int64, error) { return off, ErrUnsupported }

// DropCache returns ErrUnsupported.
func DropCache(*os.File) error { return ErrUnsupported }

// BootID returns zero: unknown.
func BootID() (id [16]byte) { return id }

// MountID returns 0: unknown.
func MountID(string) uint64 { return 0 }

// FileSystemOf returns zero: unknown.
func FileSystemOf(string) FileSystem { return FileSystem{} }

// Faults returns 0: unknown.
func Faults() (minor, major uint64) { return 0, 0 }

// MapZero returns ErrUnsupported.
func MapZero(int64) ([]byte, error) { return nil, ErrUnsupported }

// Discard returns ErrUnsupported.
func Discard([]byte) error { return ErrUnsupported }

// Place knows nothing.
func Place(string) (device, path string, ok bool) { return "", "", false }
