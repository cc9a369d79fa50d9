package ring

import (
	"github.com/headrace/headrace/internal/atomic"
	"github.com/headrace/headrace/internal/cpu"
)

// A bias lets one of many producers claim as a single producer does, by a store without a fence, for
// as long as no other wants to claim: a locked instruction takes several times as long as all
// the rest of a claim. It is for a Producer, which is one goroutine's, and of which the compiler
// has Next inlined.
//
// A Producer that has claimed often enough with nobody in between puts a tag where the claim word was.
// From then on its own claimed is the word, for everybody, and its claim is a store of claimed and
// a load of revoked. Whoever else wants to claim, or close, or know exactly what is claimed, revokes:
//
//	owner                               revoker
//	-----                               -------
//	claimed = hi       (plain store)    revoked = yes    (atomic: a full fence)
//	                                    membarrier
//	if not revoked: the claim holds     last = claimed, at most ceiling
//	else: settle                        settle
//
//	settle, whoever does it:            decided: tag -> last, by compare-and-swap
//	                                    word: tag -> decided, by compare-and-swap
//
// If the membarrier falls after the owner's store, the revoker reads hi or more. If it falls before,
// the load, which is later still, sees that the bias is revoked. So no claim that holds is missed. One
// that is under way then may be seen or not; decided is what says, once and for all, and the owner asks it. Its
// claim holds if decided is not below it, and is made again otherwise.
//
// Nobody waits for anybody here. An owner that was stopped in the middle of a claim is passed by, and
// so is a revoker, because everybody can finish what it has begun. That takes tags that come once, so that
// whoever was stopped for long and goes on in another's bias, or another bias of the same owner, swaps
// nothing. All it can do is set revoked, and an owner that finds it set gives the bias up, whoever did it.
//
// What consumers still need holds as with many producers: a ceiling is the least cursor of a set that was
// in force after it was looked at, which outdated of Ring.regate bounds, and a consumer that joins below that bound
// revokes the bias once its set is in force; see Ring.settle. The next owner begins without a ceiling.
type bias struct {
	owner atomic.Pointer[rival] // set before the word has a tag, nil after; nobody gets the bias while it is set
	given int64                 // how often it was; belongs to whoever has set owner
	_     cpu.Pad
}

// tagged is the least tag. Sequences are below it, see MaxFirstSequence, and closedBit is not part of it.
const tagged int64 = 3 << 61

const (
	// biasAfter is how many claims a Producer makes one after the other, with nobody in between, before
	// it gets the bias, and biasAfterMost how many if it keeps losing it soon.
	biasAfter, biasAfterMost = 256, 1 << 16
	// biasWorth is how many claims a bias has to last to have been worth it. To revoke takes about a
	// microsecond, or thirty where a hypervisor has to pass an interrupt on, and a claim saves some 7 ns.
	biasWorth = 8192
)

// A rival is what a Producer works on that is one of many. Others load claimed, ceiling and
// decided, and set revoked; the rest belongs to the Producer.
type rival struct {
	_ cpu.Pad
	lead
	ceiling int64 // of the bias: claims up to it leave consumers what they need
	tag     int64 // of the bias that it has, 0 if none
	from    int64 // the word when it got it
	alone   int   // claims one after the other with nobody in between
	after   int   // as many as give it the bias
	revoked atomic.Int64
	decided atomic.Int64
	ignored int64 // what Publish stores
	_       cpu.Pad
}

// unbiased is the limit that sends every claim to the slow path.
const unbiased = -1

func newRival(s *sequencer) *lead {
	v := &rival{after: s.biasAfter}
	v.lead = lead{state: word(&v.revoked), cursor: &v.ignored, armed: &slow.armed, seq: s, rival: v, limit: unbiased}
	return &v.lead
}

// claim finishes a claim of one that Next has stored.
func (v *rival) claim() error {
	s := v.seq
	want := atomic.LoadOwn(&v.claimed)
	if v.tag != 0 {
		if v.extend(want) || v.giveUp(want) {
			return nil
		}
	}
	// tryClaimMulti, as far as it goes where there is room.
	word := s.shared.word.Load()
	if g := s.gating.Load(); g != nil && word >= 0 && word < s.slots+g.seen.Load() {
		if s.shared.word.CompareAndSwap(word, word+1) {
			if (word+1)&(s.stretch-1) == 0 {
				s.fetchAhead(word + 1)
			}
			v.claimedBySwap(word+1, want)
			return nil
		}
		s.giveWay(0)
	}
	hi, err := s.claim(1)
	if err == nil {
		v.claimedBySwap(hi, want)
	}
	return err
}

// claimedBySwap notes that hi was claimed, where want would have been if nobody else had claimed.
func (v *rival) claimedBySwap(hi, want int64) {
	atomic.StoreRelease(&v.claimed, hi)
	if hi != want {
		v.alone = 0
	} else if v.alone++; v.alone >= v.after && v.seq.plain {
		v.alone = 0
		v.acquire(hi)
	}
}

// acquire takes the bias if the word is still hi and nobody has it.
func (v *rival) acquire(hi int64) {
	b := &v.seq.shared.bias
	if !b.owner.CompareAndSwap(nil, v) {
		return
	}
	b.given++
	tag := tagged + b.given
	v.decided.Store(tag)
	v.revoked.Store(0)
	atomic.StoreRelease(&v.ceiling, hi) // so that gating is looked at with the tag in place
	if v.seq.shared.word.CompareAndSwap(hi, tag) {
		v.tag, v.from, v.limit = tag, hi, hi
		return
	}
	b.owner.Store(nil)
}

// extend makes hi, which is claimed already, hold under the bias, and tells whether it does. As there
// for singleState.limit, claims go on by themselves up to the end of the stretch.
func (v *rival) extend(hi int64) bool {
	s := v.seq
	if ceiling := atomic.LoadOwn(&v.ceiling); hi > ceiling {
		ceiling = s.ceilingNow()
		if hi > ceiling {
			return false
		}
		atomic.StoreRelease(&v.ceiling, ceiling)
	}
	if v.revoked.Load() != 0 { // behind the stores
		return false
	}
	if hi&(s.stretch-1) == 0 {
		s.fetchAhead(hi)
	}
	v.limit = min(atomic.LoadOwn(&v.ceiling), hi|(s.stretch-1))
	return true
}

// ceilingNow returns a sequence up to which nobody needs the slots any more, by a set of consumers that was
// in force after it was looked at.
func (s *sequencer) ceilingNow() int64 {
	for {
		g := s.gating.Load()
		if g == nil {
			return s.first - 1 + s.slots
		}
		gate := g.least()
		if s.gating.Load() == g {
			return gate + s.slots
		}
	}
}

// giveUp ends the bias, and tells whether hi holds, the claim that is under way.
func (v *rival) giveUp(hi int64) bool {
	v.seq.settleBias(v, v.tag, min(hi, atomic.LoadOwn(&v.ceiling)))
	last := v.decided.Load()
	switch {
	case v.revoked.Load() == 0: // the ring is full
		v.alone = v.after // to have it back with the next claim
	case last-v.from < v.seq.biasWorth:
		v.after = min(2*v.after, biasAfterMost)
	default:
		v.after = v.seq.biasAfter
	}
	v.tag, v.limit = 0, unbiased
	return last >= hi
}

// revoke ends the bias that has the word, unless that is over already.
func (s *sequencer) revoke(word int64) {
	tag := word &^ closedBit
	v := s.shared.bias.owner.Load()
	if v == nil || s.shared.word.Load()&^closedBit != tag {
		return // the word has moved
	}
	v.revoked.Store(stateStopped)
	atomic.Membarrier()
	claimed := atomic.LoadInt64(&v.claimed) // before ceiling, as in sequencer.claimed
	s.settleBias(v, tag, min(claimed, atomic.LoadInt64(&v.ceiling)))
}

// settleBias makes the word a sequence again: last, or what somebody else has decided on before.
func (s *sequencer) settleBias(v *rival, tag, last int64) {
	v.decided.CompareAndSwap(tag, last)
	last = v.decided.Load()
	for {
		word := s.shared.word.Load() // with closedBit or without
		if word&^closedBit != tag {
			return
		}
		if s.shared.word.CompareAndSwap(word, last|word&closedBit) {
			s.shared.bias.owner.Store(nil)
			return
		}
	}
}

// exactly returns what is claimed, without a claim that may be taken back. It ends a bias, or for a
// single producer, whose own it is, returns claimed.
func (s *sequencer) exactly() int64 {
	if !s.multi {
		return s.claimed()
	}
	for {
		word := s.shared.word.Load()
		if word&^closedBit < tagged {
			return word &^ closedBit
		}
		s.revoke(word)
	}
}

// claimedByMany is sequencer.claimed for many producers. Of a claim under a bias, it may show one that is then
// taken back, and made again.
func (s *sequencer) claimedByMany() int64 {
	for {
		word := s.shared.word.Load() &^ closedBit
		if word < tagged {
			return word
		}
		if v := s.shared.bias.owner.Load(); v != nil {
			claimed := atomic.LoadInt64(&v.claimed)
			claimed = min(claimed, atomic.LoadInt64(&v.ceiling))
			if s.shared.word.Load()&^closedBit == word {
				return claimed
			}
		}
	}
}
