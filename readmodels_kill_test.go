package headrace_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/handlers"
)

const (
	readModelsChild = "HEADRACE_READMODELS_CHILD" // the directory
	readModelsFrom  = "HEADRACE_READMODELS_FROM"  // time of the first event that the follower wants
)

// TestReadModels_Child publishes, and meanwhile pauses, resumes and rebuilds read models, and follows from a time, until
// it is killed. It says what it does before it does it.
func TestReadModels_Child(t *testing.T) {
	dir := os.Getenv(readModelsChild)
	if dir == "" {
		t.Skip("run by TestReadModels_KillNine")
	}
	nanos, err := strconv.ParseInt(os.Getenv(readModelsFrom), 10, 64)
	require.NoError(t, err)
	b := newBatched(headrace.Written, 5)
	o := small()
	o.Slots = 64
	e := open(t, dir, app{topology: b.topology}, o)
	var out speaker
	ctx := context.Background()
	go func() {
		err := e.Follow(ctx, headrace.FollowOptions{Name: "late", FromTime: time.Unix(0, nanos), CheckpointEvery: 20},
			func(_ context.Context, d handlers.Delivery) error { out.say("follows %d", d.Sequence); return nil })
		out.say("failed %v", err)
	}()
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	go func() {
		for {
			name := []string{"one", "many"}[rng.IntN(2)]
			var err error
			switch rng.IntN(3) {
			case 0:
				out.say("pauses %s", name)
				err = e.Pause(name)
				out.say("paused %s", name)
			case 1:
				out.say("resumes %s", name)
				err = e.Resume(name)
			case 2:
				out.say("rebuilds %s", name)
				err = e.Rebuild(ctx, name)
				out.say("rebuilt %s", name)
			}
			if err != nil {
				out.say("failed %v", err)
			}
		}
	}()
	for {
		publishParts(t, e, rand.New(rand.NewPCG(rand.Uint64(), 1)), 1, 20)
	}
}

// Killed in the midst of a pause, of catching up, of a rebuild: the next engine has nothing that is paused, and its read
// models are what the log says. A follower from a time leaves out nothing, and delivers nothing from before.
func TestReadModels_KillNine(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	journals := 1 // each life makes its log longer, and reads all of it
	if os.Getenv("HEADRACE_LONG") != "" {
		journals = 20
	}
	for i := range journals {
		t.Run(fmt.Sprint("journal=", i), readModelsKillNine)
	}
}

func readModelsKillNine(t *testing.T) {
	dir := t.TempDir()
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	b := newBatched(headrace.Written, 5)
	e := open(t, dir, app{topology: b.topology}, small())
	publishParts(t, e, rng, 1, 20)
	before, times := readParts(t, e, e.Stats().Ring.Cursor)
	from := times[before.Seen[len(before.Seen)/2]]
	closeEngine(t, e)

	const lives = 5
	seen := map[int64]bool{}
	moments := []string{"pauses", "paused", "resumes", "rebuilds", "rebuilt"}
	behind := int64(0) // the last that a follower has had
	for life := range lives {
		moment, after := moments[life%len(moments)], 20+rng.IntN(150)
		lines := 0
		last := int64(0)
		for _, line := range killed(t, "TestReadModels_Child", []string{readModelsChild + "=" + dir, fmt.Sprint(readModelsFrom, "=", from)}, func(line string) bool {
			lines++
			return lines > after && strings.HasPrefix(line, moment)
		}) {
			what, rest, _ := strings.Cut(line, " ")
			require.NotEqual(t, "failed", what, "%s, seed %d", rest, seed)
			if what != "follows" {
				continue
			}
			seq, err := strconv.ParseInt(rest, 10, 64)
			require.NoError(t, err)
			require.Greater(t, seq, last, "seed %d", seed)
			last, behind, seen[seq] = seq, max(behind, seq), true
		}

		b := newBatched(headrace.Written, 5)
		e := open(t, dir, app{topology: b.topology}, small())
		for _, l := range e.Health().Lanes {
			require.False(t, l.Paused || l.CatchingUp, l.Name)
		}
		end := e.Written()
		require.GreaterOrEqual(t, end, behind, "what was delivered is in the log, seed %d", seed)
		require.NoError(t, e.WaitIdle(limit(t)))
		one, many, lane := b.states()
		want, times := readParts(t, e, end)
		require.Equal(t, want, one, "seed %d, life %d", seed, life)
		require.Equal(t, one, many, "seed %d, life %d", seed, life)
		require.Equal(t, one, lane, "seed %d, life %d", seed, life)
		require.Empty(t, b.cuts.bad, "seed %d, life %d", seed, life)
		if life == lives-1 {
			o := headrace.FollowOptions{Name: "late", FromTime: time.Unix(0, from), Until: end}
			require.NoError(t, e.Follow(limit(t), o, func(_ context.Context, d handlers.Delivery) error { seen[d.Sequence] = true; return nil }))
			for seq, at := range times {
				require.Equal(t, at >= from, seen[seq], "event %d, seed %d", seq, seed)
			}
		}
		closeEngine(t, e)
	}
}

// readParts makes the state of parts from what a follower reads, and tells the time of every event.
func readParts(t testing.TB, e *headrace.Engine, until int64) (s tally, times map[int64]int64) {
	t.Helper()
	times = map[int64]int64{}
	o := headrace.FollowOptions{Until: until, Provisional: true}
	require.NoError(t, e.Follow(limit(t), o, func(_ context.Context, d handlers.Delivery) error {
		times[d.Sequence] = d.Time.UnixNano()
		p, ok, err := handlers.Decode[part](d)
		if ok {
			s.add(d.Sequence, p)
		}
		return err
	}))
	return s, times
}
