package ring

import (
	"context"
	"sync/atomic"
)

// singleState belongs to the one producer; others only load claimed.
//
// Invariant: limit >= claimed, and no consumer still needs a slot that [claimed+1, limit] reuse.
// Once the ring is closed limit == claimed, so that every claim takes the slow path.
type singleState struct {
	claimed int64
	limit   int64
}

func (s *sequencer) initSingle() {
	s.single.claimed = s.first - 1
	s.single.limit = s.first - 1 + s.slots
}

// claim claims n slots and blocks while the ring is full. For the single producer this is the
// whole fast path: no other goroutine's cache line is touched, except that of state, which
// nobody writes while the ring runs.
//
// The store of claimed and the load of state are one side of Dekker's pair, so that Close knows
// every claim that succeeds:
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
func (s *sequencer) claim(n int) (int64, error) {
	free := s.single.limit - s.single.claimed
	if uint64(n-1) >= uint64(free) { // n < 1, n > free, and always for multi
		return s.claimWait(context.Background(), n)
	}
	hi := s.single.claimed + int64(n)
	if !s.plain {
		atomic.StoreInt64(&s.single.claimed, hi)
	} else {
		s.single.claimed = hi
	}
	if s.state.Load() != 0 {
		return s.takeBack(hi - int64(n))
	}
	return hi, nil
}

func (s *sequencer) tryClaimSingle(n int64) (int64, error) {
	if s.state.Load() != 0 {
		return s.takeBack(s.single.claimed)
	}
	if s.single.limit-s.single.claimed < n {
		s.single.limit = s.gatingSequence() + s.slots
		if s.single.limit-s.single.claimed < n {
			return 0, ErrFull
		}
	}
	return s.claim(int(n))
}

// takeBack makes claimed right again after the ring was closed, and every later claim slow.
func (s *sequencer) takeBack(claimed int64) (int64, error) {
	s.single.limit = claimed
	if s.single.claimed != claimed {
		atomic.StoreInt64(&s.single.claimed, claimed)
		s.wakeEverybody()
	}
	return 0, s.stopError()
}
