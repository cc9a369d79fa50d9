package journal

import (
	"errors"
	"fmt"
)

// Conditions of archived segments.
var (
	// ErrNoKey reports an encrypted segment and nobody who has its key. The segment is not damaged.
	ErrNoKey = errors.New("journal: no key for an encrypted segment")
	// ErrWrongKey reports a key that is not the one that a segment was encrypted with.
	ErrWrongKey = errors.New("journal: wrong key for an encrypted segment")
	// ErrNoCodec reports a segment that was compressed with a codec that the reader was not given.
	ErrNoCodec = errors.New("journal: unknown codec of a compressed segment")
	// ErrArchive, inside a CorruptionError, reports an archived segment that is damaged.
	ErrArchive = errors.New("damaged archive")
)

// KeyFunc returns the key of that id, 16 to 64 bytes of which 32 are enough; it is called once for
// each segment that is opened, from whatever goroutine opens it, and the key is not kept. id is
// never 0. An error makes the segment unreadable, and is wrapped.
type KeyFunc func(id uint32) ([]byte, error)

// ArchiveAccess says how to read archived segments. The zero value reads those that are compressed
// with Deflate, or not at all, and not encrypted.
type ArchiveAccess struct {
	Key    KeyFunc // nil: no key is known
	Codecs []Codec // besides Deflate
}

// AccessError reports an archived segment that cannot be read here, although nothing is wrong with
// it. Err is, or wraps, ErrNoKey, ErrWrongKey or ErrNoCodec.
type AccessError struct {
	Segment string // base name of the file
	KeyID   uint32 // 0: not encrypted
	Codec   uint32
	First   int64 // sequence, as is Last: what the file says of itself; both are 0 of what is not archived yet
	Last    int64 // First-1 if it has none
	Err     error
}

func (e *AccessError) Error() string {
	segment := ""
	if e.Segment != "" {
		segment = e.Segment + ": "
	}
	return fmt.Sprintf("journal: %scodec %d, key id %d: %s; give the codec, or the key, with ArchiveAccess",
		segment, e.Codec, e.KeyID, bare(e.Err))
}

func (e *AccessError) Unwrap() error { return e.Err }

// isAccess tells whether err is an *AccessError.
func isAccess(err error) bool {
	var a *AccessError
	return errors.As(err, &a)
}

// isUnreadable tells whether err says that nobody here has the key or the codec.
func isUnreadable(err error) bool {
	return isAccess(err) && (errors.Is(err, ErrNoKey) || errors.Is(err, ErrNoCodec))
}

// codec returns the codec of that id.
func (a *ArchiveAccess) codec(id uint32) (Codec, bool) {
	if id == codecDeflate {
		return deflate{}, true
	}
	for _, c := range a.Codecs {
		if c != nil && c.ID() == id {
			return c, true
		}
	}
	return nil, false
}

// key returns the key of that id. The error wraps ErrNoKey.
func (a *ArchiveAccess) key(id uint32) ([]byte, error) {
	if a.Key == nil {
		return nil, ErrNoKey
	}
	k, err := a.Key(id)
	if err != nil {
		return nil, errorf("%w: %w", ErrNoKey, err)
	}
	if len(k) < minKeyBytes || len(k) > maxKeyBytes {
		return nil, fmt.Errorf("%w: a key of %d bytes, want %d to %d", ErrNoKey, len(k), minKeyBytes, maxKeyBytes)
	}
	return k, nil
}

const (
	minKeyBytes = 16
	maxKeyBytes = 64
)

// isZero tells whether nothing was set.
func (a *ArchiveAccess) isZero() bool { return a.Key == nil && len(a.Codecs) == 0 }
