package headrace

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/ring"
)

// publishAll publishes one or more messages as an atomic batch. With try it fails with ErrWouldBlock
// instead of waiting.
func (p *Producer) publishAll(ctx context.Context, messages []Message, try bool) (first int64, err error) {
	if limit := p.engine.maxBatchEvents(); len(messages) > limit {
		return 0, fmt.Errorf("%w: %d events, limit %d", handlers.ErrBatchTooLarge, len(messages), limit)
	}
	bounds, err := p.lookupAll(messages)
	if err != nil {
		return 0, err
	}
	if p.engine.options.Observer != nil {
		var end func(int64, error)
		messages, end = p.observeAll(ctx, messages, bounds)
		defer func() { end(first, err) }()
	}
	if try {
		err = p.admitNow()
	} else {
		err = p.admit(ctx)
	}
	if err != nil {
		return 0, err
	}
	source, err := sourceOf(messages)
	if err != nil {
		return 0, err
	}
	if first, fresh, err := source.begin(ctx, p.engine, try); err != nil || !fresh {
		return first, err
	}
	done := false
	var ids []repeatable
	defer func() { // also when an encoder ends the goroutine
		if !done {
			p.cancelAll(ids)
			source.end(p.engine, 0)
		}
	}()
	if ids, first, err = p.beginAll(ctx, messages, bounds, try); err != nil || first != 0 {
		return first, err
	}
	lo, err := p.claimAndFill(ctx, messages, bounds, try)
	if err != nil {
		return 0, err
	}
	done = true
	for _, r := range ids {
		p.engine.dedup.Done(r.id, lo+int64(r.index))
	}
	source.end(p.engine, lo)
	return lo, nil
}

// admitNow is admit for a caller that does not wait.
func (p *Producer) admitNow() error {
	e := p.engine
	if e.feedback.Bytes() > e.options.FeedbackBytes/feedbackShare || e.crowd.Full() || e.overflow.Bytes() >= e.options.OverflowBytes {
		if err := e.refusing(); err != nil {
			return err
		}
		return ErrWouldBlock
	}
	return nil
}

// refusing is why the engine takes no events any more, nil while it does.
func (e *Engine) refusing() error {
	switch {
	case e.Err() != nil:
		return e.haltError()
	case e.closing.Load():
		return ErrClosed
	}
	return nil
}

// repeatable is a message with a publisher's id.
type repeatable struct {
	id    event.ID
	index int
}

// beginAll reserves the ids of all messages. It returns the sequence of the first message if all of them
// are repeats.
func (p *Producer) beginAll(ctx context.Context, messages []Message, bounds []*handlers.Bound, try bool) (begun []repeatable, first int64, err error) {
	for i, m := range messages {
		if !m.Meta.ID.IsZero() {
			begun = append(begun, repeatable{m.Meta.ID, i})
		}
	}
	if len(begun) == 0 {
		return nil, 0, nil
	}
	// In one order everywhere, so that two batches with the same ids do not wait for each other.
	slices.SortFunc(begun, func(a, b repeatable) int { return a.id.Compare(b.id) })
	for i := 1; i < len(begun); i++ {
		if begun[i].id == begun[i-1].id {
			return nil, 0, fmt.Errorf("%w: id %s comes twice in the batch", handlers.ErrIDConflict, begun[i].id)
		}
	}
	fresh := begun[:0:0]
	repeats := 0
	for _, r := range begun {
		seq, isFresh, err := p.begin1(ctx, r.id, bounds[r.index].ID, try)
		if err != nil {
			p.cancelAll(fresh)
			return nil, 0, inBatch(messages, r.index, err)
		}
		if isFresh {
			fresh = append(fresh, r)
			continue
		}
		repeats++
		if r.index == 0 {
			first = seq
		}
	}
	switch repeats {
	case 0:
		return fresh, 0, nil
	case len(messages):
		return nil, first, nil
	}
	p.cancelAll(fresh)
	return nil, 0, fmt.Errorf("%w: %d of %d", ErrPartialRepeat, repeats, len(messages))
}

func (p *Producer) begin1(ctx context.Context, id event.ID, typeID uint16, try bool) (int64, bool, error) {
	if try {
		ctx = alreadyOver
	}
	seq, fresh, err := p.engine.dedup.Begin(ctx, id, typeID)
	if try && errors.Is(err, context.Canceled) {
		err = ErrWouldBlock
	}
	return seq, fresh, err
}

// alreadyOver makes a wait end before it begins.
var alreadyOver = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

func (p *Producer) cancelAll(ids []repeatable) {
	for _, r := range ids {
		p.engine.dedup.Cancel(r.id)
	}
}

// claimAndFill claims a slot for each message, encodes them there and publishes, and returns the first
// sequence. What is claimed becomes voids if anything fails.
func (p *Producer) claimAndFill(ctx context.Context, messages []Message, bounds []*handlers.Bound, try bool) (int64, error) {
	if err := p.enter(); err != nil {
		return 0, err
	}
	defer p.leave()
	e, n := p.engine, len(messages)
	var hi int64
	var err error
	if try {
		hi, err = e.ring.TryClaim(n)
	} else {
		hi, err = e.ring.ClaimContext(ctx, n)
	}
	if errors.Is(err, ring.ErrFull) {
		return 0, ErrWouldBlock
	}
	if err != nil {
		return 0, e.unclaimed(ctx, err)
	}
	lo := hi - int64(n) + 1
	published := false
	defer func() { // what is claimed must be published, also when an encoder ends the goroutine
		if !published {
			for seq := lo; seq <= hi; seq++ {
				e.ring.Slot(seq).Void()
			}
			e.ring.Publish(lo, hi)
		}
	}()
	total := 0
	for i := range messages {
		size, err := p.encode(lo+int64(i), &messages[i], bounds[i])
		if err == nil {
			if total += size; n > 1 && total > e.maxBatchBytes() {
				err = fmt.Errorf("%w: more than %d bytes", handlers.ErrBatchTooLarge, e.maxBatchBytes())
			}
		}
		if err != nil {
			return 0, inBatch(messages, i, err)
		}
	}
	if n > 1 {
		e.ring.Slot(lo).Batch = uint32(n)
	}
	e.ring.Publish(lo, hi)
	published = true
	return lo, nil
}

// encode fills the slot at seq and returns the size of its body.
func (p *Producer) encode(seq int64, m *Message, bound *handlers.Bound) (int, error) {
	s := p.engine.ring.Slot(seq)
	body, err := p.begin(s, bound, &m.Meta, bound.Codec.Kind(), bound.Codec.Version())
	if err == nil {
		body, err = bound.Codec.AppendAny(body, m.Value)
	}
	if err != nil {
		return 0, err
	}
	return len(body), p.fill(s, seq, bound, body)
}

// inBatch says which message an error is about, if there are several.
func inBatch(messages []Message, i int, err error) error {
	if len(messages) == 1 {
		return err
	}
	return fmt.Errorf("headrace: message %d of %d: %w", i, len(messages), err)
}
