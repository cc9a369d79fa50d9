package journal

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestJournal_AppendReopenRead(t *testing.T) {
	for _, d := range []Durability{None(), Batch(), {}} {
		t.Run(d.String(), func(t *testing.T) {
			dir := t.TempDir()
			o := Options{SegmentBytes: 64 << 10, Durability: d}
			n := 0
			for round := range 3 {
				j, err := Open(dir, o)
				require.NoError(t, err)
				require.EqualValues(t, n, j.Written())
				require.True(t, j.Recovery().Clean)
				for range 1000 {
					n++
					seq, err := j.Append(Entry{Type: 3, Body: fmt.Appendf(nil, "body %d of round %d", n, round)})
					require.NoError(t, err)
					require.EqualValues(t, n, seq)
				}
				r, err := j.NewReader(0, ReaderOptions{})
				require.NoError(t, err)
				got := 0
				k, err := r.Read(func(rec Record) error {
					got++
					require.EqualValues(t, got, rec.Sequence)
					require.Contains(t, string(rec.Body), fmt.Sprintf("body %d of", got))
					return nil
				})
				require.NoError(t, err)
				require.Equal(t, n, k)
				require.NoError(t, j.WaitDurable(context.Background(), int64(n)))
				require.NoError(t, r.Close())
				require.NoError(t, j.Close())
			}
			rep, err := Verify(dir, VerifyOptions{})
			require.NoError(t, err)
			require.EqualValues(t, n, rep.Events)
			require.False(t, rep.Torn)
			r, err := OpenReader(dir, 1500, ReaderOptions{UpTo: Durable})
			require.NoError(t, err)
			k, err := r.Read(func(Record) error { return nil })
			require.NoError(t, err)
			require.Equal(t, n-1499, k)
			require.NoError(t, r.Close())
		})
	}
}
