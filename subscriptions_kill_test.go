package headrace_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/journal"
)

const subscriptionsChild = "HEADRACE_SUBSCRIPTIONS_CHILD"

func openSubscriptions(t testing.TB, dir string) *headrace.Engine {
	r := event.NewRegistry()
	event.MustRegister[keyed](r, "keyed", 1)
	o := small()
	o.Journal.Durability = journal.None() // what is written survives the death of the process
	return open(t, dir, app{topology: headrace.NewTopology(r)}, o)
}

// TestSubscriptions_Child publishes from a source, appends to streams and follows as a group and in batches, until it is
// killed. What it has done it says, a line each.
func TestSubscriptions_Child(t *testing.T) {
	dir := os.Getenv(subscriptionsChild)
	if dir == "" {
		t.Skip("run by TestSubscriptions_KillNine")
	}
	e := openSubscriptions(t, dir)
	ctx := context.Background()
	var out speaker
	go e.FollowShared(ctx, headrace.FollowOptions{Name: "group", CheckpointEvery: 20}, 3, func(_ context.Context, d handlers.Delivery) error {
		out.say("group %d %s", d.Sequence, d.Event.Key())
		return nil
	})
	go e.FollowBatch(ctx, headrace.FollowOptions{Name: "batch", CheckpointEvery: 20}, 10, func(_ context.Context, events []handlers.Delivery) error {
		for _, d := range events {
			out.say("batch %d %s", d.Sequence, d.Event.Key())
		}
		return nil
	})
	p := producer(t, e, "bridge")
	from := int64(0)
	if at, ok := e.Inbox("q"); ok {
		from = max(0, at.Offset-5) // delivered again
	}
	for offset := from; ; offset++ {
		_, err := headrace.Publish(ctx, p, keyed{N: int(offset)}, headrace.Meta{Key: fmt.Sprint("q", offset%7), Source: "q", SourceOffset: offset})
		require.NoError(t, err)
		stream := fmt.Sprint("s", offset%3)
		done, err := e.Append(ctx, stream, e.StreamVersion(stream), headrace.Message{Value: keyed{N: 1}}, headrace.Message{Value: keyed{N: 2}})
		require.NoError(t, err)
		if offset%16 == 0 {
			require.NoError(t, e.WaitWritten(ctx, done.Sequence+1))
			out.say("appended %d %s", done.Version, stream)
		}
	}
}

// Killed again and again: the log has each offset of the source once, in order; the streams are whole, and read the same
// both ways; what was said to be written is there; followers have left out nothing.
func TestSubscriptions_KillNine(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	dir := t.TempDir()
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	said := map[string][][]string{} // by what it is about
	for range 4 {
		left := 100 + rng.IntN(300)
		for _, line := range killed(t, "TestSubscriptions_Child", []string{subscriptionsChild + "=" + dir}, func(line string) bool {
			if strings.HasPrefix(line, "batch") {
				left--
			}
			return left == 0
		}) {
			f := strings.Fields(line)
			said[f[0]] = append(said[f[0]], f[1:])
		}
	}
	e := openSubscriptions(t, dir)
	last := e.Written()
	seen := map[string]map[string]bool{"group": {}, "batch": {}}
	for name, all := range seen {
		before := map[string]int64{}
		for _, line := range said[name] {
			var seq int64
			_, err := fmt.Sscan(line[0], &seq)
			require.NoError(t, err)
			require.LessOrEqual(t, seq, last)
			if !all[line[0]] { // what is new of a key is in order
				require.Greater(t, seq, before[line[1]], "%s, seed %d", name, seed)
				before[line[1]] = seq
			}
			all[line[0]] = true
		}
	}
	o := headrace.FollowOptions{Name: "group", Until: last, Provisional: true}
	done := make(chan string, last)
	require.NoError(t, e.FollowShared(limit(t), o, 3, func(_ context.Context, d handlers.Delivery) error { done <- fmt.Sprint(d.Sequence); return nil }))
	close(done)
	for seq := range done {
		seen["group"][seq] = true
	}
	o.Name = "batch"
	require.NoError(t, e.FollowBatch(limit(t), o, 9, func(_ context.Context, events []handlers.Delivery) error {
		for _, d := range events {
			seen["batch"][fmt.Sprint(d.Sequence)] = true
		}
		return nil
	}))
	next, streams := int64(0), map[string]int64{}
	for _, l := range readLog(t, dir) {
		if l.kind != journal.KindEvent || l.typeID < handlers.FirstUserType || l.seq > last {
			continue
		}
		require.True(t, seen["group"][fmt.Sprint(l.seq)], "event %d, seed %d", l.seq, seed)
		require.True(t, seen["batch"][fmt.Sprint(l.seq)], "event %d, seed %d", l.seq, seed)
		if l.header.Source != "" {
			require.Equal(t, next, l.header.SourceOffset, "seed %d", seed)
			next++
			continue
		}
		streams[l.header.Key]++
		require.Equal(t, streams[l.header.Key], l.header.StreamVersion)
	}
	at, _ := e.Inbox("q")
	require.Equal(t, next-1, at.Offset)
	for _, line := range said["appended"] {
		var version int64
		_, err := fmt.Sscan(line[0], &version)
		require.NoError(t, err)
		require.LessOrEqual(t, version, streams[line[1]], "what was written is there, seed %d", seed)
	}
	for stream, n := range streams {
		require.Zero(t, n%2, "appends are whole")
		require.Equal(t, n, e.StreamVersion(stream))
		for _, backward := range []bool{false, true} {
			count := int64(0)
			for d, err := range e.ReadStream(limit(t), stream, 0, headrace.StreamOptions{Backward: backward}) {
				require.NoError(t, err)
				count++
				want := count
				if backward {
					want = n + 1 - count
				}
				require.Equal(t, want, d.Event.StreamVersion())
			}
			require.Equal(t, n, count)
		}
	}
	closeEngine(t, e)
}
