//go:build headrace_explore

package ring

import (
	"errors"
	"fmt"

	"github.com/headrace/headrace/internal/atomic"
	"github.com/headrace/headrace/internal/explore"
)

// parking waits by parking at once, polling by looking again whenever something has changed.
var (
	parkingAtOnce = WaitStrategy{name: "park at once", parks: true}
	polling       = WaitStrategy{name: "poll"}
)

// A scene is a ring with producers and consumers, as a scenario for the explorer.
type scene struct {
	options Options
	plain   bool    // stores without a fence
	claims  [][]int // sizes of the claims of each producer
	graph   [][]int // which consumers each one comes after
	batch   int     // ConsumerOptions.MaxBatch
	before  int     // events published before the start
	loose   bool    // the ring is stopped while producers are at work
	poller  bool    // a poller at the head, too
	pushed  bool    // others will be put in front of the head
}

// A stage is a scene under way.
type stage struct {
	*explore.Run
	r      *Ring[int64]
	cs     []*Consumer
	seen   []int64 // last sequence that each consumer has handled
	first  int64
	total  int64           // events that will be published
	ends   map[int64]int64 // last sequence of the claim that each belongs to
	poller *Poller[int64]
	loose  bool // producers end when the ring does, and what they got is what counts
}

func (sc scene) open(run *explore.Run) *stage {
	o := sc.options
	r := must(newRing[int64](o, sc.plain))
	s := &stage{Run: run, r: r, first: r.seq.first, loose: sc.loose, ends: map[int64]int64{}}
	for i, after := range sc.graph {
		co := ConsumerOptions{MaxBatch: sc.batch}
		for _, up := range after {
			co.After = append(co.After, s.cs[up])
		}
		s.seen = append(s.seen, s.first-1)
		s.cs = append(s.cs, must(r.Consume(fmt.Sprint("consumer ", i), watcher{s.handler(i), s, len(after) == 0 && !sc.pushed}, co)))
	}
	if sc.poller {
		s.poller = must(r.Poller("poller", ConsumerOptions{}))
	}
	for range sc.before {
		hi := must(r.TryClaim(1))
		s.write(hi)
		r.Publish(hi, hi)
	}
	s.total = int64(sc.before)
	if err := r.Start(); err != nil {
		panic(err)
	}
	if !sc.loose {
		run.Daemons()
	}
	for i, sizes := range sc.claims {
		for _, n := range sizes {
			if !sc.loose {
				s.total += int64(n)
			}
		}
		run.Go(fmt.Sprint("producer ", i), func() { s.produce(sizes) })
	}
	return s
}

// value is what event seq holds.
func value(seq int64) int64 { return seq*3 + 1 }

func (s *stage) load(p *int64) int64 { return atomic.LoadInt64(p) }

func (s *stage) write(seq int64) { atomic.StoreRelease(s.r.Slot(seq), value(seq)) }

func (s *stage) produce(sizes []int) {
	for _, n := range sizes {
		hi, err := s.r.Claim(n)
		if s.loose && errors.Is(err, whyStopped(s.r)) {
			return
		}
		if err != nil {
			explore.Fail("claim: %v", err)
		}
		if s.loose {
			s.total += int64(n)
		}
		lo := hi - int64(n) + 1
		for seq := lo; seq <= hi; seq++ {
			s.write(seq)
		}
		for seq := lo; seq <= hi; seq++ {
			s.ends[seq] = hi
		}
		s.r.Publish(lo, hi)
	}
}

// watcher is the handler of a consumer of a stage.
type watcher struct {
	HandlerFunc[int64]
	s    *stage
	head bool
}

// OnBatch checks that what was published at once is seen at once, which holds at the head.
func (w watcher) OnBatch(_, hi int64) {
	if end := w.s.ends[hi]; w.head && end > hi {
		explore.Fail("event %d is seen without %d, which was published with it", hi, end)
	}
}

// whyStopped is what claims fail with once the ring is stopped.
func whyStopped(r *Ring[int64]) error {
	if r.seq.halted() {
		return ErrHalted
	}
	return ErrClosed
}

func must[V any](v V, err error) V {
	if err != nil {
		panic(err)
	}
	return v
}

// handler checks that consumer i gets each event once, in order, as it was written, and that nobody
// overwrites it while the consumer has it.
func (s *stage) handler(i int) HandlerFunc[int64] {
	return func(lo int64, span []int64) error {
		if s.seen[i]+1 < lo && s.r.seq.aborts.last.Load() >= lo-1 { // by Join
			s.seen[i] = lo - 1
		}
		if lo != s.seen[i]+1 {
			explore.Fail("consumer %d gets %d after %d", i, lo, s.seen[i])
		}
		for range 2 {
			for k := range span {
				if got := atomic.LoadInt64(&span[k]); got != value(lo+int64(k)) {
					explore.Fail("consumer %d finds %d in event %d", i, got, lo+int64(k))
				}
			}
		}
		s.seen[i] += int64(len(span))
		return nil
	}
}

// allSeen is checked at the end, when everybody waits: a lost wake-up shows here.
func (s *stage) allSeen() error {
	last := s.first - 1 + s.total
	for i, got := range s.seen {
		if got != last || s.cs[i].Cursor() != last {
			return fmt.Errorf("consumer %d is left waiting at %d of %d", i, got, last)
		}
	}
	if err := s.r.Err(); err != nil {
		return err
	}
	return nil
}

// allPassed is allSeen where others may have claimed sequences that they aborted.
func (s *stage) allPassed() error {
	last := s.r.seq.claimed()
	for i, c := range s.cs {
		if c.Cursor() != last {
			return fmt.Errorf("consumer %d is left waiting at %d of %d", i, c.Cursor(), last)
		}
	}
	return s.r.Err()
}

func (sc scene) scenario(run *explore.Run) {
	s := sc.open(run)
	run.Check(s.allSeen)
}
