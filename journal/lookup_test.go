package journal

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A reader of the journal need not read a segment that is being written from its start; nor after batches were taken
// back, the segment was full, or the journal was opened again.
func TestSeek_ActiveSegment_BeginsNear(t *testing.T) {
	st := newMemStorage()
	j, err := openMem(st, Options{Durability: None()})
	require.NoError(t, err)
	body := make([]byte, 200)
	near := func() {
		t.Helper()
		last := j.Written()
		r, err := j.NewReader(last-3, ReaderOptions{})
		require.NoError(t, err)
		defer r.Close()
		ok, err := r.enter()
		require.NoError(t, err)
		require.True(t, ok)
		require.LessOrEqual(t, r.next, last-3)
		require.Less(t, last-3-r.next, int64(2*minIndexSpacing/(recordHeaderBytes+len(body))), "it begins at %d", r.next)
		var got []int64
		_, err = r.Read(func(rec Record) error { got = append(got, rec.Sequence); return nil })
		require.NoError(t, err)
		require.Equal(t, []int64{last - 3, last - 2, last - 1, last}, got)
	}
	for round := range 3 {
		for j.Stats().Rolls < uint64(round)+1 {
			_, err := j.Append(Entry{Type: 20, Body: body})
			require.NoError(t, err)
			if s := j.Written(); s%50 == 0 {
				require.NoError(t, j.BeginBatch(40, 40*200))
				for range 39 {
					_, err := j.Stage(Entry{Type: 20, Body: body})
					require.NoError(t, err)
				}
				j.CancelBatch()
				_, err := j.Append(Entry{Type: 20, Body: body}) // commits what the batch has begun with, such as a new segment
				require.NoError(t, err)
				near()
			}
		}
	}
	require.NoError(t, j.Close())
	j, err = openMem(st, Options{Durability: None()})
	require.NoError(t, err)
	for range 10 {
		_, err := j.Append(Entry{Type: 20, Body: body})
		require.NoError(t, err)
	}
	near()
	require.NoError(t, j.Close())
}
