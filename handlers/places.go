package handlers

import "encoding/binary"

// places are the sequences of the events [from, last] of a stream: the first one, and the distance of each to the
// one before it. What deltas holds is never changed, only appended to, so a copy of places is
// an image that can be read without a lock.
type places struct {
	from     int64
	last     int64 // below from: none are known
	sequence int64 // of from
	deltas   []byte
}

func (p *places) empty() bool { return p.last < p.from }

func (p *places) size() int64 { return int64(cap(p.deltas)) }

// StreamPlaces says where the events of a stream are, as it was when Streams.Places was called.
type StreamPlaces struct {
	Version int64 // number of the last event that is in the ring or the log
	First   int64 // sequence of the first event, or one before it
	Last    int64 // sequence of the last event, or one behind it
	places  places
}

// Places returns where the events of a stream are; false if it has none.
func (s *Streams) Places(name string) (StreamPlaces, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, ok := s.byName[name]
	if !ok || st.first == 0 {
		return StreamPlaces{}, false
	}
	st.used = true
	return StreamPlaces{Version: st.placed, First: st.first, Last: st.last, places: st.places}, true
}

// Known returns the number of the first event whose sequence is known, and that sequence, and of all behind it too.
// For one that is not, the log has to be searched between First and that sequence. If none is known the number
// is Version+1 and the sequence Last+1.
func (p StreamPlaces) Known() (version, sequence int64) {
	if p.places.empty() {
		return p.Version + 1, p.Last + 1
	}
	return p.places.from, p.places.sequence
}

// Ascend calls yield with the number and the sequence of each event whose sequence is known, from number from on, until
// yield returns false.
func (p StreamPlaces) Ascend(from int64, yield func(version, sequence int64) bool) {
	n, seq := p.places.from, p.places.sequence
	rest := p.places.deltas
	for ; n <= p.places.last; n++ {
		if n >= from && !yield(n, seq) {
			return
		}
		delta, k := binary.Uvarint(rest)
		seq, rest = seq+int64(delta), rest[max(k, 0):]
	}
}

// Descend is Ascend in the other direction, from the last event or number from, if that is less, down.
func (p StreamPlaces) Descend(from int64, yield func(version, sequence int64) bool) {
	n, seq := p.places.last, p.Last
	rest := p.places.deltas
	for ; n >= p.places.from; n-- {
		if n <= from && !yield(n, seq) {
			return
		}
		at := len(rest) - 1 // where the last distance begins: behind the last byte of the one before
		for at > 0 && rest[at-1]&0x80 != 0 {
			at--
		}
		if at < 0 {
			return
		}
		delta, _ := binary.Uvarint(rest[at:])
		seq, rest = seq-int64(delta), rest[:at]
	}
}
