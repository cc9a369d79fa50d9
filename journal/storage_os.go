package journal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"github.com/headrace/headrace/internal/sysio"
)

// osStorage is the operating system's file system.
type osStorage struct{}

func (st osStorage) mkdir(dir string) error { return makeDir(dir, st.syncDir) }

// makeDir is mkdir with that syncDir. Whoever makes a directory may die before the one above it is synced, and a power cut
// would take the directory, with all that is in it by then: so one that nobody has locked yet is taken for new.
func makeDir(dir string, syncDir func(string) error) error {
	dir = filepath.Clean(dir)
	parent := filepath.Dir(dir)
	st, err := os.Stat(dir)
	switch {
	case err == nil && !st.IsDir():
		return fmt.Errorf("%w: %s is not a directory", ErrDirectory, dir)
	case err == nil:
		if _, err := os.Lstat(filepath.Join(dir, lockName)); !errors.Is(err, os.ErrNotExist) || parent == dir {
			return nil
		}
		err := syncDir(parent)
		for _, cannot := range []error{os.ErrPermission, errors.ErrUnsupported, syscall.EINVAL, syscall.EROFS} {
			if errors.Is(err, cannot) {
				return nil // nor could a maker: it is somebody else's, or a mount point
			}
		}
		return err
	case !errors.Is(err, os.ErrNotExist):
		return err
	}
	if parent != dir {
		if err := makeDir(parent, syncDir); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return syncDir(parent)
}

func (osStorage) lock(dir string) (io.Closer, error) {
	f, err := sysio.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, platform(err)
	}
	if err := sysio.Lock(f); err != nil {
		f.Close()
		if errors.Is(err, sysio.ErrLocked) {
			return nil, fmt.Errorf("%w: %s", ErrLocked, dir)
		}
		return nil, err
	}
	return f, nil
}

func (osStorage) locked(dir string) bool {
	f, err := sysio.OpenFile(filepath.Join(dir, lockName), os.O_RDONLY, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	held, err := sysio.Locked(f)
	return err == nil && held
}

func (osStorage) list(dir string, limit int) ([]string, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	var names []string
	for {
		part, err := d.Readdirnames(4096)
		names = append(names, part...)
		if len(names) > limit {
			return nil, fmt.Errorf("%w: %s has more than %d names", ErrDirectory, dir, limit)
		}
		if err == io.EOF {
			return names, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

func (osStorage) create(name string, n int64) (file, error) {
	f, err := sysio.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if n > 0 {
		if err := sysio.Allocate(f, 0, n); err != nil {
			f.Close()
			os.Remove(name)
			return nil, err
		}
	}
	return osFile{f}, nil
}

func (osStorage) open(name string, write bool) (file, error) {
	flag := os.O_RDONLY
	if write {
		flag = os.O_RDWR
	}
	f, err := sysio.OpenFile(name, flag, 0)
	if err != nil {
		return nil, refusal(name, err)
	}
	if !write && filepath.Ext(name) == segmentSuffix {
		if err := share(f, name); err != nil {
			f.Close()
			return nil, err
		}
	}
	return osFile{f}, nil
}

// share takes the lock that keeps a segment from being recycled, and makes sure that it has not been
// between the opening and that. Where there are no such locks nothing is recycled either.
func share(f *os.File, name string) error {
	if sysio.LockShared(f) != nil {
		return nil
	}
	opened, err := f.Stat()
	if err != nil {
		return err
	}
	named, err := os.Lstat(name)
	if err != nil {
		return err
	}
	if !os.SameFile(opened, named) {
		return &os.PathError{Op: "open", Path: name, Err: os.ErrNotExist}
	}
	return nil
}

func (osStorage) rename(from, to string) error { return os.Rename(from, to) }
func (osStorage) remove(name string) error     { return os.Remove(name) }

func (osStorage) syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func (osStorage) identity(dir string) identity {
	return identity{boot: sysio.BootID(), mount: sysio.MountID(dir)}
}

func (osStorage) memory(dir string) bool { return sysio.FileSystemOf(dir).Class == sysio.Memory }

// osFile is a file of osStorage.
type osFile struct{ *os.File }

func (f osFile) size() (int64, error) {
	_, size, err := sysio.Lengths(f.File)
	return size, err
}

func (f osFile) links() (uint64, error) { return sysio.Links(f.File) }

func (f osFile) tryLock() (unlock func(), err error) {
	err = sysio.Lock(f.File)
	if errors.Is(err, sysio.ErrLocked) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return func() { _ = sysio.Unlock(f.File) }, nil
}

func (f osFile) allocate(n int64) error { return sysio.Allocate(f.File, 0, n) }

func (f osFile) extend(n int64) error { return f.Truncate(n) }

func (f osFile) dataAfter(off int64) (int64, error) {
	size, err := f.size()
	if err != nil || off >= size {
		return size, err
	}
	at, ok := sysio.NextData(f.File, off)
	if !ok {
		return size, nil
	}
	return at, nil
}

func (f osFile) holeAfter(off int64) (int64, error) { return sysio.NextHole(f.File, off) }

func (f osFile) mmap(n int64, write bool) ([]byte, error) { return sysio.Map(f.File, n, write) }
func (f osFile) munmap(m []byte) error                    { return sysio.Unmap(m) }

func (f osFile) touch(m []byte) error {
	// A page that is present may still cost a hypervisor's attention at the first store to it.
	if err := sysio.PopulateWrite(m); err != nil && !errors.Is(err, sysio.ErrUnsupported) {
		return err
	}
	return touchPages(m)
}

func (f osFile) populate(m []byte)      { _ = sysio.PopulateRead(m) }
func (f osFile) adviseRandom(m []byte)  { _ = sysio.AdviseRandom(m) }
func (f osFile) sync() error            { return f.Sync() }
func (f osFile) syncData() error        { return sysio.SyncData(f.File) }
func (f osFile) writeback(off, n int64) { _ = sysio.StartWriteback(f.File, off, n) }
func (f osFile) dropCache()             { _ = sysio.DropCache(f.File) }
func (f osFile) close() error           { return f.Close() }
