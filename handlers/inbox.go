package handlers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/headrace/headrace/event/pack"
)

// Inbox knows how far the log has taken in what comes from sources outside: for each, the offset of the last event, and
// where in the log the events before it are. It is rebuilt from the events themselves, or from a snapshot and
// the events behind it.
//
// The last 256 to 512 offsets of a source are kept as they are, and of those before every 256th, which takes 16 bytes for
// each of them. All methods may be called from any goroutine.
type Inbox struct {
	refuse func() error // why the caller may not wait; nil: everybody may

	mu      sync.Mutex
	sources map[string]*source
}

// SourcePosition is an event that came from a source.
type SourcePosition struct {
	Source   string
	Offset   int64 // in the source
	Sequence int64 // in the log
}

// InboxImage is what an Inbox knows of one source, as it stands in a snapshot.
type InboxImage struct {
	Source        string
	Marks, Recent []SourcePlace
}

// SourcePlace is where in the log an offset is.
type SourcePlace struct{ Offset, Sequence int64 }

// source is what is known of one. Offsets and sequences ascend. recent has no gaps; of what is before it every 256th is a
// mark, from the very first on.
type source struct {
	turn   chan struct{} // capacity 1: whoever publishes holds it
	marks  []SourcePlace
	recent []SourcePlace
}

const recentOffsets = 256

// ErrOffset reports events of a source that were taken in in part: some of a batch are at or below the last offset of the
// source, others are not.
var ErrOffset = errors.New("handlers: some of the offsets were taken in before")

// NewInbox returns one that knows of nothing.
func NewInbox() *Inbox { return &Inbox{sources: map[string]*source{}} }

func (s *source) last() (p SourcePlace, ok bool) {
	if n := len(s.recent); n > 0 {
		return s.recent[n-1], true
	}
	if n := len(s.marks); n > 0 {
		return s.marks[n-1], true
	}
	return p, false
}

func (s *source) add(p SourcePlace) {
	if len(s.recent) == 2*recentOffsets {
		s.marks = append(s.marks, s.recent[0])
		s.recent = append(s.recent[:0], s.recent[recentOffsets:]...)
	}
	s.recent = append(s.recent, p)
}

// Repeat is where the log has what was taken in before: at Sequence, or, where that is 0, at the first event of the source
// in [From, To] with an offset that is not lower.
type Repeat struct{ Sequence, From, To int64 }

// Refusing is that of Dedup.
func (b *Inbox) Refusing(refuse func() error) { b.refuse = refuse }

// Begin asks whether the events of a source with the offsets [first, last] are to be taken in. If fresh the caller
// publishes them and then calls Done, or Cancel; until then others wait for their turn. If not, Repeat
// says where the first is. It returns ErrOffset, and the error of ctx if that ends first.
func (b *Inbox) Begin(ctx context.Context, name string, first, last int64) (r Repeat, fresh bool, err error) {
	b.mu.Lock()
	s := b.sources[name]
	if s == nil {
		s = &source{turn: make(chan struct{}, 1)}
		b.sources[name] = s
	}
	b.mu.Unlock()
	select {
	case s.turn <- struct{}{}:
	default:
		if b.refuse != nil && ctx.Err() == nil {
			if err := b.refuse(); err != nil {
				return r, false, err
			}
		}
		select {
		case s.turn <- struct{}{}:
		case <-ctx.Done():
			return r, false, fmt.Errorf("handlers: a message of source %q is just being published: %w", name, ctx.Err())
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	at, ok := s.last()
	switch {
	case !ok || first > at.Offset:
		return r, true, nil
	case last > at.Offset:
		<-s.turn
		return r, false, fmt.Errorf("%w: source %q is at %d, the batch has %d to %d", ErrOffset, name, at.Offset, first, last)
	}
	<-s.turn
	return s.find(first), false, nil
}

// find looks for the first event with an offset of at least this. There is one.
func (s *source) find(offset int64) (r Repeat) {
	byOffset := func(p SourcePlace, o int64) int {
		switch {
		case p.Offset < o:
			return -1
		case p.Offset > o:
			return 1
		}
		return 0
	}
	i, exact := slices.BinarySearchFunc(s.recent, offset, byOffset)
	if exact || i > 0 || i < len(s.recent) && len(s.marks) == 0 {
		return Repeat{Sequence: s.recent[i].Sequence}
	}
	m, exact := slices.BinarySearchFunc(s.marks, offset, byOffset)
	if exact || m == 0 {
		return Repeat{Sequence: s.marks[m].Sequence}
	}
	r.From = s.marks[m-1].Sequence
	if m < len(s.marks) {
		r.To = s.marks[m].Sequence
	} else {
		r.To = s.recent[0].Sequence
	}
	return r
}

// Done ends a turn: the events were published.
func (b *Inbox) Done(name string, places ...SourcePlace) {
	b.mu.Lock()
	s := b.sources[name]
	for _, p := range places {
		s.add(p)
	}
	b.mu.Unlock()
	<-s.turn
}

// Cancel ends a turn in which nothing was published.
func (b *Inbox) Cancel(name string) {
	b.mu.Lock()
	s := b.sources[name]
	b.mu.Unlock()
	<-s.turn
}

// Learn takes in an event of the log, in the order of the log.
func (b *Inbox) Learn(name []byte, offset, seq int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.sources[string(name)]
	if s == nil {
		s = &source{turn: make(chan struct{}, 1)}
		b.sources[string(name)] = s
	}
	if at, ok := s.last(); !ok || offset > at.Offset {
		s.add(SourcePlace{offset, seq})
	}
}

// Position returns the last event of a source, false if it has none.
func (b *Inbox) Position(name string) (SourcePosition, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := b.sources[name]; s != nil {
		if at, ok := s.last(); ok {
			return SourcePosition{name, at.Offset, at.Sequence}, true
		}
	}
	return SourcePosition{}, false
}

// Positions returns the last event of every source, by name.
func (b *Inbox) Positions() []SourcePosition {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []SourcePosition
	for name, s := range b.sources {
		if at, ok := s.last(); ok {
			all = append(all, SourcePosition{name, at.Offset, at.Sequence})
		}
	}
	slices.SortFunc(all, func(a, b SourcePosition) int { return strings.Compare(a.Source, b.Source) })
	return all
}

// Image returns what is known of events up to upTo, all of which are published: it waits for those who are about to say
// where theirs are, until ctx ends.
func (b *Inbox) Image(ctx context.Context, upTo int64) ([]InboxImage, error) {
	b.mu.Lock()
	var names []string
	for name := range b.sources {
		names = append(names, name)
	}
	b.mu.Unlock()
	slices.Sort(names)
	var all []InboxImage
	for _, name := range names {
		b.mu.Lock()
		s := b.sources[name]
		b.mu.Unlock()
		select {
		case s.turn <- struct{}{}:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		b.mu.Lock()
		img := InboxImage{name, cut(s.marks, upTo), cut(s.recent, upTo)}
		b.mu.Unlock()
		<-s.turn
		if len(img.Marks)+len(img.Recent) > 0 {
			all = append(all, img)
		}
	}
	return all, nil
}

// cut returns a copy of the places up to a sequence.
func cut(all []SourcePlace, upTo int64) []SourcePlace {
	n, _ := slices.BinarySearchFunc(all, upTo+1, func(p SourcePlace, seq int64) int { return int(min(1, max(-1, p.Sequence-seq))) })
	return slices.Clone(all[:n])
}

// Load takes in images.
func (b *Inbox) Load(all []InboxImage) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, img := range all {
		b.sources[img.Source] = &source{turn: make(chan struct{}, 1), marks: img.Marks, recent: img.Recent}
	}
}

// AppendInbox appends the encoding of images, for a snapshot.
func AppendInbox(dst []byte, all []InboxImage) []byte {
	dst = pack.AppendArrayHeader(dst, len(all))
	for _, img := range all {
		dst = pack.AppendArrayHeader(dst, 3)
		dst = pack.AppendString(dst, img.Source)
		for _, places := range [][]SourcePlace{img.Marks, img.Recent} {
			dst = pack.AppendArrayHeader(dst, 2*len(places))
			for _, p := range places {
				dst = pack.AppendInt(pack.AppendInt(dst, p.Offset), p.Sequence)
			}
		}
	}
	return dst
}

// DecodeInbox reads what AppendInbox wrote.
func DecodeInbox(data []byte) (all []InboxImage, err error) {
	r := pack.NewReader(data)
	for n := r.ArrayHeader(); n > 0 && r.Err() == nil; n-- {
		r.Tuple(3)
		img := InboxImage{Source: r.Str()}
		before := SourcePlace{-1, 0}
		for _, places := range []*[]SourcePlace{&img.Marks, &img.Recent} {
			for k := r.ArrayHeader(); k > 0 && r.Err() == nil; k -= 2 {
				p := SourcePlace{r.Int64(), r.Int64()}
				if r.Err() == nil && (p.Offset <= before.Offset || p.Sequence <= before.Sequence) {
					return nil, errImage
				}
				before = p
				*places = append(*places, p)
			}
		}
		if len(img.Recent) > 2*recentOffsets {
			return nil, errImage
		}
		all = append(all, img)
	}
	if err := r.Close(); err != nil {
		return nil, errors.Join(errImage, err)
	}
	return all, nil
}
