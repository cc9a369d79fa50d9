package journal

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// pieces proves the records that show asks for.
func pieces(t testing.TB, st storage, o SubsetOptions, show func(Record) bool) (all []Piece, end Link) {
	t.Helper()
	end, err := proveSubset(st, memDir, o, func(rec Record, h Hash) (bool, error) { return show(rec), nil }, func(p Piece) error {
		text, err := json.Marshal(p)
		var back Piece
		if err == nil {
			err = json.Unmarshal(text, &back) // what is on paper is what counts
		}
		all = append(all, back)
		return err
	})
	require.NoError(t, err)
	return all, end
}

func checkPieces(all []Piece, root Hash, key ed25519.PublicKey) (shown []int64, err error) {
	var v SubsetVerifier
	for _, p := range all {
		if err := v.Add(p); err != nil {
			return nil, err
		}
		if p.Shown != nil {
			rec, _ := p.Shown.Record()
			shown = append(shown, rec.Sequence)
		}
	}
	_, err = v.End(root, key)
	return shown, err
}

// Every subset of a small tree: the gap's nodes are what the verifier expects, and lead to the tree's root.
func TestSubset_EverySubsetOfEverySmallTree(t *testing.T) {
	for n := range 11 {
		var leaves []Hash
		for i := range n {
			leaves = append(leaves, leafHash([]byte{byte(i)}, nil))
		}
		for shown := range 1 << n {
			m := newMerkle()
			p := subset{emit: func(p Piece) error {
				if !m.fill(*p.Gap) {
					return ErrProof
				}
				return nil
			}}
			for i, leaf := range leaves {
				if shown>>i&1 == 0 {
					p.gap.add(uint64(i), leaf)
					continue
				}
				require.NoError(t, p.flush(uint64(i)))
				m.add(leaf, false)
			}
			require.NoError(t, p.flush(uint64(n)))
			require.Equal(t, slowRoot(leaves), m.root(), "%d leaves, shown %b", n, shown)
		}
	}
}

func TestSubset_RandomChoices_HoldAndAnyChangeDoesNot(t *testing.T) {
	st, last := chained(t, testKey)
	key := testKey.Public().(ed25519.PublicKey)
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 1))
	for round := range 20 {
		from, until := rnd.Int64N(last.Last)+1, int64(0)
		if round%2 == 0 {
			until = from + rnd.Int64N(last.Last-from+1)
		}
		every := 1 + rnd.IntN(40)
		var want []int64
		all, end := pieces(t, st, SubsetOptions{From: from, Until: until}, func(rec Record) bool {
			if rnd.IntN(every) == 0 {
				want = append(want, rec.Sequence)
				return true
			}
			return false
		})
		require.Equal(t, last.Root, end.Root)
		got, err := checkPieces(all, last.Root, key)
		require.NoError(t, err, "seed %d round %d", seed, round)
		require.Equal(t, want, got)
		for _, seq := range got {
			require.GreaterOrEqual(t, seq, from)
		}
		_, err = checkPieces(all, Hash{1}, key)
		require.ErrorIs(t, err, ErrProof)
		_, err = checkPieces(all, last.Root, bytes.Repeat([]byte{3}, 32))
		require.ErrorIs(t, err, ErrSignature)

		// One piece changed, left out, doubled, or two swapped.
		for range 20 {
			var changed []Piece
			text, err := json.Marshal(all)
			require.NoError(t, err)
			require.NoError(t, json.Unmarshal(text, &changed))
			i := rnd.IntN(len(changed))
			how := rnd.IntN(4)
			switch p := changed[i]; {
			case how == 1 && i > 0 && p.Link != nil && changed[i-1].Link != nil && i == 1:
				changed = append(changed[:i], changed[i+1:]...) // a link between: the next does not follow
				if i == len(changed) {
					continue
				}
			case how == 1 && p.Link == nil:
				changed = append(changed[:i], changed[i+1:]...)
			case how == 2 && p.Link == nil:
				changed = append(changed[:i+1], changed[i:]...)
			case how == 3 && i > 0 && p.Shown != nil && changed[i-1].Shown != nil:
				changed[i-1], changed[i] = changed[i], changed[i-1]
			case p.Shown != nil && len(p.Shown.Body) > 0 && how == 0:
				p.Shown.Body[rnd.IntN(len(p.Shown.Body))] ^= 1
			case p.Shown != nil:
				p.Shown.Header[rnd.IntN(len(p.Shown.Header))] ^= 1
			case p.Gap != nil && how == 0:
				p.Gap.Nodes[rnd.IntN(len(p.Gap.Nodes))][rnd.IntN(32)] ^= 1
			case p.Gap != nil:
				p.Gap.Records++
			default:
				p.Link.Tree[rnd.IntN(32)] ^= 1
			}
			_, err = checkPieces(changed, last.Root, key)
			require.ErrorIs(t, err, ErrProof, "seed %d round %d how %d piece %d of %d", seed, round, how, i, len(changed))
		}
	}
}

func TestSubset_AnchorAndFaults(t *testing.T) {
	st, _ := chained(t, nil)
	all, end := pieces(t, st, SubsetOptions{}, func(rec Record) bool { return rec.Sequence == 3 })
	var roots []Hash
	for _, p := range all {
		if p.Link != nil {
			roots = append(roots, p.Link.Root)
		}
	}
	require.Greater(t, len(roots), 2)
	older, at := pieces(t, st, SubsetOptions{Anchor: roots[0]}, func(rec Record) bool { return rec.Sequence == 3 })
	require.Equal(t, roots[0], at.Root)
	require.Less(t, len(older), len(all))
	_, err := checkPieces(older, roots[0], nil)
	require.NoError(t, err)
	_, err = checkPieces(older, end.Root, nil)
	require.ErrorIs(t, err, ErrProof)

	_, err = proveSubset(st, memDir, SubsetOptions{Anchor: Hash{9}}, nil, nil)
	require.ErrorIs(t, err, ErrNotChained)
	_, err = proveSubset(st, memDir, SubsetOptions{From: 1 << 40}, nil, nil)
	require.ErrorIs(t, err, ErrNotChained)
	_, err = proveSubset(newMemStorage(), memDir, SubsetOptions{}, nil, nil)
	require.ErrorIs(t, err, ErrNotFound)
	mine := errors.New("mine")
	_, err = proveSubset(st, memDir, SubsetOptions{}, func(Record, Hash) (bool, error) { return false, mine }, nil)
	require.ErrorIs(t, err, mine)
	_, err = proveSubset(st, memDir, SubsetOptions{}, func(Record, Hash) (bool, error) { return true, nil }, func(Piece) error { return mine })
	require.ErrorIs(t, err, mine)
}

func TestSubsetVerifier_HostilePieces(t *testing.T) {
	for _, p := range []Piece{
		{}, {Shown: &Shown{}, Gap: &Gap{}}, {Shown: &Shown{Header: make([]byte, 24)}}, {Shown: &Shown{Header: make([]byte, 99)}},
		{Gap: &Gap{}}, {Gap: &Gap{Records: 1<<64 - 1, Nodes: make([]Hash, 64)}}, {Gap: &Gap{Records: 5, Nodes: make([]Hash, 3)}},
		{Gap: &Gap{Records: 1 << 62, Nodes: make([]Hash, 2)}}, {Link: &Link{}},
	} {
		var v SubsetVerifier
		require.ErrorIs(t, v.Add(p), ErrProof, "%+v", p)
		require.ErrorIs(t, v.Add(Piece{Gap: &Gap{Records: 1, Nodes: make([]Hash, 1)}}), ErrProof, "it has failed before")
		_, err := v.End(Hash{}, nil)
		require.ErrorIs(t, err, ErrProof)
	}
	var v SubsetVerifier
	_, err := v.End(Hash{}, nil)
	require.ErrorIs(t, err, ErrProof)
}

func TestReader_LeafHash_IsTheProofs(t *testing.T) {
	st, _ := chained(t, nil)
	want := map[int64]Hash{}
	_, err := proveSubset(st, memDir, SubsetOptions{}, func(rec Record, h Hash) (bool, error) { want[rec.Sequence] = h; return false, nil }, func(Piece) error { return nil })
	require.NoError(t, err)
	r, err := openReader(st, memDir, 0, ReaderOptions{})
	require.NoError(t, err)
	defer r.Close()
	n := 0
	_, err = r.Read(func(rec Record) error {
		if h, ok := want[rec.Sequence]; ok {
			require.Equal(t, h, r.LeafHash(rec))
			n++
		}
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, len(want), n)
}
