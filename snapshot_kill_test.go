package headrace_test

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace"
)

const (
	snapshotsChild = "HEADRACE_SNAPSHOTS_CHILD" // the directory
	snapshotsLife  = "HEADRACE_SNAPSHOTS_LIFE"  // a number for each process
	snapshotsSeed  = "HEADRACE_SNAPSHOTS_SEED"
)

// lifeOptions are those of the life of a process, by its number.
func lifeOptions(life int64, rng *rand.Rand) (headrace.Options, func(*headrace.Engine, int64)) {
	o, clock := withClock(newYear.Add(time.Duration(life) * time.Hour))
	o.Slots = 64 << rng.IntN(4)
	o.Snapshots.EveryEvents = 5 + rng.Int64N(200)
	o.Snapshots.Keep = 1 + rng.IntN(3)
	return o, func(e *headrace.Engine, from int64) { drive(failing{}, e, clock, rng, 20, from) }
}

// failing ends a child in which something fails that must not; it is not on the test's goroutine's stack alone.
type failing struct{ testing.TB }

func (failing) Name() string                      { return "child" }
func (failing) Helper()                           {}
func (failing) Cleanup(func())                    {}
func (failing) Errorf(format string, args ...any) { new(speaker).say("failed "+format, args...) }
func (failing) FailNow()                          { os.Exit(3) }

// TestSnapshots_Child does a bit of everything and takes snapshots often, until it is killed.
func TestSnapshots_Child(t *testing.T) {
	dir := os.Getenv(snapshotsChild)
	if dir == "" {
		t.Skip("run by TestSnapshots_KillNine")
	}
	life, err := strconv.ParseInt(os.Getenv(snapshotsLife), 10, 64)
	require.NoError(t, err)
	seed, err := strconv.ParseUint(os.Getenv(snapshotsSeed), 10, 64)
	require.NoError(t, err)
	var out speaker
	rng := rand.New(rand.NewPCG(seed, uint64(life)))
	o, more := lifeOptions(life, rng)
	said := make(chan struct{}, 1000)
	o.Logger = slog.New(saysWhen{"headrace: snapshot", func() { offer(said) }})
	go func() {
		for range said {
			out.say("snapshot")
		}
	}()
	e, err := headrace.Open(dir, newWorld(t, luck{seed: seed}).topology, o)
	require.NoError(t, err)
	for from := life * 1_000_000; ; from += 20 {
		more(e, from)
		out.say("driven")
	}
}

// Killed at random while snapshots are taken, again and again: each time the next engine begins with one that fits, and
// comes to what a replay of the whole log does; so does every snapshot that is left.
func TestSnapshots_KillNine(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	journals, lives := 1, int64(4) // each life makes its log longer, and reads all of it
	if os.Getenv("HEADRACE_LONG") != "" {
		journals, lives = 20, 8
	}
	for i := range journals {
		t.Run(fmt.Sprint("journal=", i), func(t *testing.T) { snapshotsKillNine(t, lives) })
	}
}

func snapshotsKillNine(t *testing.T, lives int64) {
	dir := t.TempDir()
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	l := luck{seed: seed}
	for life := range lives {
		after, snapshots, lines := 5+rng.IntN(40), 0, 0
		env := []string{snapshotsChild + "=" + dir, fmt.Sprint(snapshotsLife, "=", life), fmt.Sprint(snapshotsSeed, "=", seed)}
		for _, line := range killed(t, "TestSnapshots_Child", env, func(line string) bool {
			if line == "snapshot" {
				snapshots++
			}
			lines++
			return lines > after && snapshots > 0
		}) {
			require.Contains(t, []string{"snapshot", "driven"}, line, "seed %d", seed)
		}
		o, _ := withClock(newYear.Add(time.Duration(life)*time.Hour + 30*time.Minute))
		o.Snapshots.AtClose = rng.IntN(3) == 0
		w := newWorld(t, l)
		e, err := headrace.Open(dir, w.topology, o)
		require.NoError(t, err, "seed %d, life %d", seed, life)
		require.Positive(t, e.Stats().Snapshots.OpenedAt, "seed %d, life %d", seed, life)
		require.Empty(t, e.Stats().Snapshots.PassedOver, "seed %d, life %d", seed, life)
		require.NoError(t, e.WaitIdle(limit(t)), "seed %d, life %d", seed, life)
		closeEngine(t, e)
		live := w.hashes(t)
		rep, err := headrace.VerifySnapshots(dir, func() *headrace.Topology { return newWorld(t, l).topology }, headrace.VerifyOptions{})
		require.NoError(t, err, "seed %d, life %d", seed, life)
		require.Equal(t, live, rep.Hashes, "seed %d, life %d", seed, life)
		for _, s := range rep.Snapshots {
			require.NoError(t, s.Err, "seed %d, life %d", seed, life)
		}
	}
}
