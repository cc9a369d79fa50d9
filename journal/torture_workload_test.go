package journal

import (
	"fmt"

	"github.com/headrace/headrace/internal/mix"
)

// What the campaigns write. A body says who wrote it: the life, that is the number of the writer's
// run, is in every byte, so that a record which a crash lost and which comes back after another one
// took its sequence is told apart from the right one. Whoever knows sequence and life knows the
// record, so the oracle keeps nothing but lives.

func lifeHash(life uint32, seq int64) uint64 { return mix.Uint64(uint64(life)<<40 ^ uint64(seq)) }

// lifeVoid tells whether the record is a void, if it is not part of an atomic batch.
func lifeVoid(life uint32, seq int64) bool { return lifeHash(life, seq)%61 == 0 }

// lifeBody appends to b the body of record seq of that life: part is its place in an atomic batch
// of parts, 0 of 0 outside of one. large bounds the size of the few large ones.
func lifeBody(b []byte, life uint32, seq int64, part, parts, large int) []byte {
	h := lifeHash(life, seq)
	size := int(h >> 8 % 140)
	if h>>56 < 4 {
		size = int(h >> 16 % uint64(large+1))
	}
	if parts > 0 {
		size = max(size, 8)
	}
	start := len(b)
	if size >= 8 {
		b = le.AppendUint32(b, life)
		b = le.AppendUint16(b, uint16(part))
		b = le.AppendUint16(b, uint16(parts))
	}
	for i := uint64(0); len(b)-start < size; i++ {
		b = le.AppendUint64(b, mix.Uint64(h+i))
	}
	return b[:start+size]
}

func lifeType(life uint32, seq int64) uint16 { return uint16(lifeHash(life, seq) >> 32) }

// lives is what the oracle knows of a journal: from which sequence on each life wrote.
type lives struct {
	from []int64
	life []uint32
}

// recovered notes that everything after last is lost and that life goes on from there.
func (l *lives) recovered(last int64, life uint32) {
	n := len(l.from)
	for n > 0 && l.from[n-1] > last {
		n--
	}
	l.from, l.life = append(l.from[:n], last+1), append(l.life[:n], life)
}

func (l *lives) of(seq int64) uint32 {
	for i := len(l.from) - 1; i >= 0; i-- {
		if l.from[i] <= seq {
			return l.life[i]
		}
	}
	return 0
}

// lifeReader checks records as a reader delivers them, internal ones included, from sequence next
// on: no gap, no altered, stale or invented record, no atomic batch in part.
type lifeReader struct {
	lives *lives
	next  int64
	time  int64
	large int
	left  int // records that the batch still needs
	parts int
	inner bool // began inside a batch, possibly
	buf   []byte
}

func (l *lives) reader(from int64, large int) *lifeReader {
	return &lifeReader{lives: l, next: from, large: large, inner: true}
}

func (r *lifeReader) record(rec Record) error {
	if rec.Time < r.time {
		return fmt.Errorf("record %d: time %d before %d", rec.Sequence, rec.Time, r.time)
	}
	r.time = rec.Time
	if !rec.Kind.advances() {
		if rec.Sequence != r.next-1 && !r.inner {
			return fmt.Errorf("%v after %d: sequence %d", rec.Kind, r.next-1, rec.Sequence)
		}
		if r.left > 0 {
			return fmt.Errorf("%v inside an atomic batch at %d", rec.Kind, r.next)
		}
		return nil
	}
	if rec.Sequence != r.next {
		return fmt.Errorf("sequence %d, want %d", rec.Sequence, r.next)
	}
	life := r.lives.of(rec.Sequence)
	part, parts := 0, 0
	if len(rec.Body) >= 8 && (rec.Kind == KindEvent) {
		part, parts = int(le.Uint16(rec.Body[4:])), int(le.Uint16(rec.Body[6:]))
	}
	switch {
	case parts == 0 && rec.Kind == KindVoid != lifeVoid(life, rec.Sequence):
		return fmt.Errorf("record %d of life %d is a %v", rec.Sequence, life, rec.Kind)
	case rec.Kind == KindEvent:
		r.buf = lifeBody(r.buf[:0], life, rec.Sequence, part, parts, r.large)
		if string(rec.Body) != string(r.buf) || rec.Type != lifeType(life, rec.Sequence) {
			return fmt.Errorf("record %d is not that of life %d: type %d, body of %d bytes %.24x", rec.Sequence, life, rec.Type, len(rec.Body), rec.Body)
		}
	}
	switch {
	case parts == 0 && r.left > 0:
		return fmt.Errorf("record %d: the atomic batch before it lacks %d", rec.Sequence, r.left)
	case parts > 0 && part != r.parts-r.left && r.left > 0, parts > 0 && part != 0 && r.left == 0 && !r.inner:
		return fmt.Errorf("record %d: part %d of %d, %d were left", rec.Sequence, part, parts, r.left)
	case parts > 0:
		r.parts, r.left = parts, parts-part-1
	}
	r.inner = false
	r.next++
	return nil
}

// end checks that no atomic batch stands half.
func (r *lifeReader) end() error {
	if r.left > 0 {
		return fmt.Errorf("the atomic batch at the end, %d, lacks %d", r.next-1, r.left)
	}
	return nil
}
