package snapshot

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
)

const (
	magic       = "HEADSNAP"
	version     = 1
	headerBytes = 136
	entryBytes  = 80 // of the table, without names
	maxNames    = 1<<16 - 1
	maxTable    = 1 << 28
)

// Kinds of sections.
const (
	KindEngine  uint16 = 1
	KindLane    uint16 = 2
	KindState   uint16 = 3
	KindParked  uint16 = 4
	KindTimers  uint16 = 5
	KindDedup   uint16 = 6
	KindStreams uint16 = 7
	KindInbox   uint16 = 8
)

// ErrDamaged reports a file whose bytes are not what was written.
var ErrDamaged = errors.New("snapshot: damaged file")

// ErrVersion reports a file in a format that this version does not know.
var ErrVersion = errors.New("snapshot: unknown version of the format")

// Header says what a snapshot is of.
type Header struct {
	UUID     [16]byte // of the journal
	Sequence int64    // the sections are what the log up to it leads to
	Time     int64    // of the record Sequence, unix nanoseconds
	Segment  uint64   // which holds that record
	CRC      uint32   // of that record
	Created  int64    // unix nanoseconds
	Complete int64    // every answer to an event up to Sequence stands at or below it, durable
	Needs    int64    // first sequence that the log must still have
}

// Section is one part of a snapshot.
type Section struct {
	Kind        uint16
	Lane, Name  string
	Fingerprint [sha256.Size]byte
	Hash        [sha256.Size]byte // of Data; Encode sets it
	Data        []byte
}

// File is a snapshot.
type File struct {
	Header
	Digest   [sha256.Size]byte // covers every byte; Encode and Decode set it
	Sections []Section
}

// Section returns the first section of a kind, lane and name, nil if there is none.
func (f *File) Section(kind uint16, lane, name string) *Section {
	for i := range f.Sections {
		if s := &f.Sections[i]; s.Kind == kind && s.Lane == lane && s.Name == name {
			return s
		}
	}
	return nil
}

// Bytes is the size of the file.
func (f *File) Bytes() int64 {
	n := int64(headerBytes)
	for i := range f.Sections {
		s := &f.Sections[i]
		n += entryBytes + int64(len(s.Lane)+len(s.Name)+len(s.Data))
	}
	return n
}

// Encode returns the header and the table; the contents follow in their order. It fills in the hashes.
func (f *File) Encode() ([]byte, error) {
	table := make([]byte, 0, len(f.Sections)*(entryBytes+32))
	content := int64(0)
	for i := range f.Sections {
		s := &f.Sections[i]
		if len(s.Lane) > maxNames || len(s.Name) > maxNames {
			return nil, fmt.Errorf("snapshot: a name is longer than %d bytes", maxNames)
		}
		s.Hash = sha256.Sum256(s.Data)
		content += int64(len(s.Data))
		table = binary.LittleEndian.AppendUint16(table, s.Kind)
		table = binary.LittleEndian.AppendUint16(table, uint16(len(s.Lane)))
		table = binary.LittleEndian.AppendUint16(table, uint16(len(s.Name)))
		table = binary.LittleEndian.AppendUint16(table, 0)
		table = binary.LittleEndian.AppendUint64(table, uint64(len(s.Data)))
		table = append(table, s.Fingerprint[:]...)
		table = append(table, s.Hash[:]...)
		table = append(append(table, s.Lane...), s.Name...)
	}
	if len(table) > maxTable {
		return nil, fmt.Errorf("snapshot: a table of %d bytes, want at most %d", len(table), maxTable)
	}
	h := make([]byte, headerBytes, headerBytes+len(table))
	copy(h, magic)
	le := binary.LittleEndian
	le.PutUint32(h[8:], version)
	le.PutUint32(h[12:], uint32(len(f.Sections)))
	copy(h[16:], f.UUID[:])
	le.PutUint64(h[32:], uint64(f.Sequence))
	le.PutUint64(h[40:], uint64(f.Time))
	le.PutUint64(h[48:], f.Segment)
	le.PutUint32(h[56:], f.CRC)
	le.PutUint32(h[60:], uint32(len(table)))
	le.PutUint64(h[64:], uint64(f.Created))
	le.PutUint64(h[72:], uint64(f.Complete))
	le.PutUint64(h[80:], uint64(f.Needs))
	le.PutUint64(h[88:], uint64(content))
	f.Digest = digest(h, table)
	copy(h[96:], f.Digest[:])
	le.PutUint32(h[128:], crc32.Checksum(h[:128], castagnoli))
	return append(h, table...), nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func digest(header, table []byte) (sum [sha256.Size]byte) {
	d := sha256.New()
	d.Write(header[:96])
	d.Write(table)
	d.Sum(sum[:0])
	return sum
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrDamaged, fmt.Sprintf(format, args...))
}

// decodeHeader reads a header and returns what follows it: sections, bytes of the table, bytes of the contents.
func (f *File) decodeHeader(h []byte) (sections, table int, content int64, err error) {
	le := binary.LittleEndian
	switch {
	case len(h) < headerBytes:
		return 0, 0, 0, damaged("%d bytes, a header has %d", len(h), headerBytes)
	case string(h[:8]) != magic:
		return 0, 0, 0, damaged("it does not begin as a snapshot")
	case le.Uint32(h[128:]) != crc32.Checksum(h[:128], castagnoli) || le.Uint32(h[132:]) != 0:
		return 0, 0, 0, damaged("checksum of the header")
	case le.Uint32(h[8:]) != version:
		return 0, 0, 0, fmt.Errorf("%w: %d, this program knows %d", ErrVersion, le.Uint32(h[8:]), version)
	}
	copy(f.UUID[:], h[16:])
	f.Sequence = int64(le.Uint64(h[32:]))
	f.Time = int64(le.Uint64(h[40:]))
	f.Segment = le.Uint64(h[48:])
	f.CRC = le.Uint32(h[56:])
	f.Created = int64(le.Uint64(h[64:]))
	f.Complete = int64(le.Uint64(h[72:]))
	f.Needs = int64(le.Uint64(h[80:]))
	copy(f.Digest[:], h[96:])
	n, size := le.Uint32(h[12:]), le.Uint32(h[60:])
	content = int64(le.Uint64(h[88:]))
	if size > maxTable || uint64(n)*entryBytes > uint64(size) || content < 0 || content > math.MaxInt64-maxTable-headerBytes {
		return 0, 0, 0, damaged("sizes in the header")
	}
	if f.Sequence < 1 || f.Needs < 1 || f.Needs > f.Sequence || f.Complete < f.Sequence {
		return 0, 0, 0, damaged("sequences in the header")
	}
	return int(n), int(size), content, nil
}

// decodeTable reads the table t of n sections, whose contents have content bytes together. It returns the sizes of
// the contents.
func (f *File) decodeTable(h, t []byte, n int, content int64) ([]int64, error) {
	if digest(h, t) != f.Digest {
		return nil, damaged("hash of the table")
	}
	f.Sections = make([]Section, n)
	sizes := make([]int64, n)
	le := binary.LittleEndian
	type place struct {
		kind       uint16
		lane, name string
	}
	seen := make(map[place]bool, n)
	for i := range f.Sections {
		if len(t) < entryBytes {
			return nil, damaged("the table ends inside entry %d", i)
		}
		s := &f.Sections[i]
		s.Kind = le.Uint16(t)
		lane, name := int(le.Uint16(t[2:])), int(le.Uint16(t[4:]))
		size := le.Uint64(t[8:])
		copy(s.Fingerprint[:], t[16:])
		copy(s.Hash[:], t[48:])
		if le.Uint16(t[6:]) != 0 || size > uint64(content) || len(t) < entryBytes+lane+name {
			return nil, damaged("entry %d of the table", i)
		}
		content -= int64(size)
		sizes[i] = int64(size)
		s.Lane, s.Name = string(t[entryBytes:entryBytes+lane]), string(t[entryBytes+lane:entryBytes+lane+name])
		at := place{s.Kind, s.Lane, s.Name}
		if seen[at] {
			return nil, damaged("%s is there twice", s)
		}
		seen[at] = true
		t = t[entryBytes+lane+name:]
	}
	if len(t) > 0 || content != 0 {
		return nil, damaged("sizes in the table")
	}
	return sizes, nil
}

// Decode reads a whole file, and checks every byte of it. The sections' contents are parts of data. Errors:
// ErrDamaged, ErrVersion.
func Decode(data []byte) (*File, error) {
	f := new(File)
	n, size, content, err := f.decodeHeader(data)
	if err != nil {
		return nil, err
	}
	if int64(len(data)) != headerBytes+int64(size)+content {
		return nil, damaged("%d bytes, the header says %d", len(data), headerBytes+int64(size)+content)
	}
	sizes, err := f.decodeTable(data[:headerBytes], data[headerBytes:headerBytes+size], n, content)
	if err != nil {
		return nil, err
	}
	rest := data[headerBytes+size:]
	for i := range f.Sections {
		s := &f.Sections[i]
		s.Data, rest = rest[:sizes[i]:sizes[i]], rest[sizes[i]:]
		if sha256.Sum256(s.Data) != s.Hash {
			return nil, damaged("hash of %s", s)
		}
	}
	return f, nil
}

var kindNames = map[uint16]string{KindEngine: "engine", KindLane: "lane", KindState: "state", KindParked: "parked", KindTimers: "timers", KindDedup: "dedup", KindStreams: "streams", KindInbox: "inbox"}

// String names the section for people.
func (s *Section) String() string {
	kind, ok := kindNames[s.Kind]
	if !ok {
		kind = fmt.Sprintf("kind %d", s.Kind)
	}
	return fmt.Sprintf("section %s %q %q", kind, s.Lane, s.Name)
}
