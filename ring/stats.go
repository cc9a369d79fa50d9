package ring

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/headrace/headrace/internal/atomic"
)

// Stats is what a ring looks like at one time, as text through encoding/json or DOT. The figures
// are read one after another while the ring runs; each is right by itself.
type Stats struct {
	Slots     int64           `json:"slots"`        // capacity, in events
	Claimed   int64           `json:"claimed"`      // last sequence claimed
	Cursor    int64           `json:"cursor"`       // last sequence published without a gap before it
	Remaining int64           `json:"remaining"`    // slots that could be claimed at once
	Aborted   int64           `json:"aborted"`      // events aborted so far
	Waiting   int             `json:"waiting"`      // producers that yield or are parked now
	Blocked   time.Duration   `json:"blockedNanos"` // that producers yielded or were parked; see Blocking
	Consumers []ConsumerStats `json:"consumers"`    // in the order in which they came
}

// ConsumerStats is where one consumer stands.
type ConsumerStats struct {
	Name   string   `json:"name"`
	Cursor int64    `json:"cursor"`          // last sequence handled
	Lag    int64    `json:"lag"`             // events published and not handled
	After  []string `json:"after,omitempty"` // names of the consumers that it comes after

	// Batches counts what was readable at once: Batches[i] batches of [2^i, 2^(i+1)) events. For a
	// poller they are the spans that it returned. Trailing zeros are cut off.
	Batches []int64 `json:"batches,omitempty"`
	// Waits is how long it yielded or was parked for want of events, by whom it waited for. Time
	// spent spinning does not count, because asking for the time takes as long.
	Waits []Wait `json:"waits,omitempty"`
	// Blocking is how long producers yielded or were parked because of it, waits that are not over
	// included. A wait counts for whoever was behind when it began.
	Blocking time.Duration `json:"blockingNanos"`

	Retries int64 `json:"retries,omitempty"` // failures after which the handler got the events again
	Skipped int64 `json:"skipped,omitempty"` // events skipped by ErrorPolicy
	Parked  int64 `json:"parked,omitempty"`  // events parked so far
}

// Wait is time that a consumer waited for another, or, where On is empty, for producers.
type Wait struct {
	On   string        `json:"on,omitempty"`
	Time time.Duration `json:"nanos"`
}

// Stats reads the ring's figures. It allocates, and costs producers and consumers nothing but the
// transfer of the cache lines that it reads.
func (r *Ring[T]) Stats() Stats {
	consumers := r.snapshot()
	st := Stats{Slots: r.seq.slots, Consumers: make([]ConsumerStats, len(consumers))}
	// Followers before leaders: cursors, then the ring's, then what is claimed.
	for i, c := range consumers {
		st.Consumers[i] = c.stats()
	}
	st.Remaining = r.Remaining()
	st.Cursor = r.Cursor()
	st.Claimed = max(r.seq.claimed(), st.Cursor)
	st.Aborted = r.seq.aborts.total.Load()
	st.Blocked, st.Waiting = r.seq.blocked.read()
	for i := range st.Consumers {
		st.Consumers[i].Lag = max(0, st.Cursor-st.Consumers[i].Cursor)
	}
	return st
}

func (c *Consumer) stats() ConsumerStats {
	st := ConsumerStats{
		Name:    c.name,
		Cursor:  c.Cursor(),
		Retries: c.retries.Load(),
		Skipped: c.skipped.Load(),
		Parked:  c.parkedEvents.Load(),
		Waits:   c.counts.waits(),
	}
	st.Blocking, _ = c.blocking.read()
	for _, up := range c.after() {
		st.After = append(st.After, up.name)
	}
	h := c.counts.histogram()
	for n := len(h); n > 0; n-- {
		if h[n-1] != 0 {
			st.Batches = slices.Clone(h[:n])
			break
		}
	}
	return st
}

// DOT returns the graph in the language of Graphviz: producers, ring and consumers, with cursors
// and lags. An edge points from whoever comes first; a dashed one from a consumer that holds the
// producers back. Names are quoted.
func (st Stats) DOT() string {
	var b strings.Builder
	b.WriteString("digraph ring {\n\trankdir=LR;\n\tnode [shape=box];\n")
	fmt.Fprintf(&b, "\tring [shape=cylinder, label=\"ring of %d\\ncursor %d\\nfree %d\"];\n", st.Slots, st.Cursor, st.Remaining)
	inner := map[string]bool{}
	for i, c := range st.Consumers {
		fmt.Fprintf(&b, "\tc%d [label=%s];\n", i, strconv.Quote(fmt.Sprintf("%s\ncursor %d\nlag %d", c.Name, c.Cursor, c.Lag)))
		for _, up := range c.After {
			inner[up] = true
		}
	}
	for i, c := range st.Consumers {
		if len(c.After) == 0 {
			fmt.Fprintf(&b, "\tring -> c%d;\n", i)
		}
		for _, up := range c.After {
			if k := slices.IndexFunc(st.Consumers, func(d ConsumerStats) bool { return d.Name == up }); k >= 0 {
				fmt.Fprintf(&b, "\tc%d -> c%d;\n", k, i)
			}
		}
		if !inner[c.Name] {
			fmt.Fprintf(&b, "\tc%d -> ring [style=dashed, constraint=false];\n", i)
		}
	}
	b.WriteString("}\n")
	return b.String()
}

// Range is the sequences [Lo, Hi].
type Range struct {
	Lo, Hi int64
	// Claimant is the stack of whoever claimed Lo, in programs built with the tag headrace_debug;
	// else it is empty.
	Claimant string
}

// Unpublished returns what is claimed and neither published nor aborted, in order, at most limit
// ranges. A range that is still there some time later is stuck: its producer has forgotten it or
// is blocked, and everybody behind it waits. It allocates, and looks at each slot that is claimed
// and not passed by the ring's cursor.
func (r *Ring[T]) Unpublished(limit int) []Range {
	s := r.seq
	cursor := s.highest()
	claimed := min(s.claimed(), cursor+s.slots)
	var out []Range
	for seq := cursor + 1; seq <= claimed; seq++ {
		// A mark ahead of the lap is of a slot that was used again meanwhile.
		if s.multi && atomic.LoadInt32(&s.marks[seq&(s.slots-1)])-s.lap(seq) >= 0 {
			continue
		}
		if n := len(out); n > 0 && out[n-1].Hi == seq-1 {
			out[n-1].Hi = seq
			continue
		}
		if len(out) >= limit {
			break
		}
		out = append(out, Range{Lo: seq, Hi: seq, Claimant: stackText(s.debug.claimant(seq))})
	}
	return out
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
