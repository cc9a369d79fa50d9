package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// written is where a record stands in the sample, and what it is.
type written struct {
	segment  string
	off, end int64
	rec      Record
}

// repairSample is a journal of several segments with batches, voids and checkpoints, closed in order,
// and the truth about it.
func repairSample(t testing.TB, o Options) (*memStorage, []written) {
	t.Helper()
	st := newMemStorage()
	o.Durability = None()
	j, err := openMem(st, o)
	require.NoError(t, err)
	for i := 0; j.Stats().Rolls < 3; i++ {
		seq := j.Written() + 1
		switch {
		case i%7 == 0:
			_, err = j.AppendBatch([]Entry{{Type: 9, Time: 1000 + seq, Body: bodyOf(seq)}, {Type: 9, Body: bodyOf(seq + 1)}, {Type: 9, Body: bodyOf(seq + 2)}})
		case i%11 == 0:
			_, err = j.Append(Entry{Kind: KindVoid, Time: 1000 + seq})
		case i%13 == 0:
			_, err = j.Append(Entry{Kind: KindCheckpoint, Time: 1000 + seq, Body: []byte("here")})
		default:
			_, err = j.Append(Entry{Type: 9, Time: 1000 + seq, Body: bodyOf(seq)})
		}
		require.NoError(t, err)
	}
	appendTo(t, j, j.Written()+30)
	if o.Chain {
		require.NoError(t, j.Sync())
		_, err := j.WaitChained(context.Background(), j.live[0].hdr.first-1)
		require.NoError(t, err)
	}
	require.NoError(t, j.Close())
	return st, truth(t, st)
}

// truth reads what an undamaged journal holds.
func truth(t testing.TB, st *memStorage) (all []written) {
	t.Helper()
	r, err := openReader(st, memDir, 0, ReaderOptions{Internal: true})
	require.NoError(t, err)
	defer r.Close()
	_, err = r.Read(func(rec Record) error {
		rec.Body = bytes.Clone(rec.Body)
		all = append(all, written{r.seg.name, rec.Offset, rec.Offset + recordBytes(len(rec.Body)), rec})
		return nil
	})
	require.NoError(t, err)
	return all
}

// mend plans and applies, and opens the journal as a reader would find it.
func mend(t testing.TB, st *memStorage, what string) *RepairPlan {
	t.Helper()
	p, err := planRepair(st, memDir, RepairOptions{})
	require.NoError(t, err, what)
	require.NoError(t, p.Apply(nil), "%s\n%v", what, p)
	return p
}

// requireMended checks a repaired journal against the truth: everything that damaged does not name is
// there unchanged, everything else is lost, sequences have no gap, and the journal goes on.
func requireMended(t testing.TB, st *memStorage, all []written, damaged func(w written) bool, what string) (lost int64) {
	t.Helper()
	rep, err := verify(st, memDir, VerifyOptions{})
	require.NoError(t, err, what)
	have := map[int64]Record{}
	checkpoints := map[string]bool{}
	r, err := openReader(st, memDir, 0, ReaderOptions{Internal: true})
	require.NoError(t, err, what)
	next := all[0].rec.Sequence
	_, err = r.Read(func(rec Record) error {
		rec.Body = bytes.Clone(rec.Body)
		if rec.Kind.advances() {
			require.Equal(t, next, rec.Sequence, what)
			have[rec.Sequence], next = rec, next+1
		}
		if rec.Kind == KindLost {
			lost++
		}
		if rec.Kind == KindCheckpoint {
			checkpoints[fmt.Sprint(rec.Segment, rec.Offset)] = true
		}
		return nil
	})
	require.NoError(t, err, what)
	require.NoError(t, r.Close())
	require.Equal(t, rep.Lost, lost, what)
	for _, w := range all {
		if damaged(w) {
			if w.rec.Kind.advances() {
				require.Equal(t, KindLost, have[w.rec.Sequence].Kind, "%s: sequence %d", what, w.rec.Sequence)
			}
			continue
		}
		switch w.rec.Kind {
		case KindEvent, KindVoid:
			require.Equal(t, w.rec, have[w.rec.Sequence], "%s: sequence %d at %s %d", what, w.rec.Sequence, w.segment, w.off)
		case KindCheckpoint:
			require.True(t, checkpoints[fmt.Sprint(w.rec.Segment, w.off)], "%s: checkpoint after %d", what, w.rec.Sequence)
		}
	}
	c := st.clone()
	c.id.boot[0]++
	j, err := openMem(c, Options{})
	require.NoError(t, err, what)
	require.True(t, j.Recovery().Clean, what)
	require.Equal(t, next-1, j.Written(), what)
	seq, err := j.Append(Entry{Type: 9, Body: []byte("goes on")})
	require.NoError(t, err)
	require.Equal(t, next, seq)
	require.NoError(t, j.Close())
	_, err = verify(c, memDir, VerifyOptions{})
	require.NoError(t, err, what)
	p, err := planRepair(c, memDir, RepairOptions{})
	require.NoError(t, err)
	require.Empty(t, p.Steps, what)
	return lost
}

// hit tells whether a record shares bytes with [from, to) of a segment.
func hit(segment string, from, to int64) func(w written) bool {
	return func(w written) bool { return w.segment == segment && w.off < to && from < w.end }
}

func never(written) bool { return false }

// Any stretch of records, anywhere, changed: what it touches is lost and nothing else.
func TestRepair_RandomDamage_OnlyWhatIsDamagedIsLost(t *testing.T) {
	base, all := repairSample(t, Options{})
	cases := int64(100)
	if memBackend != BackendAuto {
		cases = 30
	}
	run := newCampaign(t, cases, 20_000)
	rnd := run.rand(11)
	repaired := int64(0)
	for run.more() {
		st := base.clone()
		segs := st.segments()
		name := filepath.Base(segs[rnd.IntN(len(segs))])
		b := st.nodes[filepath.Join(memDir, name)].bytes()
		last := int64(recordsOffset)
		for _, w := range all {
			if w.segment == name {
				last = w.end
			}
		}
		from := recordsOffset + rnd.Int64N(last-recordsOffset)
		to := min(last, from+1+rnd.Int64N(1+1<<rnd.IntN(12)))
		before := bytes.Clone(b)
		how := rnd.IntN(3)
		for i := from; i < to; i++ {
			switch how {
			case 0:
				b[i] = 0
			case 1:
				b[i] = byte(rnd.Uint32())
			case 2:
				b[i] ^= 1 << rnd.IntN(8)
			}
		}
		for from < to && b[from] == before[from] {
			from++
		}
		for to > from && b[to-1] == before[to-1] {
			to--
		}
		if from == to {
			continue
		}
		what := fmt.Sprintf("HEADRACE_SEED=%#x case %d: %s [%d, %d) how %d", run.seed, run.cases.Load(), name, from, to, how)
		_, err := openMem(st.clone(), Options{VerifyAll: true})
		var c *CorruptionError
		require.ErrorAs(t, err, &c, what)
		require.ErrorContains(t, err, "headrace repair --dry-run")
		mend(t, st, what)
		padding := func(w written) bool { // between body and the next record
			body := w.off + recordHeaderBytes + int64(len(w.rec.Body))
			return from >= body
		}
		requireMended(t, st, all, func(w written) bool { return hit(name, from, to)(w) && !padding(w) }, what)
		repaired++
	}
	require.Greater(t, repaired, run.cases.Load()/2)
}

// A journal of a writer that used pwrite and died: what PROGRESS says of it neither stands in the way of
// a repair nor is believed after it, in the same boot and in another.
func TestRepair_AbandonedPwrite(t *testing.T) {
	st := newMemStorage()
	j, err := openMem(st, Options{Durability: Group(time.Hour, 1<<30), Backend: BackendPwrite})
	require.NoError(t, err)
	for j.Stats().Rolls < 3 {
		appendTo(t, j, j.Written()+20)
	}
	appendTo(t, j, j.Written()+60)
	dead := st.clone()
	require.NoError(t, j.Close())
	all := truth(t, dead)
	p, err := planRepair(dead.clone(), memDir, RepairOptions{})
	require.NoError(t, err)
	for _, s := range p.Steps {
		require.Zero(t, s.Lost, "%+v: nothing is damaged", s)
	}
	segs := dead.segments()
	for i, path := range segs {
		for _, same := range []bool{true, false} {
			c := dead.clone()
			name := filepath.Base(path)
			var in []written
			for _, w := range all {
				if w.segment == name && len(w.rec.Body) > 16 {
					in = append(in, w)
				}
			}
			w := in[len(in)/2]
			c.nodes[path].bytes()[w.off+40] ^= 1
			if !same {
				c.id.boot[0]++
			}
			what := fmt.Sprintf("segment %d, same boot %v", i, same)
			_, err := openMem(c.clone(), Options{VerifyAll: true})
			var bad *CorruptionError
			if same {
				require.ErrorAs(t, err, &bad, what)
			} else if err == nil {
				continue // after a power cut it is a torn tail: nothing says that it was durable
			}
			mend(t, c, what)
			require.EqualValues(t, 1, requireMended(t, c, all, hit(name, w.off, w.end), what), what)
			if same {
				j, err := openMem(c, Options{Backend: BackendPwrite})
				require.NoError(t, err, what)
				require.Equal(t, all[len(all)-1].rec.Sequence, j.Written(), what)
				require.NoError(t, j.Close())
			}
		}
	}
}

// A damaged length that pretends much more than the segment stores costs its record and no other, wherever
// the records before it have been read: looking for the next one is bounded by what the segment stores.
func TestRepair_LengthPretendsMuch(t *testing.T) {
	base, all := repairSample(t, Options{})
	segs := base.segments()
	newest := filepath.Base(segs[len(segs)-1])
	for _, length := range []uint32{40_000, 50_000, MinSegmentBytes - 2*recordsOffset} {
		for _, broken := range []int{1, 4} { // records whose lengths are damaged
			st := base.clone()
			b := st.nodes[segs[len(segs)-1]].bytes()
			from, to, n := int64(0), int64(0), 0
			for _, w := range all {
				if w.segment == newest && w.rec.Sequence > all[len(all)-1].rec.Sequence-20 && n < broken {
					if n++; from == 0 {
						from = w.off
					}
					le.PutUint32(b[w.off:], length)
					to = w.end
				}
			}
			what := fmt.Sprintf("length %d, %d records", length, broken)
			mend(t, st, what)
			require.EqualValues(t, broken, requireMended(t, st, all, hit(newest, from, to), what), what)
		}
	}
}

// Headers, files and the places between records.
func TestRepair_Cases(t *testing.T) {
	base, all := repairSample(t, Options{Chain: true})
	segs := base.segments()
	require.Len(t, segs, 4)
	name := func(i int) string { return filepath.Base(segs[i]) }
	whole := func(i int) func(written) bool { return hit(name(i), 0, 1<<62) }
	newestLinked := all[len(all)-1].rec.Sequence
	cases := []struct {
		name    string
		damage  func(st *memStorage)
		damaged func(written) bool
		lost    bool
	}{
		{"header-bit", func(st *memStorage) { st.nodes[segs[1]].bytes()[20] ^= 1 }, never, false},
		{"header-zero", func(st *memStorage) { clear(st.nodes[segs[1]].bytes()[:pageBytes]) }, never, false},
		{"header-garbage-first", func(st *memStorage) {
			for i := range pageBytes {
				st.nodes[segs[0]].bytes()[i] = byte(i*7 + 1)
			}
		}, never, false},
		{"header-zero-newest", func(st *memStorage) { clear(st.nodes[segs[3]].bytes()[:pageBytes]) }, never, false},
		{"durable-pair-and-a-record", func(st *memStorage) {
			clear(st.nodes[segs[1]].bytes()[controlOffset:recordsOffset])
			st.nodes[segs[1]].bytes()[recordsOffset+8] ^= 1
		}, hit(name(1), recordsOffset, recordsOffset+8), true},
		{"all-zero-middle", func(st *memStorage) { clear(st.nodes[segs[2]].bytes()) }, whole(2), true},
		{"missing-middle", func(st *memStorage) { delete(st.nodes, segs[1]) }, whole(1), true},
		{"missing-two", func(st *memStorage) { delete(st.nodes, segs[1]); delete(st.nodes, segs[2]) },
			func(w written) bool { return whole(1)(w) || whole(2)(w) }, true},
		{"middle-cut", func(st *memStorage) { cutNode(st, segs[1], 20_001) }, hit(name(1), 20_001, 1<<62), true},
		{"middle-empty", func(st *memStorage) { cutNode(st, segs[1], 0) }, whole(1), true},
		{"middle-longer", func(st *memStorage) { st.nodes[segs[1]].grow2(MinSegmentBytes + 8192) }, never, false},
		{"garbage-after-seal", func(st *memStorage) { b := st.nodes[segs[1]].bytes(); b[len(b)-1] = 1 }, never, false},
		{"foreign", func(st *memStorage) {
			var h header
			b := st.nodes[segs[2]].bytes()
			_ = h.decode(b)
			h.uuid[3]++
			h.encode(b[:pageBytes])
		}, whole(2), true},
		{"seal", func(st *memStorage) {
			for _, w := range all {
				if w.segment == name(0) && w.rec.Kind == KindSeal {
					clear(st.nodes[segs[0]].bytes()[w.off:w.end])
				}
			}
			st.nodes[segs[1]].bytes()[recordsOffset+9] ^= 1
		}, hit(name(1), recordsOffset, recordsOffset+16), true},
		{"index", func(st *memStorage) {
			for _, w := range all {
				if w.segment == name(0) && w.rec.Kind == KindIndex {
					st.nodes[segs[0]].bytes()[w.off+40] ^= 1
				}
			}
		}, never, false},
		{"chain-link", func(st *memStorage) { st.nodes[filepath.Join(memDir, chainName)].bytes()[linkBytes+100] ^= 1 }, never, false},
		{"newest-promised-tail", func(st *memStorage) {
			w := all[len(all)-3]
			clear(st.nodes[segs[3]].bytes()[w.off:])
		}, func(w written) bool { return w.rec.Sequence > newestLinked-3 }, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			st := base.clone()
			c.damage(st)
			_, err := verify(st, memDir, VerifyOptions{})
			var bad *CorruptionError
			require.ErrorAs(t, err, &bad)
			before := st.clone()
			p := mend(t, st, c.name)
			lost := requireMended(t, st, all, c.damaged, c.name)
			require.Equal(t, c.lost, lost > 0)
			require.Equal(t, p.Lost, lost)
			// What was replaced is aside, byte for byte.
			for _, s := range p.Steps {
				if s.Aside {
					kept := st.nodes[filepath.Join(memDir, asideName, s.File)]
					require.NotNil(t, kept, s.File)
					require.Equal(t, before.nodes[filepath.Join(memDir, s.File)].bytes(), kept.bytes())
				}
			}
		})
	}
}

// The chain proves that segments were there which nothing else knows of.
func TestRepair_NewestSealedSegmentDeleted_ChainProvesIt(t *testing.T) {
	base, all := repairSample(t, Options{Chain: true})
	st := base.clone()
	segs := st.segments()
	delete(st.nodes, segs[3])
	delete(st.nodes, segs[2])
	delete(st.nodes, progressPath) // which knows of the newest
	gone := func(w written) bool { return w.segment == filepath.Base(segs[2]) }
	mend(t, st, "deleted")
	var kept []written
	for _, w := range all {
		if w.segment != filepath.Base(segs[3]) {
			kept = append(kept, w)
		}
	}
	require.Positive(t, requireMended(t, st, kept, gone, "deleted"))
}

// A cut of the newest file is no damage to Open, which gives the numbers out again; a repair before
// that keeps them taken.
func TestRepair_NewestCut_PromisedNumbersStayTaken(t *testing.T) {
	base, all := repairSample(t, Options{})
	segs := base.segments()
	w := all[len(all)-10]
	require.Equal(t, filepath.Base(segs[3]), w.segment)
	cutNode(base, segs[3], w.off+5)
	rep, err := verify(base, memDir, VerifyOptions{})
	require.NoError(t, err)
	require.Positive(t, rep.DurableLost)
	p := mend(t, base, "cut")
	require.Equal(t, rep.DurableLost, p.Lost)
	requireMended(t, base, all, hit(w.segment, w.off, 1<<62), "cut")
}

// A file of which nothing is left, not even its size, gets the size that the lost records need.
func TestRepair_EmptiedFile_TakesAllThatIsLost(t *testing.T) {
	dir := t.TempDir()
	j, err := Open(dir, Options{SegmentBytes: 1 << 20, Durability: None()})
	require.NoError(t, err)
	for j.Stats().Rolls < 2 {
		_, err := j.Append(Entry{})
		require.NoError(t, err)
	}
	last := j.Written()
	require.NoError(t, j.Close())
	segs, _, _, err := listSegments(osStorage{}, dir)
	require.NoError(t, err)
	require.NoError(t, os.Truncate(filepath.Join(dir, segs[1].name), 0))
	p, err := PlanRepair(dir, RepairOptions{})
	require.NoError(t, err)
	require.NoError(t, p.Apply(nil))
	require.Equal(t, segs[2].first-segs[1].first, p.Lost)
	rep, err := Verify(dir, VerifyOptions{})
	require.NoError(t, err)
	require.Equal(t, last, rep.Last)
	require.Equal(t, p.Lost, rep.Lost)
}

func cutNode(st *memStorage, name string, size int64) {
	cut := newMemNode(size)
	copy(cut.bytes(), st.nodes[name].bytes())
	st.nodes[name] = cut
}

// grow2 makes the node longer, as a stray append would.
func (n *memNode) grow2(size int64) {
	m := newMemNode(size)
	copy(m.bytes(), n.bytes())
	n.words, n.size = m.words, size
}

// A crash after any storage operation of a repair leaves a journal that can be repaired again to the
// same end, and the damaged bytes aside once.
func TestRepair_CrashBetweenAnySteps_Repeatable(t *testing.T) {
	base, all := repairSample(t, Options{Chain: true})
	segs := base.segments()
	damagedAt := all[40]
	base.nodes[segs[0]].bytes()[damagedAt.off+33] ^= 1
	clear(base.nodes[segs[1]].bytes()[:pageBytes])
	delete(base.nodes, segs[2])
	damaged := func(w written) bool {
		return w.segment == filepath.Base(segs[2]) || w.rec.Sequence == damagedAt.rec.Sequence && w.rec.Kind.advances()
	}
	require.True(t, damagedAt.rec.Kind.advances() && len(damagedAt.rec.Body) > 1)
	for ops := 0; ; ops++ {
		st := base.clone()
		p, err := planRepair(st, memDir, RepairOptions{})
		require.NoError(t, err)
		left := ops
		st.hook = func(op, _ string) error {
			switch op {
			case "create", "rename", "writeAt", "sync", "syncDir", "mkdir", "remove":
				if left--; left < 0 {
					return syscall.EIO
				}
			}
			return nil
		}
		err = p.Apply(nil)
		st.hook = nil
		if err != nil {
			require.ErrorIs(t, err, syscall.EIO, "after %d operations", ops)
			st = st.clone() // the process died there
			mend(t, st, fmt.Sprintf("again, after %d operations", ops))
		}
		requireMended(t, st, all, damaged, fmt.Sprintf("after %d operations", ops))
		aside := map[string]int{}
		for n := range st.nodes {
			if filepath.Base(filepath.Dir(n)) == asideName && filepath.Ext(n) != spareSuffix {
				aside[strings.TrimSuffix(filepath.Base(n), ".1")]++
			}
		}
		require.Equal(t, map[string]int{filepath.Base(segs[0]): 1, filepath.Base(segs[1]): 1, chainName: 1}, aside, "after %d operations", ops)
		if err == nil {
			require.Greater(t, ops, 20)
			return
		}
	}
}

func TestRepair_Refuses(t *testing.T) {
	base, _ := repairSample(t, Options{})
	segs := base.segments()

	p, err := planRepair(base.clone(), memDir, RepairOptions{})
	require.NoError(t, err)
	require.Empty(t, p.Steps, "nothing to repair")
	require.NoError(t, p.Apply(nil))

	st := base.clone()
	st.nodes[segs[1]].bytes()[9000] ^= 1
	lock, err := st.lock(memDir)
	require.NoError(t, err)
	_, err = planRepair(st, memDir, RepairOptions{})
	require.ErrorIs(t, err, ErrLocked, "a writer is at work")
	require.NoError(t, lock.Close())
	p, err = planRepair(st, memDir, RepairOptions{})
	require.NoError(t, err)
	require.Len(t, p.Steps, 1)
	lock, err = st.lock(memDir)
	require.NoError(t, err)
	require.ErrorIs(t, p.Apply(nil), ErrLocked)
	require.NoError(t, lock.Close())
	st.nodes[segs[2]].bytes()[9000] ^= 1
	require.ErrorIs(t, p.Apply(nil), ErrRepair, "not what was planned")

	st = base.clone()
	st.nodes[memDir+"/"+segmentName(1<<60, 99)] = newMemNode(MinSegmentBytes)
	_, err = planRepair(st, memDir, RepairOptions{})
	require.ErrorIs(t, err, ErrRepair, "a name that claims a quintillion sequences")
	_, err = planRepair(st, memDir, RepairOptions{MaxLost: -1})
	require.ErrorContains(t, err, "MaxLost")

	st = base.clone()
	first, id, _ := parseSegmentName(filepath.Base(segs[1]))
	st.nodes[filepath.Join(memDir, segmentName(first-5, id))] = st.nodes[segs[1]]
	delete(st.nodes, segs[1])
	_, err = planRepair(st, memDir, RepairOptions{})
	require.ErrorIs(t, err, ErrRepair, "a renamed file: its own name is known")
	require.ErrorContains(t, err, filepath.Base(segs[1]))

	st = base.clone()
	b := st.nodes[segs[3]].bytes()
	le.PutUint16(b[8:], 2)
	le.PutUint32(b[4092:], checksum(b[:4092]))
	_, err = planRepair(st, memDir, RepairOptions{})
	require.ErrorIs(t, err, ErrFormatVersion)

	_, err = planRepair(newMemStorage(), memDir, RepairOptions{})
	require.ErrorIs(t, err, ErrNotFound)
}

// A full disk leaves the journal as it was.
func TestRepair_NoSpace(t *testing.T) {
	st, _ := repairSample(t, Options{})
	st.nodes[st.segments()[1]].bytes()[9000] ^= 1
	before := st.clone()
	p, err := planRepair(st, memDir, RepairOptions{})
	require.NoError(t, err)
	st.free = 1000
	require.ErrorIs(t, p.Apply(nil), ErrNoSpace)
	for name, n := range before.nodes {
		require.Equal(t, n.bytes(), st.nodes[name].bytes(), name)
	}
}

// Whoever filters by type learns of what is lost.
func TestReader_Lost_DeliveredWhateverIsAskedFor(t *testing.T) {
	st, all := repairSample(t, Options{})
	w := all[60]
	require.Equal(t, KindEvent, w.rec.Kind)
	st.nodes[filepath.Join(memDir, w.segment)].bytes()[w.off+8] ^= 1
	mend(t, st, "one record")
	r, err := openReader(st, memDir, 0, ReaderOptions{Types: []uint16{77}})
	require.NoError(t, err)
	defer r.Close()
	require.Equal(t, []int64{w.rec.Sequence}, sequences(t, r.Read))
	require.Equal(t, []int64{w.rec.Sequence}, sequences(t, r.ReadBackward))
}

// The salt of a segment whose header is gone follows from its records.
func TestSalvage_FindSalt(t *testing.T) {
	for range 200 {
		salt := rand.Uint64()
		got, ok := solveSalt(saltShare(salt))
		require.True(t, ok)
		require.Equal(t, saltShare(salt), saltShare(got))
		require.NotZero(t, got)
	}
	got, ok := solveSalt(0)
	require.True(t, ok)
	require.NotZero(t, got)
	require.Zero(t, saltShare(got))
}

// Whatever a file holds, planning and applying a repair ends in an error or in a journal that verifies.
func FuzzRepair(f *testing.F) {
	base, _ := repairSample(f, Options{Chain: true})
	segs := base.segments()
	f.Add(uint8(0), int64(recordsOffset+40), []byte{1, 2, 3}, int64(MinSegmentBytes))
	f.Add(uint8(1), int64(0), make([]byte, 4096), int64(MinSegmentBytes))
	f.Add(uint8(2), int64(controlOffset), bytes.Repeat([]byte{0xff}, 600), int64(30_000))
	f.Add(uint8(3), int64(56), []byte{0, 0, 0, 0, 0xff}, int64(0))
	f.Fuzz(func(t *testing.T, which uint8, off int64, patch []byte, size int64) {
		if off < 0 || off >= MinSegmentBytes || size < 0 || size > 2*MinSegmentBytes {
			return
		}
		st := base.clone()
		name := segs[int(which)%len(segs)]
		n := newMemNode(size)
		copy(n.bytes(), base.nodes[name].bytes())
		if off < size {
			copy(n.bytes()[off:], patch)
		}
		st.nodes[name] = n
		p, err := planRepair(st, memDir, RepairOptions{})
		if err != nil {
			return
		}
		if err := p.Apply(nil); err != nil {
			if errors.Is(err, ErrRepair) {
				t.Fatalf("%v\n%v", err, p)
			}
			return
		}
		if _, err := verify(st, memDir, VerifyOptions{}); err != nil {
			t.Fatalf("repaired, but: %v\n%v", err, p)
		}
	})
}
