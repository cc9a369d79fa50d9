package ring

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// life is a ring in which consumers come and go, claims are aborted and which ends, as slices and
// maps. Its consumers are pollers, because these do nothing by themselves.
type life struct {
	slots, first, claimed int64
	readable              int64          // what cursor has found last
	state                 map[int64]byte // of a claimed sequence: 'p'ublished, 'a'borted, or 'c'laimed
	pollers               []*lifePoller
	closed, halted        bool
}

type lifePoller struct {
	p      *Poller[int64]
	name   string
	cursor int64
	held   int64 // last of the span that it has, 0 if none
	after  []*lifePoller
	batch  int64
	err    error // final
}

func (m *life) cursor() int64 {
	for m.state[m.readable+1] == 'p' || m.state[m.readable+1] == 'a' {
		m.readable++
	}
	return m.readable
}

func (m *life) gate() int64 {
	least := m.claimed
	for _, p := range m.pollers {
		least = min(least, p.cursor)
	}
	return least
}

func (m *life) tryClaim(n int64) (int64, error) {
	switch {
	case n < 1 || n > m.slots:
		return 0, ErrClaimSize
	case m.halted:
		return 0, ErrHalted
	case m.closed:
		return 0, ErrClosed
	case m.claimed+n-m.gate() > m.slots:
		return 0, ErrFull
	}
	for range n {
		m.claimed++
		m.state[m.claimed] = 'c'
	}
	return m.claimed, nil
}

func (m *life) barrier(p *lifePoller) int64 {
	hi := m.cursor()
	for _, up := range p.after {
		hi = min(hi, up.cursor)
	}
	return hi
}

func (p *lifePoller) finish() { p.cursor, p.held = max(p.cursor, p.held), 0 }

// poll is what Poll(most) returns.
func (m *life) poll(p *lifePoller, most int64) (first, n int64, err error) {
	p.finish()
	if p.err == nil && m.halted {
		p.err = ErrHalted
	}
	if p.err != nil {
		return 0, 0, p.err
	}
	hi := m.barrier(p)
	for p.cursor < hi {
		lo := p.cursor + 1
		n := min(hi-lo+1, most, p.batch, m.slots-lo%m.slots)
		run := int64(1)
		for run < n && m.state[lo+run] == m.state[lo] {
			run++
		}
		if m.state[lo] == 'a' {
			p.cursor = lo + run - 1
			continue
		}
		p.held = lo + run - 1
		return lo, run, nil
	}
	if m.closed && p.cursor == m.claimed {
		p.err = ErrClosed
	}
	return 0, 0, p.err
}

func (m *life) leave(p *lifePoller) {
	m.pollers = slices.DeleteFunc(m.pollers, func(q *lifePoller) bool { return q == p })
	for _, q := range m.pollers {
		if slices.Contains(q.after, p) {
			q.after = slices.DeleteFunc(append(slices.Clone(q.after), p.after...), func(o *lifePoller) bool { return o == p })
		}
	}
	p.err = ErrLeft
}

// TestRing_RandomLife_MatchReference runs sequences of everything that changes a ring, and compares
// what is returned and what can be seen after each.
func TestRing_RandomLife_MatchReference(t *testing.T) {
	runs := 100
	if os.Getenv("HEADRACE_LONG") != "" {
		runs = 5_000
	}
	seed := rand.Uint64()
	ended := canceled()
	for run := range runs {
		rng := rand.New(rand.NewPCG(seed, uint64(run)))
		slots := int64(1) << rng.IntN(4)
		first := []int64{1, 2, slots, 1<<31*slots - 20, 1<<32*slots - 20, 1<<62 - 20, MaxFirstSequence}[rng.IntN(7)]
		producers := Producers(rng.IntN(2))
		plain := plainModes()[rng.IntN(len(plainModes()))]
		name := fmt.Sprintf("seed=%d run=%d slots=%d first=%d producers=%v plain=%v", seed, run, slots, first, producers, plain)
		r, err := newRing[int64](Options{Slots: int(slots), FirstSequence: first, Producers: producers, Wait: WaitPark()}, plain)
		require.NoError(t, err, name)
		biasAtOnce(r)
		rivals := []*Producer[int64]{r.Producer(), r.Producer()}
		m := &life{slots: slots, first: first, claimed: first - 1, readable: first - 1, state: map[int64]byte{}}
		names := 0
		options := func() (ConsumerOptions, *lifePoller) {
			q := &lifePoller{name: fmt.Sprint(names), batch: max(1, slots/8)}
			names++
			o := ConsumerOptions{MaxBatch: rng.IntN(4)}
			if o.MaxBatch > 0 {
				q.batch = int64(o.MaxBatch)
			}
			for _, up := range m.pollers {
				if rng.IntN(3) == 0 {
					q.after = append(q.after, up)
					o.After = append(o.After, up.p.Consumer())
				}
			}
			return o, q
		}
		for range 1 + rng.IntN(3) {
			o, q := options()
			q.cursor = first - 1
			q.p, err = r.Poller(q.name, o)
			require.NoError(t, err, name)
			m.pollers = append(m.pollers, q)
		}
		require.NoError(t, r.Start(), name)

		type claim struct{ lo, hi int64 }
		var open []claim
		var all []*lifePoller // with those that have left
		all = append(all, m.pollers...)
		for step := range 300 {
			op := rng.IntN(100)
			at := moment{name, step, op}
			switch {
			case op < 25:
				n := rng.Int64N(slots+2) - rng.Int64N(2)
				want, wantErr := m.tryClaim(n)
				try := func() (int64, error) { return r.TryClaim(int(n)) }
				if n == 1 && wantErr == nil && rng.IntN(4) > 0 {
					try = rivals[rng.IntN(2)].Next
				}
				hi, err := try()
				require.ErrorIs(t, err, wantErr, at)
				require.Equal(t, want, hi, at)
				if err == nil {
					open = append(open, claim{hi - n + 1, hi})
				}
			case op < 30: // and with a context that has ended nothing is claimed
				_, err := r.ClaimContext(ended, 1)
				require.ErrorIs(t, err, context.Canceled, at)
			case op < 35: // claim, write and publish in one call
				n := 1 + rng.Int64N(slots)
				want, wantErr := m.tryClaim(n)
				fails := rng.IntN(3) == 0
				if producers == SingleProducer && len(open) > 0 && wantErr == nil { // claims are published in order
					hi, err := r.TryClaim(int(n))
					require.NoError(t, err, at)
					open = append(open, claim{hi - n + 1, hi})
					break
				}
				oh := errors.New("oh")
				hi, err := r.TryPublishFunc(int(n), func(lo int64, a, b []int64) error {
					require.Equal(t, want-n+1, lo, at)
					require.Equal(t, int(n), len(a)+len(b), at)
					for i := range n {
						if i < int64(len(a)) {
							a[i] = lo + i
						} else {
							b[i-int64(len(a))] = lo + i
						}
					}
					if fails {
						return oh
					}
					return nil
				})
				if wantErr != nil {
					require.ErrorIs(t, err, wantErr, at)
					break
				}
				for s := want - n + 1; s <= want; s++ {
					m.state[s] = 'p'
					if fails {
						m.state[s] = 'a'
					}
				}
				if fails {
					require.Equal(t, oh, err, at)
				} else {
					require.NoError(t, err, at)
					require.Equal(t, want, hi, at)
				}
			case op < 60 && len(open) > 0: // publish or abort, all of a claim or its first part
				i := 0
				if producers == MultiProducer {
					i = rng.IntN(len(open))
				}
				c := open[i]
				if cut := c.lo + rng.Int64N(c.hi-c.lo+1); rng.IntN(3) == 0 && cut < c.hi {
					open[i].lo, c.hi = cut+1, cut
				} else {
					open = slices.Delete(open, i, i+1)
				}
				what := byte('p')
				if rng.IntN(4) == 0 {
					what = 'a'
					r.Abort(c.lo, c.hi)
				} else {
					for s := c.lo; s <= c.hi; s++ {
						*r.Slot(s) = s
					}
					r.Publish(c.lo, c.hi)
				}
				for s := c.lo; s <= c.hi; s++ {
					m.state[s] = what
				}
			case op < 85:
				q := all[rng.IntN(len(all))]
				most := 1 + rng.Int64N(slots)
				wantFirst, wantN, wantErr := m.poll(q, most)
				lo, span, err := q.p.Poll(int(most))
				require.ErrorIs(t, err, wantErr, at)
				require.Equal(t, wantErr == nil, err == nil, at)
				require.Equal(t, wantFirst, lo, at)
				require.Len(t, span, int(wantN), at)
				for i, v := range span {
					require.Equal(t, lo+int64(i), v, at)
				}
				if wantN > 1 && rng.IntN(3) == 0 { // a part is released early
					seq := lo + rng.Int64N(wantN)
					q.p.Release(seq)
					q.cursor = seq
				}
			case op < 90 && !m.closed && !m.halted:
				m.join(t, r, rng, options, &all, at)
			case op < 95:
				q := all[rng.IntN(len(all))]
				wasErr := q.err
				q.finish()
				var wantErr error
				if wasErr == nil && !m.halted {
					others := 0
					for _, o := range m.pollers {
						if o != q {
							others++
						}
					}
					if others == 0 {
						wantErr = ErrLastConsumer
					}
				}
				err := q.p.Leave()
				require.Equal(t, wantErr, err, at)
				if wasErr == nil && wantErr == nil {
					if m.halted {
						q.err = ErrLeft
					} else {
						m.leave(q)
					}
				}
			case op == 95 && step > 100:
				if !m.halted {
					m.closed = true
					var late *DrainError
					err := r.Close(ended)
					if m.ended() {
						require.NoError(t, err, at)
					} else {
						require.ErrorAs(t, err, &late, at)
						require.Equal(t, m.claimed, late.Claimed, at)
						require.Equal(t, m.cursor(), late.Published, at)
					}
				}
			case op == 96 && step > 250:
				if !m.ended() {
					m.halted, m.closed = true, true
				}
				r.Halt()
			}
			require.Equal(t, m.cursor(), r.Cursor(), at)
			for _, q := range all {
				require.Equal(t, q.cursor, q.p.Consumer().Cursor(), at)
			}
			if !m.closed {
				require.Equal(t, slots-(m.claimed-m.gate()), r.Remaining(), at)
			}
		}
	}
}

// ended tells whether every poller that is left has come to the end.
func (m *life) ended() bool {
	for _, q := range m.pollers {
		if q.err == nil {
			return false
		}
	}
	return true
}

// join adds a poller. With many producers it may take a sequence and abort it, for which it waits
// while the ring is full; see Ring.Join.
func (m *life) join(t *testing.T, r *Ring[int64], rng *rand.Rand, options func() (ConsumerOptions, *lifePoller), all *[]*lifePoller, at moment) {
	o, q := options()
	reach := m.barrier(q)
	q.cursor = reach
	if rng.IntN(2) == 0 {
		o.From = m.first + rng.Int64N(m.claimed-m.first+3)
		q.cursor = o.From - 1
	}
	if len(m.pollers) == 0 || m.ended() {
		return
	}
	ctx := context.Background()
	full := r.seq.multi && m.claimed-m.gate() >= m.slots
	if full {
		ctx = &endsAtFirstWait{Context: canceled()}
	}
	var err error
	q.p, err = r.JoinPoller(ctx, q.name, o)
	if full && errors.Is(err, context.Canceled) {
		return
	}
	oldest := m.claimed - m.slots
	var gone *GoneError
	var option *OptionError
	switch {
	case o.From > reach+1:
		require.ErrorAs(t, err, &option, at)
		return
	case q.cursor < oldest:
		require.ErrorAs(t, err, &gone, at)
		return
	}
	if took := r.seq.claimed(); took > m.claimed { // to be sure that no claim is under way
		require.True(t, r.seq.multi && took == m.claimed+1, at)
		m.claimed = took
		m.state[took] = 'a'
	}
	if errors.As(err, &gone) { // the oldest event of a full ring
		require.True(t, r.seq.multi && q.cursor <= m.claimed-m.slots, at)
		return
	}
	require.NoError(t, err, at)
	m.pollers = append(m.pollers, q)
	*all = append(*all, q)
}

// endsAtFirstWait is a context that has not ended when Join looks first, and has when Join waits.
type endsAtFirstWait struct {
	context.Context
	asked bool
}

func (c *endsAtFirstWait) Err() error {
	if !c.asked {
		c.asked = true
		return nil
	}
	return c.Context.Err()
}

// A moment is where a run is, put into words only when something is wrong.
type moment struct {
	run      string
	step, op int
}

func (m moment) String() string { return fmt.Sprintf("%s step=%d op=%d", m.run, m.step, m.op) }

// canceled returns a context that has ended.
func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
