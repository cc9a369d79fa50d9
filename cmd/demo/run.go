package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/cmd/demo/internal/screen"
	"github.com/headrace/headrace/cmd/demo/internal/shop"
	"github.com/headrace/headrace/journal"
)

const (
	defaultOrders = 100_000 // made up
	defaultSeed   = 1

	shopOrders = 2_000 // with --shop: each of them is charged, shipped and told of

	runSegmentBytes = 16 << 20
	slotBytes       = 1024 // most commands fit
)

// runOptions are the command line of run.
type runOptions struct {
	dir           string
	input         string // "" = made up
	orders        int64  // 0 = all of the input
	seed          uint64
	ratePerSecond float64 // 0 = as fast as it goes
	durability    mode
	snapshots     int64 // events between two; 0 = none are taken
	json          bool

	shop   bool // its orders are fulfilled
	saga   sagaMode
	poison uint
}

func parseRun(args []string) (runOptions, error) {
	o := runOptions{durability: modeGroup, seed: defaultSeed, saga: choreography}
	f := newFlags("run")
	f.StringVar(&o.input, "input", "", "")
	f.Int64Var(&o.orders, "orders", 0, "")
	f.Uint64Var(&o.seed, "seed", defaultSeed, "")
	f.Float64Var(&o.ratePerSecond, "rate", 0, "")
	f.Var(&o.durability, "durability", "")
	f.Int64Var(&o.snapshots, "snapshots", 0, "")
	f.BoolVar(&o.json, "json", false, "")
	f.BoolVar(&o.shop, "shop", false, "")
	f.Var(&o.saga, "saga", "")
	f.UintVar(&o.poison, "poison", 0, "")
	if err := f.parse(args); err != nil {
		return o, err
	}
	o.dir = f.dir
	switch {
	case f.set["orders"] && (o.orders < 1 || o.orders > shop.MaxRow):
		return o, wrong("--orders %d: want 1 to %d", o.orders, int64(shop.MaxRow))
	case f.set["input"] && o.input == "":
		return o, wrong("--input needs a file")
	case f.set["input"] && f.set["seed"]:
		return o, wrong("--seed is for orders that are made up, and cannot go with --input")
	case !o.shop && (f.set["saga"] || f.set["poison"]):
		return o, wrong("--saga and --poison go with --shop")
	case o.snapshots < 0 || f.set["snapshots"] && o.snapshots == 0:
		return o, wrong("--snapshots %d: want a number of events, from 1", o.snapshots)
	case o.poison > 1<<31:
		return o, wrong("--poison %d: want at most %d", o.poison, int64(1)<<31)
	}
	if f.set["rate"] {
		if err := checkRate(o.ratePerSecond); err != nil {
			return o, err
		}
	}
	if o.input == "" && o.orders == 0 {
		if o.orders = defaultOrders; o.shop {
			o.orders = shopOrders
		}
	}
	return o, nil
}

// runCommand takes orders until there are no more or somebody interrupts, and prints the figures.
func runCommand(ctx context.Context, args []string, s streams) error {
	o, err := parseRun(args)
	if err != nil {
		return err
	}
	ctx, stop := interruptible(ctx)
	defer stop()

	source, closeSource, err := openSource(o)
	if err != nil {
		return err
	}
	defer closeSource()
	if o.shop {
		return runShop(ctx, o, source, s)
	}
	if err := refuseShop(o.dir); err != nil {
		return err
	}
	a := newApp()
	eng, err := headrace.Open(o.dir, a.topology, o.engine())
	if err != nil {
		return err
	}
	sayRecovery(s, eng.Recovery())
	n, err := takeOrders(ctx, a, eng, source, o, s)
	// Without ctx: what was taken is drained, also after an interrupt.
	if err := errors.Join(err, eng.Close(context.WithoutCancel(ctx))); err != nil {
		return err
	}
	m, err := a.conclude(o.dir)
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		s.say("Interrupted after %s orders; all of them are in the log. Run it again to go on.", screen.Count(n))
	}
	if o.json {
		return m.WriteJSON(s.out)
	}
	return m.WriteTable(s.out)
}

// engine returns the options of run's engine.
func (o runOptions) engine() headrace.Options {
	e := engineOptions(o.durability, runSegmentBytes)
	e.Snapshots = snapshotsEvery(o.snapshots)
	return e
}

// snapshotsEvery has a snapshot taken each time so many events came, and at Close; 0 = never.
func snapshotsEvery(events int64) headrace.SnapshotOptions {
	return headrace.SnapshotOptions{EveryEvents: events, AtClose: events > 0}
}

func engineOptions(m mode, segmentBytes int64) headrace.Options {
	return headrace.Options{
		SlotBytes: slotBytes,
		Journal:   journal.Options{SegmentBytes: segmentBytes, Durability: m.durability()},
	}
}

// openSource opens what the options ask for, at its beginning.
func openSource(o runOptions) (source shop.Source, closeSource func(), err error) {
	if o.input == "" {
		return shop.NewGenerator(o.seed, 0), func() {}, nil
	}
	f, err := os.Open(o.input)
	if err != nil {
		return nil, nil, err
	}
	r, err := shop.NewReader(f)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("%s: %w", o.input, err), f.Close())
	}
	return r, func() { _ = f.Close() }, nil
}

// takeOrders goes on where the log ends.
func takeOrders(ctx context.Context, a *app, eng *headrace.Engine, source shop.Source, o runOptions, s streams) (int64, error) {
	at := a.position()
	if err := at.Resume(source); err != nil {
		return 0, fmt.Errorf("%s: %w", o.dir, err)
	}
	if at.Orders() > 0 {
		s.say("The log holds %s orders; going on at row %s.", screen.Count(at.Orders()), screen.Count(at.Next()))
	}
	if o.orders > 0 && at.Orders() >= o.orders {
		s.say("There is nothing to do: %s orders were asked for.", screen.Count(o.orders))
	}
	var bar *screen.Progress // from the first order on
	taken := at.Orders()
	work := taking{source: source, orders: o.orders, ratePerSecond: o.ratePerSecond}
	work.taken = func(*shop.Order, int64) error {
		if bar == nil {
			bar = s.progress(screen.ProgressOptions{Label: "taking", Unit: "orders", Total: o.orders, Start: taken})
		}
		taken++
		bar.Set(taken)
		return nil
	}
	n, err := work.run(ctx, eng, at)
	if bar != nil {
		bar.End()
	}
	return n, err
}

// sayRecovery tells what opening the journal had to do, if anything.
func sayRecovery(s streams, r journal.Recovery) {
	if r.Created || r.Clean {
		return
	}
	switch {
	case r.Cut:
		s.say("Recovered: %s had been cut at byte %s, which took %s durable events; the log ends at sequence %s.",
			r.Torn, screen.Count(r.TornOffset), screen.Count(r.DurableLost), screen.Count(r.Last))
	case r.Torn != "":
		s.say("Recovered: a torn tail in %s at byte %s was put aside; the log ends at sequence %s.",
			r.Torn, screen.Count(r.TornOffset), screen.Count(r.Last))
	case r.Unfinished > 0:
		s.say("Recovered: %s bytes of an unfinished record were cleared; the log ends at sequence %s.",
			screen.Count(r.Unfinished), screen.Count(r.Last))
	}
	for _, name := range r.AsideFiles {
		s.say("  kept: %s", filepath.Join("aside", filepath.Base(name)))
	}
}
