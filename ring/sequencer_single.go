package ring

import (
	"context"

	"github.com/headrace/headrace/internal/atomic"
	"github.com/headrace/headrace/internal/cpu"
)

// singleState belongs to the one producer; others only load claimed.
//
// No consumer still needs a slot that [claimed+1, ceiling] reuse. limit is how far claim may go by
// itself: the same as ceiling where a claim is a store without a fence, and claimed
// otherwise, which leaves every claim to the slow path: with fenced stores, with many producers,
// and once the ring is closed.
//
// For the single producer claim touches no cache line that another goroutine writes, except
// that of state, which nobody writes while the ring runs. Its store of claimed and load of state
// are one side of Dekker's pair, so that Close knows every claim that holds:
//
//	producer                          closer (fence)
//	--------                          --------------
//	claimed = hi      (plain store)   state |= closed     (atomic: a full fence)
//	                                  membarrier
//	if state == 0: the claim holds    read claimed
//
// The membarrier puts a full fence between two instructions of the producer. If it falls after
// the store, the closer reads hi or more. If it falls before the store, then the load, which is
// later still, sees closed and the claim is taken back. So the closer never misses a claim that
// holds. It may see one that is about to be taken back: claimed is then too large for a moment,
// nobody takes it for the end, and the producer wakes everybody once it is right. Where there is
// no membarrier the store is atomic, which on this side too is a full fence.
//
// A consumer that joins uses the same pair, because the ceiling that the producer keeps does not
// know it:
//
//	producer                          joiner (Ring.settle)
//	--------                          --------------------
//	claimed = hi      (plain store)   gating = the set with the newcomer, at seq
//	                                  state |= regate     (atomic: a full fence)
//	                                  membarrier
//	if state == 0: the claim holds    if claimed > seq + slots: too late, give up
//	else: take it back, clear regate,
//	      compute the ceiling anew
//
// Either the joiner sees a claim that used an old ceiling, and checks it, or the producer sees the
// bit, takes the claim back and gates on the newcomer, for the new set was stored before the bit.
// Nobody waits: an idle producer leaves the bit set until it claims next.
type singleState struct {
	claimed int64
	limit   int64
	ceiling int64
}

func (s *sequencer) initSingle() {
	s.single.claimed = s.first - 1
	s.setCeiling(s.first - 1 + s.slots)
}

func (s *sequencer) setCeiling(seq int64) {
	s.single.ceiling = seq
	s.single.limit = cpu.LoadOwn(&s.single.claimed)
	if s.quick {
		s.single.limit = seq
	}
}

// claim claims n slots and blocks while the ring is full. With the common case in front and
// nothing else, it is one call that the caller's Ring.Claim is inlined into.
func (s *sequencer) claim(n int) (int64, error) {
	p := &s.single
	claimed := cpu.LoadOwn(&p.claimed)
	if uint64(n-1) >= uint64(p.limit-claimed) { // n < 1, too many, or not for us
		return s.claimWait(context.Background(), n)
	}
	hi := claimed + int64(n)
	cpu.StoreRelease(&p.claimed, hi)
	if s.state.Load() != 0 {
		return s.claimAgain(hi-int64(n), n)
	}
	return hi, nil
}

func (s *sequencer) claimAgain(claimed int64, n int) (int64, error) {
	if err := s.takeBack(claimed); err != nil {
		return 0, err
	}
	return s.claimWait(context.Background(), n)
}

func (s *sequencer) tryClaimSingle(n int64) (int64, error) {
	p := &s.single
	for {
		if s.state.Load() != 0 {
			if err := s.takeBack(cpu.LoadOwn(&p.claimed)); err != nil {
				return 0, err
			}
		}
		if p.ceiling-cpu.LoadOwn(&p.claimed) < n {
			s.setCeiling(s.gatingSequence() + s.slots)
			if p.ceiling-cpu.LoadOwn(&p.claimed) < n {
				return 0, ErrFull
			}
		}
		hi := cpu.LoadOwn(&p.claimed) + n
		atomic.StoreInt64(&p.claimed, hi)
		if s.state.Load() == 0 {
			if !s.quick {
				p.limit = hi
			}
			return hi, nil
		}
		if err := s.takeBack(hi - n); err != nil {
			return 0, err
		}
	}
}

// takeBack makes claimed right again after state was found to be other than 0. If the ring was
// stopped, it returns the error of this claim and makes every later one slow. If a consumer is
// joining, it voids the ceiling, and the claim may be tried again.
func (s *sequencer) takeBack(claimed int64) error {
	p := &s.single
	p.limit, p.ceiling = claimed, claimed
	wrong := cpu.LoadOwn(&p.claimed) != claimed
	if wrong {
		atomic.StoreInt64(&p.claimed, claimed)
	}
	// Behind the store: a closer that this load does not see yet will see claimed as it is now.
	if s.stopping() {
		if wrong {
			s.wakeEverybody()
		}
		return s.stopError()
	}
	// Before gating is loaded: a set that is stored after it comes with the bit set again.
	s.state.And(^uint32(stateRegate))
	return nil
}
