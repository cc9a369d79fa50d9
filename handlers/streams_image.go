package handlers

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/journal"
)

// StreamsFingerprint stands before an image of Streams. It changes with the layout: an image with another one is
// refused, and the table is made from the log.
const StreamsFingerprint uint64 = 0x6872_7374_7265_0001

// ErrStreamsImage reports bytes that are no image of Streams, or one of another version.
var ErrStreamsImage = errors.New("handlers: not an image of the streams")

// AppendTo appends an image of the table as it was when the log ended with upTo, for a snapshot. Equal tables have
// equal images. later reads the log's records [from, to] in order, once they are written; it is called where
// the places kept do not tell which number a stream had at upTo. No lock is held while it runs.
//
// The layout: the fingerprint as 8 bytes, little-endian; the number of streams as a uvarint; and for each one, in the
// order of the names: the length of the name and the name, then as uvarints the number of the last event, the sequence
// of the first one, that of the last one or of one behind it, and the places: the first number, its sequence and the last number, the
// length of the distances and the distances.
func (s *Streams) AppendTo(dst []byte, upTo int64, later func(from, to int64, fn func(journal.Record) error) error) ([]byte, error) {
	then, unsure, end := s.cut(upTo)
	if len(unsure) > 0 {
		err := later(upTo+1, end, func(rec journal.Record) error {
			if rec.Kind != journal.KindEvent || rec.Sequence <= upTo {
				return nil
			}
			v, err := event.Parse(rec.Body)
			if err != nil || !Numbered(rec.Type, v) {
				return err
			}
			if st, ok := unsure[string(v.KeyBytes())]; ok {
				st.placed = v.StreamVersion() - 1
				st.places.from = st.placed + 1
				delete(unsure, st.name)
			}
			return nil
		})
		if err != nil {
			return dst, err
		}
		for name := range unsure {
			return dst, fmt.Errorf("handlers: image of the streams: the log does not hold what stream %q got behind %d", name, upTo)
		}
	}
	dst = binary.LittleEndian.AppendUint64(dst, StreamsFingerprint)
	dst = binary.AppendUvarint(dst, uint64(len(then)))
	for _, name := range slices.Sorted(maps.Keys(then)) {
		st := then[name]
		dst = binary.AppendUvarint(dst, uint64(len(name)))
		dst = append(dst, name...)
		for _, n := range []int64{st.placed, st.first, st.last, st.places.from, st.places.sequence, st.places.last, int64(len(st.places.deltas))} {
			dst = binary.AppendUvarint(dst, uint64(n))
		}
		dst = append(dst, st.places.deltas...)
	}
	return dst, nil
}

// cut returns the streams as they were at upTo. Of those that are unsure too, the log up to end has to tell which number
// they had.
func (s *Streams) cut(upTo int64) (then, unsure map[string]*stream, end int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	then, unsure = map[string]*stream{}, map[string]*stream{}
	for name, st := range s.byName {
		if st.first == 0 || st.first > upTo {
			continue
		}
		c := &stream{name: name, placed: st.placed, first: st.first, last: st.last, places: st.places}
		then[name] = c
		if st.last <= upTo {
			continue
		}
		p := StreamPlaces{places: st.places}
		c.last = upTo
		if p.places.empty() || p.places.sequence > upTo {
			c.places = places{}
			unsure[name], end = c, max(end, st.last)
			continue
		}
		at, seq, bytes := int64(0), int64(0), 0
		p.Ascend(0, func(n, place int64) bool {
			if place > upTo {
				return false
			}
			if at > 0 {
				bytes += len(binary.AppendUvarint(nil, uint64(place-seq)))
			}
			at, seq = n, place
			return true
		})
		c.placed, c.last = at, seq
		c.places.last, c.places.deltas = at, st.places.deltas[:bytes:bytes]
	}
	return then, unsure, end
}

// Decode makes the table what AppendTo has written. The events behind the image follow with Learn. After an
// ErrStreamsImage the table is empty.
func (s *Streams) Decode(image []byte) (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() {
		if err != nil {
			s.byName, s.all, s.bytes, s.hand = map[string]*stream{}, nil, 0, 0
		}
	}()
	s.byName, s.all, s.bytes, s.hand = map[string]*stream{}, nil, 0, 0
	if len(image) < 8 || binary.LittleEndian.Uint64(image) != StreamsFingerprint {
		return fmt.Errorf("%w: it does not begin with the fingerprint %016x", ErrStreamsImage, StreamsFingerprint)
	}
	in := imageReader{rest: image[8:]}
	for n := in.number(); n > 0 && !in.short; n-- {
		name := string(in.bytes(in.number()))
		st := &stream{name: name, placed: in.number(), first: in.number(), last: in.number()}
		st.places = places{from: in.number(), sequence: in.number(), last: in.number()}
		st.places.deltas = slices.Clone(in.bytes(in.number()))
		st.head = st.placed
		if in.short || !st.sound() || s.byName[name] != nil {
			return fmt.Errorf("%w: stream %d, %q", ErrStreamsImage, len(s.all), name)
		}
		if s.limit < 0 {
			st.places = places{from: st.placed + 1}
		}
		s.byName[name] = st
		s.all = append(s.all, st)
		s.bytes += st.places.size()
	}
	if in.short || len(in.rest) > 0 {
		return fmt.Errorf("%w: it ends in the wrong place", ErrStreamsImage)
	}
	for s.limit >= 0 && s.bytes > s.limit {
		s.forget()
	}
	return nil
}

// sound tells whether what was read can be: places must end where the stream does.
func (st *stream) sound() bool {
	p := StreamPlaces{Last: st.last, places: st.places}
	if st.placed < 1 || st.first < 1 || st.last < st.first || p.places.from < 1 || p.places.from > st.placed+1 {
		return false
	}
	if p.places.empty() {
		return len(p.places.deltas) == 0 && p.places.from == st.placed+1
	}
	if p.places.last != st.placed || p.places.sequence < st.first {
		return false
	}
	seq := p.places.sequence
	rest := p.places.deltas
	for n := p.places.from; n < p.places.last; n++ {
		delta, k := binary.Uvarint(rest)
		if k <= 0 || delta == 0 || delta > uint64(st.last-seq) {
			return false
		}
		seq, rest = seq+int64(delta), rest[k:]
	}
	return seq == st.last && len(rest) == 0
}

// imageReader reads an image. What is not there is zero, and short.
type imageReader struct {
	rest  []byte
	short bool
}

func (r *imageReader) number() int64 {
	n, k := binary.Uvarint(r.rest)
	if k <= 0 || n > 1<<62 {
		r.short = true
		return 0
	}
	r.rest = r.rest[k:]
	return int64(n)
}

func (r *imageReader) bytes(n int64) []byte {
	if n > int64(len(r.rest)) {
		r.short = true
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}
