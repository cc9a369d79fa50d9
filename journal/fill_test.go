package journal

import (
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// The first write to a piece of a segment covers it to its end, and every later one lies in it, where syncs are
// seldom; elsewhere, and in memory, nothing is written but records.
func TestFill_WholePieces(t *testing.T) {
	for _, c := range []struct {
		o     Options
		disk  bool
		fills bool
	}{
		{Options{Durability: None()}, true, true},
		{Options{Durability: Interval(1 << 40)}, true, true},
		{Options{Durability: None()}, false, false},
		{Options{Durability: Group(defaultGroupDelay, 1)}, true, false},
		{Options{Durability: Batch(), NoPrewrite: true}, true, false},
	} {
		rnd := rand.New(rand.NewPCG(5, 6))
		st := newMemStorage()
		st.disk = c.disk
		c.o.SegmentBytes, c.o.Backend = 1<<20, BackendPwrite
		j, err := openMem(st, c.o)
		require.NoError(t, err)
		limit := segmentCapacity(c.o.SegmentBytes) &^ (fillBytes - 1) // index and seal lie behind it
		var ends []int64                                              // of the pieces of each segment that were begun
		written, pieces := int64(0), map[string]map[int64]bool{}
		st.wrote = func(name string, from, to int64) {
			if filepath.Base(name) == progressName {
				return
			}
			written += to - from
			if pieces[name] == nil {
				pieces[name] = map[int64]bool{}
			}
			for at := from &^ (fillBytes - 1); at < to && at < limit; at += fillBytes {
				if end := at + fillBytes; !pieces[name][at] {
					pieces[name][at] = true
					ends = append(ends, min(to, end)-end)
				}
			}
		}
		records := int64(0)
		for j.Stats().Rolls < 2 {
			for range rnd.IntN(40) {
				e := Entry{Body: make([]byte, rnd.IntN(400)), Time: 1}
				_, err := j.Stage(e)
				require.NoError(t, err)
				records += recordBytes(len(e.Body))
			}
			require.NoError(t, j.Commit())
		}
		require.NoError(t, j.Close())
		if !c.fills {
			require.Less(t, written, records+2*segmentReserve(c.o.SegmentBytes)+2*pageBytes, "%+v", c.o)
			continue
		}
		require.Greater(t, len(ends), 30, "%+v", c.o)
		for _, short := range ends {
			require.Zero(t, short, "%+v", c.o)
		}
	}
}
