package journal

import (
	"fmt"
	"runtime/debug"
	"time"

	"github.com/headrace/headrace/internal/failpoint"
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
	filling    bool   // the function that StageInPlace was given is running

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
		for _, s := range j.w.pending { // filled up since the last Commit, which publishes their ends
			if e == nil {
				e = asFault(r, s.name, s.mem)
			}
		}
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
	if w.filling {
		return ErrFilling
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
