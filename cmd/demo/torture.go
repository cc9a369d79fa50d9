package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"github.com/headrace/headrace/cmd/demo/internal/screen"
	"github.com/headrace/headrace/cmd/demo/internal/shop"
	"github.com/headrace/headrace/journal"
)

const (
	defaultCycles = 20
	maxCycles     = 1_000_000

	tortureSegmentBytes  = 1 << 20 // so that many a kill falls on the change from one to the next
	tortureRatePerSecond = 15_000  // so that the journal does not outgrow its use
	tortureWindow        = 256
	tortureLastOrders    = 500 // taken in peace, at the end

	checkAllEvery = 50 // cycles
)

// tortureOptions are the command line of torture.
type tortureOptions struct {
	dir        string
	cycles     int64
	durability mode
	seed       uint64 // of the moments to kill at
	shop       bool   // the child fulfils its orders
	saga       sagaMode
}

func parseTorture(args []string) (tortureOptions, error) {
	o := tortureOptions{durability: modeGroup, seed: rand.Uint64(), saga: choreography}
	f := newFlags("torture")
	f.Int64Var(&o.cycles, "cycles", defaultCycles, "")
	f.Uint64Var(&o.seed, "seed", o.seed, "")
	f.Var(&o.durability, "durability", "")
	f.BoolVar(&o.shop, "shop", false, "")
	f.Var(&o.saga, "saga", "")
	if err := f.parse(args); err != nil {
		return o, err
	}
	o.dir = f.dir
	if f.set["saga"] && !o.shop {
		return o, wrong("--saga goes with --shop")
	}
	if o.cycles < 1 || o.cycles > maxCycles {
		return o, wrong("--cycles %d: want 1 to %d", o.cycles, maxCycles)
	}
	return o, nil
}

// campaign is a torture while it goes on.
type campaign struct {
	o     tortureOptions
	acks  *promises
	rng   *rand.Rand
	opens time.Duration // how long a child took to open, lately

	kills, early int64 // early: before the engine was open
}

// tortureCommand kills a child again and again, on one journal, and looks for what it had acknowledged.
func tortureCommand(ctx context.Context, args []string, s streams) (err error) {
	o, err := parseTorture(args)
	if err != nil {
		return err
	}
	ctx, stop := interruptible(ctx)
	defer stop()
	s.say("seed %d", o.seed)
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s, seed %d: %w", o.durability, o.seed, err)
		}
	}()
	if o.shop {
		return tortureShop(ctx, o, s)
	}
	if err := refuseShop(o.dir); err != nil {
		return err
	}
	if err := os.MkdirAll(o.dir, 0o700); err != nil {
		return err
	}
	acks, err := openPromises(o.dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, acks.close()) }()
	c := &campaign{o: o, acks: acks, rng: rand.New(rand.NewPCG(o.seed, 0)), opens: 20 * time.Millisecond}
	if err := c.acks.checkAll(o.dir); err != nil {
		return err
	}
	start := time.Now()
	if err := c.kill(ctx, s); err != nil {
		return err
	}
	m, answers, err := c.end(ctx)
	if err != nil {
		return err
	}
	var t screen.Table
	t.Row("cycles", screen.Count(o.cycles))
	t.Row("kills", screen.Count(c.kills))
	t.Row("while it recovered", screen.Count(c.early))
	t.Gap()
	t.Row("acknowledged", screen.Count(int64(len(c.acks.all))))
	t.Row("lost", "0")
	t.Row("doubled", "0")
	t.Gap()
	t.Row("orders", screen.Count(answers))
	t.Row("events", screen.Count(m.Events))
	t.Row("last sequence", screen.Count(m.LastSequence))
	_, err = fmt.Fprintf(s.out, "%s\n  Every event acknowledged as %s (mode %s) is there, once, byte for byte: %s, seed %d.\n  state %s\n",
		t.String(), o.durability.promise(), o.durability, screen.Clock(time.Since(start)), o.seed, m.StateHash)
	return err
}

// kill does the cycles.
func (c *campaign) kill(ctx context.Context, s streams) error {
	bar := s.progress(screen.ProgressOptions{Label: "killing", Unit: "kills", Total: c.o.cycles})
	defer bar.End()
	for i := int64(1); i <= c.o.cycles; i++ {
		plan := c.plan()
		l, err := liveAndDie(ctx, childProcess{args: c.child(0).args()}, plan, c.acks, nil)
		if err != nil {
			return fmt.Errorf("cycle %d: %w", i, err)
		}
		c.kills++
		if l.opened == 0 {
			c.early++
		} else {
			c.opens = (3*c.opens + l.opened) / 4
		}
		if i%checkAllEvery == 0 {
			err = c.acks.checkAll(c.o.dir)
		} else {
			err = c.acks.check(c.o.dir)
		}
		if err != nil {
			return fmt.Errorf("cycle %d, killed %+v: %w", i, plan, err)
		}
		bar.Set(i)
	}
	return nil
}

// plan draws the moment of the next kill.
func (c *campaign) plan() killPlan {
	upTo := func(d time.Duration) time.Duration { return 1 + time.Duration(c.rng.Int64N(int64(d))) }
	switch c.rng.IntN(4) {
	case 0:
		return killPlan{afterStart: upTo(c.opens + c.opens/4)} // most of them while it recovers
	case 1:
		return killPlan{afterOpen: upTo(15 * time.Millisecond)}
	}
	return killPlan{afterOrders: 1 + c.rng.Int64N(300)}
}

func (c *campaign) child(orders int64) childOptions {
	return childOptions{
		dir: c.o.dir, orders: orders, seed: defaultSeed, ratePerSecond: tortureRatePerSecond, durability: c.o.durability,
		segmentBytes: tortureSegmentBytes, window: tortureWindow, ackedSeq: c.acks.highest,
	}
}

// end lets a last child end in peace and looks at everything.
func (c *campaign) end(ctx context.Context) (m shop.Summary, answers int64, err error) {
	orders := int64(tortureLastOrders)
	a := newApp()
	switch _, err := replay(a, c.o.dir, 0); {
	case err == nil:
		at := a.position()
		orders += at.Orders()
	case !errors.Is(err, journal.ErrNotFound): // killed before there was a journal
		return m, 0, err
	}
	if _, err := liveAndDie(ctx, childProcess{args: c.child(orders).args()}, killPlan{}, c.acks, nil); err != nil {
		return m, 0, fmt.Errorf("in peace: %w", err)
	}
	if err := c.acks.checkAll(c.o.dir); err != nil {
		return m, 0, err
	}
	m, answers, err = prove(c.o.dir, orders, defaultSeed)
	if err == nil {
		err = storeSummary(c.o.dir, m)
	}
	return m, answers, err
}

// prove checks every byte of a journal that was closed in order, the rules of the shop, and its figures
// against those of the same orders without any engine.
func prove(dir string, orders int64, seed uint64) (m shop.Summary, answers int64, err error) {
	if _, err := journal.Verify(dir, journal.VerifyOptions{}); err != nil {
		return m, 0, err
	}
	a := newApp()
	checks := addAudit(a)
	if m, err = replay(a, dir, 0); err != nil {
		return m, 0, err
	}
	checks.View(func(found *audit, _ int64) {
		answers = found.answered
		_, err = found.end(m.LastSequence)
	})
	if err != nil {
		return m, answers, err
	}
	var plain shop.State
	var o shop.Order
	g := shop.NewGenerator(seed, 0)
	for k := int64(1); k <= orders; k++ {
		g.Order(k, &o)
		if err := plain.Apply(shop.Validate(o.Command())); err != nil {
			return m, answers, err
		}
	}
	if want := plain.Summary(shop.Log{}); len(m.Diff(want)) > 0 {
		return m, answers, fmt.Errorf("%w: the same orders without an engine give other figures: %v", errVerify, m.Diff(want))
	}
	return m, answers, nil
}
