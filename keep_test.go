package headrace_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/handlers"
)

// till is a state that a handler changes while it goes.
type till struct {
	Sums   map[int64]int64
	Events int
}

func newTill() *till { return &till{Sums: map[int64]int64{}} }

// tillApp adds deposits up in a handler that fails, by error or panic, after it has changed half of its state.
func tillApp(t testing.TB, p *handlers.FailurePolicy, broken func(d deposit, attempt int) error) (*headrace.Topology, *handlers.State[till]) {
	top := headrace.NewTopology(registry(t))
	state := handlers.Keep(top.Logic(), "till", newTill)
	handlers.On(top.Logic(), "till", func(c *handlers.Context, d deposit) error {
		s := state.Of(c)
		s.Events++
		if broken != nil {
			if err := broken(d, c.Attempt()); err != nil {
				return err
			}
		}
		s.Sums[d.Account] += d.Amount
		return handlers.Emit(c, deposited{d.Account, s.Sums[d.Account]})
	})
	other := 0 // of a handler before it, on the same lane
	handlers.Fold(top.Logic(), func(c *handlers.Context, n note) error { state.Of(c).Events += 1000; other++; return nil })
	if p != nil {
		top.Logic().OnFailure("till", *p)
	}
	return top, state
}

func tillOf(s *handlers.State[till]) (copied till) {
	s.View(func(v *till, _ int64) {
		copied = till{Sums: map[int64]int64{}, Events: v.Events}
		for k, n := range v.Sums {
			copied.Sums[k] = n
		}
	})
	return copied
}

// A handler that fails has changed nothing, whatever it did: the state is rebuilt without the event. The
// same after any crash, and at replay.
func TestKeep_StateIsRebuiltAfterAFailure(t *testing.T) {
	dir := t.TempDir()
	o, clock := withClock(newYear)
	o.Journal.SegmentBytes = 512 << 10
	policy := &handlers.FailurePolicy{Retries: 1, Timeout: time.Hour, Then: handlers.ThenDeadLetter}
	seed := rand.Uint64()
	unlucky := func(d deposit, attempt int) error {
		rng := rand.New(rand.NewPCG(seed+uint64(d.Amount), uint64(attempt)))
		switch rng.IntN(12) {
		case 0:
			return errBroken
		case 1:
			panic(errBroken)
		}
		return nil
	}
	top, state := tillApp(t, policy, unlucky)
	e, err := headrace.Open(dir, top, o)
	require.NoError(t, err)
	rng := rand.New(rand.NewPCG(seed, 2))
	for i := range int64(120) {
		account := rng.Int64N(5) - 1
		m := headrace.Meta{}
		if account >= 0 {
			m.Key = fmt.Sprint("account ", account)
		}
		_, err := headrace.Publish(limit(t), producer(t, e, "web"), deposit{account, i}, m)
		require.NoError(t, err)
		if i%15 == 0 {
			publish(t, producer(t, e, "web"), note{})
			settleLogic(t, e)
			clock.Advance(time.Second)
		}
	}
	settleLogic(t, e)
	require.NotEmpty(t, e.Parked(), "seed %d", seed)
	live := tillOf(state)
	hashes, at, err := top.Logic().Hashes()
	require.NoError(t, err)
	require.Equal(t, "till", hashes[0].Name)
	closeEngine(t, e)

	again, replayed := tillApp(t, policy, nil)
	got, err := headrace.Replay(dir, again, headrace.ReplayOptions{Until: at})
	require.NoError(t, err)
	require.Equal(t, at, got.LastSequence)
	require.Equal(t, live, tillOf(replayed), "seed %d", seed)
	hashesAgain, _, err := again.Logic().Hashes()
	require.NoError(t, err)
	require.Equal(t, hashes, hashesAgain)
	require.Equal(t, top.Logic().Parked(), again.Logic().Parked())

	files, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	require.NoError(t, err)
	for range 12 {
		cut := int64(8192 + rng.IntN(60<<10))
		torn := copyDir(t, dir)
		require.NoError(t, os.Truncate(filepath.Join(torn, filepath.Base(files[0])), cut))
		broken, brokenState := tillApp(t, policy, unlucky)
		e, err := headrace.Open(torn, broken, o)
		require.NoError(t, err, "seed %d, cut at %d", seed, cut)
		settleLogic(t, e)
		closeEngine(t, e)
		once, onceState := tillApp(t, policy, nil)
		_, err = headrace.Replay(torn, once, headrace.ReplayOptions{})
		require.NoError(t, err)
		require.Equal(t, tillOf(brokenState), tillOf(onceState), "seed %d, cut at %d", seed, cut)

		fixed, fixedState := tillApp(t, policy, nil)
		e, err = headrace.Open(torn, fixed, o)
		require.NoError(t, err)
		finish(t, e, clock)
		closeEngine(t, e)
		want := till{Sums: map[int64]int64{}}
		for _, d := range depositsIn(t, torn) {
			want.Sums[d.Account] += d.Amount
			want.Events++
		}
		sums := tillOf(fixedState)
		require.Equal(t, want.Sums, sums.Sums, "seed %d, cut at %d", seed, cut)
		require.Equal(t, want.Events, sums.Events%1000, "seed %d, cut at %d", seed, cut)
	}
}

type hidden struct {
	Seen  int
	cache map[string]int
}

type ownCoded struct{ n int }

func (o *ownCoded) AppendSnapshot(dst []byte) ([]byte, error) { return append(dst, byte(o.n)), nil }
func (o *ownCoded) DecodeSnapshot(data []byte) error          { o.n = int(data[0]); return nil }

func TestKeep_Refusals(t *testing.T) {
	top := headrace.NewTopology(registry(t))
	lane := top.Logic()
	handlers.Keep(lane, "a", newTill)
	handlers.Keep(lane, "a", newTill)
	handlers.Keep[till](lane, "", nil)
	_, err := headrace.Open(t.TempDir(), top, small())
	require.ErrorContains(t, err, `two states are named "a"`)
	require.ErrorContains(t, err, "needs a name")
	require.ErrorContains(t, err, "nothing makes it")

	top = headrace.NewTopology(registry(t))
	handlers.Keep(top.Logic(), "hidden", func() *hidden { return &hidden{cache: map[string]int{}} })
	_, _, err = top.Logic().Hashes()
	require.ErrorIs(t, err, handlers.ErrNotKept)
	require.ErrorContains(t, err, "hidden.cache is not exported")

	one := handlers.NewLane("one")
	handlers.Keep(one, "own", func() *ownCoded { return &ownCoded{7} })
	hashes, _, err := one.Hashes()
	require.NoError(t, err)
	require.Equal(t, 1, hashes[0].Bytes)
}

// A state that is ahead of the log is no matter for a handler that is not.
func TestKeep_MixedAndForeign(t *testing.T) {
	for name, register := range map[string]func(top *headrace.Topology){
		"mixed": func(top *headrace.Topology) {
			s := handlers.Keep(top.Logic(), "s", newTill)
			handlers.Decide(top.Logic(), "decide", func(c *handlers.Context, d deposit) error { return handlers.Emit(c, credited(d)) })
			handlers.Evolve(top.Logic(), func(c *handlers.Context, e credited) error { s.Of(c).Events++; return nil })
			handlers.Fold(top.Logic(), func(c *handlers.Context, e credited) error { s.Of(c).Events++; return nil })
		},
		"foreign": func(top *headrace.Topology) {
			s := handlers.Keep(top.Lane("other", headrace.LaneOptions{}), "s", newTill)
			handlers.Fold(top.Logic(), func(c *handlers.Context, d deposit) error { s.Of(c).Events++; return nil })
		},
	} {
		t.Run(name, func(t *testing.T) {
			top := headrace.NewTopology(ledgerRegistry(t))
			register(top)
			e, err := headrace.Open(t.TempDir(), top, small())
			require.NoError(t, err)
			publish(t, producer(t, e, "web"), deposit{})
			<-e.Halted()
			want := map[string]error{"mixed": handlers.ErrMixedState, "foreign": handlers.ErrForeignState}[name]
			require.ErrorIs(t, e.Close(limit(t)), want)
		})
	}
}
