package journal

import (
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Limits and defaults of Options.
const (
	MinSegmentBytes     = 64 << 10 // smallest Options.SegmentBytes
	MaxSegmentBytes     = 1 << 40  // Options.SegmentBytes must be below it
	DefaultSegmentBytes = 64 << 20
	DefaultMaxBodyBytes = 16 << 20
	MaxBodyLimit        = 1 << 30 // largest Options.MaxBodyBytes

	defaultGroupDelay = 5 * time.Millisecond
	defaultGroupBytes = 1 << 20
	defaultTouchAhead = 8 << 20
	defaultChainEvery = 10 * time.Second
)

// Options configure Open. The zero value is usable and means every default.
type Options struct {
	// SegmentBytes is the size of new segment files in bytes: a multiple of 4,096 in
	// [MinSegmentBytes, MaxSegmentBytes). Default 64 MiB. Existing segments keep theirs.
	SegmentBytes int64

	// MaxBodyBytes is the largest body in bytes, in [1, MaxBodyLimit] and at most what fits a
	// segment. Default 16 MiB, or what fits a segment if that is less.
	MaxBodyBytes int

	// Durability says when the journal syncs by itself: None, Interval, Group or Batch. The
	// default is Group(5ms, 1 MiB): it bounds what a power cut can take without anybody having
	// thought about it, costs the writer nothing and the disk at most some 200 syncs a second.
	Durability Durability

	// Backend says how records get into the page cache. Default BackendAuto.
	Backend Backend

	// FirstSequence is the first sequence of a new journal, >= 1. Default 1. An existing
	// journal keeps its own.
	FirstSequence int64

	// TouchAheadBytes is how far before the writer pages are made present and writable, in
	// bytes, in [64 KiB, 1 GiB]. Default 8 MiB.
	TouchAheadBytes int64

	// RecycleSegments is how many sealed segments stay mapped so that Trim can make them the next
	// ones to be written to, those included that wait for it; in [0, 65,536], default 0: all are
	// removed. Their pages are in memory and in the mapping, so that the writer, and who prepares for
	// it, meets none for the first time. It takes address space, page tables of 1/512 of it, and the
	// disk space of what waits, and is of most use if it covers what retention keeps and what a Trim
	// gives up at once, some four more. With BackendPwrite only header and control page are mapped,
	// the pages are in the page cache and the blocks on the disk written before; there it is for mode
	// None alone, because a sync of a recycled segment would write the zeros that it is filled with. On a disk
	// that is several times as fast as fresh segments, and as BackendMmap, where each page that was
	// written back costs another fault.
	RecycleSegments int

	// NoPrewrite saves the disk the zeros that it is otherwise given before a segment is used in mode
	// Batch with BackendPwrite: without them every sync takes the file system's own journal too, here
	// one and a half times to twice as long; with them every byte is written twice. Default off.
	NoPrewrite bool

	// VerifyAll makes Open check every record of every segment. By default it checks the
	// newest segment, each older one that nothing proves to have been synced, unless it was written
	// in this boot and mount, where the death of a process cannot have hurt it, and the headers and
	// seals of the rest; readers check what they deliver in any case.
	VerifyAll bool

	// Chain makes the journal keep a chain of SHA-256 roots over its sealed segments, by which
	// Verify finds any change of them and Prove proves a record. Hashing is done behind the
	// writer's back, of segments that are sealed and durable; it costs another core some 200 ns
	// a record. Without a key, or a root kept elsewhere, whoever can write the directory can
	// make the chain anew over other contents. Default off.
	Chain bool
	// ChainEvery is how often, at most, the chain gets a tail link, which covers what is durable
	// of the segment that is written to: up to there even the newest records can be proven, and
	// nobody changes them unseen. It costs a write and a sync of 256 bytes, in the background. In
	// [1ms, 1000h]; default 10s; < 0: none but those of ChainNow.
	ChainEvery time.Duration
	// Signer, if not nil, signs every root; its public key must be of Ed25519, as that of an
	// ed25519.PrivateKey is. It implies Chain.
	Signer crypto.Signer

	// Archives says how to read archived segments, for readers of this journal and for VerifyAll;
	// Open needs no key.
	Archives ArchiveAccess

	// AnyFileSystem opens a journal on a file system that is otherwise ErrFileSystem: of a network or
	// a server in user space (nfs, smb, 9p, ceph, afs, fuse, virtiofs), where another machine may
	// change a mapped file, a lock may not reach everybody, and a sync may promise less. PLATFORMS.md
	// says what is known of each. Default off.
	AnyFileSystem bool

	// Logger receives what recovery found and background failures. Default: silent.
	Logger *slog.Logger
}

// Backend is a way into the page cache. The format is the same, and a journal may change from one
// to the other whenever it is opened.
type Backend uint8

const (
	// BackendAuto is BackendPwrite in the modes that sync often, Group and Batch. In None and
	// Interval it is BackendMmap, unless Open finds that the first access to a page of a new mapping
	// takes more than 2 us, as on hypervisors that keep page tables of their own or take memory
	// back, and no segments are recycled on tmpfs: then BackendPwrite. [Journal.Backend] tells.
	BackendAuto Backend = iota
	// BackendMmap stores into a mapping. A commit is two stores, without a system call. After a
	// page was written back the next store to it faults, and a sync writes the touched pages
	// ahead of the writer too, which makes one of some kilobytes two to four times as long.
	BackendMmap
	// BackendPwrite copies into a buffer and writes it at Commit, or when 256 KiB are staged. A
	// commit is a system call; nothing faults; a sync writes one range. Readers in other
	// processes learn from the file PROGRESS what is committed.
	BackendPwrite
)

// String returns the backend's name.
func (b Backend) String() string {
	switch b {
	case BackendAuto:
		return "auto"
	case BackendMmap:
		return "mmap"
	case BackendPwrite:
		return "pwrite"
	}
	return fmt.Sprintf("backend(%d)", uint8(b))
}

// Durability says when the journal syncs by itself. The zero value means Group(5ms, 1 MiB).
// See the package documentation for what each can lose.
type Durability struct {
	mode  durabilityMode
	delay time.Duration
	bytes int64
}

type durabilityMode uint8

const (
	modeDefault durabilityMode = iota
	modeNone
	modeInterval
	modeGroup
	modeBatch
)

// None never syncs what is being written: only Sync, RequestSync, WaitDurable and Close do. Full
// segments are synced once four of them wait, to let go of their memory.
func None() Durability { return Durability{mode: modeNone} }

// Interval syncs at most d after the first record that is not durable, d in (0, 1h].
func Interval(d time.Duration) Durability { return Durability{mode: modeInterval, delay: d} }

// Group syncs at most maxDelay after the first record that is not durable, or as soon as
// maxBytes wait, whichever is first; maxDelay in (0, 1h], maxBytes >= 1.
func Group(maxDelay time.Duration, maxBytes int64) Durability {
	return Durability{mode: modeGroup, delay: maxDelay, bytes: maxBytes}
}

// Batch syncs as soon as something is written and the last sync is over, so that everything
// committed during one sync shares the next.
func Batch() Durability { return Durability{mode: modeBatch} }

// String returns the mode as a person would write it, such as "group(5ms, 1,048,576 bytes)".
func (d Durability) String() string {
	switch d.mode {
	case modeNone:
		return "none"
	case modeInterval:
		return fmt.Sprintf("interval(%v)", d.delay)
	case modeBatch:
		return "batch"
	case modeGroup:
		return fmt.Sprintf("group(%v, %s bytes)", d.delay, thousands(d.bytes))
	}
	return Group(defaultGroupDelay, defaultGroupBytes).String()
}

func (d Durability) validate() error {
	var errs []error
	switch d.mode {
	case modeDefault, modeNone, modeBatch:
	case modeInterval, modeGroup:
		if d.delay <= 0 || d.delay > time.Hour {
			errs = append(errs, fmt.Errorf("Durability: delay %v is outside (0, 1h]", d.delay))
		}
		if d.mode == modeGroup && d.bytes < 1 {
			errs = append(errs, fmt.Errorf("Durability: %d bytes, want at least 1", d.bytes))
		}
	}
	return errors.Join(errs...)
}

// withDefaults returns o with every zero field set. It leaves faults to validate.
func (o Options) withDefaults() Options {
	if o.SegmentBytes == 0 {
		o.SegmentBytes = DefaultSegmentBytes
	}
	if o.MaxBodyBytes == 0 {
		o.MaxBodyBytes = int(min(DefaultMaxBodyBytes, max(1, segmentCapacity(o.SegmentBytes)-recordHeaderBytes)))
	}
	if o.Durability.mode == modeDefault {
		o.Durability = Group(defaultGroupDelay, defaultGroupBytes)
	}
	if m := o.Durability.mode; o.Backend == BackendAuto && (m == modeGroup || m == modeBatch) {
		o.Backend = BackendPwrite // else it depends: see chooseBackend
	}
	if o.FirstSequence == 0 {
		o.FirstSequence = 1
	}
	if o.TouchAheadBytes == 0 {
		o.TouchAheadBytes = defaultTouchAhead
	}
	o.Chain = o.Chain || o.Signer != nil
	if o.ChainEvery == 0 {
		o.ChainEvery = defaultChainEvery
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// validate joins every fault of o, which has its defaults, each naming the field.
func (o Options) validate() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if o.SegmentBytes < MinSegmentBytes || o.SegmentBytes >= MaxSegmentBytes {
		fault("SegmentBytes: %d is outside [%d, %d)", o.SegmentBytes, int64(MinSegmentBytes), int64(MaxSegmentBytes))
	} else if o.SegmentBytes%pageBytes != 0 {
		fault("SegmentBytes: %d is not a multiple of %d", o.SegmentBytes, pageBytes)
	} else if fits := segmentCapacity(o.SegmentBytes) - recordHeaderBytes; int64(o.MaxBodyBytes) > fits {
		fault("MaxBodyBytes: %d does not fit a segment of %d bytes, which takes %d", o.MaxBodyBytes, o.SegmentBytes, fits)
	}
	if o.MaxBodyBytes < 1 || o.MaxBodyBytes > MaxBodyLimit {
		fault("MaxBodyBytes: %d is outside [1, %d]", o.MaxBodyBytes, MaxBodyLimit)
	}
	if err := o.Durability.validate(); err != nil {
		errs = append(errs, err)
	}
	if o.Backend > BackendPwrite {
		fault("Backend: %v is none", o.Backend)
	}
	if o.FirstSequence < 1 {
		fault("FirstSequence: %d, want at least 1", o.FirstSequence)
	}
	if o.TouchAheadBytes < 64<<10 || o.TouchAheadBytes > 1<<30 {
		fault("TouchAheadBytes: %d is outside [%d, %d]", o.TouchAheadBytes, 64<<10, 1<<30)
	}
	if o.RecycleSegments < 0 || o.RecycleSegments > 1<<16 {
		fault("RecycleSegments: %d is outside [0, %d]", o.RecycleSegments, 1<<16)
	}
	if o.ChainEvery > 0 && (o.ChainEvery < time.Millisecond || o.ChainEvery > 1000*time.Hour) {
		fault("ChainEvery: %v is outside [1ms, 1000h]", o.ChainEvery)
	}
	if o.Signer != nil {
		if _, ok := o.Signer.Public().(ed25519.PublicKey); !ok {
			fault("Signer: a public key of type %T, want ed25519.PublicKey", o.Signer.Public())
		}
	}
	if len(errs) == 0 {
		return nil
	}
	return errorf("options: %w", errors.Join(errs...))
}
