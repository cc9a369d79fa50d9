package journal

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

const restored = "/restored"

// batched is a journal on the heap with atomic batches and checkpoints, over several segments.
// ends[seq] is the last sequence of the batch of seq.
func batched(t testing.TB) (st *memStorage, ends []int64) {
	t.Helper()
	st = newMemStorage()
	j, err := openMem(st, Options{Durability: None(), Signer: testKey, ChainEvery: -1})
	require.NoError(t, err)
	rnd := rand.New(rand.NewPCG(3, 4))
	ends = []int64{0}
	for j.Stats().Rolls < 3 {
		n := 1 + rnd.IntN(4)
		first := j.Written() + 1
		var es []Entry
		for i := range int64(n) {
			es = append(es, Entry{Type: 9, Time: 1000 + first, Body: bodyOf(first + i)})
		}
		last, err := j.AppendBatch(es)
		require.NoError(t, err)
		for range n {
			ends = append(ends, last)
		}
		if rnd.IntN(5) == 0 {
			_, err := j.Append(Entry{Kind: KindCheckpoint, Time: 1001 + last})
			require.NoError(t, err)
		}
		if rnd.IntN(40) == 0 {
			require.NoError(t, j.Sync())
			_, err := j.ChainNow(context.Background())
			require.NoError(t, err)
		}
	}
	require.NoError(t, j.Sync())
	_, err = j.ChainNow(context.Background())
	require.NoError(t, err)
	require.NoError(t, j.Close())
	return st, ends
}

func TestRestore_ToAnyPointInTime(t *testing.T) {
	base, ends := batched(t)
	last := int64(len(ends) - 1)
	ctx := context.Background()
	packed := base.clone()
	archived(t, packed, ArchiveOptions{KeyID: 1, Access: testKeys})
	points := []int64{0, 1, 2, last - 1, last, last + 5}
	for _, name := range base.segments() {
		first, _, _ := parseSegmentName(filepath.Base(name))
		points = append(points, max(0, first-2), first-1, first, first+1)
	}
	for seq := int64(3); seq < last; seq += stride(301, 701) {
		points = append(points, seq)
	}
	for i, until := range points {
		for _, src := range []*memStorage{base, packed} {
			st := src.clone()
			o := RestoreOptions{Until: until, Archives: testKeys}
			want := last
			if until > 0 && until < last {
				if want = until; ends[until] > until {
					for want = until; want > 0 && ends[want] == ends[until]; want-- {
					}
				}
			}
			if i%2 == 1 && until > 0 { // the same by time: batches have one
				o.Until, o.UntilTime = 0, 1000+until
				for want = min(until, last); want > 0 && ends[want] == ends[min(until, last)]; want-- {
				}
				if first := want + 1; first <= last && 1000+first <= o.UntilTime {
					want = ends[first] // its time is that of its first event
				}
			}
			rep, err := restore(ctx, st, memDir, restored, o)
			require.NoError(t, err, "until %d", until)
			require.Equal(t, want, rep.Last, "until %d, %+v", until, o)
			require.Equal(t, want < last, rep.Cut)
			v, err := verify(st, restored, VerifyOptions{Archives: testKeys})
			require.NoError(t, err)
			require.Equal(t, want, v.Last)
			if want == last {
				whole, err := verify(st, memDir, VerifyOptions{Archives: testKeys})
				require.NoError(t, err)
				require.Equal(t, whole.Root, v.Root)
				require.Equal(t, whole.Records, v.Records)
			}
			j, err := open(st, restored, Options{SegmentBytes: MinSegmentBytes, Durability: None(), Signer: testKey, Archives: testKeys}, fixedRandomness())
			require.NoError(t, err)
			require.True(t, j.Recovery().Clean)
			require.Equal(t, want, j.Written())
			appendTo(t, j, want+900)
			got, err := readAll(j)
			require.NoError(t, err)
			require.Equal(t, want+900, got)
			require.NoError(t, j.Sync())
			_, err = j.ChainNow(ctx)
			require.NoError(t, err, "the chain goes on behind what it had")
			require.NoError(t, j.Close())
		}
	}
}

// Whatever operation fails, nobody takes what is there for the journal, and another try completes it.
func TestRestore_EveryOperationFails(t *testing.T) {
	base, ends := batched(t)
	last := int64(len(ends) - 1)
	ctx := context.Background()
	cause := errors.New("planted")
	for k := 0; ; k += int(stride(5, 31)) {
		st := base.clone()
		n := 0
		st.hook = func(string, string) error {
			if n++; n == k+1 {
				return cause
			}
			return nil
		}
		rep, err := restore(ctx, st, memDir, restored, RestoreOptions{})
		st.hook = nil
		if n <= k {
			require.NoError(t, err)
			break
		}
		if err == nil {
			require.Equal(t, last, rep.Last)
			continue // a check that found nothing did not miss anything
		}
		if names, _ := st.list(restored, 100); len(names) > 0 && rep.Last != last {
			_, err := open(st, restored, Options{}, fixedRandomness())
			require.ErrorIs(t, err, ErrRestoring, "operation %d", k)
			_, err = openReader(st, restored, 0, ReaderOptions{})
			require.ErrorIs(t, err, ErrRestoring)
			_, err = verify(st, restored, VerifyOptions{})
			require.ErrorIs(t, err, ErrRestoring)
		}
		delete(st.locks, restored)
		rep, err = restore(ctx, st, memDir, restored, RestoreOptions{})
		if errors.Is(err, ErrNotEmpty) { // the mark was gone already
			continue
		}
		require.NoError(t, err, "operation %d", k)
		require.Equal(t, last, rep.Last)
	}
}

func TestRestore_Refusals(t *testing.T) {
	base, _ := batched(t)
	ctx := context.Background()
	_, err := restore(ctx, base, memDir, memDir, RestoreOptions{})
	require.ErrorIs(t, err, ErrDirectory)
	_, err = restore(ctx, base, "/nothing", restored, RestoreOptions{})
	require.ErrorIs(t, err, ErrNotFound)
	_, err = restore(ctx, base, memDir, restored, RestoreOptions{Until: -1})
	require.Error(t, err)
	st := base.clone()
	_, err = backup(st, memDir, restored, BackupOptions{})
	require.NoError(t, err)
	_, err = restore(ctx, st, memDir, restored, RestoreOptions{})
	require.ErrorIs(t, err, ErrNotEmpty)
	st = base.clone()
	forge(t, st, st.segments()[0])
	_, err = restore(ctx, st, memDir, restored, RestoreOptions{})
	require.ErrorIs(t, err, ErrChain, "a damaged source is found before anything is written")
	require.False(t, st.dirs[restored])
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	_, err = restore(cancelled, base.clone(), memDir, restored, RestoreOptions{})
	require.ErrorIs(t, err, context.Canceled)
}

// On a real file system, into a fresh mount's root.
func TestRestore_Files(t *testing.T) {
	dir, to := t.TempDir(), t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(to, "lost+found"), 0o700))
	j, err := Open(dir, Options{SegmentBytes: MinSegmentBytes, Durability: Batch()})
	require.NoError(t, err)
	appendTo(t, j, 3000)
	require.NoError(t, j.Sync())
	rep, err := Restore(context.Background(), dir, to, RestoreOptions{Until: 2500})
	require.NoError(t, err, "beside the writer")
	require.EqualValues(t, 2500, rep.Last)
	require.NoError(t, j.Close())
	r, err := OpenReader(to, 0, ReaderOptions{})
	require.NoError(t, err)
	last, err := drainChecked(r, 1)
	require.NoError(t, err)
	require.EqualValues(t, 2500, last)
	require.NoError(t, r.Close())
}
