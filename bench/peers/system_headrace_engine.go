package main

import (
	"context"
	"path/filepath"
	"time"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/journal"
)

// engineSlots is the ring of the engine scenarios. Smaller than that of the ring scenarios, it keeps
// slots and their inline bodies in the second-level cache.
const engineSlots = 4096

// headraceEngine opens an engine anew, publishes, waits until the read model contains everything, and
// closes. Opening and closing, with the sync that belongs to it, are not timed; nor are they for the
// others.
func headraceEngine(w Work, m *meter) (res Result, err error) {
	defer emptyDir(w.Dir)
	reg := event.NewRegistry()
	event.MustRegister[order](reg, "bench.order", 1)
	t := headrace.NewTopology(reg)
	model := handlers.NewProjection("ledger", newLedger())
	handlers.Apply(model, func(l *ledger, _ *handlers.Context, o order) error {
		l.apply(&o)
		if m != nil {
			m.handled(int(o.Number), int(o.Number))
		}
		return nil
	})
	t.Project(model, headrace.LaneOptions{})
	e, err := headrace.Open(filepath.Join(w.Dir, "log"), t, headrace.Options{
		Slots: engineSlots, Journal: journal.Options{Durability: journal.None()},
	})
	if err != nil {
		return Result{}, err
	}
	ctx := context.Background()
	defer func() {
		if cerr := e.Close(ctx); err == nil {
			err = cerr
		}
	}()
	p, err := e.Producer("bench")
	if err != nil {
		return Result{}, err
	}

	var last int64
	var o order
	publish := func(i int) (err error) {
		newOrder(&o, i)
		last, err = headrace.Publish(ctx, p, o, headrace.Meta{})
		return err
	}
	start := time.Now()
	if m != nil {
		err = m.pace(w.Events, publish)
	} else {
		for i := 1; i <= w.Events && err == nil; i++ {
			err = publish(i)
		}
	}
	if err == nil {
		err = model.WaitFor(ctx, last)
	}
	if err != nil {
		return Result{}, err
	}
	res.Elapsed = time.Since(start)
	model.View(func(l *ledger, _ int64) { res.Sum = l.sum })
	return res, nil
}
