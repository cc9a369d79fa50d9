package headrace

import (
	"context"

	"github.com/headrace/headrace/handlers"
)

// Publisher is all that most of an application needs to know of this package: a Producer of an engine
// with a journal or of one in memory is one, and so can be what forwards to another system.
//
// Values are of registered types, or pointers to such; the boxed value costs an allocation, which the
// generic function Publish does without. Sequences are those of the log that the publisher
// writes to.
type Publisher interface {
	// Publish publishes one event and waits while there is no room, until ctx ends.
	Publish(ctx context.Context, v any, m Meta) (sequence int64, err error)
	// TryPublish publishes one event, or returns ErrWouldBlock where Publish would wait.
	TryPublish(v any, m Meta) (sequence int64, err error)
	// PublishBatch publishes all of the messages or, after an error and after a crash, none.
	PublishBatch(ctx context.Context, messages []Message) (first int64, err error)
}

// Message is one event to publish: a value of a registered type, or a pointer to one.
type Message struct {
	Value any
	Meta  Meta
}

var _ Publisher = (*Producer)(nil)

// Publish is the function of this name for a value whose type is not known when the program is
// compiled. Errors are the same.
func (p *Producer) Publish(ctx context.Context, v any, m Meta) (int64, error) {
	one := [1]Message{{v, m}}
	return p.publishAll(ctx, one[:], false)
}

// TryPublish is Publish for a caller who would rather do something else than wait: ErrWouldBlock says
// that the ring is full, that events which handlers have emitted go first, or that an event with
// the same id is just being published. Other errors are those of Publish.
func (p *Producer) TryPublish(v any, m Meta) (int64, error) {
	one := [1]Message{{v, m}}
	return p.publishAll(context.Background(), one[:], true)
}

// PublishBatch publishes messages as one atomic batch: they get consecutive sequences, from the one that
// it returns, and a crash leaves all of them in the log or none. The batch waits for room as a whole:
// at most a quarter of the ring, and what fits one segment of the journal.
//
// A batch is repeated as a whole: if all of its events bear ids that were published before, nothing is
// published, and the sequence is that of the first. If only some do, it fails with ErrPartialRepeat.
//
// Errors: those of Publish, which name the message where one is to blame; ErrPartialRepeat;
// handlers.ErrBatchTooLarge; ErrEmptyBatch. After any of them no event of the batch is in the log,
// and none will be.
func (p *Producer) PublishBatch(ctx context.Context, messages []Message) (int64, error) {
	if len(messages) == 0 {
		return 0, ErrEmptyBatch
	}
	return p.publishAll(ctx, messages, false)
}

// lookupAll finds the types of all messages.
func (p *Producer) lookupAll(messages []Message) ([]*handlers.Bound, error) {
	bounds := make([]*handlers.Bound, len(messages))
	for i, m := range messages {
		b, err := handlers.LookupValue(p.engine.types, m.Value)
		if err == nil {
			err = b.Owned()
		}
		if err != nil {
			return nil, inBatch(messages, i, err)
		}
		bounds[i] = b
	}
	return bounds, nil
}
