package ring

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// reference is a ring as a mutex and slices: what the real one must be indistinguishable from.
type reference struct {
	mu        sync.Mutex
	slots     int64
	first     int64
	claimed   int64
	published []bool // by seq - first
	cursors   []int64
	after     [][]int
}

func newReference(slots, first int64, after [][]int) *reference {
	m := &reference{slots: slots, first: first, claimed: first - 1, after: after}
	for range after {
		m.cursors = append(m.cursors, first-1)
	}
	return m
}

func (m *reference) tryClaim(n int64) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n < 1 || n > m.slots {
		return 0, ErrClaimSize
	}
	if m.claimed-slices.Min(m.cursors)+n > m.slots {
		return 0, ErrFull
	}
	m.claimed += n
	m.published = append(m.published, make([]bool, n)...)
	return m.claimed, nil
}

func (m *reference) publish(lo, hi int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for s := lo; s <= hi; s++ {
		m.published[s-m.first] = true
	}
}

func (m *reference) cursor() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.first
	for s-m.first < int64(len(m.published)) && m.published[s-m.first] {
		s++
	}
	return s - 1
}

func (m *reference) barrier(i int) int64 {
	hi := m.cursor()
	for _, up := range m.after[i] {
		hi = min(hi, m.cursors[up])
	}
	return hi
}

// step does for a consumer what Reader does in one turn, on the caller's goroutine.
func step(l *loop[int64]) {
	lower := l.cursor.Load() + 1
	if upper := l.link.Load().barrier.Load(); lower <= upper {
		l.Consume(lower, upper)
		l.cursor.Store(upper)
	}
}

// TestRing_RandomOperations_MatchReference runs operation sequences on both, one at a time, and
// compares everything that can be seen.
func TestRing_RandomOperations_MatchReference(t *testing.T) {
	runs := 400
	if testing.Short() {
		runs = 60
	}
	seed := rand.Uint64()
	for run := range runs {
		rng := rand.New(rand.NewPCG(seed, uint64(run)))
		slots := int64(1) << rng.IntN(4)
		// Laps are kept in 32 bits: begin around every place where that wraps, and at the ends.
		first := []int64{1, 2, slots, 1<<31*slots - 20, 1<<32*slots - 20, 1<<40 - 20, MaxFirstSequence}[rng.IntN(7)]
		first = max(first, 1)
		graph := [][][]int{{{}}, {{}, {0}}, {{}, {}, {0, 1}}, {{}, {0}, {0}, {1, 2}, {}}}[rng.IntN(4)]
		producers := Producers(rng.IntN(2))
		plain := plainModes()[rng.IntN(len(plainModes()))]
		name := fmt.Sprintf("seed=%d run=%d slots=%d first=%d producers=%v plain=%v graph=%v",
			seed, run, slots, first, producers, plain, graph)

		r, err := newRing[int64](Options{Slots: int(slots), FirstSequence: first, Producers: producers}, plain)
		require.NoError(t, err, name)
		biasAtOnce(r)
		rivals := []*Producer[int64]{r.Producer(), r.Producer()}
		m := newReference(slots, first, graph)
		var cs []*Consumer
		got := make([]int64, len(graph)) // next sequence that each consumer has to see
		for i, after := range graph {
			o := ConsumerOptions{MaxBatch: rng.IntN(4)}
			for _, up := range after {
				o.After = append(o.After, cs[up])
			}
			got[i] = first
			c, err := r.Consume(fmt.Sprint(i), HandlerFunc[int64](func(lo int64, span []int64) error {
				require.Equal(t, got[i], lo, name)
				require.NotEmpty(t, span, name)
				if o.MaxBatch > 0 {
					require.LessOrEqual(t, len(span), o.MaxBatch, name)
				}
				for k, v := range span {
					require.Equal(t, lo+int64(k), v, name)
				}
				got[i] += int64(len(span))
				if rng.IntN(4) == 0 { // an early release of a part
					seq := lo + rng.Int64N(int64(len(span)))
					r.snapshot()[i].Release(seq)
					require.Equal(t, seq, r.snapshot()[i].Cursor(), name)
				}
				r.snapshot()[i].Release(lo + int64(len(span))) // not of this span: ignored
				return nil
			}), o)
			require.NoError(t, err, name)
			cs = append(cs, c)
		}
		r.startManually()

		type span struct{ lo, hi int64 }
		var open []span // claimed and not published
		for range 400 {
			switch op := rng.IntN(10); {
			case op < 4:
				n := rng.Int64N(slots+2) - rng.Int64N(2)
				want, wantErr := m.tryClaim(n)
				claim := func() (int64, error) { return r.TryClaim(int(n)) }
				if n == 1 && wantErr == nil && rng.IntN(4) > 0 {
					claim = rivals[rng.IntN(2)].Next
				}
				hi, err := claim()
				require.Equal(t, wantErr, err, name)
				require.Equal(t, want, hi, name)
				if err == nil {
					open = append(open, span{hi - n + 1, hi})
				}
			case op < 7 && len(open) > 0:
				i := 0
				if producers == MultiProducer {
					i = rng.IntN(len(open))
				}
				s := open[i]
				if cut := s.lo + rng.Int64N(s.hi-s.lo+1); rng.IntN(3) == 0 && cut < s.hi {
					open[i].lo = cut + 1 // the claim is published in parts
					s.hi = cut
				} else {
					open = slices.Delete(open, i, i+1)
				}
				for seq := s.lo; seq <= s.hi; seq++ {
					*r.Slot(seq) = seq
				}
				r.Publish(s.lo, s.hi)
				m.publish(s.lo, s.hi)
			default:
				i := rng.IntN(len(graph))
				step(r.loops[i])
				m.cursors[i] = m.barrier(i)
				require.Equal(t, m.cursors[i]+1, got[i], name)
			}
			require.Equal(t, m.cursor(), r.Cursor(), name)
			require.Equal(t, slots-(m.claimed-slices.Min(m.cursors)), r.Remaining(), name)
			st := r.Stats()
			require.Equal(t, m.claimed, st.Claimed, name)
			for i, c := range st.Consumers {
				require.Equal(t, ConsumerStats{Name: fmt.Sprint(i), Cursor: m.cursors[i], Lag: m.cursor() - m.cursors[i]},
					ConsumerStats{Name: c.Name, Cursor: c.Cursor, Lag: c.Lag}, name)
				require.Equal(t, c.Lag, cs[i].Lag(), name)
			}
		}
	}
}

// TestGate_RandomWaiters_WokenExactlyWhenDue checks the heap of a gate against sorting.
func TestGate_RandomWaiters_WokenExactlyWhenDue(t *testing.T) {
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 300 {
		var g gate
		g.init(false)
		require.Equal(t, int64(never), g.wakeAt.Load())
		var all []*parker
		for range rng.IntN(20) {
			p := newParker()
			p.seq = rng.Int64N(30)
			g.insert(p)
			g.arm()
			all = append(all, p)
		}
		rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		for i := rng.IntN(3); i > 0 && len(all) > 0; i-- {
			g.leave(all[0])
			all = all[1:]
		}
		for seq := range int64(31) {
			least := int64(never)
			for _, p := range all {
				if p.seq >= seq && p.seq < least {
					least = p.seq
				}
			}
			require.Equal(t, least, g.wakeAt.Load(), "seed %d", seed)
			g.notify(seq)
			for _, p := range all {
				woken := len(p.wake) == 1
				require.Equal(t, p.seq <= seq, woken, "seed %d", seed)
			}
		}
	}
}
