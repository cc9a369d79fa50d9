package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/headrace/headrace/cmd/demo/internal/screen"
	"github.com/headrace/headrace/internal/failpoint"
	"github.com/headrace/headrace/journal"
)

const (
	shopTortureRate   = 150 // orders a second: the parties outside keep up
	shopTortureWindow = 64
	shopTorturePoison = 40 // one order in so many
	shopLastOrders    = 20 // taken in peace, at the end
	proveEvery        = 25 // cycles
	shopSegmentBytes  = 128 << 10
)

// shopCampaign is a torture of a shop that fulfils its orders.
type shopCampaign struct {
	campaign
	how     shopSetup
	parties *outsideParties
	samples []sample
	file    *os.File // of samples
	deck    []string // places and moments to kill at that come next
	byPlace map[string]*struck
	proofs  int

	snapshots int // held against the log, in all proofs
}

// struck is how often a child was to die at a place, and did.
type struck struct{ planned, hit int64 }

// aMoment is the place of a kill that comes at some time, wherever the child is.
const aMoment = "a moment"

// tortureShop kills such a shop again and again, and holds what it leaves to the ten invariants.
func tortureShop(ctx context.Context, o tortureOptions, acks *promises, s streams) (err error) {
	c := &shopCampaign{
		campaign: campaign{o: o, acks: acks, rng: rand.New(rand.NewPCG(o.seed, 0)), opens: 30 * time.Millisecond},
		how:      shopSetup{o.saga, defaultSeed}, byPlace: map[string]*struck{},
	}
	if err := setup(o.dir, c.how); err != nil {
		return err
	}
	if c.samples, err = loadSamples(o.dir); err != nil {
		return err
	}
	if c.file, err = os.OpenFile(filepath.Join(o.dir, samplesIn), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.file.Close()) }()
	if c.parties, err = startParties(o.dir, c.how.Seed); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.parties.stop()) }()
	start := time.Now()
	if err := c.cycles(ctx, s); err != nil {
		return err
	}
	found, err := c.peace(ctx)
	if err != nil {
		return err
	}
	return c.print(s, found, time.Since(start))
}

// cycles does the kills. The first half of them is of a program that writes the first version of the order.
func (c *shopCampaign) cycles(ctx context.Context, s streams) error {
	bar := s.progress(screen.ProgressOptions{Label: "killing", Unit: "kills", Total: c.o.cycles})
	defer bar.End()
	v1, err := c.writesFirst()
	if err != nil {
		return err
	}
	for i := int64(1); i <= c.o.cycles; i++ {
		half := i > c.o.cycles/2
		plan := c.shopPlan()
		child := c.child(0)
		child.v1, child.late = v1 && !half, half
		if !child.v1 {
			if err := noteUpgrade(c.o.dir); err != nil {
				return err
			}
		}
		l, err := liveAndDie(ctx, c.process(child), plan, c.acks, nil)
		if err != nil {
			return fmt.Errorf("cycle %d, %+v: %w", i, plan, err)
		}
		if l.killed {
			c.kills++
		}
		if at := c.byPlace[plan.place()]; l.struck || plan.failpoint == "" && l.killed {
			at.hit++
		}
		if l.opened == 0 {
			c.early++
		} else {
			c.opens = (3*c.opens + l.opened) / 4
		}
		err = c.acks.check(c.o.dir)
		if err == nil && (i%proveEvery == 0 || c.o.cycles <= 2*proveEvery) {
			_, err = c.prove(false)
			if errors.Is(err, journal.ErrNotFound) {
				err = nil // it died before it had made one: check has seen that it acknowledged nothing
			}
		}
		if err != nil {
			return fmt.Errorf("cycle %d, killed %+v: %w", i, plan, err)
		}
		bar.Set(i)
	}
	return nil
}

// writesFirst tells whether the log has no order in the second version yet, which the first program could not read.
func (c *shopCampaign) writesFirst() (bool, error) {
	found, err := c.prove(false)
	if errors.Is(err, journal.ErrNotFound) {
		return true, nil
	}
	return found.Old == found.Orders, err
}

// shopPlan draws the moment of the next kill: a place in the program if this build has them, or a time.
func (c *shopCampaign) shopPlan() killPlan {
	plan := c.plan()
	if plan.afterOrders > 0 {
		plan.afterOrders = 1 + plan.afterOrders%50
	}
	if plan.afterOpen > 0 {
		plan.afterOpen *= 30
	}
	if place := c.draw(); place != aMoment {
		most := int64(400) // times to come there
		switch failpoint.Place(place) {
		case failpoint.RollOver:
			most = 2
		case failpoint.BeforeCheckpoint, failpoint.MidSnapshot:
			most = 12
		case failpoint.AfterClaim, failpoint.BeforeAnswer, failpoint.ReplyLost:
			most = 50
		}
		plan = killPlan{failpoint: fmt.Sprintf("%s:%d", place, 1+c.rng.Int64N(most)), afterOpen: 30 * time.Second}
	}
	if at := c.byPlace[plan.place()]; at == nil {
		c.byPlace[plan.place()] = new(struck)
	}
	c.byPlace[plan.place()].planned++
	return plan
}

// draw takes the next card of the deck: each place of the program, if this build has them, and some moments. So no place
// waits for long for its turn.
func (c *shopCampaign) draw() string {
	if len(c.deck) == 0 {
		c.deck = []string{aMoment, aMoment, aMoment}
		if failpoint.Enabled {
			for _, place := range failpoint.Places() {
				c.deck = append(c.deck, string(place))
			}
		}
		c.rng.Shuffle(len(c.deck), func(i, j int) { c.deck[i], c.deck[j] = c.deck[j], c.deck[i] })
	}
	next := c.deck[0]
	c.deck = c.deck[1:]
	return next
}

// place is where a child is to die.
func (p killPlan) place() string {
	if p.failpoint == "" {
		return aMoment
	}
	place, _, _ := strings.Cut(p.failpoint, ":")
	return place
}

// child is the next child. Each takes another size of batches, another number of processors, and snapshots at another
// distance, and leaves states that all have to be the same.
func (c *shopCampaign) child(orders int64) shopChild {
	batches := []int{1, 2, 7, 64, 256, 1024}
	snapshots := []int64{60, 200, 700}
	return shopChild{
		childOptions: childOptions{
			dir: c.o.dir, orders: orders, seed: defaultSeed, ratePerSecond: shopTortureRate, durability: c.o.durability,
			segmentBytes: shopSegmentBytes, window: shopTortureWindow, ackedSeq: c.acks.highest,
		},
		shopOptions: shopOptions{
			saga: c.how.Saga, gateway: c.parties.gateway, mail: c.parties.mail, poison: shopTorturePoison,
			maxBatch: batches[c.rng.IntN(len(batches))],
		},
		snapshots: snapshots[c.rng.IntN(len(snapshots))], processors: 1 + c.rng.IntN(4),
	}
}

// process is the child as a process; its samples are kept.
func (c *shopCampaign) process(o shopChild) childProcess {
	return childProcess{args: o.args(), note: func(line string) (bool, error) {
		s, taken, err := parseSample(line)
		if !taken || err != nil {
			return taken, err
		}
		c.samples = append(c.samples, s)
		_, err = c.file.WriteString(s.line())
		return true, err
	}}
}

func (c *shopCampaign) prove(atRest bool) (proven, error) {
	c.proofs++
	p := proof{dir: c.o.dir, how: c.how, atRest: atRest, samples: slices.Clone(c.samples), poison: shopTorturePoison}
	p.processors = []int{1, 2, 3, 4}
	if !atRest { // one after the other
		p.processors = []int{1, 1 + c.proofs%4}
	}
	found, err := p.prove()
	c.snapshots += found.Snapshots
	return found, err
}

// peace lets a last child end in peace, with the bug fixed, and holds the log to everything.
func (c *shopCampaign) peace(ctx context.Context) (found proven, err error) {
	orders := int64(shopLastOrders)
	a, err := openShop(c.o.dir)
	if err != nil {
		return found, err
	}
	switch _, err := replay(a, c.o.dir, 0); {
	case err == nil:
		at := a.position()
		orders += at.Orders()
	case !errors.Is(err, journal.ErrNotFound): // killed before there was a journal
		return found, err
	}
	child := c.child(orders)
	child.settle, child.fixed, child.late = true, true, true
	if _, err := liveAndDie(ctx, c.process(child), killPlan{}, c.acks, nil); err != nil {
		return found, fmt.Errorf("in peace: %w", err)
	}
	if err := c.acks.checkAll(c.o.dir); err != nil {
		return found, err
	}
	if found, err = c.prove(true); err != nil {
		return found, err
	}
	m, _, err := prove(c.o.dir, orders, defaultSeed)
	if err == nil {
		err = storeSummary(c.o.dir, m)
	}
	return found, err
}

func (c *shopCampaign) print(s streams, found proven, took time.Duration) error {
	var t screen.Table
	t.Row("cycles", screen.Count(c.o.cycles))
	t.Row("kills", screen.Count(c.kills))
	t.Row("while it recovered", screen.Count(c.early))
	missed := int64(0)
	for _, place := range slices.Sorted(maps.Keys(c.byPlace)) {
		at := c.byPlace[place]
		t.Row("at "+place, screen.Count(at.hit))
		missed += at.planned - at.hit
	}
	if missed > 0 {
		t.Row("ended before", screen.Count(missed))
	}
	t.Gap()
	t.Row("acknowledged", screen.Count(int64(len(c.acks.all))))
	t.Row("events", screen.Count(found.Events))
	t.Row("orders", screen.Count(int64(found.Orders)))
	t.Row("of version 1", screen.Count(int64(found.Old)))
	t.Row("charges", screen.Count(int64(found.Charges)))
	t.Row("dead letters", screen.Count(int64(found.DeadLetters)))
	t.Row("states seen live", screen.Count(int64(found.Samples)))
	t.Row("snapshots held against the log", screen.Count(int64(c.snapshots)))
	t.Row("proofs", screen.Count(int64(c.proofs)))
	_, err := fmt.Fprintf(s.out, "%s\n  The ten invariants hold (%s, mode %s): %s, seed %d.\n  fulfilment %s\n",
		t.String(), c.how.Saga, c.o.durability, screen.Clock(took), c.o.seed, found.Hash)
	return err
}
