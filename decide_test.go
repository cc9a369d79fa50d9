package headrace_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/journal"
)

// withdraw asks for money that must be there; withdrawn and refused answer it.
type (
	withdraw  struct{ Account, Amount int64 }
	credited  struct{ Account, Amount int64 }
	withdrawn struct{ Account, Amount, Left int64 }
	refused   struct{ Account, Amount, Had int64 }
)

// ledger is a bank that decides: what an account holds changes by credited and withdrawn alone.
type ledger struct {
	topology *headrace.Topology
	balance  map[int64]int64  // of the deciding lane
	versions map[string]int64 // of each stream, as folded
	read     *handlers.Projection[map[int64]int64]
	decided  int
}

func ledgerRegistry(t testing.TB) *event.Registry {
	r := registry(t)
	event.MustRegister[withdraw](r, "bank.withdraw", 1, event.TypeOptions{Kind: event.Command})
	event.MustRegister[credited](r, "bank.credited", 1)
	event.MustRegister[withdrawn](r, "bank.withdrawn", 1)
	event.MustRegister[refused](r, "bank.refused", 1)
	return r
}

func newLedger(t testing.TB) *ledger {
	l := &ledger{balance: map[int64]int64{}, versions: map[string]int64{}}
	top := headrace.NewTopology(ledgerRegistry(t))
	l.topology = top
	emit := func(c *handlers.Context, v any) error {
		o := handlers.EmitOptions{StreamVersion: l.versions[c.Key()] + 1}
		switch v := v.(type) {
		case credited:
			return handlers.EmitWith(c, v, o)
		case withdrawn:
			return handlers.EmitWith(c, v, o)
		}
		return errors.New("what is this")
	}
	lane := top.Logic()
	handlers.Decide(lane, "deposits", func(c *handlers.Context, d deposit) error {
		l.decided++
		return emit(c, credited(d))
	})
	handlers.Decide(lane, "withdrawals", func(c *handlers.Context, w withdraw) error {
		l.decided++
		had := l.balance[w.Account]
		if had < w.Amount {
			return handlers.Emit(c, refused{w.Account, w.Amount, had})
		}
		return emit(c, withdrawn{w.Account, w.Amount, had - w.Amount})
	})
	version := func(c *handlers.Context) error {
		v := c.Event().StreamVersion()
		if v != l.versions[c.Key()]+1 {
			return fmt.Errorf("version %d of %q comes after %d", v, c.Key(), l.versions[c.Key()])
		}
		l.versions[c.Key()] = v
		return nil
	}
	handlers.Evolve(lane, func(c *handlers.Context, e credited) error {
		l.balance[e.Account] += e.Amount
		return version(c)
	})
	handlers.Evolve(lane, func(c *handlers.Context, e withdrawn) error {
		if l.balance[e.Account] -= e.Amount; l.balance[e.Account] != e.Left {
			return fmt.Errorf("%d left on account %d, the event says %d", l.balance[e.Account], e.Account, e.Left)
		}
		return version(c)
	})
	l.read = handlers.NewProjection("ledger", &map[int64]int64{})
	handlers.Apply(l.read, func(m *map[int64]int64, _ *handlers.Context, e credited) error {
		(*m)[e.Account] += e.Amount
		return nil
	})
	handlers.Apply(l.read, func(m *map[int64]int64, _ *handlers.Context, e withdrawn) error {
		(*m)[e.Account] -= e.Amount
		return nil
	})
	top.Project(l.read, headrace.LaneOptions{})
	return l
}

func (l *ledger) reading() (m map[int64]int64) {
	l.read.View(func(s *map[int64]int64, _ int64) {
		m = map[int64]int64{}
		for k, v := range *s {
			m[k] = v
		}
	})
	return m
}

// money publishes n random deposits and withdrawals from several producers.
func money(t testing.TB, e *headrace.Engine, seed uint64, n int) {
	t.Helper()
	var wg sync.WaitGroup
	for who := range uint64(2) {
		p := producer(t, e, fmt.Sprint("web", who))
		rng := rand.New(rand.NewPCG(seed, who))
		wg.Go(func() {
			for range n / 2 {
				account, amount := rng.Int64N(3), rng.Int64N(100)
				var err error
				m := headrace.Meta{Key: fmt.Sprint("account-", account)}
				if rng.IntN(2) == 0 {
					_, err = headrace.Publish(limit(t), p, deposit{account, amount}, m)
				} else {
					_, err = headrace.Publish(limit(t), p, withdraw{account, amount}, m)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// A decision sees everything that was decided before it, however far behind the log is, and so no account
// is overdrawn. What the lane folded ahead is what the log folds to, in a read model and at replay.
func TestDecide_SeesWhatWasDecidedBefore(t *testing.T) {
	dir := t.TempDir()
	o := small()
	o.Journal.SegmentBytes = 256 << 10
	for round := range uint64(3) {
		l := newLedger(t)
		e, err := headrace.Open(dir, l.topology, o)
		require.NoError(t, err)
		require.Zero(t, l.decided, "nothing is decided again")
		money(t, e, round, 1000)
		closeEngine(t, e)
		require.Equal(t, 1000, l.decided)
		require.Equal(t, l.reading(), l.balance)
		for account, n := range l.balance {
			require.GreaterOrEqual(t, n, int64(0), "account %d", account)
		}
		again := newLedger(t)
		_, err = headrace.Replay(dir, again.topology, headrace.ReplayOptions{})
		require.NoError(t, err)
		require.Equal(t, l.balance, again.balance)
		require.Equal(t, l.versions, again.versions)
		require.Zero(t, again.decided)
	}
	checkAnswers(t, readLog(t, dir))
}

// Cut the log anywhere: what is owed is decided on a state that knows all earlier decisions, wherever their
// events stand in the log, and no decision of the log is taken again.
func TestDecide_LogCutAnywhere(t *testing.T) {
	dir := t.TempDir()
	o := small()
	o.Journal.SegmentBytes = 256 << 10
	e, err := headrace.Open(dir, newLedger(t).topology, o)
	require.NoError(t, err)
	money(t, e, 1, 400)
	closeEngine(t, e)
	files, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 1))
	for range 40 {
		cut := int64(8192 + rng.IntN(90<<10))
		torn := copyDir(t, dir)
		require.NoError(t, os.Truncate(filepath.Join(torn, filepath.Base(files[0])), cut))
		before := answered(t, torn)
		l := newLedger(t)
		e, err := headrace.Open(torn, l.topology, o)
		require.NoError(t, err, "seed %d, cut at %d", seed, cut)
		closeEngine(t, e)
		log := readLog(t, torn)
		checkAnswers(t, log)
		require.Equal(t, l.reading(), l.balance, "seed %d, cut at %d", seed, cut)
		after := answered(t, torn)
		require.Equal(t, len(after)-len(before), l.decided, "seed %d, cut at %d", seed, cut)
		for _, n := range l.balance {
			require.GreaterOrEqual(t, n, int64(0))
		}
	}
}

// answered returns the causes that have an answer in the log of dir.
func answered(t *testing.T, dir string) map[int64]bool {
	t.Helper()
	j, err := journal.Open(dir, journal.Options{SegmentBytes: 256 << 10, Durability: journal.None()})
	require.NoError(t, err)
	require.NoError(t, j.Close())
	causes := map[int64]bool{}
	for _, l := range readLog(t, dir) {
		if l.header.HasOrigin {
			causes[l.header.Origin.Cause] = true
		}
	}
	return causes
}

// The case that a replay in the order of the log gets wrong: the answer to the first command stands behind the
// second, whose own answer a crash took.
func TestDecide_AnswerBehindTheNextCommand(t *testing.T) {
	dir := t.TempDir()
	// A program without handlers writes the commands.
	top := headrace.NewTopology(ledgerRegistry(t))
	e, err := headrace.Open(dir, top, small())
	require.NoError(t, err)
	p := producer(t, e, "web")
	first, err := headrace.Publish(limit(t), p, deposit{1, 100}, headrace.Meta{Key: "account-1"})
	require.NoError(t, err)
	_, err = headrace.Publish(limit(t), p, withdraw{1, 70}, headrace.Meta{Key: "account-1"})
	require.NoError(t, err)
	closeEngine(t, e)
	// One that only knows the first answers it, behind the second.
	top = headrace.NewTopology(ledgerRegistry(t))
	handlers.Decide(top.Logic(), "deposits", func(c *handlers.Context, d deposit) error {
		require.Equal(t, first, c.Sequence())
		return handlers.EmitWith(c, credited(d), handlers.EmitOptions{StreamVersion: 1})
	})
	top.ReactFromStart("deposits")
	e, err = headrace.Open(dir, top, small())
	require.NoError(t, err)
	closeEngine(t, e)

	l := newLedger(t)
	l.topology.ReactFromStart("withdrawals")
	e, err = headrace.Open(dir, l.topology, small())
	require.NoError(t, err)
	closeEngine(t, e)
	require.Equal(t, map[int64]int64{1: 30}, l.balance)
	require.Equal(t, map[int64]int64{1: 30}, l.reading())
}

// Owed decisions may cause more of them, in rounds, and each is taken once.
func TestDecide_OwesAChain(t *testing.T) {
	dir := t.TempDir()
	top := headrace.NewTopology(registry(t))
	e, err := headrace.Open(dir, top, small())
	require.NoError(t, err)
	for i := range int64(50) {
		publish(t, producer(t, e, "web"), deposit{Account: i, Amount: 5})
	}
	closeEngine(t, e)
	for range 2 {
		top = headrace.NewTopology(registry(t))
		handlers.Decide(top.Logic(), "halve", func(c *handlers.Context, d deposit) error {
			if d.Amount < 2 {
				return nil
			}
			return errors.Join(handlers.Emit(c, deposit{d.Account, d.Amount / 2}), handlers.Emit(c, note{"halved"}))
		})
		top.ReactFromStart("halve")
		other := top.Lane("other", headrace.LaneOptions{})
		handlers.Decide(other, "echo", func(c *handlers.Context, n note) error { return handlers.Emit(c, deposited{}) })
		top.ReactFromStart("echo")
		e, err = headrace.Open(dir, top, small())
		require.NoError(t, err)
		closeEngine(t, e)
		counts := map[string]int{}
		for _, l := range readLog(t, dir) {
			counts[l.header.Producer]++
		}
		require.Equal(t, 50*2*2, counts["halve"], "5, 2, 1")
		require.Equal(t, 50*2, counts["echo"])
	}
}

// Changed code cannot contradict the log: what was decided stands.
func TestDecide_ChangedCode(t *testing.T) {
	dir := t.TempDir()
	run := func(factor int64) (sum int64, calls int) {
		top := headrace.NewTopology(ledgerRegistry(t))
		handlers.Decide(top.Logic(), "deposits", func(c *handlers.Context, d deposit) error {
			calls++
			return handlers.Emit(c, credited{d.Account, d.Amount * factor})
		})
		handlers.Evolve(top.Logic(), func(_ *handlers.Context, e credited) error { sum += e.Amount; return nil })
		e, err := headrace.Open(dir, top, small())
		require.NoError(t, err)
		publish(t, producer(t, e, "web"), deposit{1, 1})
		closeEngine(t, e)
		return sum, calls
	}
	for i, want := range []int64{1, 11, 111} {
		factor := []int64{1, 10, 100}[i]
		sum, calls := run(factor)
		require.Equal(t, want, sum)
		require.Equal(t, 1, calls)
	}
}

// What a fold sees is the same ahead of the log and at its place in it.
func TestEvolve_SeesTheSameAheadAndAtReplay(t *testing.T) {
	dir := t.TempDir()
	type sight struct {
		header   event.Header
		sequence int64
		at       int64
		random   uint64
		typeName string
		amount   int64
	}
	run := func(publishSome bool) (all []sight) {
		top := headrace.NewTopology(ledgerRegistry(t))
		handlers.Decide(top.Logic(), "deposits", func(c *handlers.Context, d deposit) error {
			return errors.Join(handlers.Emit(c, credited{d.Account, 1}), handlers.Emit(c, credited{d.Account, 2}))
		})
		handlers.Evolve(top.Logic(), func(c *handlers.Context, e credited) error {
			require.ErrorIs(t, handlers.Emit(c, e), handlers.ErrReadOnly)
			all = append(all, sight{c.Event().Header(), c.Sequence(), c.Time().UnixNano(), c.Rand().Uint64(), c.Type(), e.Amount})
			return nil
		})
		e, err := headrace.Open(dir, top, small())
		require.NoError(t, err)
		if publishSome {
			for i := range int64(20) {
				publish(t, producer(t, e, "web"), deposit{i, i})
			}
		}
		closeEngine(t, e)
		return all
	}
	live := run(true)
	require.Len(t, live, 40)
	require.Equal(t, live, run(false))
	require.NotEqual(t, live[0].random, live[1].random)
	require.EqualValues(t, 2, live[0].header.Origin.Outputs)
}

// A type that a lane evolves comes from its decisions and from nowhere else.
func TestEvolve_OwnsItsType(t *testing.T) {
	top := headrace.NewTopology(ledgerRegistry(t))
	got := make(chan error, 2)
	handlers.On(top.Logic(), "on", func(c *handlers.Context, n note) error { got <- handlers.Emit(c, credited{}); return nil })
	handlers.Evolve(top.Logic(), func(*handlers.Context, credited) error { return nil })
	e, err := headrace.Open(t.TempDir(), top, small())
	require.NoError(t, err)
	_, err = headrace.Publish(limit(t), producer(t, e, "web"), credited{}, headrace.Meta{})
	require.ErrorIs(t, err, handlers.ErrOwned)
	require.ErrorContains(t, err, `bank.credited, by lane "logic"`)
	publish(t, producer(t, e, "web"), note{})
	require.ErrorIs(t, <-got, handlers.ErrOwned)
	<-e.Halted()
	require.ErrorIs(t, e.Close(limit(t)), handlers.ErrOwned)

	top = headrace.NewTopology(ledgerRegistry(t))
	handlers.Evolve(top.Logic(), func(*handlers.Context, credited) error { return nil })
	handlers.Evolve(top.Lane("other", headrace.LaneOptions{}), func(*handlers.Context, credited) error { return nil })
	handlers.On(top.Logic(), "both", func(*handlers.Context, note) error { return nil })
	handlers.Decide(top.Logic(), "both", func(*handlers.Context, deposit) error { return nil })
	handlers.Fold[note](top.Logic(), nil)
	_, err = headrace.Open(t.TempDir(), top, small())
	require.ErrorContains(t, err, `belongs to lane "logic"`)
	require.ErrorContains(t, err, `"both" is used with On and with Decide`)
	require.ErrorContains(t, err, "is nil")
}

// An event that cannot be folded does not get into the log.
func TestEvolve_Fails_BeforeTheLogHasIt(t *testing.T) {
	for name, evolve := range map[string]func(*handlers.Context, credited) error{
		"error": func(*handlers.Context, credited) error { return errRefusing },
		"panic": func(*handlers.Context, credited) error { panic(errRefusing) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			top := headrace.NewTopology(ledgerRegistry(t))
			handlers.Decide(top.Logic(), "deposits", func(c *handlers.Context, d deposit) error { return handlers.Emit(c, credited(d)) })
			handlers.Evolve(top.Logic(), evolve)
			e, err := headrace.Open(dir, top, small())
			require.NoError(t, err)
			seq, err := headrace.Publish(limit(t), producer(t, e, "web"), deposit{}, headrace.Meta{Key: "account-0"})
			require.NoError(t, err)
			<-e.Halted()
			err = e.Close(limit(t))
			require.ErrorIs(t, err, errRefusing)
			var he *handlers.HandlerError
			require.ErrorAs(t, err, &he)
			require.Equal(t, seq, he.Sequence)
			require.Equal(t, "deposits", he.Handler)
			l := newLedger(t)
			e, err = headrace.Open(dir, l.topology, small())
			require.NoError(t, err)
			closeEngine(t, e)
			require.Equal(t, 1, l.decided)
		})
	}
}

// Folds run before decisions on the same event, whatever the order of registration, and one handler's T is
// not another's.
func TestDecide_AfterFolds_EachWithAnEventOfItsOwn(t *testing.T) {
	reg := event.NewRegistry()
	event.MustRegister[bytesEvent](reg, "bytes", 1)
	event.MustRegister[note](reg, "note", 1)
	top := headrace.NewTopology(reg)
	var calls []string
	var emitted bool
	see := func(name string) func(*handlers.Context, bytesEvent) error {
		return func(c *handlers.Context, e bytesEvent) error {
			calls = append(calls, fmt.Sprint(name, e.B))
			e.B[0]++
			return nil
		}
	}
	handlers.Decide(top.Logic(), "decide 1", func(c *handlers.Context, e bytesEvent) error {
		if err := see("decide 1 ")(c, e); err != nil || emitted {
			return err
		}
		emitted = true
		return handlers.Emit(c, bytesEvent{[]byte{50}})
	})
	handlers.Decide(top.Logic(), "decide 2", see("decide 2 "))
	handlers.Fold(top.Logic(), see("fold "))
	handlers.On(top.Logic(), "on", see("on "))
	handlers.Evolve(top.Lane("other", headrace.LaneOptions{}), func(*handlers.Context, note) error { return nil })
	e, err := headrace.Open(t.TempDir(), top, small())
	require.NoError(t, err)
	publish(t, producer(t, e, "web"), bytesEvent{[]byte{7}})
	closeEngine(t, e)
	require.Equal(t, "fold [7] on [7] decide 1 [7] decide 2 [7] fold [50] on [50] decide 1 [50] decide 2 [50]", strings.Join(calls, " "))
}

// The same where the lane decides on the very type that it evolves.
func TestDecide_OnTheTypeThatItEmits(t *testing.T) {
	dir := t.TempDir()
	var seen []int64
	sum := int64(0)
	build := func() *headrace.Topology {
		top := headrace.NewTopology(ledgerRegistry(t))
		handlers.Decide(top.Logic(), "begin", func(c *handlers.Context, d deposit) error { return handlers.Emit(c, credited(d)) })
		handlers.Decide(top.Logic(), "step", func(c *handlers.Context, e credited) error {
			if e.Amount == 0 {
				return nil
			}
			return handlers.Emit(c, credited{e.Account, e.Amount - 1})
		})
		handlers.Decide(top.Logic(), "watch", func(c *handlers.Context, e credited) error { seen = append(seen, e.Amount); return nil })
		handlers.Evolve(top.Logic(), func(_ *handlers.Context, e credited) error { sum += e.Amount; return nil })
		return top
	}
	e, err := headrace.Open(dir, build(), small())
	require.NoError(t, err)
	publish(t, producer(t, e, "web"), deposit{1, 3})
	closeEngine(t, e)
	require.Equal(t, []int64{3, 2, 1, 0}, seen)
	require.EqualValues(t, 6, sum)
	sum = 0
	_, err = headrace.Replay(dir, build(), headrace.ReplayOptions{})
	require.NoError(t, err)
	require.EqualValues(t, 6, sum)
}

// As of a sequence, what was decided on events up to there counts for the states that Evolve changes, wherever in the log the
// decisions stand; folds of other lanes have seen what stands up to there.
func TestReplay_UntilBetweenCommandsAndDecisions(t *testing.T) {
	dir := t.TempDir()
	build := func() (*headrace.Topology, *handlers.State[int64], *handlers.Projection[int64]) {
		top := headrace.NewTopology(registry(t))
		s := handlers.Keep(top.Logic(), "sum", func() *int64 { return new(int64) })
		handlers.Decide(top.Logic(), "teller", func(c *handlers.Context, d deposit) error { return handlers.Emit(c, deposited(d)) })
		handlers.Evolve(top.Logic(), func(c *handlers.Context, d deposited) error { *s.Of(c) += d.Amount; return nil })
		p := handlers.NewProjection("seen", new(int64))
		handlers.Apply(p, func(n *int64, _ *handlers.Context, d deposited) error { *n += d.Amount; return nil })
		top.Project(p, headrace.LaneOptions{})
		return top, s, p
	}
	top, _, _ := build()
	e := openTop(t, dir, top)
	messages := make([]headrace.Message, 5)
	for i := range messages {
		messages[i] = headrace.Message{Value: deposit{Amount: 1}}
	}
	first, err := producer(t, e, "web").PublishBatch(limit(t), messages) // their decisions stand behind all of them
	require.NoError(t, err)
	closeEngine(t, e)
	for i := range int64(len(messages)) {
		top, s, p := build()
		_, err := headrace.Replay(dir, top, headrace.ReplayOptions{Until: first + i})
		require.NoError(t, err)
		s.View(func(n *int64, at int64) {
			require.Equal(t, i+1, *n)
			require.Equal(t, first+i, at)
		})
		p.View(func(n *int64, _ int64) { require.Zero(t, *n) })
	}
}
