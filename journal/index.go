package journal

import (
	"fmt"
	"slices"
	"sort"
	"sync"
)

// The sparse index is the record before a segment's seal: places at which a reader can begin.
// It is made while the segment is written, costs one comparison a record, and is a hint that is
// checked wherever it is used: the record at a place must verify and carry that sequence.
const (
	indexHeaderBytes = 8
	indexEntryBytes  = 24
	maxIndexEntries  = 1 << 16
	minIndexSpacing  = 4096
)

// place is where a reader can begin inside a segment.
type place struct {
	sequence int64 // of the next event or void at or after offset
	time     int64 // of the record at offset
	offset   int64
}

// indexEntries is how many places the index of a segment of that size has room for.
func indexEntries(segmentBytes int64) int {
	room := segmentReserve(segmentBytes) - sealRecordBytes - recordHeaderBytes - indexHeaderBytes
	return int(min(maxIndexEntries, room/indexEntryBytes))
}

// sampler collects the places of one segment, at even distances.
type sampler struct {
	places  []place
	mark    int64 // the next record at or after it is a place
	spacing int64
}

// reset makes the sampler one for a segment of that size. It allocates only if the last was smaller.
func (s *sampler) reset(segmentBytes int64) {
	n := indexEntries(segmentBytes)
	if cap(s.places) < n {
		s.places = make([]place, n)
		clear(s.places) // touches the pages, which fresh memory has not: the writer takes no fault for its index later
	}
	s.places, s.mark = s.places[:0], recordsOffset
	s.spacing = max(minIndexSpacing, (segmentCapacity(segmentBytes)+int64(n)-1)/int64(n))
}

// note makes the record at off a place.
func (s *sampler) note(off, next, time int64) {
	if len(s.places) < cap(s.places) {
		s.places = append(s.places, place{next, time, off})
	}
	s.mark = off + s.spacing
}

// cut forgets places at or after off.
func (s *sampler) cut(off int64) {
	n := len(s.places)
	for n > 0 && s.places[n-1].offset >= off {
		n--
	}
	s.places, s.mark = s.places[:n], recordsOffset
	if n > 0 {
		s.mark = s.places[n-1].offset + s.spacing
	}
}

// lookup lets readers of the journal look into the index while it is being made. The writer takes the lock when
// it adds a place, once in 4 KiB at most; what it adds nobody else changes.
type lookup struct {
	sync.Mutex
	segment uint64 // whose index it is
}

// place returns the last place before end in the index of a segment that is being written for which less is
// true, which holds for the first ones only.
func (w *writer) place(segment uint64, end int64, less func(place) bool) (p place, ok bool) {
	w.lookup.Lock()
	defer w.lookup.Unlock()
	if w.lookup.segment != segment {
		return p, false
	}
	places := w.index.places
	i := sort.Search(len(places), func(i int) bool { return places[i].offset >= end || !less(places[i]) })
	if i == 0 {
		return p, false
	}
	return places[i-1], true
}

// recordBytes is the room that the index record takes.
func (s *sampler) recordBytes() int64 {
	return recordBytes(indexHeaderBytes + len(s.places)*indexEntryBytes)
}

// put writes the index record for position off into rec, which is recordBytes long, but for its
// first word, which it returns.
func (s *sampler) put(rec []byte, off int64, salt uint64, sequence, time, durable int64, t *frameTail) (first uint64) {
	n := indexHeaderBytes + len(s.places)*indexEntryBytes
	body := rec[recordHeaderBytes : recordHeaderBytes+n]
	le.PutUint32(body[0:], uint32(len(s.places)))
	le.PutUint32(body[4:], indexEntryBytes)
	for i, p := range s.places {
		b := body[indexHeaderBytes+i*indexEntryBytes:]
		le.PutUint64(b[0:], uint64(p.sequence))
		le.PutUint64(b[8:], uint64(p.time))
		le.PutUint64(b[16:], uint64(p.offset))
	}
	clear(rec[recordHeaderBytes+n:])
	w1, w2 := uint64(sequence), uint64(time)
	w3 := packWord3(0, KindIndex, 0, lagOf(sequence, durable))
	le.PutUint64(rec[8:], w1)
	le.PutUint64(rec[16:], w2)
	le.PutUint64(rec[24:], w3)
	length := uint64(recordHeaderBytes + n)
	crc := t.sum(checksum(body), salt, uint64(off), length, w1, w2, w3)
	return length | uint64(crc)<<32
}

// indexView is the body of an index record.
type indexView []byte

// asIndex checks the form of an index's body: its length, and that places ascend inside
// [recordsOffset, end).
func asIndex(body []byte, end int64) (indexView, error) {
	if len(body) < indexHeaderBytes || le.Uint32(body[4:]) != indexEntryBytes ||
		int64(len(body)) != indexHeaderBytes+int64(le.Uint32(body))*indexEntryBytes {
		return nil, fmt.Errorf("%w: %d bytes", ErrIndex, len(body))
	}
	v := indexView(body)
	before := place{offset: -1, time: minTime}
	for i := range v.len() {
		p := v.at(i)
		if p.offset < recordsOffset || p.offset >= end || p.offset%recordAlign != 0 ||
			p.offset <= before.offset || p.sequence < before.sequence || p.time < before.time {
			return nil, fmt.Errorf("%w: place %d", ErrIndex, i)
		}
		before = p
	}
	return v, nil
}

func (v indexView) len() int { return (len(v) - indexHeaderBytes) / indexEntryBytes }

func (v indexView) at(i int) place {
	b := v[indexHeaderBytes+i*indexEntryBytes:]
	return place{int64(le.Uint64(b[0:])), int64(le.Uint64(b[8:])), int64(le.Uint64(b[16:]))}
}

// before returns the last place for which less is true, which holds for the first ones only; ok
// is false if there is none.
func (v indexView) before(less func(place) bool) (p place, ok bool) {
	i := sort.Search(v.len(), func(i int) bool { return !less(v.at(i)) })
	if i == 0 {
		return p, false
	}
	return v.at(i - 1), true
}

// checkIndex checks that every place of an index is one: the record there verifies and has the
// sequence and the time.
func checkIndex(m []byte, h *header, body []byte, end int64) error {
	return checkLoadedIndex(m, h, body, end, nil)
}

// checkLoadedIndex is checkIndex of memory that load fills.
func checkLoadedIndex(m []byte, h *header, body []byte, end int64, load loader) error {
	if load != nil {
		body = slices.Clone(body) // its block may go
	}
	v, err := asIndex(body, end)
	if err != nil {
		return err
	}
	from := int64(recordsOffset) // no byte is hashed twice, whatever the index says
	for i := range v.len() {
		p := v.at(i)
		if p.offset < from {
			return fmt.Errorf("%w: place %d at offset %s is inside a record", ErrIndex, i, thousands(p.offset))
		}
		if load != nil {
			if _, err := load(p.offset); err != nil {
				return err
			}
		}
		f, _, next, err := readFrame(m, p.offset, end, h.salt)
		from = next
		if err == nil {
			err = follows(&f, p.sequence, p.time)
		}
		if err != nil || f.time != p.time {
			return fmt.Errorf("%w: place %d at offset %s: %v", ErrIndex, i, thousands(p.offset), err)
		}
	}
	return nil
}

// findIndex returns the index of a segment whose records end, with a seal, at end; ok is false
// where there is none, or none that verifies.
func findIndex(seg *readSegment, end int64) (v indexView, sl seal, ok bool) {
	m, h := seg.mem, &seg.hdr
	at := end - sealRecordBytes
	if at < recordsOffset || end > int64(len(m)) || at%recordAlign != 0 {
		return nil, sl, false
	}
	if _, err := seg.load(at); err != nil {
		return nil, sl, false // let it be met on the way
	}
	f, body, next, err := readFrame(m, at, end, h.salt)
	if err != nil || f.kind != KindSeal || next != end || sl.decode(body) != nil {
		return nil, sl, false
	}
	off := int64(sl.indexOffset)
	if off < recordsOffset || off >= at || off%recordAlign != 0 {
		return nil, sl, false
	}
	if _, err := seg.load(off); err != nil {
		return nil, sl, false
	}
	if f, body, _, err = readFrame(m, off, at, h.salt); err != nil || f.kind != KindIndex {
		return nil, sl, false
	}
	v, err = asIndex(body, off)
	return v, sl, err == nil
}

// jump moves a reader that stands at the start of a segment to the last place that is certainly before what it
// looks for: by the segment's index, or, while it is being written, by that of the writer in this process. Without an
// index it stays.
func (r *Reader) jump(want int64) error {
	return guard(r.seg.name, r.seg.mem, func() error {
		end, limitErr := r.end()
		if limitErr != nil {
			return nil // let it be met on the way
		}
		less := func(p place) bool { return p.sequence < want || p.time < r.from }
		var p place
		v, _, ok := findIndex(r.seg, end)
		switch {
		case ok:
			p, ok = v.before(less)
		case r.j != nil:
			p, ok = r.j.w.place(r.seg.hdr.id, end, less)
		}
		if ok {
			r.off, r.next, r.time = p.offset, p.sequence, p.time
		}
		return nil
	})
}
