package ring

import (
	"math"
	"runtime"
	"sync"
	"time"

	"github.com/headrace/headrace/internal/atomic"
	"github.com/headrace/headrace/internal/block"
	"github.com/headrace/headrace/internal/cpu"
)

// WaitStrategy is how a goroutine waits for a sequence. The zero value means the default of the
// place where it stands; WaitSpin, WaitYield, WaitSleep, WaitPark and WaitAdaptive make the others.
//
//	strategy      costs while idle     wakes up in          for
//	WaitSpin      a core               well under 1 us      a core per waiter, to spare
//	WaitYield     a core, politely     about 1 us           cores that are shared now and then
//	WaitSleep     a timer now and      up to 1 ms           many that wait and nobody in a hurry;
//	              then, under 1 %                           never costs a publisher a wake-up
//	WaitPark      nothing              5 to 50 us           rings that are mostly idle
//	WaitAdaptive  nothing after a      under 1 us busy,     everything else
//	              few microseconds     5 to 50 us idle
//
// A WaitStrategy is a value without state; it may be shared.
type WaitStrategy struct {
	name     string
	spins    int   // polls with a spin-loop hint between them
	pause    int32 // hints per poll
	yields   int   // polls with runtime.Gosched between them
	parks    bool  // block when these are used up; else yield for ever
	adaptive bool  // spin only where a processor is free for it
	sleeps   bool  // sleep between polls when these are used up, longer and longer
}

const (
	// pollInterval is the time between two polls of a spinner. A poll takes the publisher's cache
	// line away, so that the publisher's next store misses; an interval of many stores makes that
	// rare, and the next batch large.
	pollInterval = 250 * time.Nanosecond
	// spinInterval is the same for those who spin because they want to know at once: half of it is added to the
	// latency of every event. From a busy publisher chase keeps them away.
	spinInterval = 25 * time.Nanosecond
	// expectAfter is how many polls a waiter makes before it also fetches the slot that it waits for, with
	// every poll. Then the slot's line comes beside the cursor's, not after it. In a busy stream nobody
	// waits for so long; there it would take lines from the publisher that writes them.
	expectAfter = 8
	forever     = math.MaxInt
)

// WaitSpin polls with a spin-loop hint and never gives up its processor. A spinner holds it until Go's
// scheduler takes it, 10 ms later: with more spinners than processors the ring crawls, and with as many
// every other goroutine of the process, the producer's too, may wait that long for its turn.
func WaitSpin() WaitStrategy {
	return WaitStrategy{name: "spin", spins: forever, pause: cpu.PausesFor(spinInterval)}
}

// WaitYield polls like WaitSpin for about 25 us, then lets other goroutines run between polls.
// It never blocks.
func WaitYield() WaitStrategy {
	return WaitStrategy{name: "yield", spins: 1000, pause: cpu.PausesFor(spinInterval)}
}

// WaitSleep polls and yields for a few microseconds, then sleeps between polls: 50 us at first,
// twice as long each time, up to 1 ms. Nobody has to wake it, so that not even the first publish
// after a pause costs more than a store; Close, Halt and Leave take up to a millisecond to be
// noticed.
func WaitSleep() WaitStrategy {
	return WaitStrategy{name: "sleep", spins: 8, pause: cpu.PausesFor(pollInterval), yields: 4, sleeps: true}
}

// WaitPark polls and yields for a few microseconds, then blocks until it is woken.
func WaitPark() WaitStrategy {
	return WaitStrategy{name: "park", spins: 4, pause: cpu.PausesFor(pollInterval), yields: 2, parks: true}
}

// WaitAdaptive is the default. It spins for about 2 us, but only while fewer goroutines spin
// than there are processors besides the waiter's own, and not at all on one; then it yields a
// few times, then it blocks until it is woken. While others spin it yields as often more as it would
// have polled, so that two sides that answer each other do not park where nobody else has work.
// A consumer that was woken within 64 us polls and yields for so long the next time: to be woken takes as
// long, so that costs no more.
func WaitAdaptive() WaitStrategy {
	return WaitStrategy{name: "adaptive", spins: 8, pause: cpu.PausesFor(pollInterval), yields: 4,
		parks: true, adaptive: true}
}

// String returns the strategy's name, "default" for the zero value.
func (w WaitStrategy) String() string {
	if w.name == "" {
		return "default"
	}
	return w.name
}

func (w WaitStrategy) orElse(other WaitStrategy) WaitStrategy {
	if w.name == "" {
		return other
	}
	return w
}

// spinners counts the goroutines of this process that spin adaptively; processors is GOMAXPROCS,
// which takes a lock to ask for and is looked up by whoever parks.
var spinners, processors struct {
	_ cpu.Pad
	n atomic.Int32
	_ cpu.Pad
}

func init() { noteProcessors() }

// began is the zero of nanotime, which goes by the clock that nobody sets.
var began = time.Now()

func now() int64 { return int64(time.Since(began)) }

// nanotime is t in the time of now, below never.
func nanotime(t time.Time) int64 { return min(int64(t.Sub(began)), never-1) }

func noteProcessors() {
	if n := int32(runtime.GOMAXPROCS(0)); processors.n.Load() != n {
		processors.n.Store(n)
	}
}

// chase makes a consumer that has caught up with a busy producer let it get ahead.
//
// Two goroutines that work next to each other in the ring take each other's cache lines away at
// every event. That is several times slower than one that publishes undisturbed and one that then
// reads what amounts to some thousand events, and which of the two happens is chance. So after a
// short batch the consumer rests before it looks again, and before a short one that follows too,
// longer each time, up to restMax, but only while at least one event in slowEvent keeps coming: of a
// slower stream, or in a round trip, nobody is disturbed and nothing is delayed; nor is the first event
// after a break. And a batch is long enough at an eighth of the ring, or the producer would find it full.
type chase struct {
	from   int64 // cursor at the last rest
	enough int64 // events in a batch that is long enough
	pauses int64
	waited bool // nothing came during the last rest, and the consumer waits or has waited
}

const (
	restMax     = 16 * time.Microsecond
	slowEvent   = 100 * time.Nanosecond
	batchEnough = 4096
)

var chaseLimits = sync.OnceValue(func() (l struct{ most, slow int64 }) {
	l.most, l.slow = int64(cpu.PausesFor(restMax)), int64(cpu.PausesFor(slowEvent))
	return l
})

func newChase(first, slots int64) chase {
	return chase{from: first - 1, enough: min(batchEnough, slots/8)}
}

// few tells, while the stream is busy, whether n events are so few that the consumer should rest before it reads them. One that
// reads faster than the producer writes would else come ever nearer, in batches that are each a part of the
// last, and in the end read what is just being written. Who has waited for them reads them at once.
func (c *chase) few(n int64) bool {
	if n <= 0 {
		return false
	}
	waited := c.waited
	c.waited = false
	return n < c.enough && !waited
}

// rest is called when nothing is readable after cursor, or few.
func (c *chase) rest(cursor int64) {
	got := cursor - c.from
	c.from = cursor
	limits := chaseLimits()
	switch {
	case got < 2 || got*limits.slow < c.pauses:
		c.pauses /= 4
	case got < c.enough:
		c.pauses = min(max(2*c.pauses, 2*limits.slow), limits.most)
	case got > 2*c.enough:
		c.pauses /= 2
	}
	if c.pauses > 0 && processors.n.Load() > 1 {
		block.Rest(int32(c.pauses))
	}
}

// A habit is what a consumer has learned from its last wait about how the next one should go.
type habit struct {
	// handed is set when the wait was over after a yield. Then whoever publishes may share the consumer's
	// processor, and cannot do so while the consumer polls: it yields first, as long as that goes quickly.
	handed bool
	// eager is set when a park was over so soon that polling for lingerTime would have met the event. To park
	// and be woken costs as much, half of it paid by whoever publishes; and of two sides that answer each other, with pauses
	// that are shorter, each would be late by more than the pause, every time.
	eager bool
}

const (
	handTime   = 4 * time.Microsecond
	lingerTime = 64 * time.Microsecond
	// Who lingers polls for lingerTurn and yields once, in turns. After one that took longer than lingerLate, in which
	// somebody else had the processor, it only yields.
	lingerTurn   = 2 * time.Microsecond
	lingerLate   = 4 * lingerTurn
	lingerPolls  = int(lingerTurn / spinInterval)
	lingerYields = 8
)

// parked is told when a park began, and when it would have been over for one that polls.
func (h *habit) parked(began, over int64) { h.eager = over-began <= int64(lingerTime) }

// A waiter carries one wait through its strategy: spin, yield, then linger, then park.
type waiter struct {
	polls   int // made so far by spinning
	spins   int
	yields  int
	pause   int32
	parks   bool
	sleeps  bool
	counted bool          // in spinners
	yielded bool          // by the last step
	slept   time.Duration // the last time
	lingers bool          // is to linger, or does
	until   int64         // end of lingering, 0 before it begins
	turn    int64         // when this turn of it began
}

const (
	sleepMin = 50 * time.Microsecond
	sleepMax = time.Millisecond
)

func (w WaitStrategy) begin(h habit) waiter {
	v := waiter{spins: w.spins, yields: w.yields, pause: w.pause, parks: w.parks, sleeps: w.sleeps}
	if w.adaptive {
		v.lingers = h.eager && processors.n.Load() > 1
		if !v.count() {
			if processors.n.Load() > 1 {
				v.yields += v.spins
			}
			v.spins = 0
		}
	}
	return v
}

// count tells whether the waiter may spin, and counts it among the spinners if so.
func (v *waiter) count() bool {
	n := processors.n.Load()
	if n < 2 {
		return false
	}
	v.counted = spinners.n.Add(1) < n
	if !v.counted {
		spinners.n.Add(-1)
	}
	return v.counted
}

// step waits for a moment. It returns false, without waiting, when it is time to park.
func (v *waiter) step() bool {
	if v.spins > 0 {
		v.spins--
		v.polls++
		v.yielded = false
		block.Pause(v.pause)
		return true
	}
	v.end()
	if v.parks || v.sleeps {
		if v.yields == 0 && v.sleeps {
			v.slept = min(max(2*v.slept, sleepMin), sleepMax)
			v.yielded = false
			block.Sleep(v.slept, nil)
			return true
		}
		if v.yields == 0 {
			if v.linger(now()) {
				return v.step()
			}
			noteProcessors()
			v.yielded = false
			return false
		}
		v.yields--
	}
	v.yielded = true
	block.Yield()
	return true
}

// linger begins another turn of lingering at t, and returns false when there is none.
func (v *waiter) linger(t int64) bool {
	late := false
	switch {
	case !v.lingers:
		return false
	case v.until == 0:
		v.until = t + int64(lingerTime)
	case t >= v.until:
		v.lingers = false
		return false
	default:
		late = t-v.turn > int64(lingerLate)
	}
	v.turn = t
	if !late && v.count() {
		v.spins, v.yields, v.pause = lingerPolls, 1, cpu.PausesFor(spinInterval)
	} else {
		v.yields = lingerYields
	}
	return true
}

// end must be called when the wait is over.
func (v *waiter) end() {
	if v.counted {
		v.counted = false
		spinners.n.Add(-1)
	}
}
