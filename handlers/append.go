package handlers

import (
	"context"
	"fmt"

	"github.com/headrace/headrace/event"
)

// StreamBatch is an atomic batch of events from outside, on its way into one stream. Fill it with Add, then
// give it to Feedback.Append.
type StreamBatch struct {
	Version  int64 // number of the last event
	Sequence int64 // of the first event

	data   []byte
	outs   []output
	marks  []mark
	placed chan struct{}
}

// NewStreamBatch returns an empty batch.
func NewStreamBatch() *StreamBatch { return &StreamBatch{placed: make(chan struct{})} }

// Buffer is where the next event's body is appended to.
func (b *StreamBatch) Buffer() []byte { return b.data }

// Add takes data, which is Buffer and the body of the next event. The body has a stream version, of any value.
func (b *StreamBatch) Add(data []byte, typeID uint16) {
	b.outs = append(b.outs, output{off: len(b.data), len: len(data) - len(b.data), typeID: typeID})
	b.data = data
}

// Bytes is the size of all bodies.
func (b *StreamBatch) Bytes() int { return len(b.data) }

// Append numbers the events of b as the next ones of the stream and puts them into the queue, if the stream is in the version that
// is expected. It waits while events that handlers have emitted fill the queue, until ctx ends; and then,
// whatever becomes of ctx, until the events are in the ring: they have their numbers, and come before all
// that is appended later.
//
// Errors: *VersionError, ErrBatchTooLarge, the end of ctx, why the lane stopped. stopped ends the wait for the ring when the engine
// has halted.
func (f *Feedback) Append(ctx, stopped context.Context, stream string, expected int64, b *StreamBatch) error {
	if int64(len(b.data)) > f.limit/2 {
		return fmt.Errorf("%w: %d bytes, the feedback lane takes %d", ErrBatchTooLarge, len(b.data), f.limit/2)
	}
	for {
		done, err := f.tryAppend(stream, expected, b)
		if err != nil {
			return err
		}
		if done {
			break
		}
		if err := f.WaitBelow(ctx, f.soft()/2); err != nil {
			return err
		}
	}
	select {
	case <-b.placed:
		return nil
	case <-stopped.Done():
		select {
		case <-b.placed:
			return nil
		default:
			return errStopped
		}
	}
}

// tryAppend is Append without the waiting; false if there is no room. A quarter of the queue is for appends: beyond it
// lanes slow down, and a lane that finds it full fails.
func (f *Feedback) tryAppend(stream string, expected int64, b *StreamBatch) (bool, error) {
	s := f.streams
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.expect(stream, expected); err != nil {
		return false, err
	}
	if waits := f.bytes.Load(); waits > 0 && waits+int64(len(b.data)) > f.soft() {
		return false, nil
	}
	st := s.get(stream)
	b.marks = b.marks[:0]
	for i, o := range b.outs {
		b.Version = st.head + 1 + int64(i)
		event.SetStreamVersion(b.data[o.off:o.off+o.len], b.Version)
		b.marks = append(b.marks, mark{out: i, stream: st, version: b.Version})
	}
	b.marks[len(b.marks)-1].batch = b
	if err := f.emit(b.data, b.outs, b.marks); err != nil {
		return false, err
	}
	st.head = b.Version
	return true, nil
}

// expect checks the version of a stream. It needs the lock.
func (s *Streams) expect(name string, expected int64) error {
	var head int64
	if st, ok := s.byName[name]; ok {
		head = st.head
	}
	if expected == ExpectAny || expected == head || expected == ExpectExists && head > 0 {
		return nil
	}
	return &VersionError{Stream: name, Expected: expected, Actual: head}
}

// Expect returns a *VersionError if the stream is not in the version that is expected now.
func (s *Streams) Expect(name string, expected int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.expect(name, expected)
}
