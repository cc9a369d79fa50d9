package journal

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// Records of all sizes, some larger than a window, some that end on its edge: read in one go and
// in steps behind a writer they are what was written.
func TestReader_WindowEdges(t *testing.T) {
	for seed := range uint64(4) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		sizes := []int{0, 1, 7, 8, windowBytes - 2*recordHeaderBytes - 8, windowBytes - recordHeaderBytes,
			windowBytes - recordHeaderBytes + 1, windowBytes, 3 * windowBytes, windowLeast}
		for range 400 {
			sizes = append(sizes, rnd.IntN(1<<rnd.IntN(13)))
		}
		rnd.Shuffle(len(sizes), func(i, k int) { sizes[i], sizes[k] = sizes[k], sizes[i] })
		j, err := openMem(newMemStorage(), Options{Durability: None(), SegmentBytes: 1 << 20})
		require.NoError(t, err)
		step, err := j.NewReader(0, ReaderOptions{})
		require.NoError(t, err)
		var bodies [][]byte
		check := func(n *int) func(Record) error {
			return func(rec Record) error {
				if want := bodies[*n]; rec.Sequence != int64(*n+1) || !bytes.Equal(rec.Body, want) {
					return fmt.Errorf("seed %d: record %d of %d bytes differs from the %d written", seed, rec.Sequence, len(rec.Body), len(want))
				}
				*n++
				return nil
			}
		}
		stepped := 0
		for i, n := range sizes {
			body := make([]byte, n)
			for k := range body {
				body[k] = byte(i + k)
			}
			bodies = append(bodies, body)
			kind := KindEvent
			if i%50 == 49 {
				kind, bodies[i] = KindVoid, nil
				body = nil
			}
			_, err := j.Stage(Entry{Body: body, Kind: kind})
			require.NoError(t, err)
			if rnd.IntN(8) == 0 {
				require.NoError(t, j.Commit())
				_, err = step.Read(check(&stepped))
				require.NoError(t, err)
			}
		}
		require.NoError(t, j.Commit())
		_, err = step.Read(check(&stepped))
		require.NoError(t, err)
		require.Equal(t, len(sizes), stepped)
		whole, err := j.NewReader(0, ReaderOptions{})
		require.NoError(t, err)
		n := 0
		_, err = whole.Read(check(&n))
		require.NoError(t, err)
		require.Equal(t, len(sizes), n)
		require.NoError(t, whole.Close())
		require.NoError(t, step.Close())
		require.NoError(t, j.Close())
	}
}
