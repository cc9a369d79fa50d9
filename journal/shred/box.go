package shred

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/headrace/headrace/journal"
)

// Conditions. Test with errors.Is.
var (
	// ErrErased reports a body whose key was destroyed: nobody can read it any more.
	ErrErased = errors.New("shred: the data of this subject were erased")
	// ErrUnknownKey reports a key that the store never had, or lost: not an erasure.
	ErrUnknownKey = errors.New("shred: unknown key")
	// ErrNotSealed reports bytes that no Box made.
	ErrNotSealed = errors.New("shred: not a sealed body")
	// ErrDamaged reports a sealed body that was changed, or that belongs to other associated data.
	ErrDamaged = errors.New("shred: sealed body is not authentic")
	// ErrVersion reports a sealed body, or a key store, of a version that this package does not know.
	ErrVersion = errors.New("shred: unknown version")
)

// KeyID names a key; it is random and says nothing about the subject.
type KeyID [16]byte

// Key is what a subject's bodies are sealed with.
type Key struct {
	ID     KeyID
	Secret [32]byte
}

// KeyStore keeps a key for each subject. Its methods may be called from several goroutines.
type KeyStore interface {
	// ForSubject returns the subject's key, and makes one, durably, if it has none or its last one
	// was destroyed.
	ForSubject(subject string) (Key, error)
	// ByID returns a key. Errors: ErrErased if it was destroyed; ErrUnknownKey.
	ByID(id KeyID) (Key, error)
	// Destroy destroys the subject's key. When it returns nil no later ByID finds it, after a
	// crash either. It is no error if there is none.
	Destroy(subject string) error
}

// A sealed body: magic, version, key id, session, number, ciphertext with its tag. FORMAT.md of
// package journal describes it.
const (
	magic       = "HRS"
	version     = 1
	headerBytes = 4 + 16 + 16 + 8
	tagBytes    = 16
	// Overhead is how many bytes a sealed body is longer than the plain one.
	Overhead = headerBytes + tagBytes

	sessionInfo  = "headrace shred session v1\n"
	maxNumber    = 1 << 32 // of bodies in a session
	maxSessions  = 1024    // of readers, and of subjects that are written, kept derived
	maxPlainSize = 1<<31 - 1
)

// Box seals and opens bodies with the keys of a store. It may be used from several goroutines.
type Box struct {
	keys KeyStore

	mu      sync.Mutex
	writing map[KeyID]*session
	reading map[[16]byte]*session
}

// session is a derived key.
type session struct {
	id   [16]byte
	key  Key // that it was derived from
	aead cipher.AEAD
	next uint64 // number of the next body
}

// NewBox returns a Box over keys.
func NewBox(keys KeyStore) *Box {
	return &Box{keys: keys, writing: map[KeyID]*session{}, reading: map[[16]byte]*session{}}
}

func newSession(id [16]byte, key Key) (*session, error) {
	k, err := hkdf.Key(sha256.New, key.Secret[:], id[:], sessionInfo+string(key.ID[:]), 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(k)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	return &session{id: id, key: key, aead: aead}, err
}

func nonce(number uint64) []byte {
	return binary.LittleEndian.AppendUint64(make([]byte, 4, 12), number)
}

// Seal appends plain, sealed with the subject's key, to dst. ad is not stored, and has to be given
// to Open again: what the body belongs to, so that it cannot be moved; nil binds it to nothing.
//
// Errors: those of the store.
func (b *Box) Seal(dst []byte, subject string, plain, ad []byte) ([]byte, error) {
	if len(plain) > maxPlainSize {
		return nil, fmt.Errorf("shred: a body of %d bytes, at most %d can be sealed", len(plain), maxPlainSize)
	}
	key, err := b.keys.ForSubject(subject)
	if err != nil {
		return nil, err
	}
	s, number, err := b.writer(key)
	if err != nil {
		return nil, err
	}
	at := len(dst)
	dst = append(dst, magic...)
	dst = append(dst, version)
	dst = append(dst, key.ID[:]...)
	dst = append(dst, s.id[:]...)
	dst = binary.LittleEndian.AppendUint64(dst, number)
	return s.aead.Seal(dst, nonce(number), plain, bind(dst[at:], ad)), nil
}

// bind is what the tag is over besides the text: the header, then ad.
func bind(header, ad []byte) []byte {
	return append(append(make([]byte, 0, len(header)+len(ad)), header...), ad...)
}

// writer returns the session to seal with, and a number that nobody else gets.
func (b *Box) writer(key Key) (*session, uint64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.writing[key.ID]
	if s == nil || s.next >= maxNumber || s.key != key {
		var id [16]byte
		_, _ = rand.Read(id[:]) // never fails: see crypto/rand
		var err error
		if s, err = newSession(id, key); err != nil {
			return nil, 0, err
		}
		if len(b.writing) >= maxSessions {
			clear(b.writing) // sessions are cheap; which were in use is not worth knowing
		}
		b.writing[key.ID] = s
	}
	s.next++
	return s, s.next - 1, nil
}

// IsSealed tells whether body looks as if a Box had made it.
func IsSealed(body []byte) bool {
	return len(body) >= Overhead && string(body[:3]) == magic
}

// SealedWith returns the id of the key that body was sealed with. Errors: ErrNotSealed; ErrVersion.
func SealedWith(body []byte) (id KeyID, err error) {
	if !IsSealed(body) {
		return id, ErrNotSealed
	}
	if body[3] != version {
		return id, fmt.Errorf("%w %d of a sealed body, this program knows %d: use a newer one", ErrVersion, body[3], version)
	}
	copy(id[:], body[4:])
	return id, nil
}

// Open appends what body was sealed from to dst; ad is what was given to Seal. The store is asked
// each time, so that a key that another process destroyed is gone here too.
//
// Errors: ErrErased; ErrUnknownKey; ErrNotSealed; ErrVersion; ErrDamaged; those of the store.
func (b *Box) Open(dst, body, ad []byte) ([]byte, error) {
	id, err := SealedWith(body)
	if err != nil {
		return nil, err
	}
	key, err := b.keys.ByID(id)
	if err != nil {
		b.forget(id)
		return nil, err
	}
	s, err := b.reader([16]byte(body[20:36]), key)
	if err != nil {
		return nil, err
	}
	number := binary.LittleEndian.Uint64(body[36:])
	out, err := s.aead.Open(dst, nonce(number), body[headerBytes:], bind(body[:headerBytes], ad))
	if err != nil {
		return nil, ErrDamaged
	}
	return out, nil
}

func (b *Box) reader(id [16]byte, key Key) (*session, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.reading[id]
	if s == nil || s.key != key {
		var err error
		if s, err = newSession(id, key); err != nil {
			return nil, err
		}
		if len(b.reading) >= maxSessions {
			clear(b.reading)
		}
		b.reading[id] = s
	}
	return s, nil
}

// forget drops what was derived from a key that is gone.
func (b *Box) forget(id KeyID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.writing, id)
	for k, s := range b.reading {
		if s.key.ID == id {
			delete(b.reading, k)
		}
	}
}

// Reveal makes a function for journal.Reader.Read, Follow and the like that opens sealed bodies, with
// no associated data, before fn sees them. Records that are not sealed come as they are. For one that
// was erased fn gets ErrErased and no body; it may return nil to go on. Every other error of Open
// ends the reading. The body is valid inside fn only.
//
// The function that it returns belongs to one goroutine.
func (b *Box) Reveal(fn func(rec journal.Record, erased error) error) func(journal.Record) error {
	var buf []byte
	return func(rec journal.Record) error {
		if !IsSealed(rec.Body) {
			return fn(rec, nil)
		}
		plain, err := b.Open(buf[:0], rec.Body, nil)
		switch {
		case errors.Is(err, ErrErased):
			rec.Body = nil
			return fn(rec, err)
		case err != nil:
			return fmt.Errorf("shred: record %d: %w", rec.Sequence, err)
		}
		buf, rec.Body = plain, plain
		return fn(rec, nil)
	}
}
