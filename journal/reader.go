package journal

import (
	"errors"
	"fmt"
	"math"
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
	return openReader(osStorage{}, dir, from, o)
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
	for {
		k, more, err := r.readSome(fn)
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
func (r *Reader) readSome(fn func(Record) error) (n int, more bool, err error) {
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
	n, err = r.drain(end, gate, fn)
	if err != nil || r.atSeal {
		return n, err == nil, err
	}
	if r.off >= end && limitErr != nil {
		return n, false, limitErr
	}
	return n, false, nil
}

// gate returns the highest sequence that may be delivered now.
func (r *Reader) gate() int64 {
	gate := int64(1<<63 - 1)
	if r.o.UpTo == Durable {
		if r.j != nil {
			gate = r.j.Durable()
		} else {
			gate = r.durableOutside()
		}
	}
	if r.o.Until > 0 {
		gate = min(gate, r.o.Until)
	}
	return gate
}

// durableOutside reads the durable pair that the writer, if any, stored last: of this segment,
// or of a later one, because a pair of an older segment may itself have been lost.
func (r *Reader) durableOutside() int64 {
	d := loadPair(r.seg.mem, r.seg.hdr.id).sequence
	if s, ok := r.standing(); ok {
		d = max(d, s.durableSequence)
	}
	if _, last := r.committed(); d >= last {
		return d
	}
	segs, err := r.list()
	if err != nil {
		return d
	}
	s, err := newSurvey(r.st, r.dir)
	for i := len(segs) - 1; err == nil && i >= 0 && segs[i].id > r.seg.hdr.id; i-- {
		if s.readPages(segs[i]) == nil && segs[i].hdrErr == nil && segs[i].pair.generation > 0 {
			return max(d, segs[i].pair.sequence)
		}
	}
	return d
}

// end returns the offset up to which the current segment may be read, and what to report there.
func (r *Reader) end() (int64, error) {
	if r.seg.arc != nil {
		return r.seg.arc.head.end, nil // it was sealed and durable when it was archived
	}
	size := int64(len(r.seg.mem))
	alive := r.j != nil || r.vouched()
	committed, _ := r.committed()
	if alive {
		r.limits = nil
		if committed < recordsOffset || committed > r.seg.hdr.size || committed%recordAlign != 0 {
			return r.off, &CorruptionError{r.seg.name, ctlCommittedOffset, r.next, ErrLength}
		}
		if committed > size {
			return size, &CorruptionError{r.seg.name, size, r.next, ErrSize}
		}
		return committed, nil
	}
	if r.limits == nil && r.settled(committed) {
		return committed, nil
	}
	// The writer is gone. Judge as recovery would.
	if r.limits == nil {
		if err := r.survey(); err != nil {
			return r.off, err
		}
	}
	l, ok := r.limits[r.seg.hdr.id]
	if !ok {
		return r.off, nil
	}
	return l.end, l.err
}

// vouched tells whether the committed offset holds: its writer lives. It is a bare number, and one that
// nobody keeps up is not believed: whoever finds the writer gone judges by the records.
func (r *Reader) vouched() bool {
	if now := time.Now(); now.Sub(r.locked) > 5*time.Millisecond {
		r.locked, r.isLive = now, r.st.locked(r.dir)
		if r.isLive && r.view == nil {
			r.view = viewProgress(r.st, r.dir)
		}
	}
	return r.isLive
}

// standing returns what a writer that uses pwrite says of the current segment, while it lives.
func (r *Reader) standing() (s standing, ok bool) {
	switch {
	case r.j != nil && r.j.progress != nil:
		s, ok = loadStanding(r.j.progress.heap, r.seg.hdr.id)
	case r.j == nil && r.isLive && r.view != nil:
		s, ok = r.view.standing(r.seg.hdr.id)
	}
	return s, ok && s.plausible(r.seg.hdr.size)
}

// committed returns how far the current segment is committed, as its control page and PROGRESS say.
func (r *Reader) committed() (offset, sequence int64) {
	offset = int64(load64(r.seg.mem, ctlCommittedOffset))
	sequence = int64(load64(r.seg.mem, ctlCommittedSequence))
	if s, ok := r.standing(); ok {
		offset, sequence = max(offset, s.offset), max(sequence, s.sequence)
	}
	return offset, sequence
}

// settled tells whether the committed offset is that of the durable pair, which has a checksum, and
// nothing stands behind it: so it is after Close, and there is nothing to judge.
func (r *Reader) settled(committed int64) bool {
	p := loadPair(r.seg.mem, r.seg.hdr.id)
	if p.generation == 0 || p.offset != committed || committed < recordsOffset || committed%recordAlign != 0 {
		return false
	}
	size := int64(len(r.seg.mem))
	return committed == size || committed+recordAlign <= size && load64(r.seg.mem, committed) == 0
}

// survey judges the whole directory and remembers how far each segment may be read.
func (r *Reader) survey() error {
	s, err := takeSurvey(r.st, r.dir, surveying{})
	var bad *CorruptionError
	if err != nil && (s == nil || !errors.As(err, &bad)) {
		return err
	}
	r.limits, r.refused = make(map[uint64]limit, len(s.segs)), bad != nil
	for i, seg := range s.segs {
		if err == nil && i >= s.keep {
			break
		}
		l := limit{end: seg.end}
		if bad != nil && seg.name == bad.Segment {
			l.err = bad
			l.end = max(l.end, recordsOffset)
		}
		if seg.scanned || seg.sealed || l.err != nil {
			r.limits[seg.id] = l
		}
		if l.err != nil {
			break
		}
	}
	return nil
}

// drain delivers records up to end and gate, and notes the segment's seal in atSeal.
//
// Most records are events in a row, which the window's run has verified. Everything else is judged
// by judge.
func (r *Reader) drain(end, gate int64, fn func(Record) error) (n int, err error) {
	lastTime := r.o.UntilTime
	if lastTime == 0 {
		lastTime = math.MaxInt64
	}
	for r.off < end && r.seg != nil { // fn may have closed the reader
		if !r.win.run.begins(r.off, r.next, r.time) {
			if err := r.look(r.off, end, lastTime); err != nil {
				return n, err
			}
		}
		if r.win.run.n > 0 {
			k, err := r.handOut(gate, fn)
			n += k
			if err != nil || r.win.run.at < r.win.run.n { // the gate
				return n, err
			}
			continue
		}
		off := r.off
		f, body, next, err := r.judge(off, end)
		if err != nil {
			return n, err
		}
		if f.sequence > gate {
			return n, nil
		}
		if f.time > lastTime {
			r.past = true
			return n, nil
		}
		if (f.kind.advances() || r.o.Internal) && r.next >= r.skip && (!r.picky || r.pass(f.kind, f.typ, f.time)) {
			rec := Record{f.sequence, f.time, f.typ, f.kind, f.flags, f.crc, body, off, r.seg.hdr.id}
			if err := fn(rec); err != nil {
				if !errors.Is(err, ErrStop) {
					return n, err
				}
				r.step(f.kind, f.sequence, f.time, next)
				return n + 1, err
			}
			n++
		}
		if r.step(f.kind, f.sequence, f.time, next); r.atSeal {
			return n, nil
		}
	}
	return n, nil
}

// handOut delivers the events of the window's run up to gate.
func (r *Reader) handOut(gate int64, fn func(Record) error) (n int, err error) {
	for q := &r.win.run; q.at < q.n; {
		rec := &q.recs[q.at]
		if rec.Sequence > gate {
			return n, nil
		}
		next, time, sequence := rec.Offset+recordBytes(len(rec.Body)), rec.Time, rec.Sequence
		if sequence >= r.skip && (!r.picky || r.pass(KindEvent, rec.Type, time)) {
			if err = fn(*rec); err != nil && !errors.Is(err, ErrStop) {
				return n, err
			}
			n++
		}
		r.off, r.time, r.next = next, time, sequence+1
		q.at++
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// look makes the window hold the record at off, if that is worth it, and its run the good events that it
// holds from there on.
func (r *Reader) look(off, end, lastTime int64) error {
	seg, win := r.seg, &r.win
	if win.lacks(off) {
		if seg.arc != nil {
			stop, err := seg.arc.load(off)
			if err != nil {
				return err
			}
			win.show(seg.mem[off:stop], off)
		} else {
			win.fill(seg.f, off, end)
		}
	}
	win.run.fill(win, off-win.at, expected{seg.hdr.id, seg.hdr.salt, r.next, r.time, lastTime})
	return nil
}

// judge reads the record at off: from the window, if it is good there, else in the mapping, where
// what is too little or too large for the window is, and whatever is no good record in its place.
func (r *Reader) judge(off, end int64) (f frame, body []byte, next int64, err error) {
	seg, win := r.seg, &r.win
	if rel := off - win.at; rel >= 0 && rel < win.n {
		f, body, next, err = readFrameAt(win.buf, rel, win.n, off, seg.hdr.salt)
		if err == nil && follows(&f, r.next, r.time) == nil {
			return f, body, win.at + next, nil
		}
	}
	if off >= seg.populated {
		r.populate(end)
	}
	f, body, next, err = readFrame(seg.mem, off, end, seg.hdr.salt)
	if err == nil {
		err = follows(&f, r.next, r.time)
	}
	if err != nil {
		return f, nil, 0, &CorruptionError{seg.name, off, r.next, err}
	}
	return f, body, next, nil
}

// populate makes pages at r.off and behind it present, up to end. One system call a megabyte is
// cheaper than the faults; what it could not do shows at the loads. Near the end the faults are
// cheaper.
func (r *Reader) populate(end int64) {
	seg := r.seg
	from := r.off &^ (pageBytes - 1)
	seg.populated = min(from+1<<20, (end+pageBytes-1)&^(pageBytes-1), int64(len(seg.mem)))
	if seg.populated-from >= 64<<10 {
		seg.f.populate(seg.mem[from:seg.populated])
	}
}

func (r *Reader) step(kind Kind, sequence, time, next int64) {
	r.off, r.time, r.atSeal = next, time, kind == KindSeal
	if kind.advances() {
		r.next = sequence + 1
	}
}
