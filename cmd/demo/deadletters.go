package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/cmd/demo/internal/screen"
	"github.com/headrace/headrace/handlers"
)

// deadLetter is a line of deadletters --json.
type deadLetter struct {
	Handler  string    `json:"handler"`
	Sequence int64     `json:"sequence"`
	Key      string    `json:"key"`
	Dead     bool      `json:"dead"` // false: it waits for a retry
	Attempts int       `json:"attempts"`
	Reason   string    `json:"reason"`
	Message  string    `json:"message"`
	Waiting  int       `json:"waiting"`
	FailedAt time.Time `json:"failed_at"`
}

// deadlettersCommand lists what handlers could not handle, by the log alone.
func deadlettersCommand(_ context.Context, args []string, s streams) error {
	f := newFlags("deadletters")
	all := f.Bool("all", false, "")
	asJSON := f.Bool("json", false, "")
	if err := f.parse(args); err != nil {
		return err
	}
	a, err := openShop(f.dir)
	if err != nil {
		return err
	}
	if _, err := headrace.Replay(f.dir, a.topology, headrace.ReplayOptions{}); err != nil {
		return err
	}
	letters := []deadLetter{}
	for _, p := range a.topology.Parked() {
		if p.Dead || *all {
			letters = append(letters, deadLetter{p.Handler, p.Sequence, p.Key, p.Dead, p.Attempts, p.Reason, p.Message, p.Waiting, p.FailedAt})
		}
	}
	if *asJSON {
		line, err := json.Marshal(letters)
		if err != nil {
			return err
		}
		_, err = s.out.Write(append(line, '\n'))
		return err
	}
	if len(letters) == 0 {
		_, err = fmt.Fprintln(s.out, "There are no dead letters.")
		return err
	}
	for _, l := range letters {
		_, err = fmt.Fprintf(s.out, "%s  event %d  key %s  %s, %d wait behind it: %s: %s\n", l.Handler, l.Sequence, l.Key, times(l.Attempts), l.Waiting, l.Reason, l.Message)
	}
	return err
}

func times(attempts int) string {
	if attempts == 1 {
		return "1 attempt"
	}
	return fmt.Sprintf("%d attempts", attempts)
}

// redriveCommand lets handlers try dead letters again, with the bug fixed that made them so, and goes on until every order
// has ended.
func redriveCommand(ctx context.Context, args []string, s streams) (err error) {
	f := newFlags("redrive")
	handler := f.String("handler", "", "")
	seq := f.Int64("sequence", 0, "")
	asJSON := f.Bool("json", false, "")
	if err := f.parse(args); err != nil {
		return err
	}
	if f.set["sequence"] && *seq < 1 {
		return wrong("--sequence %d: want a sequence, from 1", *seq)
	}
	how, has, err := loadSetup(f.dir)
	if err != nil {
		return err
	}
	if !has {
		return fmt.Errorf("%s: there is no shop that fulfils orders; see run --shop", f.dir)
	}
	ctx, stop := interruptible(ctx)
	defer stop()
	parties, err := startParties(f.dir, how.Seed)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, parties.stop()) }()
	a := newShop(shopOptions{saga: how.Saga, gateway: parties.gateway, mail: parties.mail, fixed: true})
	eng, err := headrace.Open(f.dir, a.topology, engineOptions(modeGroup, runSegmentBytes))
	if err != nil {
		return err
	}
	n, err := redrive(ctx, eng, func(p handlers.Parked) bool {
		return (*handler == "" || p.Handler == *handler) && (*seq == 0 || p.Sequence == *seq)
	})
	if err == nil && n == 0 {
		err = fmt.Errorf("%w: no such dead letter", errNothing)
	}
	if err == nil {
		err = a.shop.settle(ctx, eng, s)
	}
	dead := len(eng.DeadLetters())
	if err := errors.Join(err, eng.Close(context.WithoutCancel(ctx))); err != nil {
		return err
	}
	m, err := a.conclude(f.dir)
	if err != nil {
		return err
	}
	s.say("Redriven: %s.", screen.Count(int64(n)))
	return printShop(s, m, a.shop.figures(), dead, *asJSON)
}

// redrive redrives those dead letters that are wanted, and returns when each of them has been tried.
func redrive(ctx context.Context, eng *headrace.Engine, wanted func(handlers.Parked) bool) (n int, err error) {
	for _, p := range eng.DeadLetters() {
		if !wanted(p) {
			continue
		}
		at, err := eng.Redrive(ctx, p.Handler, p.Sequence)
		if err == nil {
			err = eng.WaitFor(ctx, p.Handler, at) // each effect has a lane of its name
		}
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// parseOrderKey reads the name of an order: its invoice number and first row.
func parseOrderKey(s string) (invoice string, row int64, err error) {
	invoice, text, ok := strings.Cut(s, "@")
	if row, err = strconv.ParseInt(text, 10, 64); !ok || err != nil || row < 1 || invoice == "" {
		return "", 0, wrong("--order %q: want INVOICE@ROW, as 600001@1", s)
	}
	return invoice, row, nil
}
