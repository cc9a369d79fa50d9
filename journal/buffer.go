package journal

import (
	"time"
)

// Writing with pwrite: records are staged in a buffer and go to the file at Commit, in one call.
//
// A kill in the middle of the call leaves the beginning of what was written, which may end inside a
// record: what recovery calls unfinished. Nobody had been told of it, since the committed offset is
// published after the call.

// bufferBytes is how much is written at once. Larger records go to the file directly.
const bufferBytes = 256 << 10

// room makes room for size more bytes in the buffer; ok is false if the record is too large for it.
func (j *Journal) room(size int64) (ok bool, err error) {
	w := &j.w
	if w.off+size+recordAlign-w.base <= int64(len(w.mem)) {
		return true, nil
	}
	if err := j.flush(); err != nil {
		return false, err
	}
	return size+recordAlign <= int64(len(w.mem)), nil
}

// flush writes what is in the buffer.
func (j *Journal) flush() error {
	w := &j.w
	if w.off == w.base {
		return nil
	}
	if err := j.fillAhead(); err != nil {
		return err
	}
	if err := j.writeAt(w.mem[:w.off-w.base], w.base); err != nil {
		return err
	}
	w.rebase()
	return nil
}

// rebase makes the empty buffer begin at w.off. Its first word is that of a record to come, zero
// until that is whole.
func (w *writer) rebase() {
	w.base = w.off
	le.PutUint64(w.mem, 0)
}

// writeAt writes to the active segment. An error is sticky: how much of b the file has now, nobody
// knows.
func (j *Journal) writeAt(b []byte, off int64) error {
	start := time.Now()
	_, err := j.w.seg.f.WriteAt(b, off)
	j.wrote(start)
	if err != nil {
		if isNoSpace(err) {
			// The blocks are there, but a limit on the size of files counts them again.
			err = errorf("%w: %w", ErrNoSpace, err)
		}
		err = errorf("%w: %s: [%s, %s): %w", ErrWrite, j.w.seg.name, thousands(off), thousands(off+int64(len(b))), err)
		j.fail(err)
		return err
	}
	return nil
}

// putLarge is put for a record that the buffer, which is empty, cannot hold: body first, header
// last. The padding is zero in the file.
func (j *Journal) putLarge(e *Entry, kind Kind, size int64) (seq int64, err error) {
	w := &j.w
	seq, w3 := w.next(e, kind, j.durable.value.Load())
	first := w.firstWord(e, e.Body, seq, w3)
	if err := j.writeAt(e.Body, w.off+recordHeaderBytes); err != nil {
		return 0, err
	}
	h := w.scratch[:recordHeaderBytes]
	le.PutUint64(h[0:], 0)
	le.PutUint64(h[8:], uint64(seq))
	le.PutUint64(h[16:], uint64(e.Time))
	le.PutUint64(h[24:], w3)
	if w.batch.left == 0 || w.holdBack(first, len(e.Body)) {
		le.PutUint64(h[0:], first)
	}
	if err := j.writeAt(h, w.off); err != nil {
		return 0, err
	}
	w.advance(size, seq, e.Time)
	w.rebase()
	return seq, nil
}

// finishBatch stores the first word of a batch that is complete. If it is in the file already, all
// the rest must be there first.
func (j *Journal) finishBatch() error {
	w := &j.w
	b := &w.batch
	if !w.buffered || b.start >= w.base {
		release64(w.mem, b.start-w.base, b.first)
		return nil
	}
	if err := j.flush(); err != nil {
		return err
	}
	le.PutUint64(w.scratch[:], b.first)
	return j.writeAt(w.scratch[:8], b.start)
}

// unwrite takes back what was staged from offset start on.
func (j *Journal) unwrite(start int64) error {
	w := &j.w
	if w.buffered && start < w.base {
		for at := start; at < w.base; at += int64(len(zeroPage)) {
			if err := j.writeAt(zeroPage[:min(int64(len(zeroPage)), w.base-at)], at); err != nil {
				return err
			}
		}
		w.off = start
		w.rebase()
		return nil
	}
	return guard(w.seg.name, w.mem, func() error {
		clear(w.mem[start-w.base : w.off-w.base])
		return nil
	})
}
