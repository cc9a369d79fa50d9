package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/cmd/demo/internal/screen"
	"github.com/headrace/headrace/cmd/demo/internal/shop"
)

const (
	storyOrders = 120_000
	storyWindow = 8192 // orders on their way to their acknowledgement
)

// story takes orders, is killed, recovers and proves that nothing is lost, for a person to watch.
func story(ctx context.Context, s streams) error {
	ctx, stop := interruptible(ctx)
	defer stop()
	dir, err := os.MkdirTemp("", "headrace-demo-")
	if err != nil {
		return err
	}
	err = tell(ctx, s, dir, storyOrders)
	if err == nil || errors.Is(err, context.Canceled) {
		return errors.Join(err, os.RemoveAll(dir))
	}
	return fmt.Errorf("%w\nThe journal is kept in %s", err, dir)
}

// tell is the story of so many orders, on a directory that is empty.
func tell(ctx context.Context, s streams, dir string, orders int64) error {
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(s.out, format+"\n", args...) }
	acks, err := openPromises(dir)
	if err != nil {
		return err
	}
	defer func() { _ = acks.close() }()

	line("An order shop that survives kill -9. Its journal: %s", dir)
	line("")
	line("1. A process takes orders, and acknowledges each one that is durable.")
	l, err := takeAndDie(ctx, s, dir, orders, acks)
	if err != nil {
		return err
	}
	line("   Killed pid %d with SIGKILL after %s orders were acknowledged.", l.pid, screen.Count(l.orders))

	line("2. Is what it acknowledged there?")
	if err := acks.check(dir); err != nil {
		return err
	}
	line("   All %s acknowledged events are in the journal, byte for byte.", screen.Count(int64(len(acks.all))))

	line("3. Another process goes on.")
	live, err := recoverAndFinish(ctx, s, line, dir, orders)
	if err != nil {
		return err
	}

	line("4. Is the log the truth?")
	start := time.Now()
	replayed, _, err := prove(dir, orders, defaultSeed)
	if err != nil {
		return err
	}
	if err := errors.Join(acks.checkAll(dir), compare(live, replayed)); err != nil {
		return err
	}
	line("   Checked every byte, and replayed the shop from the first event in %s.", millis(time.Since(start)))
	line("")
	line("   live    %s", live.StateHash)
	line("   replay  %s", replayed.StateHash)
	line("")
	if err := live.WriteTable(s.out); err != nil {
		return err
	}
	line("")
	line("Nothing lost, nothing doubled: live = replay.")
	return nil
}

// takeAndDie has a child take orders and kills it somewhere in the middle.
func takeAndDie(ctx context.Context, s streams, dir string, orders int64, acks *promises) (life, error) {
	o := childOptions{
		dir: dir, orders: orders, seed: defaultSeed, durability: modeGroup, segmentBytes: runSegmentBytes, window: storyWindow,
	}
	at := orders*4/10 + rand.Int64N(orders*2/10)
	bar := s.progress(screen.ProgressOptions{Label: "   taking", Unit: "orders", Total: orders})
	defer bar.End()
	return liveAndDie(ctx, childProcess{args: o.args()}, killPlan{afterOrders: at}, acks, bar.Set)
}

// recoverAndFinish opens what the child left, takes the rest of the orders, and returns the figures of
// the live shop.
func recoverAndFinish(ctx context.Context, s streams, line func(string, ...any), dir string, orders int64) (m shop.Summary, err error) {
	a := newApp()
	start := time.Now()
	eng, err := headrace.Open(dir, a.topology, engineOptions(modeGroup, runSegmentBytes))
	if err != nil {
		return m, err
	}
	at := a.position()
	line("   Recovered %s events in %s: they hold %s orders, those included that nobody was told of.",
		screen.Count(eng.Written()), millis(time.Since(start)), screen.Count(at.Orders()))
	source := shop.NewGenerator(defaultSeed, 0)
	if err = at.Resume(source); err == nil {
		bar := s.progress(screen.ProgressOptions{Label: "   taking", Unit: "orders", Total: orders, Start: at.Orders()})
		taken := at.Orders()
		work := taking{source: source, orders: orders, taken: func(*shop.Order, int64) error {
			taken++
			bar.Set(taken)
			return nil
		}}
		_, err = work.run(ctx, eng, at)
		bar.End()
	}
	if err = errors.Join(err, eng.Close(context.WithoutCancel(ctx)), ctx.Err()); err != nil {
		return m, err
	}
	line("   Took the remaining %s.", screen.Count(orders-at.Orders()))
	return a.conclude(dir)
}

// millis is a duration for a person.
func millis(d time.Duration) string {
	return screen.Count(max(1, d.Milliseconds())) + " ms"
}
