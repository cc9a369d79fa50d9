package main

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/headrace/headrace/cmd/demo/internal/screen"
	"github.com/headrace/headrace/internal/failpoint"
)

// shopTotals is what a campaign comes to, over all of its shops.
type shopTotals struct {
	o       tortureOptions
	began   time.Time
	shops   int      // 0: the only one
	deck    []string // places and moments to kill at that come next
	byPlace map[string]*struck

	cycles, kills, early int64
	acknowledged         int64
	proofs, snapshots    int // snapshots held against the log, in all proofs
	found                proven
	hashes               []string
}

// struck is how often a child was to die at a place, and did.
type struck struct{ planned, hit int64 }

// aMoment is the place of a kill that comes at some time, wherever the child is.
const aMoment = "a moment"

// draw takes the next card of the deck: each place of the program, if this build has them, and some moments. So no place
// waits for long for its turn.
func (t *shopTotals) draw(rng *rand.Rand) string {
	if len(t.deck) == 0 {
		t.deck = newDeck()
		rng.Shuffle(len(t.deck), func(i, j int) { t.deck[i], t.deck[j] = t.deck[j], t.deck[i] })
	}
	next := t.deck[0]
	t.deck = t.deck[1:]
	return next
}

// place is where a child is to die.
func (p killPlan) place() string {
	if p.failpoint == "" {
		return aMoment
	}
	place, _, _ := strings.Cut(p.failpoint, ":")
	return place
}

// moments is how many cards of a deck are kills that come at any time.
const moments = 3

func deckSize() int { return len(newDeck()) }

func newDeck() (deck []string) {
	for range moments {
		deck = append(deck, aMoment)
	}
	if failpoint.Enabled {
		for _, place := range failpoint.Places() {
			deck = append(deck, string(place))
		}
	}
	return deck
}

// died counts a life.
func (t *shopTotals) died(plan killPlan, l life) {
	at := t.byPlace[plan.place()]
	if at == nil {
		at = new(struck)
		t.byPlace[plan.place()] = at
	}
	at.planned++
	switch {
	case l.struck || plan.failpoint == "" && l.killed:
		at.hit++
	case plan.failpoint != "":
		t.deck = append(t.deck, plan.place()) // its turn is still to come
	}
}

// add takes in what a shop has left.
func (t *shopTotals) add(c *shopCampaign, found proven) {
	t.kills += c.kills
	t.early += c.early
	t.acknowledged += int64(len(c.acks.all))
	t.found.Events += found.Events
	t.found.Orders += found.Orders
	t.found.Old += found.Old
	t.found.Charges += found.Charges
	t.found.DeadLetters += found.DeadLetters
	t.found.Samples += found.Samples
	t.hashes = append(t.hashes, found.Hash)
}

func (t *shopTotals) print(s streams) error {
	var table screen.Table
	row := func(name string, n int64) { table.Row(name, screen.Count(n)) }
	row("cycles", t.cycles)
	if t.shops > 0 {
		row("shops", int64(t.shops))
	}
	row("kills", t.kills)
	row("while it recovered", t.early)
	missed := int64(0)
	for _, place := range slices.Sorted(maps.Keys(t.byPlace)) {
		at := t.byPlace[place]
		row("at "+place, at.hit)
		missed += at.planned - at.hit
	}
	if missed > 0 {
		row("ended before", missed)
	}
	table.Gap()
	row("acknowledged", t.acknowledged)
	row("events", t.found.Events)
	row("orders", int64(t.found.Orders))
	row("of version 1", int64(t.found.Old))
	row("charges", int64(t.found.Charges))
	row("dead letters", int64(t.found.DeadLetters))
	row("states seen live", int64(t.found.Samples))
	row("snapshots held against the log", int64(t.snapshots))
	row("proofs", int64(t.proofs))
	_, err := fmt.Fprintf(s.out, "%s\n  The ten invariants hold (%s, mode %s): %s, seed %d.\n  fulfilment %s\n",
		table.String(), t.o.saga, t.o.durability, screen.Clock(time.Since(t.began)), t.o.seed, strings.Join(t.hashes, "\n             "))
	return err
}
