package headrace_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/journal"
)

// amounts returns a follower's function that collects the amounts of deposits, and stops after n.
func amounts(into *[]int64, stopAfter int) func(context.Context, handlers.Delivery) error {
	return func(_ context.Context, d handlers.Delivery) error {
		v, ok, err := handlers.Decode[deposit](d)
		if err != nil || !ok {
			return err
		}
		*into = append(*into, v.Amount)
		if len(*into) == stopAfter {
			return errEnough
		}
		return nil
	}
}

var errEnough = errors.New("enough")

func TestFollow_FromThePastIntoTheLive(t *testing.T) {
	for _, mode := range []journal.Durability{journal.None(), journal.Group(1e6, 1<<20), journal.Batch()} {
		t.Run(mode.String(), func(t *testing.T) {
			o := small()
			o.Journal.Durability = mode
			e := open(t, t.TempDir(), newApp(t), o)
			p := producer(t, e, "web")
			const past, live = 500, 2000
			for i := range int64(past) {
				publish(t, p, deposit{Amount: i})
			}
			var got, late []int64
			done, doneLate := make(chan error), make(chan error)
			begun := make(chan struct{})
			go func() { done <- e.Follow(limit(t), headrace.FollowOptions{}, amounts(&got, past+live)) }()
			for i := range int64(live) {
				publish(t, p, deposit{Amount: past + i})
				if i == live/2 {
					collect := amounts(&late, 0)
					go func() {
						doneLate <- e.Follow(limit(t), headrace.FollowOptions{From: 1}, func(ctx context.Context, d handlers.Delivery) error {
							if d.Type == "bank.deposit" && len(late) == 0 {
								defer close(begun)
							}
							return collect(ctx, d)
						})
					}()
				}
			}
			require.ErrorIs(t, <-done, errEnough)
			<-begun
			closeEngine(t, e)
			require.NoError(t, <-doneLate, "the engine's close ends a follower in order, when it has seen all")
			for _, seen := range [][]int64{got, late} {
				require.Len(t, seen, past+live)
				for i, amount := range seen {
					require.EqualValues(t, i, amount)
				}
			}
		})
	}
}

// What becomes durable only by closing is still delivered.
func TestFollow_Close_ReadsToTheEnd(t *testing.T) {
	o := small()
	o.Journal.Durability = journal.Interval(time.Hour)
	dir := t.TempDir()
	e := open(t, dir, newApp(t), o)
	publish(t, producer(t, e, "web"), deposit{Amount: 0})
	closeEngine(t, e)

	e = open(t, dir, newApp(t), o) // now the first one is durable, and the follower begins with it
	var got []int64
	begun, done := make(chan struct{}), make(chan error)
	collect := amounts(&got, 0)
	go func() {
		done <- e.Follow(limit(t), headrace.FollowOptions{Name: "mail"}, func(ctx context.Context, d handlers.Delivery) error {
			if d.Type == "bank.deposit" && len(got) == 0 {
				defer close(begun)
			}
			return collect(ctx, d)
		})
	}()
	<-begun
	for i := range int64(100) {
		publish(t, producer(t, e, "web"), deposit{Amount: i + 1})
	}
	closeEngine(t, e)
	require.NoError(t, <-done)
	require.Len(t, got, 101)
}

// By default a follower gets nothing that a power cut may take back, however long that takes; with Provisional it does not
// wait for it.
func TestFollow_UpToTheDurable(t *testing.T) {
	o := small()
	o.Journal.Durability = journal.Interval(time.Hour)
	e := open(t, t.TempDir(), newAppWith(t, nil), o)
	p := producer(t, e, "web")
	const n = 100
	early, done := make(chan int64), make(chan error, 2)
	late := 0
	go func() {
		done <- e.Follow(limit(t), headrace.FollowOptions{}, func(_ context.Context, d handlers.Delivery) error {
			if d.Sequence > e.Durable() {
				t.Errorf("event %d was delivered, and %d is durable", d.Sequence, e.Durable())
			}
			late++
			return nil
		})
	}()
	go func() {
		done <- e.Follow(limit(t), headrace.FollowOptions{Provisional: true}, func(_ context.Context, d handlers.Delivery) error {
			early <- d.Sequence
			return nil
		})
	}()
	await(t, func() bool { return len(e.Health().Followers) == 2 })
	for range n {
		require.Equal(t, publish(t, p, note{"x"}), <-early)
	}
	closeEngine(t, e)
	require.NoError(t, <-done)
	require.NoError(t, <-done)
	require.Equal(t, n, late)
}

func TestFollow_Checkpoint_GoesOn(t *testing.T) {
	dir := t.TempDir()
	var got []int64
	for round := range int64(4) {
		e := open(t, dir, newApp(t), small())
		p := producer(t, e, "web")
		for i := range int64(100) {
			publish(t, p, deposit{Amount: round*100 + i})
		}
		err := e.Follow(limit(t), headrace.FollowOptions{Name: "mail"}, amounts(&got, int(round+1)*90))
		require.ErrorIs(t, err, errEnough)
		closeEngine(t, e)
	}
	// The event at which the function failed counts as not handled: it comes again.
	want := int64(0)
	for i, amount := range got {
		if i > 0 && i%90 == 0 {
			want--
		}
		require.Equal(t, want, amount, "delivery %d", i)
		want++
	}
}

func TestFollow_CheckpointOfAnotherHistory_IsRefused(t *testing.T) {
	dir := t.TempDir()
	e := open(t, dir, newApp(t), small())
	for i := range int64(100) {
		publish(t, producer(t, e, "web"), deposit{Amount: i})
	}
	var got []int64
	require.ErrorIs(t, e.Follow(limit(t), headrace.FollowOptions{Name: "mail", Provisional: true}, amounts(&got, 80)), errEnough)
	closeEngine(t, e)

	// Half of the log is lost, and other events take the numbers.
	files, _ := filepath.Glob(filepath.Join(dir, "*.seg"))
	require.NoError(t, os.Truncate(files[0], 8192+6000))
	e = open(t, dir, newApp(t), small())
	err := e.Follow(limit(t), headrace.FollowOptions{Name: "mail"}, amounts(&got, 0))
	require.ErrorIs(t, err, handlers.ErrDiverged)
	for i := range int64(200) {
		publish(t, producer(t, e, "web"), deposit{Amount: -i})
	}
	err = e.Follow(limit(t), headrace.FollowOptions{Name: "mail"}, amounts(&got, 0))
	require.ErrorIs(t, err, handlers.ErrDiverged)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "checkpoints", "mail"), []byte("{"), 0o600))
	err = e.Follow(limit(t), headrace.FollowOptions{Name: "mail"}, amounts(&got, 0))
	require.ErrorIs(t, err, handlers.ErrCheckpoint)
	require.Len(t, got, 80)
	closeEngine(t, e)
}

func TestFollow_ContextAndOptions(t *testing.T) {
	e := open(t, t.TempDir(), newApp(t), small())
	ctx, cancel := context.WithCancel(context.Background())
	p := producer(t, e, "web")
	publish(t, p, deposit{})
	err := e.Follow(ctx, headrace.FollowOptions{Provisional: true}, func(context.Context, handlers.Delivery) error {
		cancel()
		return nil
	})
	require.ErrorIs(t, err, context.Canceled)
	err = e.Follow(limit(t), headrace.FollowOptions{From: -1, Until: -1, CheckpointEvery: -1, Name: "../x"}, nil)
	for _, field := range []string{"From", "Until", "CheckpointEvery", "Name"} {
		require.ErrorContains(t, err, "FollowOptions."+field)
	}
	n := 0
	require.NoError(t, e.Follow(limit(t), headrace.FollowOptions{Until: 6}, func(_ context.Context, d handlers.Delivery) error {
		n++
		json, err := d.AppendJSON(nil)
		require.NoError(t, err)
		require.Contains(t, string(json), `"eventType":"bank.deposit`)
		return nil
	}))
	require.Equal(t, 1, n, "the engine's own events are not delivered")
	closeEngine(t, e)
}

func TestFollow_HaltedEngine_TellsTheCause(t *testing.T) {
	boom := errors.New("boom")
	e := open(t, t.TempDir(), newAppWith(t, func(*handlers.Context, deposit) error { return boom }), small())
	done := make(chan error)
	go func() {
		done <- e.Follow(limit(t), headrace.FollowOptions{}, func(context.Context, handlers.Delivery) error { return nil })
	}()
	publish(t, producer(t, e, "web"), deposit{})
	err := <-done
	require.ErrorIs(t, err, headrace.ErrHalted)
	require.ErrorIs(t, err, boom)
	require.ErrorIs(t, e.Close(limit(t)), boom)
}

// What the filter keeps out is behind the follower all the same: the checkpoint moves with it.
func TestFollow_FilterPassesOver_CheckpointMoves(t *testing.T) {
	dir := t.TempDir()
	e := open(t, dir, newApp(t), small())
	last := publish(t, producer(t, e, "web"), note{"x"})
	require.NoError(t, e.WaitWritten(limit(t), last))
	o := headrace.FollowOptions{Name: "mail", Until: last, Filter: handlers.Filter{Keys: []string{"nobody's"}}}
	require.NoError(t, e.Follow(limit(t), o, func(context.Context, handlers.Delivery) error { return errBroken }))
	at, err := handlers.LoadCheckpoint(filepath.Join(dir, "checkpoints", "mail"))
	require.NoError(t, err)
	require.Equal(t, last, at.Sequence)
	closeEngine(t, e)
}

// A follower that goes on is where its checkpoint is, before it has handled anything.
func TestFollow_GoesOn_HealthSaysFromWhere(t *testing.T) {
	e := open(t, t.TempDir(), newApp(t), small())
	p := producer(t, e, "web")
	o := headrace.FollowOptions{Name: "mail", Until: publish(t, p, note{"x"})}
	require.NoError(t, e.WaitWritten(limit(t), o.Until))
	require.NoError(t, e.Follow(limit(t), o, nothing))
	last := o.Until
	o.Until = publish(t, p, note{"y"})
	require.NoError(t, e.WaitWritten(limit(t), o.Until))
	require.NoError(t, e.Follow(limit(t), o, func(context.Context, handlers.Delivery) error {
		require.Equal(t, last, e.Health().Followers[0].Sequence)
		return nil
	}))
	closeEngine(t, e)
}
