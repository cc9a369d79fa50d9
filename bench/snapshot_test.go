package bench

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/journal"
)

// added is an amount for an account, through an encoder of its own.
type added struct{ Account, Amount int64 }

func (a *added) EncodeMsgpack(e *msgpack.Encoder) error {
	return errors.Join(e.EncodeArrayLen(2), e.EncodeInt64(a.Account), e.EncodeInt64(a.Amount))
}

func (a *added) DecodeMsgpack(d *msgpack.Decoder) error {
	n, err := d.DecodeArrayLen()
	if err != nil || n != 2 {
		return fmt.Errorf("%d fields: %w", n, err)
	}
	if a.Account, err = d.DecodeInt64(); err != nil {
		return err
	}
	a.Amount, err = d.DecodeInt64()
	return err
}

// sums is a state of one number for each account. It goes to a snapshot through msgpack's reflection, as states do
// that say nothing else.
type sums struct{ Sum map[int64]int64 }

const (
	logEvents  = 2_000_000
	tailEvents = 1000 // behind the snapshot
)

// accounts is an engine with such a state, and what that must be.
type accounts struct {
	engine   *headrace.Engine
	producer *headrace.Producer
	state    *handlers.Projection[sums]
	keys     int64
	events   int64
}

func openAccounts(b *testing.B, dir string, keys, events int64, fromStart bool) *accounts {
	reg := event.NewRegistry()
	event.MustRegister[added](reg, "bench.added", 1)
	top := headrace.NewTopology(reg)
	a := &accounts{state: handlers.NewProjection("sums", &sums{Sum: map[int64]int64{}}), keys: keys, events: events}
	handlers.Apply(a.state, func(s *sums, _ *handlers.Context, e added) error {
		s.Sum[e.Account] += e.Amount
		return nil
	})
	top.Project(a.state, headrace.LaneOptions{})
	o := headrace.Options{Journal: journal.Options{Durability: journal.None()}}
	o.Snapshots.FromStart = fromStart
	var err error
	if a.engine, err = headrace.Open(dir, top, o); err != nil {
		b.Fatal(err)
	}
	return a
}

// publish publishes n events more, each for the next account, and returns when the state has them.
func (a *accounts) publish(b *testing.B, n int64) {
	if a.producer == nil {
		var err error
		if a.producer, err = a.engine.Producer("bench"); err != nil {
			b.Fatal(err)
		}
	}
	ctx, last := context.Background(), int64(0)
	for range n {
		seq, err := headrace.Publish(ctx, a.producer, added{a.events % a.keys, 1 + a.events/a.keys}, headrace.Meta{})
		if err != nil {
			b.Fatal(err)
		}
		a.events++
		last = seq
	}
	if err := a.state.WaitFor(ctx, last); err != nil {
		b.Fatal(err)
	}
}

// check holds the state to what was published.
func (a *accounts) check(b *testing.B) {
	a.state.View(func(s *sums, _ int64) {
		if int64(len(s.Sum)) != min(a.keys, a.events) {
			b.Fatalf("%d accounts, want %d", len(s.Sum), min(a.keys, a.events))
		}
		for k, sum := range s.Sum {
			n := a.events / a.keys // events of this account
			if k < a.events%a.keys {
				n++
			}
			if sum != n*(n+1)/2 {
				b.Fatalf("account %d has %d, want %d", k, sum, n*(n+1)/2)
			}
		}
	})
}

func (a *accounts) close(b *testing.B) {
	if err := a.engine.Close(context.Background()); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkSnapshot is about an engine whose state has a number of keys, after two million events. "take" takes a
// snapshot until its file is durable; pause-ms is how long the lane stands still for it. "open" opens an engine with
// that snapshot and 1,000 events behind it, "replay" from the whole log; each result is held to what was published.
func BenchmarkSnapshot(b *testing.B) {
	for _, keys := range []int64{1_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprintf("keys=%d", keys), func(b *testing.B) {
			dir := b.TempDir()
			a := openAccounts(b, dir, keys, 0, false)
			a.publish(b, logEvents)
			var last headrace.SnapshotInfo
			b.Run("take", func(b *testing.B) {
				pause := 0.0
				for range b.N {
					b.StopTimer()
					a.publish(b, 1)
					b.StartTimer()
					info, err := a.engine.Snapshot(context.Background())
					if err != nil {
						b.Fatal(err)
					}
					if info.Sequence <= last.Sequence || info.Bytes < keys {
						b.Fatalf("a snapshot of %d bytes at %d after that at %d", info.Bytes, info.Sequence, last.Sequence)
					}
					last = info
					pause += info.Pause.Seconds()
				}
				b.ReportMetric(1e3*pause/float64(b.N), "pause-ms")
				b.ReportMetric(float64(last.Bytes), "bytes")
			})
			if last.Sequence == 0 {
				info, err := a.engine.Snapshot(context.Background())
				if err != nil {
					b.Fatal(err)
				}
				last = info
			}
			a.publish(b, tailEvents)
			a.check(b)
			events := a.events
			a.close(b)
			for _, from := range []struct {
				name  string
				start bool
				at    int64
			}{{"open", false, last.Sequence}, {"replay", true, 0}} {
				b.Run(from.name, func(b *testing.B) {
					for range b.N {
						a := openAccounts(b, dir, keys, events, from.start)
						b.StopTimer()
						if at := a.engine.Stats().Snapshots.OpenedAt; at != from.at {
							b.Fatalf("opened at %d, want %d: %v", at, from.at, a.engine.Stats().Snapshots.PassedOver)
						}
						a.check(b)
						a.close(b)
						b.StartTimer()
					}
				})
			}
		})
	}
}
