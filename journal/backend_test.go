package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// script writes what seed says, in small and large records, batches, some of them taken back, and
// returns the bodies in order.
func script(t *testing.T, j *Journal, seed uint64) (bodies [][]byte) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	at := int64(1_700_000_000_000_000_000)
	entry := func() Entry {
		n := rnd.IntN(1 << rnd.IntN(11))
		if rnd.IntN(60) == 0 {
			n = rnd.IntN(2*bufferBytes) + bufferBytes/2
		}
		at++
		e := Entry{Type: uint16(rnd.IntN(9)), Time: at, Body: make([]byte, n)}
		for i := range e.Body {
			e.Body[i] = byte(i*7 + n)
		}
		return e
	}
	for range 1500 {
		switch k := rnd.IntN(20); {
		case k == 0:
			require.NoError(t, j.Commit())
		case k == 1:
			require.NoError(t, j.Commit())
			require.NoError(t, j.Sync())
		case k < 5:
			var es []Entry
			sum := int64(0)
			for range 1 + rnd.IntN(20) {
				e := entry()
				if sum += int64(len(e.Body)); sum > 700<<10 {
					break
				}
				es = append(es, e)
			}
			bytes := int64(0)
			for _, e := range es {
				bytes += int64(len(e.Body))
			}
			if len(es) == 0 {
				continue
			}
			require.NoError(t, j.BeginBatch(len(es), bytes))
			cancel := -1
			if rnd.IntN(3) == 0 {
				cancel = rnd.IntN(len(es))
			}
			for i, e := range es {
				if i == cancel {
					j.CancelBatch()
					break
				}
				_, err := j.Stage(e)
				require.NoError(t, err)
			}
			if cancel < 0 {
				for _, e := range es {
					bodies = append(bodies, e.Body)
				}
			}
		default:
			e := entry()
			_, err := j.Stage(e)
			require.NoError(t, err)
			bodies = append(bodies, e.Body)
		}
	}
	require.NoError(t, j.Commit())
	return bodies
}

// Both backends write the same bytes, records, index and seal, and zeros behind them; on a disk, where
// whole pieces are written ahead of the records, too.
func TestBackends_SameBytes(t *testing.T) {
	t.Parallel()
	seeds := uint64(2)
	if longForm() {
		seeds = 20
	}
	for seed := range seeds {
		var records [3]map[string][]byte
		for i, b := range []Backend{BackendMmap, BackendPwrite, BackendPwrite} {
			st := newMemStorage()
			st.disk = i == 2
			j, err := openMem(st, Options{Durability: None(), Backend: b, SegmentBytes: 1 << 20})
			require.NoError(t, err)
			bodies := script(t, j, seed)
			r, err := j.NewReader(0, ReaderOptions{})
			require.NoError(t, err)
			n := 0
			_, err = r.Read(func(rec Record) error {
				if !bytes.Equal(rec.Body, bodies[n]) {
					return fmt.Errorf("seed %d, %v: record %d differs", seed, b, rec.Sequence)
				}
				n++
				return nil
			})
			require.NoError(t, err)
			require.Equal(t, len(bodies), n, "seed %d, %v", seed, b)
			require.NoError(t, r.Close())
			require.NoError(t, j.Close())
			records[i] = map[string][]byte{}
			for _, name := range st.segments() {
				f := append([]byte(nil), st.nodes[name].bytes()[recordsOffset:]...)
				maskLags(t, f)
				records[i][name] = f
			}
		}
		require.Greater(t, len(records[0]), 3)
		for _, other := range records[1:] {
			require.Len(t, other, len(records[0]))
			for name, want := range records[0] {
				require.True(t, bytes.Equal(want, other[name]), "seed %d: %s differs", seed, name)
			}
		}
	}
}

// maskLags clears the durable lag, which depends on when syncs end, and with it the checksum, of
// each record in f.
func maskLags(t *testing.T, f []byte) {
	for off := int64(0); off+recordHeaderBytes <= int64(len(f)); {
		length := int64(le.Uint32(f[off:]))
		if length == 0 {
			require.True(t, isZero(f[off:]))
			return
		}
		clear(f[off+4 : off+8])
		clear(f[off+28 : off+32])
		off += recordBytes(int(length) - recordHeaderBytes)
	}
}

// What is committed through pwrite is seen at once by readers that have nothing but the directory,
// written or durable, by Verify and by Backup, and at the change of the backend, in either
// direction, none of them believes what the last writer left.
func TestBackendPwrite_SeenFromOutside(t *testing.T) {
	st := newMemStorage()
	n := 0
	for round, b := range []Backend{BackendPwrite, BackendMmap, BackendPwrite, BackendPwrite} {
		j, err := openMem(st, Options{Durability: None(), Backend: b})
		require.NoError(t, err)
		require.Equal(t, int64(n), j.Written())
		written, err := openReader(st, memDir, int64(n+1), ReaderOptions{})
		require.NoError(t, err)
		durable, err := openReader(st, memDir, int64(n+1), ReaderOptions{UpTo: Durable})
		require.NoError(t, err)
		for range 1200 { // rolls over
			n++
			appendTo(t, j, int64(n))
			require.Equal(t, []int64{int64(n)}, sequences(t, written.Read), "round %d", round)
			if n%100 == 0 {
				rep, err := verify(st, memDir, VerifyOptions{})
				require.NoError(t, err)
				require.EqualValues(t, n, rep.Last)
				require.Empty(t, sequences(t, durable.Read))
				require.NoError(t, j.WaitDurable(t.Context(), int64(n)))
				require.Len(t, sequences(t, durable.Read), 100)
				last, err := durable.Durable()
				require.NoError(t, err)
				require.EqualValues(t, n, last)
				copied, err := backup(st, memDir, "/copy", BackupOptions{})
				require.NoError(t, err)
				require.EqualValues(t, n, copied.Last)
			}
		}
		require.NoError(t, written.Close())
		require.NoError(t, durable.Close())
		if round%2 == 0 {
			require.NoError(t, j.Close())
			continue
		}
		dead := st.clone() // the process dies
		require.NoError(t, j.Close())
		st = dead
		rep, err := verify(st, memDir, VerifyOptions{})
		require.NoError(t, err)
		require.EqualValues(t, n, rep.Last)
		left, err := openReader(st, memDir, 0, ReaderOptions{UpTo: Durable})
		require.NoError(t, err)
		last, err := left.Durable()
		require.NoError(t, err)
		require.EqualValues(t, n, last, "PROGRESS alone may say so")
		require.NoError(t, left.Close())
		copied, err := backup(st.clone(), memDir, "/copy", BackupOptions{})
		require.NoError(t, err)
		require.EqualValues(t, n, copied.Last, "the dead writer had promised it")

		failed := st.clone() // a sync failed before it died: recovery believes its control pages alone, and so does this
		failed.nodes[filepath.Join(memDir, failedName)] = newMemNode(0)
		var told pair
		for _, name := range failed.segments() {
			_, id, ok := parseSegmentName(filepath.Base(name))
			require.True(t, ok)
			if p := loadPair(failed.nodes[name].bytes(), id); p.generation > 0 {
				told = p
			}
		}
		left, err = openReader(failed, memDir, 0, ReaderOptions{UpTo: Durable})
		require.NoError(t, err)
		last, err = left.Durable()
		require.NoError(t, err)
		require.Equal(t, told.sequence, last)
		require.NoError(t, left.Close())
	}
}

// A record that was committed, and whose process died, is damaged: PROGRESS knows that it was
// there, as the control page of a mapped writer would.
func TestBackendPwrite_DamageAfterDeath(t *testing.T) {
	st := newMemStorage()
	j, err := openMem(st, Options{Durability: None(), Backend: BackendPwrite})
	require.NoError(t, err)
	for i := range int64(20) {
		appendTo(t, j, i+1)
	}
	dead := st.clone()
	require.NoError(t, j.Close())
	name := dead.segments()[0]
	b := dead.nodes[name].bytes()
	end, err := (&survey{st: dead, dir: memDir}).dataEnd(&found{name: filepath.Base(name), size: int64(len(b))}, recordsOffset)
	require.NoError(t, err)
	b[end-1] ^= 1
	_, err = openMem(dead, Options{})
	var bad *CorruptionError
	require.ErrorAs(t, err, &bad)
	require.EqualValues(t, 20, bad.Sequence)
}

// A pwrite that fails is sticky and typed; what was committed before it is there when the journal is
// opened again.
func TestBackendPwrite_FailedWrite(t *testing.T) {
	for _, large := range []bool{false, true} {
		st := newMemStorage()
		j, err := openMem(st, Options{Durability: Batch(), SegmentBytes: 1 << 20})
		require.NoError(t, err)
		appendTo(t, j, 1)
		st.setHook(func(op, name string) error {
			if op == "writeAt" && name != failedName { // a segment keeps the name that it was opened by
				return syscall.EIO
			}
			return nil
		})
		body := makeBody(2)
		if large {
			body = make([]byte, bufferBytes)
		}
		_, err = j.Append(Entry{Body: body})
		require.ErrorIs(t, err, ErrWrite)
		require.ErrorIs(t, err, syscall.EIO)
		st.setHook(nil)
		_, err = j.Append(Entry{})
		require.ErrorIs(t, err, ErrWrite)
		require.EqualValues(t, 1, j.Written())
		require.ErrorIs(t, j.Close(), ErrWrite)
		j, err = openMem(st, Options{})
		require.NoError(t, err)
		require.EqualValues(t, 1, j.Written())
		require.NoError(t, j.Close())
	}
}

func TestBackendPwrite_DoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	j, err := Open(t.TempDir(), Options{Backend: BackendPwrite, Durability: None()})
	require.NoError(t, err)
	defer j.Close()
	body := make([]byte, 100)
	require.Zero(t, testing.AllocsPerRun(2000, func() {
		if _, err := j.Append(Entry{Body: body, Time: 1}); err != nil {
			t.Error(err)
		}
	}))
}

// Where touching a page takes long, mode None uses pwrite, unless segments are recycled in memory.
func TestBackendAuto_SlowPages(t *testing.T) {
	for i, want := range []Backend{BackendPwrite, BackendMmap, BackendPwrite} {
		st := newMemStorage()
		recycle := min(i, 1)
		st.disk = i == 2
		st.setHook(func(op, name string) error {
			if op == "touch" {
				for start := time.Now(); time.Since(start) < time.Millisecond; {
				}
			}
			return nil
		})
		o := Options{Durability: None(), RecycleSegments: recycle, SegmentBytes: 256 << 10}
		j, err := openMem(st, o)
		require.NoError(t, err)
		require.Equal(t, want, j.Backend())
		if want == BackendPwrite {
			require.Len(t, j.w.seg.mem, recordsOffset, "no more is mapped than a writer with pwrite needs")
		}
		for j.Stats().Rolls < 3 {
			appendTo(t, j, j.Written()+1)
		}
		last := j.Written()
		require.NoError(t, j.Close())
		j, err = openMem(st, o)
		require.NoError(t, err)
		require.Equal(t, last, j.Written())
		require.NoError(t, j.Close())
	}
}

func TestOptions_Backend(t *testing.T) {
	for d, want := range map[Durability]Backend{None(): BackendMmap, Interval(1): BackendMmap, Batch(): BackendPwrite, {}: BackendPwrite} {
		j, err := openMem(newMemStorage(), Options{Durability: d})
		require.NoError(t, err)
		require.Equal(t, want, j.Backend())
		require.NoError(t, j.Close())
	}
	_, err := Open(filepath.Join(t.TempDir(), "j"), Options{Backend: 9})
	require.ErrorContains(t, err, "Backend: backend(9)")
	_, err = os.Stat(filepath.Join(t.TempDir(), "j"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

// After a power cut PROGRESS may say more than the segment holds, because the kernel wrote its page and not
// those of the records: it is not believed, neither by Open nor by a reader.
func TestBackendPwrite_ProgressAfterPowerCut(t *testing.T) {
	st := newMemStorage()
	j, err := openMem(st, Options{Durability: None(), Backend: BackendPwrite})
	require.NoError(t, err)
	appendTo(t, j, 10)
	require.NoError(t, j.Sync())
	appendTo(t, j, 20)
	_, err = j.Append(Entry{Body: bytes.Repeat([]byte{1}, 2000)})
	require.NoError(t, err)
	cut := st.clone()
	require.NoError(t, j.Close())
	cut.id.boot[0]++
	b := cut.nodes[cut.segments()[0]].bytes()
	end, err := (&survey{st: cut, dir: memDir}).dataEnd(&found{name: filepath.Base(cut.segments()[0]), size: int64(len(b))}, recordsOffset)
	require.NoError(t, err)
	clear(b[end-1000:]) // of the last record
	b[end-1500] ^= 1
	r, err := openReader(cut, memDir, 0, ReaderOptions{})
	require.NoError(t, err)
	last, err := drainChecked(r, 1)
	require.NoError(t, err)
	require.EqualValues(t, 20, last)
	require.NoError(t, r.Close())
	p, _, err := readProgress(cut, memDir)
	require.NoError(t, err)
	said, ok := loadStanding(p, 1)
	require.True(t, ok && said.sequence == 21, "%+v", said)
	j, err = openMem(cut, Options{})
	require.NoError(t, err)
	require.EqualValues(t, 20, j.Written())
	require.NoError(t, j.Close())
}

// What was promised stays promised wherever the next Open dies: what only PROGRESS knew of it is in the control page
// before that is cleared.
func TestBackendPwrite_PromiseOutlivesOpen(t *testing.T) {
	st := newMemStorage()
	j, err := openMem(st, Options{Durability: Batch(), Backend: BackendPwrite, SegmentBytes: 1 << 16})
	require.NoError(t, err)
	for more := 10; more > 0; {
		appendTo(t, j, j.Written()+1)
		require.NoError(t, j.WaitDurable(t.Context(), j.Written()))
		if j.Stats().Rolls > 0 {
			more--
		}
	}
	last := j.Written()
	dead := st.clone()
	require.NoError(t, j.Close())
	pair := loadPair(dead.nodes[dead.segments()[len(dead.segments())-1]].bytes(), uint64(len(dead.segments())))
	require.Less(t, pair.sequence, last, "the control page knows it without PROGRESS")
	refused := 0
	for k := int64(0); ; k++ {
		cut := dead.clone()
		cut.all = true
		var count atomic.Int64
		broken := errors.New("broken")
		cut.setHook(func(op, _ string) error {
			if count.Add(1) > k {
				return broken
			}
			return nil
		})
		j, err := openMem(cut, Options{})
		cut.setHook(nil)
		if err == nil {
			require.NoError(t, j.Close())
			break
		}
		require.ErrorIs(t, err, broken)
		refused++
		rep, err := verify(cut, memDir, VerifyOptions{})
		require.NoError(t, err)
		require.Equal(t, last, rep.Durable, "Open died before its operation %d", k)
	}
	require.Greater(t, refused, 10)
}

// A slot is that of one segment.
func TestProgress_SlotOfAnotherSegment(t *testing.T) {
	p := &progress{heap: newPages(1), file: newPages(1)}
	p.begin(3, recordsOffset, 7)
	p.commit(3, recordsOffset+64, 9)
	for id := range uint64(6) {
		s, ok := loadStanding(p.file, id)
		require.Equal(t, id == 3, ok, "segment %d: %+v", id, s)
	}
	p.durable(5, recordsOffset, 8)
	s, _ := loadStanding(p.file, 3)
	require.Zero(t, s.durableSequence, "of another segment")
}

// What is done with segments that are complete is the same whoever wrote them, and is tested where the back end is
// mapped, which these journals without durability have. Here once more, with records that went through pwrite.
func TestBackendPwrite_WhatOthersDoWithSegments(t *testing.T) {
	if raceEnabled {
		t.Skip("these tests run under the race detector by themselves")
	}
	memBackend = BackendPwrite
	defer func() { memBackend = BackendAuto }()
	for name, test := range map[string]func(*testing.T){
		"archive":                  TestArchive_ReadersSeeNoDifference,
		"archive beside a writer":  TestArchive_BesideAWriter,
		"archive and back up":      TestArchive_Backup,
		"archive, anything fails":  TestArchive_EveryOperationFails,
		"restore":                  TestRestore_ToAnyPointInTime,
		"restore, anything fails":  TestRestore_EveryOperationFails,
		"tail links":               TestChain_Tail_ProvesTheNewestRecord,
		"tail links, forged":       TestChain_Tail_ForgedRecordIsFound,
		"tail links, lost records": TestChain_Tail_LostRecordsAreMissed,
		"repair":                   TestRepair_RandomDamage_OnlyWhatIsDamagedIsLost,
		"repair beside archives":   TestRepair_BesideArchives,
		"repair, a crash between":  TestRepair_CrashBetweenAnySteps_Repeatable,
	} {
		t.Run(name, test)
	}
}

// What is durable of a segment that a writer with pwrite has left stays known to everybody, also where no sync came since
// and its place in PROGRESS has gone to the segment after the next.
func TestBackendPwrite_PromiseOutlivesRollOver(t *testing.T) {
	for _, atOnce := range []bool{false, true} { // both roll-overs in one Commit
		st := newMemStorage()
		j, err := openMem(st, Options{Durability: None(), Backend: BackendPwrite})
		require.NoError(t, err)
		rollTo(t, j, 1)
		first := j.w.seg.hdr.first
		appendTo(t, j, j.Written()+3)
		require.NoError(t, j.WaitDurable(context.Background(), j.Written()), "by whoever waits: the control page is not told")
		durable := j.Durable()
		for rolls := j.Stats().Rolls + 2; j.Stats().Rolls < rolls; {
			_, err := j.Stage(Entry{Body: make([]byte, 1000)})
			require.NoError(t, err)
			if !atOnce {
				require.NoError(t, j.Commit())
			}
		}
		require.NoError(t, j.Commit())
		require.Equal(t, durable, j.Durable(), "no sync came in between")
		for range 2 { // the second Trim finds that segment in front
			rep, err := j.Trim(Retention{Before: first})
			require.NoError(t, err)
			require.Equal(t, first, rep.First)
		}
		rep, err := backup(st, memDir, "/copy", BackupOptions{})
		require.NoError(t, err)
		require.Equal(t, durable, rep.Last)
		r, err := openReader(st, memDir, 0, ReaderOptions{UpTo: Durable})
		require.NoError(t, err)
		last, err := drainChecked(r, first)
		require.NoError(t, err)
		require.Equal(t, durable, last)
		require.NoError(t, r.Close())
		abandon(j)
	}
}

// A sync that began while a segment was written to, and ends when its writer has left it behind, tells its control page.
func TestSync_EndsBehindTheRollOver(t *testing.T) {
	st := newMemStorage()
	j, err := openMem(st, Options{Durability: None(), Backend: BackendPwrite, SegmentBytes: 1 << 20})
	require.NoError(t, err)
	appendTo(t, j, 3)
	s := j.w.seg
	var begun atomic.Bool
	st.setHook(func(op, _ string) error {
		if op == "sync" && begun.CompareAndSwap(false, true) { // no other segment is needed yet
			rollTo(t, j, 2) // the writer waits and does nothing else
		}
		return nil
	})
	j.syncing.Lock()
	j.syncNow()
	require.EqualValues(t, 3, j.Durable())
	require.EqualValues(t, 3, loadPair(s.mem, s.hdr.id).sequence)
	j.syncing.Unlock()
	st.setHook(nil)
	require.NoError(t, j.Close())
}

// Where those who wait do the syncs, the control page is told too, a while after.
func TestBackendPwrite_PromiseOfLeaders(t *testing.T) {
	st := newMemStorage()
	j, err := openMem(st, Options{Durability: None(), Backend: BackendPwrite})
	require.NoError(t, err)
	for range 3 {
		appendTo(t, j, j.Written()+3)
		require.NoError(t, j.WaitDurable(context.Background(), j.Written()))
		for j.pairDue.Load() {
			runtime.Gosched()
		}
		j.syncing.Lock()
		require.Equal(t, j.Durable(), loadPair(j.w.seg.mem, j.w.seg.hdr.id).sequence)
		j.syncing.Unlock()
	}
	require.NoError(t, j.Close())
}
