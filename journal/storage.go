package journal

import "io"

// storage is what the journal needs of a file system. The operating system's is osStorage; tests
// have one on the heap, which also fails on demand and forgets what was not synced.
type storage interface {
	// mkdir creates dir and its parents where they are missing, mode 0700, durably.
	mkdir(dir string) error
	// apart returns ErrOverlap where one of two directories, of which one, or both, need not be there yet, is or lies in the
	// other.
	apart(a, b string) error
	// lock takes the writer's lock of dir without waiting; ErrLocked if it is held.
	lock(dir string) (io.Closer, error)
	// locked tells whether a writer holds dir. It takes nothing and disturbs nobody.
	locked(dir string) bool
	// list returns the names in dir, in no order; ErrDirectory if there are more than limit.
	list(dir string, limit int) ([]string, error)
	// create makes a file of n bytes, allocated and zero; it fails if the name exists.
	create(name string, n int64) (file, error)
	// open opens a regular file, following no symbolic link. A segment that is opened for reading
	// is not recycled as long as it, or a mapping of it, is open.
	open(name string, write bool) (file, error)
	// rename moves a file, over the one that has the new name if there is one.
	rename(from, to string) error
	remove(name string) error
	// syncDir makes creations, renames and removals in dir durable.
	syncDir(dir string) error
	// identity names the boot and the mount that dir lies on now.
	identity(dir string) identity
	// memory tells whether dir lies in memory alone: nothing is ever written back.
	memory(dir string) bool
}

// file is an open file of a storage.
type file interface {
	io.ReaderAt
	io.WriterAt
	size() (int64, error)
	// links returns how many names the file has.
	links() (uint64, error)
	// tryLock takes the file for this open file alone, unless somebody has it open for reading:
	// then unlock is nil.
	tryLock() (unlock func(), err error)
	// allocate gives the first n bytes real blocks and extends the file to them if need be.
	allocate(n int64) error
	// extend makes the file n bytes long, which is no less than before, without blocks.
	extend(n int64) error
	// dataAfter returns the lowest offset >= off that may hold something but zero; the size of
	// the file if there is none.
	dataAfter(off int64) (int64, error)
	// mmap maps the first n bytes, shared with every other mapping of the file.
	mmap(n int64, write bool) ([]byte, error)
	munmap(m []byte) error
	// touch makes pages of a writable mapping present and writable.
	touch(m []byte) error
	// populate makes pages of a mapping present for reading; a hint.
	populate(m []byte)
	// adviseRandom says that a page of m which is not there is no reason to read those around it; a hint.
	adviseRandom(m []byte)
	// sync makes data and metadata durable; syncData only what is needed to read the data.
	sync() error
	syncData() error
	// writeback has the kernel begin to write pages of [off, off+n) that are dirty; a hint.
	writeback(off, n int64)
	// dropCache forgets cached pages that are clean; a hint.
	dropCache()
	close() error
}
