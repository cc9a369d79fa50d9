package journal

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
)

// memStorage is a storage on the heap. The race detector sees its memory, which it does not do
// for mappings; it fails on demand; and it knows what a power cut may leave.
type memStorage struct {
	mu     sync.Mutex
	nodes  map[string]*memNode
	dirs   map[string]bool
	locks  map[string]bool
	id     identity
	free   int64                       // bytes that may still be allocated; < 0: no limit
	hook   func(op, name string) error // called before each operation
	crashy bool                        // remember what was synced
	synced map[string]*memNode         // names as of the last syncDir of their directory
	ops    []dirOp                     // what was done to names since, if crashy
	disk   bool                        // says that it writes back
	all    bool                        // the hook is called for what has no way to fail visibly too
	wrote  func(name string, from, to int64)
}

// dirOp is a creation (from is empty), a rename or a removal (to is empty).
type dirOp struct {
	from, to string
	node     *memNode
}

// note remembers what was done to a name until its directory is synced. The caller has the lock.
func (s *memStorage) note(from, to string, n *memNode) {
	if s.crashy {
		s.ops = append(s.ops, dirOp{from, to, n})
	}
}

type memNode struct {
	mu    sync.RWMutex // what a kernel does for reads and writes of one file
	words []uint64
	size  int64
	image []byte // content at the last sync, if crashy
	syncs int    // how many there were

	readers int // open for reading; guarded by the storage's mu
	linked  int // names besides the first
}

func newMemStorage() *memStorage {
	return &memStorage{nodes: map[string]*memNode{}, dirs: map[string]bool{}, locks: map[string]bool{},
		id: identity{boot: [16]byte{1}, mount: 1}, free: -1, synced: map[string]*memNode{}}
}

func (n *memNode) bytes() []byte { return wordsToBytes(n.words)[:n.size] }

func newMemNode(size int64) *memNode {
	return &memNode{words: make([]uint64, (size+pageBytes-1)/pageBytes*pageBytes/8), size: size}
}

// clone is the same files after the death of the process, whose goroutines may still be at work.
func (s *memStorage) clone() *memStorage {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := newMemStorage()
	c.id = s.id
	for d := range s.dirs {
		c.dirs[d] = true
	}
	for name, n := range s.nodes {
		n.mu.RLock()
		c.nodes[name] = n.copied()
		n.mu.RUnlock()
	}
	return c
}

// copied is a node with the same content, loaded word by word: mappings of it may be stored to. The
// caller has the node's lock, or knows that nobody reads or writes the file.
func (n *memNode) copied() *memNode {
	m := newMemNode(n.size)
	for i := range n.words {
		m.words[i] = atomic.LoadUint64(&n.words[i])
	}
	return m
}

// powerCut is the files after a loss of power: of every sector that was changed since its file
// was synced either the old or the new content, and of every name likewise. Goroutines may still be at work.
func (s *memStorage) powerCut(rnd *rand.Rand) *memStorage {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := newMemStorage()
	c.id = identity{boot: [16]byte{2}, mount: 2}
	for d := range s.dirs {
		c.dirs[d] = true
	}
	kept := map[string]*memNode{}
	if rnd.IntN(2) == 0 { // the directory's changes reached the disk in time
		for name, n := range s.nodes {
			kept[name] = n
		}
	} else {
		for name, n := range s.synced {
			kept[name] = n
		}
	}
	mode := rnd.IntN(3)
	for name, n := range kept {
		n.mu.RLock()
		now, m := n.copied().bytes(), newMemNode(n.size)
		b := m.bytes()
		copy(b, n.image)
		n.mu.RUnlock()
		for off := 0; off < len(b); off += 512 {
			end := min(off+512, len(b))
			if mode == 0 || mode == 1 && rnd.IntN(2) == 0 {
				copy(b[off:end], now[off:end])
			}
		}
		c.nodes[name] = m
	}
	return c
}

// setHook changes the hook of a storage that is in use.
func (s *memStorage) setHook(hook func(op, name string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook = hook
}

func (s *memStorage) op(op, name string) error {
	s.mu.Lock()
	hook := s.hook
	s.mu.Unlock()
	if hook != nil {
		if err := hook(op, filepath.Base(name)); err != nil {
			return &os.PathError{Op: op, Path: name, Err: err}
		}
	}
	return nil
}

// quietOp is op for what fails without consequence as a rule.
func (s *memStorage) quietOp(op, name string) error {
	if !s.all {
		return nil
	}
	return s.op(op, name)
}

func (s *memStorage) mkdir(dir string) error {
	if err := s.op("mkdir", dir); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dirs[filepath.Clean(dir)] = true
	return nil
}

func (s *memStorage) apart(a, b string) error {
	a, b = filepath.Clean(a), filepath.Clean(b)
	if a == b || within(a, b) || within(b, a) {
		return ErrOverlap
	}
	return nil
}

type memLock struct {
	s   *memStorage
	dir string
}

func (l memLock) Close() error {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	delete(l.s.locks, l.dir)
	return nil
}

func (s *memStorage) lock(dir string) (io.Closer, error) {
	if err := s.op("lock", dir); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.locks[dir] {
		return nil, ErrLocked
	}
	s.locks[dir] = true
	return memLock{s, dir}, nil
}

func (s *memStorage) locked(dir string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.locks[dir]
}

func (s *memStorage) list(dir string, limit int) ([]string, error) {
	if err := s.op("list", dir); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.dirs[filepath.Clean(dir)] {
		return nil, os.ErrNotExist
	}
	var names []string
	for name := range s.nodes {
		if filepath.Dir(name) == filepath.Clean(dir) {
			names = append(names, filepath.Base(name))
		}
	}
	if len(names) > limit {
		return nil, fmt.Errorf("%w: too many names", ErrDirectory)
	}
	return names, nil
}

func (s *memStorage) create(name string, n int64) (file, error) {
	if err := s.op("create", name); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.nodes[name] != nil {
		return nil, os.ErrExist
	}
	if s.free >= 0 {
		if n > s.free {
			return nil, &os.PathError{Op: "allocate", Path: name, Err: syscall.ENOSPC}
		}
		s.free -= n
	}
	node := newMemNode(n)
	s.nodes[name] = node
	s.note("", name, node)
	return &memFile{s: s, n: node, name: name}, nil
}

func (s *memStorage) open(name string, write bool) (file, error) {
	if err := s.op("open", name); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.nodes[name]
	if n == nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: os.ErrNotExist}
	}
	if !write {
		n.readers++
	}
	return &memFile{s: s, n: n, name: name, reads: !write}, nil
}

func (s *memStorage) rename(from, to string) error {
	if err := s.op("rename", from); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.nodes[from] == nil {
		return os.ErrNotExist
	}
	s.nodes[to] = s.nodes[from]
	delete(s.nodes, from)
	s.note(from, to, s.nodes[to])
	return nil
}

func (s *memStorage) remove(name string) error {
	if err := s.op("remove", name); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.nodes[name] == nil {
		return os.ErrNotExist
	}
	if s.free >= 0 {
		s.free += s.nodes[name].size
	}
	s.note(name, "", s.nodes[name])
	delete(s.nodes, name)
	return nil
}

func (s *memStorage) syncDir(dir string) error {
	if err := s.op("syncDir", dir); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	prefix := filepath.Clean(dir)
	for name := range s.synced {
		if filepath.Dir(name) == prefix {
			delete(s.synced, name)
		}
	}
	for name, n := range s.nodes {
		if filepath.Dir(name) == prefix {
			s.synced[name] = n
		}
	}
	// A rename between two directories is gone from neither until both are synced: here one is
	// enough, which is what file systems with a log do.
	left := s.ops[:0:0]
	for _, op := range s.ops {
		if filepath.Dir(op.from) != prefix && filepath.Dir(op.to) != prefix {
			left = append(left, op)
		}
	}
	s.ops = left
	return nil
}

func (s *memStorage) identity(dir string) identity {
	_ = s.quietOp("identity", dir)
	return s.id
}

func (s *memStorage) memory(string) bool { return !s.disk }

// segments returns the paths of the segment files, in order.
func (s *memStorage) segments() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for name := range s.nodes {
		if strings.HasSuffix(name, segmentSuffix) && filepath.Base(filepath.Dir(name)) != asideName {
			names = append(names, name)
		}
	}
	sortStrings(names)
	return names
}

func sortStrings(s []string) {
	for i := range s {
		for k := i; k > 0 && s[k] < s[k-1]; k-- {
			s[k], s[k-1] = s[k-1], s[k]
		}
	}
}

type memFile struct {
	s    *memStorage
	n    *memNode
	name string

	reads, closed bool // guarded by s.mu
}

func (f *memFile) links() (uint64, error) {
	if err := f.s.op("links", f.name); err != nil {
		return 0, err
	}
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	n := uint64(f.n.linked)
	for _, node := range f.s.nodes {
		if node == f.n {
			n++
		}
	}
	return n, nil
}

func (f *memFile) tryLock() (func(), error) {
	if err := f.s.op("tryLock", f.name); err != nil {
		return nil, err
	}
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	if f.n.readers > 0 {
		return nil, nil
	}
	return func() {}, nil
}

// ReadAt loads words atomically: a survey reads control pages that a writer is storing to.
func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.s.op("readAt", f.name); err != nil {
		return 0, err
	}
	f.n.mu.RLock()
	defer f.n.mu.RUnlock()
	if off >= f.n.size {
		return 0, io.EOF
	}
	all := wordsToBytes(f.n.words)
	n := int(min(int64(len(p)), f.n.size-off))
	i := 0
	if !raceEnabled && off >= recordsOffset {
		i = copy(p[:n], all[off:])
	}
	for i < n {
		at := (off + int64(i)) &^ 7
		var w [8]byte
		le.PutUint64(w[:], load64(all, at))
		i += copy(p[i:n], w[off+int64(i)-at:])
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	if err := f.s.op("writeAt", f.name); err != nil {
		return 0, err
	}
	f.n.mu.Lock()
	defer f.n.mu.Unlock()
	if end := off + int64(len(p)); end > f.n.size {
		f.grow(end)
	}
	if f.s.wrote != nil {
		f.s.wrote(f.name, off, off+int64(len(p)))
	}
	return copy(f.n.bytes()[off:], p), nil
}

func (f *memFile) grow(n int64) {
	m := newMemNode(n)
	copy(m.bytes(), f.n.bytes())
	f.n.words, f.n.size = m.words, n
}

func (f *memFile) size() (int64, error) {
	if err := f.s.op("size", f.name); err != nil {
		return 0, err
	}
	f.n.mu.RLock()
	defer f.n.mu.RUnlock()
	return f.n.size, nil
}

func (f *memFile) allocate(n int64) error {
	if err := f.s.op("allocate", f.name); err != nil {
		return err
	}
	if n > f.n.size {
		f.grow(n)
	}
	return nil
}

func (f *memFile) extend(n int64) error {
	if n > 16<<20 { // the heap has no holes
		return &os.PathError{Op: "extend", Path: f.name, Err: syscall.ENOSPC}
	}
	return f.allocate(n)
}

func (f *memFile) dataAfter(off int64) (int64, error) {
	if err := f.s.quietOp("dataAfter", f.name); err != nil {
		return 0, err
	}
	f.n.mu.RLock()
	defer f.n.mu.RUnlock()
	for off < f.n.size && !raceEnabled {
		end := min((off+pageBytes)&^(pageBytes-1), f.n.size)
		if !isZero(f.n.bytes()[off:end]) {
			break
		}
		off = end
	}
	return off, nil
}

func (f *memFile) mmap(n int64, _ bool) ([]byte, error) {
	if err := f.s.op("mmap", f.name); err != nil {
		return nil, err
	}
	return wordsToBytes(f.n.words)[:n:n], nil
}

func (f *memFile) munmap([]byte) error { return f.s.quietOp("munmap", f.name) }
func (f *memFile) touch([]byte) error  { return f.s.op("touch", f.name) }
func (f *memFile) populate([]byte)     {}
func (f *memFile) adviseRandom([]byte) {}

func (f *memFile) sync() error {
	if err := f.s.op("sync", f.name); err != nil {
		return err
	}
	if f.s.crashy {
		f.n.mu.Lock() // a write may be under way, as in a kernel
		defer f.n.mu.Unlock()
		f.n.image = append(f.n.image[:0], f.n.bytes()...)
		f.n.syncs++
	}
	return nil
}

func (f *memFile) syncData() error        { return f.sync() }
func (f *memFile) writeback(off, n int64) { _ = f.s.quietOp("writeback", f.name) }
func (f *memFile) dropCache()             {}

func (f *memFile) close() error {
	f.s.mu.Lock()
	if f.reads && !f.closed {
		f.n.readers--
	}
	f.closed = true
	f.s.mu.Unlock()
	return f.s.quietOp("close", f.name)
}
