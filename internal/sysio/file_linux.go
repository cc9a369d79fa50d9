package sysio

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// OpenFile opens a regular file of the given name without following a symbolic link in its last
// element. flag and perm are as for os.OpenFile.
func OpenFile(name string, flag int, perm os.FileMode) (*os.File, error) {
	// O_NONBLOCK: opening a FIFO planted under the name must not hang.
	f, err := os.OpenFile(name, flag|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, perm)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = &os.PathError{Op: "open", Path: name, Err: errors.New("not a regular file")}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Lock takes an exclusive lock on f, which must be open for writing, without waiting. The lock
// belongs to the open file: it conflicts with another open file of this very process, and ends
// with the last descriptor. It returns ErrLocked where somebody else holds it.
func Lock(f *os.File) error {
	lk := unix.Flock_t{Type: unix.F_WRLCK}
	err := retry(func() error { return unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &lk) })
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return ErrLocked
	}
	return wrap("lock", f, err)
}

// LockShared takes a lock on f that others can share and Lock cannot, waiting for the end of a Lock.
// It lasts as long as the open file, a mapping of it included.
func LockShared(f *os.File) error {
	lk := unix.Flock_t{Type: unix.F_RDLCK}
	return wrap("lock", f, retry(func() error { return unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLKW, &lk) }))
}

// Unlock ends a Lock of the same open file.
func Unlock(f *os.File) error {
	lk := unix.Flock_t{Type: unix.F_UNLCK}
	return wrap("unlock", f, retry(func() error { return unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &lk) }))
}

// Links returns how many names f has.
func Links(f *os.File) (uint64, error) {
	n, _, err := Lengths(f)
	return n, err
}

// Lengths returns how many names f has and how many bytes. It does not ask for the file's times: who
// does makes the next write store a new one at once, and the next sync a fifth longer (Linux 6.13).
func Lengths(f *os.File) (links uint64, size int64, err error) {
	var st unix.Statx_t
	const mask = unix.STATX_NLINK | unix.STATX_SIZE
	err = retry(func() error { return unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH, mask, &st) })
	if err == nil && st.Mask&mask == mask {
		return uint64(st.Nlink), int64(st.Size), nil
	}
	var old unix.Stat_t
	err = retry(func() error { return unix.Fstat(int(f.Fd()), &old) })
	return uint64(old.Nlink), old.Size, wrap("stat", f, err)
}

// Locked tells whether another open file holds the lock, without taking it.
func Locked(f *os.File) (bool, error) {
	lk := unix.Flock_t{Type: unix.F_WRLCK}
	err := retry(func() error { return unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &lk) })
	return err == nil && lk.Type != unix.F_UNLCK, wrap("get lock", f, err)
}

// Allocate gives f real blocks for [off, off+n) and extends it where needed. Bytes that were not
// there read as zero. Where the file system has no such call it writes zeros, which is right
// only for a range that is past the end of the file.
func Allocate(f *os.File, off, n int64) error {
	err := retry(func() error { return unix.Fallocate(int(f.Fd()), 0, off, n) })
	if !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.ENOSYS) {
		return wrap("allocate", f, err)
	}
	st, err := f.Stat()
	if err != nil {
		return err
	}
	zeros := make([]byte, 1<<20)
	for at := max(off, st.Size()); at < off+n; {
		k, err := f.WriteAt(zeros[:min(int64(len(zeros)), off+n-at)], at)
		if err != nil {
			return err
		}
		at += int64(k)
	}
	return nil
}

// SyncData makes the data of f durable, pages stored through a mapping included, and whatever
// of its metadata is needed to read them back.
func SyncData(f *os.File) error {
	return wrap("fdatasync", f, retry(func() error { return unix.Fdatasync(int(f.Fd())) }))
}

// Map maps the first n bytes of f, shared.
func Map(f *os.File, n int64, write bool) ([]byte, error) {
	prot := unix.PROT_READ
	if write {
		prot |= unix.PROT_WRITE
	}
	if int64(int(n)) != n {
		return nil, wrap("map", f, unix.ENOMEM)
	}
	m, err := unix.Mmap(int(f.Fd()), 0, int(n), prot, unix.MAP_SHARED)
	return m, wrap("map", f, err)
}

// Unmap ends a mapping made by Map.
func Unmap(m []byte) error { return unix.Munmap(m) }

// PopulateWrite makes the pages of m, which starts on a page, present and writable without
// changing them. A page that cannot be had is an error, not a signal. It returns ErrUnsupported
// on kernels before 5.14.
func PopulateWrite(m []byte) error { return populate(m, unix.MADV_POPULATE_WRITE) }

// PopulateRead makes the pages of m, which starts on a page, present.
func PopulateRead(m []byte) error { return populate(m, unix.MADV_POPULATE_READ) }

// AdviseRandom tells the kernel that a fault in m, which starts on a page, is no reason to read what is
// around the page.
func AdviseRandom(m []byte) error { return unix.Madvise(m, unix.MADV_RANDOM) }

func populate(m []byte, advice int) error {
	if len(m) == 0 {
		return nil
	}
	err := retry(func() error { return unix.Madvise(m, advice) })
	if errors.Is(err, unix.EINVAL) {
		return ErrUnsupported
	}
	return err
}

// NextData returns the lowest offset at or after off that may hold something but zero; ok is
// false if there is none. Where the file system cannot tell it returns off.
func NextData(f *os.File, off int64) (at int64, ok bool) {
	at, err := unix.Seek(int(f.Fd()), off, unix.SEEK_DATA)
	if errors.Is(err, unix.ENXIO) {
		return 0, false
	}
	if err != nil {
		return off, true
	}
	return at, true
}

// NextHole returns the lowest offset at or after off, which is inside the file, at which nothing is
// stored; the end of the file counts. Where the file system cannot tell it returns the end.
func NextHole(f *os.File, off int64) (int64, error) {
	at, err := unix.Seek(int(f.Fd()), off, unix.SEEK_HOLE)
	if err == nil {
		return at, nil
	}
	st, err := f.Stat()
	if err != nil {
		return off, err
	}
	return st.Size(), nil
}

// DropCache asks the kernel to forget the clean cached pages of f.
func DropCache(f *os.File) error {
	return wrap("fadvise", f, unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED))
}

// BootID returns the identity of the running boot of the kernel, all zero if it is unknown.
func BootID() (id [16]byte) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return id
	}
	s := strings.ReplaceAll(strings.TrimSpace(string(b)), "-", "")
	if len(s) != 32 {
		return id
	}
	raw, err := hex.DecodeString(s)
	if err != nil {
		return id
	}
	copy(id[:], raw)
	return id
}

// StartWriteback has the kernel begin to write dirty pages of [off, off+n) and does not wait for them. It
// makes nothing durable.
func StartWriteback(f *os.File, off, n int64) error {
	return wrap("start writeback", f, retry(func() error {
		return unix.SyncFileRange(int(f.Fd()), off, n, unix.SYNC_FILE_RANGE_WRITE)
	}))
}

// MountID returns the identity of the mount that name lies on, unique over the time since boot,
// or 0 where the kernel (before 6.8) does not tell.
func MountID(name string) uint64 {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, name, 0, unix.STATX_MNT_ID_UNIQUE, &st); err != nil {
		return 0
	}
	if st.Mask&unix.STATX_MNT_ID_UNIQUE == 0 {
		return 0
	}
	return st.Mnt_id
}

// FileSystemOf tells what name lies on; Unknown where the kernel does not say.
func FileSystemOf(name string) FileSystem {
	var st unix.Statfs_t
	if retry(func() error { return unix.Statfs(name, &st) }) != nil {
		return FileSystem{}
	}
	magic := uint32(st.Type)
	if fs, ok := fileSystems[magic]; ok {
		return fs
	}
	return FileSystem{Name: fmt.Sprintf("type %#x", magic)}
}

// retry repeats f while a signal interrupts it.
func retry(f func() error) error {
	for {
		if err := f(); err != syscall.EINTR {
			return err
		}
	}
}

func wrap(op string, f *os.File, err error) error {
	if err == nil {
		return nil
	}
	return &os.PathError{Op: op, Path: f.Name(), Err: err}
}

// Faults returns how many page faults the process has taken so far: minor ones, which found the
// page in memory, and major ones, which waited for a disk.
func Faults() (minor, major uint64) {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0, 0
	}
	return uint64(u.Minflt), uint64(u.Majflt)
}

// MapZero returns n bytes of private memory that reads as zero and takes room only where it was
// stored to. Unmap ends it.
func MapZero(n int64) ([]byte, error) {
	m, err := unix.Mmap(-1, 0, int(n), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("map %d bytes of memory: %w", n, err)
	}
	return m, nil
}

// Discard gives back the memory of m, which is whole pages of a MapZero; they read as zero again.
func Discard(m []byte) error { return unix.Madvise(m, unix.MADV_DONTNEED) }
