package explore

import (
	"fmt"
	"math/bits"
	"slices"
)

// depthFirst goes through all orders that differ. Its stack is the run of now: for each step, who
// was chosen, who could have been, and who has to be tried there too.
type depthFirst struct {
	stack []node
	depth int // in the stack
	fresh int // stack[fresh] is the first that differs from the run before

	// Of the run of now:
	sleep   uint64 // of the next node
	steps   []taken
	clocks  [2 * bufferOf]clock
	history map[uintptr][]int32 // steps that touched an address
	found   []int32             // scratch
}

// A node is a place in a run where an actor was chosen, or a number picked.
type node struct {
	enabled   uint64
	chosen    actor
	backtrack uint64 // to be tried
	done      uint64 // tried, and everything behind them
	sleep     uint64 // not to be tried: they would lead to what was seen elsewhere
	options   int    // of a pick; 0 for a choice of actors
	picked    int
}

// taken is a step that was made. Steps are numbered from 1.
type taken struct {
	node  int
	who   actor
	kind  Kind
	touch []access
	clock clock
}

func (d *depthFirst) begin() {
	d.depth, d.sleep = 0, 0
	d.steps = d.steps[:0]
	d.clocks = [2 * bufferOf]clock{}
	d.history = map[uintptr][]int32{}
}

func (d *depthFirst) spun(actor) {}

func (d *depthFirst) clockOf(a actor) *clock {
	c := d.clocks[a]
	return &c
}

// started notes that a goroutine begins after what its parent has done.
func (d *depthFirst) started(_ *Run, parent, child actor) { d.clocks[child] = d.clocks[parent] }

func (d *depthFirst) pick(_ *Run, n int) int {
	if d.depth == len(d.stack) {
		d.stack = append(d.stack, node{options: n})
	}
	nd := &d.stack[d.depth]
	if nd.options != n {
		panic("explore: the scenario depends on more than the order")
	}
	d.depth++
	return nd.picked
}

func (d *depthFirst) next(r *Run, enabled uint64) (actor, bool) {
	if d.depth == len(d.stack) {
		awake := enabled &^ d.sleep
		if awake == 0 {
			return 0, false
		}
		nd := node{enabled: enabled, sleep: d.sleep}
		nd.chosen = actor(bits.TrailingZeros64(awake))
		if r.cur != nil && awake&r.cur.id.bit() != 0 {
			nd.chosen = r.cur.id
		}
		nd.backtrack = nd.chosen.bit()
		d.stack = append(d.stack, nd)
	}
	nd := &d.stack[d.depth]
	if nd.options != 0 || nd.enabled != enabled {
		panic(fmt.Sprintf("explore: the scenario depends on more than the order: step %d, enabled %b, before %b", len(d.steps)+1, enabled, nd.enabled))
	}
	a := nd.chosen
	o := r.opOf(a)
	d.take(r, a, o)
	d.sleep = 0
	for rest := (nd.sleep | nd.done) &^ a.bit(); rest != 0; rest &= rest - 1 {
		q := actor(bits.TrailingZeros64(rest))
		if enabled&q.bit() != 0 && !o.conflicts(r.opOf(q)) {
			d.sleep |= q.bit()
		}
	}
	d.depth++
	return a, true
}

// take adds the step o of a to the run, and notes where it could have come sooner.
func (d *depthFirst) take(r *Run, a actor, o *op) {
	c := &d.clocks[a]
	switch {
	case a >= bufferOf: // after it was put there
		c.join(r.threads[a-bufferOf].stores[0].clock)
	case o.kind.fenced(): // the buffer is empty
		c.join(&d.clocks[a+bufferOf])
	}
	if d.depth >= d.fresh {
		d.races(a, o.kind, o.touches, *c)
	}
	if o.kind == Drain { // only now: had the stores come later, it would not have had to wait for them
		c.join(&d.clocks[r.threads[a].drained.id+bufferOf])
	}
	number := int32(len(d.steps) + 1)
	d.steps = append(d.steps, taken{node: d.depth, who: a, kind: o.kind, touch: append([]access(nil), o.touches...)})
	for _, x := range o.touches {
		h := d.history[x.addr]
		for i := len(h) - 1; i >= 0; i-- {
			s := &d.steps[h[i]-1]
			write := s.writes(x.addr)
			if write || x.write {
				c.join(&s.clock)
			}
			if write {
				break
			}
		}
		d.history[x.addr] = append(h, number)
	}
	c[a] = number
	d.steps[number-1].clock = *c
}

func (t *taken) writes(addr uintptr) bool {
	for _, x := range t.touch {
		if x.addr == addr && x.write {
			return true
		}
	}
	return false
}

// races finds the steps that a step of a, which comes next and knows c, conflicts with, and would not
// have to come after if it did not; for each it has the other order tried.
func (d *depthFirst) races(a actor, kind Kind, touches []access, c clock) {
	d.found = d.found[:0]
	for _, x := range touches {
		h := d.history[x.addr]
		for i := len(h) - 1; i >= 0; i-- {
			s := &d.steps[h[i]-1]
			write := s.writes(x.addr)
			if write || x.write {
				if s.who != a && together(s.kind, kind) {
					d.found = append(d.found, h[i])
				}
				if write && c[s.who] >= h[i] {
					break // it comes after this one, and so after all before
				}
			}
		}
	}
	slices.Sort(d.found)
	d.found = slices.Compact(d.found)
	after := c // what it comes after in this run, found in all
	for _, n := range d.found {
		after.join(&d.steps[n-1].clock)
	}
	for i := len(d.found) - 1; i >= 0; i-- { // the last first: what comes before it is no race of ours
		n := d.found[i]
		s := &d.steps[n-1]
		if c[s.who] >= n {
			continue
		}
		d.reverse(n, a, &after)
		c.join(&s.clock)
	}
}

// together tells whether the later of two steps on the same memory could have been possible before
// the earlier.
func together(earlier, later Kind) bool {
	switch {
	case earlier == Unlock: // a Lock had to wait for it
		return false
	case earlier == Send && later == Recv:
		return false
	}
	return true
}

// reverse has an order tried in which a's step, which comes next and comes after what is in c, comes
// before the step with that number. What has to come before a's step, and whatever does not have to come
// after the other, is tried before it too; any of those that can be first will do (a source set:
// Abdulla, Aronis, Jonsson, Sagonas, POPL 2014).
func (d *depthFirst) reverse(number int32, a actor, c *clock) {
	e := &d.steps[number-1]
	nd := &d.stack[e.node]
	var first clock // of each actor, 0: it has none
	var initials, met uint64
	add := func(who actor, n int32, clk *clock) {
		if met&who.bit() != 0 {
			return
		}
		for rest := met; rest != 0; rest &= rest - 1 {
			w := bits.TrailingZeros64(rest)
			if clk[w] >= first[w] {
				met |= who.bit()
				first[who] = n
				return
			}
		}
		met |= who.bit()
		first[who] = n
		initials |= who.bit()
	}
	for n := number + 1; n <= int32(len(d.steps)); n++ {
		if s := &d.steps[n-1]; s.clock[e.who] < number {
			add(s.who, n, &s.clock)
		}
	}
	add(a, int32(len(d.steps)+1), c)
	switch {
	case initials&nd.backtrack != 0:
	case initials&a.bit()&nd.enabled != 0:
		nd.backtrack |= a.bit()
	case initials&nd.enabled != 0:
		initials &= nd.enabled
		nd.backtrack |= initials & -initials
	default:
		nd.backtrack |= nd.enabled
	}
}

// advance prepares the next run. It returns false when nothing is left.
func (d *depthFirst) advance() bool {
	for len(d.stack) > 0 {
		d.fresh = len(d.stack) - 1
		nd := &d.stack[d.fresh]
		if nd.options > 0 {
			if nd.picked++; nd.picked < nd.options {
				return true
			}
		} else {
			nd.done |= nd.chosen.bit()
			if rest := nd.backtrack &^ nd.done &^ nd.sleep; rest != 0 {
				nd.chosen = actor(bits.TrailingZeros64(rest))
				return true
			}
		}
		d.stack = d.stack[:d.fresh]
	}
	return false
}
