package journal

import "fmt"

// scan is what reading a segment from its start found.
type scan struct {
	end     int64 // offset after the last good record; an unfinished atomic batch is not good
	at      int64 // where reading stopped; > end inside an unfinished batch
	last    int64 // last sequence before end
	atSeq   int64 // sequence expected at at
	time    int64 // of the last record before end
	records int64 // good ones, of every kind
	events  int64 // good ones that advance the sequence
	lost    int64 // those of them that Repair gave up
	sealed  bool
	seal    seal
	index   sampler // places of the good records
	indexAt int64   // the last good record, if it is an index
	cause   error   // why it stopped, ErrHole at a zero length; nil after a seal
}

// scanSegment reads records from m, which holds the segment's first bytes, until the seal, the
// first bad record, or stop. It checks checksum, padding, sequence, time order and batches.
func scanSegment(m []byte, h *header, stop int64, prevTime int64) (s scan) {
	return scanLoaded(m, h, stop, prevTime, nil, nil)
}

// loader makes the record at an offset readable and returns up to where those after it are, too;
// see archivedFile.load. nil: everything is there.
type loader func(off int64) (end int64, err error)

// scanLoaded is scanSegment of memory that load fills, at the pace of p, both of which may be nil.
// What they fail with becomes the cause.
func scanLoaded(m []byte, h *header, stop int64, prevTime int64, load loader, p *pace) (s scan) {
	s = scan{end: recordsOffset, at: recordsOffset, last: h.first - 1, atSeq: h.first, time: prevTime}
	stop = min(stop, int64(len(m)))
	batch := int64(0) // records of the unfinished batch
	batchEvents, batchLost := int64(0), int64(0)
	now := prevTime
	s.index.reset(h.size)
	loaded := int64(0)
	for {
		var err error
		if load != nil && s.at >= loaded {
			loaded, err = load(s.at)
		}
		var f frame
		var body []byte
		var next int64
		if err == nil {
			f, body, next, err = readFrame(m, s.at, stop, h.salt)
		}
		if err == nil {
			err = follows(&f, s.atSeq, now)
		}
		if err == nil && f.kind == KindSeal {
			if batch > 0 {
				err = fmt.Errorf("%w: inside an atomic batch", ErrSeal)
			} else if err = s.seal.decode(body); err == nil && s.seal.lastSequence != f.sequence {
				err = fmt.Errorf("%w: last sequence %d", ErrSeal, s.seal.lastSequence)
			}
		}
		if err == nil && f.kind == KindIndex {
			if err = checkLoadedIndex(m, h, body, s.at, load); load != nil {
				loaded = 0
			}
		}
		if err == nil {
			err = p.spend(next - s.at)
		}
		if err != nil {
			s.cause = err
			s.index.cut(s.end)
			if s.indexAt >= s.end {
				s.indexAt = 0
			}
			return s
		}
		if s.at >= s.index.mark && f.kind != KindIndex && f.kind != KindSeal {
			s.index.note(s.at, s.atSeq, f.time)
		}
		now = f.time
		if f.kind.advances() {
			s.atSeq++
			batchEvents++
		}
		if f.kind == KindLost {
			batchLost++
		}
		batch++
		s.indexAt = 0
		if f.kind == KindIndex {
			s.indexAt = s.at
		}
		s.at = next
		if f.flags&FlagBatch != 0 {
			continue
		}
		s.end, s.last, s.time = next, s.atSeq-1, now
		s.records += batch
		s.events += batchEvents
		s.lost += batchLost
		batch, batchEvents, batchLost = 0, 0, 0
		if f.kind == KindSeal {
			s.sealed = true
			s.index = sampler{} // it is on disk, or nobody asks
			return s
		}
	}
}

// follows checks that a record with a good checksum belongs where next is the sequence of the
// next event and prevTime the time of the record before.
func follows(f *frame, next, prevTime int64) error {
	want := next
	if !f.kind.advances() {
		want--
	}
	if f.sequence != want {
		return fmt.Errorf("%w: found %d, want %d", ErrGap, f.sequence, want)
	}
	if f.time < prevTime {
		return ErrOrder
	}
	return nil
}

// lookAhead searches m[from:stop] for a record that promises that sequence want, or a later
// one, was durable when it was written. The record may stand at any multiple of 8. found is its
// offset, or 0.
//
// Candidates are judged by what costs nothing before their checksum is computed; what a crash
// leaves behind yields next to none that fail there. budget bounds the bytes that are hashed, so
// that a file made for the purpose cannot make this quadratic; spent beyond it is an error.
//
// dataAfter lets it pass over the holes of a sparse file without making pages for them.
func lookAhead(m []byte, h *header, from, stop int64, want int64, dataAfter func(int64) (int64, error), budget *int64) (found int64, err error) {
	stop = min(stop, int64(len(m)))
	from = max(from, recordsOffset)
	for off := from; off+recordHeaderBytes <= stop; off += recordAlign {
		if off%int64(len(zeroPage)) == 0 {
			if off, err = skipHole(off, dataAfter); err != nil || off+recordHeaderBytes > stop {
				return 0, err
			}
		}
		length := int64(le.Uint32(m[off:]))
		if length < recordHeaderBytes || length > stop-off {
			continue
		}
		f := peekFrame(m, off)
		if f.kind < KindEvent || f.kind > kindLast || f.flags&^FlagBatch != 0 {
			continue
		}
		// A record takes at least its header: more sequences than that do not fit between
		// the start of the segment and here.
		if f.sequence < want || f.sequence-h.first > (off-recordsOffset)/recordHeaderBytes || f.promises() < want {
			continue
		}
		if *budget -= length; *budget < 0 {
			return 0, ErrLookAhead
		}
		if _, _, _, err := readFrame(m, off, stop, h.salt); err == nil {
			return off, nil
		}
	}
	return 0, nil
}
