package explore

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"strings"
)

// Options of a search. The zero value is a default.
type Options struct {
	// Weak puts stores without a fence into a store buffer.
	Weak bool
	// Seed of the first run of Random; the next has the next.
	Seed uint64
	// Runs is how many runs Random makes, default 100, and All at most, default without limit.
	Runs int
	// MaxSteps of one run, default 20,000.
	MaxSteps int
}

// Result tells what a search did.
type Result struct {
	Runs     int
	Pruned   int  // of All: runs that were given up because they would repeat another
	Steps    int  // of all runs
	Longest  int  // steps of the longest run
	Complete bool // of All: nothing is left
}

// A Failure is a run that went wrong, and how to repeat it.
type Failure struct {
	Seed     uint64 // of Random
	Random   bool
	Schedule string // for Replay
	Trace    string // the run's last steps
	Err      error
}

func (f *Failure) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v\n", f.Err)
	if f.Random {
		fmt.Fprintf(&b, "seed %d\n", f.Seed)
	}
	fmt.Fprintf(&b, "schedule %q\nlast steps:\n%s", f.Schedule, f.Trace)
	return b.String()
}

// Unwrap returns what went wrong.
func (f *Failure) Unwrap() error { return f.Err }

func (o Options) run(c chooser) *Run {
	if o.MaxSteps == 0 {
		o.MaxSteps = 20_000
	}
	return &Run{weak: o.Weak, maxSteps: o.MaxSteps, chooser: c}
}

// Random runs the scenario in random orders, of three kinds in turn: any order at all; one that
// stays with a goroutine most of the time; and priorities that change at a few random moments
// (Burckhardt, Kothari, Musuvathi, Nagarakatte: A Randomized Scheduler with Probabilistic Guarantees
// of Finding Bugs, 2010). The error is a *Failure.
func Random(o Options, scenario func(*Run)) (Result, error) {
	if o.Runs == 0 {
		o.Runs = 100
	}
	var res Result
	for i := range o.Runs {
		seed := o.Seed + uint64(i)
		r := o.run(newRandom(seed))
		err := r.execute(scenario)
		res.count(r)
		if err != nil {
			return res, o.failure(r, scenario, &Failure{Seed: seed, Random: true, Err: err})
		}
	}
	return res, nil
}

// All runs the scenario in all orders that differ. The error is a *Failure.
func All(o Options, scenario func(*Run)) (Result, error) {
	var res Result
	d := &depthFirst{}
	for o.Runs == 0 || res.Runs < o.Runs {
		d.begin()
		r := o.run(d)
		err := r.execute(scenario)
		res.count(r)
		if r.pruned {
			res.Pruned++
		}
		if err != nil {
			return res, o.failure(r, scenario, &Failure{Err: err})
		}
		if !d.advance() {
			res.Complete = true
			break
		}
	}
	return res, nil
}

// Replay repeats the run of a Failure. The scenario and the options have to be the same.
func Replay(o Options, schedule string, scenario func(*Run)) error {
	order, err := parseSchedule(schedule)
	if err != nil {
		return err
	}
	r := o.run(&replay{order: order})
	err = r.execute(scenario)
	if err == nil {
		return nil
	}
	return o.failure(r, scenario, &Failure{Err: err})
}

func (res *Result) count(r *Run) {
	res.Runs++
	res.Steps += r.steps
	res.Longest = max(res.Longest, r.steps)
}

// failure completes f by repeating the run with a trace.
func (o Options) failure(r *Run, scenario func(*Run), f *Failure) error {
	f.Schedule = schedule(r.order)
	again := o.run(&replay{order: r.order})
	again.trace = &trace{}
	if err := again.execute(scenario); err == nil {
		f.Trace = "the run cannot be repeated: the scenario depends on more than the order"
		return f
	}
	f.Trace = again.trace.text(again, 200)
	return f
}

// random chooses by chance.
type random struct {
	rng      *rand.Rand
	mode     int
	priority [2 * bufferOf]uint64 // 0: not drawn yet
	change   map[int]bool
	lowest   uint64
}

// newRandom depends on the seed alone, not on how long the runs before were: a run is repeated by its seed.
func newRandom(seed uint64) *random {
	c := &random{rng: rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15)), mode: int(seed % 3), lowest: 1 << 20}
	if c.mode == 2 {
		c.change = map[int]bool{}
		steps := 50 << c.rng.IntN(6) // nobody knows yet how long the run will be
		for range 1 + c.rng.IntN(4) {
			c.change[c.rng.IntN(steps)] = true
		}
	}
	return c
}

func (c *random) pick(_ *Run, n int) int { return c.rng.IntN(n) }

func (c *random) spun(a actor) { c.lower(a) }

func (c *random) lower(a actor) {
	c.lowest--
	c.priority[a] = c.lowest
}

func (c *random) next(r *Run, enabled uint64) (actor, bool) {
	switch c.mode {
	case 1:
		if cur := r.cur; cur != nil && enabled&cur.id.bit() != 0 && c.rng.IntN(8) > 0 {
			return cur.id, true
		}
	case 2:
		best := c.best(enabled)
		if c.change[r.steps] {
			c.lower(best)
			best = c.best(enabled)
		}
		return best, true
	}
	for n := c.rng.IntN(bits.OnesCount64(enabled)); n > 0; n-- {
		enabled &= enabled - 1
	}
	return actor(bits.TrailingZeros64(enabled)), true
}

func (c *random) best(enabled uint64) (best actor) {
	best = -1
	for ; enabled != 0; enabled &= enabled - 1 {
		a := actor(bits.TrailingZeros64(enabled))
		if c.priority[a] == 0 {
			c.priority[a] = 1<<20 + c.rng.Uint64N(1<<40)
		}
		if best < 0 || c.priority[a] > c.priority[best] {
			best = a
		}
	}
	return best
}
