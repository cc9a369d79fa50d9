package main

import (
	"context"
	"errors"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/cmd/demo/internal/fulfil"
	"github.com/headrace/headrace/handlers"
)

// shopChildName is the command by which the demo starts itself as a shop that fulfils its orders, to be killed.
const shopChildName = "shop-child"

// shopChild is what a parent asks of such a child. It travels as flags.
type shopChild struct {
	childOptions
	shopOptions
	late       bool  // it has a read model that those before it had not
	settle     bool  // fix the bug, redrive what is dead, and end when every order has
	snapshots  int64 // events between two; 0 = none are taken
	processors int   // 0 = all
}

func (o shopChild) args() []string {
	args := slices.Concat([]string{shopChildName}, o.childOptions.args()[1:], []string{
		"--saga", string(o.saga), "--gateway", o.gateway, "--mail", o.mail,
		"--poison", strconv.FormatUint(uint64(o.poison), 10), "--max-batch", strconv.Itoa(o.maxBatch),
		"--snapshots", strconv.FormatInt(o.snapshots, 10), "--processors", strconv.Itoa(o.processors),
	})
	for name, set := range map[string]bool{"--v1": o.v1, "--late": o.late, "--settle": o.settle} {
		if set {
			args = append(args, name)
		}
	}
	return args
}

func parseShopChild(args []string) (o shopChild, err error) {
	o.durability, o.saga = modeGroup, choreography
	f := newFlags(shopChildName)
	o.childOptions.flags(f)
	f.Var(&o.saga, "saga", "")
	f.StringVar(&o.gateway, "gateway", "", "")
	f.StringVar(&o.mail, "mail", "", "")
	poison := f.Uint("poison", 0, "")
	f.IntVar(&o.maxBatch, "max-batch", 0, "")
	f.Int64Var(&o.snapshots, "snapshots", 0, "")
	f.IntVar(&o.processors, "processors", 0, "")
	f.BoolVar(&o.v1, "v1", false, "")
	f.BoolVar(&o.late, "late", false, "")
	f.BoolVar(&o.settle, "settle", false, "")
	err = f.parse(args)
	o.dir, o.poison, o.fixed = f.dir, uint32(*poison), o.settle
	return o, err
}

// shopChildCommand takes and fulfils orders, acknowledges every event, and tells of states that it has seen, until it is
// killed or has done all. It ends as well when standard input ends.
func shopChildCommand(ctx context.Context, args []string, s streams) error {
	o, err := parseShopChild(args)
	if err != nil {
		return err
	}
	deaf()
	runtime.GOMAXPROCS(o.processors)
	go func() {
		_, _ = io.Copy(io.Discard, s.in)
		os.Exit(exitFailed)
	}()
	out := newAckWriter(s.out)
	a := newShop(o.shopOptions)
	addGateAcks(a, out, o.ackedSeq)
	addShopAcks(a, out, o)
	seen := []*handlers.Projection[fulfil.State]{a.shop.state}
	if o.late {
		late := handlers.NewProjection(sampleLate, fulfil.NewState())
		onFulfilment(late, o.v1, func(s *fulfil.State, _ *handlers.Context, e fulfil.Event) error { return s.Apply(e) })
		a.topology.Project(late, headrace.LaneOptions{MaxBatch: o.maxBatch})
		seen = append(seen, late)
	}
	options := engineOptions(o.durability, o.segmentBytes)
	options.Snapshots = snapshotsEvery(o.snapshots)
	eng, err := headrace.Open(o.dir, a.topology, options)
	if err != nil {
		return err
	}
	if err := out.open(eng.Written()); err != nil {
		return errors.Join(err, eng.Close(ctx))
	}
	sampling, stop := context.WithCancel(ctx)
	var beside sync.WaitGroup
	beside.Go(func() { sampleStates(sampling, seen, out) })
	beside.Go(func() { // an export, whose checkpoint is on disk
		_ = eng.Follow(sampling, headrace.FollowOptions{Name: "export", CheckpointEvery: 40}, func(context.Context, handlers.Delivery) error { return nil })
	})
	err = acknowledge(ctx, a, eng, out, o.childOptions)
	if err == nil && o.settle {
		_, err = redrive(ctx, eng, func(handlers.Parked) bool { return true })
		if err == nil {
			if err = a.shop.settle(ctx, eng, streams{err: io.Discard}); errors.Is(err, errStalled) {
				err = nil // who looks at the log sees which
			}
		}
	}
	stop()
	beside.Wait()
	err = errors.Join(err, eng.Close(ctx))
	if err == nil && o.settle {
		err = lastSamples(a, seen, out)
	}
	return errors.Join(err, out.flush())
}

// addShopAcks has the events of the fulfilment acknowledged, as addGateAcks has those of the orders.
func addShopAcks(a *app, out *ackWriter, o shopChild) {
	p := handlers.NewProjection("fulfilment-acknowledgements", new(acked))
	onFulfilment(p, o.v1, func(n *acked, c *handlers.Context, _ fulfil.Event) error { return n.line(out, c, o.ackedSeq) })
	a.topology.Project(p, headrace.LaneOptions{Behind: headrace.Durable})
}

// sampleStates tells of the state now and then.
func sampleStates(ctx context.Context, seen []*handlers.Projection[fulfil.State], out *ackWriter) {
	for {
		began := time.Now()
		for _, p := range seen {
			if out.sample(sampleOf(p)) != nil {
				return // the parent is gone
			}
		}
		select {
		case <-time.After(max(40*time.Millisecond, 8*time.Since(began))): // the larger a state the longer it takes
		case <-ctx.Done():
			return
		}
	}
}

func sampleOf(p *handlers.Projection[fulfil.State]) (one sample) {
	p.View(func(s *fulfil.State, at int64) { one = sample{at, p.Name(), s.Hash()} })
	return one
}

// lastSamples tells of the states at the end, those of the logic lane among them.
func lastSamples(a *app, seen []*handlers.Projection[fulfil.State], out *ackWriter) error {
	hash, at, err := laneHash(a.topology.Logic())
	if err == nil {
		err = out.sample(sample{at, sampleLane, hash})
	}
	for _, p := range seen {
		if err == nil {
			err = out.sample(sampleOf(p))
		}
	}
	return err
}
