package handlers

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace/event"
	"github.com/headrace/headrace/journal"
)

func numberedBody(t testing.TB, key string, version int64) []byte {
	t.Helper()
	body, err := event.AppendHeader(nil, &event.Header{ID: event.NewID(), Key: key, StreamVersion: version})
	require.NoError(t, err)
	return body
}

func view(t testing.TB, body []byte) event.View {
	t.Helper()
	v, err := event.Parse(body)
	require.NoError(t, err)
	return v
}

// randomLog is n events, of which most stand in one of a few streams.
func randomLog(t testing.TB, rnd *rand.Rand, n int) []journal.Record {
	var log []journal.Record
	heads := map[string]int64{}
	seq := int64(rnd.IntN(5))
	for range n {
		seq += 1 + int64(rnd.IntN(2)*rnd.IntN(40_000))
		if rnd.IntN(4) == 0 {
			log = append(log, journal.Record{Sequence: seq, Kind: journal.KindVoid})
			continue
		}
		key := fmt.Sprint("stream-", rnd.IntN(6))
		heads[key]++
		log = append(log, journal.Record{Sequence: seq, Kind: journal.KindEvent, Type: FirstUserType, Body: numberedBody(t, key, heads[key])})
	}
	return log
}

func learned(t testing.TB, limit int64, log []journal.Record) *Streams {
	s := NewStreams(limit)
	for _, rec := range log {
		if rec.Kind == journal.KindEvent {
			require.NoError(t, s.Learn(view(t, rec.Body), rec.Sequence, false))
		}
	}
	return s
}

func (p StreamPlaces) all(backward bool) (all [][2]int64) {
	add := func(version, seq int64) bool { all = append(all, [2]int64{version, seq}); return true }
	if backward {
		p.Descend(p.Version, add)
		slices.Reverse(all)
	} else {
		p.Ascend(0, add)
	}
	return all
}

// An image at any place of the log is the table that the log up to there makes, however much of the index was forgotten
// meanwhile; and it goes on with the rest.
func TestStreams_ImageAtAnyPlace(t *testing.T) {
	rnd := rand.New(rand.NewPCG(11, 2))
	for _, limit := range []int64{1 << 20, 60, -1} {
		log := randomLog(t, rnd, 300)
		for range 40 {
			cut := rnd.IntN(len(log) + 1)
			upTo := int64(0)
			if cut > 0 {
				upTo = log[cut-1].Sequence
			}
			s := learned(t, limit, log)
			asked := false
			image, err := s.AppendTo([]byte("before"), upTo, func(_, _ int64, fn func(journal.Record) error) error {
				asked = true
				for _, rec := range log {
					if err := fn(rec); err != nil {
						return err
					}
				}
				return nil
			})
			require.NoError(t, err)
			require.False(t, asked && limit == 1<<20, "a table that has forgotten nothing need not read")
			got := NewStreams(limit)
			require.NoError(t, got.Decode(image[len("before"):]))
			exact := learned(t, 1<<20, log[:cut])
			require.Equal(t, exact.Len(), got.Len())
			for name := range exact.byName {
				want, _ := exact.Places(name)
				have, ok := got.Places(name)
				require.True(t, ok)
				require.Equal(t, want.Version, have.Version, "limit %d, up to %d, %s", limit, upTo, name)
				require.Equal(t, want.First, have.First)
				require.LessOrEqual(t, want.Last, have.Last)
				require.LessOrEqual(t, have.Last, upTo)
				places := want.all(false)
				known, _ := have.Known()
				require.True(t, slices.Equal(places[known-1:], have.all(false)))
				require.True(t, slices.Equal(places[known-1:], have.all(true)))
				if limit == 1<<20 {
					require.Equal(t, int64(1), known)
				}
			}
			for _, rec := range log[cut:] {
				if rec.Kind == journal.KindEvent {
					require.NoError(t, got.Learn(view(t, rec.Body), rec.Sequence, false))
				}
			}
			for name, st := range learned(t, limit, log).byName {
				require.Equal(t, st.head, got.Version(name))
			}
			require.LessOrEqual(t, got.PlaceBytes(), max(limit, 0))
		}
	}
}

func TestStreams_Learn_Gaps(t *testing.T) {
	s := NewStreams(1000)
	require.NoError(t, s.Learn(view(t, numberedBody(t, "a", 1)), 10, false))
	for _, n := range []int64{1, 3} {
		var v *VersionError
		require.ErrorAs(t, s.Learn(view(t, numberedBody(t, "a", n)), 11, false), &v)
		require.Equal(t, VersionError{"a", n - 1, 1}, *v)
	}
	require.NoError(t, s.Learn(view(t, numberedBody(t, "a", 5)), 20, true), "where the log has lost some")
	require.Error(t, s.Learn(view(t, numberedBody(t, "a", 5)), 21, true), "but never twice")
	p, ok := s.Places("a")
	require.True(t, ok)
	require.Equal(t, [][2]int64{{5, 20}}, p.all(false))
	require.Equal(t, int64(5), s.Version("a"))
}

func FuzzStreams_Decode(f *testing.F) {
	rnd := rand.New(rand.NewPCG(1, 1))
	image, err := learned(f, 1<<20, randomLog(f, rnd, 30)).AppendTo(nil, 1<<40, nil)
	require.NoError(f, err)
	f.Add(image)
	f.Add(image[:len(image)/2])
	f.Fuzz(func(t *testing.T, image []byte) {
		s := NewStreams(1 << 20)
		if err := s.Decode(image); err != nil {
			require.ErrorIs(t, err, ErrStreamsImage)
			require.Zero(t, s.Len())
			return
		}
		for name := range s.byName {
			p, _ := s.Places(name)
			require.True(t, slices.Equal(p.all(false), p.all(true)))
		}
		again, err := s.AppendTo(nil, 1<<62, nil)
		require.NoError(t, err)
		require.NoError(t, NewStreams(1<<20).Decode(again))
	})
}
