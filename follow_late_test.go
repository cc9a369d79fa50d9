package headrace_test

import (
	"context"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/journal"
)

// stamped is one event of the log, with its time.
type stamped struct {
	seq  int64
	time time.Time
}

// Subscribers that come late, from any sequence or time, while several producers publish, get exactly what the log has
// from there on: no gap and no repeat where the past ends and the live begins.
func TestFollow_Late_FromAnySequenceOrTime_AgainstTheLog(t *testing.T) {
	for _, mode := range []journal.Durability{journal.None(), journal.Group(1e6, 1<<16)} {
		t.Run(mode.String(), func(t *testing.T) {
			seed := rand.Uint64()
			rng := rand.New(rand.NewPCG(seed, 0))
			o := small()
			o.Journal.Durability = mode
			dir := t.TempDir()
			e := open(t, dir, newApp(t), o)
			// The clock that stamps the records: it is what a time is compared with.
			began := time.Now()
			var published sync.WaitGroup
			for k := range 3 {
				p := producer(t, e, string(rune('a'+k)))
				published.Go(func() {
					for i := range int64(500) {
						if _, err := headrace.Publish(context.Background(), p, deposit{int64(k), i}, headrace.Meta{}); err != nil {
							t.Error(err)
						}
					}
				})
			}
			type late struct {
				options headrace.FollowOptions
				got     []stamped
				done    chan error
			}
			var all []*late
			for i := range 24 {
				l := &late{done: make(chan error, 1)}
				switch i % 3 {
				case 0:
					l.options.From = 1 + rng.Int64N(e.Written()+200)
				case 1:
					l.options.FromTime = began.Add(time.Duration(rng.Int64N(int64(time.Since(began)) + 1e6)))
				case 2:
					l.options.FromTime = time.Now().Add(time.Duration(rng.Int64N(2e6))) // yet to come, or just past
				}
				l.options.Provisional = rng.IntN(2) == 0
				all = append(all, l)
				go func() {
					collect := func(d handlers.Delivery) { l.got = append(l.got, stamped{d.Sequence, d.Time}) }
					if i%2 == 0 {
						l.done <- e.Follow(limit(t), l.options, func(_ context.Context, d handlers.Delivery) error { collect(d); return nil })
						return
					}
					l.done <- e.FollowBatch(limit(t), l.options, 1+i, func(_ context.Context, events []handlers.Delivery) error {
						for _, d := range events {
							collect(d)
						}
						return nil
					})
				}()
				require.NoError(t, e.WaitWritten(limit(t), min(e.Stats().Ring.Cursor+20, 1500)))
			}
			published.Wait()
			for len(e.Health().Followers) < len(all) { // all of them have begun
				runtime.Gosched()
			}
			closeEngine(t, e)
			r, err := journal.OpenReader(dir, 1, journal.ReaderOptions{})
			require.NoError(t, err)
			var log []stamped
			_, err = r.Read(func(rec journal.Record) error {
				if rec.Kind == journal.KindEvent && rec.Type >= handlers.FirstUserType {
					log = append(log, stamped{rec.Sequence, time.Unix(0, rec.Time).UTC()})
				}
				return nil
			})
			require.NoError(t, err)
			require.NoError(t, r.Close())
			for i, l := range all {
				require.NoError(t, <-l.done)
				var want []stamped
				for _, s := range log {
					if s.seq >= l.options.From && !s.time.Before(l.options.FromTime) {
						want = append(want, s)
					}
				}
				require.Equal(t, want, l.got, "seed %d, subscriber %d, from %d or %v", seed, i, l.options.From, l.options.FromTime)
			}
		})
	}
}

// A checkpoint counts more than a time.
func TestFollow_FromTime_Checkpoint(t *testing.T) {
	e := open(t, t.TempDir(), newApp(t), small())
	p := producer(t, e, "web")
	for i := range int64(10) {
		publish(t, p, deposit{Amount: i})
	}
	var got []int64
	o := headrace.FollowOptions{Name: "late", FromTime: time.Now().Add(-time.Hour)}
	require.ErrorIs(t, e.Follow(limit(t), o, amounts(&got, 4)), errEnough)
	o.FromTime = time.Now().Add(time.Hour)
	o.Until = e.Written() // so a follower that goes by the time ends with nothing
	require.ErrorIs(t, e.Follow(limit(t), o, amounts(&got, 10)), errEnough)
	require.Equal(t, []int64{0, 1, 2, 3, 3, 4, 5, 6, 7, 8}, got)
	err := e.Follow(limit(t), headrace.FollowOptions{From: 1, FromTime: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)}, amounts(&got, 0))
	require.ErrorContains(t, err, "not with From")
	require.ErrorContains(t, err, "1678")
	closeEngine(t, e)
}
