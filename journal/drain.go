package journal

import (
	"errors"
	"math"
)

// How a reader delivers: from runs of verified events, and one record at a time where there is none.

// drain delivers records up to end and gate, and notes the segment's seal in atSeal.
//
// Most records are events in a row, which the window's run has verified. Everything else is judged
// by judge.
func (r *Reader) drain(end, gate int64, to receiver) (n int, err error) {
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
			var k int
			if to.many == nil {
				k, err = r.handOut(gate, to.one)
			} else {
				k, err = r.handOutSpan(gate, to.many)
			}
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
			if err := r.give(to, rec); err != nil {
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
