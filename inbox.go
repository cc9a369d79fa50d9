package headrace

import (
	"context"
	"errors"
	"fmt"

	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/journal"
)

// SourcePosition is an event that came from a source outside; see Meta.Source.
type SourcePosition = handlers.SourcePosition

// Inbox returns the last event that the log has of a source (see Meta.Source), and false if it has none: after a
// restart the source is read on behind this offset. The event may not be written yet; who tells the source that it may
// forget waits with WaitDurable for the sequence. It may be called at any time, from any goroutine.
//
//	at, ok := eng.Inbox("kafka/orders/3")
//	from := int64(0)
//	if ok {
//		from = at.Offset + 1
//	}
func (e *Engine) Inbox(source string) (SourcePosition, bool) { return e.inbox.Position(source) }

// Inboxes returns the last event of every source, by name.
func (e *Engine) Inboxes() []SourcePosition { return e.inbox.Positions() }

// checkSource finds what is wrong with where a message says that it comes from.
func (m *Meta) checkSource() error {
	switch {
	case m.Source == "":
		return &event.FieldError{Field: "SourceOffset", Reason: "has no Source", Err: event.ErrHeader}
	case m.SourceOffset < 0:
		return &event.FieldError{Field: "SourceOffset", Reason: "is negative", Err: event.ErrHeader}
	}
	return nil
}

// sourced tells whether a message comes from a source outside.
func (m *Meta) sourced() bool { return m.Source != "" || m.SourceOffset != 0 }

// publishSourced is publishChecked, past the observer, for a message from a source outside.
func publishSourced[T any](ctx context.Context, p *Producer, bound *handlers.Bound, codec *event.Type[T], v *T, m *Meta) (seq int64, fresh bool, err error) {
	if err := m.checkSource(); err != nil {
		return 0, false, err
	}
	in := p.engine.inbox
	repeat, fresh, err := in.Begin(ctx, m.Source, m.SourceOffset, m.SourceOffset)
	if err != nil {
		return 0, false, err
	}
	if !fresh {
		seq, err := p.engine.repeated(ctx, m.Source, m.SourceOffset, repeat)
		return seq, false, err
	}
	done := false
	defer func() { // also when an encoder ends the goroutine
		if !done {
			in.Cancel(m.Source)
		}
	}()
	if seq, fresh, err = publishIdentified(ctx, p, bound, codec, v, m); err != nil || !fresh {
		return seq, fresh, err
	}
	done = true
	in.Done(m.Source, handlers.SourcePlace{Offset: m.SourceOffset, Sequence: seq})
	return seq, true, nil
}

// batchSource is the source of the messages of a batch that have one.
type batchSource struct {
	name    string
	offsets []int64 // ascending
	at      []int   // which messages have them
}

// sourceOf returns the source of a batch; its name is empty if no message has one.
func sourceOf(messages []Message) (s batchSource, err error) {
	for i := range messages {
		m := &messages[i].Meta
		if !m.sourced() {
			continue
		}
		err := m.checkSource()
		switch {
		case err != nil:
		case s.name != "" && s.name != m.Source:
			err = &event.FieldError{Field: "Source", Reason: fmt.Sprintf("is %q, and %q in the same batch", m.Source, s.name), Err: event.ErrHeader}
		case s.name != "" && s.offsets[len(s.offsets)-1] >= m.SourceOffset:
			err = &event.FieldError{Field: "SourceOffset", Reason: "does not ascend in the batch", Err: event.ErrHeader}
		}
		if err != nil {
			return s, inBatch(messages, i, err)
		}
		s.name, s.offsets, s.at = m.Source, append(s.offsets, m.SourceOffset), append(s.at, i)
	}
	return s, nil
}

// begin asks whether the batch is to be taken in. first is the sequence that its first message has had, if not.
func (s *batchSource) begin(ctx context.Context, e *Engine, try bool) (first int64, fresh bool, err error) {
	if s.name == "" {
		return 0, true, nil
	}
	wait := ctx
	if try {
		wait = alreadyOver
	}
	repeat, fresh, err := e.inbox.Begin(wait, s.name, s.offsets[0], s.offsets[len(s.offsets)-1])
	switch {
	case try && errors.Is(err, context.Canceled):
		return 0, false, ErrWouldBlock
	case errors.Is(err, handlers.ErrOffset):
		return 0, false, fmt.Errorf("%w: %w", ErrPartialRepeat, err)
	case err != nil || fresh:
		return 0, fresh, err
	}
	first, err = e.repeated(ctx, s.name, s.offsets[0], repeat)
	if first > int64(s.at[0]) {
		first -= int64(s.at[0])
	}
	return first, false, err
}

// end says what became of it: the sequence of the first message, 0 if nothing was published.
func (s *batchSource) end(e *Engine, first int64) {
	switch {
	case s.name == "":
	case first == 0:
		e.inbox.Cancel(s.name)
	default:
		places := make([]handlers.SourcePlace, len(s.at))
		for i, at := range s.at {
			places[i] = handlers.SourcePlace{Offset: s.offsets[i], Sequence: first + int64(at)}
		}
		e.inbox.Done(s.name, places...)
	}
}

// repeated returns the sequence of the first event of a source with at least this offset, 0 if the log does not hold it
// any more.
func (e *Engine) repeated(ctx context.Context, source string, offset int64, at handlers.Repeat) (int64, error) {
	if at.Sequence != 0 || e.inMemory() {
		return at.Sequence, nil
	}
	if err := e.WaitWritten(ctx, at.To); err != nil {
		return 0, err
	}
	r, first, err := e.readerFrom(at.From, journal.ReaderOptions{Until: at.To})
	if err != nil {
		return 0, e.stopped(ctx, err, "looking for what source %q has published", source)
	}
	defer r.Close()
	seq, exact := int64(0), false
	_, err = r.Read(func(rec journal.Record) error {
		if rec.Sequence%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if rec.Kind != journal.KindEvent || rec.Type < handlers.FirstUserType {
			return nil
		}
		v, err := event.Parse(rec.Body)
		if err != nil {
			return fmt.Errorf("headrace: event %d: %w", rec.Sequence, err)
		}
		if string(v.SourceBytes()) != source || v.SourceOffset() < offset {
			return nil
		}
		seq, exact = rec.Sequence, v.SourceOffset() == offset
		return journal.ErrStop
	})
	if first > at.From && !exact {
		return 0, err // an earlier one may have been given up
	}
	return seq, err
}
