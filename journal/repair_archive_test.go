package journal

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// What is plain is mended beside archived segments, which stay as they are; a damaged archive is refused.
func TestRepair_BesideArchives(t *testing.T) {
	base, all := repairSample(t, Options{Chain: true})
	for form, o := range archiveForms {
		t.Run(form, func(t *testing.T) {
			st := base.clone()
			archived(t, st, o)
			segs := st.segments()
			newest := segs[len(segs)-1]
			want := RepairOptions{Archives: o.Access}

			broken := st.clone()
			b := broken.nodes[segs[1]].bytes()
			b[recordsOffset+archiveHeadBytes+100] ^= 1
			before := string(b)
			_, err := planRepair(broken, memDir, want)
			require.ErrorIs(t, err, ErrRepair)
			require.ErrorContains(t, err, filepath.Base(segs[1]))
			require.Equal(t, before, string(broken.nodes[segs[1]].bytes()))

			clear(st.nodes[newest].bytes()[:pageBytes])
			p, err := planRepair(st, memDir, want)
			require.NoError(t, err)
			require.Len(t, p.Steps, 1)
			require.Zero(t, p.Lost)
			require.NoError(t, p.Apply(nil))
			rep, err := verify(st, memDir, VerifyOptions{Archives: o.Access})
			require.NoError(t, err)
			require.True(t, rep.Segments[1].Archived)
			require.Equal(t, all[len(all)-1].rec.Sequence, rep.Last)
		})
	}
}
