package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

const memDir = "/journal"

// fixedRandomness makes the same files every time.
func fixedRandomness() randomness {
	salt := uint64(0x5a17)
	return randomness{
		uuid: func() [16]byte { return [16]byte{0xaa, 0xbb, 15: 0xcc} },
		salt: func() uint64 { salt++; return salt },
		now:  func() int64 { return 1_700_000_000_000_000_000 },
	}
}

// bodies remembers what bodyOf made.
var bodies [4096]atomic.Pointer[[]byte]

// bodyOf is the body that record seq has in these tests.
func bodyOf(seq int64) []byte {
	if seq >= int64(len(bodies)) {
		return makeBody(seq)
	}
	p := bodies[seq].Load()
	if p == nil {
		b := makeBody(seq)
		p = &b
		bodies[seq].Store(p)
	}
	return *p
}

func makeBody(seq int64) []byte {
	r := rand.New(rand.NewPCG(uint64(seq), 7))
	b := make([]byte, r.IntN(90))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func openMem(st *memStorage, o Options) (*Journal, error) {
	if o.Backend == BackendAuto {
		o.Backend = memBackend
	}
	if o.SegmentBytes == 0 {
		o.SegmentBytes = MinSegmentBytes
	}
	return open(st, memDir, o, fixedRandomness())
}

// memBackend is the back end of journals on the heap that ask for none. A test that is not parallel may change it
// while it runs.
var memBackend = BackendAuto

// appendTo appends records up to sequence last.
func appendTo(t testing.TB, j *Journal, last int64) {
	t.Helper()
	for j.Written() < last {
		seq := j.Written() + 1
		_, err := j.Append(Entry{Type: 9, Time: 1000 + seq, Body: bodyOf(seq)})
		require.NoError(t, err)
	}
}

// abandon stops the journal's goroutines as the death of the process would, without a sync.
func abandon(j *Journal) {
	j.fail(ErrClosed)
	_ = j.Close()
}

// readAll returns an error unless the journal delivers exactly the records first..last.
func readAll(j *Journal) (last int64, err error) {
	r, err := j.NewReader(0, ReaderOptions{})
	if err != nil {
		return 0, err
	}
	defer r.Close()
	return drainChecked(r, j.FirstSequence())
}

func drainChecked(r *Reader, first int64) (last int64, err error) {
	last = first - 1
	_, err = r.Read(func(rec Record) error {
		last++
		if rec.Sequence != last || !bytes.Equal(rec.Body, bodyOf(last)) || rec.Type != 9 && rec.Type != 0 {
			return fmt.Errorf("record %d: altered data delivered: %+v", last, rec)
		}
		return nil
	})
	return last, err
}

// twoSegments is a small journal: one full segment and a second with some records.
func twoSegments(t testing.TB, how func(j *Journal)) (st *memStorage, last, end int64) {
	st = newMemStorage()
	j, err := openMem(st, Options{Durability: None()})
	require.NoError(t, err)
	for j.Stats().Rolls == 0 {
		appendTo(t, j, j.Written()+1)
	}
	appendTo(t, j, j.Written()+20)
	last, end = j.Written(), j.w.off
	how(j)
	return st, last, end
}

// A cut that leaves an earlier segment short is no crash.
func TestRecover_EarlierSegmentCut_Refused(t *testing.T) {
	base, _, _ := twoSegments(t, func(j *Journal) { _ = j.Close() })
	for _, size := range []int64{0, 100, pageBytes, recordsOffset, 20000, MinSegmentBytes - 1} {
		st := base.clone()
		seg := st.segments()[0]
		cut := newMemNode(size)
		copy(cut.bytes(), st.nodes[seg].bytes())
		st.nodes[seg] = cut
		_, err := openMem(st, Options{})
		var c *CorruptionError
		require.ErrorAs(t, err, &c, "size %d", size)
		require.Equal(t, filepath.Base(seg), c.Segment)
	}
}

// What is behind the end may be garbage after a power cut; nothing acknowledged suffers.
func TestRecover_TornTail_KeptAsideAndSealed(t *testing.T) {
	st := newMemStorage()
	j, err := openMem(st, Options{Durability: None()})
	require.NoError(t, err)
	appendTo(t, j, 10)
	require.NoError(t, j.Sync())
	appendTo(t, j, 20)
	off := j.w.off
	abandon(j)
	st.id.boot[0]++
	seg := st.segments()[0]
	st.nodes[seg].bytes()[off-60] ^= 4 // inside what was written and never promised
	want := append([]byte(nil), st.nodes[seg].bytes()...)

	// A crash after every single storage operation of the recovery, and then again from there.
	for ops := 0; ; ops++ {
		c := st.clone()
		left := ops
		c.hook = func(op, _ string) error {
			switch op {
			case "create", "rename", "writeAt", "sync", "syncDir", "mkdir", "remove":
				if left--; left < 0 {
					return syscall.EIO
				}
			}
			return nil
		}
		j, err = openMem(c, Options{})
		crashed := err != nil
		if crashed {
			c.hook = nil
			c = c.clone()
			j, err = openMem(c, Options{})
		} else {
			c.hook = nil
		}
		require.NoError(t, err, "after %d operations", ops)
		last := j.Written()
		require.GreaterOrEqual(t, last, int64(10))
		require.Less(t, last, int64(20))
		got, err := readAll(j)
		require.NoError(t, err)
		require.Equal(t, last, got)
		appendTo(t, j, last+5)
		require.NoError(t, j.Close())
		aside := 0
		for name, n := range c.nodes {
			if filepath.Base(filepath.Dir(name)) == asideName && filepath.Ext(name) != spareSuffix {
				aside++
				require.True(t, bytes.Contains(want, n.bytes()), "the copy is the tail")
			}
		}
		require.Equal(t, 1, aside, "after %d operations", ops)
		rep, err := verify(c, memDir, VerifyOptions{})
		require.NoError(t, err)
		require.Equal(t, last+5, rep.Last)
		if !crashed {
			require.True(t, rep.Segments[0].AtTear)
			require.Greater(t, ops, 5)
			break
		}
	}
}

func TestRecover_AtomicBatch_CutAtEveryByte(t *testing.T) {
	st := newMemStorage()
	j, err := openMem(st, Options{Durability: None()})
	require.NoError(t, err)
	appendTo(t, j, 10)
	require.NoError(t, j.Sync())
	start := j.w.off
	var es []Entry
	for seq := int64(11); seq <= 15; seq++ {
		es = append(es, Entry{Type: 9, Time: 1, Body: bodyOf(seq)})
	}
	last, err := j.AppendBatch(es)
	require.NoError(t, err)
	require.EqualValues(t, 15, last)
	end := j.w.off
	abandon(j)
	for _, boot := range []byte{1, 2} {
		for cut := start; cut <= end; cut++ {
			for _, fill := range []byte{0, 0xA5} {
				c := st.clone()
				c.id.boot[0] = boot
				b := c.nodes[c.segments()[0]].bytes()
				changed := false
				for i := cut; i < end; i++ {
					changed = changed || b[i] != fill
					b[i] = fill
				}
				if boot == 1 {
					// The process died inside the batch: it was never committed.
					store64(b, ctlCommittedOffset, uint64(start))
					store64(b, ctlCommittedSequence, 10)
				}
				j, err := openMem(c, Options{})
				require.NoError(t, err, "cut at %d", cut)
				want := int64(10)
				if !changed {
					want = 15
				}
				require.Equal(t, want, j.Written(), "cut at %d, fill %#x", cut, fill)
				if boot == 1 {
					require.Len(t, c.segments(), 1, "a mere death of the process goes on in the same segment")
				}
				got, err := readAll(j)
				require.NoError(t, err)
				require.Equal(t, want, got)
				abandon(j)
			}
		}
	}
}

// The page model: of each sector that was not synced the old or the new content.
func TestRecover_PowerCut_DurableSurvives(t *testing.T) {
	rounds := 300
	switch {
	case testing.Short() || raceEnabled:
		rounds = 100
	case longForm():
		rounds = 5000
	}
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 1))
	for round := range rounds {
		st := newMemStorage()
		st.crashy = true
		durable := int64(0)
		for cut := range 1 + rnd.IntN(3) {
			j, err := openMem(st, Options{Durability: None()})
			require.NoError(t, err, "seed %d round %d cut %d", seed, round, cut)
			require.GreaterOrEqual(t, j.Written(), durable, "seed %d round %d cut %d", seed, round, cut)
			got, err := readAll(j)
			require.NoError(t, err, "seed %d round %d", seed, round)
			require.Equal(t, j.Written(), got)
			durable = j.Durable()
			for range 1 + rnd.IntN(4) {
				for range rnd.IntN(700) {
					seq := j.Written() + 1
					if rnd.IntN(9) == 0 {
						var es []Entry
						for i := range int64(1 + rnd.IntN(9)) {
							es = append(es, Entry{Type: 9, Body: bodyOf(seq + i)})
						}
						_, err = j.AppendBatch(es)
					} else {
						_, err = j.Append(Entry{Type: 9, Body: bodyOf(seq)})
					}
					require.NoError(t, err)
				}
				if rnd.IntN(2) == 0 {
					require.NoError(t, j.Sync())
					durable = j.Durable()
				}
			}
			if rnd.IntN(6) == 0 {
				durable = j.Written()
				require.NoError(t, j.Close())
			} else {
				abandon(j)
			}
			id := st.id.boot[0]
			st = st.powerCut(rnd)
			st.crashy = true
			st.id.boot[0] = id + 1
			for name, n := range st.nodes {
				n.image = append([]byte(nil), n.bytes()...)
				st.synced[name] = n
			}
		}
		j, err := openMem(st, Options{})
		require.NoError(t, err, "seed %d round %d", seed, round)
		require.GreaterOrEqual(t, j.Written(), durable, "seed %d round %d", seed, round)
		got, err := readAll(j)
		require.NoError(t, err, "seed %d round %d", seed, round)
		require.Equal(t, j.Written(), got)
		require.NoError(t, j.Close())
	}
}

// The k-th operation of the storage fails, for every k: a typed error, and nothing written is
// lost when the journal is opened again.
func TestStorage_EveryOperationFails(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.EIO, syscall.ENOSPC} {
		for k := 0; ; k++ {
			st := newMemStorage()
			var left = make(chan struct{}, k)
			for range k {
				left <- struct{}{}
			}
			failed := make(chan string, 1)
			st.hook = func(op, name string) error {
				select {
				case <-left:
					return nil
				default:
				}
				select {
				case failed <- op + " " + name:
					return errno
				default:
					return nil
				}
			}
			acked := int64(0)
			j, err := openMem(st, Options{Durability: None()})
			if err == nil {
				for i := 0; i < 1800 && err == nil; i++ {
					var seq int64
					if seq, err = j.Append(Entry{Type: 9, Body: bodyOf(j.Written() + 1)}); err == nil {
						acked = seq
						if i%500 == 0 {
							err = j.Sync()
						}
					}
				}
				if e := j.Close(); err == nil {
					err = e
				}
			}
			what := "nothing"
			select {
			case what = <-failed:
			default:
			}
			if err != nil {
				require.ErrorIs(t, err, errno, "%d: %s", k, what)
			}
			st.hook = nil
			c := st.clone()
			j, err = openMem(c, Options{})
			require.NoError(t, err, "%d: %s: %v", k, what, errno)
			require.GreaterOrEqual(t, j.Written(), acked, "%d: %s", k, what)
			got, err := readAll(j)
			require.NoError(t, err)
			require.Equal(t, j.Written(), got)
			require.NoError(t, j.Close())
			if what == "nothing" {
				require.Greater(t, k, 20)
				break
			}
			if testing.Short() || raceEnabled {
				k += 6
			}
		}
	}
}

func TestSync_Fails_Poisons(t *testing.T) {
	st := newMemStorage()
	var bad atomic.Bool
	st.hook = func(op, name string) error {
		if op == "sync" && bad.Load() && name != failedName {
			return syscall.EIO
		}
		return nil
	}
	j, err := openMem(st, Options{Durability: None()})
	require.NoError(t, err)
	appendTo(t, j, 5)
	require.NoError(t, j.Sync())
	appendTo(t, j, 9)
	bad.Store(true)
	err = j.WaitDurable(context.Background(), 9)
	require.ErrorIs(t, err, ErrPoisoned)
	require.ErrorIs(t, err, syscall.EIO)
	bad.Store(false)
	require.EqualValues(t, 5, j.Durable())
	require.ErrorIs(t, j.Sync(), ErrPoisoned, "a second sync proves nothing")
	_, err = j.Append(Entry{})
	require.ErrorIs(t, err, ErrPoisoned)
	require.ErrorIs(t, j.Close(), ErrPoisoned)
	j, err = openMem(st, Options{})
	require.NoError(t, err)
	require.True(t, j.Recovery().SyncFailed)
	require.NoError(t, j.Close())
	j, err = openMem(st, Options{})
	require.NoError(t, err)
	require.False(t, j.Recovery().SyncFailed)
	require.NoError(t, j.Close())
}

func TestAppend_NoSpace_TypedAndWhole(t *testing.T) {
	st := newMemStorage()
	st.free = 2 * MinSegmentBytes
	j, err := openMem(st, Options{Durability: None()})
	require.NoError(t, err)
	for err == nil {
		_, err = j.Append(Entry{Type: 9, Body: bodyOf(j.Written() + 1)})
	}
	var ns *NoSpaceError
	require.ErrorAs(t, err, &ns)
	require.ErrorIs(t, err, ErrNoSpace)
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.NoError(t, j.Err(), "not sticky")
	full := j.Written()
	got, err := readAll(j)
	require.NoError(t, err)
	require.Equal(t, full, got)
	require.NoError(t, j.Sync())

	st.mu.Lock()
	st.free = 10 * MinSegmentBytes
	st.mu.Unlock()
	appendTo(t, j, full+2000)
	require.NoError(t, j.Close())
	j, err = openMem(st, Options{})
	require.NoError(t, err)
	got, err = readAll(j)
	require.NoError(t, err)
	require.Equal(t, full+2000, got)
	require.NoError(t, j.Close())
}

// After a power cut a segment's name may be there without its header. Recovery puts it aside, and a
// reader that comes before recovery ends where recovery will.
func TestReader_SegmentWithoutHeader_EndsBefore(t *testing.T) {
	st, _, _ := twoSegments(t, func(j *Journal) { _ = j.Sync(); abandon(j) })
	segs := st.segments()
	first, _, _ := parseSegmentName(filepath.Base(segs[1]))
	lost := st.clone()
	lost.id.boot[0]++
	clear(lost.nodes[segs[1]].bytes())
	for _, from := range []int64{0, first - 1, first, first + 5} {
		r, err := openReader(lost, memDir, from, ReaderOptions{})
		require.NoError(t, err)
		n, err := r.Read(func(rec Record) error { return nil })
		require.NoError(t, err, "from %d", from)
		require.EqualValues(t, max(0, first-max(1, from)), n)
		require.NoError(t, r.Close())
	}
	// A durable pair promises that there was more: that is damage, for readers as for recovery.
	b := lost.nodes[segs[1]].bytes()
	copy(b[controlOffset:], st.nodes[segs[1]].bytes()[controlOffset:recordsOffset])
	for _, from := range []int64{0, first} {
		r, err := openReader(lost, memDir, from, ReaderOptions{})
		require.NoError(t, err)
		_, err = r.Read(func(Record) error { return nil })
		var c *CorruptionError
		require.ErrorAs(t, err, &c, "from %d", from)
		require.Equal(t, filepath.Base(segs[1]), c.Segment)
		require.NoError(t, r.Close())
	}
	j, err := openMem(st, Options{})
	require.NoError(t, err)
	require.NoError(t, j.Close())
}

// A sector may hold the durable pair of one moment and the committed offset of an earlier one.
// Readers in the process go by the offset, so recovery puts it right in every segment that it keeps.
func TestRecover_CommittedOffsetOlderThanPair(t *testing.T) {
	for _, boot := range []byte{1, 2} {
		st, last, _ := twoSegments(t, func(j *Journal) { _ = j.Close() })
		st.id.boot[0] = boot
		b := st.nodes[st.segments()[0]].bytes()
		store64(b, ctlCommittedOffset, recordsOffset)
		store64(b, ctlCommittedSequence, 0)
		j, err := openMem(st, Options{})
		require.NoError(t, err)
		got, err := readAll(j)
		require.NoError(t, err)
		require.Equal(t, last, got)
		require.NoError(t, j.Close())
	}
}

// A spare that could be made only in part, and not removed either, is not in the way of the next.
func TestAhead_LeftoverOfFailedSpare_NotInTheWay(t *testing.T) {
	st := newMemStorage()
	j, err := openMem(st, Options{Durability: None()})
	require.NoError(t, err)
	var failed atomic.Int32
	st.setHook(func(op, name string) error {
		if filepath.Ext(name) == spareSuffix && (op == "sync" || op == "remove") && failed.Add(1) <= 2 {
			return syscall.EIO
		}
		return nil
	})
	for n := 0; j.Stats().Rolls == 0; n++ {
		require.Less(t, n, 10_000, "it never goes on: %v", err)
		if _, err = j.Append(Entry{Type: 9, Body: bodyOf(j.Written() + 1)}); err != nil {
			require.True(t, errors.Is(err, syscall.EIO) || errors.Is(err, os.ErrExist), "%v", err)
		}
	}
	require.GreaterOrEqual(t, failed.Load(), int32(2))
	got, err := readAll(j)
	require.NoError(t, err)
	require.Equal(t, j.Written(), got)
	require.NoError(t, j.Close())
	st.setHook(nil)
	j, err = openMem(st, Options{})
	require.NoError(t, err)
	require.NoError(t, j.Close())
	for name := range st.nodes {
		require.NotEqual(t, spareSuffix, filepath.Ext(name))
	}
}

// A newest segment that is sealed may be cut behind its seal. Nothing is lost then; but it gets its
// size back before another segment follows, because an earlier one that is short is damage.
func TestRecover_SealedNewestCutBehindSeal(t *testing.T) {
	for _, boot := range []byte{1, 2} {
		st, _, _ := twoSegments(t, func(j *Journal) { _ = j.Close() })
		st.id.boot[0] = boot
		segs := st.segments()
		second, _, _ := parseSegmentName(filepath.Base(segs[1]))
		delete(st.nodes, segs[1])
		delete(st.nodes, filepath.Join(memDir, progressName)) // as if it had never been there
		whole := st.nodes[segs[0]]
		end := loadPair(whole.bytes(), 1).offset
		cut := newMemNode(end + 3)
		copy(cut.bytes(), whole.bytes())
		st.nodes[segs[0]] = cut
		rep, err := verify(st, memDir, VerifyOptions{})
		require.NoError(t, err)
		require.True(t, rep.Cut)
		for round := range int64(3) {
			j, err := openMem(st, Options{})
			require.NoError(t, err, "round %d", round)
			require.Equal(t, round == 0, j.Recovery().Cut)
			require.Equal(t, second-1+round, j.Written())
			appendTo(t, j, j.Written()+1)
			require.NoError(t, j.Close())
		}
	}
}
