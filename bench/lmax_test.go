package bench

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"

	"github.com/headrace/headrace/ring"
)

// The scenarios of LMAX's performance tests under their names: the same graphs, capacities and
// computation per event. Slots are really written and read, and a sum is checked that a missed event
// or a stage that ran too early changes. One operation is one event; threads/proc above 1 means
// that more goroutines work than processors can run at once.

// words are events: word 0 is the number, from 1; the producer clears the rest, stages fill it.
type words interface {
	[1]uint64 | [3]uint64 | [4]uint64
}

// stage is one consumer of a graph; after holds indices of earlier stages.
type stage[E words] struct {
	name   string
	after  []int
	handle func(span []E)
}

// scenario is one graph at work. stages and sum are made anew for each b.N.
type scenario[E words] struct {
	slots, producers, batch int
	stages                  func() (stages []stage[E], sum func() uint64)
	want                    func(n uint64) uint64 // sum of n events
}

// tally is alone on its cache lines.
type tally struct {
	_ [128]byte
	n uint64
	_ [128]byte
}

func sumTo(n uint64) uint64 { return n * (n + 1) / 2 }

// sumStage is one consumer that sums what it sees.
func sumStage() ([]stage[[1]uint64], func() uint64) {
	t := new(tally)
	return []stage[[1]uint64]{{name: "sum", handle: func(span [][1]uint64) {
		n := t.n
		for i := range span {
			n += span[i][0]
		}
		t.n = n
	}}}, func() uint64 { return t.n }
}

func BenchmarkOneToOne(b *testing.B) {
	run(b, scenario[[1]uint64]{slots: 1 << 16, producers: 1, batch: 1, stages: sumStage, want: sumTo})
}

func BenchmarkOneToOneBatch(b *testing.B) {
	run(b, scenario[[1]uint64]{slots: 1 << 16, producers: 1, batch: 10, stages: sumStage, want: sumTo})
}

func BenchmarkThreeToOne(b *testing.B) {
	run(b, scenario[[1]uint64]{slots: 1 << 16, producers: 3, batch: 1, stages: sumStage, want: sumTo})
}

func BenchmarkThreeToOneBatch(b *testing.B) {
	run(b, scenario[[1]uint64]{slots: 1 << 16, producers: 3, batch: 10, stages: sumStage, want: sumTo})
}

// BenchmarkOneToThreePipeline: each of three stages reads what the one before wrote.
func BenchmarkOneToThreePipeline(b *testing.B) {
	const one, two = 777, 3
	run(b, scenario[[4]uint64]{slots: 1 << 13, producers: 1, batch: 1,
		stages: func() ([]stage[[4]uint64], func() uint64) {
			t := new(tally)
			return []stage[[4]uint64]{
				{name: "one", handle: func(span [][4]uint64) {
					for i := range span {
						span[i][2] = span[i][0] + span[i][1] + one
					}
				}},
				{name: "two", after: []int{0}, handle: func(span [][4]uint64) {
					for i := range span {
						span[i][3] = span[i][2] + two
					}
				}},
				{name: "three", after: []int{1}, handle: func(span [][4]uint64) {
					n := t.n
					for i := range span {
						n += span[i][3]
					}
					t.n = n
				}},
			}, func() uint64 { return t.n }
		},
		want: func(n uint64) uint64 { return sumTo(n) + n*(one+two) },
	})
}

// BenchmarkOneToThreeMulticast: three consumers side by side.
func BenchmarkOneToThreeMulticast(b *testing.B) {
	run(b, scenario[[1]uint64]{slots: 1 << 13, producers: 1, batch: 1,
		stages: func() ([]stage[[1]uint64], func() uint64) {
			a, sumA := sumStage()
			c, sumC := sumStage()
			d, sumD := sumStage()
			a[0].name, c[0].name, d[0].name = "a", "b", "c"
			return append(append(a, c...), d...), func() uint64 { return sumA() ^ 3*sumC() ^ 7*sumD() }
		},
		want: func(n uint64) uint64 { return sumTo(n) ^ 3*sumTo(n) ^ 7*sumTo(n) },
	})
}

// BenchmarkOneToThreeDiamond: two stages side by side mark multiples of 3 and of 5, a third one behind
// both sums those that bear both marks.
func BenchmarkOneToThreeDiamond(b *testing.B) {
	mark := func(word int, divisor uint64) func(span [][3]uint64) {
		return func(span [][3]uint64) {
			for i := range span {
				if span[i][0]%divisor == 0 {
					span[i][word] = 1
				}
			}
		}
	}
	run(b, scenario[[3]uint64]{slots: 1 << 13, producers: 1, batch: 1,
		stages: func() ([]stage[[3]uint64], func() uint64) {
			t := new(tally)
			return []stage[[3]uint64]{
				{name: "fizz", handle: mark(1, 3)},
				{name: "buzz", handle: mark(2, 5)},
				{name: "fizz-buzz", after: []int{0, 1}, handle: func(span [][3]uint64) {
					n := t.n
					for i := range span {
						if span[i][1]&span[i][2] == 1 {
							n += span[i][0]
						}
					}
					t.n = n
				}},
			}, func() uint64 { return t.n }
		},
		want: func(n uint64) uint64 { return 15 * sumTo(n/15) },
	})
}

// run publishes b.N events and waits until every stage has handled them, with two wait strategies.
func run[E words](b *testing.B, sc scenario[E]) {
	waits := []ring.WaitStrategy{ring.WaitAdaptive(), ring.WaitYield()}
	for _, wait := range waits {
		b.Run("wait="+wait.String(), func(b *testing.B) { runWith(b, sc, wait) })
	}
}

func runWith[E words](b *testing.B, sc scenario[E], wait ring.WaitStrategy) {
	o := ring.Options{Slots: sc.slots, Wait: wait}
	if sc.producers == 1 {
		o.Producers = ring.SingleProducer
	}
	r, err := ring.New[E](o)
	if err != nil {
		b.Fatal(err)
	}
	defer r.Halt()
	stages, sum := sc.stages()
	consumers := make([]*ring.Consumer, len(stages))
	for i, st := range stages {
		var co ring.ConsumerOptions
		for _, up := range st.after {
			co.After = append(co.After, consumers[up])
		}
		consumers[i], err = r.Consume(st.name, ring.HandlerFunc[E](func(_ int64, span []E) error {
			st.handle(span)
			return nil
		}), co)
		if err != nil {
			b.Fatal(err)
		}
	}
	if err := r.Start(); err != nil {
		b.Fatal(err)
	}

	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	errs := make([]error, sc.producers)
	first := 1
	for p := range sc.producers {
		n, at := share(b.N, sc.producers, p), first
		first += n
		if p == sc.producers-1 {
			errs[p] = publishWords(r, at, n, sc.batch)
		} else {
			wg.Go(func() { errs[p] = publishWords(r, at, n, sc.batch) })
		}
	}
	wg.Wait()
	if err := r.Close(context.Background()); err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	for _, err := range errs {
		if err != nil {
			b.Fatal(err)
		}
	}
	if got, want := sum(), sc.want(uint64(b.N)); got != want {
		b.Fatalf("sum of %d events is %d, want %d", b.N, got, want)
	}
	b.ReportMetric(float64(sc.producers+len(stages))/float64(runtime.GOMAXPROCS(0)), "threads/proc")
}

// publishWords publishes n events from number first on in batches, the last as large as what is left.
func publishWords[E words](r *ring.Ring[E], first, n, batch int) error {
	number := uint64(first)
	if batch == 1 {
		p := r.Producer()
		for range n {
			seq, err := p.Next()
			if err != nil {
				return err
			}
			var e E
			e[0] = number
			*p.Slot(seq) = e
			p.Publish(seq, seq)
			number++
		}
		return nil
	}
	for left := n; left > 0; left -= batch {
		size := min(batch, left)
		hi, err := r.Claim(size)
		if err != nil {
			return err
		}
		lo := hi - int64(size) + 1
		for seq := lo; seq <= hi; seq++ {
			var e E
			e[0] = number
			*r.Slot(seq) = e
			number++
		}
		r.Publish(lo, hi)
	}
	return nil
}

// BenchmarkOneToOneRaw hands sequences over and nothing else: no slot is written or read, so it
// compares with no other benchmark.
func BenchmarkOneToOneRaw(b *testing.B) {
	r, err := ring.New[struct{}](ring.Options{Slots: 1 << 16, Producers: ring.SingleProducer})
	if err != nil {
		b.Fatal(err)
	}
	defer r.Halt()
	seen := new(tally)
	_, err = r.Consume("count", ring.HandlerFunc[struct{}](func(_ int64, span []struct{}) error {
		seen.n += uint64(len(span))
		return nil
	}), ring.ConsumerOptions{})
	if err != nil {
		b.Fatal(err)
	}
	if err := r.Start(); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	p := r.Producer()
	for range b.N {
		seq, err := p.Next()
		if err != nil {
			b.Fatal(err)
		}
		p.Publish(seq, seq)
	}
	if err := r.Close(context.Background()); err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	if seen.n != uint64(b.N) {
		b.Fatalf("%d sequences seen, %d published", seen.n, b.N)
	}
}

// BenchmarkThreeToThree: three producers with a ring each, and one consumer that polls the three in
// turn; events of three words. One operation is one event on any of them.
func BenchmarkThreeToThree(b *testing.B) {
	const lanes = 3
	var (
		rings   [lanes]*ring.Ring[[3]uint64]
		pollers [lanes]*ring.Poller[[3]uint64]
		errs    [lanes]error
		wg      sync.WaitGroup
	)
	for l := range lanes {
		r, err := ring.New[[3]uint64](ring.Options{Slots: 1 << 16, Producers: ring.SingleProducer})
		if err != nil {
			b.Fatal(err)
		}
		defer r.Halt()
		if pollers[l], err = r.Poller("sum", ring.ConsumerOptions{}); err != nil {
			b.Fatal(err)
		}
		if err := r.Start(); err != nil {
			b.Fatal(err)
		}
		rings[l] = r
	}
	b.ReportAllocs()
	b.ResetTimer()
	for l, r := range rings {
		wg.Go(func() {
			errs[l] = publishWords(r, 1, share(b.N, lanes, l), 1)
			if err := r.Close(context.Background()); errs[l] == nil {
				errs[l] = err
			}
		})
	}
	var sum, want uint64
	for open := lanes; open > 0; {
		idle := true
		for l, p := range pollers {
			if p == nil {
				continue
			}
			_, span, err := p.Poll(1 << 16)
			if errors.Is(err, ring.ErrClosed) {
				pollers[l] = nil
				open--
				continue
			} else if err != nil {
				b.Fatal(err)
			}
			for i := range span {
				sum += span[i][0] + span[i][1] + span[i][2]
			}
			idle = idle && len(span) == 0
		}
		if idle {
			runtime.Gosched()
		}
	}
	wg.Wait()
	b.StopTimer()
	for l := range lanes {
		if errs[l] != nil {
			b.Fatal(errs[l])
		}
		want += sumTo(uint64(share(b.N, lanes, l)))
	}
	if sum != want {
		b.Fatalf("sum of %d events is %d, want %d", b.N, sum, want)
	}
	b.ReportMetric((lanes+1)/float64(runtime.GOMAXPROCS(0)), "threads/proc")
}
