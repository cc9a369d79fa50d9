package journal

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// testKeys knows key 1 and 2.
var testKeys = ArchiveAccess{Key: func(id uint32) ([]byte, error) {
	if id > 2 {
		return nil, fmt.Errorf("no key %d in the safe", id)
	}
	return bytes.Repeat([]byte{byte(id)}, 32), nil
}}

// archiveForms are ways to archive.
var archiveForms = map[string]ArchiveOptions{
	"deflate":           {},
	"encrypted":         {Stored: true, KeyID: 1, Access: testKeys},
	"deflate-encrypted": {KeyID: 2, Access: testKeys},
}

// archived archives every sealed segment of st, in blocks of some 4 KiB.
func archived(t testing.TB, st *memStorage, o ArchiveOptions) ArchiveReport {
	t.Helper()
	rep, err := archiveAs(context.Background(), st, memDir, o, archiveForm{blockBytes: 4096})
	require.NoError(t, err)
	require.Positive(t, rep.Archived)
	return rep
}

// A reader cannot tell an archived journal from the plain one, whatever it does.
func TestArchive_ReadersSeeNoDifference(t *testing.T) {
	plain, newest := chained(t, testKey)
	for name, o := range archiveForms {
		t.Run(name, func(t *testing.T) {
			st := plain.clone()
			before := st.segments()
			rep := archived(t, st, o)
			require.Equal(t, len(before)-1, rep.Archived, "all but the one that is written to")
			require.Equal(t, before, st.segments())
			a := ReaderOptions{Archives: o.Access}
			sameReads(t, plain, st, a)

			v, err := verify(st, memDir, VerifyOptions{Archives: o.Access, Anchor: newest.Root, PublicKey: testKey.Public().(ed25519.PublicKey)})
			require.NoError(t, err)
			w, err := verify(plain, memDir, VerifyOptions{})
			require.NoError(t, err)
			require.Equal(t, w.Root, v.Root, "the chain is over the plain records")
			require.Equal(t, w.Records, v.Records)
			require.True(t, v.Segments[0].Archived)
			require.Equal(t, o.KeyID, v.Segments[0].KeyID)
			for seq := int64(1); seq <= newest.Last; seq += 97 {
				p, err := prove(plain, memDir, seq, ProveOptions{})
				require.NoError(t, err)
				q, err := prove(st, memDir, seq, ProveOptions{Archives: o.Access})
				require.NoError(t, err)
				require.Equal(t, p, q)
			}

			// The writer needs no key to go on.
			j, err := openMem(st, Options{Durability: None(), Signer: testKey})
			require.NoError(t, err)
			require.True(t, j.Recovery().Clean)
			require.Equal(t, w.Last, j.Written())
			appendTo(t, j, j.Written()+2000)
			require.NoError(t, j.Close())
			_, err = verify(st, memDir, VerifyOptions{Archives: o.Access})
			require.NoError(t, err)
			j, err = openMem(st, Options{Durability: None(), VerifyAll: true, Archives: o.Access})
			require.NoError(t, err)
			require.NoError(t, j.Close())
		})
	}
}

// sameReads compares what readers of two directories see, in every way of reading.
func sameReads(t testing.TB, plain, other *memStorage, o ReaderOptions) {
	t.Helper()
	reading := func(st *memStorage, seed uint64) string {
		var out bytes.Buffer
		rnd := rand.New(rand.NewPCG(seed, 1))
		fn := func(rec Record) error {
			for _, v := range []uint64{uint64(rec.Sequence), uint64(rec.Time), uint64(rec.Type), uint64(rec.Kind), uint64(rec.Flags),
				uint64(rec.CRC), uint64(rec.Offset), rec.Segment, uint64(len(rec.Body))} {
				out.Write(le.AppendUint64(nil, v))
			}
			out.Write(rec.Body)
			return nil
		}
		o := o
		o.Internal = rnd.IntN(2) == 0
		if rnd.IntN(3) == 0 {
			o.Types = []uint16{9}
		}
		r, err := openReader(st, memDir, 1+rnd.Int64N(2500), o)
		require.NoError(t, err)
		for range 4 {
			switch rnd.IntN(7) {
			case 0:
				require.NoError(t, r.SeekTo(1+rnd.Int64N(2500)))
			case 1:
				require.NoError(t, r.SeekTime(time.Unix(0, 1000+rnd.Int64N(2500))))
			case 2:
				require.NoError(t, r.SeekTail(rnd.Int64N(2000)))
			case 3:
				_, err := r.ReadBackward(fn)
				require.NoError(t, err)
			case 4:
				stop := 1 + rnd.IntN(700)
				_, err := r.Read(func(rec Record) error {
					if stop--; stop == 0 {
						return ErrStop
					}
					return fn(rec)
				})
				require.NoError(t, err)
			case 5:
				_, err := r.ReadSpans(func(recs []Record) error {
					for _, rec := range recs {
						_ = fn(rec)
					}
					return nil
				})
				require.NoError(t, err)
			case 6:
				stop := 1 + rnd.IntN(700)
				for rec, err := range r.Records() {
					require.NoError(t, err)
					require.NoError(t, fn(rec))
					if stop--; stop == 0 {
						break
					}
				}
			}
			fmt.Fprintln(&out, r.Sequence())
		}
		_, err = r.Read(fn)
		require.NoError(t, err)
		require.NoError(t, r.Close())
		return out.String()
	}
	for seed := uint64(0); seed < 40; seed += uint64(stride(3, 9)) {
		require.Equal(t, reading(plain, seed), reading(other, seed), "seed %d", seed)
	}
}

// Beside a writer: a follower from before, one from after, Trim, and a key that changes.
func TestArchive_BesideAWriter(t *testing.T) {
	st := newMemStorage()
	j, err := openMem(st, Options{Durability: None(), Archives: testKeys, Chain: true})
	require.NoError(t, err)
	ctx := context.Background()
	rep, err := j.Archive(ctx, ArchiveOptions{})
	require.NoError(t, err)
	require.Zero(t, rep.Archived)
	old, err := j.NewReader(1, ReaderOptions{})
	require.NoError(t, err)
	for j.Stats().Rolls < 5 {
		appendTo(t, j, j.Written()+1)
	}
	_, err = old.Read(func(rec Record) error {
		if rec.Sequence == 10 {
			return ErrStop
		}
		return nil
	})
	require.NoError(t, err)
	require.NoError(t, j.Sync())
	segs := st.segments()
	active, _, _ := parseSegmentName(filepath.Base(segs[len(segs)-1]))
	_, err = j.WaitChained(ctx, active-1)
	require.NoError(t, err)
	rep, err = j.Archive(ctx, ArchiveOptions{KeyID: 1, KeepPlain: 1})
	require.NoError(t, err)
	require.Equal(t, 4, rep.Archived)
	require.Less(t, rep.After, rep.Before)
	rep, err = j.Archive(ctx, ArchiveOptions{KeyID: 1, KeepPlain: 1})
	require.NoError(t, err)
	require.Zero(t, rep.Archived)
	require.Equal(t, 4, rep.Skipped)
	last, err := readAll(j)
	require.NoError(t, err)
	require.Equal(t, j.Written(), last)
	last, err = drainChecked(old, 11)
	require.NoError(t, err, "a reader inside a segment that was swapped reads on")
	require.Equal(t, j.Written(), last)
	require.NoError(t, old.Close())

	rep, err = j.Archive(ctx, ArchiveOptions{KeyID: 2, KeepPlain: 2})
	require.NoError(t, err)
	require.Equal(t, 3, rep.Archived, "packed anew with another key")
	rep, err = j.Archive(ctx, ArchiveOptions{Before: 600})
	require.NoError(t, err)
	require.LessOrEqual(t, rep.Archived, 1)
	last, err = readAll(j)
	require.NoError(t, err)
	require.Equal(t, j.Written(), last)

	tr, err := j.Trim(Retention{Before: 700})
	require.NoError(t, err)
	require.Positive(t, tr.Removed)
	require.Less(t, tr.Bytes, int64(tr.Removed)*MinSegmentBytes, "the bytes of the files as they are")
	_, err = archive(ctx, st, memDir, ArchiveOptions{})
	require.ErrorIs(t, err, ErrLocked)
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	_, err = j.Archive(cancelled, ArchiveOptions{Access: testKeys})
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, j.Close())
	_, err = j.Archive(ctx, ArchiveOptions{})
	require.ErrorIs(t, err, ErrClosed)
	_, err = archive(ctx, newMemStorage(), memDir, ArchiveOptions{})
	require.ErrorIs(t, err, ErrNotFound)
}

// A backup takes archives as they are, and knows a segment again that was archived since.
func TestArchive_Backup(t *testing.T) {
	st, newest := chained(t, nil)
	const to = "/copy"
	_, err := backup(st, memDir, to, BackupOptions{})
	require.NoError(t, err)
	archived(t, st, ArchiveOptions{KeyID: 1, Access: testKeys})
	rep, err := backup(st, memDir, to, BackupOptions{})
	require.NoError(t, err)
	require.Equal(t, 1, rep.Copied, "the one that is not sealed")
	rep, err = backup(st, memDir, "/second", BackupOptions{})
	require.NoError(t, err)
	require.Equal(t, 5, rep.Copied)
	for _, dir := range []string{to, "/second"} {
		v, err := verify(st, dir, VerifyOptions{Archives: testKeys, Anchor: newest.Root})
		require.NoError(t, err)
		require.Equal(t, dir == "/second", v.Segments[0].Archived)
		r, err := openReader(st, dir, 0, ReaderOptions{Archives: testKeys})
		require.NoError(t, err)
		last, err := drainChecked(r, 1)
		require.NoError(t, err)
		require.Equal(t, v.Last, last)
		require.NoError(t, r.Close())
	}
}

func TestArchive_KeysAndCodecs(t *testing.T) {
	plain, _ := chained(t, nil)
	read := func(st *memStorage, a ArchiveAccess) error {
		r, err := openReader(st, memDir, 0, ReaderOptions{Archives: a})
		require.NoError(t, err)
		defer r.Close()
		_, err = drainChecked(r, 1)
		for _, same := range []func() error{
			func() error { _, err := verify(st, memDir, VerifyOptions{Archives: a}); return err },
			func() error { _, err := prove(st, memDir, 1, ProveOptions{Archives: a}); return err },
			func() error {
				j, err := openMem(st, Options{VerifyAll: true, Archives: a})
				if err == nil {
					require.NoError(t, j.Close())
				}
				return err
			},
		} {
			require.Equal(t, err == nil, same() == nil)
		}
		return err
	}
	wrong := ArchiveAccess{Key: func(uint32) ([]byte, error) { return make([]byte, 32), nil }}
	short := ArchiveAccess{Key: func(uint32) ([]byte, error) { return make([]byte, 15), nil }}
	locked := errors.New("the safe is locked")
	fails := ArchiveAccess{Key: func(uint32) ([]byte, error) { return nil, locked }}

	st := plain.clone()
	archived(t, st, ArchiveOptions{KeyID: 1, Access: testKeys})
	require.NoError(t, read(st, testKeys))
	for want, a := range map[error]ArchiveAccess{ErrNoKey: {}, ErrWrongKey: wrong, locked: fails} {
		err := read(st, a)
		require.ErrorIs(t, err, want)
		var access *AccessError
		require.ErrorAs(t, err, &access)
		require.EqualValues(t, 1, access.KeyID)
		first, _, _ := parseSegmentName(access.Segment)
		require.Equal(t, first, access.First)
		next := segmentsIn(st, memDir)[1]
		behind, _, _ := parseSegmentName(filepath.Base(next))
		require.Equal(t, behind-1, access.Last)
		require.False(t, isCorruption(err), "nothing is damaged")
	}
	require.ErrorIs(t, read(st, short), ErrNoKey)
	for seed := range 200 {
		junk := make([]byte, 40+seed*200)
		for i := range junk {
			junk[i] = byte(i * seed)
		}
		require.ErrorContains(t, deflate{}.Decode(make([]byte, 100), junk), "deflate")
	}

	st = plain.clone()
	archived(t, st, ArchiveOptions{Codec: reversing{}})
	require.ErrorIs(t, read(st, ArchiveAccess{}), ErrNoCodec)
	require.NoError(t, read(st, ArchiveAccess{Codecs: []Codec{nil, reversing{}}}))

	for _, o := range []ArchiveOptions{
		{KeepPlain: -1}, {Stored: true}, {Stored: true, Codec: reversing{}}, {Codec: zero{}}, {KeyID: 3, Access: testKeys}, {KeyID: 1},
	} {
		_, err := archive(context.Background(), plain, memDir, o)
		require.Error(t, err, "%+v", o)
	}
	_, err := archive(context.Background(), plain, memDir, ArchiveOptions{Codec: lossy{}})
	require.ErrorContains(t, err, "is the codec right", "a codec that does not give back what it took never gets to replace a segment")
	require.NoError(t, read(plain, ArchiveAccess{}))
}

// reversing is a codec of an application: it writes a deflated block backwards.
type reversing struct{}

func (reversing) ID() uint32   { return 4000 }
func (reversing) Name() string { return "reversing" }

func (reversing) Encode(dst, src []byte) ([]byte, error) {
	b, err := deflate{}.Encode(dst, src)
	for i, k := 0, len(b)-1; i < k; i, k = i+1, k-1 {
		b[i], b[k] = b[k], b[i]
	}
	return b, err
}

func (reversing) Decode(dst, src []byte) error {
	b := bytes.Clone(src)
	for i, k := 0, len(b)-1; i < k; i, k = i+1, k-1 {
		b[i], b[k] = b[k], b[i]
	}
	return deflate{}.Decode(dst, b)
}

type zero struct{ deflate }

func (zero) ID() uint32 { return 0 }

type lossy struct{ deflate }

func (lossy) ID() uint32 { return 4001 }
func (lossy) Decode(dst, src []byte) error {
	err := deflate{}.Decode(dst, src)
	dst[40] ^= 1
	return err
}

// Whatever byte of an archive is changed, no reader delivers something else than was written.
func TestArchive_EveryByteDamaged(t *testing.T) {
	plain, _ := chained(t, nil)
	for name, o := range archiveForms {
		st := plain.clone()
		archived(t, st, o)
		path := st.segments()[1]
		size := st.nodes[path].size
		for off := int64(0); off < size; off += stride(311, 1601) {
			if off >= pageBytes && off < recordsOffset && off >= ctlIdentity {
				continue // promises have copies, and identity says nothing here
			}
			b := st.nodes[path].bytes()
			b[off] ^= 1 << (off % 8)
			r, err := openReader(st, memDir, 0, ReaderOptions{Archives: o.Access})
			require.NoError(t, err)
			last, err := drainChecked(r, 1)
			require.NoError(t, r.Close())
			if err == nil {
				require.True(t, off >= pageBytes && off < recordsOffset, "%s: offset %d", name, off)
			} else {
				require.False(t, last > 0 && !isCorruption(err) && !isAccess(err) && !errors.Is(err, ErrFormatVersion), "%s: offset %d: %v", name, off, err)
			}
			b[off] ^= 1 << (off % 8)
		}
		for n := size - 1; n >= 0; n -= stride(3011, 9001) { // cut
			c := st.clone()
			cut := newMemNode(n)
			copy(cut.bytes(), st.nodes[path].bytes())
			c.nodes[path] = cut
			_, err := verify(c, memDir, VerifyOptions{Archives: o.Access})
			require.Error(t, err, "%s: cut at %d", name, n)
			j, err := openMem(c, Options{})
			require.Error(t, err, "%s: cut at %d", name, n)
			require.Nil(t, j)
		}
	}
}

// A segment that Trim removes after its archive was written stays removed: nobody who has been told that events are gone
// finds them again.
func TestArchive_TrimIsFaster(t *testing.T) {
	st := newMemStorage()
	j, err := openMem(st, Options{Durability: None(), Chain: true})
	require.NoError(t, err)
	for j.Stats().Rolls < 3 {
		appendTo(t, j, j.Written()+1)
	}
	require.NoError(t, j.Sync())
	segs := st.segments()
	active, _, _ := parseSegmentName(filepath.Base(segs[len(segs)-1]))
	_, err = j.WaitChained(t.Context(), active-1)
	require.NoError(t, err)
	second, _, ok := parseSegmentName(filepath.Base(segs[1]))
	require.True(t, ok)
	removed := 0
	st.setHook(func(op, name string) error {
		if op == "open" && name == filepath.Base(segs[0])+spareSuffix && removed == 0 { // the archive, to be read back
			tr, err := j.Trim(Retention{Before: second})
			removed = tr.Removed
			return err
		}
		return nil
	})
	rep, err := j.Archive(t.Context(), ArchiveOptions{})
	st.setHook(nil)
	require.NoError(t, err)
	require.Equal(t, 1, removed)
	require.Equal(t, 2, rep.Archived)
	require.Equal(t, segs[1:], st.segments()[:len(segs)-1])
	require.Equal(t, second, j.FirstSequence())
	require.NoError(t, j.Close())
	v, err := verify(st, memDir, VerifyOptions{})
	require.NoError(t, err)
	require.Equal(t, second, v.First)
}

// While Archive looks at what there is, Trim takes nothing from under it.
func TestArchive_TrimWhileItLooks(t *testing.T) {
	st := newMemStorage()
	j, err := openMem(st, Options{Durability: None()})
	require.NoError(t, err)
	for j.Stats().Rolls < 3 {
		appendTo(t, j, j.Written()+1)
	}
	require.NoError(t, j.Sync())
	segs := st.segments()
	second, _, ok := parseSegmentName(filepath.Base(segs[1]))
	require.True(t, ok)
	looked := false
	st.setHook(func(op, name string) error {
		if op != "open" || name != filepath.Base(segs[0]) || looked {
			return nil
		}
		looked = true
		if !j.trimMu.TryLock() {
			return nil // Trim would wait
		}
		j.trimMu.Unlock()
		_, err := j.Trim(Retention{Before: second})
		return err
	})
	rep, err := j.Archive(t.Context(), ArchiveOptions{})
	st.setHook(nil)
	require.NoError(t, err)
	require.True(t, looked)
	require.Equal(t, 3, rep.Archived)
	require.NoError(t, j.Close())
}

// Whatever operation fails, or after which the power goes, the journal is whole, and archiving
// again completes it.
func TestArchive_EveryOperationFails(t *testing.T) {
	base, newest := chained(t, nil)
	last := int64(0)
	r, err := openReader(base, memDir, 0, ReaderOptions{})
	require.NoError(t, err)
	last, err = drainChecked(r, 1)
	require.NoError(t, err)
	cause := errors.New("planted")
	rnd := rand.New(rand.NewPCG(1, 2))
	check := func(st *memStorage, k int) {
		t.Helper()
		j, err := openMem(st, Options{Durability: None(), VerifyAll: true, Chain: true, Archives: testKeys})
		require.NoError(t, err, "operation %d", k)
		got, err := readAll(j)
		require.NoError(t, err, "operation %d", k)
		require.Equal(t, last, got, "operation %d", k)
		require.NoError(t, j.Close())
		for name := range st.nodes {
			require.NotEqual(t, spareSuffix, filepath.Ext(name), "operation %d", k)
		}
		archiveAgain(t, st)
		_, err = verify(st, memDir, VerifyOptions{Archives: testKeys, Anchor: newest.Root})
		require.NoError(t, err, "operation %d", k)
	}
	for k := 0; ; k += int(stride(19, 61)) {
		st := base.clone()
		st.crashy = true
		for _, n := range st.nodes { // what is there was synced
			n.image = bytes.Clone(n.bytes())
		}
		require.NoError(t, st.syncDir(memDir))
		n := 0
		st.hook = func(string, string) error {
			if n++; n == k+1 {
				return cause
			}
			return nil
		}
		_, err := archiveAs(context.Background(), st, memDir, ArchiveOptions{KeyID: 1, Access: testKeys}, archiveForm{blockBytes: 4096})
		st.hook = nil
		failed := n > k
		if failed && !errors.Is(err, cause) {
			require.NoError(t, err, "operation %d: a clean-up that fails is no failure", k)
		}
		st.locks = map[string]bool{}
		check(st.powerCut(rnd), k)
		check(st, k)
		if !failed {
			break
		}
	}
}

func archiveAgain(t testing.TB, st *memStorage) {
	t.Helper()
	_, err := archive(context.Background(), st, memDir, ArchiveOptions{KeyID: 1, Access: testKeys})
	require.NoError(t, err)
	rep, err := archive(context.Background(), st, memDir, ArchiveOptions{KeyID: 1, Access: testKeys})
	require.NoError(t, err)
	require.Zero(t, rep.Archived)
}

// stride is how many cases of an exhaustive test to move on: 1 in the long form, otherwise usual, or
// short where time is short, as it is of a test that runs once more with the other back end. All are odd, so that
// every bit position has its turn.
func stride(usual, short int64) int64 {
	switch {
	case testing.Short() || raceEnabled:
		return short
	case longForm():
		return 1
	case memBackend != BackendAuto:
		return short
	}
	return usual
}
