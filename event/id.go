package event

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// ID identifies an event for good, across processes and machines. It is a UUID: version 7 where
// it was made from the clock, version 8 where it was derived. IDs compare with ==; the zero ID
// stands for none.
type ID [16]byte

// idClock is the tick of the last version 7 id: unix time in units of 1/65536 ms.
var idClock atomic.Uint64

// NewID returns a new UUIDv7. IDs from one process increase, in the order of their bytes and of
// their text, from call to call, also across goroutines and when the clock steps back. It is safe
// for concurrent use and does not allocate.
//
// The layout is method 3 of RFC 9562, section 6.2: 48 bits of milliseconds, 16 bits of their
// fraction (12 beside the version, 4 behind the variant), 58 random bits.
func NewID() ID { return NewIDAt(time.Now().UnixNano()) }

// NewIDAt is NewID for a caller that has just read the clock: unixNano is the present time in
// nanoseconds. A time in the future holds for every later id of this process too, since they
// increase; times before 1970 count as 1970.
func NewIDAt(unixNano int64) ID {
	ns := uint64(max(unixNano, 0))
	tick := ns/1e6<<16 | ns%1e6<<16/1e6
	for {
		last := idClock.Load()
		if tick <= last {
			tick = last + 1
		}
		if idClock.CompareAndSwap(last, tick) {
			break
		}
	}
	var id ID
	binary.BigEndian.PutUint64(id[:], tick>>16<<16|0x7000|tick>>4&0xfff)
	binary.BigEndian.PutUint64(id[8:], 1<<63|tick&0xf<<58|rand.Uint64()&(1<<58-1))
	return id
}

// Each derivation hashes a tag of its own first, so that no two kinds of input meet.
const (
	tagDerived = "headrace/derived/1"
	tagName    = "headrace/name/1\x00"
	tagHandler = "headrace/handler/1\x00"
)

// DeriveID returns the id of an event that handler puts out for cause: the ordinal-th of its
// outputs, counted from 0. Equal arguments give equal ids in every process and for ever, which is
// how an output is recognised when it is computed again. It does not allocate.
//
// The id is a UUIDv8 of SHA-256 over a tag, handler, cause and ordinal, little-endian.
func DeriveID(handler uint64, cause ID, ordinal uint32) ID {
	var b [len(tagDerived) + 8 + 16 + 4]byte
	n := copy(b[:], tagDerived)
	binary.LittleEndian.PutUint64(b[n:], handler)
	copy(b[n+8:], cause[:])
	binary.LittleEndian.PutUint32(b[n+24:], ordinal)
	return version8(sha256.Sum256(b[:]))
}

// HandlerID returns the number that stands for a handler's name in Origin and DeriveID: the first
// eight bytes of SHA-256 over a tag and the name, little-endian. It is never 0.
func HandlerID(name string) uint64 {
	sum := sha256.Sum256([]byte(tagHandler + name))
	return max(binary.LittleEndian.Uint64(sum[:]), 1)
}

// IDFromName returns the id that belongs to name, such as a document number of another system
// with a prefix that says which. Publishing it again is then recognised as a repeat.
//
// The id is a UUIDv8 of SHA-256 over a tag and the name.
func IDFromName(name string) ID {
	if len(name) <= 128 { // on the stack
		var b [len(tagName) + 128]byte
		n := copy(b[:], tagName)
		n += copy(b[n:], name)
		return version8(sha256.Sum256(b[:n]))
	}
	return version8(sha256.Sum256([]byte(tagName + name)))
}

func version8(sum [32]byte) ID {
	id := ID(sum[:16])
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	return id
}

// IsZero reports whether id stands for none.
func (id ID) IsZero() bool { return id == ID{} }

// Compare returns -1, 0 or +1 in the order of the bytes, which is that of time for NewID.
func (id ID) Compare(other ID) int {
	for i := range id {
		switch {
		case id[i] < other[i]:
			return -1
		case id[i] > other[i]:
			return +1
		}
	}
	return 0
}

// Time returns when a version 7 id was made, to the millisecond; false for any other id.
func (id ID) Time() (time.Time, bool) {
	if id[6]>>4 != 7 {
		return time.Time{}, false
	}
	return time.UnixMilli(int64(binary.BigEndian.Uint64(id[:]) >> 16)).UTC(), true
}

// String returns the usual form, 36 characters in lower case.
func (id ID) String() string {
	var b [36]byte
	id.encode(&b)
	return string(b[:])
}

// AppendText appends what String returns. The error is nil.
func (id ID) AppendText(dst []byte) ([]byte, error) {
	var b [36]byte
	id.encode(&b)
	return append(dst, b[:]...), nil
}

// MarshalText returns what String returns. The error is nil.
func (id ID) MarshalText() ([]byte, error) { return id.AppendText(nil) }

// UnmarshalText is ParseID; an empty text gives the zero ID.
func (id *ID) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*id = ID{}
		return nil
	}
	parsed, err := parseID(text)
	if err == nil {
		*id = parsed
	}
	return err
}

func (id *ID) encode(b *[36]byte) {
	hex.Encode(b[0:8], id[0:4])
	hex.Encode(b[9:13], id[4:6])
	hex.Encode(b[14:18], id[6:8])
	hex.Encode(b[19:23], id[8:10])
	hex.Encode(b[24:36], id[10:16])
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
}

// ParseID reads a UUID of any version in its usual form of 36 characters, in either case. Any
// other text is an ErrID.
func ParseID(s string) (ID, error) { return parseID(s) }

func parseID[S string | []byte](s S) (id ID, err error) {
	if len(s) != 36 {
		return ID{}, fmt.Errorf("%w: %d characters, a UUID has 36", ErrID, len(s))
	}
	n := 0
	for i := 0; i < len(s); i++ {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if s[i] != '-' {
				return ID{}, fmt.Errorf("%w: %q has no hyphen at %d", ErrID, s, i)
			}
			continue
		}
		digit, ok := unhex(s[i])
		if !ok {
			return ID{}, fmt.Errorf("%w: %q has no hex digit at %d", ErrID, s, i)
		}
		id[n/2] = id[n/2]<<4 | digit
		n++
	}
	return id, nil
}

func unhex(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}
