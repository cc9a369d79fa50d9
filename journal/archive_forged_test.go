package journal

import (
	"bytes"
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

// No two archives are encrypted with the same salt, be they of the same segment with the same key.
func TestArchive_SaltsDiffer(t *testing.T) {
	plain, _ := chained(t, nil)
	salts := map[[32]byte]bool{{}: true}
	n := 1
	for range 2 {
		st := plain.clone()
		archived(t, st, ArchiveOptions{KeyID: 1, Access: testKeys})
		s, err := takeSurvey(st, memDir, surveying{})
		require.NoError(t, err)
		for _, seg := range s.segs {
			if seg.archive != nil {
				salts[seg.archive.salt] = true
				n++
			}
		}
	}
	require.Greater(t, n, 6)
	require.Len(t, salts, n)
}

// forging is a codec that gives back another first record than it was given, one that verifies.
type forging struct {
	deflate
	salt uint64
	did  *int
}

func (forging) ID() uint32   { return 77 }
func (forging) Name() string { return "forging" }

func (c forging) Encode(dst, src []byte) ([]byte, error) {
	if le.Uint64(src[8:]) == 1 && Kind(src[26]) == KindEvent {
		src = bytes.Clone(src)
		length := int64(le.Uint32(src))
		body := src[recordHeaderBytes:length]
		body[0] ^= 1
		var tail frameTail
		le.PutUint32(src[4:], tail.sum(checksum(body), c.salt, recordsOffset, uint64(length),
			le.Uint64(src[8:]), le.Uint64(src[16:]), le.Uint64(src[24:])))
		*c.did++
	}
	return c.deflate.Encode(dst, src)
}

// What an archive holds is compared with what was packed, not counted alone.
func TestArchive_ReadBackIsCompared(t *testing.T) {
	st := newMemStorage()
	j, err := openMem(st, Options{Durability: None()})
	require.NoError(t, err)
	body := bytes.Repeat([]byte("water "), 50)
	for j.Stats().Rolls < 2 {
		_, err := j.Append(Entry{Body: body})
		require.NoError(t, err)
	}
	require.NoError(t, j.Close())
	var h header
	require.NoError(t, h.decode(st.nodes[st.segments()[0]].bytes()[:pageBytes]))
	c := forging{salt: h.salt, did: new(int)}
	before := bytes.Clone(st.nodes[st.segments()[0]].bytes())
	_, err = archive(context.Background(), st, memDir, ArchiveOptions{Codec: c})
	require.ErrorContains(t, err, "does not read back")
	require.Equal(t, 1, *c.did)
	require.True(t, bytes.Equal(before, st.nodes[st.segments()[0]].bytes()), "the segment is as it was")
}
