package headrace

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"

	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/internal/snapshot"
	"github.com/headrace/headrace/journal"
)

// opening is a snapshot that an engine, or a replay, goes on from.
type opening struct {
	*snapshot.File
	known   known
	images  map[string]*handlers.Image // by lane
	timers  []byte                     // nil: no lane kept any
	dedup   []handlers.DedupImage
	streams []byte
	inbox   []handlers.InboxImage
	alone   map[string]bool // lanes that it has nothing for, and that read the log from its beginning
}

// check compares the record at the snapshot's sequence with the one that was there when it was taken.
func (o *opening) check(rec journal.Record) error {
	if rec.Sequence != o.Sequence || rec.Segment != o.Segment || rec.CRC != o.CRC {
		return &misfit{fmt.Errorf("the log has another event %d than the one that it was taken at", o.Sequence)}
	}
	return nil
}

// misfit is why a snapshot cannot be used here and now; the next one may.
type misfit struct{ err error }

func (m *misfit) Error() string { return m.err.Error() }
func (m *misfit) Unwrap() error { return m.err }

func misfits(format string, args ...any) error { return &misfit{fmt.Errorf(format, args...)} }

// seeker finds the snapshot to begin with, and makes the first pass over the log behind it. What does not fit is
// passed over, for the next older one, and in the end for the whole log.
type seeker struct {
	dir         string
	topology    *Topology
	open        opener
	first       int64 // of the log
	options     journal.ReaderOptions
	acceptLost  bool
	dedup       func() *handlers.Dedup // nil: not wanted
	streamBytes int64                  // of memory for the places of events in streams
	answers     bool                   // handlers will answer what they owe
	fromStart   bool
	only        int64
	beside      func(h *history, read reading) error // makes the pass over the whole log; nil: learn alone does

	misfits []error
}

// seek returns the first pass. The states of the topology's lanes are those of the snapshot that it names.
func (s *seeker) seek() (*history, error) {
	if !s.fromStart {
		all, err := snapshot.List(snapshot.Dir(s.dir))
		if err != nil {
			return nil, fmt.Errorf("headrace: snapshots: %w", err)
		}
		for _, seq := range all {
			if s.options.Until > 0 && seq > s.options.Until || s.only > 0 && seq != s.only {
				continue
			}
			h, err := s.try(seq)
			var m *misfit
			switch {
			case err == nil:
				return h, nil
			case errors.As(err, &m):
				s.misfits = append(s.misfits, fmt.Errorf("snapshot %d: %w", seq, m.err))
			case !errors.Is(err, errTooYoung):
				return nil, err
			}
		}
		if s.only > 0 {
			return nil, errors.Join(append([]error{fmt.Errorf("%w: %d", ErrNoSnapshot, s.only)}, s.misfits...)...)
		}
	}
	return s.whole()
}

// errTooYoung reports a snapshot of a later time than the one that is asked for.
var errTooYoung = errors.New("headrace: snapshot of a later time")

// whole makes the first pass over all of the log.
func (s *seeker) whole() (*history, error) {
	h, err := s.newHistory()
	if err != nil {
		return nil, err
	}
	// Whatever the bounds are: what was removed is not empty.
	if err := s.pass(0, journal.ReaderOptions{Internal: true}, func(rec journal.Record) error {
		if err := h.learn(rec); err != nil {
			return err
		}
		if h.begun {
			return journal.ErrStop
		}
		return nil
	}); err != nil {
		return nil, s.headless(err)
	}
	if h, err = s.newHistory(); err != nil {
		return nil, err
	}
	return h, s.headless(s.scan(h, 0, s.beside))
}

// headless adds to the error of a log without its beginning why no snapshot makes up for that.
func (s *seeker) headless(err error) error {
	if err == nil || !errors.Is(err, ErrLog) || s.first <= 1 && len(s.misfits) == 0 {
		return err
	}
	return errors.Join(append([]error{fmt.Errorf("%w: %w", ErrNoSnapshot, err)}, s.misfits...)...)
}

func (s *seeker) newHistory() (*history, error) {
	var d *handlers.Dedup
	if s.dedup != nil {
		d = s.dedup()
	}
	limit := s.streamBytes
	if s.dedup == nil {
		limit = -1 // a replay: only the numbers
	}
	h, err := newHistory(d, handlers.NewStreams(limit))
	if err == nil {
		h.acceptLost = s.acceptLost
	}
	return h, err
}

func (s *seeker) scan(h *history, from int64, pass func(h *history, read reading) error) error {
	r, err := s.open(from, s.options)
	if err != nil {
		return err
	}
	return errors.Join(h.scan(r, pass), r.Close())
}

func (s *seeker) pass(from int64, o journal.ReaderOptions, fn func(journal.Record) error) error {
	r, err := s.open(from, o)
	if err != nil {
		return err
	}
	_, err = r.Read(fn)
	return errors.Join(err, r.Close())
}

// try goes on from the snapshot at seq. Its error is a *misfit if another one may do.
func (s *seeker) try(seq int64) (*history, error) {
	f, err := snapshot.Read(snapshot.Dir(s.dir), seq)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, misfits("it was removed meanwhile")
	case err != nil:
		return nil, &misfit{err}
	case s.options.UntilTime != 0 && f.Time > s.options.UntilTime:
		return nil, errTooYoung
	case f.Sequence < s.first || f.Needs < s.first:
		return nil, misfits("it needs the log from event %d on, which begins with %d", f.Needs, s.first)
	}
	o, err := open(f)
	if err != nil {
		return nil, err
	}
	h, err := s.newHistory()
	if err != nil {
		return nil, err
	}
	if err := h.goOnFrom(o); err != nil {
		return nil, err
	}
	if err := s.scan(h, f.Sequence, nil); err != nil {
		return nil, err
	}
	switch {
	case !h.begun:
		return nil, misfits("the log ends before it")
	case s.options.Until == 0 && s.options.UntilTime == 0 && h.last < f.Complete: // a repair may have cut it, or a restore by hand
		return nil, misfits("answers to events before it stand up to event %d, and the log ends with %d", f.Complete, h.last)
	}
	o.rename(s.present(h))
	if err := s.fits(o); err != nil {
		return nil, err
	}
	if err := s.answered(h); err != nil {
		return nil, err
	}
	return h, s.restore(o)
}

// open reads the parts of a snapshot.
func open(f *snapshot.File) (*opening, error) {
	o := &opening{File: f, images: map[string]*handlers.Image{}, alone: map[string]bool{}}
	engine := f.Section(snapshot.KindEngine, "", "")
	if engine == nil {
		return nil, misfits("it says nothing of the log")
	}
	if err := o.known.decode(engine.Data); err != nil {
		return nil, &misfit{err}
	}
	for i := range f.Sections {
		s := &f.Sections[i]
		img := o.images[s.Lane]
		var err error
		switch {
		case s.Kind == snapshot.KindLane && img == nil:
			img = &handlers.Image{Lane: s.Lane, Sequence: f.Sequence}
			o.images[s.Lane] = img
			err = img.DecodeMeta(s.Data)
		case s.Kind == snapshot.KindState && img != nil:
			img.States = append(img.States, handlers.StateImage{Name: s.Name, Fingerprint: s.Fingerprint, Data: s.Data})
		case s.Kind == snapshot.KindParked && img != nil:
			var p handlers.ParkedImage
			p, err = handlers.DecodeParked(s.Name, s.Data)
			img.Parked = append(img.Parked, p)
		case s.Kind == snapshot.KindTimers:
			o.timers = s.Data
		case s.Kind == snapshot.KindDedup:
			o.dedup, err = decodeDedup(s.Data)
		case s.Kind == snapshot.KindStreams:
			o.streams = s.Data
		case s.Kind == snapshot.KindInbox:
			o.inbox, err = handlers.DecodeInbox(s.Data)
		case s.Kind != snapshot.KindEngine:
			err = fmt.Errorf("nobody knows what to do with %s", s)
		}
		if err != nil {
			return nil, &misfit{err}
		}
	}
	return o, nil
}

// fits compares what a snapshot is made of with what the topology has.
func (s *seeker) fits(o *opening) error {
	for _, p := range s.topology.lanes {
		l := p.lane
		img := o.images[l.Name()]
		var err error
		switch {
		case img != nil:
			err = l.Misfit(img, s.topology.registry)
		case p.effect != nil: // if it is as new as that, it owes nothing for the past: see answered
		case l.Remembers():
			err = fmt.Errorf("lane %q is new; it has not seen the events before", l.Name())
		}
		if err == nil {
			continue
		}
		// A read model depends on nothing but the log: it can be made anew while the others go on from here.
		if p.emits || s.first != o.known.begin || s.only > 0 {
			return &misfit{err}
		}
		o.alone[l.Name()] = true
	}
	if s.topology.timers != nil && o.timers == nil {
		return misfits("no lane kept timers")
	}
	return nil
}

// answered tells whether every handler that may emit has answered all that comes before the snapshot.
func (s *seeker) answered(h *history) error {
	if !s.answers {
		return nil
	}
	present := s.present(h)
	was := map[string]string{} // by the id that a handler has now: by which the log knows it
	for id := range h.handlers {
		was[present(id)] = id
	}
	for _, p := range s.topology.reacting() {
		for _, id := range p.lane.HandlerIDs() {
			from, known := h.handlers[was[id]]
			switch {
			case id == handlers.TimersHandler:
			case p.effect != nil && h.from.images[p.lane.Name()] != nil: // it knows what it owes
			case !known && s.topology.fromStart[id]:
				return misfits("handler %q wants to answer the log from its start", id)
			case known && p.effect != nil && from < h.from.Sequence,
				known && p.effect == nil && max(from, h.watermarks[h.names.hash(was[id])]) < h.from.Sequence:
				return misfits("handler %q owes answers to events before it", id)
			}
		}
	}
	return nil
}

// present returns what the id of a handler is now: what the log says of its renaming, and what the topology does.
func (s *seeker) present(h *history) func(id string) string {
	next := map[string]string{}
	for id, former := range h.names.former {
		for _, old := range former {
			next[old] = id
		}
	}
	for _, r := range s.topology.renames {
		next[r.From] = r.To
	}
	return func(id string) string {
		for range len(next) { // it may be called again what it was called before
			to, renamed := next[id]
			if !renamed || s.topology.has(id) {
				return id
			}
			id = to
		}
		return id
	}
}

// rename gives the handlers in a snapshot the ids that they have now.
func (o *opening) rename(present func(id string) string) {
	for _, img := range o.images {
		for i := range img.Folds {
			img.Folds[i].Handler = present(img.Folds[i].Handler)
		}
		for i := range img.Handlers {
			img.Handlers[i] = present(img.Handlers[i])
		}
		for i := range img.Parked {
			img.Parked[i].Handler = present(img.Parked[i].Handler)
		}
	}
}

// has tells whether the topology has a handler with this id.
func (t *Topology) has(id string) bool {
	return slices.ContainsFunc(t.reacting(), func(p placed) bool { return slices.Contains(p.lane.HandlerIDs(), id) })
}

// restore sets the states of the lanes. After an error they are those of an empty log.
func (s *seeker) restore(o *opening) error {
	for i, p := range s.topology.lanes {
		img := o.images[p.lane.Name()]
		if img == nil || o.alone[p.lane.Name()] {
			continue
		}
		err := p.lane.Restore(img)
		if err == nil {
			continue
		}
		err = &misfit{err}
		for _, q := range s.topology.lanes[:i+1] {
			if rerr := q.lane.Reset(); rerr != nil {
				return fmt.Errorf("%v; %w", err, rerr) // no misfit: there is no way back
			}
		}
		return err
	}
	return nil
}

// goOnFrom makes h what the first pass would be at the snapshot.
func (h *history) goOnFrom(o *opening) error {
	k := &o.known
	h.from, h.begin, h.voids, h.lost, h.firstLost = o, k.begin, k.voids, k.lost, k.firstLost
	h.events = o.Sequence - k.begin + 1 - k.voids - k.lost
	for _, t := range k.types {
		if err := h.catalog.Learn(t.ID, t.Name); err != nil {
			return &misfit{err}
		}
	}
	h.types, h.handlers, h.effectTypes = append(h.types, k.types...), k.handlers, k.effects
	h.names, h.schema = k.names, k.schema
	for hash, seq := range k.watermarks {
		h.watermarks[hash] = seq
	}
	if err := h.streams.Decode(o.streams); err != nil {
		return &misfit{err}
	}
	h.inbox.Load(o.inbox)
	if h.dedup != nil {
		for _, d := range o.dedup {
			h.dedup.Learn(d.ID, d.Sequence, d.Type)
		}
	}
	return nil
}

// load completes what restore began, once the lanes are bound.
func (h *history) load(t *Topology) error {
	o := h.from
	if o == nil {
		return nil
	}
	for _, p := range t.lanes {
		img := o.images[p.lane.Name()]
		switch {
		case o.alone[p.lane.Name()]:
			continue
		case img == nil: // it remembers nothing
			img = &handlers.Image{Lane: p.lane.Name(), Sequence: o.Sequence}
		}
		if err := p.lane.Load(img); err != nil {
			return err
		}
	}
	if t.timers != nil {
		return t.timers.Load(o.timers)
	}
	return nil
}

// replaysFrom is where a lane begins to read the log; 0 is its beginning.
func (h *history) replaysFrom(l *handlers.Lane) int64 {
	if h.from == nil || h.from.alone[l.Name()] {
		return 0
	}
	return min(h.from.Sequence, math.MaxInt64-1) + 1
}
