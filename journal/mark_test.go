package journal

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

var progressPath = filepath.Join(memDir, progressName)

// closedJournal has n roll-overs and some records behind the last, and was closed.
func closedJournal(t *testing.T, b Backend, n uint64) (st *memStorage, last int64) {
	st = newMemStorage()
	j, err := openMem(st, Options{Durability: None(), Backend: b})
	require.NoError(t, err)
	rollTo(t, j, n)
	appendTo(t, j, j.Written()+20)
	last = j.Written()
	require.NoError(t, j.Close())
	return st, last
}

// What a Close promised is missed, and named, when the newest segment is lost as a whole, its durable pair with it: by
// Open, by Verify, and by a repair, after which the numbers stay taken.
func TestMark_NewestSegmentLost(t *testing.T) {
	for _, backend := range []Backend{BackendMmap, BackendPwrite} {
		for _, rolls := range []uint64{0, 2} {
			for what, lose := range map[string]func(st *memStorage, name string){
				"zeroed":         func(st *memStorage, name string) { clear(st.nodes[name].bytes()) },
				"pages zeroed":   func(st *memStorage, name string) { clear(st.nodes[name].bytes()[:recordsOffset]) },
				"records zeroed": func(st *memStorage, name string) { clear(st.nodes[name].bytes()[controlOffset:]) },
				"removed":        func(st *memStorage, name string) { delete(st.nodes, name) },
			} {
				for _, boot := range []byte{1, 2} {
					for life, after := range map[string]func(st *memStorage) *memStorage{
						"closed": func(st *memStorage) *memStorage { return st },
						"closed twice": func(st *memStorage) *memStorage {
							j, err := openMem(st, Options{Durability: None(), Backend: backend})
							require.NoError(t, err)
							require.NoError(t, j.Close())
							return st
						},
						"closed, opened, killed": func(st *memStorage) *memStorage {
							j, err := openMem(st, Options{Durability: None(), Backend: backend})
							require.NoError(t, err)
							dead := st.clone()
							require.NoError(t, j.Close())
							return dead
						},
					} {
						what := fmt.Sprintf("%v, %d roll-overs, %s, boot %d, %s", backend, rolls, what, boot, life)
						st, last := closedJournal(t, backend, rolls)
						st = after(st)
						st.id.boot[0] = boot
						segs := st.segments()
						newest := filepath.Base(segs[len(segs)-1])
						first, _, _ := parseSegmentName(newest)
						lose(st, segs[len(segs)-1])

						var bad *CorruptionError
						_, err := openMem(st.clone(), Options{})
						require.ErrorAs(t, err, &bad, what)
						require.Equal(t, newest, bad.Segment, what)
						require.Equal(t, first, bad.Sequence, what)
						_, err = verify(st, memDir, VerifyOptions{})
						require.ErrorAs(t, err, &bad, what)
						if len(st.segments()) == 0 {
							_, err := planRepair(st, memDir, RepairOptions{})
							require.ErrorIs(t, err, ErrRepair, what)
							require.ErrorAs(t, err, &bad, what)
							continue
						}
						mend(t, st, what)
						j, err := openMem(st, Options{})
						require.NoError(t, err, what)
						require.Equal(t, last, j.Written(), what)
						appendTo(t, j, last+1)
						require.NoError(t, j.Close())
						_, err = verify(st, memDir, VerifyOptions{})
						require.NoError(t, err, what)
					}
				}
			}
		}
	}
}

// Two of the newest segments are lost, the last of them without a record.
func TestMark_TwoSegmentsLost(t *testing.T) {
	st, last := closedJournal(t, BackendMmap, 2)
	segs := st.segments()
	j, err := openMem(st, Options{Durability: None()})
	require.NoError(t, err)
	for j.Stats().Rolls == 0 {
		appendTo(t, j, j.Written()+1)
	}
	require.NoError(t, j.Close())
	all := st.segments()
	require.Len(t, all, len(segs)+1)
	for _, name := range all[len(all)-2:] {
		delete(st.nodes, name)
	}
	_, err = openMem(st, Options{})
	var bad *CorruptionError
	require.ErrorAs(t, err, &bad)
	require.Less(t, bad.Sequence, last, "the first of what is lost")
	mend(t, st, "two segments")
	j, err = openMem(st, Options{})
	require.NoError(t, err)
	require.Greater(t, j.Written(), last)
	require.NoError(t, j.Close())
}

// The mark refuses nothing that lost nothing, or that an Open has already told of and gone on from.
func TestMark_RefusesNothingElse(t *testing.T) {
	opens := func(st *memStorage, want int64, what string) Recovery {
		t.Helper()
		j, err := openMem(st, Options{Durability: None()})
		require.NoError(t, err, what)
		require.Equal(t, want, j.Written(), what)
		require.NoError(t, j.Close())
		return j.Recovery()
	}
	base, last := closedJournal(t, BackendMmap, 1)
	segs := base.segments()
	first, id, _ := parseSegmentName(filepath.Base(segs[1]))
	without := func(change func(m []byte)) *memStorage {
		st := base.clone()
		delete(st.nodes, segs[1])
		change(st.nodes[progressPath].bytes())
		return st
	}
	opens(base.clone(), last, "nothing is lost")
	opens(without(func(m []byte) { clear(m) }), first-1, "an older version was here")
	for at := range markBytes {
		opens(without(func(m []byte) { m[markOffset+at] ^= 1 }), first-1, fmt.Sprintf("byte %d of the mark differs", at))
	}
	put := func(m mark) func(b []byte) { return func(b []byte) { m.put(b[markOffset:]) } }
	uuid := loadMark(base.nodes[progressPath].bytes()).uuid
	opens(without(put(mark{id, first, last, [16]byte{9}})), first-1, "of another journal")
	opens(without(put(mark{id, first, first - 1, uuid})), first-1, "nothing was in it")
	opens(without(put(mark{1, 1, last, uuid})), first-1, "of a segment that is sealed")

	// A file that somebody cut: told of as ever, and what was promised; then its numbers are given out again.
	for _, size := range []int64{0, 100, pageBytes, recordsOffset, recordsOffset + 300} {
		st := base.clone()
		cut := newMemNode(size)
		copy(cut.bytes(), base.nodes[segs[1]].bytes())
		st.nodes[segs[1]] = cut
		j, err := openMem(st, Options{Durability: None()})
		require.NoError(t, err, "cut to %d", size)
		rec := j.Recovery()
		require.True(t, rec.Cut, "cut to %d", size)
		require.Equal(t, last-rec.Last, rec.DurableLost, "cut to %d", size)
		dead := st.clone()
		appendTo(t, j, rec.Last+3)
		dead2 := st.clone()
		require.NoError(t, j.Close())
		opens(st, rec.Last+3, "closed")
		opens(dead, rec.Last, "killed at once")
		opens(dead2, rec.Last+3, "killed")
	}

	// A journal that never held an event.
	st := newMemStorage()
	opens(st, 0, "new")
	for _, name := range st.segments() {
		delete(st.nodes, name)
	}
	opens(st, 0, "and again")
}

// The mark of a Close outlives a power cut after it; and one that could not be made for want of space is no failure.
func TestMark_OfClose(t *testing.T) {
	for seed := range uint64(20) {
		for _, backend := range []Backend{BackendMmap, BackendPwrite} {
			st := newMemStorage()
			st.crashy = true
			lives := 1 + int64(seed%3)
			for life := range lives {
				j, err := openMem(st, Options{Durability: None(), Backend: backend})
				require.NoError(t, err)
				appendTo(t, j, 10*(life+1))
				require.NoError(t, j.Close())
			}
			cut := st.powerCut(rand.New(rand.NewPCG(seed, 1)))
			require.NotNil(t, cut.nodes[progressPath], "seed %d", seed)
			m := loadMark(cut.nodes[progressPath].bytes())
			require.Equal(t, 10*lives, m.last, "seed %d", seed)
		}
	}
	st := newMemStorage()
	j, err := openMem(st, Options{Durability: None(), Backend: BackendMmap})
	require.NoError(t, err)
	appendTo(t, j, 10)
	st.mu.Lock()
	st.free = 0
	st.mu.Unlock()
	require.NoError(t, j.Close())
	require.Nil(t, st.nodes[progressPath])
	j, err = openMem(st, Options{})
	require.NoError(t, err)
	require.EqualValues(t, 10, j.Written())
	require.NoError(t, j.Close())
}
