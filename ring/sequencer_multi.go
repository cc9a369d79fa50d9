package ring

import (
	"math"
	"math/bits"
	"sync"
	"time"
	"unsafe"

	"github.com/headrace/headrace/internal/atomic"
	"github.com/headrace/headrace/internal/block"
	"github.com/headrace/headrace/internal/cpu"
)

// closedBit in multiState.word is set by fence; then no compare-and-swap of a producer succeeds,
// because producers give up when they see it.
const closedBit = math.MinInt64

// multiState is shared by all producers.
type multiState struct {
	word atomic.Int64 // last claimed sequence, or the tag of a bias, and closedBit
	_    cpu.Pad
	bias bias
}

func (s *sequencer) initMulti() {
	s.marks = make([]int32, s.slots)
	// The lap before the one in which each slot is published first. It may wrap: only equality
	// with the lap that a reader expects counts, and a slot is never 2^32 laps behind.
	for seq := s.first; seq < s.first+s.slots; seq++ {
		s.marks[seq&(s.slots-1)] = s.lap(seq) - 1
	}
	s.shared.word.Store(s.first - 1)
	s.stretch = 1 << (bits.Len64(uint64(s.stretch)) - 1) // so that any claim shows whether it passes an end
	s.biasAfter, s.biasWorth = 1, 0
	if !exploring {
		s.rests, s.biasAfter, s.biasWorth = giveWayPauses(), biasAfter, biasWorth
	}
}

func (s *sequencer) lap(seq int64) int32 { return int32(seq >> s.shift) }

// tryClaimMulti returns ErrFull only for a ring that was full at one moment of the call: claimed
// never falls, so that a word read before the gating sequence is, if anything, too small. The word
// is read before gating too: a claim that succeeds obeys a set that was in force when
// everything up to the claim was claimed already; see Ring.settle. And it obeys what that set was
// while it was in force, because a set is looked up again after its cursors were; see Ring.regate.
func (s *sequencer) tryClaimMulti(n int64) (int64, error) {
	for lost := 0; ; lost++ {
		word := s.shared.word.Load()
		if word < 0 {
			return 0, s.stopError()
		}
		if word >= tagged {
			if lost == 0 {
				s.giveWay(0) // the owner may have more to claim
			}
			s.revoke(word)
			continue
		}
		hi := word + n
		need := hi - s.slots
		if g := s.gating.Load(); g == nil {
			if need >= s.first {
				return 0, s.full()
			}
		} else if need > g.seen.Load() {
			gate := g.least()
			if need > gate {
				return 0, s.full()
			}
			if s.gating.Load() != g {
				continue
			}
			// Another producer may store an older one after this: harmless, as it is a lower
			// bound all the same.
			g.seen.Store(gate)
		}
		if s.shared.word.CompareAndSwap(word, hi) {
			if (word^hi)&-s.stretch != 0 {
				s.fetchAhead(hi)
			}
			return hi, nil
		}
		s.giveWay(lost)
	}
}

// fetchAhead fetches for writing the stretch of slots behind the one that hi is in, and their marks:
// see stretchBytes. Whoever crosses into a stretch does it for all producers, most often for itself.
func (s *sequencer) fetchAhead(hi int64) {
	lo := (hi + s.stretch) & -s.stretch
	s.prefetch(lo, s.stretch)
	at := lo & (s.slots - 1)
	cpu.PrefetchWrite(unsafe.Pointer(&s.marks[at]), min(s.stretch, s.slots-at)*int64(unsafe.Sizeof(s.marks[0])))
}

// giveWay makes a producer that has lost a compare-and-swap leave the word to others for a while.
//
// The word's line takes as long to reach another processor as some thirty claims. Two producers that
// claim in turn get hardly anything done but its transfers. The loser of a race therefore stands back
// while the winner claims in a burst, as whoever holds a mutex does. When it comes back it most likely
// wins, because it swaps as soon as it has the line, and then the other stands back. Producers that do
// not race never wait here, and nobody waits for anybody: a rest ends by itself.
func (s *sequencer) giveWay(lost int) {
	if s.rests > 0 && processors.n.Load() > 1 {
		block.Rest(s.rests << min(lost, 2))
	}
}

// giveWayTime is how long one rests that has lost once; who loses again rests twice as long, and then
// four times. Of 0.25, 1, 4, 16 and 64 us, 4 was as good as those above it.
const giveWayTime = 4 * time.Microsecond

var giveWayPauses = sync.OnceValue(func() int32 { return cpu.PausesFor(giveWayTime) })

// full is the error of a claim for which there are no slots. Between the two stores of fence, and
// of halt, whoever parks is told to look again, by the state, and would find the word open still: it
// would do so at full speed until the closer gets on. So it closes the word itself.
func (s *sequencer) full() error {
	if s.stopping() {
		s.closeMulti()
		return s.stopError()
	}
	return ErrFull
}

// closeMulti makes every later claim fail. Under a bias they may go on until it is revoked.
func (s *sequencer) closeMulti() {
	s.shared.word.Or(closedBit)
	s.exactly()
}

// mark publishes [lo, hi]. lo is marked last: a reader scans upwards and so finds the whole range
// or nothing of it. Scans begin at the first sequence of a range, since they end only at one.
func (s *sequencer) mark(lo, hi int64) {
	if lo > hi {
		return
	}
	mask := s.slots - 1
	if !s.plain {
		for seq := hi; seq >= lo; seq-- {
			atomic.StoreInt32(&s.marks[seq&mask], s.lap(seq))
		}
		return
	}
	for seq := hi; seq > lo; seq-- {
		atomic.StoreRelease32(&s.marks[seq&mask], s.lap(seq))
	}
	atomic.StoreRelease32(&s.marks[lo&mask], s.lap(lo))
}

// scan returns the last sequence of the gapless published run after seq, seq if there is none.
// For a consumer the scan ends after one lap at most, because producers cannot lap it and the
// marks that it has passed belong to the lap before. Anybody else may be lapped in the middle and
// then gets a sequence that was the last one a while ago.
func (s *sequencer) scan(seq int64) int64 {
	mask := s.slots - 1
	for {
		next := seq + 1
		lap := s.lap(next)
		run := s.marks[next&mask:]
		n := 0
		for n < len(run) && atomic.LoadInt32(&run[n]) == lap {
			n++
		}
		seq += int64(n)
		if n < len(run) {
			return seq
		}
	}
}

// headSequence returns the greatest cursor of the consumers; everything up to it was published.
// The single sequencer has no use for it.
func (s *sequencer) headSequence() int64 {
	most := s.first - 1
	if all := s.everybody.Load(); all != nil {
		for _, c := range *all {
			most = max(most, c.cursor.Load())
		}
	}
	return most
}
