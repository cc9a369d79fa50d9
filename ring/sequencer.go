package ring

import (
	"context"
	"math"
	"math/bits"
	"time"
	"unsafe"

	"github.com/headrace/headrace/internal/atomic"
	"github.com/headrace/headrace/internal/block"
	"github.com/headrace/headrace/internal/cpu"
)

// Bits of sequencer.state. All but stateRegate are only ever set. Each is more than a ring has slots,
// so that less any of them, a sequence that may be claimed is below those that are: see lead.Next.
const (
	stateClosed  int64 = 1 << (40 + iota) // no claim may succeed any more
	stateSettled                          // and none that sequencer.claimed does not show
	stateHalted                           // consumers stop, whatever remains
	stateRegate                           // the single producer has to look at gating again; it clears the bit

	stateStopped = stateClosed | stateSettled | stateHalted
)

// A sequencer hands out sequences and says which are published: everything about a ring that
// does not depend on the type of its slots. Fields are grouped by who writes them, a cache line
// pair between groups.
type sequencer struct {
	_ cpu.Pad

	// Written before the first claim, then read only.
	first int64 // sequence of the first event
	slots int64
	multi bool
	quick bool    // a single producer with plain stores
	plain bool    // stores that others wait for have no fence; see gate
	shift uint    // log2(slots)
	marks []int32 // multi: the lap that a slot was published in last
	wait  WaitStrategy

	base      unsafe.Pointer // of the slots
	slotBytes int64
	stretch   int64 // events that are claimed between two prefetches; multi: a power of two
	rests     int32 // multi: hints in the rest of a producer that lost a race
	biasAfter int   // multi: claims with nobody in between that give a Producer the bias
	biasWorth int64 // multi: claims that a bias has to last to have been worth it

	armed *int64 // published.wakeAt where quick, slow.armed elsewhere

	// Seldom written.
	state     atomic.Int64
	gating    atomic.Pointer[gatingSet]   // nil before Start
	everybody atomic.Pointer[[]*Consumer] // all consumers; nil before Start
	failed    atomic.Pointer[failure]
	debug     debugState
	aborts    aborts
	waiting   waiting
	_         cpu.Pad
	blocked   stopwatch // producers' waits, for Stats

	published gate // for the ring's cursor
	_         cpu.Pad
	changed   gate // for everything that is no cursor's move, Start first of all
	_         cpu.Pad

	single singleState
	_      cpu.Pad
	shared multiState
	_      cpu.Pad

	// cursor is written by the single producer: everything up to it is published.
	cursor cursor
	_      cpu.Pad
}

// slow sends every claim and publish that compares with it to where more than a plain store is done.
var slow struct {
	_            cpu.Pad
	armed, state int64
	_            cpu.Pad
}

func init() {
	slow.armed, slow.state = math.MinInt64, stateStopped
}

func (s *sequencer) init(o Options, plain bool, base unsafe.Pointer, slotBytes uintptr) {
	s.base, s.slotBytes = base, int64(slotBytes)
	s.stretch = max(1, stretchBytes/max(s.slotBytes, 1))
	s.first = o.FirstSequence
	s.slots = int64(o.Slots)
	s.multi = o.Producers == MultiProducer
	s.plain = plain
	s.quick = plain && !s.multi
	s.shift = uint(bits.TrailingZeros64(uint64(o.Slots)))
	s.wait = o.Wait
	s.published.init(plain)
	s.changed.init(false)
	s.armed = &slow.armed
	if s.quick && !exploring {
		s.armed = word(&s.published.wakeAt)
	}
	s.cursor.Store(s.first - 1)
	s.debug.init(s)
	if s.multi {
		s.initMulti()
	} else {
		s.initSingle()
	}
}

// word is what v wraps: the compiler inlines less where atomic.Int64 is used.
func word(v *atomic.Int64) *int64 { return (*int64)(unsafe.Pointer(v)) }

// claimWait claims like claim and blocks while the ring is full, until ctx ends or until, in the time
// of nanotime.
func (s *sequencer) claimWait(ctx context.Context, until int64, n int) (int64, error) {
	if n < 1 || int64(n) > s.slots {
		return 0, ErrClaimSize
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if until != never && now() >= until {
		return 0, context.DeadlineExceeded
	}
	done := ctx.Done()
	hi, err := s.tryClaim(n)
	if err != ErrFull {
		return hi, err
	}
	w := s.wait.begin(habit{})
	defer w.end()
	var blocked blockage
	var self *Consumer // set if the caller is a handler
	defer func() {
		blocked.end(s)
		if self != nil {
			s.unblocks(self)
		}
	}()
	var noted wait
	for asked := false; ; {
		if w.spins == 0 {
			blocked.begin(s, n)
		}
		wait := w.step()
		if !asked && (!wait || !w.parks) { // asking takes as long as a short wait
			self, asked = s.current(), true
			if debugging && self == nil {
				self = s.debug.polling()
			}
		}
		if self != nil {
			room := s.room(n)
			if room != noted && !s.blocks(self, room) {
				return 0, ErrWouldDeadlock
			}
			noted = room
		}
		if !wait {
			s.parkProducer(n, done, until)
		}
		if done != nil && block.Recvd(done) {
			return 0, ctx.Err()
		}
		if until != never && now() >= until {
			return 0, context.DeadlineExceeded
		}
		if hi, err = s.tryClaim(n); err != ErrFull {
			return hi, err
		}
	}
}

// parkProducer blocks until n slots may be free, the ring stops, done is closed or it is until.
func (s *sequencer) parkProducer(n int, done <-chan struct{}, until int64) {
	p := parkers.Get().(*parker)
	defer parkers.Put(p)
	if until != never {
		done = p.alarm.Set(time.Duration(until - now()))
		defer p.alarm.Stop()
	}
	gating := s.gating.Load()
	if gating == nil {
		s.changed.park(p, never, func() bool { return s.gating.Load() != nil || s.stopping() }, done)
		return
	}
	// Another producer may claim meanwhile; then the wake-up is early.
	need := s.exactly() + int64(n) - s.slots
	for _, c := range gating.consumers {
		if c.cursor.Load() < need {
			c.gate.park(p, need, func() bool { return c.cursor.Load() >= need || c.left.Load() || s.stopping() }, done)
			return
		}
	}
}

// room is the wait for n free slots.
func (s *sequencer) room(n int) wait { return wait{seq: s.exactly() + int64(n) - s.slots} }

// gatingSequence returns the least cursor that a producer may not lap.
func (s *sequencer) gatingSequence() int64 {
	if g := s.gating.Load(); g != nil {
		return g.least()
	}
	return s.first - 1
}

// stopError says why nothing can be claimed, or why a consumer has stopped.
func (s *sequencer) stopError() error {
	if f := s.failed.Load(); f != nil {
		return f
	}
	if s.state.Load()&stateHalted != 0 {
		return ErrHalted
	}
	return ErrClosed
}

// fence refuses every claim from now on. After it s.claimed() is never less than what was handed
// out; when it equals a cursor, nothing is left to come.
func (s *sequencer) fence() {
	s.state.Or(stateClosed)
	if s.multi {
		s.closeMulti()
	} else if s.plain {
		atomic.Membarrier()
	}
	s.state.Or(stateSettled)
}

// drained tells whether everything ever claimed is at or below seq.
func (s *sequencer) drained(seq int64) bool {
	return s.state.Load()&stateSettled != 0 && s.claimed() == seq
}

func (s *sequencer) halted() bool { return s.state.Load()&stateHalted != 0 }

// stopping tells whether the ring is closed or halted.
func (s *sequencer) stopping() bool { return s.state.Load()&stateStopped != 0 }

// tryClaim claims n slots, in [1, slots], or fails at once.
func (s *sequencer) tryClaim(n int) (int64, error) {
	if s.multi {
		return s.tryClaimMulti(int64(n))
	}
	return s.tryClaimSingle(int64(n))
}

// claimed returns the last sequence handed out. The single producer may show one that it is about
// to take back, but after fence only once, and never one that there is no room for. claimed comes
// before ceiling here, and behind it where they are stored.
func (s *sequencer) claimed() int64 {
	if s.multi {
		return s.claimedByMany()
	}
	claimed := atomic.LoadInt64(&s.single.claimed)
	return min(claimed, atomic.LoadInt64(&s.single.ceiling))
}

// prefetch fetches the slots of [lo, lo+n), up to where the ring wraps, for whoever will write them;
// of large slots the beginning, as nobody knows how much of them is written.
func (s *sequencer) prefetch(lo, n int64) {
	at := lo & (s.slots - 1)
	n = min(n, s.slots-at)
	cpu.PrefetchWrite(unsafe.Add(s.base, at*s.slotBytes), min(n*s.slotBytes, 2*stretchBytes))
}

// expect fetches the beginning of a slot for whoever is about to read it.
func (s *sequencer) expect(seq int64) {
	cpu.PrefetchRead(unsafe.Add(s.base, (seq&(s.slots-1))*s.slotBytes))
}

// publish makes [lo, hi] readable. If the sequencer is quick the store has been made already, and once
// more does no harm.
func (s *sequencer) publish(lo, hi int64) {
	if s.quick {
		atomic.StoreRelease(&plainCursor(&s.cursor)[0], hi)
	} else if s.multi {
		if lo == hi && s.plain {
			atomic.StoreRelease32(&s.marks[lo&(s.slots-1)], s.lap(lo))
		} else {
			s.mark(lo, hi)
		}
	} else {
		s.cursor.Store(hi)
	}
	s.published.notify(hi)
}

// highest returns the ring's cursor.
func (s *sequencer) highest() int64 {
	if s.multi {
		return s.scan(s.headSequence())
	}
	return s.cursor.Load()
}
