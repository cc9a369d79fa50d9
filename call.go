package headrace

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/journal"
)

// Reply is what a Call returns.
type Reply[R any] struct {
	Value    R
	Command  int64 // sequence of the command
	Sequence int64 // sequence of the answer: wait for it at a projection to see what the command did
}

// Call publishes a command and waits for the event of type R with which its handler answers it: the first
// that it emits for this command. The answer is written when Call returns; WaitDurable with its
// sequence makes sure of more.
//
//	reply, err := headrace.Call[Withdrawn](ctx, web, Withdraw{100}, headrace.Meta{Key: "account-17"})
//
// With m.ID it may be repeated, after a timeout or a crash: a command that is in the log already
// is not published again, and its answer is looked up there. If its handler has failed, that is the answer until
// a retry or a redrive succeeds. The search goes once through what stands behind the command in the log when
// the call is made, and ends early with the answer or with ctx.
//
// A command of a type that no handler and no effect is for is not published: ErrNoHandler. A handler that emits
// neither an R nor a rejection leaves the caller waiting until ctx ends. The
// command may then still be handled: only the answer was given up.
//
// Errors: ErrNoHandler; *RejectedError; *TrimmedError if the command is a repeat whose answer was given up; *FailedError if the handler fails and does not halt the engine; those of Publish, ErrWouldDeadlock in every handler included; the error of ctx;
// ErrHalted and ErrClosed if the engine stopped before the answer; ErrCalling if another Call waits for the
// same id; event.ErrUnregistered if R is not registered; *event.DecodeError.
func Call[R, C any](ctx context.Context, p *Producer, cmd C, m Meta) (Reply[R], error) {
	var reply Reply[R]
	e := p.engine
	bound, codec, err := handlers.Lookup[R](e.types)
	if err != nil {
		return reply, err
	}
	if handlers.OnLane(e.lanes) {
		return reply, errEmitInstead
	}
	id := m.ID
	if id.IsZero() && m.sourced() {
		return reply, &event.FieldError{Field: "ID", Reason: "is missing: by it a command from a source is known when it is repeated", Err: event.ErrHeader}
	}
	if id.IsZero() {
		id = event.NewID()
		m.call = id
	}
	answered, err := answers[C](e)
	if err != nil {
		return reply, err
	}
	if !answered && !e.dedup.Known(id) { // its answer may be in the log, of a handler that there was
		return reply, noHandler[C]()
	}
	ofR := append([]uint16{bound.ID}, e.types.Old(bound.ID)...)
	isR := func(typeID uint16) bool { return slices.Contains(ofR, typeID) }
	wanted := func(typeID uint16) bool { return isR(typeID) || handlers.EndsCall(typeID) }
	wait, ok := e.replies.Expect(id, wanted)
	if !ok {
		return reply, fmt.Errorf("%w: %s", ErrCalling, id)
	}
	defer e.replies.Forget(wait)
	seq, fresh, err := publishOnce(ctx, p, cmd, m)
	if err != nil {
		return reply, err
	}
	reply.Command = seq
	var a handlers.Answer
	found := false
	if !fresh && e.inMemory() {
		return reply, fmt.Errorf("%w: command %d was published before, and its answer is nowhere", ErrNoLog, seq)
	}
	if !fresh {
		a, found, err = e.findAnswer(ctx, seq, id, append(ofR, handlers.EndsOfCalls()...))
	}
	if err == nil && !found && !answered {
		err = noHandler[C]()
	}
	if err == nil && !found {
		if a, err = e.awaitAnswer(ctx, wait); err != nil && err == ctx.Err() {
			err = fmt.Errorf("headrace: command %d has neither a %s nor a rejection in answer yet: %w", seq, codec.Name(), err)
		}
	}
	if err != nil {
		return reply, err
	}
	reply.Sequence = a.Sequence
	if !isR(a.Type) {
		return reply, refusal(seq, a)
	}
	return reply, codec.DecodeView(a.Event, &reply.Value)
}

// answers tells whether some handler or effect may answer events of type C.
func answers[C any](e *Engine) (bool, error) {
	bound, _, err := handlers.Lookup[C](e.types)
	if err != nil {
		return false, err
	}
	return e.answer(bound.ID), nil
}

// unanswered returns the names of the command types that nobody here may answer.
func (e *Engine) unanswered() (names []string) {
	for _, c := range e.topology.registry.Types() {
		id, known := e.types.ID(c.Name())
		if c.Kind() == event.Command && known && !e.answer(id) {
			names = append(names, c.Name())
		}
	}
	return names
}

func (e *Engine) answer(typeID uint16) bool {
	return slices.ContainsFunc(e.lanes, func(l *handlers.Lane) bool { return l.Answers(typeID) })
}

func noHandler[C any]() error {
	return fmt.Errorf("%w: %v", ErrNoHandler, reflect.TypeFor[C]())
}

func (e *Engine) awaitAnswer(ctx context.Context, wait *handlers.Reply) (handlers.Answer, error) {
	var err error
	select {
	case a := <-wait.Answer():
		return a, nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-e.ctx.Done():
		if err = e.haltedOrNil(); err == nil {
			err = ErrClosed
		}
	}
	select {
	case a := <-wait.Answer(): // it came at the same moment
		return a, nil
	default:
		return handlers.Answer{}, err
	}
}

// findAnswer looks for the answer to a command that was published before: a rejection or the event that is
// one of the types, else the last outcome of a handler that failed. It looks at what is written now, and so does
// not run after those who go on writing: what comes later comes through Replies, which is asked already.
func (e *Engine) findAnswer(ctx context.Context, command int64, id event.ID, types []uint16) (handlers.Answer, bool, error) {
	var none, a handlers.Answer
	end := e.journal.Written()
	if end <= command {
		return none, false, nil
	}
	r, first, err := e.readerFrom(command+1, journal.ReaderOptions{Types: types, Until: end})
	if err != nil {
		return none, false, err
	}
	defer r.Close()
	_, err = r.Read(func(rec journal.Record) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if rec.Kind != journal.KindEvent {
			return nil
		}
		v, err := event.Parse(rec.Body)
		if err != nil {
			return fmt.Errorf("headrace: event %d: %w", rec.Sequence, err)
		}
		if _, caused := v.Origin(); !caused || v.CausationID() != id {
			return nil
		}
		v, err = event.Parse(append([]byte(nil), rec.Body...))
		if err != nil {
			return err
		}
		a = handlers.Answer{Sequence: rec.Sequence, Type: rec.Type, Event: v}
		if _, failed, err := handlers.ReadOutcome(rec.Type, v); failed || err != nil {
			return err // it may have been tried again since
		}
		return errAnswered
	})
	if err != nil && !errors.Is(err, errAnswered) {
		return none, false, err
	}
	if a.Sequence == 0 && first > command+1 {
		return none, false, &TrimmedError{Sequence: command, First: first}
	}
	return a, a.Sequence != 0, nil
}

// readerFrom returns a reader from seq on, or from where the log begins now.
func (e *Engine) readerFrom(seq int64, o journal.ReaderOptions) (r *journal.Reader, first int64, err error) {
	for {
		first = max(seq, e.journal.FirstSequence())
		if r, err = e.journal.NewReader(first, o); !errors.Is(err, journal.ErrOutOfRange) {
			return r, first, err
		}
		if e.journal.FirstSequence() <= first {
			return r, first, err
		}
	}
}

// errAnswered ends the search.
var errAnswered = errors.New("headrace: answered")

// refusal turns an answer that is no R into an error.
func refusal(command int64, a handlers.Answer) error {
	if o, failed, err := handlers.ReadOutcome(a.Type, a.Event); failed {
		return errors.Join(&FailedError{Command: command, Sequence: a.Sequence, Outcome: o.Failed}, err)
	}
	r, err := handlers.DecodeRejected(a)
	if err != nil {
		return err
	}
	return &RejectedError{Command: command, Sequence: a.Sequence, Code: r.Code, Reason: r.Reason}
}
