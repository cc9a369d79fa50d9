package handlers

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/journal"
)

// awayModel is a read model on a lane that tests feed by hand, span by span, and the log beside it.
type awayModel struct {
	model *Projection[[]int64] // the sequences that it has handled
	lane  *Lane
	slots []Slot  // slots[s-1] is event s
	want  []int64 // the events among them: others are voids
	ends  []int64 // ends[s-1] is the last sequence of the atomic batch that s is in
	fed   int64   // the lane has been given what is up to here
	cut   bool    // a handler of batches got a part of one
	fails bool    // the handler fails
}

var errAway = errors.New("fails on purpose")

// newAwayModel handles events in batches, or one by one with batches = 0.
func newAwayModel(t *testing.T, batches int) *awayModel {
	m := &awayModel{model: NewProjection("model", &[]int64{})}
	m.lane = m.model.Lane()
	if batches > 0 {
		ApplyBatch(m.model, Filter{}, batches, func(s *[]int64, _ *Context, events []Delivery) error {
			first, last := events[0].Sequence, events[len(events)-1].Sequence
			m.cut = m.cut || first > 1 && m.ends[first-2] >= first || m.ends[last-1] > last
			for _, d := range events {
				*s = append(*s, d.Sequence)
			}
			return m.failure()
		})
	} else {
		ApplyFiltered(m.model, Filter{}, func(s *[]int64, c *Context) error {
			*s = append(*s, c.Sequence())
			return m.failure()
		})
	}
	catalog := new(event.Catalog)
	_, _, err := catalog.Assign("thing")
	require.NoError(t, err)
	require.NoError(t, m.lane.Bind(Binding{Context: t.Context(), Types: NewTypes(event.NewRegistry(), catalog)}))
	m.lane.Slots(func(seq int64) *Slot { return &m.slots[seq-1] })
	return m
}

func (m *awayModel) failure() error {
	if m.fails {
		return errAway
	}
	return nil
}

// publish puts an atomic batch of n events into ring and log, or a void with n = 0.
func (m *awayModel) publish(t *testing.T, n int) {
	last := int64(len(m.slots) + max(1, n))
	for i := range max(1, n) {
		s := Slot{Kind: journal.KindVoid}
		if n > 0 {
			s = Slot{Type: FirstUserType, Kind: journal.KindEvent, Time: int64(len(m.slots)), Body: numberedBody(t, "", 0)}
			m.want = append(m.want, int64(len(m.slots)+1))
		}
		if i == 0 && n > 1 {
			s.Batch = uint32(n)
		}
		m.slots, m.ends = append(m.slots, s), append(m.ends, last)
	}
}

// feed gives the lane a span of the ring, as long as to.
func (m *awayModel) feed(to int64) error {
	from := m.fed
	m.fed = to
	return m.lane.HandleSpan(from+1, m.slots[from:to])
}

// read is the log.
func (m *awayModel) read(from, to int64, fn func(journal.Record) error) error {
	for seq := from; seq <= to; seq++ {
		s := m.slots[seq-1]
		rec := journal.Record{Sequence: seq, Time: s.Time, Type: s.Type, Kind: s.Kind, Body: s.Body}
		if m.ends[seq-1] > seq {
			rec.Flags = journal.FlagBatch
		}
		if err := fn(rec); err != nil {
			return err
		}
	}
	return nil
}

func (m *awayModel) state() (seen []int64, sequence int64) {
	m.model.View(func(s *[]int64, seq int64) { seen, sequence = slices.Clone(*s), seq })
	return seen, sequence
}

// check holds the state against the log.
func (m *awayModel) check(t *testing.T, seed uint64) {
	seen, sequence := m.state()
	n, _ := slices.BinarySearch(m.want, sequence+1)
	require.Equal(t, append([]int64{}, m.want[:n]...), append([]int64{}, seen...), "at %d, seed %d", sequence, seed)
	require.False(t, m.cut, "a part of an atomic batch, seed %d", seed)
}

// The ring may end a span in the middle of an atomic batch. A handler of batches that rejoins there gets all of it from the log,
// and nothing of it again from the ring.
func TestLane_RejoinInTheMiddleOfABatch(t *testing.T) {
	m := newAwayModel(t, 10)
	m.publish(t, 1)
	m.publish(t, 3)
	m.publish(t, 1)
	require.NoError(t, m.feed(1))
	m.lane.Pause()
	require.NoError(t, m.feed(2))
	m.lane.Resume()
	require.NoError(t, m.lane.Rejoin(t.Context(), 64, m.read))
	m.check(t, 0)
	seen, _ := m.state()
	require.Equal(t, []int64{1, 2, 3, 4}, seen)
	require.NoError(t, m.feed(5))
	m.check(t, 0)
	seen, _ = m.state()
	require.Equal(t, []int64{1, 2, 3, 4, 5}, seen)
}

// A state that is rebuilt takes the place of the live one with all that this one has, however little was left to read
// when the live one had to wait for it.
func TestLane_Rebuild_HasAllOfTheLiveOne(t *testing.T) {
	for _, batches := range []int{0, 4} {
		for _, near := range []int64{0, 1, 64} {
			m := newAwayModel(t, batches)
			for range 20 {
				m.publish(t, 1)
			}
			require.NoError(t, m.feed(10))
			more := true
			read := func(from, to int64, fn func(journal.Record) error) error {
				if to-from >= near && more { // not while the lane waits
					more = false
					require.NoError(t, m.feed(17))
				}
				return m.read(from, to, fn)
			}
			require.NoError(t, m.lane.Rebuild(t.Context(), 1, near, read, func(int64) {}))
			m.check(t, 0)
			_, at := m.state()
			require.Equal(t, m.fed, at)

			m.fails = true
			require.ErrorIs(t, m.lane.Rebuild(t.Context(), 1, near, m.read, func(int64) {}), errAway)
			m.fails = false
			m.check(t, 0)
			require.NoError(t, m.feed(20))
			m.check(t, 0)
		}
	}
}

// Pauses, resumptions and rebuildings in any order, between any two spans and while the log is read: whoever looks in sees all
// events up to the sequence that the state says, each once.
func TestLane_AwayAtRandom_AgainstTheLog(t *testing.T) {
	for round := range 200 {
		seed := rand.Uint64()
		rng := rand.New(rand.NewPCG(seed, 0))
		m := newAwayModel(t, (round%2)*(1+rng.IntN(6)))
		near := int64(rng.IntN(12))
		for range 30 {
			m.publish(t, rng.IntN(2)*rng.IntN(7))
		}
		// read also does what others do while the ring does not wait.
		read := func(from, to int64, fn func(journal.Record) error) error {
			return m.read(from, to, func(rec journal.Record) error {
				if to-from >= near {
					switch rng.IntN(20) {
					case 0:
						m.lane.Pause()
					case 1:
						require.NoError(t, m.feed(min(int64(len(m.slots)), m.fed+1+int64(rng.IntN(4)))), "seed %d", seed)
					}
				}
				return fn(rec)
			})
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for m.fed < int64(len(m.slots)) || m.lane.Away() {
			before, was := m.state()
			switch rng.IntN(6) {
			case 0:
				m.lane.Pause()
			case 1:
				m.lane.Resume()
				require.NoError(t, m.lane.Rejoin(t.Context(), near, read), "seed %d", seed)
			case 2:
				require.NoError(t, m.lane.Rebuild(t.Context(), 1, near, read, func(int64) {}), "seed %d", seed)
			case 3:
				if m.lane.Away() {
					require.ErrorIs(t, m.lane.Rejoin(ctx, near, read), context.Canceled)
				}
			default:
				away := m.lane.Away()
				require.NoError(t, m.feed(min(int64(len(m.slots)), m.fed+1+int64(rng.IntN(4)))), "seed %d", seed)
				if after, is := m.state(); away {
					require.Equal(t, before, after, "seed %d", seed)
					require.Equal(t, was, is, "seed %d", seed)
				}
			}
			m.check(t, seed)
		}
		seen, at := m.state()
		require.Equal(t, append([]int64{}, m.want...), append([]int64{}, seen...), "seed %d", seed)
		require.EqualValues(t, len(m.slots), at, "seed %d", seed)
	}
}
