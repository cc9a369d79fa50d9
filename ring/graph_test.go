package ring

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// event is big enough to be torn, so that a slot that is read too early or overwritten too early
// shows.
type event struct {
	producer, number int64
	check            [6]int64
	touched          [6]atomic.Int64 // by consumer: the sequence it has handled in this slot
}

// order checks one consumer's view: every sequence once and in order, whole events, per producer
// in order, and never before its upstreams.
type order struct {
	index  int
	after  []int
	next   int64
	last   []int64 // by producer
	pauses bool
}

func (o *order) HandleSpan(first int64, span []event) error {
	if first != o.next {
		return fmt.Errorf("consumer %d got %d, not %d", o.index, first, o.next)
	}
	for i := range span {
		e, seq := &span[i], first+int64(i)
		for _, v := range e.check {
			if v != e.number {
				return fmt.Errorf("consumer %d: sequence %d is torn", o.index, seq)
			}
		}
		if e.number != o.last[e.producer]+1 {
			return fmt.Errorf("consumer %d: sequence %d: producer %d went from %d to %d", o.index, seq,
				e.producer, o.last[e.producer], e.number)
		}
		o.last[e.producer] = e.number
		for _, up := range o.after {
			if e.touched[up].Load() != seq {
				return fmt.Errorf("consumer %d got %d before consumer %d", o.index, seq, up)
			}
		}
		e.touched[o.index].Store(seq)
	}
	o.next += int64(len(span))
	if o.pauses && first%7 == 0 {
		runtime.Gosched()
	}
	return nil
}

var graphs = []struct {
	name  string
	after [][]int
}{
	{"one", [][]int{{}}},
	{"pipeline", [][]int{{}, {0}, {1}}},
	{"multicast", [][]int{{}, {}, {}}},
	{"diamond", [][]int{{}, {}, {0, 1}}},
	{"mixed", [][]int{{}, {0}, {0}, {1, 2}, {}, {4, 0}}},
}

func buildGraph(t *testing.T, o Options, plain bool, after [][]int, wait func(i int) WaitStrategy, producers int) (*Ring[event], []*order) {
	r, err := newRing[event](o, plain)
	require.NoError(t, err)
	var cs []*Consumer
	var hs []*order
	for i, ups := range after {
		h := &order{index: i, after: ups, next: r.seq.first, last: make([]int64, producers), pauses: i%2 == 0}
		co := ConsumerOptions{Wait: wait(i), MaxBatch: []int{0, 1, 3}[i%3]}
		for _, up := range ups {
			co.After = append(co.After, cs[up])
		}
		c, err := r.Consume(fmt.Sprint(i), h, co)
		require.NoError(t, err)
		cs, hs = append(cs, c), append(hs, h)
	}
	return r, hs
}

// produceEvents publishes count events of one producer in claims of random size. It returns how
// many it published, and the error that ended it.
func produceEvents(r *Ring[event], producer, count int64, rng *rand.Rand) (int64, error) {
	for done := int64(0); done < count; {
		n := min(1+rng.Int64N(int64(min(r.Slots(), 5))), count-done)
		hi, err := r.Claim(int(n))
		if err != nil {
			return done, err
		}
		for seq := hi - n + 1; seq <= hi; seq++ {
			done++
			e := r.Slot(seq)
			e.producer, e.number = producer, done
			for i := range e.check {
				e.check[i] = done
			}
		}
		r.Publish(hi-n+1, hi)
	}
	return count, nil
}

func TestGraph_EveryEventOnceInOrderAfterUpstreams(t *testing.T) {
	count := int64(10_000)
	if testing.Short() || raceEnabled {
		count = 3_000
	}
	seed := rand.Uint64()
	waits := waits()
	for _, g := range graphs {
		for _, producers := range []int{1, 3} {
			for _, slots := range []int{1, 4, 256} {
				for _, plain := range plainModes() {
					t.Run(fmt.Sprintf("%s/producers=%d/slots=%d/plain=%v", g.name, producers, slots, plain), func(t *testing.T) {
						o := Options{Slots: slots, FirstSequence: 1<<32*int64(slots) - 1000}
						if producers == 1 {
							o.Producers = SingleProducer
						}
						wait := func(i int) WaitStrategy {
							w := waits[(i+slots)%len(waits)]
							if !w.parks && (len(g.after) > 1 || producers > 1) { // more spinners than processors crawl
								w = eagerPark()
							}
							return w
						}
						o.Wait = wait(producers)
						n := count
						if slots == 1 {
							n /= 10
						}
						r, hs := buildGraph(t, o, plain, g.after, wait, producers)
						require.NoError(t, r.Start())
						var wg sync.WaitGroup
						for p := range producers {
							wg.Add(1)
							go func() {
								defer wg.Done()
								_, err := produceEvents(r, int64(p), n, rand.New(rand.NewPCG(seed, uint64(p))))
								if err != nil {
									t.Errorf("seed %d: %v", seed, err)
								}
							}()
						}
						wg.Wait()
						require.NoError(t, r.Close(within(t)), "seed %d", seed)
						for i, h := range hs {
							require.Equal(t, r.seq.first+n*int64(producers), h.next, "consumer %d, seed %d", i, seed)
						}
					})
				}
			}
		}
	}
}

// eagerPark parks at once, which makes lost wake-ups likely.
func eagerPark() WaitStrategy { return WaitStrategy{name: "eager", parks: true} }

func TestGraph_Processors(t *testing.T) {
	for _, procs := range []int{1, 2, 4} {
		t.Run(fmt.Sprint(procs), func(t *testing.T) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
			noteProcessors()
			for _, producers := range []int{1, 3} {
				o := Options{Slots: 16}
				if producers == 1 {
					o.Producers = SingleProducer
				}
				r, hs := buildGraph(t, o, plainModes()[0], graphs[4].after, func(int) WaitStrategy { return WaitStrategy{} }, producers)
				require.NoError(t, r.Start())
				var wg sync.WaitGroup
				for p := range producers {
					wg.Add(1)
					go func() {
						defer wg.Done()
						_, err := produceEvents(r, int64(p), 3000, rand.New(rand.NewPCG(1, uint64(p))))
						if err != nil {
							t.Error(err)
						}
					}()
				}
				wg.Wait()
				require.NoError(t, r.Close(within(t)))
				require.Equal(t, 1+3000*int64(producers), hs[5].next)
			}
		})
	}
	noteProcessors()
}

// TestClose_UnderLoad_LosesNothing closes multi-stage graphs while producers publish: what was
// claimed is handled by every consumer, and nobody stays.
func TestClose_UnderLoad_LosesNothing(t *testing.T) {
	runs := 1000
	if testing.Short() || raceEnabled {
		runs = 200
	}
	before := runtime.NumGoroutine()
	seed := rand.Uint64()
	for run := range runs {
		rng := rand.New(rand.NewPCG(seed, uint64(run)))
		g := graphs[rng.IntN(len(graphs))]
		producers := 1 + 2*rng.IntN(2)
		slots := 1 << rng.IntN(8)
		o := Options{Slots: slots}
		if producers == 1 {
			o.Producers = Producers(rng.IntN(2))
		}
		plain := plainModes()[rng.IntN(len(plainModes()))]
		name := fmt.Sprintf("seed=%d run=%d graph=%s producers=%d/%v slots=%d plain=%v", seed, run, g.name, producers, o.Producers, slots, plain)
		wait := []WaitStrategy{WaitAdaptive(), WaitPark(), eagerPark()}[rng.IntN(3)]
		r, hs := buildGraph(t, o, plain, g.after, func(int) WaitStrategy { return wait }, producers)
		require.NoError(t, r.Start(), name)
		counts := make([]int64, producers)
		var wg sync.WaitGroup
		for p := range producers {
			wg.Add(1)
			go func() {
				defer wg.Done()
				n, err := produceEvents(r, int64(p), 1<<40, rand.New(rand.NewPCG(seed, uint64(run*8+p))))
				if !errors.Is(err, ErrClosed) {
					t.Errorf("%s: producer %d: %v", name, p, err)
				}
				counts[p] = n
			}()
		}
		target := 1 + rng.Int64N(300)
		for r.Cursor() < target {
			runtime.Gosched()
		}
		var closers sync.WaitGroup
		for range 1 + rng.IntN(3) {
			closers.Add(1)
			go func() {
				defer closers.Done()
				if err := r.Close(within(t)); err != nil {
					t.Errorf("%s: close: %v", name, err)
				}
			}()
		}
		closers.Wait()
		wg.Wait()
		for i, h := range hs {
			for p, n := range counts {
				require.Equal(t, n, h.last[p], "%s: consumer %d, producer %d", name, i, p)
			}
		}
		require.NoError(t, r.Close(within(t)), name)
	}
	requireGoroutines(t, before)
}

// requireGoroutines waits until no more than n goroutines are left.
func requireGoroutines(t *testing.T, n int) {
	t.Helper()
	ctx := within(t)
	for runtime.NumGoroutine() > n {
		if ctx.Err() != nil {
			buf := make([]byte, 1<<16)
			t.Fatalf("%d goroutines, not %d:\n%s", runtime.NumGoroutine(), n, buf[:runtime.Stack(buf, true)])
		}
		runtime.Gosched()
	}
}
