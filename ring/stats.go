package ring

import "slices"

// Stats is what a ring looks like at one time. The figures are read one after another while the
// ring runs; each is right by itself.
type Stats struct {
	Slots     int64           // capacity, in events
	Claimed   int64           // last sequence claimed
	Cursor    int64           // last sequence published without a gap before it
	Remaining int64           // slots that could be claimed at once
	Consumers []ConsumerStats // in the order of Consume
}

// ConsumerStats is where one consumer stands.
type ConsumerStats struct {
	Name   string
	Cursor int64 // last sequence handled
	Lag    int64 // events published and not handled
}

// Stats reads the ring's figures. It allocates, and costs producers and consumers nothing but the
// transfer of the cache lines that it reads.
func (r *Ring[T]) Stats() Stats {
	consumers := r.snapshot()
	st := Stats{Slots: r.seq.slots, Consumers: make([]ConsumerStats, len(consumers))}
	// Followers before leaders: cursors, then the ring's, then what is claimed.
	for i, c := range consumers {
		st.Consumers[i] = ConsumerStats{Name: c.name, Cursor: c.Cursor()}
	}
	st.Remaining = r.Remaining()
	st.Cursor = r.Cursor()
	st.Claimed = max(r.seq.claimed(), st.Cursor)
	for i := range st.Consumers {
		st.Consumers[i].Lag = max(0, st.Cursor-st.Consumers[i].Cursor)
	}
	return st
}

// Cursor returns the highest sequence that is published with everything before it,
// FirstSequence-1 if none is. With MultiProducer it looks at each slot that is published and not
// yet handled.
func (r *Ring[T]) Cursor() int64 { return r.seq.highest() }

// Remaining returns how many slots are free, in [0, Slots]. Only a single producer can rely on
// getting them.
func (r *Ring[T]) Remaining() int64 {
	gate := r.seq.gatingSequence() // first: it may only be too small
	return max(0, r.seq.slots-(r.seq.claimed()-gate))
}

func (r *Ring[T]) snapshot() []*Consumer {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.consumers)
}
