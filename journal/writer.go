package journal

import (
	"fmt"
	"github.com/headrace/headrace/internal/failpoint"
	"math"
	"runtime/debug"
	"time"
)

// writer is the state of the writing goroutine. Nobody else touches it while the journal is
// open.
type writer struct {
	seg        *segment
	mem        []byte // the segment's mapping, or the buffer
	base       int64  // mem[0] is this offset of the segment: 0 in a mapping
	buffered   bool   // mem is a buffer, to be written with pwrite
	off        int64  // where the next record goes
	limit      int64  // records end at or before it
	touchLimit int64  // pages below it may be stored to
	kick       int64  // past it the goroutine that prepares ahead is woken

	seq    int64
	time   int64 // of the last record
	stamp  int64 // what Time 0 means until Commit; 0 = not read yet
	staged bool

	stagedBytes int64      // bytes since Open, staged
	pending     []*segment // full segments whose last records are not committed yet
	sealedAt    []int64    // their ends, seals included
	lastOf      []int64    // their last sequences

	batch   batch
	finish  bool    // the batch's last record is staged: its first word is due
	index   sampler // of the active segment
	lookup  lookup  // the same for readers, and its lock
	tail    frameTail
	scratch [recordHeaderBytes]byte // on the heap, for what a file is handed
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
	w.seg, w.limit = s, s.limit
	if w.buffered {
		w.rebase()
	} else {
		w.mem = s.mem
	}
	w.touchLimit = s.touched.Load()
	w.kick = w.off
	w.lookup.Lock()
	w.index.reset(s.hdr.size)
	w.lookup.segment = s.hdr.id
	w.lookup.Unlock()
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
		_ = j.unwrite(b.start) // an error is sticky, or the next Stage meets it
		w.off, w.seq, w.time, w.stagedBytes = b.start, b.seq, b.time, b.bytes
		w.lookup.Lock()
		w.index.cut(b.start)
		w.lookup.Unlock()
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
	kind, size, err := j.prepare(&e, len(e.Body))
	if err != nil {
		return 0, err
	}
	if w.buffered {
		fits, err := j.room(size)
		if err != nil {
			return 0, err
		}
		if !fits {
			seq, err = j.putLarge(&e, kind, size)
		} else {
			seq = j.put(&e, kind, size)
		}
		if err == nil && w.finish {
			w.finish = false
			err = j.finishBatch()
		}
		return seq, err
	}
	// A fault here is somebody truncating the file, or the device failing.
	old := debug.SetPanicOnFault(true)
	defer j.unguard(old, &err)
	seq = j.put(&e, kind, size)
	if w.finish {
		w.finish = false
		err = j.finishBatch()
	}
	return seq, err
}

// prepare checks an entry whose body has so many bytes, decides its kind and time, and makes room for
// its record in the active segment, with every page touched.
func (j *Journal) prepare(e *Entry, bodyBytes int) (kind Kind, size int64, err error) {
	w := &j.w
	if j.failed.Load() {
		return 0, 0, j.Err()
	}
	if bodyBytes > j.o.MaxBodyBytes {
		return 0, 0, fmt.Errorf("%w: %s bytes, MaxBodyBytes is %s", ErrBodyTooLarge,
			thousands(int64(bodyBytes)), thousands(int64(j.o.MaxBodyBytes)))
	}
	if kind = e.Kind; kind == 0 {
		kind = KindEvent
	}
	if kind > KindCheckpoint {
		return 0, 0, fmt.Errorf("%w: %v", ErrKind, kind)
	}
	if e.Time == 0 {
		if w.stamp == 0 {
			w.stamp = time.Now().UnixNano()
		}
		e.Time = w.stamp
	}
	size = recordBytes(bodyBytes)
	if w.batch.left > 0 {
		if int64(bodyBytes) > w.batch.room {
			return 0, 0, fmt.Errorf("%w: %d bytes of body, %d left", ErrBatchBytes, bodyBytes, w.batch.room)
		}
	} else if w.off+size > w.limit {
		if err := j.roll(); err != nil {
			return 0, 0, err
		}
	}
	// The next record's first word is zeroed too: it has to be touched.
	if w.off+size+recordAlign > w.kick {
		if err := j.reach(w.off + size + recordAlign); err != nil {
			return 0, 0, err
		}
	}
	return kind, size, nil
}

// unguard ends what Stage began; a fault becomes its error.
func (j *Journal) unguard(old bool, err *error) {
	debug.SetPanicOnFault(old)
	if r := recover(); r != nil {
		e := asFault(r, j.w.seg.name, j.w.seg.mem)
		if e == nil && j.progress != nil {
			e = asFault(r, progressName, j.progress.file)
		}
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
	at := w.off - w.base
	rec := w.mem[at : at+size+recordAlign : at+size+recordAlign]
	le.PutUint64(rec[size:], 0)
	le.PutUint64(rec[size-recordAlign:], 0) // padding
	n := copy(rec[recordHeaderBytes:], e.Body)
	seq, w3 := w.next(e, kind, j.durable.value.Load())
	le.PutUint64(rec[8:], uint64(seq))
	le.PutUint64(rec[16:], uint64(e.Time))
	le.PutUint64(rec[24:], w3)
	first := w.firstWord(e, rec[recordHeaderBytes:recordHeaderBytes+n], seq, w3)
	failpoint.Hit(failpoint.MidRecord)
	if w.batch.left == 0 || w.holdBack(first, n) {
		release64(w.mem, at, first)
	}
	if w.batch.left > 0 {
		failpoint.Hit(failpoint.MidBatch)
	}
	w.advance(size, seq, e.Time)
	return seq
}

// next decides the sequence, the time (in e) and bytes 24 to 32 of the header of the record that
// comes next.
func (w *writer) next(e *Entry, kind Kind, durable int64) (seq int64, w3 uint64) {
	if e.Time < w.time {
		e.Time = w.time
	}
	seq = w.seq
	if w.off >= w.index.mark {
		w.lookup.Lock()
		w.index.note(w.off, seq+1, e.Time)
		w.lookup.Unlock()
	}
	if kind != KindCheckpoint {
		seq++
	}
	var flags Flags
	if w.batch.left > 1 {
		flags = FlagBatch
	}
	return seq, packWord3(e.Type, kind, flags, lagOf(seq, durable))
}

// firstWord is the word that makes the record with that body at w.off one: length and checksum.
func (w *writer) firstWord(e *Entry, body []byte, seq int64, w3 uint64) uint64 {
	length := uint64(recordHeaderBytes + len(body))
	salt, off := w.seg.hdr.salt, uint64(w.off)
	if e.BodyHashed {
		return length | uint64(w.tail.sum(e.BodyCRC, salt, off, length, uint64(seq), uint64(e.Time), w3))<<32
	}
	return length | uint64(w.tail.frame(body, salt, off, length, uint64(seq), uint64(e.Time), w3))<<32
}

// advance counts the record that was put.
func (w *writer) advance(size, seq, time int64) {
	w.off, w.seq, w.time = w.off+size, seq, time
	w.stagedBytes += size
	w.staged = true
}

// holdBack counts a record of the open batch. It returns false for the batch's first, whose first
// word has to wait.
func (w *writer) holdBack(first uint64, body int) (now bool) {
	b := &w.batch
	b.room -= int64(body)
	if now = b.begun; !now {
		b.begun, b.first = true, first
	}
	b.left--
	w.finish = b.left == 0
	return now
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
	if w.buffered {
		if err := j.flush(); err != nil {
			return err
		}
	}
	old := debug.SetPanicOnFault(true)
	defer j.unguard(old, &err)
	if len(w.pending) > 0 {
		j.publishRolled()
	}
	if w.buffered {
		j.progress.commit(w.seg.hdr.id, w.off, w.seq)
	} else {
		release64(w.mem, ctlCommittedOffset, uint64(w.off))
		release64(w.mem, ctlCommittedSequence, uint64(w.seq))
	}
	w.staged = false
	if j.syncedBytes.Load() == j.writtenBytes.Load() {
		j.dirtySince.Store(time.Now().UnixNano())
	}
	// Sequentially consistent, and after all of the above: see cursor, and runSyncer. The
	// sequence comes before the bytes: the syncer reads them the other way round, and takes
	// the bytes for synced. With the sequence second it could see the bytes of this commit,
	// the sequence of the last one, and rest with nothing left to sync.
	j.written.advance(w.seq)
	j.writtenBytes.Store(w.stagedBytes)
	if w.stagedBytes >= j.wakeAt.Load() || j.o.Durability.mode == modeBatch && w.seq >= j.durable.next.Load() {
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
	if w.buffered {
		j.progress.begin(w.seg.hdr.id, recordsOffset, w.seg.hdr.first-1)
	}
	j.mu.Lock()
	// pending[0] is live already: it was the active one.
	j.live = append(j.live, w.pending[1:]...)
	j.live = append(j.live, w.seg)
	crowded := len(j.live) > sealedMost
	j.mu.Unlock()
	if crowded && j.o.Durability.mode == modeNone {
		j.pokeSyncer()
	}
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
	if w.buffered {
		if err := j.flush(); err != nil {
			return err
		}
	}
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
	failpoint.Hit(failpoint.RollOver)
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
	var to []byte // [w.off, end)
	if w.buffered {
		if to = w.mem; int64(len(to)) < end-w.off {
			to = wordsToBytes(make([]uint64, (end-w.off)/8))
		}
		to = to[:end-w.off]
	} else {
		to = full.mem[w.off:end]
	}
	if err := guard(full.name, full.mem, func() error {
		// The word behind the seal was zeroed with the file; the one behind the index is the
		// seal's, stored last of all.
		sealWord := putSeal(to[indexBytes:], w.off+indexBytes, full.hdr.salt, &sl, j.Durable(), &w.tail)
		if indexBytes > 0 {
			word := w.index.put(to[:indexBytes], w.off, full.hdr.salt, w.seq, w.time, j.Durable(), &w.tail)
			release64(to, 0, word)
		}
		release64(to, indexBytes, sealWord)
		return nil
	}); err != nil {
		j.fail(err)
		return err
	}
	if w.buffered {
		if err := j.writeAt(to, w.off); err != nil {
			return err
		}
	}
	w.pending = append(w.pending, full)
	w.sealedAt = append(w.sealedAt, end)
	w.lastOf = append(w.lastOf, w.seq)
	w.stagedBytes += end - w.off
	full.endBytes = w.stagedBytes
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
	// The next segment is ordered at a quarter, so that a small journal has no second one; at a 16th where
	// nothing has to be touched: making a file takes longer than filling that.
	order := size / 4
	if w.buffered {
		order = size / 16
	}
	used := end >= order
	j.ahead.moved(w.seg, min(w.off+window, size), used)
	// Come back half a window on, where the next segment is ordered, and in any case before the touched
	// pages end.
	next := max(end, w.off+window/2)
	if !used {
		next = min(next, max(end, order))
	} else if w.touchLimit >= size {
		next = math.MaxInt64
		w.kick = next
		return nil
	}
	w.kick = min(w.touchLimit, next)
	return nil
}
