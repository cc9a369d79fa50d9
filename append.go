package headrace

import (
	"context"
	"errors"
	"fmt"

	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/journal"
)

// What Append may expect of a stream, besides the number of its last event, from 1.
const (
	ExpectAny    = handlers.ExpectAny    // any version, also that the stream does not exist
	ExpectNone   = handlers.ExpectNone   // that the stream does not exist
	ExpectExists = handlers.ExpectExists // that it has events
)

// VersionError reports a stream that is not in the version which Append expects: nothing was written.
type VersionError = handlers.VersionError

// Appended is what Append has done.
type Appended struct {
	Sequence int64 // of the first event
	Version  int64 // number of the last event in the stream: what the next Append expects
	Repeated bool  // the events had been appended before, and were not again
}

// appender is the name of the producer of Engine.Append.
const appender = "append"

// Append is Producer.Append under the producer name "append".
func (e *Engine) Append(ctx context.Context, stream string, expected int64, messages ...Message) (Appended, error) {
	p, err := e.Producer(appender)
	if err != nil {
		return Appended{}, err
	}
	return p.Append(ctx, stream, expected, messages...)
}

// Append puts messages into the log as the next events of a stream, if the stream is in the version that is expected:
// the number of its last event, ExpectNone, ExpectExists or ExpectAny. They get consecutive sequences and consecutive
// numbers, and stand in the log together or not at all. The stream is the key of all of them; their Meta.Key must be
// the same or empty.
//
//	done, err := eng.Append(ctx, "order-17", headrace.ExpectNone, headrace.Message{Value: OrderPlaced{…}})
//	done, err = eng.Append(ctx, "order-17", done.Version, headrace.Message{Value: OrderPaid{…}})
//	var stale *headrace.VersionError
//	if errors.As(err, &stale) { … } // somebody was faster: read the stream again
//
// What handlers emit into the same stream, such as the events of an aggregate, is numbered in the same place: nobody gets
// a number twice, and none is left out. Event types that a lane evolves are its own, as for Publish.
//
// It returns when the events are in the ring; WaitWritten and WaitDurable tell more. ctx ends the wait for
// room, but not once the events have their numbers.
//
// With ids in Meta.ID it may be repeated: what was appended before is not appended again, whatever version is expected.
// Errors: *VersionError; *TrimmedError for a repeat of what the log has given up since; *event.FieldError for a stream without a name, a Meta.Key of another stream, a Meta.StreamVersion, a Meta.Source, and a
// command, which is no event of a stream; ErrWouldDeadlock in every handler; those of PublishBatch.
func (p *Producer) Append(ctx context.Context, stream string, expected int64, messages ...Message) (Appended, error) {
	var none Appended
	e := p.engine
	if err := checkAppend(stream, expected, messages); err != nil {
		return none, err
	}
	if limit := e.maxBatchEvents(); len(messages) > limit {
		return none, fmt.Errorf("%w: %d events, limit %d", handlers.ErrBatchTooLarge, len(messages), limit)
	}
	bounds, err := p.lookupAll(messages)
	if err != nil {
		return none, err
	}
	if handlers.OnLane(e.lanes) { // it waits for the ring, and a lane may be what the ring waits for
		return none, errEmitInstead
	}
	if err := p.admit(ctx); err != nil {
		return none, err
	}
	ids, first, err := p.beginAll(ctx, messages, bounds, false)
	if err != nil {
		return none, err
	}
	if first != 0 {
		return e.appendedBefore(ctx, stream, first, messages)
	}
	done := false
	defer func() { // also when an encoder ends the goroutine
		if !done {
			p.cancelAll(ids)
		}
	}()
	b, err := p.append(ctx, stream, expected, messages, bounds)
	if err != nil {
		return none, err
	}
	done = true
	for _, r := range ids {
		e.dedup.Done(r.id, b.Sequence+int64(r.index))
	}
	return Appended{Sequence: b.Sequence, Version: b.Version}, nil
}

func checkAppend(stream string, expected int64, messages []Message) error {
	bad := func(field, reason string) error {
		return &event.FieldError{Field: field, Reason: reason, Err: event.ErrHeader}
	}
	switch {
	case stream == "":
		return bad("Key", "is empty: it names the stream")
	case expected < ExpectExists:
		return bad("StreamVersion", fmt.Sprintf("%d cannot be expected", expected))
	case len(messages) == 0:
		return ErrEmptyBatch
	}
	for i, m := range messages {
		if m.Meta.Key != "" && m.Meta.Key != stream {
			return inBatch(messages, i, bad("Key", fmt.Sprintf("is %q, and the stream is %q", m.Meta.Key, stream)))
		}
		if m.Meta.StreamVersion != 0 {
			return inBatch(messages, i, bad("StreamVersion", "is given by Append"))
		}
		if m.Meta.sourced() {
			return inBatch(messages, i, bad("Source", "is for Publish and PublishBatch; Append is repeated by Meta.ID"))
		}
	}
	return nil
}

// append encodes the messages and puts them into the queue in which handlers' events wait: there they get their numbers.
func (p *Producer) append(ctx context.Context, stream string, expected int64, messages []Message, bounds []*handlers.Bound) (*handlers.StreamBatch, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	e := p.engine
	if err := e.streams.Expect(stream, expected); err != nil {
		return nil, err // before the work
	}
	b := handlers.NewStreamBatch()
	for i := range messages {
		body, err := p.appendBody(b.Buffer(), stream, &messages[i], bounds[i])
		if err != nil {
			return nil, inBatch(messages, i, err)
		}
		b.Add(body, bounds[i].ID)
		if limit := e.maxBatchBytes(); i > 0 && b.Bytes() > limit {
			return nil, fmt.Errorf("%w: more than %d bytes", handlers.ErrBatchTooLarge, limit)
		}
	}
	if err := e.feedback.Append(ctx, e.ctx, stream, expected, b); err != nil {
		var stale *VersionError
		if errors.As(err, &stale) || errors.Is(err, handlers.ErrBatchTooLarge) {
			return nil, err
		}
		return nil, e.stopped(ctx, err, "the append to stream %q waits for its turn: %s", stream, e.slowest())
	}
	return b, nil
}

// appendBody appends the body of one event, whose number is not known yet.
func (p *Producer) appendBody(dst []byte, stream string, m *Message, bound *handlers.Bound) ([]byte, error) {
	h := event.Header{StreamVersion: 1}
	if err := p.header(&h, &m.Meta, bound.Codec.Kind(), bound.Codec.Version()); err != nil {
		return nil, err
	}
	if h.Key = stream; h.Kind == event.Command {
		return nil, &event.FieldError{Field: "Kind", Reason: "is command: a stream holds what has happened", Err: event.ErrHeader}
	}
	start := len(dst)
	dst, err := event.AppendHeader(dst, &h)
	if err == nil {
		dst, err = bound.Codec.AppendAny(dst, m.Value)
	}
	if size, limit := len(dst)-start, p.engine.maxBody(); err == nil && size > limit {
		err = fmt.Errorf("%w: %s of %d bytes, limit %d", handlers.ErrTooLarge, bound.Codec.Name(), size, limit)
	}
	return dst, err
}

// appendedBefore answers a repeat from the log.
func (e *Engine) appendedBefore(ctx context.Context, stream string, first int64, messages []Message) (Appended, error) {
	a := Appended{Sequence: first, Repeated: true}
	n := len(messages)
	last := first + int64(n) - 1
	if err := e.WaitWritten(ctx, last); err != nil {
		return Appended{}, err
	}
	err := opener(e.journal.NewReader).reread(last, last, func(rec journal.Record) error {
		v, err := event.Parse(rec.Body)
		if err != nil {
			return fmt.Errorf("headrace: event %d: %w", rec.Sequence, err)
		}
		if v.ID() == messages[n-1].Meta.ID && (v.Key() != stream || !handlers.Numbered(rec.Type, v)) {
			return fmt.Errorf("%w: event %d was published otherwise, with key %q", handlers.ErrIDConflict, rec.Sequence, v.Key())
		}
		if v.ID() != messages[n-1].Meta.ID {
			return fmt.Errorf("%w: all were, but not in one batch", ErrPartialRepeat)
		}
		a.Version = v.StreamVersion()
		return nil
	})
	if errors.Is(err, journal.ErrOutOfRange) {
		err = &TrimmedError{Sequence: first, First: e.journal.FirstSequence()}
	}
	if err != nil {
		return Appended{}, err
	}
	return a, nil
}

// StreamVersion returns the number of the last event of a stream, 0 if it has none. It counts what is on its way
// to the log. It may be called at any time, from any goroutine.
func (e *Engine) StreamVersion(stream string) int64 { return e.streams.Version(stream) }
