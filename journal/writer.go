package journal

import (
	"fmt"
	"math"
	"runtime/debug"
	"time"
)

// writer is the state of the writing goroutine. Nobody else touches it while the journal is
// open.
type writer struct {
	seg        *segment
	mem        []byte
	off        int64 // where the next record goes
	limit      int64 // records end at or before it
	touchLimit int64 // pages below it may be stored to
	kick       int64 // past it the goroutine that prepares ahead is woken

	seq    int64
	time   int64 // of the last record
	stamp  int64 // what Time 0 means until Commit; 0 = not read yet
	staged bool

	stagedBytes int64      // bytes since Open, staged
	pending     []*segment // full segments whose last records are not committed yet
	sealedAt    []int64    // their ends, seals included
	lastOf      []int64    // their last sequences

	batch batch
	index sampler // of the active segment
	tail  frameTail
}

// batch is the atomic batch that is being staged.
type batch struct {
	left  int   // records that still belong to it; 0: no batch is open
	room  int64 // bytes of body that it may still take
	start int64 // offset of its first record
	first uint64
	begun bool // the first record is staged, its first word held back in first
	seq   int64
	time  int64
	bytes int64
}

// attach makes s the segment that is written to; the caller sets off.
func (w *writer) attach(s *segment) {
	w.seg, w.mem, w.limit = s, s.mem, s.limit
	w.touchLimit = s.touched.Load()
	w.kick = w.off
	w.index.reset(s.hdr.size)
}

// inLive tells whether the active segment has been published to the syncer.
func (w *writer) inLive() bool { return len(w.pending) == 0 }

// Append writes one record and commits it: Stage and Commit.
func (j *Journal) Append(e Entry) (seq int64, err error) {
	if j.w.batch.left > 0 {
		return 0, ErrBatchOpen
	}
	if seq, err = j.Stage(e); err != nil {
		return 0, err
	}
	return seq, j.Commit()
}

// AppendBatch writes es as one atomic batch and commits it: after a crash all of it is there or
// nothing. last is the sequence of the last event. On an error nothing of it was written. An
// empty batch writes nothing. It does not allocate.
func (j *Journal) AppendBatch(es []Entry) (last int64, err error) {
	if len(es) == 0 {
		return j.w.seq, j.Err()
	}
	bytes := int64(0)
	for i := range es {
		bytes += int64(len(es[i].Body))
	}
	if err := j.BeginBatch(len(es), bytes); err != nil {
		return 0, err
	}
	for i := range es {
		if last, err = j.Stage(es[i]); err != nil {
			j.CancelBatch()
			return 0, err
		}
	}
	return last, j.Commit()
}

// BeginBatch makes the next records Stages one atomic batch in one segment; their bodies may
// take bodyBytes in all. Commit is refused until they are all staged; CancelBatch takes them
// back.
//
// Errors: ErrBatchOpen; ErrBatchTooLarge; those of Stage.
func (j *Journal) BeginBatch(records int, bodyBytes int64) error {
	w := &j.w
	if j.failed.Load() {
		return j.Err()
	}
	if w.batch.left > 0 {
		return ErrBatchOpen
	}
	if records < 1 || bodyBytes < 0 {
		return fmt.Errorf("journal: atomic batch of %d records, %d bytes: want at least 1 and 0", records, bodyBytes)
	}
	capacity := segmentCapacity(j.o.SegmentBytes)
	if bodyBytes > capacity || int64(records) > capacity/recordHeaderBytes {
		return fmt.Errorf("%w: %d records of %s bytes", ErrBatchTooLarge, records, thousands(bodyBytes))
	}
	room := int64(records)*(recordHeaderBytes+recordAlign-1) + bodyBytes
	if room > capacity {
		return fmt.Errorf("%w: %d records of %s bytes", ErrBatchTooLarge, records, thousands(bodyBytes))
	}
	if w.off+room > w.limit {
		if err := j.roll(); err != nil {
			return err
		}
	}
	w.batch = batch{left: records, room: bodyBytes, start: w.off, seq: w.seq, time: w.time, bytes: w.stagedBytes}
	return nil
}

// CancelBatch takes back what was staged since BeginBatch; without an open batch it does nothing.
func (j *Journal) CancelBatch() {
	w := &j.w
	b := &w.batch
	if b.left == 0 {
		return
	}
	if b.begun {
		_ = guard(w.seg.name, w.mem, func() error {
			clear(w.mem[b.start:w.off])
			return nil
		})
		w.off, w.seq, w.time, w.stagedBytes = b.start, b.seq, b.time, b.bytes
		w.index.cut(b.start)
	}
	w.batch = batch{}
}

// Stage writes one record behind the others. No reader sees it, and no sequence is promised,
// before Commit. The body is copied. It does not allocate.
//
// Errors: ErrBodyTooLarge; ErrKind; ErrBatchBytes; *NoSpaceError, after which the journal is
// whole and a later Stage tries again; ErrFault if the file was damaged under the mapping; the
// sticky error (ErrPoisoned, ErrClosed).
func (j *Journal) Stage(e Entry) (seq int64, err error) {
	w := &j.w
	if j.failed.Load() {
		return 0, j.Err()
	}
	if len(e.Body) > j.o.MaxBodyBytes {
		return 0, fmt.Errorf("%w: %s bytes, MaxBodyBytes is %s", ErrBodyTooLarge,
			thousands(int64(len(e.Body))), thousands(int64(j.o.MaxBodyBytes)))
	}
	kind := e.Kind
	if kind == 0 {
		kind = KindEvent
	}
	if kind > KindCheckpoint {
		return 0, fmt.Errorf("%w: %v", ErrKind, kind)
	}
	if e.Time == 0 {
		if w.stamp == 0 {
			w.stamp = time.Now().UnixNano()
		}
		e.Time = w.stamp
	}
	size := recordBytes(len(e.Body))
	if w.batch.left > 0 {
		if int64(len(e.Body)) > w.batch.room {
			return 0, fmt.Errorf("%w: %d bytes of body, %d left", ErrBatchBytes, len(e.Body), w.batch.room)
		}
	} else if w.off+size > w.limit {
		if err := j.roll(); err != nil {
			return 0, err
		}
	}
	// The next record's first word is zeroed below: it has to be touched too.
	if w.off+size+recordAlign > w.kick {
		if err := j.reach(w.off + size + recordAlign); err != nil {
			return 0, err
		}
	}

	// A fault here is somebody truncating the file, or the device failing.
	old := debug.SetPanicOnFault(true)
	defer j.unguard(old, &err)
	return j.put(&e, kind, size), nil
}

// unguard ends what Stage began; a fault becomes its error.
func (j *Journal) unguard(old bool, err *error) {
	debug.SetPanicOnFault(old)
	if r := recover(); r != nil {
		e := asFault(r, j.w.seg.name, j.w.mem)
		if e == nil {
			panic(r)
		}
		j.fail(e)
		*err = e
	}
}

// put stores the record at w.off; there is room and every page is touched.
//
// The order is the commit protocol: next first word, body, header, and last, with release, the
// word that holds length and checksum. Whoever finds that word non-zero in the page cache of a
// process that died finds the whole record. In an atomic batch the first record's word is held
// back to the end.
func (j *Journal) put(e *Entry, kind Kind, size int64) int64 {
	w := &j.w
	off, salt := w.off, w.seg.hdr.salt
	rec := w.mem[off : off+size+recordAlign : off+size+recordAlign]
	le.PutUint64(rec[size:], 0)
	le.PutUint64(rec[size-recordAlign:], 0) // padding
	n := copy(rec[recordHeaderBytes:], e.Body)
	if e.Time < w.time {
		e.Time = w.time
	}
	seq := w.seq
	if off >= w.index.mark {
		w.index.note(off, seq+1, e.Time)
	}
	if kind != KindCheckpoint {
		seq++
	}
	var flags Flags
	if w.batch.left > 1 {
		flags = FlagBatch
	}
	length := uint64(recordHeaderBytes + n)
	w3 := packWord3(e.Type, kind, flags, lagOf(seq, j.durable.value.Load()))
	le.PutUint64(rec[8:], uint64(seq))
	le.PutUint64(rec[16:], uint64(e.Time))
	le.PutUint64(rec[24:], w3)
	var crc uint32
	if e.BodyHashed {
		crc = w.tail.sum(e.BodyCRC, salt, uint64(off), length, uint64(seq), uint64(e.Time), w3)
	} else {
		crc = w.tail.frame(rec[recordHeaderBytes:recordHeaderBytes+n], salt, uint64(off), length, uint64(seq), uint64(e.Time), w3)
	}
	first := length | uint64(crc)<<32

	if w.batch.left > 0 {
		j.putInBatch(off, first, n)
	} else {
		release64(w.mem, off, first)
	}
	w.off, w.seq, w.time = off+size, seq, e.Time
	w.stagedBytes += size
	w.staged = true
	return seq
}

// putInBatch stores the first word of a record of the open batch, or holds it back.
func (j *Journal) putInBatch(off int64, first uint64, body int) {
	w := &j.w
	b := &w.batch
	b.room -= int64(body)
	switch {
	case !b.begun:
		b.begun, b.first = true, first
	default:
		release64(w.mem, off, first)
	}
	if b.left--; b.left == 0 {
		release64(w.mem, b.start, b.first)
	}
}

// Commit publishes everything staged: readers see it, Written advances, waiters wake, and the
// syncer hears of it if the durability mode says so. Without anything staged it does nothing.
// It never waits for a sync and does not allocate.
//
// Errors: ErrBatchOpen; ErrFault; the sticky error.
func (j *Journal) Commit() (err error) {
	w := &j.w
	if j.failed.Load() {
		return j.Err()
	}
	if w.batch.left > 0 {
		return ErrBatchOpen
	}
	w.stamp = 0
	if !w.staged {
		return nil
	}
	old := debug.SetPanicOnFault(true)
	defer j.unguard(old, &err)
	if len(w.pending) > 0 {
		j.publishRolled()
	}
	release64(w.mem, ctlCommittedOffset, uint64(w.off))
	release64(w.mem, ctlCommittedSequence, uint64(w.seq))
	w.staged = false
	// Sequentially consistent, and after all of the above: see cursor, and runSyncer. The
	// sequence comes before the bytes: the syncer reads them the other way round, and takes
	// the bytes for synced. With the sequence second it could see the bytes of this commit,
	// the sequence of the last one, and rest with nothing left to sync.
	j.written.advance(w.seq)
	j.writtenBytes.Store(w.stagedBytes)
	if w.stagedBytes >= j.wakeAt.Load() {
		j.pokeSyncer()
	}
	return nil
}

// publishRolled publishes the ends of segments that filled up since the last Commit, and hands
// the new active one to the syncer.
func (j *Journal) publishRolled() {
	w := &j.w
	for i, s := range w.pending {
		release64(s.mem, ctlCommittedOffset, uint64(w.sealedAt[i]))
		release64(s.mem, ctlCommittedSequence, uint64(w.lastOf[i]))
	}
	j.mu.Lock()
	// pending[0] is live already: it was the active one.
	j.live = append(j.live, w.pending[1:]...)
	j.live = append(j.live, w.seg)
	j.mu.Unlock()
	clear(w.pending)
	w.pending, w.sealedAt, w.lastOf = w.pending[:0], w.sealedAt[:0], w.lastOf[:0]
}

// roll seals the active segment and goes on in the one that lies ready. On an error nothing has
// changed. Staged records stay invisible until Commit, on both sides of the boundary.
//
// The new name comes first and the seal second: a process that dies between leaves a segment
// without a seal and an empty one that starts at the next sequence, which recovery understands.
func (j *Journal) roll() error {
	w := &j.w
	next, err := j.ahead.take()
	if err != nil {
		return err
	}
	defer j.stats.named[StallRoll].since(time.Now())
	if err := next.christen(j.st, j.dir, j.uuid, w.seq+1, j.rand.now(), j.rand.salt(), j.now); err != nil {
		j.ahead.giveBack(next)
		if isNoSpace(err) {
			err = &NoSpaceError{Dir: j.dir, Bytes: next.hdr.size, Err: err}
		}
		return fmt.Errorf("journal: roll over: %w", err)
	}
	full := w.seg
	indexBytes := w.index.recordBytes()
	sl := seal{lastSequence: w.seq, lastTime: w.time, indexOffset: uint64(w.off)}
	if w.off+indexBytes+sealRecordBytes > full.hdr.size {
		// A crash left an index where a seal should have followed, and used up the room.
		indexBytes, sl.indexOffset = 0, 0
	}
	end := w.off + indexBytes + sealRecordBytes
	if err := full.touchTo(end); err != nil {
		j.fail(err)
		return err
	}
	if err := guard(full.name, full.mem, func() error {
		// The word behind the seal was zeroed with the file; the one behind the index is the
		// seal's, stored last of all.
		at := w.off + indexBytes
		sealWord := putSeal(full.mem[at:end], at, full.hdr.salt, &sl, j.Durable(), &w.tail)
		if indexBytes > 0 {
			word := w.index.put(full.mem[w.off:at], w.off, full.hdr.salt, w.seq, w.time, j.Durable(), &w.tail)
			release64(full.mem, w.off, word)
		}
		release64(full.mem, at, sealWord)
		return nil
	}); err != nil {
		j.fail(err)
		return err
	}
	w.pending = append(w.pending, full)
	w.sealedAt = append(w.sealedAt, end)
	w.lastOf = append(w.lastOf, w.seq)
	w.stagedBytes += end - w.off
	w.staged = true
	w.off = recordsOffset
	w.attach(next)
	j.stats.rolls.Add(1)
	return nil
}

// reach makes sure that pages up to end are touched, and that the goroutine that prepares ahead
// knows where the writer is.
func (j *Journal) reach(end int64) error {
	w := &j.w
	w.touchLimit = w.seg.touched.Load()
	if end > w.touchLimit {
		j.stats.stalls.Add(1)
		defer j.stats.named[StallTouch].since(time.Now())
		if err := w.seg.touchTo(max(end, min(w.off+256<<10, w.seg.hdr.size))); err != nil {
			j.fail(err)
			return err
		}
		w.touchLimit = w.seg.touched.Load()
	}
	window, size := j.o.TouchAheadBytes, w.seg.hdr.size
	used := end >= size/4
	j.ahead.moved(w.seg, min(w.off+window, size), used)
	// Come back half a window on, at the quarter where the next segment is ordered, and in any
	// case before the touched pages end.
	next := max(end, w.off+window/2)
	if !used {
		next = min(next, max(end, size/4))
	} else if w.touchLimit >= size {
		next = math.MaxInt64
		w.kick = next
		return nil
	}
	w.kick = min(w.touchLimit, next)
	return nil
}
