package headrace

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/internal/cpu"
	"github.com/headrace/headrace/internal/failpoint"
	"github.com/headrace/headrace/journal"
	"github.com/headrace/headrace/ring"
)

// Meta is what an event may have besides its payload; the zero value is the default.
type Meta struct {
	// ID makes publishing idempotent: within the engine's window, an id that was published before is
	// not published again. Default a new id.
	ID event.ID

	Key           string      // what the event is about, such as an order number
	CorrelationID event.ID    // of the conversation; default none, and answers take the event's own id
	CausationID   event.ID    // of the event that led to this one
	Kind          event.Kind  // default the type's
	Time          time.Time   // when it happened, in the years 1678 to 2261; default now
	Trace         event.Trace // of the span that publishes it

	// StreamVersion of a command to an aggregate is one more than the version of the entity of Key that the caller has
	// looked at, 1 for an entity that must not exist. The command is rejected if the entity is in another. Default
	// 0: any. It is for commands alone: other events get a number with Producer.Append.
	StreamVersion int64

	// Source is where the message comes from that is published, such as a partition of a queue outside, and SourceOffset
	// its place there, from 0. Both stand in the event. The offsets of a source ascend, with gaps or without: what is at or
	// below the last one in the log (Engine.Inbox) is a repeat, whatever it holds, and is not published again; the sequence
	// is then that of the source's first event with at least this offset, 0 if the log does not hold that any more (in
	// memory: if it is not among the last 256). So a consumer that is told everything at least once, and after a crash
	// goes on behind Engine.Inbox, has everything in the log once. Messages of a source whose order is not kept need an
	// ID instead: one that comes late would be taken for a repeat. One message of a source is published at a time; others
	// wait. The name has up to 255 bytes; engines keep some bytes of each source for ever. Default: none.
	Source       string
	SourceOffset int64

	call event.ID // the id of a Call that brought none: no deduplication for it
}

// Producer publishes events under one name. Events published one after the other stand in the log in
// that order. It may be used from several goroutines; what they publish at the same time has no
// order among itself.
type Producer struct {
	engine *Engine
	name   string

	_      cpu.Pad
	inside atomic.Int64  // calls between enter and leave
	left   chan struct{} // capacity 1: the last one left while the engine was closing
	_      cpu.Pad
}

// Producer returns the producer with this name, the same one at each call. The name, 1 to 255
// bytes, stands in every event that it publishes.
func (e *Engine) Producer(name string) (*Producer, error) {
	if name == "" || len(name) > 255 || !utf8.ValidString(name) {
		return nil, fmt.Errorf("%w: %q", ErrProducerName, name)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	p, ok := e.producers[name]
	if !ok {
		p = newProducer(e, name)
		e.producers[name] = p
	}
	return p, nil
}

func newProducer(e *Engine, name string) *Producer {
	return &Producer{engine: e, name: name, left: make(chan struct{}, 1)}
}

// fenceProducers waits until no Publish is under way that began before closing was set.
func (e *Engine) fenceProducers(ctx context.Context) error {
	e.mu.Lock()
	all := append(make([]*Producer, 0, len(e.producers)+1), e.ticker)
	for _, p := range e.producers {
		all = append(all, p)
	}
	e.mu.Unlock()
	for _, p := range all {
		if err := p.fence(ctx); err != nil {
			return err
		}
	}
	return nil
}

// enter and leave stand around a claim and its publish. The closer sets closing and then reads inside, a
// producer adds to inside and then reads closing: one of them sees the other, so that after
// fence nothing more comes.
func (p *Producer) enter() error {
	p.inside.Add(1)
	if p.engine.closing.Load() {
		p.leave()
		return ErrClosed
	}
	return nil
}

func (p *Producer) leave() {
	if p.inside.Add(-1) == 0 && p.engine.closing.Load() {
		select {
		case p.left <- struct{}{}:
		default:
		}
	}
}

// fence waits until nobody is inside. closing is set.
func (p *Producer) fence(ctx context.Context) error {
	for p.inside.Load() > 0 {
		select {
		case <-p.left:
		case <-ctx.Done():
			return fmt.Errorf("headrace: producer %q is still publishing: %w", p.name, ctx.Err())
		}
	}
	return nil
}

// Publish puts v into the log and returns its sequence. It returns when the event is in the ring:
// use WaitWritten or WaitDurable with the sequence to know that it is safe. It waits while the
// ring is full.
//
// If m.ID was published before, and the engine remembers it, nothing is published and the sequence is that
// of the first time.
//
// Errors: ErrClosed, ErrHalted with the cause, the error of ctx, ErrWouldDeadlock from inside
// a handler (with the handler's Context always, with another as soon as it would wait),
// event.ErrUnregistered, handlers.ErrTooLarge, *event.EncodeError, *event.FieldError,
// handlers.ErrIDConflict, handlers.ErrOwned. After any of them the event of this call is not in the log, and will not be.
//
// It does not allocate if the event fits a slot and its type has its own encoder.
func Publish[T any](ctx context.Context, p *Producer, v T, m Meta) (int64, error) {
	seq, _, err := publishOnce(ctx, p, v, m)
	return seq, err
}

// publishOnce is Publish; fresh is false for a repeat.
func publishOnce[T any](ctx context.Context, p *Producer, v T, m Meta) (seq int64, fresh bool, err error) {
	bound, codec, err := handlers.Lookup[T](p.engine.types)
	if err != nil {
		return 0, false, err
	}
	if err := bound.Owned(); err != nil {
		return 0, false, err
	}
	return publishChecked(ctx, p, bound, codec, &v, &m)
}

// publishSystem publishes one of the engine's own events.
func publishSystem[T any](ctx context.Context, p *Producer, v T, m Meta) (int64, error) {
	bound, codec, err := handlers.Lookup[T](p.engine.types)
	if err != nil {
		return 0, err
	}
	seq, _, err := publishChecked(ctx, p, bound, codec, &v, &m)
	return seq, err
}

func publishChecked[T any](ctx context.Context, p *Producer, bound *handlers.Bound, codec *event.Type[T], v *T, m *Meta) (seq int64, fresh bool, err error) {
	if p.engine.options.Observer != nil && !bound.System() {
		var end func(int64, error)
		if m.Trace, end = p.observe(ctx, bound, m.Key, m.Trace); end != nil {
			defer func() { end(seq, err) }()
		}
	}
	if err := p.admit(ctx); err != nil {
		return 0, false, err
	}
	if m.sourced() {
		return publishSourced(ctx, p, bound, codec, v, m)
	}
	return publishIdentified(ctx, p, bound, codec, v, m)
}

// publishIdentified publishes an event unless its id was published before.
func publishIdentified[T any](ctx context.Context, p *Producer, bound *handlers.Bound, codec *event.Type[T], v *T, m *Meta) (seq int64, fresh bool, err error) {
	if m.ID.IsZero() {
		seq, err := publish(ctx, p, bound, codec, v, m)
		return seq, true, err
	}
	seq, fresh, err = p.engine.dedup.Begin(ctx, m.ID, bound.ID)
	if err != nil || !fresh {
		return seq, false, err
	}
	done := false
	defer func() { // also when an encoder ends the goroutine
		if !done {
			p.engine.dedup.Cancel(m.ID)
		}
	}()
	if seq, err = publish(ctx, p, bound, codec, v, m); err != nil {
		return 0, false, err
	}
	done = true
	p.engine.dedup.Done(m.ID, seq)
	return seq, true, nil
}

func publish[T any](ctx context.Context, p *Producer, bound *handlers.Bound, codec *event.Type[T], v *T, m *Meta) (int64, error) {
	if err := p.enter(); err != nil {
		return 0, err
	}
	defer p.leave()
	seq, err := p.claim(ctx)
	if err != nil {
		return 0, err
	}
	failpoint.Hit(failpoint.AfterClaim)
	s := p.engine.ring.Slot(seq)
	published := false
	defer func() { // what is claimed must be published, also when an encoder ends the goroutine
		if !published {
			s.Void()
			p.engine.ring.Publish(seq, seq)
		}
	}()
	body, err := p.begin(s, bound, m, codec.Kind(), codec.Version())
	if err == nil {
		body, err = codec.AppendPayload(body, v)
	}
	if err == nil {
		err = p.fill(s, seq, bound, body)
	}
	if err != nil {
		return 0, err
	}
	p.engine.ring.Publish(seq, seq)
	published = true
	return seq, nil
}

// feedbackShare is the part of the feedback lane at which producers outside wait. It is small because what
// waits there multiplies: a handler that makes eight of one needs eight times the room of what
// is let in.
const feedbackShare = 64

// admit waits for its turn: events that events cause go first, and memory is bounded.
func (p *Producer) admit(ctx context.Context) error {
	e := p.engine
	if handlers.InLane(ctx) {
		return errEmitInstead
	}
	if soft := e.options.FeedbackBytes / feedbackShare; e.feedback.Bytes() > soft {
		if handlers.OnLane(e.lanes) {
			return errEmitInstead
		}
		if err := e.feedback.WaitBelow(ctx, soft); err != nil {
			return e.stopped(ctx, err, "%d bytes that handlers have emitted go first, and %s", e.feedback.Bytes(), e.slowest())
		}
	}
	if e.crowd.Full() && p != e.ticker && !handlers.InEffect(ctx) && !e.insideEffect(ctx) { // what the engine itself publishes lets causes go on
		if handlers.OnLane(e.lanes) {
			return errEmitInstead
		}
		if err := e.crowd.Wait(ctx); err != nil {
			return e.stopped(ctx, err, "%s", e.busyEffects())
		}
	}
	if e.overflow.Bytes() >= e.options.OverflowBytes {
		if err := e.overflow.Wait(ctx, e.passedBy); err != nil {
			return e.stopped(ctx, err, "large events on their way have %d bytes, and %s", e.overflow.Bytes(), e.slowest())
		}
	}
	return nil
}

// stopped says why a wait ended: the caller's context, and then what was waited for, or the engine.
func (e *Engine) stopped(ctx context.Context, err error, format string, what ...any) error {
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("headrace: "+format+": %w", append(what, ctx.Err())...)
	case e.Err() != nil:
		return e.haltError()
	case e.closing.Load():
		return ErrClosed
	}
	return e.translate(err)
}

// slowest says which consumer of the ring is furthest behind, for people.
func (e *Engine) slowest() string {
	low := e.consumers[0]
	for _, c := range e.consumers {
		if c.Cursor() < low.Cursor() {
			low = c
		}
	}
	return e.at(low, e.ring.Cursor())
}

// at says how far a consumer is, which is waited for, for people.
func (e *Engine) at(c *ring.Consumer, seq int64) string {
	return fmt.Sprintf("lane %q is at %d of %d", c.Name(), c.Cursor(), seq)
}

// busyEffects names the effects with something to do, for people.
func (e *Engine) busyEffects() string {
	var who []string
	for _, x := range e.effects {
		if s := x.Stats(); s.Running+s.Waiting > 0 {
			who = append(who, calls(s))
		}
	}
	return strings.Join(who, ", ")
}

// passedBy waits until every consumer has passed seq.
func (e *Engine) passedBy(ctx context.Context, seq int64) error {
	for _, c := range e.consumers {
		if err := c.WaitFor(ctx, seq); err != nil {
			return err
		}
	}
	return nil
}

// claim takes the next slot.
func (p *Producer) claim(ctx context.Context) (int64, error) {
	seq, err := p.engine.ring.ClaimContext(ctx, 1)
	if err != nil {
		return 0, p.engine.unclaimed(ctx, err)
	}
	return seq, nil
}

// calls says what an effect is at, for people.
func calls(s handlers.EffectStats) string {
	return fmt.Sprintf("effect %q has %d calls running and %d waiting", s.Name, s.Running, s.Waiting)
}

// unclaimed says why there was no slot.
func (e *Engine) unclaimed(ctx context.Context, err error) error {
	switch err = e.translate(err); {
	case errors.Is(err, ErrWouldDeadlock):
		return errEmitInstead
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return e.stopped(ctx, err, "no room in the ring: %s", e.slowest())
	}
	return err
}

// begin writes the envelope into the slot's room, or into a larger buffer where events of this type
// have needed one.
func (p *Producer) begin(s *handlers.Slot, bound *handlers.Bound, m *Meta, kind event.Kind, version uint16) ([]byte, error) {
	h := event.Header{StreamVersion: m.StreamVersion}
	if err := p.header(&h, m, kind, version); err != nil {
		return nil, err
	}
	if h.StreamVersion != 0 && h.Kind != event.Command && bound.ID >= handlers.FirstUserType {
		return nil, &event.FieldError{Field: "StreamVersion", Reason: "is what a command expects, and this is a " + h.Kind.String() + "; Append gives numbers", Err: event.ErrHeader}
	}
	room := s.Room()
	if expected := bound.Expect(); expected > cap(room) {
		room = p.engine.overflow.Buffer(expected)
	}
	return event.AppendHeader(room, &h)
}

// header is what the envelope of an event says, but for its number.
func (p *Producer) header(h *event.Header, m *Meta, kind event.Kind, version uint16) error {
	h.Kind, h.Version, h.ID, h.Idempotent = m.Kind, version, m.ID, !m.ID.IsZero()
	h.CorrelationID, h.CausationID, h.Trace, h.Producer, h.Key = m.CorrelationID, m.CausationID, m.Trace, p.name, m.Key
	h.Source, h.SourceOffset = m.Source, m.SourceOffset
	if h.Kind == 0 {
		h.Kind = kind
	}
	now := p.engine.now()
	if h.Time = now; !m.Time.IsZero() {
		if h.Time = m.Time.UnixNano(); !time.Unix(0, h.Time).Equal(m.Time) {
			return &event.FieldError{Field: "Time", Reason: "outside the years 1678 to 2261", Err: event.ErrHeader}
		}
	}
	if h.ID.IsZero() {
		if h.ID = m.call; h.ID.IsZero() {
			h.ID = event.NewIDAt(now)
		}
	}
	return nil
}

// fill makes body the slot's event.
func (p *Producer) fill(s *handlers.Slot, seq int64, bound *handlers.Bound, body []byte) error {
	e := p.engine
	bound.Grow(len(body))
	if limit := e.maxBody(); len(body) > limit {
		return fmt.Errorf("%w: %s of %d bytes, limit %d", handlers.ErrTooLarge, bound.Codec.Name(), len(body), limit)
	}
	s.Type, s.Kind, s.Batch, s.Time = bound.ID, journal.KindEvent, 0, 0
	e.overflow.Put(s, seq, body)
	return nil
}
