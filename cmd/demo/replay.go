package main

import (
	"context"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/cmd/demo/internal/shop"
)

// replayCommand rebuilds the shop from the journal alone, and prints its figures.
func replayCommand(_ context.Context, args []string, s streams) error {
	f := newFlags("replay")
	until := f.Int64("until", 0, "")
	asJSON := f.Bool("json", false, "")
	if err := f.parse(args); err != nil {
		return err
	}
	if f.set["until"] && *until < 1 {
		return wrong("--until %d: want a sequence, from 1", *until)
	}
	m, err := replay(newApp(), f.dir, *until)
	if err != nil {
		return err
	}
	if *asJSON {
		return m.WriteJSON(s.out)
	}
	return m.WriteTable(s.out)
}

// replay rebuilds a from the journal in dir, up to sequence until, 0 = the end.
func replay(a *app, dir string, until int64) (shop.Summary, error) {
	r, err := headrace.Replay(dir, a.topology, headrace.ReplayOptions{Until: until, FromStart: true})
	if err != nil {
		return shop.Summary{}, err
	}
	return a.summary(shop.Log{Events: r.Events, Last: r.LastSequence, Durable: r.DurableSequence}), nil
}
