package headrace

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/journal"
	"github.com/headrace/headrace/ring"
)

// Names of the engine's own stages, as they stand in statistics and errors.
const (
	journalStage = "journal"
	syncStage    = "sync"
)

// Engine is a ring, a journal behind it, and the lanes of a topology behind that. All methods may be
// called from any goroutine; those that wait must not be called from a handler.
type Engine struct {
	dir      string
	options  Options
	topology *Topology
	types    *handlers.Types
	journal  logbook
	ring     *ring.Ring[handlers.Slot]
	overflow *handlers.Overflow
	feedback *handlers.Feedback
	dedup    *handlers.Dedup
	inbox    *handlers.Inbox
	streams  *handlers.Streams
	replies  *handlers.Replies
	timers   *handlers.Timers
	effects  []*handlers.Effect
	crowd    *handlers.Crowd // producers that wait for effects
	clock    Clock           // nil = the system's, without a detour
	names    handlerNames
	missing  []string // handlers that the log knows, and that are neither there nor retired
	log      *slog.Logger

	snapshots *snapshots

	writer    *handlers.Journaler
	journaler *ring.Consumer
	consumers []*ring.Consumer // all of them, the journaler first
	lanes     []*handlers.Lane // those that run in the ring
	waits     map[string]*ring.Consumer

	ctx      context.Context // ends when the engine halts or has closed
	cancel   context.CancelFunc
	fed      chan struct{} // closed when the feedback goroutine has ended
	ticker   *Producer     // publishes ticks
	ticked   chan struct{} // closed when the clock's goroutine has ended
	closing  atomic.Bool   // producers outside are refused
	closed   atomic.Bool   // Close was called
	done     chan struct{} // closed when Close has finished
	closeErr error         // of the first Close; read after done

	mu        sync.Mutex
	following map[string]bool // names of followers that run
	groups    map[string]*group
	reading   map[*follower]bool
	rejoining map[string]int // goroutines that read what a projection has missed
	producers map[string]*Producer
	err       error // why it halted
	halted    chan struct{}
	follows   sync.WaitGroup // followers that read the journal

	followers handlers.Routines // where their functions run

	snapshotCtx   context.Context // ends when the engine closes or halts
	stopSnapshots context.CancelFunc

	backing sync.Mutex // one Backup at a time

	followCtx     context.Context // what followers' functions get; ends when Close cannot wait for them
	dropFollowers context.CancelFunc
}

// Open opens the journal in dir, making it if there is none, recovers it, replays it through the
// handlers of t, and goes live: when Open returns, the state of every lane contains the whole log,
// and the log what its handlers owed to it (answers that a crash kept from it).
//
// Errors: journal.ErrLocked if another engine has dir; *journal.CorruptionError if the log is damaged
// where it was acknowledged, in which case no acknowledged record was touched;
// *SchemaError if a type does not fit the log; ErrHandlerID; *handlers.HandlerError if a handler fails on the past; faults of o and t, joined. After an error
// nothing stays open.
//
// t belongs to the engine from then on.
func Open(dir string, t *Topology, o Options) (*Engine, error) {
	o, err := o.withDefaults()
	if err := errors.Join(err, t.use(o.Slots)); err != nil {
		return nil, err
	}
	j, err := journal.Open(dir, o.Journal)
	if err != nil {
		return nil, err
	}
	e := newEngine(dir, t, o, j)
	if err := e.begin(); err != nil {
		return nil, err
	}
	return e, nil
}

func newEngine(dir string, t *Topology, o Options, log logbook) *Engine {
	e := &Engine{
		dir: dir, options: o, topology: t, journal: log, log: o.Logger,
		replies:   handlers.NewReplies(),
		effects:   t.effects(),
		crowd:     handlers.NewCrowd(),
		waits:     map[string]*ring.Consumer{},
		producers: map[string]*Producer{},
		following: map[string]bool{}, groups: map[string]*group{}, reading: map[*follower]bool{}, rejoining: map[string]int{},
		done: make(chan struct{}), halted: make(chan struct{}), fed: make(chan struct{}), ticked: make(chan struct{}),
	}
	if _, system := o.Clock.(systemClock); !system {
		e.clock = o.Clock
	}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	e.snapshotCtx, e.stopSnapshots = context.WithCancel(e.ctx)
	e.followCtx, e.dropFollowers = context.WithCancel(context.Background())
	return e
}

// begin starts the engine, and takes down what it has built if that fails.
func (e *Engine) begin() error {
	err := e.start()
	if err != nil {
		e.cancel()
		if e.ring != nil {
			e.ring.Halt()
		}
		err = errors.Join(err, e.journal.Close())
	}
	return err
}

// start recovers and goes live. After an error no goroutine of it runs.
func (e *Engine) start() error {
	began := time.Now()
	if o := e.options.Snapshots; o.automatic() || o.AtClose {
		if err := e.topology.undeclared(); err != nil {
			return fmt.Errorf("%w: Options.Snapshots: %w", ErrTopology, err)
		}
	}
	h, err := e.recover()
	if err != nil {
		return err
	}
	e.names, e.missing = h.names, h.missing
	if len(h.missing) > 0 {
		e.log.Warn("headrace: handlers that the log knows are not there; they owe their answers until they come back or are retired", "handlers", h.missing)
	}
	err = e.topology.bind(handlers.Binding{
		Context: e.ctx, Types: e.types, Watermarks: h.marks(e.topology), Timers: e.timers != nil,
		Outcomes: h.outcomes, Clock: e.options.Clock, Observer: e.options.Observer, Told: e.told, Formerly: h.names.former, Streams: e.streams,
		Limits: handlers.Limits{
			EventBytes:  e.maxBody(),
			BatchEvents: e.maxBatchEvents(),
			BatchBytes:  e.maxBatchBytes(),
			Depth:       uint32(e.options.CascadeDepth),
		},
	}, nil)
	if err != nil {
		return err
	}
	if !e.inMemory() {
		if err := h.load(e.topology); err != nil {
			return err
		}
		if err := e.replay(h); err != nil {
			return err
		}
	}
	if err := e.build(h); err != nil {
		return err
	}
	for _, l := range e.lanes {
		l.EmitTo(e.feedback)
	}
	e.dedup.Refusing(e.onLane)
	e.inbox.Refusing(e.onLane)
	if err := e.ring.Start(); err != nil {
		return err
	}
	if !e.inMemory() {
		go e.watch()
	}
	e.ticker = newProducer(e, systemProducer) // before anybody who publishes with it
	if e.options.Snapshots.automatic() {
		go e.snapshots.run()
		if snapshotsRun != nil {
			snapshotsRun()
		}
	} else {
		close(e.snapshots.ended)
	}
	if e.options.logs {
		go e.watchLanes()
	}
	if e.timers != nil {
		go e.runClock()
	} else {
		close(e.ticked)
	}
	go func() {
		defer close(e.fed)
		if err := e.feedback.Run(e.ctx); err != nil {
			e.fail(err)
			e.ring.Halt()
		}
	}()
	e.startEffects()
	if names := e.unanswered(); len(names) > 0 && len(e.lanes) > 0 {
		e.log.Info("headrace: commands that nobody here handles; a Call of one is refused", "types", names)
	}
	e.log.Info("headrace: open", "last_sequence", e.journal.Written(), "events", h.events, "snapshot", e.snapshots.stats.OpenedAt, "took", time.Since(began))
	return nil
}

// watch halts the engine when the journal fails while nobody writes to it, such as in a sync.
func (e *Engine) watch() {
	const never = math.MaxInt64
	err := e.journal.WaitWritten(e.ctx, never)
	if err != nil && e.ctx.Err() == nil && !errors.Is(err, journal.ErrClosed) {
		e.fail(err)
		e.ring.Halt()
	}
}

// recover reads the log's headers and introduces what is new.
func (e *Engine) recover() (*history, error) {
	j, journaled := e.journal.(*journal.Journal)
	if !journaled {
		return e.learnNothing()
	}
	s := &seeker{
		dir: e.dir, topology: e.topology, open: e.journal.NewReader, first: e.journal.FirstSequence(),
		options: journal.ReaderOptions{Internal: true}, acceptLost: e.options.AcceptLost, answers: true,
		streamBytes: e.options.StreamIndexBytes,
		dedup:       func() *handlers.Dedup { return handlers.NewDedup(e.options.DedupWindow) },
		fromStart:   e.options.Snapshots.FromStart,
	}
	h, err := s.seek()
	if err != nil {
		return nil, err
	}
	for _, why := range s.misfits {
		e.log.Warn("headrace: passed over", "error", why)
	}
	e.timers, e.dedup, e.streams = e.topology.timers, h.dedup, h.streams
	e.inbox = h.inbox
	h.last, h.now, h.acceptSchema = max(h.last, e.journal.Written()), e.now, e.options.AcceptSchema
	if err := h.introduce(j, e.topology); err != nil {
		return nil, err
	}
	e.types = handlers.NewTypes(e.topology.registry, h.catalog)
	e.snapshots, err = e.newSnapshots(h, s)
	return h, err
}

// build makes the ring and its graph: journaler first, the sync stage if somebody stands behind it, then
// the lanes.
func (e *Engine) build(h *history) error {
	o := e.options
	r, err := ring.New[handlers.Slot](ring.Options{
		Slots: o.Slots, FirstSequence: e.journal.Written() + 1, Wait: o.Wait, Fenced: true,
		OnError: func(err *ring.ConsumerError) { e.fail(e.named(err)) },
	})
	if err != nil {
		return err
	}
	e.ring = r
	handlers.NewSlots(r, o.SlotBytes)
	e.overflow = handlers.NewOverflow(o.OverflowBytes, e.passed)
	e.feedback = handlers.NewFeedback(r, e.overflow, e.streams, o.FeedbackBytes)

	durable := false
	for _, p := range e.topology.lanes {
		durable = durable || p.options.Behind == Durable
	}
	e.journaler, err = e.consume(journalStage, e.front(h, durable), ring.ConsumerOptions{})
	if err != nil {
		return err
	}
	behind := map[Gate][]*ring.Consumer{Written: {e.journaler}, Durable: {e.journaler}, Published: nil}
	if j, journaled := e.journal.(*journal.Journal); durable && journaled {
		s, err := e.consume(syncStage, handlers.NewSyncer(e.ctx, j, o.Journal.Durability), ring.ConsumerOptions{After: behind[Written]})
		if err != nil {
			return err
		}
		behind[Durable] = []*ring.Consumer{s}
	}
	for _, p := range e.topology.lanes {
		if p.projector == nil && p.lane.Empty() {
			continue // nobody registered: the lane costs nothing
		}
		batch := p.options.MaxBatch
		if batch == 0 {
			batch = min(256, o.Slots)
		}
		c, err := e.consume(p.lane.Name(), p.lane, ring.ConsumerOptions{After: behind[p.options.Behind], MaxBatch: batch})
		if err != nil {
			return err
		}
		p.lane.Releasing(c.Release)
		p.lane.Slots(e.ring.Slot)
		e.lanes = append(e.lanes, p.lane)
		if p.projector != nil {
			p.projector.Running(func(ctx context.Context, seq int64) error { return e.awaitLane(ctx, c, p.lane, seq) })
		}
	}
	return nil
}

func (e *Engine) consume(name string, h ring.Handler[handlers.Slot], o ring.ConsumerOptions) (*ring.Consumer, error) {
	c, err := e.ring.Consume(name, h, o)
	if err == nil {
		e.consumers = append(e.consumers, c)
		e.waits[name] = c
	}
	return c, err
}

// passed is the sequence that every consumer has passed.
func (e *Engine) passed() int64 {
	low := int64(math.MaxInt64)
	for _, c := range e.consumers {
		low = min(low, c.Cursor())
	}
	return low
}

// maxBody is the limit of one event's body; maxBatchBytes that of an atomic batch, which must fit
// one segment with the headers of its records.
func (e *Engine) maxBody() int       { return e.journal.MaxBodyBytes() }
func (e *Engine) maxBatchBytes() int { return int(e.journal.MaxBatchBytes(e.maxBatchEvents())) }

// maxBatchEvents is the limit of an atomic batch in events: a quarter of the ring, and no more
// than half a segment's bytes in record headers.
func (e *Engine) maxBatchEvents() int {
	n := e.options.Slots / 4
	for n > 1 && e.journal.MaxBatchBytes(n) < e.journal.MaxBatchBytes(0)/2 {
		n /= 2
	}
	return n
}

// fail notes why the engine halts, once, and lets go whatever waits.
func (e *Engine) fail(err error) {
	e.mu.Lock()
	first := e.err == nil
	if first {
		e.err = err
		close(e.halted)
	}
	e.mu.Unlock()
	if !first {
		return
	}
	e.cancel()
	e.crowd.Stop()
	e.log.Error("headrace: halted", "error", err)
	if e.options.OnError != nil {
		go e.options.OnError(err)
	}
}

// named says which handler ended its lane's goroutine, if that is what err is: the ring knows but
// the lane.
func (e *Engine) named(err error) error {
	var c *ring.ConsumerError
	if !errors.As(err, &c) || c.Err != ring.ErrGoexit {
		return err
	}
	for _, l := range e.lanes {
		if l.Name() != c.Consumer {
			continue
		}
		if cause := l.Interrupted(); cause != nil {
			of := *c
			of.Err = cause
			return &of
		}
	}
	return err
}

// Err is why the engine halted, or the journal's failure; nil while it is well.
func (e *Engine) Err() error {
	e.mu.Lock()
	err := e.err
	e.mu.Unlock()
	if err == nil {
		err = e.named(e.ring.Err()) // known there a moment before the engine hears of it
	}
	if err == nil {
		if err = e.journal.Err(); errors.Is(err, journal.ErrClosed) {
			err = nil
		}
	}
	return err
}

// Halted is closed when the engine stops by itself: Err says why. Closing in order does not.
func (e *Engine) Halted() <-chan struct{} { return e.halted }

// Recovery tells what opening the journal found and did.
func (e *Engine) Recovery() journal.Recovery { return e.journal.Recovery() }
