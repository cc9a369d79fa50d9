package bench

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/headrace/headrace/ring"
)

// Latencies count from when an event was due, not from when it was sent: a producer that is held up
// shows in every event that it delays.

// BenchmarkPingPong sends an event through one ring and its answer through another, the next when the
// answer is there. One operation is a round trip; at rate=0 the next one is due at once, and nothing
// but the mean is shown.
func BenchmarkPingPong(b *testing.B) {
	for _, wait := range []ring.WaitStrategy{ring.WaitAdaptive(), ring.WaitSpin()} {
		b.Run("wait="+wait.String()+"/rate=0", func(b *testing.B) { benchmarkPingPong(b, wait, 0) })
		b.Run("wait="+wait.String()+"/rate=50000", func(b *testing.B) { benchmarkPingPong(b, wait, 50_000) })
	}
}

func benchmarkPingPong(b *testing.B, wait ring.WaitStrategy, rate int) {
	o := ring.Options{Slots: 1 << 10, Producers: ring.SingleProducer, Wait: wait}
	ping, err := ring.New[int64](o)
	if err != nil {
		b.Fatal(err)
	}
	defer ping.Halt()
	pong, err := ring.New[int64](o)
	if err != nil {
		b.Fatal(err)
	}
	defer pong.Halt()
	_, err = ping.Consume("ponger", ring.HandlerFunc[int64](func(_ int64, span []int64) error {
		for _, i := range span {
			if err := publishValue(pong, i); err != nil {
				return err
			}
		}
		return nil
	}), ring.ConsumerOptions{})
	if err != nil {
		b.Fatal(err)
	}
	c := newClock(b.N, rate)
	var sum int64
	done := make(chan struct{})
	_, err = pong.Consume("pinger", ring.HandlerFunc[int64](func(_ int64, span []int64) error {
		for _, i := range span {
			sum += i
			c.handled(i)
			if i == int64(b.N) {
				close(done)
				return nil
			}
			c.wait(i+1, true)
			if err := publishValue(ping, i+1); err != nil {
				return err
			}
		}
		return nil
	}), ring.ConsumerOptions{})
	if err != nil {
		b.Fatal(err)
	}
	for _, r := range []*ring.Ring[int64]{ping, pong} {
		if err := r.Start(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	c.start = time.Now()
	c.wait(1, true)
	if err := publishValue(ping, 1); err != nil {
		b.Fatal(err)
	}
	select {
	case <-done:
	case <-ping.Done():
		b.Fatal(ping.Err())
	case <-pong.Done():
		b.Fatal(pong.Err())
	}
	b.StopTimer()
	if want := int64(sumTo(uint64(b.N))); sum != want {
		b.Fatalf("sum of %d answers is %d, want %d", b.N, sum, want)
	}
	reportLatency(b, c.latency)
}

// BenchmarkOneWay publishes at a fixed rate and never waits for anybody. At 5,000 a second the consumer
// has parked before each event, and the producer keeps its processor busy: the wake-up. park is
// the ring's, channel what a buffered channel's receiver takes.
func BenchmarkOneWay(b *testing.B) {
	b.Run("wait=adaptive/rate=1000000", func(b *testing.B) { benchmarkOneWay(b, ring.WaitAdaptive(), 1_000_000, false) })
	b.Run("wait=spin/rate=1000000", func(b *testing.B) { benchmarkOneWay(b, ring.WaitSpin(), 1_000_000, false) })
	b.Run("wake-up/park/rate=5000", func(b *testing.B) { benchmarkOneWay(b, ring.WaitPark(), 5_000, true) })
	b.Run("wake-up/channel/rate=5000", func(b *testing.B) { benchmarkChannelWakeUp(b, 5_000) })
}

func benchmarkOneWay(b *testing.B, wait ring.WaitStrategy, rate int, busy bool) {
	c := newClock(b.N, rate)
	benchmarkPaced(b, wait, c, func(span []int64) {
		for _, i := range span {
			c.handled(i)
		}
	}, func(p *ring.Producer[int64], i int64) error {
		c.wait(i, busy)
		return publishNext(p, i)
	})
}

// benchmarkPaced publishes 1 to b.N, each by publish, and reports the latencies that handled notes in c.
func benchmarkPaced(b *testing.B, wait ring.WaitStrategy, c *clock, handled func(span []int64), publish func(p *ring.Producer[int64], i int64) error) {
	r, err := ring.New[int64](ring.Options{Slots: 1 << 16, Producers: ring.SingleProducer, Wait: wait})
	if err != nil {
		b.Fatal(err)
	}
	defer r.Halt()
	var sum int64
	_, err = r.Consume("sum", ring.HandlerFunc[int64](func(_ int64, span []int64) error {
		for _, i := range span {
			sum += i
		}
		handled(span)
		return nil
	}), ring.ConsumerOptions{})
	if err != nil {
		b.Fatal(err)
	}
	if err := r.Start(); err != nil {
		b.Fatal(err)
	}
	p := r.Producer()
	b.ReportAllocs()
	b.ResetTimer()
	c.start = time.Now()
	for i := range int64(b.N) {
		if err := publish(p, i+1); err != nil {
			b.Fatal(err)
		}
	}
	if err := r.Close(context.Background()); err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	if want := int64(sumTo(uint64(b.N))); sum != want {
		b.Fatalf("sum of %d events is %d, want %d", b.N, sum, want)
	}
	reportLatency(b, c.latency)
}

func benchmarkChannelWakeUp(b *testing.B, rate int) {
	events, total := make(chan int64, 512), make(chan int64, 1)
	c := newClock(b.N, rate)
	go func() {
		var sum int64
		for i := range events {
			sum += i
			c.handled(i)
		}
		total <- sum
	}()
	b.ReportAllocs()
	b.ResetTimer()
	c.start = time.Now()
	for i := range int64(b.N) {
		c.wait(i+1, true)
		events <- i + 1
	}
	close(events)
	sum := <-total
	b.StopTimer()
	if want := int64(sumTo(uint64(b.N))); sum != want {
		b.Fatalf("sum of %d events is %d, want %d", b.N, sum, want)
	}
	reportLatency(b, c.latency)
}

// BenchmarkBurst publishes a burst of events every millisecond, one at a time as fast as it can, all of which are due
// when the burst is. One operation is an event. What the consumer waits for so as not to chase the
// producer shows here, and nowhere else: of a burst it reads nothing at once but the first events.
func BenchmarkBurst(b *testing.B) {
	for _, burst := range []int{1, 10, 100, 1_000, 10_000} {
		for _, wait := range []ring.WaitStrategy{ring.WaitAdaptive(), ring.WaitSpin()} {
			b.Run(fmt.Sprintf("events=%d/wait=%v", burst, wait), func(b *testing.B) { benchmarkBurst(b, wait, burst) })
		}
	}
}

func benchmarkBurst(b *testing.B, wait ring.WaitStrategy, burst int) {
	c := newClock(b.N, 1_000)
	benchmarkPaced(b, wait, c, func(span []int64) {
		at := time.Since(c.start)
		for _, i := range span {
			c.latency = append(c.latency, int64(at-c.due(1+(i-1)/int64(burst))))
		}
	}, func(p *ring.Producer[int64], i int64) error {
		if (i-1)%int64(burst) == 0 {
			c.wait(1+(i-1)/int64(burst), true)
		}
		return publishNext(p, i)
	})
}

func publishNext(p *ring.Producer[int64], v int64) error {
	seq, err := p.Next()
	if err != nil {
		return err
	}
	*p.Slot(seq) = v
	p.Publish(seq, seq)
	return nil
}

func publishValue(r *ring.Ring[int64], v int64) error {
	seq, err := r.Claim(1)
	if err != nil {
		return err
	}
	*r.Slot(seq) = v
	r.Publish(seq, seq)
	return nil
}

// clock says when events, numbered from 1, are due, and keeps how late they were handled. At rate 0 it
// does neither.
type clock struct {
	start   time.Time
	rate    int
	latency []int64
}

func newClock(events, rate int) *clock {
	c := &clock{rate: rate}
	if rate > 0 {
		c.latency = make([]int64, 0, events)
	}
	return c
}

func (c *clock) due(i int64) time.Duration {
	return time.Duration(i * int64(time.Second) / int64(c.rate))
}

// wait polls the clock until event i is due; unless busy it lets others run between polls.
func (c *clock) wait(i int64, busy bool) {
	if c.rate == 0 {
		return
	}
	for due := c.due(i); time.Since(c.start) < due; {
		if !busy {
			runtime.Gosched()
		}
	}
}

func (c *clock) handled(i int64) {
	if c.rate > 0 {
		c.latency = append(c.latency, int64(time.Since(c.start)-c.due(i)))
	}
}
