package journal

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

var testKey = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))

// chained is a journal on the heap with some sealed and chained segments, and the newest link.
func chained(t testing.TB, signer crypto.Signer) (*memStorage, Link) {
	t.Helper()
	st := newMemStorage()
	j, err := openMem(st, Options{Durability: None(), Chain: true, Signer: signer})
	require.NoError(t, err)
	for j.Stats().Rolls < 4 {
		appendTo(t, j, j.Written()+1)
	}
	require.NoError(t, j.Sync())
	sealed := int64(0)
	for _, name := range st.segments() {
		first, _, _ := parseSegmentName(filepath.Base(name))
		sealed = first - 1
	}
	l, err := j.WaitChained(context.Background(), sealed)
	require.NoError(t, err)
	require.Equal(t, sealed, l.Last)
	require.NoError(t, j.Close())
	return st, l
}

// slowRoot is RFC 6962's definition, word for word.
func slowRoot(leaves []Hash) Hash {
	switch len(leaves) {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return leaves[0]
	}
	k := 1
	for k*2 < len(leaves) {
		k *= 2
	}
	return nodeHash(slowRoot(leaves[:k]), slowRoot(leaves[k:]))
}

func TestMerkle_EveryPathOfEverySize(t *testing.T) {
	var leaves []Hash
	for n := range 70 {
		want := slowRoot(leaves)
		for i := range leaves {
			m := newMerkle()
			for k, leaf := range leaves {
				m.add(leaf, k == i)
			}
			require.Equal(t, want, m.root())
			got, ok := treeRoot(leaves[i], uint64(i), uint64(n), m.path)
			require.True(t, ok)
			require.Equal(t, want, got)
			if n > 1 {
				other, ok := treeRoot(leaves[i], uint64(i^1), uint64(n), m.path)
				require.False(t, ok && other == want, "index %d of %d has the path of its neighbour", i, n)
				_, ok = treeRoot(leaves[i], uint64(i), uint64(n), m.path[1:])
				require.False(t, ok)
			}
			_, ok = treeRoot(leaves[i], uint64(i), uint64(n), append(m.path, Hash{}))
			require.False(t, ok)
		}
		leaves = append(leaves, leafHash([]byte{byte(n)}, nil))
	}
}

// A change of a record with all checksums made right again is what the chain is for.
func TestVerify_RecordForged_ChainFindsIt(t *testing.T) {
	st, _ := chained(t, nil)
	rep, err := verify(st, memDir, VerifyOptions{})
	require.NoError(t, err)
	require.Equal(t, 4, rep.Links)
	name := st.segments()[2]
	m := st.nodes[name].bytes()
	var h header
	require.NoError(t, h.decode(m[:pageBytes]))
	var tail frameTail
	off := int64(recordsOffset)
	f, body, _, err := readFrame(m, off, int64(len(m)), h.salt)
	for err == nil && len(body) == 0 {
		off += recordHeaderBytes
		f, body, _, err = readFrame(m, off, int64(len(m)), h.salt)
	}
	require.NoError(t, err)
	body[0] ^= 1
	crc := tail.sum(checksum(body), h.salt, uint64(off), uint64(f.length),
		le.Uint64(m[off+8:]), le.Uint64(m[off+16:]), le.Uint64(m[off+24:]))
	le.PutUint32(m[off+4:], crc)
	_, err = verify(st, memDir, VerifyOptions{})
	require.ErrorIs(t, err, ErrChain)
	var c *CorruptionError
	require.ErrorAs(t, err, &c)
	require.Equal(t, filepath.Base(name), c.Segment)
	_, err = prove(st, memDir, f.sequence, ProveOptions{})
	require.ErrorIs(t, err, ErrChain)
}

func TestVerify_ChainFileDamaged(t *testing.T) {
	base, last := chained(t, testKey)
	path := filepath.Join(memDir, chainName)
	size := base.nodes[path].size
	require.EqualValues(t, 4*linkBytes, size)
	// Every byte of a link that another follows.
	for off := int64(linkBytes); off < 2*linkBytes; off++ {
		st := base.clone()
		st.nodes[path].bytes()[off] ^= 0x10
		_, err := verify(st, memDir, VerifyOptions{})
		var c *CorruptionError
		require.ErrorAs(t, err, &c, "byte %d", off)
		require.Equal(t, chainName, c.Segment)
		_, err = openMem(st, Options{Durability: None(), Signer: testKey})
		require.ErrorAs(t, err, &c, "byte %d", off)
	}
	// Cut anywhere: what is whole holds, and a writer makes the rest again, the same.
	for n := int64(0); n < size; n += 37 {
		st := base.clone()
		cut := newMemNode(n)
		copy(cut.bytes(), st.nodes[path].bytes())
		st.nodes[path] = cut
		rep, err := verify(st, memDir, VerifyOptions{})
		require.NoError(t, err)
		require.EqualValues(t, n/linkBytes, rep.Links)
		j, err := openMem(st, Options{Durability: None(), Signer: testKey})
		require.NoError(t, err)
		got, err := j.WaitChained(context.Background(), last.Last)
		require.NoError(t, err)
		require.Equal(t, last, got, "the links are a function of the contents")
		require.NoError(t, j.Close())
	}
}

func TestVerify_SignatureAndAnchor(t *testing.T) {
	st, last := chained(t, testKey)
	other := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{8}, ed25519.SeedSize))
	key := testKey.Public().(ed25519.PublicKey)
	rep, err := verify(st, memDir, VerifyOptions{PublicKey: key, Anchor: last.Root})
	require.NoError(t, err)
	require.Equal(t, 4, rep.Signed)
	require.Equal(t, last.Root, rep.Root)
	_, err = verify(st, memDir, VerifyOptions{PublicKey: other.Public().(ed25519.PublicKey)})
	require.ErrorIs(t, err, ErrSignature)
	_, err = verify(st, memDir, VerifyOptions{Anchor: Hash{1}})
	require.ErrorIs(t, err, ErrChain)
	unsigned, _ := chained(t, nil)
	_, err = verify(unsigned, memDir, VerifyOptions{PublicKey: key})
	require.ErrorIs(t, err, ErrSignature)
	none := newMemStorage()
	j, err := openMem(none, Options{Durability: None()})
	require.NoError(t, err)
	_, err = j.WaitChained(context.Background(), 1)
	require.ErrorIs(t, err, ErrNotChained)
	require.NoError(t, j.Close())
	_, err = verify(none, memDir, VerifyOptions{PublicKey: key})
	require.ErrorIs(t, err, ErrSignature)
}

// Who cannot sign, and makes every checksum right, is found out by the signature itself: of a link that others follow, of
// the newest, in a proof and in a subset; and what names another key is no signature by the one that is asked for.
func TestVerify_ForgedSignature(t *testing.T) {
	base, last := chained(t, testKey)
	key := testKey.Public().(ed25519.PublicKey)
	other := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{8}, ed25519.SeedSize))
	path := filepath.Join(memDir, chainName)
	for i := range base.nodes[path].size / linkBytes {
		for what, forge := range map[string]func(l *Link){
			"a bit": func(l *Link) { l.Signature = bytes.Clone(l.Signature); l.Signature[i] ^= 1 },
			"another's signature under the key's name": func(l *Link) { l.Signature = ed25519.Sign(other, l.message()) },
			"another's": func(l *Link) {
				l.PublicKey, l.Signature = other.Public().(ed25519.PublicKey), ed25519.Sign(other, l.message())
			},
			"that of other text": func(l *Link) { l.Signature = ed25519.Sign(testKey, l.Root[:]) },
			"none":               func(l *Link) { l.PublicKey, l.Signature = nil, nil },
		} {
			st := base.clone()
			b := st.nodes[path].bytes()[i*linkBytes:][:linkBytes]
			l := Link{UUID: last.UUID}
			require.NoError(t, l.decode(b))
			forge(&l)
			l.encode(b)
			_, err := verify(st, memDir, VerifyOptions{PublicKey: key})
			require.ErrorIs(t, err, ErrSignature, "link %d: %s", i, what)
			if l.Root != last.Root {
				continue
			}
			p, err := prove(st, memDir, 1, ProveOptions{})
			require.NoError(t, err)
			_, err = VerifyProof(p, last.Root, key)
			require.ErrorIs(t, err, ErrSignature, what)
			var v SubsetVerifier
			_, err = proveSubset(st, memDir, SubsetOptions{}, func(rec Record, _ Hash) (bool, error) { return rec.Sequence == 1, nil }, v.Add)
			require.NoError(t, err)
			_, err = v.End(last.Root, key)
			require.ErrorIs(t, err, ErrSignature, what)
		}
	}
}

func TestProof_EveryBitMatters(t *testing.T) {
	st, last := chained(t, testKey)
	key := testKey.Public().(ed25519.PublicKey)
	for seq := int64(1); seq <= last.Last; seq += 61 {
		p, err := prove(st, memDir, seq, ProveOptions{})
		require.NoError(t, err)
		b, err := json.Marshal(p)
		require.NoError(t, err)
		var q Proof
		require.NoError(t, json.Unmarshal(b, &q))
		rec, err := VerifyProof(q, last.Root, key)
		require.NoError(t, err)
		require.Equal(t, seq, rec.Sequence)
		require.Equal(t, string(bodyOf(seq)), string(rec.Body))
		require.EqualValues(t, 9, rec.Type)
		for what, change := range map[string]func(p *Proof){
			"header": func(p *Proof) { p.Header = bytes.Clone(p.Header); p.Header[16] ^= 1 },
			"body":   func(p *Proof) { p.Body = append(bytes.Clone(p.Body), 0) },
			"index":  func(p *Proof) { p.Index++ },
			"path":   func(p *Proof) { p.Path = append([]Hash{{9}}, p.Path[1:]...) },
			"links":  func(p *Proof) { p.Links = p.Links[:len(p.Links)-1] },
			"form":   func(p *Proof) { p.Header = p.Header[:8] },
		} {
			q := p
			change(&q)
			_, err := VerifyProof(q, last.Root, key)
			require.ErrorIs(t, err, ErrProof, "%s of %d", what, seq)
		}
	}
	_, err := prove(st, memDir, last.Last+1, ProveOptions{})
	require.ErrorIs(t, err, ErrNotChained)
	_, err = prove(st, memDir, 1, ProveOptions{Anchor: Hash{3}})
	require.ErrorIs(t, err, ErrNotChained)
}

// A record that never was, in a segment made for it, whose link is true to itself, proves nothing in front of the links that
// followed another; nor do links of another journal, or a tail link in the middle.
func TestProof_ForgedSegment(t *testing.T) {
	st, last := chained(t, testKey)
	p, err := prove(st, memDir, 1, ProveOptions{})
	require.NoError(t, err)
	require.Greater(t, len(p.Links), 1)
	for what, forge := range map[string]func(p *Proof){
		"segment": func(p *Proof) {
			l := &p.Links[0]
			p.Body, p.Index, p.Path, l.Records = []byte("never"), 0, nil, 1
			l.Tree = leafHash(p.Header, p.Body)
			l.Root = l.root()
		},
		"journal": func(p *Proof) { p.Links[0].UUID[0]++; p.Links[0].Root = p.Links[0].root() },
		"tail": func(p *Proof) {
			p.Links[0].Tail = true
			p.Links[0].Root = p.Links[0].root()
			p.Links[1].Previous = p.Links[0].Root
		},
	} {
		q := p
		q.Links = append([]Link(nil), p.Links...)
		forge(&q)
		_, err := VerifyProof(q, last.Root, testKey.Public().(ed25519.PublicKey))
		require.ErrorIs(t, err, ErrProof, what)
	}
}

// failingSigner fails until it is told not to.
type failingSigner struct {
	crypto.Signer
	err error
}

func (s *failingSigner) Sign(r io.Reader, m []byte, o crypto.SignerOpts) ([]byte, error) {
	if s.err != nil {
		return nil, s.err
	}
	return s.Signer.Sign(r, m, o)
}

func TestChain_SignerFails_WritingGoesOn(t *testing.T) {
	st := newMemStorage()
	cause := errors.New("no token in the slot")
	j, err := openMem(st, Options{Durability: None(), Signer: &failingSigner{testKey, cause}})
	require.NoError(t, err)
	for j.Stats().Rolls < 2 {
		appendTo(t, j, j.Written()+1)
	}
	require.NoError(t, j.Sync())
	_, err = j.WaitChained(context.Background(), 1)
	require.ErrorIs(t, err, cause)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = j.WaitChained(ctx, 1<<40)
	require.Error(t, err)
	appendTo(t, j, j.Written()+1)
	last := j.Written()
	require.NoError(t, j.Close())
	// The next one catches up.
	j, err = openMem(st, Options{Durability: None(), Signer: testKey})
	require.NoError(t, err)
	require.Equal(t, last, j.Written())
	_, err = j.WaitChained(context.Background(), 1)
	require.NoError(t, err)
	require.NoError(t, j.Close())
	_, err = openMem(st, Options{Signer: wrongKey{}})
	require.ErrorContains(t, err, "Signer")
}

type wrongKey struct{ crypto.Signer }

func (wrongKey) Public() crypto.PublicKey { return 1 }

func ExampleProve() {
	dir, err := os.MkdirTemp("", "journal")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)) // a real one is secret
	j, err := Open(dir, Options{SegmentBytes: MinSegmentBytes, Signer: key})
	if err != nil {
		panic(err)
	}
	for i := range 3 {
		if _, err := j.Append(Entry{Body: bytes.Repeat([]byte{byte('a' + i)}, 30_000)}); err != nil {
			panic(err)
		}
	}
	if err := j.Sync(); err != nil {
		panic(err)
	}
	link, err := j.WaitChained(context.Background(), 1) // the third record sealed the segment of the first
	if err != nil {
		panic(err)
	}
	root := link.Root // to keep where whoever writes the journal cannot change it
	fmt.Println(j.Close())

	proof, err := Prove(dir, 1, ProveOptions{Anchor: root})
	if err != nil {
		panic(err)
	}
	rec, err := VerifyProof(proof, root, key.Public().(ed25519.PublicKey))
	fmt.Printf("%d %s... %v\n", rec.Sequence, rec.Body[:3], err)
	_, err = Verify(dir, VerifyOptions{Anchor: root})
	fmt.Println(err)
	// Output:
	// <nil>
	// 1 aaa... <nil>
	// <nil>
}

// A link that names another one as the one before, with its own root and checksum made right, does not follow.
func TestChain_LinkNamesAnotherBefore(t *testing.T) {
	whole, _ := chained(t, nil)
	tails, _, _ := tailed(t)
	for what, st := range map[string]*memStorage{"whole": whole, "tail": tails} {
		rep, err := verify(st, memDir, VerifyOptions{})
		require.NoError(t, err)
		links, _, err := readChain(st, memDir, rep.UUID)
		require.NoError(t, err)
		i := len(links) - 1
		for i > 0 && (links[i].Tail != (what == "tail") || links[i-1].Tail != links[i].Tail) {
			i--
		}
		require.Positive(t, i, "%s: none behind another one", what)
		l := links[i]
		l.Previous[0] ^= 1
		l.Root, l.PublicKey, l.Signature = l.root(), nil, nil
		l.encode(st.nodes[filepath.Join(memDir, chainName)].bytes()[i*linkBytes : (i+1)*linkBytes])
		_, err = verify(st, memDir, VerifyOptions{})
		require.ErrorIs(t, err, ErrChain, what)
		require.ErrorContains(t, err, "does not follow the one before", what)
	}
}
