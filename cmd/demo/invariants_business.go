package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/headrace/headrace/cmd/demo/internal/fulfil"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
)

// checkStock holds an event to errStock. It counts by itself, from quantities in events alone.
func (in *inspector) checkStock(c *handlers.Context, e fulfil.Event) error {
	touch := func(stock string, fn func(*shelf)) error {
		s := in.stock[stock]
		if s == nil {
			n := fulfil.NewWarehouse().Article(stock).Initial
			s = &shelf{initial: n, onHand: n}
			in.stock[stock] = s
		}
		fn(s)
		switch {
		case s.onHand < 0 || s.reserved < 0:
			return broken(errStock, c, e.OrderKey(), "article %s: %d on hand, %d reserved", stock, s.onHand, s.reserved)
		case s.onHand+s.reserved+s.shipped != s.initial+s.received:
			return broken(errStock, c, e.OrderKey(), "article %s: %d on hand, %d reserved, %d shipped of %d and %d received", stock,
				s.onHand, s.reserved, s.shipped, s.initial, s.received)
		}
		return nil
	}
	each := func(items []fulfil.Item, fn func(s *shelf, n int64)) error {
		for _, i := range items {
			if err := touch(i.Stock, func(s *shelf) { fn(s, i.Quantity) }); err != nil {
				return err
			}
		}
		return nil
	}
	held := func(order string, items []fulfil.Item) error {
		if l := in.orders[order]; l == nil || !slices.Equal(l.items, items) {
			return broken(errStock, c, order, "%v leave the shelf, and other items are reserved", items)
		}
		return nil
	}
	switch e := e.(type) {
	case fulfil.StockReserved:
		if l := in.orders[e.Order]; l != nil {
			l.items = e.Items
		}
		return each(e.Items, func(s *shelf, n int64) { s.onHand -= n; s.reserved += n })
	case fulfil.StockReleased:
		if err := held(e.Order, e.Items); err != nil {
			return err
		}
		return each(e.Items, func(s *shelf, n int64) { s.reserved -= n; s.onHand += n })
	case fulfil.OrderShipped:
		if err := held(e.Order, e.Items); err != nil {
			return err
		}
		return each(e.Items, func(s *shelf, n int64) { s.reserved -= n; s.shipped += n })
	case fulfil.GoodsReceived:
		return touch(e.Stock, func(s *shelf) { s.received += e.Quantity; s.onHand += e.Quantity })
	}
	return nil
}

// once notes a step that happens once, and not before another one.
func once(c *handlers.Context, invariant error, l *course, step *int64, before int64, what, needs string) error {
	switch {
	case *step != 0:
		return broken(invariant, c, l.order, "%s a second time, after event %d", what, *step)
	case before == 0:
		return broken(invariant, c, l.order, "%s and not %s", what, needs)
	}
	*step = c.Sequence()
	return nil
}

// checkPayment holds an event to errPayments.
func (in *inspector) checkPayment(c *handlers.Context, l *course, e fulfil.Event) error {
	if l.ended != 0 {
		return broken(errPayments, c, l.order, "it has ended at event %d", l.ended)
	}
	switch e := e.(type) {
	case fulfil.StockReserved:
		return once(c, errPayments, l, &l.reserved, l.opened, "reserved", "opened")
	case fulfil.ReservationFailed:
		return once(c, errPayments, l, &l.refused, l.opened, "refused", "opened")
	case fulfil.ChargeCard:
		in.asked("charge", chargeID, c, e.Order, e.AmountMilli)
		if e.AmountMilli != l.amount {
			return broken(errPayments, c, l.order, "%d are charged, its amount is %d", e.AmountMilli, l.amount)
		}
		return once(c, errPayments, l, &l.charged, l.reserved, "charged", "reserved")
	case fulfil.PaymentTaken:
		in.paid += e.AmountMilli
		l.paidMilli += e.AmountMilli
		if l.declined != 0 {
			return broken(errPayments, c, l.order, "paid after it was declined at event %d", l.declined)
		}
		if l.released != 0 {
			return broken(errPayments, c, l.order, "paid after its goods were released at event %d", l.released)
		}
		return once(c, errPayments, l, &l.paid, l.charged, "paid", "charged")
	case fulfil.PaymentDeclined:
		return once(c, errPayments, l, &l.declined, l.charged, "declined", "charged")
	case fulfil.OrderShipped:
		if l.released != 0 {
			return broken(errPayments, c, l.order, "shipped after its goods were released at event %d", l.released)
		}
		return once(c, errPayments, l, &l.shipped, l.paid, "shipped", "paid")
	case fulfil.NotificationSent:
		return once(c, errPayments, l, &l.mailed, l.shipped, "told of", "shipped")
	case fulfil.OrderCompleted:
		l.completed = true
		return once(c, errPayments, l, &l.ended, l.mailed, "completed", "told of")
	}
	return nil
}

// checkCompensation holds an event to errCompensations.
func (in *inspector) checkCompensation(c *handlers.Context, l *course, e fulfil.Event) error {
	switch e := e.(type) {
	case fulfil.ShippingFailed:
		return once(c, errCompensations, l, &l.failed, l.paid, "undeliverable", "paid")
	case fulfil.RefundCard:
		in.asked("refund", refundID, c, e.Order, e.AmountMilli)
		if l.released != 0 {
			return broken(errCompensations, c, l.order, "to be refunded after its goods were released at event %d", l.released)
		}
	case fulfil.PaymentRefunded:
		in.back += e.AmountMilli
		l.refundedMilli += e.AmountMilli
		if l.released != 0 {
			return broken(errCompensations, c, l.order, "refunded after its goods were released at event %d", l.released)
		}
		if e.AmountMilli != l.paidMilli {
			return broken(errCompensations, c, l.order, "%d refunded of %d paid", e.AmountMilli, l.paidMilli)
		}
		return once(c, errCompensations, l, &l.refunded, l.failed, "refunded", "undeliverable")
	case fulfil.ReleaseStock:
		if l.paid != 0 && l.refunded == 0 {
			return broken(errCompensations, c, l.order, "to be released before it is refunded")
		}
	case fulfil.StockReleased:
		if l.paid != 0 && l.refunded == 0 {
			return broken(errCompensations, c, l.order, "released before it is refunded")
		}
		if l.shipped != 0 {
			return broken(errCompensations, c, l.order, "released after it was shipped at event %d", l.shipped)
		}
		return once(c, errCompensations, l, &l.released, l.reserved, "released", "reserved")
	case fulfil.OrderCancelled:
		switch {
		case l.reserved != 0 && l.released == 0:
			return broken(errCompensations, c, l.order, "cancelled, and its goods are not released")
		case l.paid != 0 && l.refunded == 0:
			return broken(errCompensations, c, l.order, "cancelled, and it is not refunded")
		case l.refused == 0 && l.declined == 0 && l.failed == 0:
			return broken(errCompensations, c, l.order, "cancelled, and nothing has failed")
		}
		return once(c, errCompensations, l, &l.ended, l.opened, "cancelled", "opened")
	}
	return nil
}

// checkEnds holds a log at rest to the end of errPayments: each order has ended; and of errVersions.
func (in *inspector) checkEnds(parked []handlers.Parked) error {
	if !in.proof.atRest {
		return nil
	}
	held := map[string]bool{}
	for _, p := range parked {
		held[p.Key] = true
	}
	var errs []error
	for key, l := range in.orders {
		if l.ended == 0 && !held[key] {
			errs = append(errs, fmt.Errorf("%w: order %s, opened by event %d, has not ended", errPayments, key, l.opened))
		}
	}
	for key, l := range in.orders {
		if l.completed && l.ended > in.proof.upgraded && l.reviewed == 0 {
			errs = append(errs, fmt.Errorf("%w: order %s, completed by event %d, and nobody was asked for a review", errVersions, key, l.ended))
		}
	}
	for key, o := range in.placed {
		errs = append(errs, fmt.Errorf("%w: order %s of row %d is accepted and was never opened", errPayments, key, o.Row))
	}
	return firstFew(errs)
}

// firstFew joins a few of many errors.
func firstFew(errs []error) error {
	const most = 5
	if n := len(errs); n > most {
		errs = append(errs[:most:most], fmt.Errorf("and %d more", n-most))
	}
	return errors.Join(errs...)
}

// asked notes what a party will be asked for because of a command.
func (in *inspector) asked(op, effect string, c *handlers.Context, order string, milli int64) {
	key := event.DeriveID(event.HandlerID(effect), c.Event().ID(), ^uint32(0)).String()
	in.keys[key] = ledgerEntry{Op: op, Key: key, Order: order, AmountMilli: milli}
}

// checkMoney holds log, read model and the gateway's ledger to errMoney.
func (p *proof) checkMoney(in *inspector, a *app) error {
	entries, _, err := readLedger(ledgerPath(p.dir, gatewayParty))
	if err != nil {
		return fmt.Errorf("%w: %w", errMoney, err)
	}
	var errs []error
	fault := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("%w: %s", errMoney, fmt.Sprintf(format, args...)))
	}
	var balance int64
	keys := map[string]bool{}
	taken := map[string]map[string]ledgerEntry{"charge": {}, "refund": {}} // by order
	for _, e := range entries {
		switch want, ok := in.keys[e.Key]; {
		case keys[e.Key]:
			fault("order %s: the ledger has two entries with key %s", e.Order, e.Key)
		case !ok:
			fault("order %s: a %s of %d with key %s, for which no event of the log asks", e.Order, e.Op, e.AmountMilli, e.Key)
		case want.Op != e.Op || want.Order != e.Order || want.AmountMilli != e.AmountMilli:
			fault("order %s: the ledger has %+v, the log asks for %+v", e.Order, e, want)
		}
		keys[e.Key] = true
		if e.Declined != "" {
			continue
		}
		if _, twice := taken[e.Op][e.Order]; twice {
			fault("order %s: a second %s", e.Order, e.Op)
		}
		taken[e.Op][e.Order] = e
		if e.Op == "charge" {
			in.found.Charges++
			balance += e.AmountMilli
		} else {
			balance -= e.AmountMilli
		}
	}
	for key, l := range in.orders {
		if _, ok := taken["charge"][key]; ok != (l.paid != 0) && (p.atRest || l.paid != 0) {
			fault("order %s: paid at event %d, charged in the ledger: %v", key, l.paid, ok)
		}
		if _, ok := taken["refund"][key]; ok != (l.refunded != 0) && (p.atRest || l.refunded != 0) {
			fault("order %s: refunded at event %d, refunded in the ledger: %v", key, l.refunded, ok)
		}
	}
	var revenue int64
	a.shop.state.View(func(s *fulfil.State, _ int64) { revenue = s.RevenueMilli() })
	if revenue != in.paid-in.back {
		fault("the dashboard has a revenue of %d, the log of %d paid and %d refunded", revenue, in.paid, in.back)
	}
	if p.atRest && balance != revenue {
		fault("the gateway's balance is %d, the revenue %d", balance, revenue)
	}
	return firstFew(errs)
}

// outcome notes dead letters.
func (in *inspector) outcome(c *handlers.Context, f handlers.Failed) error {
	if f.Outcome != handlers.OutcomeDead {
		return nil
	}
	in.found.DeadLetters++
	if l := in.orders[c.Key()]; l != nil {
		l.dead, l.redriven = c.Sequence(), 0
	}
	if p := in.proof.poison; p > 0 && fulfil.Chance("poison/"+c.Key(), p) != 0 {
		return broken(errPoison, c, c.Key(), "it is a dead letter of %s and no poison: %s", f.Handler, f.Message)
	}
	return nil
}

func (in *inspector) redelivered(c *handlers.Context, r handlers.Redeliver) error {
	if l := in.orders[c.Key()]; l != nil && l.dead != 0 {
		l.redriven = c.Sequence()
	}
	return nil
}

// checkParked holds an event of an order to errPoison: while its charge is a dead letter nothing comes of it.
func (in *inspector) checkParked(c *handlers.Context, l *course, _ fulfil.Event) error {
	if l.dead != 0 && l.redriven == 0 {
		return broken(errPoison, c, l.order, "it goes on, and is a dead letter since event %d", l.dead)
	}
	return nil
}

// checkPoison holds the end of a log to errPoison: what is parked is parked alone, and what was redriven has ended.
func (in *inspector) checkPoison(parked []handlers.Parked) error {
	var errs []error
	held := map[string]bool{}
	for _, p := range parked {
		held[p.Key] = true
	}
	for key, l := range in.orders {
		switch {
		case l.dead != 0 && l.redriven == 0 && !held[key]:
			errs = append(errs, fmt.Errorf("%w: order %s is a dead letter since event %d, and nobody holds it", errPoison, key, l.dead))
		case in.proof.atRest && l.redriven != 0 && l.ended == 0:
			errs = append(errs, fmt.Errorf("%w: order %s was redriven at event %d and has not ended", errPoison, key, l.redriven))
		case in.proof.atRest && held[key] && l.dead == 0:
			errs = append(errs, fmt.Errorf("%w: order %s is held, and is no dead letter", errPoison, key))
		}
	}
	return firstFew(errs)
}
