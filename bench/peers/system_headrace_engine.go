package main

import (
	"context"
	"errors"
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

// headraceTopology is one read model, which tells m, unless it is nil, of what it has handled.
func headraceTopology(m *meter) (*headrace.Topology, *handlers.Projection[ledger]) {
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
	return t, model
}

func headraceEngineOptions() headrace.Options {
	return headrace.Options{Slots: engineSlots, Journal: journal.Options{Durability: journal.None()}}
}

// headraceEngine opens an engine anew, publishes, waits until the read model contains everything, and
// closes. Opening and closing, with the sync that belongs to it, are not timed; nor are they for the
// others.
func headraceEngine(w Work, m *meter) (res Result, err error) {
	defer emptyDir(w.Dir)
	return headraceFill(w, m)
}

// headraceFill is headraceEngine for those who want the log.
func headraceFill(w Work, m *meter) (res Result, err error) {
	t, model := headraceTopology(m)
	e, err := headrace.Open(filepath.Join(w.Dir, "log"), t, headraceEngineOptions())
	if err != nil {
		return Result{}, err
	}
	ctx := context.Background()
	defer func() { err = errors.Join(err, e.Close(ctx)) }()
	p, err := e.Producer("bench")
	if err != nil {
		return Result{}, err
	}

	var last int64
	var o order
	start := time.Now()
	err = m.publishAll(w.Events, func(i int) (err error) {
		newOrder(&o, i)
		last, err = headrace.Publish(ctx, p, o, headrace.Meta{})
		return err
	})
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

// headraceReopen fills a log once; a round is Open on it, as after a restart: recovery, the pass over the headers,
// and every event through its handler. Closing is not timed.
func headraceReopen(w Work) (Bench, error) {
	if _, err := headraceFill(w, nil); err != nil {
		return nil, err
	}
	return roundFunc(func() (res Result, err error) {
		t, model := headraceTopology(nil)
		start := time.Now()
		e, err := headrace.Open(filepath.Join(w.Dir, "log"), t, headraceEngineOptions())
		if err != nil {
			return Result{}, err
		}
		res.Elapsed = time.Since(start)
		model.View(func(l *ledger, _ int64) { res.Sum = l.sum })
		return res, e.Close(context.Background())
	}), nil
}

// headraceReplayLog is headraceReopen with Replay, which only reads.
func headraceReplayLog(w Work) (Bench, error) {
	if _, err := headraceFill(w, nil); err != nil {
		return nil, err
	}
	return roundFunc(func() (res Result, err error) {
		t, model := headraceTopology(nil)
		start := time.Now()
		_, err = headrace.Replay(filepath.Join(w.Dir, "log"), t, headrace.ReplayOptions{})
		res.Elapsed = time.Since(start)
		model.View(func(l *ledger, _ int64) { res.Sum = l.sum })
		return res, err
	}), nil
}

// direct is no system: the publisher encodes, decodes and handles by itself. Its latency is that of the machine.
func direct(w Work, m *meter) (res Result, err error) {
	model := newLedger()
	var o, got order
	body := make([]byte, 0, orderBytes)
	start := time.Now()
	err = m.publishAll(w.Events, func(i int) (err error) {
		newOrder(&o, i)
		if body, err = o.AppendMsgpack(body[:0]); err != nil {
			return err
		}
		if err := got.DecodeMsgpackBytes(body); err != nil {
			return err
		}
		model.apply(&got)
		if m != nil {
			m.handled(i, i)
		}
		return nil
	})
	return Result{Elapsed: time.Since(start), Sum: model.sum}, err
}
