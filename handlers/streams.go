package handlers

import (
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/headrace/headrace/event"
)

// NextVersion in EmitOptions.StreamVersion is the number that follows the last one of the stream, whoever
// has written that.
const NextVersion int64 = -1

// What an append expects of its stream, besides a version from 1.
const (
	ExpectAny    int64 = -1 // any version, also that the stream does not exist
	ExpectExists int64 = -2 // any version but 0
	ExpectNone   int64 = 0  // that the stream does not exist
)

// VersionError reports a stream that is not in the version which a writer expects. Nothing was written.
type VersionError struct {
	Stream   string
	Expected int64 // a version, ExpectNone or ExpectExists
	Actual   int64 // number of the last event in the stream, 0 if there is none
}

func (e *VersionError) Error() string {
	switch e.Expected {
	case ExpectNone:
		return fmt.Sprintf("headrace: stream %q exists: it is in version %d", e.Stream, e.Actual)
	case ExpectExists:
		return fmt.Sprintf("headrace: stream %q does not exist", e.Stream)
	}
	return fmt.Sprintf("headrace: stream %q is in version %d, expected %d", e.Stream, e.Actual, e.Expected)
}

// Streams gives every event of a stream its number, and knows where in the log the events are. A stream is the
// events with one key that carry a number: from 1, without a gap, in the order of the log. Handlers
// and appends from outside get their numbers here and nowhere else, under one lock that they hold until
// the events stand in the queue for the log; so the order of the numbers is the order of the log.
//
// It is made from the log when an engine opens. A stream takes about 180 bytes and twice its name; the place of
// an event one byte more where the next one of the stream is less than 128 events away, and two up to
// 16,384. The places have a limit: beyond it those of streams which nobody has used for long are
// forgotten, and found again by reading the log.
type Streams struct {
	mu     sync.Mutex
	byName map[string]*stream
	limit  int64 // bytes of places; below 0: none are kept
	bytes  int64
	all    []*stream
	hand   int // of the clock that goes through all and forgets places
}

// stream is what is known of one. Its numbers up to placed have a sequence; those behind it, up to head, are in the
// queue for the log.
type stream struct {
	name   string
	head   int64 // the last number that was given out
	placed int64
	first  int64 // sequence of the first event that was placed; 0 = none
	last   int64 // sequence of the event placed
	used   bool  // since the hand came by
	places places
}

// NewStreams returns a table without streams that keeps at most limitBytes of places, and none if
// limitBytes is negative.
func NewStreams(limitBytes int64) *Streams {
	return &Streams{byName: map[string]*stream{}, limit: limitBytes}
}

// Version returns the number of the last event of a stream, 0 if there is none. It counts what is on its way to
// the log.
func (s *Streams) Version(name string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st, ok := s.byName[name]; ok {
		return st.head
	}
	return 0
}

// Len is how many streams there are.
func (s *Streams) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.byName)
}

// PlaceBytes is how much memory the places of events take.
func (s *Streams) PlaceBytes() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes
}

// Numbered tells whether an event of the log stands in a stream. A command may carry a number too, but that is what it
// expects; so may an event of the engine's own.
func Numbered(typeID uint16, v event.View) bool {
	return typeID >= FirstUserType && v.Kind() != event.Command && v.StreamVersion() != 0 && len(v.KeyBytes()) > 0
}

// Learn takes in an event of the log, in the order of the log. Its number must follow the last one of its stream: else
// it is a *VersionError, unless gaps are allowed because some of the log is lost.
func (s *Streams) Learn(v event.View, seq int64, gaps bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, ok := s.byName[string(v.KeyBytes())]
	if !ok {
		st = s.add(v.Key())
	}
	n := v.StreamVersion()
	if n != st.head+1 && (n <= st.head || !gaps) {
		return &VersionError{Stream: st.name, Expected: n - 1, Actual: st.head}
	}
	st.head = n
	s.place(st, n, seq)
	return nil
}

func (s *Streams) get(name string) *stream {
	if st, ok := s.byName[name]; ok {
		return st
	}
	return s.add(name)
}

func (s *Streams) add(name string) *stream {
	st := &stream{name: name, places: places{from: 1}}
	s.byName[name] = st
	s.all = append(s.all, st)
	return st
}

// mark is the number of one output, in the batch that it belongs to.
type mark struct {
	out     int // its index
	name    string
	version int64 // that is wanted, then the one that it got
	stream  *stream
	batch   *StreamBatch // on the last one of an append: who waits for it
}

// number gives the outputs of a handler their numbers and writes them into the bodies. Either all get one, or none.
// It needs the lock, until the outputs are in the queue.
func (s *Streams) number(data []byte, outs []output, marks []mark) error {
	for i := range marks {
		m := &marks[i]
		m.stream = s.get(m.name)
		next := m.stream.head + 1
		if m.version != NextVersion && m.version != next {
			s.takeBack(marks[:i])
			return &VersionError{Stream: m.name, Expected: m.version - 1, Actual: m.stream.head}
		}
		m.stream.head, m.version = next, next
		o := outs[m.out]
		event.SetStreamVersion(data[o.off:o.off+o.len], next)
	}
	return nil
}

// takeBack gives numbers up that number has given, and nobody has seen. It needs the lock, held since.
func (s *Streams) takeBack(marks []mark) {
	for _, m := range marks {
		m.stream.head--
	}
}

// placeAll notes the sequences of numbered outputs, of which the one with index base has got lo. It needs the lock.
func (s *Streams) placeAll(marks []mark, base int, lo int64) {
	for _, m := range marks {
		s.place(m.stream, m.version, lo+int64(m.out-base))
	}
}

// place notes where an event is. It needs the lock.
func (s *Streams) place(st *stream, version, seq int64) {
	if st.first == 0 {
		st.first = seq
	}
	s.bytes -= st.places.size()
	switch {
	case s.limit < 0:
		st.places = places{from: version + 1}
	case version != st.placed+1 || st.places.empty():
		st.places = places{from: version, sequence: seq, last: version}
	default:
		st.places.deltas = binary.AppendUvarint(st.places.deltas, uint64(seq-st.last))
		st.places.last = version
	}
	s.bytes += st.places.size()
	st.placed, st.last, st.used = version, seq, true
	for s.limit >= 0 && s.bytes > s.limit {
		s.forget()
	}
}

// forget lets the places of one stream go that was not used while the hand went around. All of them, so it ends.
func (s *Streams) forget() {
	for {
		s.hand = (s.hand + 1) % len(s.all)
		st := s.all[s.hand]
		if st.used {
			st.used = false
			continue
		}
		if size := st.places.size(); size > 0 {
			s.bytes -= size
			st.places = places{from: st.placed + 1}
			return
		}
	}
}
