package journal

import (
	"crypto/rand"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// segment is a segment file that the writer has mapped.
//
// Ownership: the writer stores records, header and committed offset; the syncer stores the
// durable pair and, once the segment is sealed and synced, releases it; the goroutine that
// prepares ahead touches pages. None of them uses mem after release.
type segment struct {
	hdr   header
	name  string // base name; the writer's until the segment is published
	f     file
	mem   []byte
	limit int64 // records end at or before it; index and seal come after

	filled   int64         // the writer's: pages below it were put into the page cache, in this life or an earlier one
	touched  atomic.Int64  // pages below it are present and writable
	touching time.Duration // spent so far in making them so; guarded by mu

	mu       sync.Mutex // held to touch and to release
	released bool

	// The syncer's.
	settled  bool  // file and directory were synced since it was made
	endBytes int64 // of the journal since Open, at the seal; the writer's until the segment is published
	started  int64 // writeback of [0, started) was begun

	// Under the journal's mu, since the writer keeps the promise when it leaves the segment; durable is the syncer's
	// to change, who reads it without.
	durable    pair
	generation uint64
	pairDue    bool // durable is further than what the control page promises
}

// randomness is where identities, salts and creation times come from; tests replace it to make
// files that are the same every time.
type randomness struct {
	uuid func() [16]byte
	salt func() uint64
	now  func() int64
}

func systemRandomness() randomness {
	return randomness{
		uuid: func() (u [16]byte) {
			_, _ = rand.Read(u[:]) // never fails: see crypto/rand
			u[6] = u[6]&0x0f | 0x40
			u[8] = u[8]&0x3f | 0x80
			return u
		},
		salt: func() uint64 {
			var b [8]byte
			for {
				_, _ = rand.Read(b[:])
				if s := le.Uint64(b[:]); s != 0 {
					return s
				}
			}
		},
		now: func() int64 { return time.Now().UnixNano() },
	}
}

// makeSpare creates a segment file under a spare's name: allocated, zero, synced, mapped, its
// first window touched. It has no header yet, because nobody knows its first sequence.
//
// Of a segment that is written with pwrite only header and control page are mapped.
func makeSpare(st storage, dir string, bytes int64, id uint64, window int64, mapped bool) (*segment, error) {
	name := fmt.Sprintf("%016x%s", id, spareSuffix)
	path := filepath.Join(dir, name)
	f, err := st.create(path, bytes)
	if err != nil {
		if isNoSpace(err) {
			return nil, &NoSpaceError{Dir: dir, Bytes: bytes, Err: err}
		}
		return nil, err
	}
	s := &segment{name: name, f: f, limit: bytes - segmentReserve(bytes)}
	s.hdr.size, s.hdr.id = bytes, id
	err = f.sync()
	if err == nil {
		err = s.mapFor(mapped)
	}
	if err == nil {
		err = s.touchTo(min(bytes, window))
	}
	if err != nil {
		s.release()
		_ = st.remove(path)
		if isNoSpace(err) {
			return nil, &NoSpaceError{Dir: dir, Bytes: bytes, Err: err}
		}
		return nil, err
	}
	return s, nil
}

// christen gives a spare its header and its place in the journal, under its final name. It does not
// sync: the syncer settles the segment before anything in it counts as durable.
func (s *segment) christen(st storage, dir string, uuid [16]byte, first, created int64, salt uint64, now identity) error {
	h := s.hdr
	h.uuid, h.first, h.created, h.salt = uuid, first, created, salt
	if err := guard(s.name, s.mem, func() error {
		h.encode(s.mem[:pageBytes])
		clear(s.mem[controlOffset:recordsOffset])
		storeIdentity(s.mem, h.id, now)
		store64(s.mem, ctlCommittedSequence, uint64(first-1))
		store64(s.mem, ctlCommittedOffset, recordsOffset)
		return nil
	}); err != nil {
		return err
	}
	name := segmentName(first, h.id)
	if err := st.rename(filepath.Join(dir, s.name), filepath.Join(dir, name)); err != nil {
		return err
	}
	s.hdr, s.name = h, name
	return nil
}

// openSegment maps an existing segment for writing.
func openSegment(st storage, dir string, seg *found, mapped bool) (*segment, error) {
	f, err := st.open(filepath.Join(dir, seg.name), true)
	if err != nil {
		return nil, err
	}
	s := &segment{hdr: seg.hdr, name: seg.name, f: f, limit: seg.hdr.size - segmentReserve(seg.hdr.size)}
	if err := s.mapFor(mapped); err != nil {
		s.release()
		return nil, err
	}
	return s, nil
}

// mapFor maps the whole file, or header and control page for a writer that uses pwrite, which
// touches nothing else: the first store there must not have the kernel read what is around it, as many
// small pages of the page cache.
func (s *segment) mapFor(mapped bool) (err error) {
	n := s.hdr.size
	if !mapped {
		n = recordsOffset
		s.touched.Store(s.hdr.size)
	}
	if s.mem, err = s.f.mmap(n, true); err == nil && !mapped {
		s.f.adviseRandom(s.mem)
	}
	return err
}

// unmapRecords leaves of the mapping what a writer with pwrite needs: the kernel has to protect each page that is
// mapped, and may have been stored to, before every writeback of it.
func (s *segment) unmapRecords() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.f.munmap(s.mem); err != nil {
		return err
	}
	s.mem = nil
	s.filled = s.touched.Load()
	return s.mapFor(false)
}

// touchTo makes pages up to offset end present and writable. It may run beside itself.
func (s *segment) touchTo(end int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	from := s.touched.Load()
	end = min((end+pageBytes-1)&^(pageBytes-1), s.hdr.size)
	if s.released || end <= from {
		return nil
	}
	start := time.Now()
	err := s.f.touch(s.mem[from:end])
	s.touching += time.Since(start)
	if err != nil {
		return errorf("%s: touch [%s, %s): %w: %w", s.name, thousands(from), thousands(end), ErrFault, err)
	}
	s.touched.Store(end)
	return nil
}

// release unmaps and closes. Idempotent.
func (s *segment) release() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.released {
		return nil
	}
	s.released = true
	var err error
	if s.mem != nil {
		err = s.f.munmap(s.mem)
		s.mem = nil
	}
	if e := s.f.close(); err == nil {
		err = e
	}
	return err
}

// keepPair makes the control page promise what is durable.
func (s *segment) keepPair() {
	if !s.pairDue {
		return
	}
	s.pairDue = false
	s.generation++
	storePair(s.mem, s.hdr.id, pair{s.generation, s.durable.offset, s.durable.sequence}) // durable stays the syncer's to store to
}

// storePair promises p after a sync.
func (s *segment) storePair(offset, sequence int64) {
	s.pairDue = false
	s.generation++
	s.durable = pair{s.generation, offset, sequence}
	storePair(s.mem, s.hdr.id, s.durable)
}
