package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/cmd/demo/internal/fulfil"
	"github.com/headrace/headrace/cmd/demo/internal/shop"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/journal"
)

// The ten things that hold in every log of the shop. Those about single events hold at every prefix of it.
var (
	errSequences     = errors.New("sequences: contiguous, and every acknowledged event is there")
	errStock         = errors.New("stock: nothing below 0, on hand + reserved + shipped = initial + received")
	errPayments      = errors.New("payments: each follows one reservation, each order ends once")
	errCompensations = errors.New("compensations: once each, and in reverse order")
	errMoney         = errors.New("money: paid - refunded = revenue = the gateway's ledger")
	errCausation     = errors.New("causation: an earlier event of the same conversation, unique and derived ids")
	errState         = errors.New("state: live = replayed from zero = snapshot and the log behind it, however many processors and large the batches")
	errAsOf          = errors.New("as of: the state at a sequence is what was seen live")
	errVersions      = errors.New("versions: an order in an old version is the order that was placed, and what is new answers nothing from before it")
	errPoison        = errors.New("poison: it parks its key only, and a redrive completes it")
)

// proof is what a shop is held to, and what is known besides the log.
type proof struct {
	dir     string
	how     shopSetup
	atRest  bool     // every order has ended, and no call is under way
	samples []sample // of live states, by sequence
	poison  uint32   // one order in so many was poison; 0 = not known

	processors []int // to replay on
	upgraded   int64 // the log ended here when the shop's second version began; 0 = it was the first
}

// proven counts what was looked at.
type proven struct {
	Figures     fulfil.Figures `json:"figures"`
	Events      int64          `json:"events"`
	Orders      int            `json:"orders"`
	Old         int            `json:"orders_in_version_1"`
	Charges     int            `json:"charges"`
	Samples     int            `json:"samples"`
	Snapshots   int            `json:"snapshots"`
	DeadLetters int            `json:"dead_letters"` // that there have ever been
	Hash        string         `json:"-"`
}

// prove holds the log in dir to all ten, and joins what it finds.
func (p *proof) prove() (proven, error) {
	var err error
	if p.upgraded, err = loadUpgrade(p.dir); err != nil {
		return proven{}, err
	}
	in := newInspector(p)
	a := newShop(shopOptions{saga: p.how.Saga})
	in.attach(a)
	_, err = headrace.Replay(p.dir, a.topology, headrace.ReplayOptions{FromStart: true})
	if err != nil {
		// An invariant that is broken at some event, or a log that does not replay; some can be told all the same.
		return in.found, errors.Join(err, p.checkSequences(), p.checkCausation(&in.found))
	}
	in.found.Figures = a.shop.figures()
	in.found.Hash = in.found.Figures.StateHash
	return in.found, errors.Join(
		p.checkSequences(),
		in.checkEnds(a.topology.Parked()),
		p.checkMoney(in, a),
		p.checkCausation(&in.found),
		p.checkState(&in.found, a),
		p.checkSnapshots(),
		in.checkSamples(),
		in.checkPoison(a.topology.Parked()),
	)
}

// checkSequences holds the log to errSequences.
func (p *proof) checkSequences() error {
	report, err := journal.Verify(p.dir, journal.VerifyOptions{})
	if err != nil {
		return fmt.Errorf("%w: %w", errSequences, err)
	}
	if report.DurableLost > 0 {
		return fmt.Errorf("%w: %d events that had been durable are gone behind sequence %d", errSequences, report.DurableLost, report.Last)
	}
	r, err := journal.OpenReader(p.dir, 0, journal.ReaderOptions{Internal: true})
	if err != nil {
		return err
	}
	last := int64(0)
	_, err = r.Read(func(rec journal.Record) error {
		advances := rec.Kind == journal.KindEvent || rec.Kind == journal.KindVoid
		if want := last + 1; advances && rec.Sequence != want {
			return fmt.Errorf("%w: event %d stands where %d should be", errSequences, rec.Sequence, want)
		}
		if advances {
			last = rec.Sequence
		}
		return nil
	})
	if err = errors.Join(err, r.Close()); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(p.dir, acksFile)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	acks, err := openPromises(p.dir)
	if err != nil {
		return err
	}
	if err := errors.Join(acks.checkAll(p.dir), acks.close()); err != nil {
		return fmt.Errorf("%w: %w", errSequences, err)
	}
	return nil
}

// checkCausation holds the log to errCausation.
func (p *proof) checkCausation(found *proven) error {
	type known struct {
		sequence    int64
		correlation event.ID
	}
	byID := map[event.ID]known{}
	ids := []event.ID{{}} // by sequence
	r, err := journal.OpenReader(p.dir, 0, journal.ReaderOptions{})
	if err != nil {
		return err
	}
	_, err = r.Read(func(rec journal.Record) error {
		for int64(len(ids)) <= rec.Sequence {
			ids = append(ids, event.ID{})
		}
		if rec.Kind != journal.KindEvent {
			return nil
		}
		found.Events++
		v, err := event.Parse(rec.Body)
		if err != nil {
			return fmt.Errorf("%w: event %d: %w", errCausation, rec.Sequence, err)
		}
		fault := func(format string, args ...any) error {
			return fmt.Errorf("%w: event %d, order %s: %s", errCausation, rec.Sequence, v.Key(), fmt.Sprintf(format, args...))
		}
		id := v.ID()
		if first, ok := byID[id]; ok {
			return fault("it has the id of event %d", first.sequence)
		}
		correlation := v.CorrelationID()
		if correlation.IsZero() {
			correlation = id
		}
		if cause := v.CausationID(); !cause.IsZero() {
			of, ok := byID[cause]
			switch {
			case !ok:
				return fault("its cause %s does not stand before it", cause)
			case of.correlation != correlation:
				return fault("it is of conversation %s, its cause %d of %s", correlation, of.sequence, of.correlation)
			}
		}
		if o, ok := v.Origin(); ok {
			switch {
			case o.Cause >= rec.Sequence || ids[o.Cause].IsZero():
				return fault("it answers event %d, which is none before it", o.Cause)
			case event.DeriveID(o.Handler, ids[o.Cause], o.Ordinal) != id:
				return fault("its id does not derive from handler, event %d and place %d", o.Cause, o.Ordinal)
			}
		}
		byID[id], ids[rec.Sequence] = known{rec.Sequence, correlation}, id
		return nil
	})
	return errors.Join(err, r.Close())
}

// inspector looks at each event of a log as it is replayed.
type inspector struct {
	proof  *proof
	found  proven
	placed map[string]*shop.Order // that are to be opened, by order
	orders map[string]*course
	stock  map[string]*shelf
	paid   int64
	back   int64
	keys   map[string]ledgerEntry // what the gateway was asked for, by key
	state  *fulfil.State          // folded once more, for samples
	next   int                    // sample
	wrong  []error                // samples that differ
}

// course is what an order went through, by sequence; 0 = not yet.
type course struct {
	order                             string
	opened, reserved, charged         int64 // charged: the command
	paid, declined, shipped, failed   int64
	refunded, released, mailed, ended int64
	refused, reviewed                 int64
	completed                         bool
	items                             []fulfil.Item // reserved
	amount, paidMilli, refundedMilli  int64
	dead, redriven                    int64 // the last outcome that made it a dead letter, and what came after it
}

// shelf is an article, counted apart from the warehouse.
type shelf struct{ initial, onHand, reserved, shipped, received int64 }

func newInspector(p *proof) *inspector {
	slices.SortStableFunc(p.samples, func(a, b sample) int { return int(a.seq - b.seq) })
	return &inspector{
		proof: p, placed: map[string]*shop.Order{}, orders: map[string]*course{}, stock: map[string]*shelf{},
		keys: map[string]ledgerEntry{}, state: fulfil.NewState(),
	}
}

// attach makes it a read model of the shop.
func (in *inspector) attach(a *app) {
	p := handlers.NewProjection("inspector", in)
	onCommands(p, func(in *inspector, _ *handlers.Context, c shop.Command) error {
		if c.Kind() == shop.Plain && shop.Validate(c).Rejected() == "" {
			o := *c.Data()
			in.placed[fulfil.OrderKey(o.Invoice, o.Row)] = &o
		}
		return nil
	})
	onFulfilment(p, false, (*inspector).see)
	handlers.Apply(p, (*inspector).outcome)
	handlers.Apply(p, (*inspector).redelivered)
	a.topology.Project(p, headrace.LaneOptions{})
}

// see holds one event to what holds at every prefix.
func (in *inspector) see(c *handlers.Context, e fulfil.Event) error {
	if err := in.checkStock(c, e); err != nil {
		return err
	}
	if key := e.OrderKey(); key != "" {
		l := in.orders[key]
		if l == nil {
			l = &course{order: key}
			in.orders[key] = l
		}
		err := in.checkVersion(c, l, e)
		if _, review := e.(fulfil.ReviewAsked); err == nil && !review {
			err = in.checkPayment(c, l, e)
		}
		if err == nil {
			err = in.checkCompensation(c, l, e)
		}
		if err == nil {
			err = in.checkParked(c, l, e)
		}
		if err != nil {
			return err
		}
	}
	in.sampleUpTo(c.Sequence() - 1)
	return in.state.Apply(e)
}

// broken says where an invariant is.
func broken(invariant error, c *handlers.Context, order, format string, args ...any) error {
	return fmt.Errorf("%w: event %d (%s), order %s: %s", invariant, c.Sequence(), c.Type(), order, fmt.Sprintf(format, args...))
}
