package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/headrace/headrace/cmd/demo/internal/screen"
	"github.com/headrace/headrace/internal/failpoint"
	"github.com/headrace/headrace/journal"
)

const (
	shopTortureRate   = 150 // orders a second: the parties outside keep up
	shopTortureWindow = 64
	shopTorturePoison = 40              // one order in so many
	shopLastOrders    = 20              // taken in peace, at the end
	cyclesPerShop     = 50              // then another one opens
	proveEvery        = 10              // cycles
	failpointWithin   = 8 * time.Second // of opening: else the child does not come there
	shopSegmentBytes  = 128 << 10
)

// shopCampaign is a torture of a shop that fulfils its orders.
type shopCampaign struct {
	campaign
	how     shopSetup
	parties *outsideParties
	samples []sample
	file    *os.File // of samples
	all     *shopTotals
}

// tortureShop kills such shops again and again, and holds what they leave to the ten invariants.
func tortureShop(ctx context.Context, o tortureOptions, s streams) error {
	bar := s.progress(screen.ProgressOptions{Label: "killing", Unit: "kills", Total: o.cycles})
	defer bar.End()
	all := &shopTotals{o: o, byPlace: map[string]*struck{}, began: time.Now()}
	rng := rand.New(rand.NewPCG(o.seed, 0))
	for one := o; all.cycles < o.cycles; all.cycles += one.cycles {
		one.cycles = min(cyclesPerShop, o.cycles-all.cycles)
		how := shopSetup{Saga: o.saga, Seed: defaultSeed}
		if o.cycles > cyclesPerShop {
			all.shops++
			how.Seed += uint64(all.shops - 1)
			one.dir = filepath.Join(o.dir, fmt.Sprintf("shop-%04d", all.shops))
		}
		if err := tortureOneShop(ctx, one, how, rng, all, bar, s); err != nil {
			return fmt.Errorf("%s: %w", one.dir, err)
		}
	}
	bar.End()
	return all.print(s)
}

// tortureOneShop is the part of a campaign that one log sees. Logs of their own keep the proofs short, and each begins
// with the first version of the shop.
func tortureOneShop(ctx context.Context, o tortureOptions, how shopSetup, rng *rand.Rand, all *shopTotals, bar *screen.Progress, s streams) (err error) {
	if err := setup(o.dir, how); err != nil {
		return err
	}
	acks, err := openPromises(o.dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, acks.close()) }()
	c := &shopCampaign{
		campaign: campaign{o: o, acks: acks, rng: rng, opens: 30 * time.Millisecond}, how: how, all: all,
	}
	if c.samples, err = loadSamples(o.dir); err != nil {
		return err
	}
	if c.file, err = os.OpenFile(filepath.Join(o.dir, samplesIn), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.file.Close()) }()
	if c.parties, err = startParties(o.dir, how.Seed); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.parties.stop()) }()
	if err := c.cycles(ctx, bar); err != nil {
		return err
	}
	found, err := c.peace(ctx)
	if err == nil {
		all.add(c, found)
	}
	return err
}

// cycles does the kills. The first half of them is of a program that writes the first version of the order.
func (c *shopCampaign) cycles(ctx context.Context, bar *screen.Progress) error {
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
			return fmt.Errorf("cycle %d, %+v: %w", i, plan, c.withProof(err))
		}
		if l.killed {
			c.kills++
		}
		c.all.died(plan, l)
		if l.opened == 0 {
			c.early++
		} else {
			c.opens = (3*c.opens + l.opened) / 4
		}
		if err = c.acks.check(c.o.dir); err != nil {
			err = fmt.Errorf("%w: %w", errSequences, err)
		}
		if err == nil && (i%proveEvery == 0 || c.o.cycles <= proveEvery) {
			_, err = c.prove(false)
			if errors.Is(err, journal.ErrNotFound) {
				err = nil // it died before it had made one: check has seen that it acknowledged nothing
			}
		}
		if err != nil {
			return fmt.Errorf("cycle %d, killed %+v: %w", i, plan, err)
		}
		bar.Set(c.all.cycles + i)
	}
	return nil
}

// writesFirst tells whether the second version of the shop has not been there yet; the first could not read what it wrote.
func (c *shopCampaign) writesFirst() (bool, error) {
	if _, err := os.Stat(filepath.Join(c.o.dir, upgradeFile)); !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
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
	if place := c.all.draw(c.rng); place != aMoment {
		most := int64(400) // times to come there
		switch failpoint.Place(place) {
		case failpoint.RollOver:
			most = 2
		case failpoint.BeforeCheckpoint, failpoint.MidSnapshot:
			most = 12
		case failpoint.AfterClaim, failpoint.BeforeAnswer, failpoint.ReplyLost, failpoint.MidBatch:
			most = 50
		}
		plan = killPlan{failpoint: fmt.Sprintf("%s:%d", place, 1+c.rng.Int64N(most)), afterOpen: failpointWithin}
	}
	return plan
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
	c.all.proofs++
	p := proof{dir: c.o.dir, how: c.how, atRest: atRest, samples: slices.Clone(c.samples), poison: shopTorturePoison}
	p.processors = []int{1, 2, 3, 4}
	if !atRest { // one after the other
		p.processors = []int{1, 1 + c.all.proofs%4}
	}
	found, err := p.prove()
	c.all.snapshots += found.Snapshots
	return found, err
}

// withProof adds to the failure of a child what is to be said of the log that it leaves.
func (c *shopCampaign) withProof(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	_, perr := c.prove(false)
	if perr == nil && errors.Is(err, errChild) {
		perr = fmt.Errorf("%w: a shop failed on a log that a replay takes", errState)
	}
	return errors.Join(err, perr)
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
		return found, fmt.Errorf("in peace: %w", c.withProof(err))
	}
	if err := c.acks.checkAll(c.o.dir); err != nil {
		return found, fmt.Errorf("%w: %w", errSequences, err)
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
