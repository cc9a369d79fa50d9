package headrace

import (
	"errors"
	"fmt"

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
	types        []typeAssigned                        // those of the application, in the order of the log
	handlers     map[string]int64                      // handler id: answers causes after this sequence
	effectTypes  map[string]string                     // effect: name of the type that it is for
	names        handlerNames                          // what became of the ids of handlers
	missing      []string                              // handlers that are neither there nor retired
	schema       map[string]typeDescribed              // by name of a type: its last description
	watermarks   map[uint64]int64                      // event.HandlerID: no answer to a cause up to here is missing in the log
	outcomes     map[uint64]map[int64]handlers.Outcome // of failures, by handler and the cause that they answer
	dedup        *handlers.Dedup                       // nil: not wanted
	streams      *handlers.Streams                     // numbers of the events in their streams
	inbox        *handlers.Inbox                       // offsets of sources outside
	begun        bool                                  // a record was seen
	begin        int64                                 // first sequence of the log when it was new
	voids        int64                                 // sequences that carry nothing, lost ones aside
	acceptLost   bool                                  // lost records count as voids
	acceptSchema bool                                  // types need not fit
	lost         int64                                 // how many there are
	firstLost    int64
	last         int64        // highest sequence
	lastTime     int64        // time of its record
	events       int64        // records that carry an event
	now          func() int64 // the engine's clock
	from         *opening     // the snapshot that it goes on from; nil: the beginning
}

func newHistory(dedup *handlers.Dedup, streams *handlers.Streams) (*history, error) {
	c, err := newCatalog()
	if err != nil {
		return nil, err
	}
	return &history{
		catalog: c, handlers: map[string]int64{}, effectTypes: map[string]string{}, names: newHandlerNames(), schema: map[string]typeDescribed{},
		watermarks: map[uint64]int64{}, outcomes: map[uint64]map[int64]handlers.Outcome{},
		dedup: dedup, streams: streams, inbox: handlers.NewInbox(),
	}, nil
}

// learn takes one record in.
func (h *history) learn(rec journal.Record) error {
	if advances := rec.Kind == journal.KindEvent || rec.Kind == journal.KindVoid || rec.Kind == journal.KindLost; advances && !h.begun {
		h.begun = true
		if h.from != nil {
			if err := h.from.check(rec); err != nil {
				return err
			}
			h.last, h.lastTime = rec.Sequence, rec.Time
			return nil // the snapshot knows it
		}
		if rec.Type != typeAssignedID && rec.Type != handlerAddedID || rec.Kind == journal.KindLost {
			return errHeadless(rec.Sequence)
		}
		h.begin = rec.Sequence
	}
	h.last, h.lastTime = rec.Sequence, rec.Time
	switch rec.Kind {
	case journal.KindEvent:
		h.events++
		if rec.Type >= handlers.FirstUserType && int(rec.Type)-handlers.FirstUserType >= len(h.types) && h.lost == 0 {
			return fmt.Errorf("%w: nothing says what the type of event %d is", errHeadless(h.begin), rec.Sequence)
		}
	case journal.KindVoid:
		h.voids++
		return nil
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
		if int(t.ID)-handlers.FirstUserType != len(h.types) && h.lost == 0 {
			return fmt.Errorf("%w: event %d gives type %q the id %d, which is not the next", errHeadless(h.begin), rec.Sequence, t.Name, t.ID)
		}
		h.types = append(h.types, t)
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
		if err := h.outcome(rec, o.Handler, o.Cause, v); err != nil {
			return err
		}
	}
	if handlers.Numbered(rec.Type, v) {
		if err := h.streams.Learn(v, rec.Sequence, h.lost > 0); err != nil {
			return fmt.Errorf("%w: event %d does not follow in its stream: %w", ErrLog, rec.Sequence, err)
		}
	}
	if s := v.SourceBytes(); s != nil {
		h.inbox.Learn(s, v.SourceOffset(), rec.Sequence)
	}
	if h.dedup != nil && v.Idempotent() {
		h.dedup.Learn(v.ID(), rec.Sequence, rec.Type)
	}
	return nil
}

// outcome takes in the outcome that an answer may be.
func (h *history) outcome(rec journal.Record, handler uint64, cause int64, v event.View) error {
	outcome, failed, err := handlers.ReadOutcome(rec.Type, v)
	if err != nil {
		return fmt.Errorf("%w: event %d: %w", ErrLog, rec.Sequence, err)
	}
	if failed {
		if h.outcomes[handler] == nil {
			h.outcomes[handler] = map[int64]handlers.Outcome{}
		}
		h.outcomes[handler][cause] = outcome
	}
	return nil
}

// errHeadless says that a log does not begin where an engine's does. first is where it begins.
func errHeadless(first int64) error {
	return fmt.Errorf("%w: it begins with event %d, and nothing says what its types are: the beginning was removed, or no engine wrote it",
		ErrLog, first)
}

// scan reads the log through r. pass, if there is one, has learn take in what its reading delivers.
func (h *history) scan(r *journal.Reader, pass func(h *history, read reading) error) error {
	read := func(fn func(journal.Record) error) error {
		_, err := r.Read(fn)
		return err
	}
	var err error
	if pass == nil {
		err = read(h.learn)
	} else {
		err = pass(h, read)
	}
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
			h.types = append(h.types, typeAssigned{ID: id, Name: c.Name()})
			err = add(typeAssignedID, h.types[len(h.types)-1])
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
	if h.begin == 0 {
		h.begin = j.FirstSequence()
	}
	return nil
}

// replay runs every lane over the log, each with a reader and a goroutine of its own, until nothing is
// left to read: what the lanes owe is appended behind the log, and read by all of them too.
func (e *Engine) replay(h *history) error {
	h.lastTime = max(h.lastTime, e.now())
	owed := handlers.NewOwed(e.journal.(*journal.Journal), h.lastTime, e.streams)
	lanes := e.topology.usedLanes()
	readers := make([]*journal.Reader, len(lanes))
	defer func() {
		for _, r := range readers {
			if r != nil {
				r.Close()
			}
		}
	}()
	for i, p := range lanes {
		r, err := e.journal.NewReader(h.replaysFrom(p.lane), journal.ReaderOptions{})
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
			if _, err = readers[i].Read(e.whole(p.lane.Replay)); err == nil {
				err = p.lane.Replayed()
			}
			if err == nil {
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

// whole is replay, but that it fails on a lost record that nobody has accepted: a lane that reads the log from its
// beginning, where the others begin with a snapshot, may meet what the first pass has not seen.
func (e *Engine) whole(replay func(journal.Record) error) func(journal.Record) error {
	return func(rec journal.Record) error {
		if rec.Kind == journal.KindLost && !e.options.AcceptLost {
			return fmt.Errorf("%w: the first is %d", ErrLostEvents, rec.Sequence)
		}
		return replay(rec)
	}
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
