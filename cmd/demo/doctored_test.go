package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/vmihailenco/msgpack/v5"

	"github.com/headrace/headrace/cmd/demo/internal/fulfil"
	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/handlers"
	"github.com/headrace/headrace/journal"
)

// doctored is the log of a shop, to be changed event by event and written anew. Every event keeps its sequence.
type doctored struct {
	t      *testing.T
	events []*doctoredEvent
	types  map[string]uint16
	proof  proof
	acks   []ack
}

type doctoredEvent struct {
	journal.Record
	name    string // of its type
	h       event.Header
	payload []byte
	data    map[string]any // in place of payload, of an event of the fulfilment
}

// loadDoctored reads the log of a shop in dir.
func loadDoctored(t *testing.T, dir string) *doctored {
	d := &doctored{t: t, types: map[string]uint16{}}
	names := map[uint16]string{}
	for _, rec := range records(t, dir) {
		v, err := event.Parse(rec.Body)
		require.NoError(t, err)
		e := &doctoredEvent{Record: rec, h: v.Header(), payload: v.Payload()}
		if rec.Type == 1 {
			var assigned struct {
				ID   uint16 `msgpack:"id"`
				Name string `msgpack:"name"`
			}
			require.NoError(t, msgpack.Unmarshal(v.Payload(), &assigned))
			names[assigned.ID] = assigned.Name
			d.types[assigned.Name] = assigned.ID
		}
		e.name = names[rec.Type]
		if rec.Type == 7 { // in every log
			e.name = handlers.FailedName
		}
		if code := e.payload[0]; rec.Type >= handlers.FirstUserType && code&0xf0 == 0x80 { // a map
			require.NoError(t, msgpack.Unmarshal(e.payload, &e.data))
		}
		d.events = append(d.events, e)
	}
	return d
}

// first returns the first event of a type behind another one that is as it should be.
func (d *doctored) first(name string, behind *doctoredEvent, is func(*doctoredEvent) bool) *doctoredEvent {
	for _, e := range d.events {
		if e.name == name && (behind == nil || e.Sequence > behind.Sequence) && (is == nil || is(e)) {
			return e
		}
	}
	require.Fail(d.t, "no such event", name)
	return nil
}

// has tells whether there is an event of a type about an order.
func (d *doctored) has(name, order string) bool {
	return slices.ContainsFunc(d.events, func(e *doctoredEvent) bool { return e.name == name && e.h.Key == order })
}

// completed returns the first event of a type of an order to which nothing has gone wrong.
func (d *doctored) completed(name string) *doctoredEvent {
	return d.first(name, nil, func(e *doctoredEvent) bool { return d.has("shop.order-completed", e.h.Key) })
}

func (d *doctored) last() *doctoredEvent { return d.events[len(d.events)-1] }

// add adds n to an amount, or another number.
func (e *doctoredEvent) add(field string, n int64) {
	if v := reflect.ValueOf(e.data[field]); v.CanUint() {
		e.data[field] = int64(v.Uint()) + n
	} else {
		e.data[field] = v.Int() + n
	}
}

// of makes it an event of another order.
func (e *doctoredEvent) of(order string) { e.h.Key, e.data["order"] = order, order }

func (e *doctoredEvent) item(i int) map[string]any {
	return e.data["items"].([]any)[i].(map[string]any)
}

// write writes the log to a directory that has everything else of from.
func (d *doctored) write(from string) (dir string) {
	dir = filepath.Join(d.t.TempDir(), "d")
	require.NoError(d.t, os.CopyFS(dir, os.DirFS(from)))
	for _, path := range append(segments(d.t, dir), filepath.Join(dir, "PROGRESS"), filepath.Join(dir, "LOCK")) {
		require.NoError(d.t, os.RemoveAll(path))
	}
	j, err := journal.Open(dir, journal.Options{SegmentBytes: shopSegmentBytes, Durability: journal.None()})
	require.NoError(d.t, err)
	for _, e := range d.events {
		body, err := event.AppendHeader(nil, &e.h)
		require.NoError(d.t, err)
		payload := e.payload
		if e.data != nil {
			payload, err = msgpack.Marshal(e.data)
			require.NoError(d.t, err)
		}
		seq, err := j.Append(journal.Entry{Type: e.Type, Time: e.Time, Body: append(body, payload...)})
		require.NoError(d.t, err)
		require.Equal(d.t, e.Sequence, seq)
	}
	require.NoError(d.t, j.Close())
	var acks []byte
	for _, a := range d.acks {
		acks = a.appendLine(acks)
	}
	if acks != nil {
		require.NoError(d.t, os.WriteFile(filepath.Join(dir, acksFile), acks, 0o600))
	}
	return dir
}

// A log in which one thing is wrong breaks the invariant that says so, and none of the other nine.
func TestInvariants_DoctoredLog_OneIsBroken(t *testing.T) {
	all := []error{errSequences, errStock, errPayments, errCompensations, errMoney, errCausation, errState, errAsOf, errVersions, errPoison}
	const poison = 8
	dir := filepath.Join(t.TempDir(), "d")
	good(t, "run", "--shop", "--dir", dir, "--orders", "60", "--poison", fmt.Sprint(poison), "--durability", "none")
	dead := func(d *doctored) *doctoredEvent { return d.first(handlers.FailedName, nil, nil) }

	cases := map[string]struct {
		want   error
		says   string
		doctor func(d *doctored)
	}{
		"as it was": {nil, "", func(*doctored) {}},
		"an acknowledged event is gone": {errSequences, "", func(d *doctored) {
			d.acks = append(d.acks, ack{d.last().Sequence + 1, event.IDFromName("gone"), 1, true})
		}},
		"another event than was acknowledged": {errSequences, "", func(d *doctored) {
			d.acks = append(d.acks, ack{d.last().Sequence, event.IDFromName("another"), 1, true})
		}},
		"more reserved than on hand": {errStock, "on hand", func(d *doctored) {
			d.first("shop.stock-reserved", nil, nil).item(0)["quantity"] = 1_000_000
		}},
		"other goods leave than were reserved": {errStock, "other items are reserved", func(d *doctored) {
			d.first("shop.order-shipped", nil, nil).item(0)["quantity"] = 1_000_000
		}},
		"other goods are put back than were reserved": {errStock, "other items are reserved", func(d *doctored) {
			d.first("shop.stock-released", nil, nil).item(0)["quantity"] = 1_000_000
		}},
		"another amount is charged": {errPayments, "are charged, its amount is", func(d *doctored) {
			d.first("shop.charge-card", nil, nil).add("amount", 1)
		}},
		"paid twice": {errPayments, "paid a second time", func(d *doctored) {
			var once *doctoredEvent // whose order has not ended when the next one is paid
			for _, e := range d.events {
				switch {
				case e.name == "shop.payment-taken" && once != nil:
					e.of(once.h.Key)
					return
				case e.name == "shop.payment-taken" && d.has("shop.order-completed", e.h.Key):
					once = e
				case e.name == "shop.order-completed" && once != nil && e.h.Key == once.h.Key:
					once = nil
				}
			}
			require.Fail(d.t, "every order ends before the next one is paid")
		}},
		"completed twice": {errPayments, "it has ended", func(d *doctored) {
			once := d.first("shop.order-completed", nil, nil)
			d.first("shop.order-completed", once, nil).of(once.h.Key)
		}},
		"paid and never reserved": {errPayments, "and not reserved", func(d *doctored) {
			e := d.first("shop.stock-reserved", nil, nil)
			e.Type = d.types["shop.reserve-stock"]
		}},
		"half of the money comes back": {errCompensations, "refunded of", func(d *doctored) {
			d.first("shop.payment-refunded", nil, nil).add("amount", -1)
		}},
		"released before the money is back": {errCompensations, "before it is refunded", func(d *doctored) {
			e := d.first("shop.payment-refunded", nil, nil)
			e.Type = d.types["shop.refund-card"]
		}},
		"cancelled, and nothing has failed": {errCompensations, "cancelled, and", func(d *doctored) {
			e := d.first("shop.order-completed", nil, nil)
			e.Type = d.types["shop.order-cancelled"]
		}},
		"less is paid than the gateway took": {errMoney, "the gateway's balance is", func(d *doctored) {
			d.completed("shop.payment-taken").add("amount", -1)
		}},
		"an id stands twice": {errCausation, "it has the id of event", func(d *doctored) {
			e := d.last()
			e.h.ID, e.h.HasOrigin = d.events[len(d.events)-2].h.ID, false
		}},
		"a cause that there is not": {errCausation, "does not stand before it", func(d *doctored) {
			d.last().h.CausationID = event.IDFromName("nothing")
		}},
		"another conversation than its cause": {errCausation, "it is of conversation", func(d *doctored) {
			d.last().h.CorrelationID = event.IDFromName("others")
		}},
		"an id that does not derive": {errCausation, "does not derive", func(d *doctored) {
			d.last().h.ID = event.IDFromName("made up")
		}},
		"the lane at rest was another": {errState, "the logic lane was", func(d *doctored) {
			d.proof.samples = append(d.proof.samples, sample{d.last().Sequence, sampleLane, "0"})
		}},
		"another state was seen": {errAsOf, "live, and is", func(d *doctored) {
			d.proof.samples = append(d.proof.samples, sample{d.last().Sequence - 10, sampleState, "0"})
		}},
		"a read model that came later had another": {errAsOf, "late at sequence", func(d *doctored) {
			d.proof.samples = append(d.proof.samples, sample{d.last().Sequence - 10, sampleLate, "0"})
		}},
		"another order is opened than was placed": {errVersions, "placed was", func(d *doctored) {
			d.first("shop.order-opened", nil, nil).add("amount", 1)
		}},
		"a review of what was there before": {errVersions, "before the version that asks", func(d *doctored) {
			d.proof.upgraded = d.last().Sequence
		}},
		"no review of what came since": {errVersions, "nobody was asked for a review", func(d *doctored) {
			d.first("shop.review-asked", nil, nil).Type = d.types["shop.low-stock"]
		}},
		"a dead letter goes on": {errPoison, "it goes on", func(d *doctored) {
			d.first("shop.ship-order", dead(d), nil).of(dead(d).h.Key)
		}},
		"a dead letter that is no poison": {errPoison, "and no poison", func(d *doctored) {
			for fulfil.Chance("poison/"+dead(d).h.Key, d.proof.poison) == 0 {
				d.proof.poison++
			}
		}},
	}
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		t.Run(name, func(t *testing.T) {
			c := cases[name]
			how, _, err := loadSetup(dir)
			require.NoError(t, err)
			d := loadDoctored(t, dir)
			d.proof = proof{how: how, atRest: true, poison: poison, processors: []int{1}}
			c.doctor(d)
			d.proof.dir = d.write(dir)
			if d.proof.upgraded != 0 {
				require.NoError(t, os.WriteFile(filepath.Join(d.proof.dir, upgradeFile), fmt.Append(nil, d.proof.upgraded), 0o600))
			}
			_, err = d.proof.prove()
			for _, one := range all {
				require.Equal(t, one == c.want, errors.Is(err, one), "%v\n%v", one, err)
			}
			if c.want == nil {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.says)
			}
		})
	}
	for _, one := range all {
		require.True(t, slices.ContainsFunc(slices.Collect(maps.Keys(cases)), func(name string) bool { return cases[name].want == one }), one)
	}
}
