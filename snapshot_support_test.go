package headrace_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/headracetest"
	"github.com/headrace/headrace/internal/snapshot"
)

// book is the state of the tests' entities.
type book struct {
	Balance map[int64]int64
	Entries int
}

// world is a topology with one of everything that a snapshot has to hold: a lane whose On handler fails halfway and is
// rebuilt, with timers; a lane that decides and evolves, and parks too; read models.
type world struct {
	topology *headrace.Topology
	till     *handlers.State[till]
	book     *handlers.State[book]
	bank     *handlers.Projection[bank]
}

// luck decides which attempts fail: always the same ones for one seed.
type luck struct {
	seed  uint64
	fixed bool  // nothing fails any more
	never int64 // the amount that always fails; 0 = none
}

func (l luck) fails(handler string, amount int64, attempt int) error {
	if l.fixed {
		return nil
	}
	if l.never > 0 && amount == l.never {
		return errBroken
	}
	rng := rand.New(rand.NewPCG(l.seed+uint64(amount), event.HandlerID(handler)+uint64(attempt)))
	switch rng.IntN(14) {
	case 0:
		return errBroken
	case 1:
		panic(errBroken)
	}
	return nil
}

func newWorld(t testing.TB, l luck) *world {
	w := &world{topology: headrace.NewTopology(ledgerRegistry(t))}
	w.topology.AnsweredByMany("bank.deposit")
	logic := w.topology.Logic()
	w.till = handlers.Keep(logic, "till", newTill)
	handlers.On(logic, "till", func(c *handlers.Context, d deposit) error {
		s := w.till.Of(c)
		s.Events++
		if err := l.fails("till", d.Amount, c.Attempt()); err != nil {
			return err
		}
		s.Sums[d.Account] += d.Amount
		err := handlers.Emit(c, deposited{d.Account, s.Sums[d.Account]})
		switch name := fmt.Sprint("later/", d.Account); {
		case d.Amount%7 == 0:
			err = errors.Join(err, handlers.Schedule(c, note{"later"}, c.Time().Add(time.Duration(d.Amount%5)*time.Second), handlers.ScheduleOptions{Name: name}))
		case d.Amount%7 == 1:
			err = errors.Join(err, handlers.Schedule(c, note{"once"}, c.Time().Add(3*time.Second), handlers.ScheduleOptions{}))
		case d.Amount%7 == 2:
			err = errors.Join(err, handlers.Cancel(c, name))
		}
		return err
	})
	handlers.Fold(logic, func(c *handlers.Context, n note) error { w.till.Of(c).Events += 1000; return nil })
	policy := handlers.FailurePolicy{Retries: 1, Then: handlers.ThenDeadLetter}
	logic.OnFailure("till", policy)

	ledger := w.topology.Lane("ledger", headrace.LaneOptions{})
	w.book = handlers.Keep(ledger, "book", func() *book { return &book{Balance: map[int64]int64{}} })
	handlers.Decide(ledger, "credit", func(c *handlers.Context, d deposit) error {
		b := w.book.Of(c)
		if err := l.fails("credit", d.Amount, c.Attempt()); err != nil {
			return err
		}
		// What is decided depends on all that was decided before.
		return handlers.Emit(c, credited{d.Account, d.Amount + b.Balance[d.Account]%3})
	})
	handlers.Evolve(ledger, func(c *handlers.Context, e credited) error {
		b := w.book.Of(c)
		b.Balance[e.Account] += e.Amount
		b.Entries++
		return nil
	})
	ledger.OnFailure("credit", policy)

	w.bank = handlers.NewProjection("bank", &bank{Balance: map[int64]int64{}})
	handlers.Apply(w.bank, func(b *bank, c *handlers.Context, d deposited) error {
		b.Balance[d.Account] = d.Amount
		b.Order = append(b.Order, d.Amount)
		return nil
	})
	handlers.Apply(w.bank, func(b *bank, c *handlers.Context, d credited) error {
		b.Order = append(b.Order, -d.Amount)
		return nil
	})
	w.topology.Project(w.bank, headrace.LaneOptions{})
	return w
}

func (w *world) hashes(t testing.TB) []handlers.StateHash {
	t.Helper()
	hashes, err := w.topology.Hashes()
	require.NoError(t, err)
	return hashes
}

// drive publishes n deposits at random: with and without keys, repeats, alone and in a batch; moves the clock; redrives.
func drive(t testing.TB, e *headrace.Engine, clock *headracetest.Clock, rng *rand.Rand, n int, from int64) {
	t.Helper()
	p := producer(t, e, "web")
	for i := range int64(n) {
		d := deposit{rng.Int64N(6), from + i}
		m := headrace.Meta{ID: event.DeriveID(7, event.ID{1}, uint32(from+i))}
		if d.Account > 0 {
			m.Key = fmt.Sprint("account ", d.Account)
		}
		seq, err := headrace.Publish(limit(t), p, d, m)
		require.NoError(t, err)
		if rng.IntN(8) == 0 {
			again, err := headrace.Publish(limit(t), p, d, m)
			require.NoError(t, err)
			require.Equal(t, seq, again)
		}
		switch rng.IntN(20) {
		case 0:
			clock.Advance(time.Duration(rng.IntN(2000)) * time.Millisecond)
		case 1:
			for _, dead := range e.DeadLetters() {
				if rng.IntN(2) == 0 {
					_, err := e.Redrive(limit(t), dead.Handler, dead.Sequence)
					if !errors.Is(err, headrace.ErrNotParked) {
						require.NoError(t, err)
					}
				}
			}
		}
	}
}

// copyAll copies a journal's directory with its folders, as a crash would leave it.
func copyAll(t testing.TB, from string) string {
	t.Helper()
	to := t.TempDir()
	copyInto(t, from, to)
	return to
}

func copyInto(t testing.TB, from, to string) {
	files, err := os.ReadDir(from)
	require.NoError(t, err)
	// What names others comes first: while an engine runs, a snapshot in the copy must have its log.
	for _, dirs := range []bool{true, false} {
		for _, f := range files {
			switch path := filepath.Join(from, f.Name()); {
			case f.IsDir() && dirs:
				require.NoError(t, os.Mkdir(filepath.Join(to, f.Name()), 0o700))
				copyInto(t, path, filepath.Join(to, f.Name()))
			case f.Type().IsRegular() && !dirs:
				data, err := os.ReadFile(path)
				if errors.Is(err, os.ErrNotExist) {
					continue
				}
				require.NoError(t, err)
				require.NoError(t, os.WriteFile(filepath.Join(to, f.Name()), data, 0o600))
			}
		}
	}
}

// snapshotsIn returns the sequences of the snapshots in a journal's directory, newest first.
func snapshotsIn(t testing.TB, dir string) []int64 {
	t.Helper()
	all, err := snapshot.List(snapshot.Dir(dir))
	require.NoError(t, err)
	return all
}

func take(t testing.TB, e *headrace.Engine) headrace.SnapshotInfo {
	t.Helper()
	info, err := e.Snapshot(limit(t))
	require.NoError(t, err)
	return info
}
