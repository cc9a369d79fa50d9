package ring

import (
	"errors"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace/internal/cpu"
)

// biasAtOnce gives the bias to every Producer with its first claim that nobody comes before.
func biasAtOnce(r *Ring[int64]) {
	if r.seq.multi {
		r.seq.biasAfter, r.seq.biasWorth = 1, 0
	}
}

// canBias tells whether a Producer gets the bias on this platform and with these build tags.
func canBias() bool { return cpu.HasMembarrier() && !debugging && !exploring }

func (s *sequencer) hasBias(p *Producer[int64]) bool {
	return s.shared.word.Load()&^closedBit >= tagged && s.shared.bias.owner.Load() == p.rival
}

// biasedRing returns a ring whose Producers get the bias at once, and one of them.
func biasedRing(t *testing.T, slots int) (*Ring[int64], *Producer[int64]) {
	if !canBias() {
		t.Skip("there is no bias here")
	}
	r, err := New[int64](Options{Slots: slots})
	require.NoError(t, err)
	biasAtOnce(r)
	return r, r.Producer()
}

func next(t *testing.T, p *Producer[int64], want int64) {
	t.Helper()
	seq, err := p.Next()
	require.NoError(t, err)
	require.Equal(t, want, seq)
	*p.Slot(seq) = seq
	p.Publish(seq, seq)
}

// TestBias_AfterManyClaimsAlone: who claims alone gets it, who comes after takes it away, and all see
// the same numbers.
func TestBias_AfterManyClaimsAlone(t *testing.T) {
	r, _ := biasedRing(t, 1024)
	r.seq.biasAfter, r.seq.biasWorth = biasAfter, biasWorth
	p := r.Producer()
	for seq := int64(1); seq <= biasAfter; seq++ {
		require.False(t, r.seq.hasBias(p), "at %d", seq)
		next(t, p, seq)
	}
	require.True(t, r.seq.hasBias(p))
	for seq := int64(biasAfter + 1); seq <= biasAfter+100; seq++ {
		next(t, p, seq)
		require.Equal(t, seq, r.seq.claimed())
		require.Equal(t, r.seq.slots-seq, r.Remaining())
		require.Equal(t, seq, r.Stats().Claimed)
		require.Equal(t, seq, r.Cursor())
		require.Empty(t, r.Unpublished(1))
	}
	require.True(t, r.seq.hasBias(p), "looking takes nothing away")
	hi, err := r.TryClaim(10)
	require.NoError(t, err)
	require.Equal(t, int64(biasAfter+110), hi)
	require.False(t, r.seq.hasBias(p))
	r.Publish(hi-9, hi)
	next(t, p, hi+1)
	require.False(t, r.seq.hasBias(p))
	require.Equal(t, 2*biasAfter, p.rival.after, "it did not last")
}

// TestBias_FullRing: the owner fills the ring to its last slot and not further, and has it back when there is room.
func TestBias_FullRing(t *testing.T) {
	r, p := biasedRing(t, 4)
	c := consumerForTest(r)
	for seq := int64(1); seq <= 4; seq++ {
		next(t, p, seq)
	}
	require.True(t, r.seq.hasBias(p))
	require.Zero(t, r.Remaining())
	_, err := r.TryClaim(1)
	require.ErrorIs(t, err, ErrFull)
	for seq := int64(5); seq < 100; seq++ {
		c.progress(seq - 4)
		next(t, p, seq)
		require.True(t, r.seq.hasBias(p))
		require.LessOrEqual(t, p.rival.ceiling, c.Cursor()+4)
		if seq%7 == 0 {
			_, err := r.TryClaim(1)
			require.ErrorIs(t, err, ErrFull)
		}
	}
}

// TestBias_OwnerInTheMiddle: an owner that has stored a claim and gets no further is passed by. Its claim
// holds if whoever revoked has seen it, and is made again if not.
func TestBias_OwnerInTheMiddle(t *testing.T) {
	for _, stored := range []bool{true, false} {
		r, p := biasedRing(t, 64)
		c := consumerForTest(r)
		for seq := int64(1); seq <= 8; seq++ {
			next(t, p, seq)
		}
		require.True(t, r.seq.hasBias(p))
		if stored {
			p.claimed++ // Next, up to its first load
		}
		hi, err := r.TryClaim(1)
		require.NoError(t, err)
		if stored {
			require.Equal(t, int64(10), hi)
			require.NoError(t, p.claim())
			require.Equal(t, int64(9), p.claimed)
		} else {
			require.Equal(t, int64(9), hi)
			p.claimed++
			require.NoError(t, p.claim())
			require.Equal(t, int64(10), p.claimed)
		}
		require.Equal(t, int64(10), r.seq.claimed())
		c.progress(10)
	}
}

// TestBias_FenceInTheMiddle is the same with a close.
func TestBias_FenceInTheMiddle(t *testing.T) {
	for _, stored := range []bool{true, false} {
		r, p := biasedRing(t, 64)
		consumerForTest(r)
		for seq := int64(1); seq <= 8; seq++ {
			next(t, p, seq)
		}
		if stored {
			p.claimed++
			r.seq.fence()
			require.True(t, r.seq.drained(9))
			require.NoError(t, p.claim())
			require.Equal(t, int64(9), p.claimed)
		} else {
			r.seq.fence()
			require.True(t, r.seq.drained(8))
		}
		_, err := p.Next()
		require.ErrorIs(t, err, ErrClosed)
	}
}

// TestBias_LateRevoker: one that was stopped before it revoked, and goes on in another bias, takes nothing but the bias.
func TestBias_LateRevoker(t *testing.T) {
	r, p := biasedRing(t, 64)
	c := consumerForTest(r)
	next(t, p, 1)
	old := r.seq.shared.word.Load()
	_, err := r.TryClaim(1)
	require.NoError(t, err)
	next(t, p, 3)
	next(t, p, 4)
	next(t, p, 5)
	require.True(t, r.seq.hasBias(p))
	// It has loaded old and the owner, and looked at the word.
	p.rival.revoked.Store(stateStopped)
	r.seq.settleBias(p.rival, old, 1)
	require.True(t, r.seq.hasBias(p))
	require.Equal(t, int64(5), r.seq.claimed())
	next(t, p, 6)
	require.False(t, r.seq.hasBias(p))
	next(t, p, 7)
	c.progress(7)
}

// TestBias_Newcomer: a consumer that joins at an old event is not lapped by an owner that looked for room before,
// although it claims while the newcomer waits for the word to move.
func TestBias_Newcomer(t *testing.T) {
	r, p := biasedRing(t, 8)
	c := consumerForTest(r)
	r.started = true
	publish(t, r, 6)
	c.progress(6)
	_, err := p.Next() // somebody has come before it
	require.NoError(t, err)
	p.Publish(7, 7)
	next(t, p, 8) // which gives it the bias
	next(t, p, 9) // for which it looks for room
	require.True(t, r.seq.hasBias(p))
	require.Equal(t, int64(14), p.rival.ceiling)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // the owner goes on when Join first yields
	joined, full := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(full)
		for n := 0; publishNext(p) == nil; n++ {
			if n == 0 {
				<-joined
			}
		}
	}()
	release := make(chan struct{})
	defer close(release)
	ctx := within(t)
	d, err := r.Join(ctx, "newcomer", HandlerFunc[int64](func(int64, []int64) error { <-release; return nil }), ConsumerOptions{From: 4})
	require.NoError(t, err)
	close(joined)
	waitUntil(ctx, t, func() bool { return c.gate.wakeAt.Load() != never || d.gate.wakeAt.Load() != never })
	require.Equal(t, int64(11), r.seq.claimed(), "4 is still being read")
	r.Halt()
	<-full
}

// TestBias_Contended has Producers, and others who claim from the ring, run against each other: no event is lost,
// doubled or torn.
func TestBias_Contended(t *testing.T) {
	each := 10_000
	if testing.Short() || raceEnabled || debugging {
		each = 2_000
	}
	for _, slots := range []int{1, 4, 1024} {
		for _, after := range []int{1, 16} {
			r, err := New[int64](Options{Slots: slots})
			require.NoError(t, err)
			r.seq.biasAfter, r.seq.biasWorth = after, 0
			const producers = 4
			last := [producers]int64{}
			seen := 0
			mustConsume(t, r, "c", func(first int64, span []int64) error {
				for _, v := range span {
					from, n := v%producers, v/producers
					if n != last[from]+1 {
						return errors.New("lost, doubled or torn")
					}
					last[from] = n
					seen++
				}
				return nil
			}, ConsumerOptions{})
			require.NoError(t, r.Start())
			var wg sync.WaitGroup
			for i := range producers {
				wg.Go(func() {
					p := r.Producer()
					for n := 1; n <= each; n++ {
						var seq int64
						var err error
						if i == 0 && n%64 == 0 { // with Next on the same goroutine
							seq, err = r.Claim(1)
						} else {
							seq, err = p.Next()
						}
						if err != nil {
							t.Error(err)
							return
						}
						*p.Slot(seq) = int64(n*producers + i)
						p.Publish(seq, seq)
					}
				})
			}
			wg.Wait()
			require.NoError(t, r.Close(within(t)))
			require.Equal(t, producers*each, seen)
		}
	}
}
