package shred

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/headrace/headrace/internal/sysio"
)

// FileStore is a KeyStore in one file, KEYS, of a directory: a slot of 512 bytes, a disk's sector,
// for each key. To destroy a key its slot is overwritten in place, and synced, by one that keeps the
// id alone. One process has it open for writing; others may read.
//
// It keeps an index in memory, some 100 bytes a key; secrets are read from the file each time.
type FileStore struct {
	f      *os.File
	lock   *os.File // nil: read only
	master cipher.AEAD

	mu       sync.Mutex
	closed   bool
	slots    int64              // of the file
	byID     map[KeyID]int64    // slot
	subjects map[[32]byte]int64 // slot of the living key of a subject, by the hash of its name
	failed   error              // sticky: a sync failed

	sync func() error // of f; tests have their own
}

// FileOptions configure OpenFile. The zero value is usable.
type FileOptions struct {
	// Master, if not nil, 32 bytes, encrypts every secret in the file. It must be kept elsewhere.
	// Without it the file holds secrets as they are, protected by its mode, 0600, alone.
	Master []byte
	// ReadOnly opens a store that another process may have open for writing. ForSubject finds
	// only keys that are there, and Destroy fails.
	ReadOnly bool
}

// ErrStore reports a key store that cannot be used: damaged, locked by another process, closed, or
// opened without the master key that it was made with.
var ErrStore = errors.New("shred: key store")

const (
	keysName   = "KEYS"
	lockName   = "LOCK"
	slotBytes  = 512
	slotMagic  = "HRKY"
	stateAlive = 1
	stateGone  = 2
	flagMaster = 1

	maxSlots = 1 << 26 // 32 GiB of keys
)

func crc(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// slot is a slot of the file, decoded.
type slot struct {
	state, flags byte
	id           KeyID
	subject      [32]byte // SHA-256 of its name; zero once the key is gone
	secret       [60]byte // 32 bytes, or nonce, 32 bytes and tag under the master key; zero likewise
}

func (s *slot) encode(b []byte) {
	clear(b[:slotBytes])
	copy(b, slotMagic)
	b[4], b[5], b[6] = version, s.state, s.flags
	copy(b[8:], s.id[:])
	copy(b[24:], s.subject[:])
	copy(b[56:], s.secret[:])
	binary.LittleEndian.PutUint32(b[slotBytes-4:], crc(b[:slotBytes-4]))
}

func (s *slot) decode(b []byte) error {
	if string(b[:4]) != slotMagic || crc(b[:slotBytes-4]) != binary.LittleEndian.Uint32(b[slotBytes-4:]) {
		return fmt.Errorf("%w: checksum of a slot", ErrStore)
	}
	if b[4] != version || b[6]&^flagMaster != 0 || b[5] != stateAlive && b[5] != stateGone {
		return fmt.Errorf("%w %d of a key store, this program knows %d: use a newer one", ErrVersion, b[4], version)
	}
	s.state, s.flags = b[5], b[6]
	copy(s.id[:], b[8:])
	copy(s.subject[:], b[24:])
	copy(s.secret[:], b[56:])
	return nil
}

// OpenFile opens the key store in dir, and makes it, and dir with mode 0700, if it is not there and
// not to be read only. A slot at the end that a crash left unfinished, its beginning or its end zero, was no key yet: it
// is written over by the next. Errors: ErrStore; ErrVersion; those of the operating system.
func OpenFile(dir string, o FileOptions) (_ *FileStore, err error) {
	s := &FileStore{byID: map[KeyID]int64{}, subjects: map[[32]byte]int64{}}
	if o.Master != nil {
		if len(o.Master) != 32 {
			return nil, fmt.Errorf("%w: a master key of %d bytes, want 32", ErrStore, len(o.Master))
		}
		block, err := aes.NewCipher(o.Master)
		if err != nil {
			return nil, err
		}
		if s.master, err = cipher.NewGCM(block); err != nil {
			return nil, err
		}
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if o.ReadOnly {
		if s.f, err = sysio.OpenFile(filepath.Join(dir, keysName), os.O_RDONLY, 0); err != nil {
			return s, err
		}
		return s, s.load()
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return s, err
	}
	if s.lock, err = sysio.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return s, err
	}
	if err := sysio.Lock(s.lock); err != nil {
		return s, fmt.Errorf("%w: %s: %w", ErrStore, dir, err)
	}
	if s.f, err = sysio.OpenFile(filepath.Join(dir, keysName), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return s, err
	}
	s.sync = s.f.Sync
	if err := s.sync(); err != nil {
		return s, err
	}
	if err := syncDir(dir); err != nil {
		return s, err
	}
	if err := syncDir(filepath.Dir(filepath.Clean(dir))); err != nil {
		return s, err
	}
	return s, s.load()
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// load reads the slots that it has not read yet.
func (s *FileStore) load() error {
	st, err := s.f.Stat()
	if err != nil {
		return err
	}
	n := st.Size() / slotBytes
	if n > maxSlots {
		return fmt.Errorf("%w: %d slots, at most %d", ErrStore, n, maxSlots)
	}
	r := io.NewSectionReader(s.f, s.slots*slotBytes, (n-s.slots)*slotBytes)
	buf := make([]byte, 128*slotBytes)
	for s.slots < n {
		k, err := io.ReadFull(r, buf[:min(int64(len(buf)), (n-s.slots)*slotBytes)])
		if err != nil {
			return err
		}
		for b := buf[:k]; len(b) > 0; b = b[slotBytes:] {
			var sl slot
			if err := sl.decode(b); err != nil {
				if s.slots == n-1 && errors.Is(err, ErrStore) && isUnfinished(b[:slotBytes]) {
					return nil // being made when its writer died: nobody was told of it
				}
				return fmt.Errorf("slot %d: %w", s.slots, err)
			}
			if err := s.admit(&sl); err != nil {
				return err
			}
		}
	}
	return nil
}

// isUnfinished tells whether the beginning or the end of a slot is not there, as a crash may leave a new one. Any other that
// does not verify was a key, and is damaged: the next one must not be written over it.
func isUnfinished(b []byte) bool {
	return binary.LittleEndian.Uint64(b) == 0 || binary.LittleEndian.Uint64(b[slotBytes-8:]) == 0
}

// admit takes the slot at s.slots into the index.
func (s *FileStore) admit(sl *slot) error {
	if sl.state == stateAlive {
		if (sl.flags&flagMaster != 0) != (s.master != nil) {
			return fmt.Errorf("%w: slot %d: the master key is missing, or too much", ErrStore, s.slots)
		}
		s.subjects[sl.subject] = s.slots
	}
	s.byID[sl.id] = s.slots
	s.slots++
	return nil
}

// read reads one slot.
func (s *FileStore) read(n int64) (sl slot, err error) {
	b := make([]byte, slotBytes)
	if _, err := s.f.ReadAt(b, n*slotBytes); err != nil {
		return sl, fmt.Errorf("shred: read slot %d: %w", n, err)
	}
	return sl, sl.decode(b)
}

// write writes one slot, durably.
func (s *FileStore) write(n int64, sl *slot) error {
	b := make([]byte, slotBytes)
	sl.encode(b)
	_, err := s.f.WriteAt(b, n*slotBytes)
	if err == nil {
		err = s.sync()
	}
	if err != nil {
		// After a failed sync nobody knows what is on the disk; trying again would prove nothing.
		s.failed = fmt.Errorf("%w: write slot %d: %w; open it anew", ErrStore, n, err)
		return s.failed
	}
	return nil
}

func (s *FileStore) usable(write bool) error {
	switch {
	case s.closed:
		return fmt.Errorf("%w: closed", ErrStore)
	case s.failed != nil:
		return s.failed
	case write && s.lock == nil:
		return fmt.Errorf("%w: opened read only", ErrStore)
	}
	return nil
}

// key makes the Key of a living slot.
func (s *FileStore) key(n int64, sl *slot) (k Key, err error) {
	k.ID = sl.id
	if s.master == nil {
		copy(k.Secret[:], sl.secret[:32])
		return k, nil
	}
	plain, err := s.master.Open(nil, sl.secret[:12], sl.secret[12:], sl.id[:])
	if err != nil {
		return k, fmt.Errorf("%w: slot %d: wrong master key", ErrStore, n)
	}
	copy(k.Secret[:], plain)
	return k, nil
}

// ForSubject returns the subject's key and makes one if need be; see KeyStore. Errors: ErrStore;
// ErrUnknownKey if the store is read only and has none.
func (s *FileStore) ForSubject(subject string) (k Key, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(false); err != nil {
		return k, err
	}
	name := sha256.Sum256([]byte(subject))
	if s.lock == nil {
		if err := s.load(); err != nil {
			return k, err
		}
	}
	if n, ok := s.subjects[name]; ok {
		sl, err := s.read(n)
		if err != nil {
			return k, err
		}
		if sl.state == stateAlive {
			return s.key(n, &sl)
		}
		delete(s.subjects, name)
	}
	if s.lock == nil {
		return k, fmt.Errorf("%w: of subject %q", ErrUnknownKey, subject)
	}
	if s.slots >= maxSlots {
		return k, fmt.Errorf("%w: it is full: %d slots", ErrStore, maxSlots)
	}
	sl := slot{state: stateAlive, subject: name}
	_, _ = rand.Read(k.ID[:]) // never fails: see crypto/rand
	_, _ = rand.Read(k.Secret[:])
	sl.id = k.ID
	if s.master == nil {
		copy(sl.secret[:], k.Secret[:])
	} else {
		// Random nonces: fit for 2^32 keys, of which there cannot be so many.
		sl.flags = flagMaster
		_, _ = rand.Read(sl.secret[:12])
		copy(sl.secret[12:], s.master.Seal(nil, sl.secret[:12], k.Secret[:], sl.id[:]))
	}
	if err := s.write(s.slots, &sl); err != nil {
		return Key{}, err
	}
	return k, s.admit(&sl)
}

// ByID returns a key; see KeyStore. Errors: ErrErased; ErrUnknownKey; ErrStore.
func (s *FileStore) ByID(id KeyID) (k Key, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(false); err != nil {
		return k, err
	}
	n, ok := s.byID[id]
	if !ok && s.lock == nil {
		if err := s.load(); err != nil {
			return k, err
		}
		n, ok = s.byID[id]
	}
	if !ok {
		return k, fmt.Errorf("%w: %x", ErrUnknownKey, id[:])
	}
	sl, err := s.read(n)
	if err != nil {
		return k, err
	}
	if sl.state == stateGone {
		return k, fmt.Errorf("%w: key %x", ErrErased, id[:])
	}
	return s.key(n, &sl)
}

// Destroy destroys the subject's key; see KeyStore. A later ForSubject makes another, which opens
// nothing of what was. Errors: ErrStore.
func (s *FileStore) Destroy(subject string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(true); err != nil {
		return err
	}
	name := sha256.Sum256([]byte(subject))
	n, ok := s.subjects[name]
	if !ok {
		return nil
	}
	sl, err := s.read(n)
	if err != nil {
		return err
	}
	if err := s.write(n, &slot{state: stateGone, id: sl.id}); err != nil {
		return err
	}
	delete(s.subjects, name)
	return nil
}

// Subjects returns how many subjects have a key.
func (s *FileStore) Subjects() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.subjects)
}

// Close closes the store. Idempotent.
func (s *FileStore) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	var err error
	if s.f != nil {
		err = s.f.Close()
	}
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
	}
	return err
}
