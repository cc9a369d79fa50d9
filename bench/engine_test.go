package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/journal"
)

// measured is the event of the engine's benchmarks: 128 bytes of payload through an encoder of its own.
type measured struct {
	Number int64
	Due    int64 // when it should have been published, nanoseconds since the benchmark began
	Rest   [measuredRest]byte
}

const (
	measuredBytes = 128
	// An array's head of 1 byte, two numbers of 9, a byte string's head of 2.
	measuredRest = measuredBytes - 1 - 2*9 - 2
)

func (m *measured) EncodeMsgpack(e *msgpack.Encoder) error {
	return errors.Join(e.EncodeArrayLen(3), e.EncodeInt64(m.Number), e.EncodeInt64(m.Due), e.EncodeBytes(m.Rest[:]))
}

func (m *measured) DecodeMsgpack(d *msgpack.Decoder) error {
	n, err := d.DecodeArrayLen()
	if err != nil || n != 3 {
		return fmt.Errorf("%d fields: %w", n, err)
	}
	if m.Number, err = d.DecodeInt64(); err != nil {
		return err
	}
	if m.Due, err = d.DecodeInt64(); err != nil {
		return err
	}
	if n, err = d.DecodeBytesLen(); err != nil || n != measuredRest {
		return fmt.Errorf("%d bytes: %w", n, err)
	}
	return d.ReadFull(m.Rest[:])
}

// seen is the read model: what arrived, and how late.
type seen struct {
	count, sum int64
	latency    []int64 // nanoseconds from when an event was due; nil = not measured
	start      time.Time
}

// BenchmarkEngine publishes b.N events, which are journaled without sync and handled by a typed handler
// that keeps a read model; it ends when the model contains the last. With rate=0 the producer is
// as fast as the ring lets it be; otherwise it publishes at that rate, and p50, p99 and p99.9 count from
// when an event was due. One operation is one event.
func BenchmarkEngine(b *testing.B) {
	for _, rate := range []int{0, 50_000} {
		b.Run(fmt.Sprintf("body=%d/rate=%d", measuredBytes, rate), func(b *testing.B) {
			reg := event.NewRegistry()
			event.MustRegister[measured](reg, "bench.measured", 1)
			top := headrace.NewTopology(reg)
			model := &seen{}
			if rate > 0 {
				model.latency = make([]int64, 0, b.N)
			}
			p := handlers.NewProjection("seen", model)
			handlers.Apply(p, func(s *seen, _ *handlers.Context, m measured) error {
				s.count++
				s.sum += m.Number + int64(m.Rest[m.Number%measuredRest])
				if s.latency != nil {
					s.latency = append(s.latency, int64(time.Since(s.start))-m.Due)
				}
				return nil
			})
			top.Project(p, headrace.LaneOptions{})
			e, err := headrace.Open(b.TempDir(), top, headrace.Options{Journal: journal.Options{Durability: journal.None()}})
			if err != nil {
				b.Fatal(err)
			}
			producer, err := e.Producer("bench")
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.SetBytes(measuredBytes)
			b.ResetTimer()
			want, last := publishMeasured(b, producer, model, rate)
			if err := p.WaitFor(context.Background(), last); err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			p.View(func(s *seen, _ int64) {
				if s.count != int64(b.N) || s.sum != want {
					b.Fatalf("%d events with sum %d, want %d with %d", s.count, s.sum, b.N, want)
				}
				reportLatency(b, s.latency)
			})
			if err := e.Close(context.Background()); err != nil {
				b.Fatal(err)
			}
		})
	}
}

func publishMeasured(b *testing.B, p *headrace.Producer, s *seen, rate int) (sum, last int64) {
	ctx := context.Background()
	start := time.Now()
	s.start = start
	var m measured
	for i := range m.Rest {
		m.Rest[i] = byte(i)
	}
	for i := range int64(b.N) {
		m.Number = i
		if rate > 0 {
			m.Due = i * int64(time.Second) / int64(rate)
			for int64(time.Since(start)) < m.Due {
				runtime.Gosched()
			}
		}
		seq, err := headrace.Publish(ctx, p, m, headrace.Meta{})
		if err != nil {
			b.Fatal(err)
		}
		sum += i + int64(m.Rest[i%measuredRest])
		last = seq
	}
	return sum, last
}

func reportLatency(b *testing.B, latency []int64) {
	if len(latency) == 0 {
		return
	}
	slices.Sort(latency)
	at := func(q float64) float64 { return float64(latency[int(q*float64(len(latency)-1))]) / 1e3 }
	b.ReportMetric(at(0.5), "p50-us")
	b.ReportMetric(at(0.99), "p99-us")
	b.ReportMetric(at(0.999), "p99.9-us")
}
