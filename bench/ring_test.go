package bench

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/headrace/headrace/ring"
)

const ringSlots = 1 << 16

// BenchmarkPublish publishes b.N events of 8 bytes and waits until one consumer has summed them.
// One operation is one event.
func BenchmarkPublish(b *testing.B) {
	waits := []struct {
		name string
		wait ring.WaitStrategy
	}{
		{"adaptive", ring.WaitAdaptive()},
		{"yield", ring.WaitYield()},
	}
	for _, producers := range []int{1, 3} {
		for _, w := range waits {
			for _, batch := range []int{1, 16} {
				b.Run(fmt.Sprintf("producers=%d/wait=%s/batch=%d", producers, w.name, batch), func(b *testing.B) {
					benchmarkPublish(b, producers, batch, w.wait)
				})
			}
		}
	}
}

func benchmarkPublish(b *testing.B, producers, batch int, wait ring.WaitStrategy) {
	o := ring.Options{Slots: ringSlots, Wait: wait}
	if producers == 1 {
		o.Producers = ring.SingleProducer
	}
	r, err := ring.New[uint64](o)
	if err != nil {
		b.Fatal(err)
	}
	defer r.Halt()
	var sum uint64 // the consumer's until Close returns
	_, err = r.Consume("sum", ring.HandlerFunc[uint64](func(first int64, span []uint64) error {
		part := sum
		for _, v := range span {
			part += v
		}
		sum = part
		return nil
	}), ring.ConsumerOptions{})
	if err != nil {
		b.Fatal(err)
	}
	if err := r.Start(); err != nil {
		b.Fatal(err)
	}

	b.ReportAllocs()
	b.SetBytes(8)
	b.ResetTimer()
	var done sync.WaitGroup
	errs := make([]error, producers)
	for p := 1; p < producers; p++ {
		done.Go(func() { errs[p] = publish(r, share(b.N, producers, p), batch) })
	}
	errs[0] = publish(r, share(b.N, producers, 0), batch)
	done.Wait()
	if err := r.Close(context.Background()); err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	for _, err := range errs {
		if err != nil {
			b.Fatal(err)
		}
	}
	// Every event carries its own sequence, and these are 1..b.N whoever published them.
	if want := uint64(b.N) * (uint64(b.N) + 1) / 2; sum != want {
		b.Fatalf("sum of %d events is %d, want %d", b.N, sum, want)
	}
}

// share is how many of n events producer p of so many publishes.
func share(n, producers, p int) int {
	if p < n%producers {
		return n/producers + 1
	}
	return n / producers
}

// publish claims, writes and publishes events in batches, the last one as large as what is left.
func publish(r *ring.Ring[uint64], events, batch int) error {
	for left := events; left > 0; left -= batch {
		n := min(batch, left)
		hi, err := r.Claim(n)
		if err != nil {
			return err
		}
		lo := hi - int64(n) + 1
		for seq := lo; seq <= hi; seq++ {
			*r.Slot(seq) = uint64(seq)
		}
		r.Publish(lo, hi)
	}
	return nil
}
