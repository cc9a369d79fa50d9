package headrace

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/journal"
)

// StreamOptions says what ReadStream returns; the zero value is the default.
type StreamOptions struct {
	// Backward is from the last event to the first.
	Backward bool

	// UntilSequence leaves out what stands behind this sequence in the log. Default 0: nothing.
	UntilSequence int64

	// UntilTime leaves out what was journaled after this time. Default: nothing.
	UntilTime time.Time
}

// ReadStream goes through the events of a stream: those with the key stream that have a number (see Append), whoever
// wrote them. from is the number of the first one, 0 for the beginning, or, backward, for the end. Each event comes once,
// in the order of the numbers, which are in Delivery.Event.StreamVersion. It ends with the last event that the
// stream had when the loop began: one that the caller has appended is there. A stream without events is an empty loop.
//
//	for d, err := range eng.ReadStream(ctx, "order-17", 0, headrace.StreamOptions{}) {
//		if err != nil {
//			return err
//		}
//		if e, ok, err := handlers.Decode[OrderPaid](d); ok { … }
//	}
//
// The events are copies. It reads the log where the engine's index says that they are; where the
// index has forgotten that (Options.StreamIndexBytes) it searches the log between the first event and those it knows.
// It may be called from any goroutine, but inside a handler it is ErrWouldDeadlock if the end of the stream is not yet
// written.
//
// From the beginning is from the first event that the log still has. Errors, each the last that the loop gets: the end of
// ctx; journal.ErrOutOfRange if the log does not reach back to the event from; ErrHalted and ErrClosed; *journal.CorruptionError.
func (e *Engine) ReadStream(ctx context.Context, stream string, from int64, o StreamOptions) iter.Seq2[handlers.Delivery, error] {
	return func(yield func(handlers.Delivery, error) bool) {
		if err := e.readStream(ctx, stream, from, o, yield); err != nil && !errors.Is(err, errEnough) {
			yield(handlers.Delivery{}, err)
		}
	}
}

// errEnough ends a loop that its body has left.
var errEnough = errors.New("headrace: enough")

// streamChunk is how many events are copied out of the log at a time.
const streamChunk = 128

func (e *Engine) readStream(ctx context.Context, stream string, from int64, o StreamOptions, yield func(handlers.Delivery, error) bool) error {
	if from < 0 || o.UntilSequence < 0 {
		return fmt.Errorf("headrace: ReadStream from %d, UntilSequence %d: want at least 0", from, o.UntilSequence)
	}
	at, ok := e.streams.Places(stream)
	if !ok {
		return ctx.Err()
	}
	if err := e.WaitWritten(ctx, at.Last); err != nil {
		return err
	}
	r, err := e.journal.NewReader(0, journal.ReaderOptions{Until: at.Last})
	if err != nil {
		return e.stopped(ctx, err, "reading stream %q", stream)
	}
	s := streamReader{engine: e, ctx: ctx, reader: r, stream: stream, until: at.Last, yield: yield}
	defer r.Close()
	if o.UntilSequence > 0 {
		s.until = min(s.until, o.UntilSequence)
	}
	if !o.UntilTime.IsZero() {
		s.timed, s.untilTime = true, o.UntilTime.UnixNano()
	}
	if o.Backward {
		if from == 0 {
			from = at.Version
		}
		return s.backward(at, from)
	}
	return s.forward(at, from)
}

// streamReader is one pass over a stream.
type streamReader struct {
	engine    *Engine
	ctx       context.Context
	reader    *journal.Reader
	stream    string
	until     int64 // last sequence
	timed     bool
	untilTime int64
	yield     func(handlers.Delivery, error) bool
	over      bool // what comes is too late
}

func (s *streamReader) forward(at handlers.StreamPlaces, from int64) error {
	known, _ := at.Known()
	if from < known {
		if err := s.search(at, from, known, s.deliver); err != nil {
			return err
		}
	}
	var some []int64
	var err error
	oldest := s.engine.journal.FirstSequence()
	at.Ascend(max(from, known), func(n, seq int64) bool {
		switch {
		case seq > s.until || s.over:
			return false
		case seq < oldest && from > 0:
			err = fmt.Errorf("%w: stream %q from %d: the log begins with event %d", journal.ErrOutOfRange, s.stream, n, oldest)
			return false
		case seq < oldest:
			return true
		}
		if some = append(some, seq); len(some) == streamChunk {
			err = s.deliver(some)
			some = some[:0]
		}
		return err == nil
	})
	if err == nil && len(some) > 0 {
		err = s.deliver(some)
	}
	return err
}

func (s *streamReader) backward(at handlers.StreamPlaces, from int64) error {
	known, _ := at.Known()
	var some []int64
	var err error
	oldest := s.engine.journal.FirstSequence()
	at.Descend(from, func(_, seq int64) bool {
		if seq > s.until {
			return true
		}
		if seq < oldest {
			return false
		}
		if some = append(some, seq); len(some) == streamChunk {
			err = s.deliverBackward(some)
			some = some[:0]
		}
		return err == nil
	})
	if err == nil && len(some) > 0 {
		err = s.deliverBackward(some)
	}
	if err != nil || known <= 1 {
		return err
	}
	var before []int64
	err = s.search(at, 0, from, func(seqs []int64) error {
		before = append(before, seqs...)
		return nil
	})
	slices.Reverse(before)
	for some := range slices.Chunk(before, streamChunk) {
		if err == nil {
			err = s.deliverBackward(some)
		}
	}
	return err
}

// search finds the events [from, to] whose sequences the index has forgotten, and gives their sequences to fn, some at
// a time.
func (s *streamReader) search(at handlers.StreamPlaces, from, to int64, fn func([]int64) error) error {
	known, end := at.Known()
	oldest := s.engine.journal.FirstSequence()
	if at.First < oldest && from > 0 {
		return fmt.Errorf("%w: stream %q from %d: the log begins with event %d", journal.ErrOutOfRange, s.stream, from, oldest)
	}
	r, err := s.engine.journal.NewReader(max(at.First, oldest), journal.ReaderOptions{Until: end - 1})
	if err != nil {
		return s.engine.stopped(s.ctx, err, "reading stream %q", s.stream)
	}
	defer r.Close()
	var some []int64
	for n := 1; n > 0; {
		some = some[:0]
		if n, err = r.Read(func(rec journal.Record) error {
			if rec.Sequence%1024 == 0 && s.ctx.Err() != nil {
				return s.ctx.Err()
			}
			if rec.Kind != journal.KindEvent || rec.Sequence > s.until {
				return nil
			}
			v, err := event.Parse(rec.Body)
			if err != nil {
				return fmt.Errorf("headrace: event %d: %w", rec.Sequence, err)
			}
			version := v.StreamVersion()
			if version == 0 || version < from || version > to || version >= known || string(v.KeyBytes()) != s.stream || !handlers.Numbered(rec.Type, v) {
				return nil
			}
			if some = append(some, rec.Sequence); len(some) == streamChunk {
				return journal.ErrStop
			}
			return nil
		}); err != nil {
			return err
		}
		if len(some) > 0 {
			if err := fn(some); err != nil || s.over {
				return err
			}
		}
	}
	return nil
}

// deliver yields the events with these sequences, which ascend.
func (s *streamReader) deliver(seqs []int64) error {
	all, err := s.fetch(seqs)
	for _, d := range all {
		if s.timed && d.Time.UnixNano() > s.untilTime {
			s.over = true
			return nil
		}
		if !s.yield(d, nil) {
			return errEnough
		}
	}
	return err
}

// deliverBackward yields the events with these sequences, which descend.
func (s *streamReader) deliverBackward(seqs []int64) error {
	seqs = slices.Clone(seqs)
	slices.Reverse(seqs)
	all, err := s.fetch(seqs)
	if err != nil {
		return err
	}
	for _, d := range slices.Backward(all) {
		if s.timed && d.Time.UnixNano() > s.untilTime {
			continue
		}
		if !s.yield(d, nil) {
			return errEnough
		}
	}
	return nil
}

// nearEvents is how many events are passed over rather than looked up.
const nearEvents = 512

// fetch copies the events with these sequences out of the log.
func (s *streamReader) fetch(seqs []int64) ([]handlers.Delivery, error) {
	all := make([]handlers.Delivery, 0, len(seqs))
	for i := 0; i < len(seqs); {
		if err := s.ctx.Err(); err != nil {
			return all, err
		}
		if at := s.reader.Sequence() + 1; seqs[i] < at || seqs[i] > at+nearEvents {
			if err := s.reader.SeekTo(seqs[i]); err != nil {
				return all, err
			}
		}
		n, err := s.reader.Read(func(rec journal.Record) error {
			if rec.Sequence < seqs[i] {
				return nil
			}
			if rec.Kind == journal.KindEvent && rec.Sequence == seqs[i] {
				rec.Body = bytes.Clone(rec.Body)
				d, err := handlers.NewDelivery(s.engine.types, rec)
				if err != nil {
					return err
				}
				all = append(all, d)
			}
			for i < len(seqs) && seqs[i] <= rec.Sequence {
				i++
			}
			if i == len(seqs) || seqs[i] > rec.Sequence+nearEvents {
				return journal.ErrStop
			}
			return nil
		})
		if err != nil {
			return all, err
		}
		if n == 0 {
			return all, fmt.Errorf("%w: event %d of stream %q is not in the log", ErrLog, seqs[i], s.stream)
		}
	}
	return all, nil
}
