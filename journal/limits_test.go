package journal

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// What MaxBatchBytes says fits, also into a segment that has room left for less; one byte more does not.
func TestMaxBatchBytes_IsExact(t *testing.T) {
	for _, records := range []int{1, 2, 7, 100} {
		j, err := Open(t.TempDir(), Options{SegmentBytes: MinSegmentBytes, Durability: None()})
		require.NoError(t, err)
		_, err = j.Append(Entry{Body: make([]byte, 5000)})
		require.NoError(t, err)
		room := j.MaxBatchBytes(records)
		require.Positive(t, room)
		require.ErrorIs(t, j.BeginBatch(records, room+1), ErrBatchTooLarge)
		entries := make([]Entry, records)
		left := int(room)
		for i := range entries {
			n := min(left/(records-i), j.MaxBodyBytes())
			entries[i].Body = make([]byte, n)
			left -= n
		}
		last, err := j.AppendBatch(entries)
		require.NoError(t, err)
		require.EqualValues(t, records+1, last)
		require.NoError(t, j.Close())
	}
}

func TestMaxBatchBytes_TooManyRecords(t *testing.T) {
	j, err := Open(t.TempDir(), Options{SegmentBytes: MinSegmentBytes, Durability: None()})
	require.NoError(t, err)
	defer j.Close()
	require.Zero(t, j.MaxBatchBytes(MinSegmentBytes))
	require.Equal(t, segmentCapacity(MinSegmentBytes), j.MaxBatchBytes(0), "what there is without records")
	require.Equal(t, j.MaxBodyBytes(), int(min(int64(j.MaxBodyBytes()), j.MaxBatchBytes(1)+recordAlign)))
}

func TestReader_Durable_IsWhatWasSynced(t *testing.T) {
	dir := t.TempDir()
	j, err := Open(dir, Options{SegmentBytes: MinSegmentBytes, Durability: None()})
	require.NoError(t, err)
	durable := func() (inside, outside int64) {
		in, err := j.NewReader(0, ReaderOptions{})
		require.NoError(t, err)
		defer in.Close()
		out, err := OpenReader(dir, 0, ReaderOptions{})
		require.NoError(t, err)
		defer out.Close()
		inside, err = in.Durable()
		require.NoError(t, err)
		outside, err = out.Durable()
		require.NoError(t, err)
		return inside, outside
	}
	for round := range int64(3) {
		for range 300 { // rolls over on the way
			_, err = j.Append(Entry{Body: make([]byte, 150)})
			require.NoError(t, err)
		}
		in, out := durable()
		require.Less(t, in, (round+1)*300)
		require.LessOrEqual(t, out, in)
		require.NoError(t, j.Sync())
		in, out = durable()
		require.EqualValues(t, (round+1)*300, in)
		require.Equal(t, in, out)
	}
	require.NoError(t, j.Close())
	r, err := OpenReader(dir, 0, ReaderOptions{})
	require.NoError(t, err)
	defer r.Close()
	d, err := r.Durable()
	require.NoError(t, err)
	require.EqualValues(t, 900, d)
}

// A body of MaxBodyBytes is written, one byte more is not: of the option, and of the default where a segment is what bounds it.
func TestMaxBodyBytes_IsExact(t *testing.T) {
	fits := int(segmentCapacity(MinSegmentBytes) - recordHeaderBytes)
	for _, limit := range []int{1, 1000, fits, 0} {
		j, err := openMem(newMemStorage(), Options{Durability: None(), MaxBodyBytes: limit})
		require.NoError(t, err)
		if limit == 0 {
			limit = fits
		}
		require.Equal(t, limit, j.MaxBodyBytes())
		for n := range 3 {
			body := make([]byte, limit+1)
			_, err = j.Append(Entry{Body: body})
			require.ErrorIs(t, err, ErrBodyTooLarge, "%d", limit)
			seq, err := j.Append(Entry{Body: body[1:]})
			require.NoError(t, err, "%d", limit)
			require.EqualValues(t, n+1, seq)
		}
		require.NoError(t, j.Close())
	}
	_, err := openMem(newMemStorage(), Options{MaxBodyBytes: fits + 1})
	require.ErrorContains(t, err, "MaxBodyBytes")
}
