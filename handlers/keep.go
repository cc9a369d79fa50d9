package handlers

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"

	"github.com/headrace/headrace/event"
)

var (
	// ErrForeignState reports a handler that asks for a state which another lane keeps.
	ErrForeignState = errors.New("handlers: state belongs to another lane")

	// ErrMixedState reports a state that is used both by Evolve, which is ahead of the log, and by On or Fold,
	// which are not: replayed, it would not be what it was.
	ErrMixedState = errors.New("handlers: state is used by Evolve and by On or Fold")

	// ErrNotKept reports state that cannot be stored: of a type that cannot be encoded, or of a lane
	// whose handlers keep state that nobody declared.
	ErrNotKept = errors.New("handlers: state cannot be stored")
)

// StateCodec is implemented, on *S, by states that encode themselves. Without it a state goes
// through msgpack as an event does: exported fields, maps in order of their keys, up to 64 MiB.
type StateCodec interface {
	// AppendSnapshot appends the state to dst. Equal states have equal bytes.
	AppendSnapshot(dst []byte) ([]byte, error)
	// DecodeSnapshot sets the receiver, which is new, from what AppendSnapshot wrote. It keeps no part of data.
	DecodeSnapshot(data []byte) error
}

// StateSchema is implemented, on *S, by states whose encoding cannot be told from their type, such as those that
// encode themselves. A snapshot is used only if the text is what it was: so a state that reads what its former
// version wrote keeps the text, and one that does not, or means something else by it, changes it.
type StateSchema interface{ SnapshotSchema() string }

// State is what a lane's handlers keep between events. Declared with Keep it can be hashed, stored, looked
// at from outside, and made anew.
type State[S any] struct {
	lane  *Lane
	name  string
	make  func() *S
	value *S
	codec stateCodec[S]
	empty []byte // encoding of a state that was given, and not made: what reset goes back to
	ahead bool   // Evolve uses it
	logs  bool   // On or Fold uses it
}

// kept is the face of a State that does not depend on its type.
type kept interface {
	stateName() string
	prepare() // before the first event
	reset() error
	beside(l *Lane) (kept, error) // one of an empty log, for another lane
	adopt(other kept)             // takes the value of what beside has returned
	appendTo(dst []byte) ([]byte, error)
	decode(data []byte) error
	fingerprint() [32]byte
	fault() error // ErrNotKept: it cannot be encoded
	try() error   // fault, or that of encoding the state of an empty log
}

// Keep declares a state of the lane. A lane that declares state declares all of it: whatever its handlers
// remember from one event to the next is in states like this one. fresh makes the state of an empty
// log; name is unique on the lane.
func Keep[S any](l *Lane, name string, fresh func() *S) *State[S] {
	s := &State[S]{lane: l, name: name, make: fresh}
	if name == "" {
		l.faults = append(l.faults, fmt.Errorf("handlers: lane %q: a state needs a name", l.name))
	}
	if fresh == nil {
		l.faults = append(l.faults, fmt.Errorf("handlers: lane %q: state %q: nothing makes it", l.name, name))
		s.make = func() *S { return new(S) }
	}
	for _, other := range l.states {
		if other.stateName() == name {
			l.faults = append(l.faults, fmt.Errorf("handlers: lane %q: two states are named %q", l.name, name))
		}
	}
	if s.value = s.make(); s.value == nil {
		l.faults = append(l.faults, fmt.Errorf("handlers: lane %q: state %q: what makes it makes nil", l.name, name))
	}
	l.states = append(l.states, s)
	l.declared = l.declared || !l.declaring
	if l.lock == nil {
		l.outside = new(sync.RWMutex)
		l.lock = l.outside
	}
	return s
}

// Of returns the state for the handler that c belongs to. It panics with ErrForeignState on another lane,
// with ErrNotInHandler outside a handler, and with ErrMixedState as that says; the handler has then failed.
func (s *State[S]) Of(c *Context) *S {
	switch {
	case c.lane != s.lane:
		panic(fmt.Errorf("%w: state %q of lane %q, used on lane %q", ErrForeignState, s.name, s.lane.name, c.lane.name))
	case c.handler == nil:
		panic(ErrNotInHandler)
	}
	switch c.handler.role {
	case roleEvolve:
		s.ahead = true
	case roleOn, roleFold, roleBatch:
		s.logs = true
	}
	if s.ahead && s.logs {
		panic(fmt.Errorf("%w: %q of lane %q", ErrMixedState, s.name, s.lane.name))
	}
	return s.value
}

// View calls fn with the state and the sequence of the last event that the lane has handled. A state that
// Evolve changes contains also what was decided on events up to there and is not in the log yet. fn
// must not change or keep the state; while it runs the lane waits. It may be called from any goroutine but the
// lane's own.
func (s *State[S]) View(fn func(v *S, sequence int64)) {
	if s.lane.outside != nil {
		s.lane.outside.RLock()
		defer s.lane.outside.RUnlock()
	} else { // a projection's lane, which had a lock already
		s.lane.lock.Lock()
		defer s.lane.lock.Unlock()
	}
	fn(s.value, s.lane.applied)
}

func (s *State[S]) stateName() string { return s.name }

// prepare remembers what a state that was given is like before the first event.
func (s *State[S]) prepare() {
	if s.make == nil && s.empty == nil && s.fault() == nil {
		s.empty, s.codec.err = s.codec.append([]byte{}, s.value)
	}
}

// fresh returns the state of an empty log.
func (s *State[S]) fresh() (*S, error) {
	if s.make != nil {
		return s.make(), nil
	}
	v := new(S)
	if err := s.fault(); err != nil {
		return v, err
	}
	return v, s.codec.decode(s.empty, v)
}

func (s *State[S]) reset() error {
	v, err := s.fresh()
	if err == nil {
		s.set(v)
	}
	return err
}

func (s *State[S]) beside(l *Lane) (kept, error) {
	v, err := s.fresh()
	if err != nil {
		return nil, err
	}
	return &State[S]{lane: l, name: s.name, make: s.make, value: v}, nil
}

func (s *State[S]) adopt(other kept) { s.value = other.(*State[S]).value }

// set changes the state in place: whoever has a pointer to it keeps it.
func (s *State[S]) set(v *S) {
	if s.value == nil {
		s.value = v
		return
	}
	*s.value = *v
}

func (s *State[S]) fault() error {
	if err := s.codec.init(s.name); err != nil {
		return fmt.Errorf("%w: state %q of lane %q: %w", ErrNotKept, s.name, s.lane.name, err)
	}
	return nil
}

func (s *State[S]) appendTo(dst []byte) ([]byte, error) {
	if err := s.fault(); err != nil {
		return dst, err
	}
	return s.codec.append(dst, s.value)
}

func (s *State[S]) decode(data []byte) error {
	if err := s.fault(); err != nil {
		return err
	}
	v, err := s.fresh()
	if err == nil && s.codec.typed != nil {
		first := v
		v = new(S) // what is decoded is all of it
		if err = s.codec.decode(data, v); err == nil {
			keepUnstored(v, first)
		}
	} else if err == nil {
		err = s.codec.decode(data, v)
	}
	if err != nil {
		return fmt.Errorf("handlers: state %q of lane %q: %w", s.name, s.lane.name, err)
	}
	s.set(v)
	return nil
}

func (s *State[S]) try() error {
	s.prepare()
	if err := s.fault(); err != nil {
		return err
	}
	v, err := s.fresh()
	if err == nil {
		_, err = s.codec.append(nil, v)
	}
	if err != nil {
		return fmt.Errorf("%w: state %q of lane %q: %w", ErrNotKept, s.name, s.lane.name, err)
	}
	return nil
}

func (s *State[S]) fingerprint() [32]byte { return s.codec.fingerprint() }

// StateHash is what one state comes to.
type StateHash struct {
	Lane, Name string
	Bytes      int // of its encoding
	SHA256     [sha256.Size]byte
}

// Hashes returns the hash of each state that the lane keeps, in the order of declaration, and the sequence of the
// last event that they contain. ErrNotKept names a state that cannot be encoded. It may be called from any
// goroutine but the lane's own; the lane waits meanwhile.
func (l *Lane) Hashes() (all []StateHash, sequence int64, err error) {
	if l.lock != nil {
		l.lock.Lock()
		defer l.lock.Unlock()
	}
	var buf []byte
	for _, s := range l.states {
		if buf, err = s.appendTo(buf[:0]); err != nil {
			return nil, 0, err
		}
		all = append(all, StateHash{Lane: l.name, Name: s.stateName(), Bytes: len(buf), SHA256: sha256.Sum256(buf)})
	}
	return all, l.applied, nil
}

// Coder encodes values of a type as Keep encodes states, for states that are made of many.
type Coder[S any] struct{ codec stateCodec[S] }

// NewCoder returns the coder of S. Its error says why an S cannot be encoded without a loss.
func NewCoder[S any]() (*Coder[S], error) {
	k := new(Coder[S])
	return k, k.codec.init("")
}

// Append appends the encoding of v to dst.
func (k *Coder[S]) Append(dst []byte, v *S) ([]byte, error) { return k.codec.append(dst, v) }

// Decode sets v, which is new, from what Append wrote. It keeps no part of data.
func (k *Coder[S]) Decode(data []byte, v *S) error { return k.codec.decode(data, v) }

// Fingerprint tells encodings of different types apart.
func (k *Coder[S]) Fingerprint() [sha256.Size]byte { return k.codec.fingerprint() }

// stateCodec encodes states of one type: by themselves, or as events are.
type stateCodec[S any] struct {
	ready bool
	err   error
	typed *event.Type[S] // nil: StateCodec
}

func (k *stateCodec[S]) init(name string) error {
	if k.ready {
		return k.err
	}
	k.ready = true
	if _, own := any((*S)(nil)).(StateCodec); own {
		return nil
	}
	if k.err = lossless[S](); k.err == nil {
		k.typed, k.err = event.Register[S](event.NewRegistry(), "state", 1)
	}
	return k.err
}

func (k *stateCodec[S]) append(dst []byte, v *S) (out []byte, err error) {
	if k.typed != nil {
		return k.typed.AppendPayload(dst, v)
	}
	return any(v).(StateCodec).AppendSnapshot(dst)
}

func (k *stateCodec[S]) decode(data []byte, v *S) error {
	if k.typed != nil {
		return k.typed.Decode(data, v)
	}
	return any(v).(StateCodec).DecodeSnapshot(data)
}
