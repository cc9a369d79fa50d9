package ring

import (
	"slices"

	"github.com/smartystreets-prototypes/go-disruptor"

	"github.com/headrace/headrace/internal/block"
)

// Consume adds a consumer that hands the events to h. It must be called before Start; Join does
// the same later. name must be non-empty and unique in the ring. The error joins an *OptionError for
// each fault, or is ErrStarted, or ErrClosed.
func (r *Ring[T]) Consume(name string, h Handler[T], o ConsumerOptions) (*Consumer, error) {
	if err := r.validate(name, h, o); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	c, err := r.addBeforeStart(name, o)
	if err != nil {
		return nil, err
	}
	l := r.newLoop(c, h, o)
	r.loops = append(r.loops, l)
	return c, nil
}

// Start starts the consumers, each on a goroutine of its own. Events published before it wait in
// the ring. The errors are ErrNoConsumers, ErrStarted, and ErrClosed or ErrHalted for a ring that
// was stopped before it began.
func (r *Ring[T]) Start() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.started:
		return ErrStarted
	case r.ended:
		return r.seq.stopError()
	case len(r.consumers) == 0:
		return ErrNoConsumers
	}
	r.started = true
	for _, c := range r.consumers {
		r.launch(c)
	}
	r.regate()
	for _, l := range r.loops {
		block.Go(l.run)
	}
	r.loops = nil
	r.seq.changed.wakeAll()
	return nil
}

func (r *Ring[T]) validate(name string, h Handler[T], o ConsumerOptions) error {
	if f, ok := h.(HandlerFunc[T]); h == nil || ok && f == nil {
		return optionError("Handler", "consumer %q has none", name)
	}
	return r.validatePlace(name, o)
}

func (r *Ring[T]) validatePlace(name string, o ConsumerOptions) error {
	if name == "" {
		return optionError("Name", "a consumer needs a name")
	}
	return o.validate(r.seq)
}

// addBeforeStart puts a consumer into the graph of a ring that has not started. r.mu is held.
func (r *Ring[T]) addBeforeStart(name string, o ConsumerOptions) (*Consumer, error) {
	if r.started {
		return nil, ErrStarted
	}
	if r.ended || r.seq.stopping() {
		return nil, r.seq.stopError()
	}
	if o.From == 0 && len(o.Before) == 0 {
		o.From = r.seq.first
	}
	return r.add(name, o)
}

// add puts a consumer into the graph, with its cursor before From, or where those that it comes
// after are now. Because they exist already, there is no cycle. r.mu is held.
func (r *Ring[T]) add(name string, o ConsumerOptions) (*Consumer, error) {
	if err := r.unused(name); err != nil {
		return nil, err
	}
	after, before := withGroups(o.After), withGroups(o.Before)
	if err := inFront(after, before); err != nil {
		return nil, err
	}
	c := &Consumer{seq: r.seq, name: name, gone: make(chan struct{})}
	cursor := r.seq.reached(after)
	switch {
	case len(before) > 0 && !r.started: // what is published already is still to come
		cursor = r.seq.first - 1
		for _, d := range before {
			cursor = max(cursor, d.cursor.Load())
		}
	case o.From == 0:
	case o.From > cursor+1:
		return nil, optionError("From", "%d is past %d, the next event there", o.From, cursor+1)
	case o.From < r.seq.first:
		return nil, optionError("From", "%d is before the first sequence, %d", o.From, r.seq.first)
	default:
		cursor = o.From - 1
	}
	if oldest := r.seq.claimed() - r.seq.slots; o.From > 0 && cursor < oldest {
		return nil, &GoneError{From: o.From, Oldest: oldest + 1}
	}
	c.cursor.Store(cursor)
	c.leaveAt.Store(never)
	c.gate.init(false)
	c.link.Store(newLink(c, after))
	if len(before) == 0 {
		r.consumers = append(r.consumers, c)
		return c, nil
	}
	// Each after those that it comes after: the first of before is behind all of after.
	at := slices.IndexFunc(r.consumers, func(d *Consumer) bool { return slices.Contains(before, d) })
	r.consumers = slices.Insert(slices.Clone(r.consumers), at, c)
	for _, d := range before {
		ups := slices.DeleteFunc(slices.Clone(d.after()), func(up *Consumer) bool { return slices.Contains(after, up) })
		d.link.Store(newLink(d, append(ups, c)))
	}
	if r.started {
		r.overtake(c)
	}
	return c, nil
}

// unused checks that no consumer has the name. r.mu is held.
func (r *Ring[T]) unused(name string) error {
	for _, c := range r.consumers {
		if c.name == name {
			return optionError("Name", "there is a consumer %q already", name)
		}
	}
	return nil
}

// inFront checks that a consumer can come after these and before those.
func inFront(after, before []*Consumer) error {
	for _, c := range after {
		if c.left.Load() {
			return optionError("After", "consumer %q has left", c.name)
		}
	}
	for _, d := range before {
		if d.left.Load() {
			return optionError("Before", "consumer %q has left", d.name)
		}
		for _, c := range after {
			if c == d || !c.reaches(d) {
				return optionError("Before", "consumer %q does not come after %q", d.name, c.name)
			}
		}
	}
	return nil
}

// overtake moves c, which has just been put in front of others, past what they may be reading
// already. r.mu is held.
//
// One of them may have loaded how far it may read by its old link, and not moved yet. Every load by
// an old link was over before the links were exchanged (see upstream), so what it found was
// published, and handled by those that c comes after, before we look here. And it holds back the
// producers, so that nobody laps c meanwhile, wherever c's cursor is.
func (r *Ring[T]) overtake(c *Consumer) {
	for {
		c.progress(max(c.cursor.Load(), r.seq.reached(c.after())))
		// The ring's cursor is an old one if producers have lapped it while it was looked for.
		if c.cursor.Load() >= r.seq.gatingSequence() {
			return
		}
	}
}

// reached returns how far a consumer behind after, or at the head of the graph, could be.
func (s *sequencer) reached(after []*Consumer) int64 {
	if len(after) == 0 {
		return s.highest()
	}
	least := int64(never)
	for _, c := range after {
		least = min(least, c.cursor.Load())
	}
	return least
}

func (r *Ring[T]) newPlace(c *Consumer, o ConsumerOptions) place {
	return place{
		Consumer: c,
		wait:     o.Wait.orElse(r.seq.wait),
		parker:   newParker(),
		chase:    newChase(r.seq.first, r.seq.slots),
		counts:   &c.counts,
	}
}

func (r *Ring[T]) newLoop(c *Consumer, h Handler[T], o ConsumerOptions) *loop[T] {
	l := &loop[T]{
		place:    r.newPlace(c, o),
		hooks:    hooksOf[T](h),
		ring:     r,
		handler:  h,
		maxBatch: int64(o.MaxBatch),
		policy:   o.OnError.withDefaults(),
		parking:  new(parking[T]),
		pin:      o.Pin,
	}
	if l.maxBatch == 0 {
		l.maxBatch = max(1, r.seq.slots/8)
	}
	c.parked = l.parking
	l.reader = disruptor.NewReader(plainCursor(&c.cursor), plainCursor(&c.cursor), l, l, l)
	return l
}

// launch makes c one of those that the ring waits for. r.mu is held.
func (r *Ring[T]) launch(c *Consumer) {
	r.running++
	c.launched.Store(true)
	r.noteEverybody()
}

// noteEverybody shows the launched consumers to those who do not hold r.mu, which is held here.
func (r *Ring[T]) noteEverybody() {
	var all []*Consumer
	for _, c := range r.consumers {
		if c.launched.Load() {
			all = append(all, c)
		}
	}
	r.seq.everybody.Store(&all)
}

// unlink takes c out of the graph. What came after it now comes after what it came after; that is
// ahead of c, so nobody has to wait, and nobody misses an event. r.mu is held, and c's cursor moves
// no more.
func (r *Ring[T]) unlink(c *Consumer) {
	r.consumers = slices.DeleteFunc(slices.Clone(r.consumers), func(d *Consumer) bool { return d == c })
	for _, d := range r.consumers {
		after := d.after()
		i := slices.Index(after, c)
		if i < 0 {
			continue
		}
		after = distinct(append(slices.Delete(slices.Clone(after), i, i+1), c.after()...))
		d.link.Store(newLink(d, after))
	}
	r.noteEverybody()
	// The producers' cached gating sequences hold: none is past c's cursor, and what takes its
	// place in the set is not behind it.
	r.regate()
	c.left.Store(true)
	c.gate.wakeAll()
}

// leaves returns the consumers with nobody after them.
func leaves(consumers []*Consumer) []*Consumer {
	inner := map[*Consumer]bool{}
	for _, c := range consumers {
		for _, up := range c.after() {
			inner[up] = true
		}
	}
	var out []*Consumer
	for _, c := range consumers {
		if !inner[c] {
			out = append(out, c)
		}
	}
	return out
}

// distinct returns after without repetitions, in its order, in memory of its own.
func distinct(after []*Consumer) []*Consumer {
	var out []*Consumer
	for _, c := range after {
		if !slices.Contains(out, c) {
			out = append(out, c)
		}
	}
	return out
}
