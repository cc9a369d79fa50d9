package journal

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
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

// One byte of some records of one length changes, each in turn: a reader delivers what is before it
// and names the place, wherever in a group of records that are verified together it lies.
func TestReader_EveryByteOfAWindow(t *testing.T) {
	for _, size := range []int{0, 5, 24, 129} {
		dir := t.TempDir()
		j, err := Open(dir, Options{Durability: None(), SegmentBytes: MinSegmentBytes})
		require.NoError(t, err)
		const n = 80
		for i := range n {
			kind := KindEvent
			if i == 40 || i == 41 {
				kind = KindVoid // of the same length, where the body is empty
			}
			e := Entry{Kind: kind, Time: 1}
			if kind == KindEvent {
				e.Body = make([]byte, size)
			}
			_, err := j.Stage(e)
			require.NoError(t, err)
		}
		require.NoError(t, j.Commit())
		require.NoError(t, j.Close())
		segs, _, _, err := listSegments(osStorage{}, dir)
		require.NoError(t, err)
		name := filepath.Join(dir, segs[0].name)
		whole, err := os.ReadFile(name)
		require.NoError(t, err)
		var offsets []int64
		read := func() (count int, err error) {
			r, err := OpenReader(dir, 0, ReaderOptions{})
			require.NoError(t, err)
			defer r.Close()
			offsets = offsets[:0]
			return r.Read(func(rec Record) error {
				want := KindEvent
				if len(offsets) == 40 || len(offsets) == 41 {
					want = KindVoid
				}
				if rec.Sequence != int64(len(offsets)+1) || rec.Kind != want {
					return fmt.Errorf("record %d, a %v", rec.Sequence, rec.Kind)
				}
				offsets = append(offsets, rec.Offset)
				return nil
			})
		}
		got, err := read()
		require.NoError(t, err)
		require.Equal(t, n, got)
		places := append(slices.Clone(offsets), offsets[n-1]+recordBytes(size))
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		require.NoError(t, err)
		defer f.Close()
		for at := places[37]; at < places[43]; at++ {
			_, err := f.WriteAt([]byte{whole[at] ^ 0x10}, at)
			require.NoError(t, err)
			i, found := slices.BinarySearch(places, at)
			if !found {
				i--
			}
			got, err := read()
			var bad *CorruptionError
			require.ErrorAs(t, err, &bad, "size %d, offset %d", size, at)
			require.Equal(t, i, got, "size %d, offset %d", size, at)
			require.Equal(t, places[i], bad.Offset, "size %d, offset %d", size, at)
			_, err = f.WriteAt(whole[at:at+1], at)
			require.NoError(t, err)
		}
	}
}
