package handlers

import (
	"crypto/sha256"
	"fmt"
	"reflect"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/headrace/headrace/event"
)

// Image is what a lane comes to at one sequence, encoded: its part of a snapshot.
type Image struct {
	Lane     string
	Sequence int64
	Folds    []FoldImage // what changes the states
	Handlers []string    // ids of those that emit: they have answered all causes up to Sequence
	States   []StateImage
	Parked   []ParkedImage
	Owed     int64         // oldest event that an effect has not answered, 0 for none
	Timers   []byte        // nil: they are not on this lane
	Took     time.Duration // how long the lane stood still for it
	Err      error         // why there is none
}

// FoldImage is one registration that changes state.
type FoldImage struct{ Role, Handler, Type string }

// StateImage is one state.
type StateImage struct {
	Name        string
	Fingerprint [sha256.Size]byte
	Data        []byte
}

// ParkedImage is what one handler has parked.
type ParkedImage struct {
	Handler string
	Oldest  int64 // sequence of the oldest event in it, 0 for none
	Data    []byte
}

// DecodeParked reads the encoding of what a handler has parked.
func DecodeParked(handler string, data []byte) (ParkedImage, error) {
	p := newParking(defaultPolicy, nil)
	if err := p.load(data); err != nil {
		return ParkedImage{}, err
	}
	_, oldest := p.encode()
	return ParkedImage{handler, oldest, data}, nil
}

// wish is a snapshot that waits for the lane to come to its place in the log.
type wish struct {
	number int64
	image  chan *Image
}

// Capture makes the lane encode itself when it has handled the SnapshotMarked event with this number. The channel
// gets the image, once. Forgo ends it. It may be called from any goroutine; one at a time.
func (l *Lane) Capture(number int64) <-chan *Image {
	w := &wish{number, make(chan *Image, 1)}
	l.wish.Store(w)
	return w.image
}

// Forgo ends a Capture that nobody waits for any more.
func (l *Lane) Forgo() { l.wish.Store(nil) }

// marked looks whether the SnapshotMarked event in body, which the lane has just handled, is the one that somebody
// waits for.
func (l *Lane) marked(body []byte) {
	w := l.wish.Load()
	if w == nil {
		return
	}
	v, err := event.Parse(body)
	if err != nil {
		return
	}
	var m SnapshotMarked
	if markedType.DecodeView(v, &m) == nil && m.Number == w.number {
		w.image <- l.image()
		l.wish.Store(nil)
	}
}

// Image encodes the lane as it is. The lane must stand still.
func (l *Lane) Image() *Image {
	if l.lock != nil {
		l.lock.Lock()
		defer l.lock.Unlock()
	}
	return l.image()
}

// image encodes the lane. A codec that panics costs the snapshot, not the lane.
func (l *Lane) image() (img *Image) {
	began := time.Now()
	img = &Image{Lane: l.name, Sequence: l.applied, Folds: l.folds(l.types.registry)}
	defer func() {
		if v := recover(); v != nil {
			img.Err = &PanicError{Value: v, Stack: debug.Stack()}
		}
		img.Took = time.Since(began)
	}()
	if l.outputs != nil {
		img.Handlers = l.HandlerIDs()
	}
	for _, s := range l.states {
		data, err := s.appendTo(make([]byte, 0, l.sizes[s.stateName()]))
		if err != nil {
			img.Err = err
			return img
		}
		if l.sizes == nil {
			l.sizes = map[string]int{}
		}
		l.sizes[s.stateName()] = len(data) + len(data)/8 // for the next time
		img.States = append(img.States, StateImage{s.stateName(), s.fingerprint(), data})
	}
	for _, r := range l.reactions {
		if r.parking != nil {
			data, oldest := r.parking.encode()
			img.Parked = append(img.Parked, ParkedImage{r.id, oldest, data})
		}
	}
	if l.effect != nil {
		if causes := l.effect.log.value.causes(); len(causes) > 0 {
			img.Owed = causes[0]
		}
	}
	if l.timerSet != nil {
		img.Timers = l.timerSet.encode()
	}
	if l.rebuilds() {
		l.base = img
	}
	return img
}

// rebuilds tells whether the lane's states may have to be made anew.
func (l *Lane) rebuilds() bool {
	return slices.ContainsFunc(l.reactions, func(r *reaction) bool { return r.role == roleOn && r.parking != nil })
}

var roleNames = [...]string{roleOn: "on", roleFold: "fold", roleEvolve: "evolve", roleDecide: "decide", roleEffect: "effect", roleBatch: "batch"}

// folds lists what changes the lane's states: for each type of events, in the order in which they run.
func (l *Lane) folds(registry *event.Registry) []FoldImage {
	names := map[reflect.Type]string{}
	for _, s := range systemTypes {
		names[s.codec.GoType()] = s.codec.Name()
	}
	for _, c := range registry.Types() {
		names[c.GoType()] = c.Name()
	}
	var all []FoldImage
	for _, reg := range l.registers {
		if r := reg.handler; r.role != roleDecide && r.id != TimersHandler {
			of := names[reg.goType]
			if reg.filtered != nil {
				of = reg.filtered.image(registry)
			}
			all = append(all, FoldImage{roleNames[r.role], r.id, of})
		}
	}
	sortFolds(all)
	return all
}

func sortFolds(all []FoldImage) {
	slices.SortStableFunc(all, func(a, b FoldImage) int { return strings.Compare(a.Type, b.Type) })
}

// Misfit tells why the lane cannot go on from img, nil if it can: its states are the same, of the same types, and the
// same handlers change them on the same events. A Decide handler changes none.
func (l *Lane) Misfit(img *Image, registry *event.Registry) error {
	misfit := func(format string, args ...any) error {
		return fmt.Errorf("lane %q: %s", l.name, fmt.Sprintf(format, args...))
	}
	now := map[string]string{} // by former name
	for _, c := range registry.Types() {
		for _, old := range registry.OldNames(c.Name()) {
			now[old] = c.Name()
		}
	}
	then := slices.Clone(img.Folds)
	for i, f := range then {
		if name, renamed := now[f.Type]; renamed {
			then[i].Type = name
		}
	}
	sortFolds(then)
	mine := l.folds(registry)
	for _, f := range mine {
		if !slices.Contains(then, f) {
			return misfit("%s is new; it has not seen the events before", f)
		}
	}
	for _, f := range then {
		if !slices.Contains(mine, f) {
			return misfit("%s is gone; it has changed the state before", f)
		}
	}
	if !slices.Equal(mine, then) {
		return misfit("its handlers stand in another order")
	}
	for _, s := range l.states {
		i := slices.IndexFunc(img.States, func(o StateImage) bool { return o.Name == s.stateName() })
		switch {
		case i < 0:
			return misfit("state %q is new", s.stateName())
		case s.fault() != nil:
			return s.fault()
		case img.States[i].Fingerprint != s.fingerprint():
			return misfit("the type of state %q has changed", s.stateName())
		}
	}
	if len(img.States) > len(l.states) {
		return misfit("a state is not declared any more")
	}
	return nil
}

// String names the registration for people.
func (f FoldImage) String() string {
	if f.Handler == "" {
		return fmt.Sprintf("a handler (%s) of %s", f.Role, f.Type)
	}
	return fmt.Sprintf("handler %q (%s) of %s", f.Handler, f.Role, f.Type)
}

// Restore sets the lane's states to those of img, in which Misfit has found nothing. It comes before Bind; Load
// completes it. After an error Reset makes the states those of an empty log again.
func (l *Lane) Restore(img *Image) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	for _, s := range l.states {
		s.prepare()
	}
	return l.restore(img)
}

// Reset makes the lane's states those of an empty log.
func (l *Lane) Reset() error {
	for _, s := range l.states {
		s.prepare()
		if err := s.reset(); err != nil {
			return err
		}
	}
	return nil
}

// restore sets the lane's states.
func (l *Lane) restore(img *Image) error {
	for _, s := range l.states {
		i := slices.IndexFunc(img.States, func(o StateImage) bool { return o.Name == s.stateName() })
		if i < 0 {
			return fmt.Errorf("handlers: lane %q: no state %q in the snapshot", l.name, s.stateName())
		}
		if err := s.decode(img.States[i].Data); err != nil {
			return err
		}
	}
	return nil
}

// Load lets the lane go on from img, which was restored: it takes over what the handlers have parked, and passes
// over events up to img.Sequence. It comes between Bind and Replay.
func (l *Lane) Load(img *Image) error {
	for i := range img.Parked {
		p := &img.Parked[i]
		for _, r := range l.reactions {
			if r.id != p.Handler {
				continue
			}
			if r.parking == nil && p.Oldest != 0 { // it has no policy any more, but what it has parked is there
				r.parking = newParking(defaultPolicy, nil)
				r.parked = r.parking
				l.parks = true
			}
			if r.parking == nil {
				continue
			}
			if err := r.parking.load(p.Data); err != nil {
				return fmt.Errorf("handlers: lane %q: what %q has parked: %w", l.name, r.id, err)
			}
		}
	}
	l.applied, l.loaded = img.Sequence, img.Sequence
	l.visible()
	if l.rebuilds() {
		l.base = img
	}
	return nil
}

// ReplayAhead handles a record behind the last one that is replayed: an event that the lane evolves, if it answers one
// up to there, was folded when it was emitted. It comes after Replay, for a state as of a sequence.
func (l *Lane) ReplayAhead(typeID uint16, body []byte) (err error) {
	if !l.evolves || l.types.owner(typeID) != l {
		return nil
	}
	d := l.dispatcher(typeID)
	v, err := event.Parse(body)
	if err != nil || d == nil {
		return err
	}
	o, ok := v.Origin()
	if !ok || o.Cause > l.applied || o.Cause <= l.loaded {
		return nil
	}
	if l.lock != nil {
		l.lock.Lock()
		defer l.lock.Unlock()
	}
	defer l.catch(&err)
	l.ahead.set(v, typeID)
	return d.run(&l.ahead)
}

// Foresees tells whether the lane has to look at records behind the last one that is replayed, to know what it was
// like there.
func (l *Lane) Foresees() bool {
	return len(l.policies) > 0 || slices.ContainsFunc(l.registers, func(r register) bool { return r.handler.role == roleEvolve })
}

// Remembers tells whether the lane must have seen all events: its handlers change state, or keep some.
func (l *Lane) Remembers() bool { return len(l.states) > 0 || len(l.folds(event.NewRegistry())) > 0 }

// Oldest is the oldest event that img still needs, 0 for none.
func (img *Image) Oldest() int64 {
	oldest := img.Owed
	for _, p := range img.Parked {
		if p.Oldest != 0 && (oldest == 0 || p.Oldest < oldest) {
			oldest = p.Oldest
		}
	}
	return oldest
}
