package journal

import (
	"fmt"
)

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
	if w.filling {
		return ErrFilling
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
	if b.left == 0 || w.filling {
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
