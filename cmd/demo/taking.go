package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/headrace/headrace"
	"github.com/headrace/headrace/cmd/demo/internal/shop"
)

// producerName is the shop's name in the envelope of every command.
const producerName = "shop"

// taking is the work of taking orders: from a source into an engine.
type taking struct {
	source        shop.Source
	orders        int64   // in all, those in the log included; 0 = to the end of the source
	ratePerSecond float64 // 0 = as fast as it goes

	// taken is called after each order that is in the ring, which may be nil. An error ends the work.
	taken func(o *shop.Order, seq int64) error
}

// run takes orders from where the log ends until there are no more, or ctx ends, which is no error. It
// returns how many it took.
//
// What is in the ring when it returns will be in the log after the engine's Close; an order is
// published whole or not at all.
func (t *taking) run(ctx context.Context, eng *headrace.Engine, at shop.Position) (n int64, err error) {
	p, err := eng.Producer(producerName)
	if err != nil {
		return 0, err
	}
	pace := newPacer(t.ratePerSecond)
	var o shop.Order
	for t.orders == 0 || at.Orders()+n < t.orders {
		if !pace.wait(ctx, n) {
			return n, nil
		}
		err := t.source.Next(&o)
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		// Not ctx: an interrupt lets the order that waits for the ring go in.
		seq, err := publish(context.WithoutCancel(ctx), p, &o)
		if err != nil {
			return n, fmt.Errorf("order %q of row %d: %w", o.Invoice, o.Row, err)
		}
		n++
		if t.taken != nil {
			if err := t.taken(&o, seq); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

// publish puts the command for o into the log. Its id makes it idempotent.
func publish(ctx context.Context, p *headrace.Producer, o *shop.Order) (int64, error) {
	m := headrace.Meta{ID: o.ID(), Key: o.Invoice}
	switch shop.KindOf(o.Invoice) {
	case shop.Cancel:
		return headrace.Publish(ctx, p, shop.CancelOrder{Order: *o}, m)
	case shop.Adjustment:
		return headrace.Publish(ctx, p, shop.AdjustLedger{Order: *o}, m)
	}
	return headrace.Publish(ctx, p, shop.PlaceOrder{Order: *o}, m)
}

// pacer lets orders go at the moments that a rate intends for them, whatever those before took: who is
// late catches up.
type pacer struct {
	rate  float64
	start time.Time
	timer *time.Timer
}

func newPacer(ratePerSecond float64) *pacer {
	p := &pacer{rate: ratePerSecond, start: time.Now()}
	if ratePerSecond > 0 {
		p.timer = time.NewTimer(0)
	}
	return p
}

// wait returns true when it is time for order n, from 0, and false when ctx has ended.
func (p *pacer) wait(ctx context.Context, n int64) bool {
	if ctx.Err() != nil {
		return false
	}
	if p.timer == nil {
		return true
	}
	left := time.Duration(float64(n)/p.rate*float64(time.Second)) - time.Since(p.start)
	if left <= 0 {
		return true
	}
	p.timer.Reset(left)
	select {
	case <-p.timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
