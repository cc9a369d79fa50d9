package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/cmd/demo/internal/fulfil"
	"github.com/headrace/headrace/cmd/demo/internal/screen"
	"github.com/headrace/headrace/cmd/demo/internal/shop"
)

// shopFile says how the shop in a directory works. It is there before the first order, and stays as it is.
const shopFile = "shop.json"

// shopSetup is what shopFile holds.
type shopSetup struct {
	Saga sagaMode `json:"saga"`
	Seed uint64   `json:"seed"` // of the parties outside
}

// loadSetup returns the setup of the shop in dir, and false if there is none: its orders are not fulfilled.
func loadSetup(dir string) (s shopSetup, has bool, err error) {
	path := filepath.Join(dir, shopFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, false, nil
	}
	if err != nil {
		return s, false, err // which names the file
	}
	if err := json.Unmarshal(data, &s); err != nil {
		return s, false, fmt.Errorf("%s: %w; it says who directs the orders there, and of what seed the parties outside are", path, err)
	}
	return s, true, nil
}

// refuseShop fails if the shop in dir fulfils its orders: one that does not would leave them open.
func refuseShop(dir string) error {
	_, has, err := loadSetup(dir)
	if err == nil && has {
		err = fmt.Errorf("%s: the shop there fulfils its orders; go on with --shop, or use another directory", dir)
	}
	return err
}

// setup makes the shop in dir one that works as s says, if it is new; one that works in another way is refused.
func setup(dir string, s shopSetup) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	old, has, err := loadSetup(dir)
	switch {
	case err != nil:
		return err
	case has && old != s:
		return fmt.Errorf("%s: the shop there works by %s with seed %d; go on with the same, or use another directory", dir, old.Saga, old.Seed)
	case has:
		return nil
	}
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return replaceFile(filepath.Join(dir, shopFile), append(data, '\n'))
}

// openShop makes the app for what is in dir, to be replayed.
func openShop(dir string) (*app, error) {
	s, has, err := loadSetup(dir)
	if err != nil {
		return nil, err
	}
	if !has {
		return newApp(), nil
	}
	return newShop(shopOptions{saga: s.Saga}), nil
}

// runShop is run with --shop: it takes orders, fulfils them, and ends when all have ended but those that are dead letters.
func runShop(ctx context.Context, o runOptions, source shop.Source, s streams) (err error) {
	if err := setup(o.dir, shopSetup{o.saga, o.seed}); err != nil {
		return err
	}
	parties, err := startParties(o.dir, o.seed)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, parties.stop()) }()
	a := newShop(shopOptions{saga: o.saga, gateway: parties.gateway, mail: parties.mail, poison: uint32(o.poison)})
	eng, err := headrace.Open(o.dir, a.topology, o.engine())
	if err != nil {
		return err
	}
	sayRecovery(s, eng.Recovery())
	_, err = takeOrders(ctx, a, eng, source, o, s)
	if err == nil {
		err = a.shop.settle(ctx, eng, s)
	}
	if ctx.Err() != nil {
		s.say("Interrupted; what is not done stays in the log, and goes on at the next run.")
		err = nil
	}
	dead := len(eng.DeadLetters())
	if err := errors.Join(err, eng.Close(context.WithoutCancel(ctx))); err != nil {
		return err
	}
	m, err := a.conclude(o.dir)
	if err != nil {
		return err
	}
	return printShop(s, m, a.shop.figures(), dead, o.json)
}

// errStalled means orders that are open and do not end, though every call is answered within a second or so.
var errStalled = errors.New("no order goes on")

// settlesWithin is how many looks at a shop in which no order ends it takes to call it stalled: twenty seconds of a
// process that runs, however long it was stopped.
const (
	settleLook    = 10 * time.Millisecond
	settlesWithin = 2000
)

// settle waits until every order has ended, or is held up by a dead letter.
func (f *fulfilment) settle(ctx context.Context, eng *headrace.Engine, s streams) error {
	var bar *screen.Progress
	look := time.NewTicker(settleLook)
	defer look.Stop()
	still, ended := 0, int64(-1)
	for {
		last := eng.Stats().Ring.Cursor
		for _, lane := range []string{"logic", f.state.Name()} {
			if err := eng.WaitFor(ctx, lane, last); err != nil {
				return err
			}
		}
		var open, all int64
		f.state.View(func(s *fulfil.State, _ int64) { open, all = s.Open, int64(len(s.Orders)) })
		if bar == nil && open > 0 {
			bar = s.progress(screen.ProgressOptions{Label: "fulfilling", Unit: "orders", Start: all - open})
		}
		if bar != nil {
			bar.Set(all - open)
		}
		held := map[string]bool{}
		for _, p := range eng.DeadLetters() {
			held[p.Key] = true
		}
		// Nothing is emitted that is not published, and nothing published that is not handled: no order is yet to be opened.
		if open == int64(len(held)) && eng.Stats().FeedbackBytes == 0 && eng.Stats().Ring.Cursor == last {
			if bar != nil {
				bar.End()
			}
			return nil
		}
		select {
		case <-f.ended:
		case <-look.C:
			still++
		case <-eng.Halted():
		case <-ctx.Done():
		}
		if all-open != ended {
			still, ended = 0, all-open
		} else if still > settlesWithin {
			return fmt.Errorf("%w: %d are open, %d of them held up by dead letters; verify tells more", errStalled, open, len(held))
		}
	}
}

// printShop prints the figures of a shop: the orders taken, and what became of them.
func printShop(s streams, m shop.Summary, f fulfil.Figures, dead int, asJSON bool) error {
	if asJSON {
		line, err := json.Marshal(struct {
			shop.Summary
			Shop        fulfil.Figures `json:"shop"`
			DeadLetters int            `json:"dead_letters"`
		}{m, f, dead})
		if err != nil {
			return err
		}
		_, err = s.out.Write(append(line, '\n'))
		return err
	}
	if err := m.WriteTable(s.out); err != nil {
		return err
	}
	return printFigures(s.out, f, dead)
}

func printFigures(w io.Writer, f fulfil.Figures, dead int) error {
	var t screen.Table
	t.Gap()
	t.Row("orders opened", screen.Count(f.Orders))
	t.Row("completed", screen.Count(f.Completed))
	t.Row("cancelled", screen.Count(f.Cancelled))
	if f.Open > 0 {
		t.Row("open", screen.Count(f.Open))
	}
	if dead > 0 {
		t.Row("dead letters", screen.Count(int64(dead)))
	}
	t.Gap()
	t.Row("paid", screen.Milli(f.PaidMilli))
	t.Row("refunded", screen.Milli(f.RefundedMilli))
	t.Row("revenue", screen.Milli(f.RevenueMilli))
	t.Gap()
	t.Row("articles", screen.Count(f.Articles))
	t.Row("alerts of low stock", screen.Count(f.Alerts))
	t.Row("days that are over", screen.Count(f.Days))
	_, err := fmt.Fprintf(w, "%s  fulfilment %s\n", t.String(), f.StateHash)
	return err
}
