package headrace

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/journal"
	"github.com/headrace/headrace/ring"
)

// ErrNoLog reports a call, or a part of a topology, that needs the log, on an engine in memory.
var ErrNoLog = errors.New("headrace: an engine in memory has no log")

// OpenMemory opens an engine without a journal: the ring, and the lanes and projections of t behind it. It is for
// tests, and for programs whose events need not outlive them. Publish, batches, Call, timers, Emit,
// aggregates, sagas and read models are as with Open. Sequences start at 1 with the first event; when the
// engine closes, all is gone.
//
// Nothing is written, so WaitWritten and WaitDurable return when the event has its time, and promise nothing, as
// in durability mode None; a lane that stands behind Durable stands behind Written. Ids are deduplicated
// within the window.
//
// What needs the log is refused with ErrNoLog: by OpenMemory effects, and a failure policy (handlers.Lane.OnFailure),
// because retries and dead letters are read back from the log; later Follow, and a Call with the id of a
// command that was published before, whose answer only a log could tell.
//
// Of o.Journal only MaxBodyBytes counts, by default 16 MiB; all else there must be zero.
func OpenMemory(t *Topology, o Options) (*Engine, error) {
	var faults []error
	stray := o.Journal
	stray.MaxBodyBytes = 0
	if !reflect.ValueOf(stray).IsZero() {
		faults = append(faults, fmt.Errorf("%w: Options.Journal may only say MaxBodyBytes", ErrNoLog))
	}
	if o.Snapshots.automatic() || o.Snapshots.AtClose {
		faults = append(faults, fmt.Errorf("%w: Options.Snapshots has nothing to shorten", ErrNoLog))
	}
	o, err := o.withDefaults()
	if o.Journal.MaxBodyBytes == 0 {
		o.Journal.MaxBodyBytes = defaultMemoryBody
	}
	faults = append(faults, err, t.use(o.Slots))
	if t != nil {
		for _, f := range t.effects() {
			faults = append(faults, fmt.Errorf("%w: effect %q is called again after a crash by what stands in it", ErrNoLog, f.Name()))
		}
		for _, p := range t.lanes {
			for _, id := range p.lane.Policies() {
				faults = append(faults, fmt.Errorf("%w: lane %q: OnFailure(%q) retries and parks what stands in it", ErrNoLog, p.lane.Name(), id))
			}
		}
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	m := &noLog{maxBody: o.Journal.MaxBodyBytes}
	e := newEngine("", t, o, m)
	m.engine = e
	if err := e.begin(); err != nil {
		return nil, err
	}
	return e, nil
}

const (
	defaultMemoryBody = 16 << 20
	memoryBatchBytes  = 64 << 20
)

// logbook is what an engine needs of its journal.
type logbook interface {
	MaxBodyBytes() int
	MaxBatchBytes(events int) int64
	FirstSequence() int64
	Written() int64
	Durable() int64
	WaitWritten(ctx context.Context, seq int64) error
	WaitDurable(ctx context.Context, seq int64) error
	NewReader(from int64, o journal.ReaderOptions) (*journal.Reader, error)
	Append(e journal.Entry) (int64, error)
	Sync() error
	RequestSync()
	Err() error
	Stats() journal.Stats
	Recovery() journal.Recovery
	UUID() [16]byte
	Hold(name string, sequence int64, expires time.Time) error
	Release(name string) error
	Holds() ([]journal.Hold, error)
	Trim(r journal.Retention) (journal.TrimReport, error)
	Close() error
}

var (
	_ logbook = (*journal.Journal)(nil)
	_ logbook = (*noLog)(nil)
)

// noLog stands for the journal of an engine in memory. Its end is where the stamper is.
type noLog struct {
	engine  *Engine
	maxBody int
}

func (n *noLog) MaxBodyBytes() int       { return n.maxBody }
func (n *noLog) MaxBatchBytes(int) int64 { return memoryBatchBytes }
func (n *noLog) FirstSequence() int64    { return 1 }
func (n *noLog) Durable() int64          { return n.Written() }
func (n *noLog) Append(journal.Entry) (int64, error) {
	return 0, ErrNoLog
}
func (n *noLog) NewReader(int64, journal.ReaderOptions) (*journal.Reader, error) {
	return nil, ErrNoLog
}
func (n *noLog) Sync() error                { return nil }
func (n *noLog) RequestSync()               {}
func (n *noLog) Err() error                 { return nil }
func (n *noLog) Stats() journal.Stats       { return journal.Stats{} }
func (n *noLog) Recovery() journal.Recovery { return journal.Recovery{} }
func (n *noLog) Close() error               { return nil }
func (n *noLog) UUID() [16]byte             { return [16]byte{} }
func (n *noLog) Hold(string, int64, time.Time) error {
	return ErrNoLog
}
func (n *noLog) Release(string) error           { return ErrNoLog }
func (n *noLog) Holds() ([]journal.Hold, error) { return nil, ErrNoLog }
func (n *noLog) Trim(journal.Retention) (journal.TrimReport, error) {
	return journal.TrimReport{}, ErrNoLog
}

// Written is 0 before the ring runs.
func (n *noLog) Written() int64 {
	if n.engine.journaler == nil {
		return 0
	}
	return n.engine.journaler.Cursor()
}

func (n *noLog) WaitWritten(ctx context.Context, seq int64) error {
	return n.engine.await(ctx, n.engine.journaler, seq)
}

func (n *noLog) WaitDurable(ctx context.Context, seq int64) error { return n.WaitWritten(ctx, seq) }

// inMemory tells whether the engine has no log.
func (e *Engine) inMemory() bool {
	_, is := e.journal.(*noLog)
	return is
}

// learnNothing is recover without a log: ids for the types, and nothing that anybody has answered.
func (e *Engine) learnNothing() (*history, error) {
	e.dedup = handlers.NewDedup(e.options.DedupWindow)
	e.streams = handlers.NewStreams(-1) // versions only: there is nothing to read back
	h, err := newHistory(e.dedup, e.streams)
	if err != nil {
		return nil, err
	}
	e.timers, e.inbox = e.topology.timers, h.inbox
	h.now = e.now
	e.snapshots = &snapshots{engine: e, turn: make(chan struct{}, 1), ended: make(chan struct{})} // none, and never any
	for _, c := range e.topology.registry.Types() {
		if _, _, err := h.catalog.Assign(c.Name()); err != nil {
			return nil, err
		}
	}
	e.types = handlers.NewTypes(e.topology.registry, h.catalog)
	return h, nil
}

// front is the stage that all but lanes behind Published come after.
func (e *Engine) front(h *history, durable bool) ring.Handler[handlers.Slot] {
	j, journaled := e.journal.(*journal.Journal)
	if !journaled {
		return handlers.NewStamper(e.ring.Slot, e.now, e.replies)
	}
	o := handlers.JournalerOptions{LastTime: h.lastTime, Now: e.now, Replies: e.replies}
	if durable && e.options.Journal.Durability != journal.None() {
		o.SyncBacklog = int64(e.options.Slots / 2)
	}
	e.writer = handlers.NewJournaler(e.ring, j, o)
	return e.writer
}
