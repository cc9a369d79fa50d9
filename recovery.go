package headrace

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/journal"
	"github.com/headrace/headrace/ring"
)

// history is what one pass over the log's headers finds out, before any handler sees an event.
//
// It is needed first because a handler's answers stand behind their causes: only at the end of the log is
// it known which of them it holds.
type history struct {
	catalog      *event.Catalog
	handlers     map[string]int64                      // handler id: answers causes after this sequence
	effectTypes  map[string]string                     // effect: name of the type that it is for
	names        handlerNames                          // what became of the ids of handlers
	missing      []string                              // handlers that are neither there nor retired
	schema       map[string]typeDescribed              // by name of a type: its last description
	watermarks   map[uint64]int64                      // event.HandlerID: no answer to a cause up to here is missing in the log
	outcomes     map[uint64]map[int64]handlers.Outcome // of failures, by handler and the cause that they answer
	dedup        *handlers.Dedup                       // nil: not wanted
	begun        bool                                  // a record was seen
	acceptLost   bool                                  // lost records count as voids
	acceptSchema bool                                  // types need not fit
	lost         int64                                 // how many there are
	firstLost    int64
	last         int64        // highest sequence
	lastTime     int64        // time of its record
	events       int64        // records that carry an event
	now          func() int64 // the engine's clock
}

func newHistory(dedup *handlers.Dedup) (*history, error) {
	c, err := newCatalog()
	if err != nil {
		return nil, err
	}
	return &history{catalog: c, handlers: map[string]int64{}, effectTypes: map[string]string{}, names: newHandlerNames(), schema: map[string]typeDescribed{}, watermarks: map[uint64]int64{}, outcomes: map[uint64]map[int64]handlers.Outcome{}, dedup: dedup}, nil
}

// learn takes one record in.
func (h *history) learn(rec journal.Record) error {
	if !h.begun {
		h.begun = true
		if rec.Type >= handlers.FirstUserType || rec.Kind == journal.KindVoid || rec.Kind == journal.KindLost {
			return fmt.Errorf("%w: it begins with event %d, and nothing says what its types are: the beginning was removed, or no engine wrote it",
				ErrLog, rec.Sequence)
		}
	}
	h.last, h.lastTime = rec.Sequence, rec.Time
	switch rec.Kind {
	case journal.KindEvent:
		h.events++
	case journal.KindCheckpoint:
	case journal.KindLost:
		if h.lost++; h.firstLost == 0 {
			h.firstLost = rec.Sequence
		}
		return nil
	default:
		return nil
	}
	v, err := event.Parse(rec.Body)
	if err != nil {
		return fmt.Errorf("headrace: event %d: %w", rec.Sequence, err)
	}
	switch rec.Type {
	case typeAssignedID:
		var t typeAssigned
		if err := decodeSystem(rec.Sequence, v, &t); err != nil {
			return err
		}
		return h.catalog.Learn(t.ID, t.Name)
	case handlerAddedID:
		var a handlerAdded
		if err := decodeSystem(rec.Sequence, v, &a); err != nil {
			return err
		}
		h.handlers[a.Handler] = a.From
		if a.Effect != "" {
			h.effectTypes[a.Handler] = a.Effect
		}
		return nil
	case handlerRenamedID, handlerRetiredID, typeDescribedID:
		return h.evolve(rec, v)
	case progressID:
		var p progress
		if err := decodeSystem(rec.Sequence, v, &p); err != nil {
			return err
		}
		for _, id := range p.Handlers {
			h.watermarks[id] = max(h.watermarks[id], p.Sequence)
		}
		return nil
	}
	if o, ok := v.Origin(); ok {
		h.watermarks[o.Handler] = max(h.watermarks[o.Handler], o.Cause)
		outcome, failed, err := handlers.ReadOutcome(rec.Type, v)
		if err != nil {
			return fmt.Errorf("%w: event %d: %w", ErrLog, rec.Sequence, err)
		}
		if failed {
			if h.outcomes[o.Handler] == nil {
				h.outcomes[o.Handler] = map[int64]handlers.Outcome{}
			}
			h.outcomes[o.Handler][o.Cause] = outcome
		}
	}
	if h.dedup != nil && v.Idempotent() {
		h.dedup.Learn(v.ID(), rec.Sequence, rec.Type)
	}
	return nil
}

// scan reads the whole log through r.
func (h *history) scan(r *journal.Reader) error {
	_, err := r.Read(h.learn)
	if err == nil && h.lost > 0 && !h.acceptLost {
		err = fmt.Errorf("%w: %d of them, the first is %d; what they were is in the journal's directory aside; AcceptLost goes on without them",
			ErrLostEvents, h.lost, h.firstLost)
	}
	return err
}

// marks returns the watermark of each handler, by id.
func (h *history) marks(t *Topology) map[string]int64 {
	marks := map[string]int64{}
	for _, p := range t.reacting() {
		for _, id := range p.lane.HandlerIDs() {
			marks[id] = h.handlers[id]
			if p.effect == nil { // its answers do not stand in the order of their causes
				marks[id] = max(marks[id], h.watermarks[h.names.hash(id)])
			}
		}
	}
	return marks
}

// introduce appends a system event for every type and handler that the log does not know yet.
func (h *history) introduce(j *journal.Journal, t *Topology) error {
	now := max(h.now(), h.lastTime)
	var entries []journal.Entry
	add := func(id uint16, v any) error {
		body, err := systemBody(v, now)
		entries = append(entries, journal.Entry{Type: id, Time: now, Body: body})
		return err
	}
	for _, c := range t.registry.Types() {
		id, isNew, err := h.catalog.Assign(c.Name())
		if err == nil && isNew {
			err = add(typeAssignedID, typeAssigned{ID: id, Name: c.Name()})
		}
		if err != nil {
			return err
		}
	}
	descriptions, err := h.describe(t.registry, h.acceptSchema)
	if err != nil {
		return err
	}
	changes, err := h.settleNames(t)
	if err == nil {
		err = h.checkEffects(t)
	}
	if err != nil {
		return err
	}
	for _, c := range changes {
		id := handlerRetiredID
		if _, renamed := c.(handlerRenamed); renamed {
			id = handlerRenamedID
		}
		if err := add(id, c); err != nil {
			return err
		}
	}
	end := h.last
	for _, p := range t.reacting() {
		for _, id := range p.lane.HandlerIDs() {
			if id == handlers.TimersHandler {
				continue // part of every log, from its start
			}
			if _, known := h.handlers[id]; known {
				continue
			}
			from := end
			if t.fromStart[id] {
				from = 0
			}
			h.handlers[id] = from
			added := handlerAdded{Handler: id, From: from}
			if p.effect != nil {
				if codec, ok := t.registry.ByGoType(p.effect.CauseType()); ok {
					added.Effect = codec.Name()
				}
			}
			if err := add(handlerAddedID, added); err != nil {
				return err
			}
		}
	}
	for _, e := range entries {
		seq, err := j.Append(e)
		if err != nil {
			return err
		}
		h.last, h.lastTime = seq, now
	}
	for _, d := range descriptions {
		e, err := describedEntry(d, now, j.MaxBodyBytes())
		if err != nil {
			return err
		}
		if _, err := j.Append(e); err != nil {
			return err
		}
	}
	h.events += int64(len(entries))
	return nil
}

// replay runs every lane over the log, each with a reader and a goroutine of its own, until nothing is
// left to read: what the lanes owe is appended behind the log, and read by all of them too.
func (e *Engine) replay(h *history) error {
	h.lastTime = max(h.lastTime, e.now())
	owed := handlers.NewOwed(e.journal, h.lastTime)
	lanes := e.topology.lanes
	readers := make([]*journal.Reader, len(lanes))
	defer func() {
		for _, r := range readers {
			if r != nil {
				r.Close()
			}
		}
	}()
	for i, p := range lanes {
		r, err := e.journal.NewReader(0, journal.ReaderOptions{})
		if err != nil {
			return err
		}
		readers[i] = r
		p.lane.Rereading(opener(e.journal.NewReader).reread)
		p.lane.EmitTo(owed)
	}
	for {
		end := e.journal.Written()
		if err := e.replayRound(lanes, readers); err != nil {
			return err
		}
		if e.journal.Written() == end {
			return nil
		}
	}
}

// opener opens a reader of the log from a sequence on.
type opener func(from int64, o journal.ReaderOptions) (*journal.Reader, error)

// reread reads the records [from, to] once more.
func (open opener) reread(from, to int64, fn func(journal.Record) error) error {
	if to < from {
		return nil
	}
	r, err := open(from, journal.ReaderOptions{Until: to})
	if err != nil {
		return err
	}
	_, err = r.Read(fn)
	return errors.Join(err, r.Close())
}

// replayRound lets every lane handle what is in the log now, and then decide what it owes up to there.
func (e *Engine) replayRound(lanes []placed, readers []*journal.Reader) error {
	errs := make(chan error, len(lanes))
	for i, p := range lanes {
		go func() {
			// What stands if a handler ends the goroutine, as t.FailNow does in a test.
			err := fmt.Errorf("headrace: replay of lane %q: %w", p.lane.Name(), ring.ErrGoexit)
			defer func() {
				if cause := p.lane.Interrupted(); cause != nil {
					err = fmt.Errorf("headrace: replay: %w", cause)
				}
				errs <- err
			}()
			if _, err = readers[i].Read(p.lane.Replay); err == nil {
				err = e.settle(p.lane, readers[i].Sequence())
			}
		}()
	}
	var faults []error
	for range lanes {
		faults = append(faults, <-errs)
	}
	return errors.Join(faults...)
}

// settle lets a lane's Decide handlers answer what they owe, up to and with end.
func (e *Engine) settle(l *handlers.Lane, end int64) error {
	after, ok := l.Owes(end)
	if !ok {
		return nil
	}
	err := opener(e.journal.NewReader).reread(max(after+1, e.journal.FirstSequence()), end, l.Settle)
	if err == nil {
		l.Settled(end)
	}
	return err
}

// ReplayOptions configures Replay; the zero value is the default.
type ReplayOptions struct {
	// Until is the last sequence to replay; 0 = to the end of what is written.
	Until int64
	// AcceptLost goes on where a repair of the journal left lost records, as if they were voids.
	AcceptLost bool
	// AcceptSchema goes on where a type does not fit the log: see SchemaError.
	AcceptSchema bool
}

// Replayed is what Replay found.
type Replayed struct {
	LastSequence    int64 // the last one replayed
	DurableSequence int64 // as the journal promises it
	Events          int64 // events among those replayed; the rest are voids
}

// Replay rebuilds the state of a topology from the journal in dir alone. It reads only, also beside an
// engine that writes to dir, and emits nothing. The state is in the topology's handlers
// afterwards, as it was live when the last replayed event had been handled.
func Replay(dir string, t *Topology, o ReplayOptions) (Replayed, error) {
	var none Replayed
	if o.Until < 0 {
		return none, fmt.Errorf("headrace: ReplayOptions.Until = %d: want 0 or a sequence", o.Until)
	}
	if err := t.use(0); err != nil {
		return none, err
	}
	h, err := newHistory(nil)
	if err != nil {
		return none, err
	}
	h.acceptLost = o.AcceptLost
	r, err := journal.OpenReader(dir, 0, journal.ReaderOptions{Until: o.Until, Internal: true})
	if err != nil {
		return none, err
	}
	err = h.scan(r)
	durable, derr := r.Durable()
	if err := errors.Join(err, derr, r.Close()); err != nil {
		return none, err
	}
	for _, c := range t.registry.Types() { // types that the log does not know yet: no event has them
		if _, _, err := h.catalog.Assign(c.Name()); err != nil {
			return none, err
		}
	}
	if _, err := h.settleNames(t); err != nil {
		return none, err
	}
	if _, err := h.describe(t.registry, o.AcceptSchema); err != nil {
		return none, err
	}
	result := Replayed{LastSequence: h.last, DurableSequence: durable, Events: h.events}
	marks := map[string]int64{}
	for _, p := range t.lanes {
		for _, id := range p.lane.HandlerIDs() {
			marks[id] = math.MaxInt64
			if from, known := h.handlers[id]; known && p.effect != nil {
				marks[id] = from
			}
		}
	}
	err = t.bind(handlers.Binding{Context: context.Background(), Types: handlers.NewTypes(t.registry, h.catalog), Watermarks: marks, Outcomes: h.outcomes, Formerly: h.names.former})
	if err != nil {
		return none, err
	}
	if h.last == 0 {
		return result, nil
	}
	again := opener(func(from int64, o journal.ReaderOptions) (*journal.Reader, error) {
		return journal.OpenReader(dir, from, o)
	})
	for _, p := range t.lanes {
		p.lane.Rereading(again.reread)
	}
	// One pass for all lanes: a reader may have to judge the whole directory before it begins.
	r, err = journal.OpenReader(dir, 0, journal.ReaderOptions{Until: h.last})
	if err != nil {
		return none, err
	}
	_, err = r.Read(func(rec journal.Record) error {
		for _, p := range t.lanes {
			if err := p.lane.Replay(rec); err != nil {
				return err
			}
		}
		return nil
	})
	return result, errors.Join(err, r.Close())
}
