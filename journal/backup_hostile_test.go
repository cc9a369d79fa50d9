package journal

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// keptFor is a closed journal of some segments on the heap, its last sequence, and a copy of it as it was one segment earlier.
func keptFor(t testing.TB, o Options) (st *memStorage, last int64) {
	t.Helper()
	st = newMemStorage()
	o.Durability = None()
	j, err := openMem(st, o)
	require.NoError(t, err)
	for j.Stats().Rolls < 3 {
		appendAt(t, j, j.Written()+1)
	}
	for range 20 {
		appendAt(t, j, j.Written()+1)
	}
	last = j.Written()
	require.NoError(t, j.Close())
	return st, last
}

// appendAt appends the record seq, whose time is given.
func appendAt(t testing.TB, j *Journal, seq int64) {
	t.Helper()
	got, err := j.Append(Entry{Type: 9, Time: 1000 + seq, Body: bodyOf(seq)})
	require.NoError(t, err)
	require.Equal(t, seq, got)
}

// filesIn returns the content of every file in a directory but its locks.
func filesIn(st *memStorage, dir string) map[string]string {
	all := map[string]string{}
	for name, n := range st.nodes {
		if filepath.Dir(name) == dir && filepath.Base(name) != lockName {
			all[filepath.Base(name)] = string(n.bytes())
		}
	}
	return all
}

// segmentsIn returns the paths of the segments in a directory, in order.
func segmentsIn(st *memStorage, dir string) (names []string) {
	for _, name := range st.segments() {
		if filepath.Dir(name) == dir {
			names = append(names, name)
		}
	}
	return names
}

// A promise that is damaged does not end a copy early: what later segments, or the mark of the last Close, prove is copied, or
// the damage is named.
func TestBackup_DamagedPromises_NothingIsForgotten(t *testing.T) {
	base, last := keptFor(t, Options{})
	for i := range segmentsIn(base, memDir) {
		for _, sameBoot := range []bool{true, false} {
			st := base.clone()
			if !sameBoot {
				st.id.boot[0]++
			}
			clear(st.nodes[segmentsIn(st, memDir)[i]].bytes()[pageBytes:recordsOffset])
			rep, err := backup(st, memDir, "/copy", BackupOptions{})
			require.NoError(t, err, "segment %d, same boot %v", i, sameBoot)
			require.Equal(t, last, rep.Last, "segment %d, same boot %v", i, sameBoot)
			v, err := verify(st, "/copy", VerifyOptions{})
			require.NoError(t, err)
			require.Equal(t, last, v.Last)
			r, err := restore(context.Background(), st, memDir, restored, RestoreOptions{})
			require.NoError(t, err)
			require.Equal(t, last, r.Last)
		}
	}
}

// The same of a copy, from which a journal is restored.
func TestRestore_DamagedPromises_NothingIsForgotten(t *testing.T) {
	base, last := keptFor(t, Options{})
	_, err := backup(base, memDir, "/copy", BackupOptions{})
	require.NoError(t, err)
	for i := range segmentsIn(base, "/copy") {
		st := base.clone()
		clear(st.nodes[segmentsIn(st, "/copy")[i]].bytes()[pageBytes:recordsOffset])
		r, err := restore(context.Background(), st, "/copy", restored, RestoreOptions{})
		require.NoError(t, err, "segment %d", i)
		require.Equal(t, last, r.Last, "segment %d", i)
	}
	for i, name := range segmentsIn(base, "/copy") {
		st := base.clone()
		delete(st.nodes, name)
		if i == 0 {
			continue // it may have been trimmed
		}
		_, err := restore(context.Background(), st, "/copy", restored, RestoreOptions{})
		require.True(t, isCorruption(err), "without segment %d: %v", i, err)
		_, err = verify(st, "/copy", VerifyOptions{})
		require.True(t, isCorruption(err), "without segment %d: %v", i, err)
	}
}

// Two histories that go on from one place are not mixed in one copy, however alike they are.
func TestBackup_AnotherHistory_IsRefused(t *testing.T) {
	base, last := keptFor(t, Options{})
	_, err := backup(base, memDir, "/copy", BackupOptions{})
	require.NoError(t, err)
	for name, until := range map[string]int64{"from the end": 0, "from before": last - 10, "from a segment before": last - 300} {
		for more := range []int64{0, 5, 2000} {
			st := base.clone()
			r, err := restore(context.Background(), st, "/copy", restored, RestoreOptions{Until: until})
			require.NoError(t, err)
			goOn := func(dir string, body string) {
				j, err := open(st, dir, Options{SegmentBytes: MinSegmentBytes, Durability: None()}, fixedRandomness())
				require.NoError(t, err)
				for range 600 {
					seq := j.Written() + 1
					b := bodyOf(seq)
					copy(b, body)
					_, err := j.Append(Entry{Type: 9, Time: 1000 + seq, Body: b})
					require.NoError(t, err)
				}
				require.NoError(t, j.Close())
			}
			goOn(memDir, "this")
			_, err = backup(st, memDir, "/copy", BackupOptions{})
			require.NoError(t, err)
			before := filesIn(st, "/copy")
			if more > 0 {
				goOn(restored, "that")
			}
			_, err = backup(st, restored, "/copy", BackupOptions{})
			require.Error(t, err, "%s, %d more, %+v", name, more, r)
			require.Equal(t, before, filesIn(st, "/copy"), "%s, %d more", name, more)
		}
	}
}

// What is damaged in the journal does not go over what is whole in the copy, nor into a new one.
func TestBackup_DamagedSource_DoesNotReachTheCopy(t *testing.T) {
	base, last := keptFor(t, Options{})
	_, err := backup(base, memDir, "/copy", BackupOptions{})
	require.NoError(t, err)
	for i, name := range segmentsIn(base, memDir) {
		st := base.clone()
		j, err := openMem(st, Options{Durability: None()})
		require.NoError(t, err)
		for range 30 {
			appendAt(t, j, j.Written()+1)
		}
		require.NoError(t, j.Close())
		st.nodes[name].bytes()[recordsOffset+200] ^= 4
		before := filesIn(st, "/copy")
		_, err = backup(st, memDir, "/new", BackupOptions{})
		var c *CorruptionError
		require.ErrorAs(t, err, &c, "segment %d", i)
		require.Equal(t, filepath.Base(name), c.Segment)
		rep, err := backup(st, memDir, "/copy", BackupOptions{})
		if i == len(segmentsIn(base, memDir))-1 {
			require.ErrorAs(t, err, &c)
			require.Equal(t, before, filesIn(st, "/copy"))
		} else {
			require.NoError(t, err)
			require.Equal(t, last+30, rep.Last)
		}
		_, err = verify(st, "/copy", VerifyOptions{})
		require.NoError(t, err)
	}
}

// After a repair the copy has what the journal has given up: it stays.
func TestBackup_AfterRepair_TheCopyKeepsWhatWasLost(t *testing.T) {
	for _, o := range []Options{{}, {Chain: true}} {
		base, last := keptFor(t, o)
		_, err := backup(base, memDir, "/copy", BackupOptions{})
		require.NoError(t, err)
		for _, name := range segmentsIn(base, memDir) {
			st := base.clone()
			st.nodes[name].bytes()[recordsOffset+200] ^= 4
			mend(t, st, name)
			j, err := openMem(st, o)
			require.NoError(t, err)
			appendAt(t, j, last+1)
			require.NoError(t, j.Close())
			before := filesIn(st, "/copy")
			_, err = backup(st, memDir, "/copy", BackupOptions{})
			require.Error(t, err, name)
			require.Equal(t, before, filesIn(st, "/copy"))
			rep, err := backup(st, memDir, "/new", BackupOptions{})
			require.NoError(t, err)
			require.Equal(t, last+1, rep.Last)
		}
	}
}

// A copy is never made shorter: what a power cut has left of the promises says less than the copy has.
func TestBackup_CopyIsAhead_StaysWhole(t *testing.T) {
	base, last := keptFor(t, Options{})
	_, err := backup(base, memDir, "/copy", BackupOptions{})
	require.NoError(t, err)
	st := base.clone()
	name := segmentsIn(st, memDir)[3]
	_, id, _ := parseSegmentName(filepath.Base(name))
	m := st.nodes[name].bytes()
	clear(m[pageBytes:recordsOffset])
	storePair(m, id, pair{1, recordsOffset, 0})
	delete(st.nodes, filepath.Join(memDir, progressName))
	before := filesIn(st, "/copy")
	rep, err := backup(st, memDir, "/copy", BackupOptions{})
	require.NoError(t, err)
	require.Equal(t, last, rep.Last)
	require.Equal(t, before, filesIn(st, "/copy"))
}

// What is no spare of a journal's is not removed from the copy's directory.
func TestBackup_OthersFiles_AreLeftAlone(t *testing.T) {
	st, _ := keptFor(t, Options{})
	st.dirs["/copy"] = true
	st.nodes["/copy/thesis.tmp"] = newMemNode(3)
	st.nodes["/copy/0000000000000007.tmp"] = newMemNode(3)
	_, err := backup(st, memDir, "/copy", BackupOptions{})
	require.NoError(t, err)
	require.NotNil(t, st.nodes["/copy/thesis.tmp"])
	require.Nil(t, st.nodes["/copy/0000000000000007.tmp"])
}

// The copy lies neither in the journal's directory nor around it, whatever the names.
func TestBackup_InsideOrAround_IsRefused(t *testing.T) {
	root := t.TempDir()
	t.Chdir(root)
	dir := filepath.Join(root, "a", "j")
	require.NoError(t, os.MkdirAll(dir, 0o700))
	j, err := Open(dir, Options{SegmentBytes: MinSegmentBytes, Durability: None()})
	require.NoError(t, err)
	appendTo(t, j, 10)
	require.NoError(t, j.Close())
	require.NoError(t, os.Symlink(dir, "link"))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "there"), 0o700))
	require.NoError(t, os.Symlink(filepath.Join(dir, "there"), "into"))
	require.NoError(t, os.Symlink("a", "around"))
	names := []string{dir + "/copy", "a/j/copy", "a/../a/j/b/c", "link/copy", "link/there", "into", "into/deep/er", "a", "around", root, "/"}
	for _, to := range names {
		_, err := Backup(dir, to, BackupOptions{})
		require.ErrorIs(t, err, ErrOverlap, "%q", to)
		require.ErrorIs(t, err, ErrDirectory, "%q", to)
		_, err = Restore(t.Context(), dir, to, RestoreOptions{})
		require.ErrorIs(t, err, ErrOverlap, "%q", to)
	}
	all, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, all, 4, "%v", all)
}

// Where a sync had failed, the promises may be behind what an earlier backup saw: the copy stays as it is.
func TestBackup_PromisesLagBehindTheCopy_ItStaysWhole(t *testing.T) {
	base, last := keptFor(t, Options{})
	_, err := backup(base, memDir, "/copy", BackupOptions{})
	require.NoError(t, err)
	for _, p := range []pair{{}, {1, recordsOffset, 0}} {
		st := base.clone()
		name := segmentsIn(st, memDir)[3]
		first, id, _ := parseSegmentName(filepath.Base(name))
		m := st.nodes[name].bytes()
		clear(m[pageBytes:recordsOffset])
		if p.generation > 0 {
			p.sequence = first - 1
			storePair(m, id, p)
		}
		delete(st.nodes, filepath.Join(memDir, progressName))
		st.nodes[filepath.Join(memDir, failedName)] = newMemNode(0)
		before := filesIn(st, "/copy")
		rep, err := backup(st, memDir, "/copy", BackupOptions{})
		require.NoError(t, err)
		require.Equal(t, last, rep.Last)
		require.Equal(t, before, filesIn(st, "/copy"))
		m[recordsOffset+200] ^= 4 // behind the promise: the journal may have anything there
		_, err = backup(st, memDir, "/copy", BackupOptions{})
		require.NoError(t, err)
		require.Equal(t, before, filesIn(st, "/copy"))
	}
}

// A segment that is missing between others is missed, whoever has the copy.
func TestBackup_SegmentMissing_IsNamed(t *testing.T) {
	base, _ := keptFor(t, Options{})
	for _, sameBoot := range []bool{true, false} {
		for i, name := range segmentsIn(base, memDir) {
			st := base.clone()
			if !sameBoot {
				st.id.boot[0]++
			}
			if delete(st.nodes, name); i == 0 {
				continue // it may have been trimmed
			}
			_, err := backup(st, memDir, "/copy", BackupOptions{})
			require.True(t, isCorruption(err), "segment %d: %v", i, err)
			require.Empty(t, segmentsIn(st, "/copy"))
		}
	}
}

// Damaged blocks of archived segments are found without key or codec.
func TestBackup_DamagedArchive_DoesNotReachTheCopy(t *testing.T) {
	for form, o := range archiveForms {
		st, _ := keptFor(t, Options{})
		archived(t, st, o)
		_, err := backup(st, memDir, "/whole", BackupOptions{})
		require.NoError(t, err, form)
		name := segmentsIn(st, memDir)[1]
		for off := int64(recordsOffset); off < st.nodes[name].size; off += stride(97, 997) {
			b := st.nodes[name].bytes()
			b[off] ^= 8
			_, err := backup(st, memDir, "/copy", BackupOptions{})
			var c *CorruptionError
			if errors.Is(err, ErrFormatVersion) {
				err = nil
			} else if off < st.nodes[name].size-16 { // the tag of the table takes the key
				require.ErrorAs(t, err, &c, "%s: offset %d", form, off)
				require.Equal(t, filepath.Base(name), c.Segment)
				require.NotContains(t, filesIn(st, "/copy"), filepath.Base(name))
			}
			b[off] ^= 8
			for file := range filesIn(st, "/copy") {
				delete(st.nodes, filepath.Join("/copy", file))
			}
		}
	}
}

// Whatever operation of a backup fails, and wherever the power goes, the copy has what an earlier backup reported, whole,
// and the next one completes it.
func TestBackup_PowerCut_WhatWasReportedIsThere(t *testing.T) {
	base, last := keptFor(t, Options{Chain: true})
	early := int64(0)
	{ // a copy of what there was a segment and some records ago
		c := base.clone()
		rep, err := restore(context.Background(), c, memDir, restored, RestoreOptions{Until: last - 700})
		require.NoError(t, err)
		early = rep.Last
		for name, n := range c.nodes {
			if filepath.Dir(name) == restored {
				base.nodes[filepath.Join("/copy", filepath.Base(name))] = n
			}
		}
		base.dirs["/copy"] = true
	}
	rnd := rand.New(rand.NewPCG(5, 6))
	cause := errors.New("planted")
	for k := 0; ; k += int(stride(1, 7)) {
		st := base.clone()
		st.crashy = true
		for name, n := range st.nodes {
			n.image = bytes.Clone(n.bytes())
			st.synced[name] = n
		}
		n, reported := 0, early
		st.hook = func(string, string) error {
			if n++; n == k+1 {
				return cause
			}
			return nil
		}
		rep, err := backup(st, memDir, "/copy", BackupOptions{})
		st.hook = nil
		if err == nil {
			require.Equal(t, last, rep.Last)
			reported = last
		} else {
			require.ErrorIs(t, err, cause, "operation %d", k)
		}
		if k%2 == 0 && err != nil { // a second try, which finds all of it there perhaps
			rep, err := backup(st, memDir, "/copy", BackupOptions{})
			require.NoError(t, err, "operation %d", k)
			reported = rep.Last
			require.Equal(t, last, reported)
		}
		for range 3 {
			cut := st.powerCut(rnd)
			v, err := verify(cut, "/copy", VerifyOptions{})
			require.NoError(t, err, "operation %d", k)
			require.GreaterOrEqual(t, v.Last, reported, "operation %d", k)
			rep, err = backup(cut, memDir, "/copy", BackupOptions{})
			require.NoError(t, err, "operation %d", k)
			require.Equal(t, last, rep.Last)
			v, err = verify(cut, "/copy", VerifyOptions{})
			require.NoError(t, err, "operation %d", k)
			require.Equal(t, last, v.Last)
		}
		if n <= k {
			break
		}
	}
}

// A chain that was cut and made anew has other links than the copy: the copy gets them all, or keeps its own.
func TestBackup_ChainMadeAnew_CopyFollows(t *testing.T) {
	base, ends := batched(t) // with tail links
	last := int64(len(ends) - 1)
	_, err := backup(base, memDir, "/copy", BackupOptions{})
	require.NoError(t, err)
	for _, cut := range []int64{0, 1, 3} {
		st := base.clone()
		path := filepath.Join(memDir, chainName)
		n := newMemNode(cut * linkBytes)
		copy(n.bytes(), st.nodes[path].bytes())
		st.nodes[path] = n
		for range 2 {
			rep, err := backup(st, memDir, "/copy", BackupOptions{})
			require.NoError(t, err)
			require.Equal(t, last, rep.Last)
			v, err := verify(st, "/copy", VerifyOptions{})
			require.NoError(t, err, "cut at %d", cut)
			require.Equal(t, last, v.Last)
			require.NotZero(t, v.Links)
			j, err := openMem(st, Options{Durability: None(), Chain: true, ChainEvery: -1})
			require.NoError(t, err)
			_, err = j.ChainNow(t.Context())
			require.NoError(t, err)
			require.NoError(t, j.Close())
		}
	}
}

// What a backup has named and could not sync, the next one syncs, even if it has nothing to copy.
func TestBackup_DirectoryNotSynced_TheNextOneDoes(t *testing.T) {
	base, _ := keptFor(t, Options{})
	segs := segmentsIn(base, memDir)
	delete(base.nodes, segs[len(segs)-1]) // so that all are sealed, and none is copied twice
	delete(base.nodes, filepath.Join(memDir, progressName))
	for k := 1; ; k++ {
		st := base.clone()
		st.crashy = true
		n := 0
		st.hook = func(op, name string) error {
			if op == "syncDir" && name == "copy" {
				if n++; n == k {
					return filepath.ErrBadPattern
				}
			}
			return nil
		}
		_, err := backup(st, memDir, "/copy", BackupOptions{})
		if st.hook = nil; n < k {
			require.NoError(t, err)
			break
		}
		require.ErrorIs(t, err, filepath.ErrBadPattern)
		_, err = backup(st, memDir, "/copy", BackupOptions{})
		require.NoError(t, err)
		for name, n := range st.nodes {
			if filepath.Dir(name) == "/copy" {
				require.True(t, st.synced[name] == n, "sync %d: the name of %s is not synced", k, name)
			}
		}
	}
}

// What the copy has ahead of the promises may reach over several segments, and its own promises may be damaged: its mark, and
// what is reported, are of its real end.
func TestBackup_CopyIsSegmentsAhead_StaysWhole(t *testing.T) {
	base, last := keptFor(t, Options{})
	_, err := backup(base, memDir, "/copy", BackupOptions{})
	require.NoError(t, err)
	segs := segmentsIn(base, memDir)
	// The promises of the last two segments did not reach the disk, and a sync had failed.
	for i, name := range segs[2:] {
		first, id, _ := parseSegmentName(filepath.Base(name))
		m := base.nodes[name].bytes()
		clear(m[pageBytes:recordsOffset])
		if i == 0 {
			storePair(m, id, pair{1, recordsOffset, first - 1})
		}
	}
	delete(base.nodes, filepath.Join(memDir, progressName))
	base.nodes[filepath.Join(memDir, failedName)] = newMemNode(0)
	for name, harm := range map[string]func(*memStorage){
		"whole": func(*memStorage) {},
		"without the promise of its newest": func(st *memStorage) {
			clear(st.nodes[segmentsIn(st, "/copy")[3]].bytes()[pageBytes:recordsOffset])
		},
	} {
		st := base.clone()
		harm(st)
		before := filesIn(st, "/copy")
		rep, err := backup(st, memDir, "/copy", BackupOptions{})
		require.NoError(t, err, name)
		require.Equal(t, last, rep.Last, name)
		require.Equal(t, before, filesIn(st, "/copy"), name)
	}
}

// A damaged control page of the copy's is no gap.
func TestBackup_TrimmedBehindADamagedPromise_GoesOn(t *testing.T) {
	base, last := keptFor(t, Options{})
	_, err := backup(base, memDir, "/copy", BackupOptions{})
	require.NoError(t, err)
	delete(base.nodes, segmentsIn(base, memDir)[0])
	delete(base.nodes, segmentsIn(base, memDir)[0])
	clear(base.nodes[segmentsIn(base, "/copy")[1]].bytes()[pageBytes:recordsOffset])
	rep, err := backup(base, memDir, "/copy", BackupOptions{})
	require.NoError(t, err)
	require.Equal(t, last, rep.Last)
	v, err := verify(base, "/copy", VerifyOptions{})
	require.NoError(t, err)
	require.Equal(t, last, v.Last)
}

// A second backup that had to wait goes by what is durable when its turn comes: what the first has brought in is no fork.
func TestBackup_AnotherCameFirst_GoesOn(t *testing.T) {
	st := newMemStorage()
	j, err := openMem(st, Options{Durability: None()})
	require.NoError(t, err)
	appendTo(t, j, 100)
	require.NoError(t, j.Sync())
	first := true
	st.setHook(func(op, name string) error {
		if op != "lock" || name != "copy" || !first {
			return nil
		}
		first = false
		for j.Stats().Rolls < 2 {
			appendTo(t, j, j.Written()+1)
		}
		if err := j.Sync(); err != nil {
			return err
		}
		_, err := backup(st, memDir, "/copy", BackupOptions{})
		return err
	})
	rep, err := backup(st, memDir, "/copy", BackupOptions{})
	require.NoError(t, err)
	require.Equal(t, j.Durable(), rep.Last)
	require.NoError(t, j.Close())
}

// A copy that is overtaken by Trim begins anew under one lock, and only where it was this call's own.
func TestBackup_Overtaken_BeginsAnew(t *testing.T) {
	for _, own := range []bool{true, false} {
		st := newMemStorage()
		j, err := openMem(st, Options{Durability: None()})
		require.NoError(t, err)
		rolls := func(n uint64) { rollOn(t, j, n) }
		rolls(2)
		if !own {
			_, err := backup(st, memDir, "/copy", BackupOptions{})
			require.NoError(t, err)
		}
		before := filesIn(st, "/copy")
		rolls(3)
		attempts, failures := 0, 0
		o := BackupOptions{
			Progress: func(done, total int64) {
				if attempts == 1 && done > MinSegmentBytes {
					rolls(3)
					_, err := j.Trim(Retention{Before: j.Written()})
					require.NoError(t, err)
				}
			},
			Beside: func() error { attempts++; return nil },
			After: func(rep BackupReport) error {
				_, err := st.lock("/copy")
				require.ErrorIs(t, err, ErrLocked)
				require.Equal(t, j.Durable(), rep.Last)
				return nil
			},
			Again: func(err error) bool {
				_, lerr := st.lock("/copy")
				require.ErrorIs(t, lerr, ErrLocked)
				failures++
				return failures < 4
			},
		}
		if !own {
			_, err := j.Trim(Retention{Before: j.Written()})
			require.NoError(t, err)
		}
		rep, err := backup(st, memDir, "/copy", o)
		if own {
			require.NoError(t, err)
			require.Equal(t, j.FirstSequence(), rep.First)
			require.Equal(t, 2, failures, "one of a segment that was trimmed, one of the gap behind what had been copied")
			v, err := verify(st, "/copy", VerifyOptions{})
			require.NoError(t, err)
			require.Equal(t, rep.First, v.First)
			require.Equal(t, rep.Last, v.Last)
		} else {
			require.ErrorIs(t, err, ErrBackupGap)
			require.Equal(t, before, filesIn(st, "/copy"))
		}
		require.NoError(t, j.Close())
	}
}
