package headrace

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/internal/snapshot"
	"github.com/headrace/headrace/journal"
)

// snapshots takes an engine's snapshots.
type snapshots struct {
	engine *Engine
	dir    string
	known  known           // as of the end of Open; it does not change while the engine runs
	turn   chan struct{}   // capacity 1: who takes one has it
	number int64           // of the last mark; guarded by turn, as the next
	kept   map[int64]int64 // by sequence, the first event that each needs: of those that fit and are not damaged
	ended  chan struct{}   // closed when run has ended

	mu    sync.Mutex
	last  int64 // sequence of the newest one, or from which on the next is due
	since int64 // bytes of the log at last
	stats SnapshotStats
}

// snapshotStep is told of the steps of writing a snapshot. Tests end the process there.
var snapshotStep snapshot.Step

// snapshotsRun is called by Open as soon as snapshots may be taken. Tests wait there until one is.
var snapshotsRun func()

// captured is what the lanes come to at one sequence.
type captured struct {
	sequence int64
	voids    int64 // since the engine opened
	complete int64 // answers to events up to sequence stand at or below it
	images   []*handlers.Image
	dedup    []handlers.DedupImage
	inbox    []handlers.InboxImage
}

// newSnapshots looks at what there is, once the log was replayed.
func (e *Engine) newSnapshots(h *history, s *seeker) (*snapshots, error) {
	n := &snapshots{
		engine: e, dir: snapshot.Dir(e.dir), turn: make(chan struct{}, 1), kept: map[int64]int64{}, ended: make(chan struct{}),
		known: known{begin: h.begin, voids: h.voids, lost: h.lost, firstLost: h.firstLost, types: h.types, handlers: h.handlers, effects: h.effectTypes, names: h.names, schema: h.schema, watermarks: h.watermarks},
	}
	n.stats.PassedOver = s.misfits
	if h.from != nil {
		n.last, n.stats.OpenedAt = h.from.Sequence, h.from.Sequence
		n.kept[h.from.Sequence] = h.from.Needs
		n.stats.Last = infoOf(h.from.File, snapshot.Path(n.dir, n.last), h.from.Bytes())
	}
	if err := snapshot.Clean(n.dir); err != nil {
		return nil, fmt.Errorf("headrace: snapshots: %w", err)
	}
	all, err := snapshot.List(n.dir)
	if err != nil {
		return nil, fmt.Errorf("headrace: snapshots: %w", err)
	}
	for _, seq := range all { // those behind the one that fits fit too, as far as anybody can tell without reading them
		if n.last == 0 || seq > n.last {
			continue
		}
		if f, _, err := snapshot.ReadTable(n.dir, seq); err == nil && f.UUID == e.journal.UUID() {
			n.kept[seq] = f.Needs
		}
	}
	return n, nil
}

// capture lets every lane encode itself at one place in the log.
func (e *Engine) capture(ctx context.Context) (*captured, error) {
	n := e.snapshots
	n.number++
	images := make([]<-chan *handlers.Image, len(e.lanes))
	for i, l := range e.lanes {
		images[i] = l.Capture(n.number)
		defer l.Forgo()
	}
	seq, err := publishSystem(ctx, e.ticker, handlers.SnapshotMarked{Number: n.number}, Meta{})
	if err != nil {
		return nil, err
	}
	c := &captured{sequence: seq}
	for i := range e.lanes {
		select {
		case img := <-images[i]:
			c.images = append(c.images, img)
		case <-ctx.Done():
			return nil, e.stopped(ctx, nil, "a snapshot at event %d waits for lane %q", seq, e.lanes[i].Name())
		case <-e.ctx.Done():
			return nil, e.stopped(ctx, ErrClosed, "a snapshot waits for lane %q", e.lanes[i].Name())
		}
	}
	// Every lane is past it now: what they emitted for events up to there waits in the feedback lane, or is published.
	emitted, err := e.feedback.Flushed(ctx)
	if err != nil {
		return nil, e.stopped(ctx, err, "%d bytes that handlers have emitted wait for the ring, and %s", e.feedback.Bytes(), e.slowest())
	}
	if c.dedup, err = e.dedup.Image(ctx, seq); err != nil {
		return nil, err
	}
	if c.inbox, err = e.inbox.Image(ctx, seq); err != nil {
		return nil, err
	}
	// The window has forgotten for ids that came later, so those must be safe too.
	c.complete = max(seq, emitted, e.ring.Cursor())
	if err := e.WaitDurable(ctx, c.complete); err != nil {
		return nil, err
	}
	mark := e.writer.Mark()
	if mark == nil || mark.Sequence != seq {
		return nil, fmt.Errorf("headrace: the log has no mark at event %d", seq)
	}
	c.voids = mark.Voids
	return c, nil
}

// atRest is capture for an engine that closes: everything is handled and synced, and stands still.
func (e *Engine) atRest(ctx context.Context) (*captured, error) {
	last := e.journal.Written()
	c := &captured{sequence: last, complete: last, voids: e.writer.Voids()}
	for _, l := range e.lanes {
		img := l.Image()
		img.Sequence = last // it may have had no event yet
		c.images = append(c.images, img)
	}
	var err error
	if c.dedup, err = e.dedup.Image(ctx, last); err != nil {
		return nil, err
	}
	if c.inbox, err = e.inbox.Image(ctx, last); err != nil {
		return nil, err
	}
	return c, e.journal.WaitDurable(ctx, last)
}

// begin takes the turn, which end gives back. Errors: ErrClosed once the engine is closing; that of ctx.
func (n *snapshots) begin(ctx context.Context) error {
	if n.engine.closing.Load() {
		return ErrClosed
	}
	select {
	case n.turn <- struct{}{}:
	case <-n.engine.done:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	if n.engine.closing.Load() {
		n.end()
		return ErrClosed
	}
	return nil
}

func (n *snapshots) end() { <-n.turn }

// take takes a snapshot and lets go of old ones. Who calls it has the turn.
func (n *snapshots) take(ctx context.Context, capture func(context.Context) (*captured, error)) (SnapshotInfo, error) {
	began := time.Now()
	if err := n.engine.topology.undeclared(); err != nil {
		return SnapshotInfo{}, err
	}
	if name := n.engine.away(); name != "" {
		return SnapshotInfo{}, fmt.Errorf("%w: %q", handlers.ErrPaused, name)
	}
	c, err := capture(ctx)
	if err != nil {
		return SnapshotInfo{}, err
	}
	f, pause, err := n.file(c)
	if err != nil {
		return SnapshotInfo{}, err
	}
	path, err := snapshot.Write(n.dir, f, snapshotStep)
	if err != nil {
		return SnapshotInfo{}, fmt.Errorf("headrace: snapshot at %d: %w", c.sequence, err)
	}
	n.kept[c.sequence] = f.Needs
	info := infoOf(f, path, f.Bytes())
	info.Pause, info.Took = pause, time.Since(began)
	n.mu.Lock()
	n.last, n.since = c.sequence, n.engine.journal.Stats().WrittenBytes
	n.stats.Taken++
	n.stats.Last, n.stats.Err = info, nil
	n.mu.Unlock()
	n.engine.log.Info("headrace: snapshot", "sequence", info.Sequence, "bytes", info.Bytes, "pause", info.Pause, "took", info.Took)
	if err := n.prune(); err != nil {
		n.engine.log.Warn("headrace: old snapshots stay", "error", err)
	}
	n.retain()
	return info, nil
}

// file puts a snapshot together. pause is how long a lane stood still at most.
func (n *snapshots) file(c *captured) (f *snapshot.File, pause time.Duration, err error) {
	e := n.engine
	f = &snapshot.File{Header: snapshot.Header{
		UUID: e.journal.UUID(), Sequence: c.sequence, Created: e.now(), Complete: c.complete, Needs: c.sequence,
	}}
	found := false
	err = opener(e.journal.NewReader).reread(c.sequence, c.sequence, func(rec journal.Record) error {
		f.Time, f.Segment, f.CRC, found = rec.Time, rec.Segment, rec.CRC, true
		return nil
	})
	if err == nil && !found {
		err = fmt.Errorf("headrace: no event %d in the log", c.sequence)
	}
	if err != nil {
		return nil, 0, err
	}
	k := n.known
	k.voids += c.voids
	k.watermarks = maps.Clone(k.watermarks)
	f.Sections = []snapshot.Section{{Kind: snapshot.KindEngine}}
	for _, img := range c.images {
		if img.Err != nil {
			return nil, 0, fmt.Errorf("headrace: snapshot of lane %q: %w", img.Lane, img.Err)
		}
		if img.Sequence != c.sequence {
			return nil, 0, fmt.Errorf("headrace: lane %q is at event %d, the snapshot at %d", img.Lane, img.Sequence, c.sequence)
		}
		pause = max(pause, img.Took)
		for _, id := range img.Handlers {
			k.watermarks[e.names.hash(id)] = c.sequence
		}
		f.Sections = append(f.Sections, snapshot.Section{Kind: snapshot.KindLane, Lane: img.Lane, Data: img.AppendMeta(nil)})
		for _, s := range img.States {
			f.Sections = append(f.Sections, snapshot.Section{Kind: snapshot.KindState, Lane: img.Lane, Name: s.Name, Fingerprint: s.Fingerprint, Data: s.Data})
		}
		for _, p := range img.Parked {
			f.Sections = append(f.Sections, snapshot.Section{Kind: snapshot.KindParked, Lane: img.Lane, Name: p.Handler, Data: p.Data})
		}
		if img.Timers != nil {
			f.Sections = append(f.Sections, snapshot.Section{Kind: snapshot.KindTimers, Data: img.Timers})
		}
		if oldest := img.Oldest(); oldest != 0 {
			f.Needs = min(f.Needs, oldest)
		}
	}
	f.Sections[0].Data = k.append(nil)
	f.Sections = append(f.Sections, snapshot.Section{Kind: snapshot.KindDedup, Data: appendDedup(nil, c.dedup)})
	f.Sections = append(f.Sections, snapshot.Section{Kind: snapshot.KindInbox, Data: handlers.AppendInbox(nil, c.inbox)})
	streams, err := e.streams.AppendTo(nil, c.sequence, func(from, to int64, fn func(journal.Record) error) error {
		if err := e.WaitWritten(e.ctx, to); err != nil {
			return err
		}
		return opener(e.journal.NewReader).reread(from, to, fn)
	})
	f.Sections = append(f.Sections, snapshot.Section{Kind: snapshot.KindStreams, Data: streams})
	return f, pause, err
}

// close takes the last snapshot of an engine that closes, unless nothing has happened since the one before. That it
// cannot is no reason for Close to fail: the log is whole. Who calls it has the turn.
func (n *snapshots) close(ctx context.Context) {
	n.mu.Lock()
	last := n.stats.Last.Sequence
	n.mu.Unlock()
	if written := n.engine.journal.Written(); written == 0 || written == last {
		return
	}
	if _, err := n.take(ctx, n.engine.atRest); err != nil {
		n.engine.log.Error("headrace: no snapshot at the end", "error", err)
	}
}

// prune removes what is older than the snapshots that are kept, and lets go of the log before them. Those that did not
// fit when the engine opened do not count, and stay until there are enough that do.
func (n *snapshots) prune() error {
	all, err := snapshot.List(n.dir)
	if err != nil {
		return err
	}
	keep := n.engine.options.Snapshots.Keep
	var faults []error
	for _, seq := range all {
		_, fits := n.kept[seq]
		switch {
		case keep == 0:
			delete(n.kept, seq)
			faults = append(faults, snapshot.Remove(n.dir, seq))
		case fits:
			keep--
		}
	}
	return errors.Join(append(faults, n.hold())...)
}
