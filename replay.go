package headrace

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/journal"
)

// ReplayOptions configures Replay; the zero value is the default.
type ReplayOptions struct {
	// Until is the last sequence to replay; 0 = to the end of what is written.
	Until int64
	// UntilTime is the last time to replay: that of the journal's records, Context.Time of handlers. Default: no end.
	UntilTime time.Time
	// AcceptLost goes on where a repair of the journal left lost records, as if they were voids.
	AcceptLost bool
	// AcceptSchema goes on where a type does not fit the log: see SchemaError.
	AcceptSchema bool
	// FromStart replays the whole log. By default Replay begins with the newest snapshot that is not behind its
	// end and fits the topology, if there is one.
	FromStart bool

	only int64 // the snapshot to begin with, and no other; 0 = any
	span int   // records that lanes get at a time; 0 = replaySpanRecords
	// handle has all lanes handle what read delivers, when the first pass is over; nil = side by side, some beside the pass.
	handle func(t *Topology, read reading) error
	before func(sequence int64) error // comes before each record that lanes get
}

// Replayed is what Replay found.
type Replayed struct {
	LastSequence    int64 // the last one replayed
	DurableSequence int64 // as the journal promises it
	Events          int64 // events up to LastSequence; the rest are voids
	Snapshot        int64 // sequence of the snapshot that it began with, 0 for none
	// PassedOver says why newer snapshots, up to the end of the replay, were not used.
	PassedOver []error
}

// Replay rebuilds the state of a topology from the journal in dir, and the snapshots beside it. It reads only, also
// beside an engine that writes to dir, and emits nothing. The state is in the topology's handlers
// afterwards, as it was live when the last replayed event had been handled: what handlers had decided by then counts
// for the states that Evolve changes, wherever in the log it stands, and so do failures for what is parked.
//
// Lanes run side by side, each on a goroutine of its own, as they do live; none is left when Replay returns. If handlers
// fail, the error is that of the lowest sequence, and of the first lane there; other lanes may be ahead of it. A handler
// that ends its goroutine is a failure too, with ring.ErrGoexit as its cause. As live, lanes read the same bytes of an
// event at the same time: decoders and handlers must not write into them. A lane may be some ten thousand events ahead of
// another, and waits when it is further: Replay hangs if a handler waits for what another lane has yet to do.
//
// What is wrong with the log itself is the error before any handler's, though read models may by then have handled what
// comes before it: after an error their state is to be thrown away.
//
// Errors: ErrNoSnapshot if the log's beginning was removed and no snapshot makes up for it; those of Open.
func Replay(dir string, t *Topology, o ReplayOptions) (Replayed, error) {
	var none Replayed
	if o.Until < 0 {
		return none, fmt.Errorf("headrace: ReplayOptions.Until = %d: want 0 or a sequence", o.Until)
	}
	if !o.UntilTime.IsZero() && !time.Unix(0, o.UntilTime.UnixNano()).Equal(o.UntilTime) {
		return none, fmt.Errorf("headrace: ReplayOptions.UntilTime = %v: want a time in the years 1678 to 2261", o.UntilTime)
	}
	if err := t.use(0); err != nil {
		return none, err
	}
	r := &replayer{dir: dir, topology: t, options: o, lanes: newLaneReplay(t.lanes, o)}
	r.open = func(from int64, o journal.ReaderOptions) (*journal.Reader, error) {
		return journal.OpenReader(dir, from, o)
	}
	if err := r.scan(); err != nil {
		return none, err
	}
	return r.result, r.replay()
}

// replayer is one Replay under way.
type replayer struct {
	dir      string
	topology *Topology
	options  ReplayOptions
	open     opener
	history  *history
	lanes    *laneReplay
	beside   *besidePass // nil: there is none
	result   Replayed

	// The records behind the last one to replay that answer events up to it; 0 = none.
	aheadFrom, aheadTo int64
}

func (r *replayer) bounds() journal.ReaderOptions {
	o := journal.ReaderOptions{Until: r.options.Until, Internal: true}
	if !r.options.UntilTime.IsZero() {
		o.UntilTime = r.options.UntilTime.UnixNano()
	}
	return o
}

// scan finds out where to begin and to end, and reads the headers in between.
func (r *replayer) scan() error {
	probe, err := r.open(0, journal.ReaderOptions{})
	if err != nil {
		return err
	}
	first := probe.Sequence() + 1
	durable, err := probe.Durable()
	if err := errors.Join(err, probe.Close()); err != nil {
		return err
	}
	r.result.DurableSequence = durable
	bounds := r.bounds()
	s := &seeker{
		dir: r.dir, topology: r.topology, open: r.open, first: first, options: bounds, acceptLost: r.options.AcceptLost,
		fromStart: r.options.FromStart, only: r.options.only,
	}
	if reads := r.topology.besides(); reads != nil && r.options.handle == nil {
		s.beside = func(h *history, read reading) error {
			r.beside = &besidePass{topology: r.topology, lanes: r.lanes, reads: reads}
			return r.beside.pass(h, read)
		}
	}
	if r.history, err = s.seek(); err != nil {
		return err
	}
	h := r.history
	if err := assignTypes(h.catalog, r.topology.registry); err != nil {
		return err
	}
	if _, err := h.settleNames(r.topology); err != nil {
		return err
	}
	if _, err := h.describe(r.topology.registry, r.options.AcceptSchema); err != nil {
		return err
	}
	r.result.LastSequence, r.result.Events, r.result.PassedOver = h.last, h.events, s.misfits
	if h.from != nil {
		r.result.Snapshot = h.from.Sequence
	}
	if h.last > 0 && (bounds.Until > 0 || bounds.UntilTime != 0) {
		return r.lookAhead()
	}
	return nil
}

// lookAhead finds what stands behind the last record to replay and answers events up to it. A handler's answers stand
// in the order of their causes: so it is enough to read until each one that matters has answered a later event.
func (r *replayer) lookAhead() error {
	h, waiting := r.history, map[uint64]bool{}
	for _, p := range r.topology.lanes {
		if p.lane.Foresees() {
			for _, id := range p.lane.HandlerIDs() {
				if id != handlers.TimersHandler {
					waiting[h.names.hash(id)] = true
				}
			}
		}
	}
	if len(waiting) == 0 {
		return nil
	}
	rd, err := r.open(h.last+1, journal.ReaderOptions{})
	if err != nil {
		return err
	}
	defer rd.Close()
	_, err = rd.Read(func(rec journal.Record) error {
		if rec.Kind != journal.KindEvent {
			return nil
		}
		v, err := event.Parse(rec.Body)
		if err != nil {
			return fmt.Errorf("headrace: event %d: %w", rec.Sequence, err)
		}
		o, ok := v.Origin()
		if !ok {
			return nil
		}
		if o.Cause > h.last {
			if delete(waiting, o.Handler); len(waiting) == 0 {
				return journal.ErrStop
			}
			return nil
		}
		if r.aheadTo = rec.Sequence; r.aheadFrom == 0 {
			r.aheadFrom = rec.Sequence
		}
		return h.outcome(rec, o.Handler, o.Cause, v)
	})
	return err
}

// replay makes the state.
func (r *replayer) replay() error {
	h, t := r.history, r.topology
	marks := map[string]int64{}
	for _, p := range t.lanes {
		for _, id := range p.lane.HandlerIDs() {
			marks[id] = math.MaxInt64
			if from, known := h.handlers[id]; known && p.effect != nil {
				marks[id] = from
			}
		}
	}
	var bound []placed
	if r.beside != nil {
		bound = r.beside.bound
	}
	err := t.bind(handlers.Binding{Context: context.Background(), Types: handlers.NewTypes(t.registry, h.catalog), Watermarks: marks, Outcomes: h.outcomes, Formerly: h.names.former}, bound)
	if err == nil {
		err = h.load(t)
	}
	if err != nil || h.last == 0 {
		return err
	}
	for _, p := range t.lanes {
		p.lane.Rereading(r.open.reread)
	}
	err = r.handle()
	for _, p := range t.lanes {
		if err == nil {
			err = p.lane.Replayed()
		}
	}
	if err != nil || r.aheadFrom == 0 {
		return err
	}
	return r.open.reread(r.aheadFrom, r.aheadTo, func(rec journal.Record) error {
		if rec.Kind != journal.KindEvent {
			return nil
		}
		for _, p := range t.lanes {
			if err := p.lane.ReplayAhead(rec.Type, rec.Body); err != nil {
				return fmt.Errorf("headrace: event %d: %w", rec.Sequence, err)
			}
		}
		return nil
	})
}

// handle has the lanes handle the log, as far as they have not done so beside the first pass.
func (r *replayer) handle() error {
	h, t := r.history, r.topology
	gets := slices.Repeat([]bool{true}, len(t.lanes))
	if r.beside != nil {
		gets = r.beside.rest(h.last)
	}
	from := int64(math.MaxInt64)
	for i, p := range t.lanes {
		switch after := r.lanes.after[i]; {
		case !gets[i]:
		case after > 0:
			from = min(from, after+1)
		default:
			from = min(from, h.replaysFrom(p.lane))
		}
	}
	read := func(fn func(journal.Record) error) error {
		return r.open.reread(from, h.last, func(rec journal.Record) error {
			if rec.Kind == journal.KindLost && !r.options.AcceptLost {
				return fmt.Errorf("%w: the first is %d", ErrLostEvents, rec.Sequence)
			}
			return fn(rec)
		})
	}
	if r.options.handle != nil {
		return r.options.handle(t, read)
	}
	return r.lanes.run(gets, read)
}
