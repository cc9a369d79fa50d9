package journal

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"time"
)

// Reader delivers records in order of sequence, from a journal in this process or from a
// directory that any process may be writing. It belongs to one goroutine at a time.
//
// It never goes past what is committed, verifies every record that it delivers, and reports one
// that does not verify as *CorruptionError. It holds one segment mapped, read-only.
type Reader struct {
	st   storage
	dir  string
	j    *Journal // nil for a reader of a directory
	o    ReaderOptions
	next int64 // next event or void to deliver
	skip int64 // deliver nothing below it

	picky bool      // pass must be asked
	types *typeSet  // nil: all
	from  int64     // deliver nothing older, if picky
	timed bool      // the place is yet to be found, by from
	past  bool      // a record behind UntilTime was met
	clock paceClock // for Replay, and for Follow outside the process

	seg  *readSegment
	win  window // of seg
	off  int64
	time int64

	view   *progressView // of a writer that uses pwrite, in another process
	ids    []segmentID   // known segments after the current one, ascending
	at     segmentID     // the one that was entered last
	uuid   [16]byte
	limits map[uint64]limit // where no writer vouches for the committed offset
	closed bool
	// refused: the survey that made limits found damage, and judged nothing behind it.
	refused bool
	atSeal  bool  // the current segment's seal is behind
	shown   int64 // inside Records: the last sequence that was yielded
	w       *waiter
	locked  time.Time // when a writer was last looked for
	isLive  bool
}

type segmentID struct {
	first int64
	id    uint64
}

// limit is how far a survey trusts a segment.
type limit struct {
	end int64
	err error // what to report there, nil if it is just the end
}

// readSegment is a segment mapped for reading.
type readSegment struct {
	name      string
	hdr       header
	f         file
	mem       []byte
	populated int64
	arc       *archivedFile // nil: the segment is plain
}

// load makes the record at off readable, and all up to the offset that it returns. Bodies that were
// read before may go. Errors: *AccessError; *CorruptionError.
func (s *readSegment) load(off int64) (end int64, err error) {
	if s.arc == nil {
		return int64(len(s.mem)), nil
	}
	return s.arc.load(off)
}

// NewReader returns a reader from sequence from on (0: from the journal's first), which may lie
// beyond the end. It is woken by commits and syncs; it does not poll. Close it before or after
// the journal.
//
// Errors: ErrOutOfRange below FirstSequence; ErrClosed.
func (j *Journal) NewReader(from int64, o ReaderOptions) (*Reader, error) {
	if err := j.Err(); errors.Is(err, ErrClosed) {
		return nil, err
	}
	if o.Archives.isZero() {
		o.Archives = j.o.Archives
	}
	r := &Reader{st: j.st, dir: j.dir, j: j, o: o, uuid: j.uuid}
	return r, r.init(from, j.FirstSequence())
}

// OpenReader returns a reader of the journal in dir, from sequence from on (0: from the first).
// It only reads, takes no lock, and works in any process, beside a live writer or after a crash.
// After a crash it goes to the last record that recovery would keep. It waits by polling, every
// 1 to 20 ms.
//
// Errors: ErrNotFound; ErrOutOfRange; ErrFormatVersion; ErrDirectory; *CorruptionError.
func OpenReader(dir string, from int64, o ReaderOptions) (*Reader, error) {
	dir, err := absolute(dir)
	if err != nil {
		return nil, err
	}
	r, err := openReader(osStorage{}, dir, from, o)
	return r, named(err)
}

func openReader(st storage, dir string, from int64, o ReaderOptions) (*Reader, error) {
	r := &Reader{st: st, dir: dir, o: o}
	segs, _, _, err := listSegments(st, dir)
	if errors.Is(err, os.ErrNotExist) || err == nil && len(segs) == 0 {
		return nil, fmt.Errorf("%w: %s", ErrNotFound, dir)
	}
	if err != nil {
		return nil, err
	}
	return r, r.init(from, segs[0].first)
}

func (r *Reader) init(from, first int64) error {
	if r.o.UpTo > Durable {
		return fmt.Errorf("journal: reader options: UpTo: %d is no gate", r.o.UpTo)
	}
	if r.o.Until < 0 {
		return fmt.Errorf("journal: reader options: Until: %d, want at least 0", r.o.Until)
	}
	if from == 0 {
		from = first
	}
	if from < first {
		return fmt.Errorf("%w: %d, the first is %d", ErrOutOfRange, from, first)
	}
	r.next, r.skip = from, from
	r.from = minTime
	if len(r.o.Types) > 0 {
		r.types, r.picky = newTypeSet(r.o.Types), true
	}
	r.clock = systemClock{}
	r.w = newWaiter()
	return nil
}

// Sequence returns the last sequence that was delivered, or the one before the first to deliver.
func (r *Reader) Sequence() int64 {
	if r.shown > 0 {
		return r.shown
	}
	return max(r.next, r.skip) - 1
}

// Close unmaps. Idempotent. Views handed out before end with it.
func (r *Reader) Close() error {
	r.closed = true
	err := errors.Join(r.leave(), r.view.close())
	r.view = nil
	return err
}

func (r *Reader) leave() error {
	if r.seg == nil {
		return nil
	}
	err := r.seg.f.munmap(r.seg.mem)
	if e := r.seg.f.close(); err == nil {
		err = e
	}
	r.seg = nil
	r.win = window{own: r.win.own} // what it points to may have been in the mapping
	return err
}

// Read delivers everything that is readable now, in order, and returns how many records. The
// Record's Body is a view: valid inside fn, not to be changed. If fn fails Read returns its
// error at once, and the record will be delivered again; ErrStop ends Read without an error.
//
// Errors: fn's; *CorruptionError; ErrFault; ErrClosed. Read does not allocate per record.
func (r *Reader) Read(fn func(Record) error) (n int, err error) {
	return r.read(receiver{one: fn})
}

func (r *Reader) read(to receiver) (n int, err error) {
	for {
		k, more, err := r.readSome(to)
		n += k
		if err != nil {
			if errors.Is(err, ErrStop) {
				err = nil
			}
			return n, err
		}
		if !more {
			return n, nil
		}
	}
}

// ended tells whether Until or UntilTime is reached.
func (r *Reader) ended() bool { return r.past || r.o.Until > 0 && r.next > r.o.Until }

// readSome delivers what is readable of the current segment; more says that another may follow.
func (r *Reader) readSome(to receiver) (n int, more bool, err error) {
	if r.closed {
		return 0, false, ErrClosed
	}
	if r.ended() {
		return 0, false, nil
	}
	if r.seg == nil {
		if ok, err := r.enter(); !ok || err != nil {
			return 0, false, err
		}
	}
	if r.atSeal {
		ok, err := r.advance()
		return 0, ok, err
	}
	seg := r.seg
	old := debug.SetPanicOnFault(true)
	defer restoreFault(old, seg.name, seg.mem, &err)
	gate := r.gate()
	end, limitErr := r.end()
	n, err = r.drain(end, gate, to)
	if err != nil || r.atSeal {
		return n, err == nil, err
	}
	if r.off >= end && limitErr != nil {
		return n, false, limitErr
	}
	return n, false, nil
}
