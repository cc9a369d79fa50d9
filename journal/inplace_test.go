package journal

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// Bodies made in place, whole, short, failed and panicked, in both backends and inside batches, are
// the bytes that Stage would have written.
func TestStageInPlace(t *testing.T) {
	for _, b := range []Backend{BackendMmap, BackendPwrite} {
		for seed := range uint64(3) {
			var files [2][]byte
			for way := range files {
				rnd := rand.New(rand.NewPCG(seed, 5))
				st := newMemStorage()
				j, err := openMem(st, Options{Durability: None(), Backend: b, SegmentBytes: 8 << 20})
				require.NoError(t, err)
				at := int64(1)
				stage := func(body []byte, room int) {
					at++
					e := Entry{Type: 4, Time: at}
					if way == 0 {
						e.Body = body
						_, err := j.Stage(e)
						require.NoError(t, err)
						return
					}
					_, err := j.StageInPlace(e, room, func(to []byte) (int, error) {
						require.Len(t, to, room)
						for i := range to {
							to[i] = 0xAA
						}
						return copy(to, body), nil
					})
					require.NoError(t, err)
				}
				for i := range 300 {
					body := make([]byte, rnd.IntN(1<<rnd.IntN(12)))
					if i == 100 {
						body = make([]byte, bufferBytes+3)
					}
					for k := range body {
						body[k] = byte(i + k)
					}
					room := len(body) + rnd.IntN(40)
					failed, batch := rnd.IntN(4), rnd.IntN(5) == 0
					if way == 1 && failed == 0 {
						wrong := errors.New("not today")
						_, err := j.StageInPlace(Entry{}, room, func(to []byte) (int, error) {
							for i := range to {
								to[i] = 0xBB
							}
							return 0, wrong
						})
						require.Equal(t, wrong, err)
						_, err = j.StageInPlace(Entry{}, 5, func([]byte) (int, error) { return 6, nil })
						require.ErrorIs(t, err, ErrFill)
						require.PanicsWithValue(t, "fill", func() {
							_, _ = j.StageInPlace(Entry{}, room, func(to []byte) (int, error) {
								for i := range to {
									to[i] = 0xCC
								}
								panic("fill")
							})
						})
					}
					if batch {
						require.NoError(t, j.BeginBatch(2, 2*int64(room)))
						stage(body, room)
					}
					stage(body, room)
					if rnd.IntN(3) == 0 {
						require.NoError(t, j.Commit())
					}
				}
				require.NoError(t, j.Close())
				files[way] = bytes.Clone(st.nodes[st.segments()[0]].bytes()[recordsOffset:])
				maskLags(t, files[way])
			}
			require.True(t, bytes.Equal(files[0], files[1]), fmt.Sprintf("%v, seed %d", b, seed))
		}
	}
}

func TestStageInPlace_DoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	j, err := openMem(newMemStorage(), Options{Durability: None(), SegmentBytes: 8 << 20})
	require.NoError(t, err)
	defer j.Close()
	v := byte(1)
	require.Zero(t, testing.AllocsPerRun(2000, func() {
		if _, err := j.StageInPlace(Entry{Time: 1}, 100, func(to []byte) (int, error) { to[0] = v; return 1, nil }); err != nil {
			t.Error(err)
		}
	}))
}
