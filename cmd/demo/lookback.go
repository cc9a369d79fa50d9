package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	journalaudit "github.com/headrace/headrace/audit"
	"github.com/headrace/headrace/cmd/demo/internal/fulfil"
	"github.com/headrace/headrace/cmd/demo/internal/screen"
	"github.com/headrace/headrace/cmd/demo/internal/shop"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/journal"
)

// errNothing means that there is nothing to show.
var errNothing = errors.New("nothing found")

// asofCommand prints the shop as it was at a sequence, or at a time.
func asofCommand(_ context.Context, args []string, s streams) error {
	f := newFlags("asof")
	seq := f.Int64("sequence", 0, "")
	at := f.String("time", "", "")
	asJSON := f.Bool("json", false, "")
	if err := f.parse(args); err != nil {
		return err
	}
	switch {
	case f.set["sequence"] == f.set["time"]:
		return wrong("want --sequence or --time, one of them")
	case f.set["sequence"] && *seq < 1:
		return wrong("--sequence %d: want a sequence, from 1", *seq)
	case f.set["time"]:
		t, err := time.Parse(time.RFC3339Nano, *at)
		if err != nil {
			return wrong("--time %q: want a time as 2006-01-02T15:04:05.999Z", *at)
		}
		if *seq, err = sequenceAt(f.dir, t); err != nil {
			return err
		}
		if *seq == 0 {
			return fmt.Errorf("%w: the log begins later than %s", errNothing, *at)
		}
	}
	a, err := openShop(f.dir)
	if err != nil {
		return err
	}
	m, err := replay(a, f.dir, *seq)
	if err != nil {
		return err
	}
	if f.set["sequence"] && m.LastSequence < *seq {
		s.say("The log ends at %s: these are the figures there.", screen.Count(m.LastSequence))
	}
	var figures *fulfil.Figures
	dead := 0
	if a.shop != nil {
		one := a.shop.figures()
		figures = &one
		for _, p := range a.topology.Parked() {
			if p.Dead {
				dead++
			}
		}
	}
	if *asJSON {
		line, err := json.Marshal(struct {
			shop.Summary
			Shop        *fulfil.Figures `json:"shop,omitempty"`
			DeadLetters int             `json:"dead_letters,omitempty"`
		}{m, figures, dead})
		if err != nil {
			return err
		}
		_, err = s.out.Write(append(line, '\n'))
		return err
	}
	if err := m.WriteTable(s.out); err != nil || figures == nil {
		return err
	}
	return printFigures(s.out, *figures, dead)
}

// sequenceAt returns the last event that was journaled at or before t, 0 if there is none.
func sequenceAt(dir string, t time.Time) (seq int64, err error) {
	r, err := journal.OpenReader(dir, 0, journal.ReaderOptions{})
	if err != nil {
		return 0, err
	}
	_, err = r.Read(func(rec journal.Record) error {
		if rec.Time > t.UnixNano() {
			return errNothing
		}
		seq = rec.Sequence
		return nil
	})
	if errors.Is(err, errNothing) {
		err = nil
	}
	return seq, errors.Join(err, r.Close())
}

// traceCommand prints a conversation: each event below the one that caused it.
func traceCommand(ctx context.Context, args []string, s streams) error {
	f := newFlags("trace")
	correlation := f.String("correlation", "", "")
	order := f.String("order", "", "")
	asJSON := f.Bool("json", false, "")
	if err := f.parse(args); err != nil {
		return err
	}
	var id event.ID
	var err error
	switch {
	case f.set["correlation"] == f.set["order"]:
		return wrong("want --correlation or --order, one of them")
	case f.set["correlation"]:
		if id, err = event.ParseID(*correlation); err != nil {
			return wrong("--correlation: %v", err)
		}
	default:
		invoice, row, err := parseOrderKey(*order)
		if err != nil {
			return err
		}
		id = shop.CommandID(invoice, row)
	}
	a, err := openShop(f.dir)
	if err != nil {
		return err
	}
	log, err := journalaudit.Open(f.dir, journalaudit.Options{Registry: a.registry})
	if err != nil {
		return err
	}
	tree, err := log.Trace(ctx, id, journalaudit.TraceOptions{})
	if err != nil {
		return err
	}
	if tree.Events == 0 {
		return fmt.Errorf("%w: no event of the conversation %s", errNothing, id)
	}
	if *asJSON {
		line, err := json.Marshal(tree)
		if err != nil {
			return err
		}
		_, err = s.out.Write(append(line, '\n'))
		return err
	}
	_, err = s.out.Write(tree.AppendText(nil))
	return err
}
