package ring

import (
	"context"

	"github.com/headrace/headrace/internal/atomic"
)

// singleState belongs to the one producer; others only load claimed and ceiling.
//
// No consumer still needs a slot that [claimed+1, ceiling] reuse. limit is how far a claim may go
// by itself: to the end of a stretch of slots that are fetched ahead, ceiling at most, where a claim
// is a store without a fence; otherwise claimed, which leaves every claim to the slow path: with
// fenced stores, with many producers, and once the ring is closed.
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
// A Producer stores claimed before it has looked whether there is room, because one comparison is
// then enough for room and state together. What it takes back for want of room is above ceiling, and
// whoever reads both takes the lesser: see sequencer.claimed. A claim that holds is never above
// ceiling, which is stored before it, and lowered only to what is claimed. So what others see is as
// if room came first.
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
	lead
	ceiling int64
}

// stretchBytes is how many bytes of slots are fetched at once for the producer, a stretch ahead of
// where it writes. A store to a line that a consumer has read waits until the line is taken back,
// and every later store behind it: fetched side by side the lines wait for one another no more.
// Of 512, 1,024 and 4,096 the first was best.
const stretchBytes = 512

func (s *sequencer) initSingle() {
	s.single.lead = lead{seq: s, state: word(&s.state), cursor: &plainCursor(&s.cursor)[0], armed: s.armed}
	s.single.claimed = s.first - 1
	s.setCeiling(s.first - 1 + s.slots)
}

// setCeiling never goes below what is claimed: a newcomer may be too late for what it asked for.
func (s *sequencer) setCeiling(seq int64) {
	atomic.StoreRelease(&s.single.ceiling, max(seq, atomic.LoadOwn(&s.single.claimed)))
	s.setLimit()
}

// setLimit lets claims go on by themselves up to the end of the next stretch, and has the stretch
// behind that fetched.
func (s *sequencer) setLimit() {
	p := &s.single
	if !s.quick {
		p.limit = atomic.LoadOwn(&p.claimed)
		return
	}
	p.limit = min(atomic.LoadOwn(&p.ceiling), atomic.LoadOwn(&p.claimed)+s.stretch)
	if ahead := min(atomic.LoadOwn(&p.ceiling)-p.limit, s.stretch); ahead > 0 {
		s.prefetch(p.limit+1, ahead)
	}
}

// claim claims n slots and blocks while the ring is full.
func (s *sequencer) claim(n int) (int64, error) {
	p := &s.single
	if uint64(n-1) < uint64(p.limit-atomic.LoadOwn(&p.claimed)) { // else n < 1, too many, or not for us
		hi := atomic.LoadOwn(&p.claimed) + int64(n)
		atomic.StoreRelease(&p.claimed, hi)
		if s.state.Load() == 0 {
			return hi, nil
		}
		if err := s.takeBack(hi - int64(n)); err != nil {
			return 0, err
		}
	}
	if n > 0 && int64(n) <= s.slots {
		if hi, err := s.tryClaim(n); err != ErrFull {
			return hi, err
		}
	}
	return s.claimWait(context.Background(), never, n)
}

func (s *sequencer) tryClaimSingle(n int64) (int64, error) {
	p := &s.single
	for {
		if s.state.Load() != 0 {
			if err := s.takeBack(atomic.LoadOwn(&p.claimed)); err != nil {
				return 0, err
			}
		}
		if atomic.LoadOwn(&p.ceiling)-atomic.LoadOwn(&p.claimed) < n {
			s.setCeiling(s.gatingSequence() + s.slots)
			if atomic.LoadOwn(&p.ceiling)-atomic.LoadOwn(&p.claimed) < n {
				return 0, ErrFull
			}
		}
		hi := atomic.LoadOwn(&p.claimed) + n
		if s.quick {
			atomic.StoreRelease(&p.claimed, hi)
		} else {
			atomic.StoreInt64(&p.claimed, hi)
		}
		if s.state.Load() == 0 {
			s.setLimit()
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
	p.limit = claimed
	atomic.StoreRelease(&p.ceiling, claimed)
	wrong := atomic.LoadOwn(&p.claimed) != claimed
	if wrong {
		atomic.StoreInt64(&p.claimed, claimed)
	}
	// Behind the stores: a closer that this load does not see yet will see claimed as it is now.
	if s.stopping() {
		if wrong {
			s.wakeEverybody()
		}
		return s.stopError()
	}
	// Before gating is loaded: a set that is stored after it comes with the bit set again.
	s.state.And(^stateRegate)
	return nil
}
