package ring

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"
)

// The scenarios have LMAX's names. Every event is written into its slot by the producer and read
// out of it by each consumer, and the sum is checked at the end. An iteration is one event.

const benchSlots = 1 << 16

// sum adds up what it is given. It keeps the total in a cache line of its own.
type sum struct {
	_     [128]byte
	total int64
	_     [128]byte
}

func (s *sum) HandleSpan(_ int64, span []int64) error {
	t := s.total
	for _, v := range span {
		t += v
	}
	s.total = t
	return nil
}

// benchRing publishes b.N events in claims of batch from each of producers, and checks each sum. What is beside it
// runs until its context ends, when all is handled.
func benchRing(b *testing.B, o Options, producers, batch int, graph func(add func(after ...*Consumer) *Consumer),
	beside ...func(context.Context, *Ring[int64])) {
	o.Slots = benchSlots
	r, err := New[int64](o)
	if err != nil {
		b.Fatal(err)
	}
	var sums []*sum
	graph(func(after ...*Consumer) *Consumer {
		s := new(sum)
		c, err := r.Consume(fmt.Sprint(len(sums)), s, ConsumerOptions{After: after})
		if err != nil {
			b.Fatal(err)
		}
		sums = append(sums, s)
		return c
	})
	if err := r.Start(); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel()
	for _, f := range beside {
		watching.Go(func() { f(ctx, r) })
	}
	var wg sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	for p := range producers {
		count := b.N / producers
		if p == 0 {
			count += b.N % producers
		}
		if producers == 1 {
			produce(b, r, count, batch)
			break
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			produce(b, r, count, batch)
		}()
	}
	wg.Wait()
	if err := r.Close(context.Background()); err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	n := int64(b.N)
	for _, s := range sums {
		if want := n * (n + 1) / 2; s.total != want && s.total != n {
			b.Fatalf("a consumer summed up %d over %d events", s.total, n)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds()/1e6, "Mevents/s")
}

// produce writes the sequence into each event of a single producer, 1 into those of several.
func produce(b *testing.B, r *Ring[int64], count, batch int) {
	single := !r.seq.multi
	if batch == 1 && single {
		p := r.Producer()
		for range count {
			s, err := p.Next()
			if err != nil {
				b.Error(err)
				return
			}
			*p.Slot(s) = s
			p.Publish(s, s)
		}
		return
	}
	for count > 0 {
		n := min(batch, count)
		hi, err := r.Claim(n)
		if err != nil {
			b.Error(err)
			return
		}
		lo := hi - int64(n) + 1
		for s := lo; s <= hi; s++ {
			v := s
			if !single {
				v = 1
			}
			*r.Slot(s) = v
		}
		r.Publish(lo, hi)
		count -= n
	}
}

func one(add func(...*Consumer) *Consumer)       { add() }
func pipeline(add func(...*Consumer) *Consumer)  { add(add(add())) }
func multicast(add func(...*Consumer) *Consumer) { add(); add(); add() }
func diamond(add func(...*Consumer) *Consumer)   { add(add(), add()) }

func waits() []WaitStrategy {
	return []WaitStrategy{WaitAdaptive(), WaitSpin(), WaitYield(), WaitPark(), WaitSleep()}
}

func BenchmarkOneToOne(b *testing.B) {
	for _, w := range waits() {
		b.Run("wait="+w.String(), func(b *testing.B) {
			benchRing(b, Options{Producers: SingleProducer, Wait: w}, 1, 1, one)
		})
	}
}

// BenchmarkStats_Beside is OneToOne while a monitor wakes up a thousand times a second, and reads all figures or
// does not: that a third goroutine runs on two processors costs something too.
func BenchmarkStats_Beside(b *testing.B) {
	for _, reads := range []bool{false, true} {
		b.Run(fmt.Sprint("reads=", reads), func(b *testing.B) {
			benchRing(b, Options{Producers: SingleProducer}, 1, 1, one, func(ctx context.Context, r *Ring[int64]) {
				tick := time.NewTicker(time.Millisecond)
				defer tick.Stop()
				for ctx.Err() == nil {
					if reads {
						r.Stats()
					}
					<-tick.C
				}
			})
		})
	}
}

func BenchmarkOneToOneBatch(b *testing.B) {
	for _, w := range waits() {
		b.Run("wait="+w.String(), func(b *testing.B) {
			benchRing(b, Options{Producers: SingleProducer, Wait: w}, 1, 10, one)
		})
	}
}

func BenchmarkOneToOneMulti(b *testing.B)   { benchRing(b, Options{}, 1, 1, one) }
func BenchmarkThreeToOne(b *testing.B)      { benchRing(b, Options{}, 3, 1, one) }
func BenchmarkThreeToOneBatch(b *testing.B) { benchRing(b, Options{}, 3, 10, one) }

func BenchmarkOneToThreePipeline(b *testing.B) {
	benchRing(b, Options{Producers: SingleProducer}, 1, 1, pipeline)
}

func BenchmarkOneToThreeMulticast(b *testing.B) {
	benchRing(b, Options{Producers: SingleProducer}, 1, 1, multicast)
}

func BenchmarkOneToThreeDiamond(b *testing.B) {
	benchRing(b, Options{Producers: SingleProducer}, 1, 1, diamond)
}

// BenchmarkClaimPublish is the producer's own cost: nobody reads, and there is always room.
func BenchmarkClaimPublish(b *testing.B) {
	for _, p := range []Producers{SingleProducer, MultiProducer} {
		b.Run("producers="+p.String(), func(b *testing.B) {
			r, err := New[int64](Options{Producers: p, Slots: 1 << 10})
			if err != nil {
				b.Fatal(err)
			}
			c := consumerForTest(r)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if i&511 == 0 {
					c.cursor.Store(r.seq.claimed()) // there is always room
				}
				s, err := r.Claim(1)
				if err != nil {
					b.Fatal(err)
				}
				*r.Slot(s) = s
				r.Publish(s, s)
			}
		})
		b.Run("producers="+p.String()+"/by=Producer", func(b *testing.B) {
			r, err := New[int64](Options{Producers: p, Slots: 1 << 10})
			if err != nil {
				b.Fatal(err)
			}
			c, one := consumerForTest(r), r.Producer()
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if i&511 == 0 {
					c.cursor.Store(r.seq.claimed())
				}
				s, err := one.Next()
				if err != nil {
					b.Fatal(err)
				}
				*one.Slot(s) = s
				one.Publish(s, s)
			}
		})
	}
}

// consumerForTest gates the ring on a consumer that nobody runs.
func consumerForTest(r *Ring[int64]) *Consumer {
	c, err := r.add("manual", ConsumerOptions{})
	if err != nil {
		panic(err)
	}
	r.startManually()
	return c
}

// startManually lets producers gate on consumers that the test moves itself.
func (r *Ring[T]) startManually() {
	for _, c := range r.consumers {
		r.launch(c)
	}
	r.seq.gating.Store(newGatingSet(r.consumers, r.seq.first-1))
}

// BenchmarkRoundTrip sends an event through one ring and back through another.
func BenchmarkRoundTrip(b *testing.B) {
	for _, w := range waits() {
		b.Run("wait="+w.String(), func(b *testing.B) {
			there, _ := New[int64](Options{Producers: SingleProducer, Wait: w, Slots: 64})
			back, _ := New[int64](Options{Producers: SingleProducer, Wait: w, Slots: 64})
			got := make(chan struct{})
			n := int64(b.N)
			must := func(err error) {
				if err != nil {
					b.Error(err)
				}
			}
			send := func(r *Ring[int64], v int64) {
				s, err := r.Claim(1)
				must(err)
				*r.Slot(s) = v
				r.Publish(s, s)
			}
			_, err := there.Consume("there", HandlerFunc[int64](func(first int64, span []int64) error {
				for _, v := range span {
					send(back, v)
				}
				return nil
			}), ConsumerOptions{})
			must(err)
			_, err = back.Consume("back", HandlerFunc[int64](func(first int64, span []int64) error {
				for _, v := range span {
					if v == n {
						close(got)
					} else {
						send(there, v+1)
					}
				}
				return nil
			}), ConsumerOptions{})
			must(err)
			must(there.Start())
			must(back.Start())
			b.ResetTimer()
			send(there, 1)
			<-got
			b.StopTimer()
			must(there.Close(context.Background()))
			must(back.Close(context.Background()))
		})
	}
}

// BenchmarkChannel is what the ring replaces: a buffered channel of the same capacity.
func BenchmarkChannel(b *testing.B) {
	for _, producers := range []int{1, 3} {
		b.Run(fmt.Sprintf("producers=%d", producers), func(b *testing.B) {
			ch := make(chan int64, benchSlots)
			total := make(chan int64)
			go func() {
				t := int64(0)
				for v := range ch {
					t += v
				}
				total <- t
			}()
			b.ReportAllocs()
			b.ResetTimer()
			var wg sync.WaitGroup
			for p := range producers {
				count := b.N / producers
				if p == 0 {
					count += b.N % producers
				}
				wg.Add(1)
				go func() {
					defer wg.Done()
					for range count {
						ch <- 1
					}
				}()
			}
			wg.Wait()
			close(ch)
			if t := <-total; t != int64(b.N) {
				b.Fatalf("summed up %d over %d events", t, b.N)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds()/1e6, "Mevents/s")
		})
	}
}
