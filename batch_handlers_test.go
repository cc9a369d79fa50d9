package headrace_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/journal"
)

// part is one event of an atomic batch: the At-th of Of, in the batch of this name.
type part struct {
	Batch  int64
	At, Of int
}

// tally is what becomes of parts, however they are cut.
type tally struct {
	Sum   uint64 // depends on the order
	Count int
	Seen  []int64
}

func (s *tally) add(seq int64, p part) {
	s.Sum = s.Sum*31 + uint64(p.Batch)*7 + uint64(p.At)
	s.Count++
	s.Seen = append(s.Seen, seq)
}

// cuts looks at the batches that a handler gets: none may split an atomic batch.
type cuts struct {
	mu    sync.Mutex
	sizes []int
	bad   []string
}

func (c *cuts) look(events []handlers.Delivery) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sizes = append(c.sizes, len(events))
	for i, d := range events {
		p, ok, err := handlers.Decode[part](d)
		if err != nil || !ok {
			return errors.Join(err, errFields)
		}
		if i == 0 && p.At != 0 || i == len(events)-1 && p.At != p.Of-1 {
			c.bad = append(c.bad, fmt.Sprintf("%+v at %d of %d", p, i, len(events)))
		}
	}
	return nil
}

type batched struct {
	topology *headrace.Topology
	one      *handlers.Projection[tally]
	many     *handlers.Projection[tally]
	lane     *handlers.State[tally]
	cuts     cuts
	fail     func(d []handlers.Delivery) error
}

func newBatched(behind headrace.Gate, most int) *batched {
	r := event.NewRegistry()
	event.MustRegister[part](r, "part", 1)
	event.MustRegister[note](r, "note", 1)
	b := &batched{topology: headrace.NewTopology(r)}
	b.one = handlers.NewProjection("one", &tally{})
	handlers.ApplyFiltered(b.one, handlers.Filter{Types: []string{"part"}}, func(s *tally, c *handlers.Context) error {
		p, _, err := handlers.As[part](c)
		s.add(c.Sequence(), p)
		return err
	})
	b.topology.Project(b.one, headrace.LaneOptions{})
	b.many = handlers.NewProjection("many", &tally{})
	handlers.ApplyBatch(b.many, handlers.Filter{Types: []string{"part"}}, most, func(s *tally, c *handlers.Context, events []handlers.Delivery) error {
		if err := b.cuts.look(events); err != nil {
			return err
		}
		for _, d := range events {
			p, _, err := handlers.Decode[part](d)
			if err != nil {
				return err
			}
			if b.fail != nil {
				if err := b.fail(events); err != nil {
					return err
				}
			}
			s.add(d.Sequence, p)
		}
		if c.Sequence() != events[len(events)-1].Sequence {
			return errFields
		}
		return nil
	})
	b.topology.Project(b.many, headrace.LaneOptions{Behind: behind, MaxBatch: 7})
	l := b.topology.Lane("lane", headrace.LaneOptions{})
	b.lane = handlers.Keep(l, "tally", func() *tally { return &tally{} })
	handlers.FoldBatch(l, handlers.Filter{}, 0, func(c *handlers.Context, events []handlers.Delivery) error {
		for _, d := range events {
			if p, ok, err := handlers.Decode[part](d); err != nil {
				return err
			} else if ok {
				b.lane.Of(c).add(d.Sequence, p)
			}
		}
		if err := handlers.Emit(c, note{}); !errors.Is(err, handlers.ErrReadOnly) {
			return fmt.Errorf("emitting in a batch: %w", err)
		}
		return nil
	})
	return b
}

func (b *batched) states() (one, many, lane tally) {
	b.one.View(func(s *tally, _ int64) { one = *s })
	b.many.View(func(s *tally, _ int64) { many = *s })
	b.lane.View(func(s *tally, _ int64) { lane = *s })
	return one, many, lane
}

// publishParts publishes atomic batches of random sizes from several producers.
func publishParts(t testing.TB, e *headrace.Engine, rng *rand.Rand, producers, batches int) {
	var wg sync.WaitGroup
	for k := range producers {
		p := producer(t, e, fmt.Sprint("p", k))
		own := rand.New(rand.NewPCG(rng.Uint64(), 1))
		wg.Go(func() {
			for i := range batches {
				n := 1 + own.IntN(4)
				if own.IntN(5) == 0 {
					n = 1 + own.IntN(30)
				}
				var all []headrace.Message
				for at := range n {
					m := headrace.Message{Value: part{int64(k*batches + i), at, n}, Meta: headrace.Meta{Key: fmt.Sprint(k, "/", i%5)}}
					all = append(all, m)
				}
				_, err := p.PublishBatch(context.Background(), all)
				if err == nil && own.IntN(3) == 0 {
					_, err = p.Publish(context.Background(), note{"x"}, headrace.Meta{})
				}
				if errors.Is(err, headrace.ErrHalted) {
					return // where it should not have, closing it says so
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// A batch handler comes to what a handler of single events comes to, live and replayed, behind every gate, and never
// sees a part of an atomic batch, although batches wrap around the ring and spans are short.
func TestBatchHandlers_AgainstSingle_NeverSplitABatch(t *testing.T) {
	for _, behind := range []headrace.Gate{headrace.Written, headrace.Durable, headrace.Published} {
		t.Run(behind.String(), func(t *testing.T) {
			seed := rand.Uint64()
			rng := rand.New(rand.NewPCG(seed, 0))
			dir := t.TempDir()
			o := small()
			o.Slots = 128
			if behind == headrace.Durable {
				o.Journal.Durability = journal.Group(1e6, 1<<16)
			}
			most := 1 + rng.IntN(20)
			b := newBatched(behind, most)
			e := open(t, dir, app{topology: b.topology}, o)
			publishParts(t, e, rng, 3, 150)
			require.NoError(t, b.many.WaitFor(limit(t), e.Stats().Ring.Cursor))
			closeEngine(t, e)
			one, many, lane := b.states()
			require.NotZero(t, one.Count)
			require.Equal(t, one, many, "seed %d", seed)
			require.Equal(t, one, lane, "seed %d", seed)
			require.Empty(t, b.cuts.bad, "seed %d", seed)
			require.Equal(t, one.Count, sum(b.cuts.sizes), "seed %d", seed)
			require.LessOrEqual(t, slices.Max(b.cuts.sizes), most+29)

			again := newBatched(behind, 1+rng.IntN(20))
			e = open(t, dir, app{topology: again.topology}, o)
			_, many, lane = again.states()
			require.Equal(t, one, many, "replayed, seed %d", seed)
			require.Equal(t, one, lane, "replayed, seed %d", seed)
			require.Empty(t, again.cuts.bad)
			closeEngine(t, e)

			asOf := newBatched(behind, 0)
			at := one.Seen[len(one.Seen)/2]
			_, err := headrace.Replay(dir, asOf.topology, headrace.ReplayOptions{Until: at})
			require.NoError(t, err)
			_, many, lane = asOf.states()
			require.Equal(t, one.Seen[:len(one.Seen)/2+1], many.Seen)
			require.Equal(t, many, lane)
		})
	}
}

func sum(all []int) (n int) {
	for _, k := range all {
		n += k
	}
	return n
}

// Snapshots fall between batches, and go on from there.
func TestBatchHandlers_Snapshots(t *testing.T) {
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(rand.Uint64(), 0))
	o := small()
	var first tally
	for round := range 3 {
		b := newBatched(headrace.Written, 9)
		e := open(t, dir, app{topology: b.topology}, o)
		require.Equal(t, round > 0, e.Stats().Snapshots.OpenedAt > 0)
		done := make(chan struct{})
		go func() { defer close(done); publishParts(t, e, rng, 2, 60) }()
		for range 3 {
			_, err := e.Snapshot(limit(t))
			require.NoError(t, err)
		}
		<-done
		closeEngine(t, e)
		one, many, lane := b.states()
		require.Equal(t, one, many)
		require.Equal(t, one, lane)
		require.Greater(t, one.Count, first.Count)
		first = one
	}
	_, err := headrace.VerifySnapshots(dir, func() *headrace.Topology { return newBatched(headrace.Written, 3).topology }, headrace.VerifyOptions{})
	require.NoError(t, err)
}

// A batch that fails halts the engine; the next one, that does not fail, has the same events.
func TestBatchHandlers_Failure_HaltsAndGoesOnAfterTheFix(t *testing.T) {
	dir := t.TempDir()
	for _, how := range []string{"error", "panic"} {
		b := newBatched(headrace.Written, 4)
		b.fail = func(events []handlers.Delivery) error {
			if events[len(events)-1].Sequence < 20 {
				return nil
			}
			if how == "panic" {
				panic(errBroken)
			}
			return errBroken
		}
		e, err := headrace.Open(dir, b.topology, small())
		if how == "error" {
			require.NoError(t, err)
			publishParts(t, e, rand.New(rand.NewPCG(1, 1)), 1, 8)
			<-e.Halted()
			err = e.Close(limit(t))
			require.ErrorIs(t, err, errBroken)
		}
		var h *handlers.HandlerError
		require.ErrorAs(t, err, &h)
		require.Equal(t, "many", h.Handler)
		require.Equal(t, "part", h.Type)
		if how == "panic" {
			var p *handlers.PanicError
			require.ErrorAs(t, err, &p)
		}
		at := b.many.Sequence()
		require.Less(t, at, h.Sequence, "the state ends before the batch")
		require.Less(t, at, int64(20))
	}
	b := newBatched(headrace.Written, 4)
	e := open(t, dir, app{topology: b.topology}, small())
	one, many, _ := b.states()
	require.Equal(t, one, many)
	closeEngine(t, e)
}

func TestBatchHandlers_Faults(t *testing.T) {
	top := headrace.NewTopology(registry(t))
	p := handlers.NewProjection("p", &tally{})
	nothing := func(*tally, *handlers.Context, []handlers.Delivery) error { return nil }
	handlers.ApplyBatch(p, handlers.Filter{}, -1, nothing)
	handlers.ApplyBatch(p, handlers.Filter{}, 0, nothing)
	handlers.Apply(p, func(*tally, *handlers.Context, note) error { return nil })
	top.Project(p, headrace.LaneOptions{})
	q := handlers.NewProjection("q", &tally{})
	handlers.ApplyBatch(q, handlers.Filter{}, 0, nil)
	top.Project(q, headrace.LaneOptions{})
	l := top.Lane("l", headrace.LaneOptions{})
	handlers.FoldBatch(l, handlers.Filter{Types: []string{"a.>.b"}}, 0, func(*handlers.Context, []handlers.Delivery) error { return nil })
	_, err := headrace.Open(t.TempDir(), top, small())
	for _, want := range []string{"a batch of -1 events", "two batch handlers", "stands alone", `lane "q": a batch handler is nil`, "can only be the last token"} {
		require.ErrorContains(t, err, want)
	}
}

func TestBatchHandlers_DoNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	top := headrace.NewTopology(registry(t))
	count := 0
	handlers.FoldBatch(top.Lane("l", headrace.LaneOptions{}), handlers.Filter{}, 0, func(c *handlers.Context, events []handlers.Delivery) error {
		count += len(events)
		return nil
	})
	e := open(t, t.TempDir(), app{topology: top}, small())
	p := producer(t, e, "web")
	ctx := context.Background()
	round := func() {
		for range 500 {
			if _, err := headrace.Publish(ctx, p, deposit{1, 2}, headrace.Meta{Key: "k"}); err != nil {
				t.Error(err)
			}
		}
	}
	for range 5 {
		round()
	}
	perEvent := testing.AllocsPerRun(10, round) / 500
	closeEngine(t, e)
	require.Less(t, perEvent, 0.1)
	require.Equal(t, 16*500, count)
}

// In memory too.
func TestBatchHandlers_Memory(t *testing.T) {
	b := newBatched(headrace.Written, 5)
	e, err := headrace.OpenMemory(b.topology, headrace.Options{Slots: 128})
	require.NoError(t, err)
	publishParts(t, e, rand.New(rand.NewPCG(rand.Uint64(), 1)), 2, 100)
	closeEngine(t, e)
	one, many, lane := b.states()
	require.Equal(t, one, many)
	require.Equal(t, one, lane)
	require.Empty(t, b.cuts.bad)
}

// Followers: whole atomic batches, each event once, from where the last one that did not fail has ended.
func TestFollowBatch_CheckpointsAndFailures(t *testing.T) {
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	b := newBatched(headrace.Written, 5)
	o := small()
	e := open(t, t.TempDir(), app{topology: b.topology}, o)
	done := make(chan struct{})
	go func() { defer close(done); publishParts(t, e, rand.New(rand.NewPCG(seed, 1)), 2, 150) }()
	var c cuts
	var got []int64
	most := 1 + rng.IntN(12)
	for calls := 0; ; {
		err := e.FollowBatch(limit(t), headrace.FollowOptions{Name: "mail", Filter: handlers.Filter{Types: []string{"part"}}, CheckpointEvery: 1 + rng.IntN(5), Until: 600}, most,
			func(ctx context.Context, events []handlers.Delivery) error {
				if calls++; calls%7 == 0 {
					return errBroken // nothing of it counts
				}
				for _, d := range events {
					got = append(got, d.Sequence)
				}
				if events[len(events)-1].Sequence == 600 {
					return nil // Until may cut a batch
				}
				return c.look(events)
			})
		if err == nil {
			break
		}
		require.ErrorIs(t, err, errBroken)
	}
	<-done
	require.NoError(t, b.one.WaitFor(limit(t), 600))
	one, _, _ := b.states()
	var want []int64
	for _, seq := range one.Seen {
		if seq <= 600 {
			want = append(want, seq)
		}
	}
	require.Equal(t, want, got, "seed %d", seed)
	require.Empty(t, c.bad, "seed %d", seed)

	// Told of what it passes over, only after what comes before.
	handled, passed := int64(0), int64(0)
	err := e.FollowBatch(limit(t), headrace.FollowOptions{
		Until: e.Written(), Filter: handlers.Filter{Types: []string{"part"}},
		Passed: func(at handlers.Checkpoint) error {
			require.Greater(t, at.Sequence, handled)
			passed = at.Sequence
			return nil
		},
	}, 3, func(_ context.Context, events []handlers.Delivery) error {
		require.Greater(t, events[0].Sequence, passed)
		handled = events[len(events)-1].Sequence
		require.Equal(t, handled, events[len(events)-1].Checkpoint().Sequence)
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, e.Written(), max(handled, passed))
	require.Error(t, e.FollowBatch(limit(t), headrace.FollowOptions{}, -1, nil))
	require.Error(t, e.FollowBatch(limit(t), headrace.FollowOptions{}, 0, nil))
	closeEngine(t, e)
}
