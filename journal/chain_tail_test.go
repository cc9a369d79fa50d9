package journal

import (
	"context"
	"crypto/ed25519"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// tailed is a journal on the heap whose chain has whole links and, for the last segments, tail
// links too; the last segment is not sealed. anchors is every link that there ever was.
func tailed(t testing.TB) (st *memStorage, anchors []Link, last int64) {
	t.Helper()
	st = newMemStorage()
	j, err := openMem(st, Options{Durability: None(), Signer: testKey, ChainEvery: -1})
	require.NoError(t, err)
	_, err = j.ChainNow(context.Background())
	require.ErrorIs(t, err, ErrNotChained, "nothing is durable")
	for k := int64(1); k <= 12; k++ {
		appendTo(t, j, k*300)
		require.NoError(t, j.Sync())
		l, err := j.ChainNow(context.Background())
		require.NoError(t, err)
		require.Equal(t, k*300, l.Last)
		anchors = append(anchors, l)
		again, err := j.ChainNow(context.Background())
		require.NoError(t, err)
		require.Equal(t, l, again, "nothing is new")
	}
	require.Positive(t, j.Stats().Rolls)
	require.NoError(t, j.Close())
	return st, anchors, 12 * 300
}

func TestChain_Tail_ProvesTheNewestRecord(t *testing.T) {
	st, anchors, last := tailed(t)
	key := testKey.Public().(ed25519.PublicKey)
	require.True(t, anchors[len(anchors)-1].Tail)
	rep, err := verify(st, memDir, VerifyOptions{PublicKey: key})
	require.NoError(t, err)
	require.Equal(t, last, rep.Chained)
	require.Equal(t, anchors[len(anchors)-1].Root, rep.Root)
	for _, l := range anchors {
		_, err := verify(st, memDir, VerifyOptions{Anchor: l.Root})
		require.NoError(t, err, "every root that was given out stays good, that of a tail too")
		for seq := l.Last; seq > 0; seq -= 299 {
			p, err := prove(st, memDir, seq, ProveOptions{Anchor: l.Root})
			require.NoError(t, err)
			rec, err := VerifyProof(p, l.Root, key)
			require.NoError(t, err, "%d against %d", seq, l.Last)
			require.Equal(t, seq, rec.Sequence)
			require.Equal(t, string(bodyOf(seq)), string(rec.Body))
		}
		_, err = prove(st, memDir, l.Last+1, ProveOptions{Anchor: l.Root})
		require.ErrorIs(t, err, ErrNotChained)
	}
	// A tail link proves a link of its own kind only, and only at the end.
	p, err := prove(st, memDir, last, ProveOptions{})
	require.NoError(t, err)
	root := p.Links[len(p.Links)-1].Root
	p.Links[len(p.Links)-1].Tail = false
	_, err = VerifyProof(p, root, nil)
	require.ErrorIs(t, err, ErrProof)
	p, err = prove(st, memDir, 1, ProveOptions{Anchor: anchors[0].Root})
	require.NoError(t, err)
	p.Links = append(p.Links, anchors[1])
	_, err = VerifyProof(p, anchors[1].Root, nil)
	require.ErrorIs(t, err, ErrProof)
}

// A record of the live tail that is forged, with every checksum made right, is found, before and
// after its segment was sealed, by who verifies and by the writer that goes on.
func TestChain_Tail_ForgedRecordIsFound(t *testing.T) {
	st, anchors, _ := tailed(t)
	segs := st.segments()
	name := segs[len(segs)-1]
	forge(t, st, name)
	_, err := verify(st, memDir, VerifyOptions{})
	require.ErrorIs(t, err, ErrChain)
	var c *CorruptionError
	require.ErrorAs(t, err, &c)
	require.Equal(t, filepath.Base(name), c.Segment)
	j, err := openMem(st, Options{Durability: None(), Signer: testKey, ChainEvery: -1})
	require.NoError(t, err)
	appendTo(t, j, j.Written()+1)
	require.NoError(t, j.Sync())
	_, err = j.ChainNow(context.Background())
	require.ErrorIs(t, err, ErrChain, "it does not sign what was changed")
	require.NoError(t, j.Close())

	// A chain made anew over the forgery does not have the root that was kept.
	st.mu.Lock()
	delete(st.nodes, filepath.Join(memDir, chainName))
	st.mu.Unlock()
	j, err = openMem(st, Options{Durability: None(), Signer: testKey, ChainEvery: -1})
	require.NoError(t, err)
	_, err = j.ChainNow(context.Background())
	require.NoError(t, err)
	require.NoError(t, j.Close())
	_, err = verify(st, memDir, VerifyOptions{})
	require.NoError(t, err, "nothing inside tells")
	_, err = verify(st, memDir, VerifyOptions{Anchor: anchors[len(anchors)-1].Root})
	require.ErrorIs(t, err, ErrChain)
}

// forge changes a body in the file at path, with a good checksum.
func forge(t testing.TB, st *memStorage, path string) {
	t.Helper()
	m := st.nodes[path].bytes()
	var h header
	require.NoError(t, h.decode(m[:pageBytes]))
	var tail frameTail
	off := int64(recordsOffset)
	f, body, next, err := readFrame(m, off, int64(len(m)), h.salt)
	for err == nil && len(body) == 0 {
		off = next
		f, body, next, err = readFrame(m, off, int64(len(m)), h.salt)
	}
	require.NoError(t, err)
	body[0] ^= 1
	crc := tail.sum(checksum(body), h.salt, uint64(off), uint64(f.length),
		le.Uint64(m[off+8:]), le.Uint64(m[off+16:]), le.Uint64(m[off+24:]))
	le.PutUint32(m[off+4:], crc)
}

// Records that a tail link covers and that are gone are missed: a segment whose end was cut off and
// made to look like a clean end.
func TestChain_Tail_LostRecordsAreMissed(t *testing.T) {
	st, _, last := tailed(t)
	segs := st.segments()
	name := segs[len(segs)-1]
	m := st.nodes[name].bytes()
	var h header
	require.NoError(t, h.decode(m[:pageBytes]))
	s := scanSegment(m, &h, int64(len(m)), 0)
	require.Equal(t, last, s.last)
	off, seq := int64(recordsOffset), h.first
	for seq < last {
		off += recordBytes(int(peekFrame(m, off).length) - recordHeaderBytes)
		seq++
	}
	clear(m[off:])
	for g := range uint64(2) {
		storePair(m, h.id, pair{1000 + g, off, seq - 1})
	}
	store64(m, ctlCommittedOffset, uint64(off))
	store64(m, ctlCommittedSequence, uint64(seq-1))
	if path := filepath.Join(memDir, progressName); st.nodes[path] != nil {
		_, err := verify(st, memDir, VerifyOptions{})
		var c *CorruptionError
		require.ErrorAs(t, err, &c, "what the writer said in PROGRESS tells it too")
		require.Equal(t, off, c.Offset)
		delete(st.nodes, path)
	}
	_, err := verify(st, memDir, VerifyOptions{})
	require.ErrorIs(t, err, ErrChain)
}

// By itself a tail link comes from time to time.
func TestChain_Tail_ComesByItself(t *testing.T) {
	st := newMemStorage()
	j, err := openMem(st, Options{Durability: Batch(), Chain: true, ChainEvery: time.Millisecond})
	require.NoError(t, err)
	appendTo(t, j, 10)
	l, err := j.WaitChained(context.Background(), 10)
	require.NoError(t, err)
	require.True(t, l.Tail)
	require.NoError(t, j.Close())
	rep, err := verify(st, memDir, VerifyOptions{Anchor: l.Root})
	require.NoError(t, err)
	require.EqualValues(t, 10, rep.Chained)
	_, err = openMem(st, Options{Chain: true, ChainEvery: time.Microsecond})
	require.ErrorContains(t, err, "ChainEvery")
}

// A chain file cut anywhere goes on where it is whole; tail links that were lost are lost, whole
// ones are made again.
func TestChain_Tail_CutAnywhere(t *testing.T) {
	base, _, last := tailed(t)
	path := filepath.Join(memDir, chainName)
	size := base.nodes[path].size
	for n := int64(0); n <= size; n += 61 {
		st := base.clone()
		cut := newMemNode(n)
		copy(cut.bytes(), st.nodes[path].bytes())
		st.nodes[path] = cut
		_, err := verify(st, memDir, VerifyOptions{})
		require.NoError(t, err)
		j, err := openMem(st, Options{Durability: None(), Signer: testKey, ChainEvery: -1})
		require.NoError(t, err)
		l, err := j.ChainNow(context.Background())
		require.NoError(t, err)
		require.Equal(t, last, l.Last)
		require.NoError(t, j.Close())
		_, err = verify(st, memDir, VerifyOptions{Anchor: l.Root})
		require.NoError(t, err)
	}
}
