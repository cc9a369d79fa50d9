package journal

import "fmt"

// Kind tells what a record is.
type Kind uint8

// Kinds of record. An application writes events, voids and checkpoints; the journal itself
// writes indexes and seals, and Repair writes the last two.
const (
	KindEvent      Kind = 1
	KindVoid       Kind = 2 // a sequence that carries nothing, such as an aborted claim
	KindCheckpoint Kind = 3 // carries the sequence of the event before it
	KindIndex      Kind = 4
	KindSeal       Kind = 5
	KindLost       Kind = 6 // Repair's: an event or void whose contents are gone; its body means nothing
	KindBlank      Kind = 7 // Repair's: stands where a damaged record without a sequence of its own stood

	kindLast = KindBlank
)

// String returns the kind's name.
func (k Kind) String() string {
	switch k {
	case KindEvent:
		return "event"
	case KindVoid:
		return "void"
	case KindCheckpoint:
		return "checkpoint"
	case KindIndex:
		return "index"
	case KindSeal:
		return "seal"
	case KindLost:
		return "lost"
	case KindBlank:
		return "blank"
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Flags of a record.
type Flags uint8

// FlagBatch marks a record whose atomic batch goes on with the next record. The last record of
// a batch does not carry it.
const FlagBatch Flags = 1

// Entry is what a writer hands to Append, AppendBatch or Stage.
type Entry struct {
	Type uint16 // the application's type id; readers can filter by it without decoding
	Kind Kind   // KindEvent (as is 0), KindVoid or KindCheckpoint

	// Time is in unix nanoseconds. 0 means now, read once for all Stages up to the next
	// Commit. A time before that of the previous record is raised to it: times never decrease.
	Time int64

	// Body is copied before the call returns; at most Options.MaxBodyBytes long, may be empty.
	Body []byte

	// BodyCRC is the CRC32C (crc32.Checksum with the Castagnoli table) of Body if BodyHashed,
	// so that producers can hash in parallel. A wrong value makes the record unreadable.
	BodyCRC    uint32
	BodyHashed bool
}

// Record is one stored record as a reader delivers it.
type Record struct {
	Sequence int64  // its number; of a record that does not advance it, that of the event before
	Time     int64  // unix nanoseconds, never decreasing from record to record
	Type     uint16 // as in Entry
	Kind     Kind
	Flags    Flags
	CRC      uint32 // the record's checksum: with Segment ID and Sequence it names one history
	Body     []byte // a view into a mapping inside Read and Follow; a copy from Records
	Offset   int64  // of the record's header, bytes from the start of its segment
	Segment  uint64 // segment id
}

// Gate says how far a reader goes.
type Gate uint8

const (
	// Written lets a reader see what is committed. A power cut may take it, and the sequence
	// is then given out again.
	Written Gate = iota
	// Durable lets a reader see only what a sync covers.
	Durable
)

// ReaderOptions configure a Reader. The zero value reads everything written, without end.
type ReaderOptions struct {
	// UpTo is the gate that the reader stays behind. Default Written.
	UpTo Gate
	// Until is the last sequence to deliver; 0 means no end. Follow returns nil after it.
	Until int64
	// UntilTime is the last time to deliver, in unix nanoseconds; 0 means no end. Times never
	// decrease, so the first record behind it ends the reader: Follow returns nil there. As long
	// as there is none, Follow waits, because the next record may still be in time.
	UntilTime int64
	// Types, if not empty, are the types of the events to deliver; events of other types and
	// voids are passed over without looking into their bodies, but for the checksum. Lost records
	// are delivered whatever is asked for: nobody knows what they were.
	Types []uint16
	// Internal delivers checkpoint, index, seal and blank records too.
	Internal bool
	// Archives says how to read archived segments. A reader of a Journal that has none of its own
	// takes the journal's.
	Archives ArchiveAccess
}
