package journal

import (
	"errors"
	"fmt"
	"math"
	"runtime/debug"
)

// ErrFill reports a function given to StageInPlace that claims more bytes than it was handed.
var ErrFill = errors.New("journal: more bytes filled than there is room for")

// ErrFilling reports a writing method that is called by the function given to StageInPlace. It changes nothing.
var ErrFilling = errors.New("journal: StageInPlace is not done; its function must not write to the journal")

// StageInPlace is Stage for a body that is made where it will lie, without a copy: fill is handed
// bodyBytes bytes of memory, writes the body to their front and returns its length, in [0, bodyBytes].
// The memory's contents are undefined before, and it is the journal's again when fill returns. An error
// of fill, which StageInPlace returns as it is, or a panic leaves the journal as it was. e.Body and
// e.BodyHashed are not looked at.
//
// A fault of the mapping inside fill becomes ErrFault as elsewhere. fill must not call the journal's
// writing methods: they return ErrFilling. StageInPlace does not allocate, but with BackendPwrite for bodyBytes over 256 KiB.
//
// Errors: those of Stage for a body of bodyBytes; fill's; ErrFill.
func (j *Journal) StageInPlace(e Entry, bodyBytes int, fill func(body []byte) (n int, err error)) (seq int64, err error) {
	w := &j.w
	if bodyBytes < 0 {
		return 0, fmt.Errorf("%w: %d bytes", ErrFill, bodyBytes)
	}
	kind, size, err := j.prepare(&e, bodyBytes)
	if err != nil {
		return 0, err
	}
	e.Body, e.BodyHashed = nil, false
	if w.buffered {
		fits, err := j.room(size)
		if err != nil {
			return 0, err
		}
		if !fits {
			body := make([]byte, bodyBytes)
			n, err := w.filled(body, fill)
			if err != nil {
				return 0, err
			}
			e.Body = body[:n]
			return j.Stage(e)
		}
	}
	old := debug.SetPanicOnFault(true)
	defer j.unguard(old, &err)
	at := w.off - w.base
	n, err := w.filled(w.mem[at+recordHeaderBytes:at+recordHeaderBytes+int64(bodyBytes):at+recordHeaderBytes+int64(bodyBytes)], fill)
	if err != nil {
		return 0, err
	}
	seq = j.putInPlace(&e, kind, n)
	if w.finish {
		w.finish = false
		err = j.finishBatch()
	}
	return seq, err
}

// filled has fill make a body; what it leaves behind the body, or at all if it fails, is zeroed: the
// rest of a segment is zeros.
//
// As long as fill runs Stage comes to reach or roll, which refuse.
func (w *writer) filled(body []byte, fill func([]byte) (int, error)) (n int, err error) {
	keep, kick := 0, w.kick
	w.filling, w.kick = true, math.MinInt64
	defer func() {
		w.filling, w.kick = false, kick
		clear(body[keep:])
	}()
	n, err = fill(body)
	if err != nil {
		return 0, err
	}
	if n < 0 || n > len(body) {
		return 0, fmt.Errorf("%w: %d of %d bytes", ErrFill, n, len(body))
	}
	keep = n
	return n, nil
}

// putInPlace is put for a body of n bytes that is where it belongs, with zeros behind.
func (j *Journal) putInPlace(e *Entry, kind Kind, n int) int64 {
	w := &j.w
	at, size := w.off-w.base, recordBytes(n)
	rec := w.mem[at : at+size+recordAlign : at+size+recordAlign]
	clear(rec[recordHeaderBytes+n:]) // padding, which the buffer need not have, and the next first word
	seq, w3 := w.next(e, kind, j.durable.value.Load())
	le.PutUint64(rec[8:], uint64(seq))
	le.PutUint64(rec[16:], uint64(e.Time))
	le.PutUint64(rec[24:], w3)
	first := w.firstWord(e, rec[recordHeaderBytes:recordHeaderBytes+n], seq, w3)
	if w.batch.left == 0 || w.holdBack(first, n) {
		release64(w.mem, at, first)
	}
	w.advance(size, seq, e.Time)
	return seq
}
