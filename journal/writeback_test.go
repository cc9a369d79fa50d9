package journal

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// In mode None on a disk writeback begins behind the writer, of everything but the last pages; in memory, and where the
// mode syncs, it does not.
func TestWriteback_StartsEarly(t *testing.T) {
	for i, o := range []Options{{Durability: None()}, {Durability: None(), Backend: BackendPwrite}, {Durability: None()}, {Durability: Batch()}} {
		st := newMemStorage()
		st.disk, st.all = i != 2, true
		var mu sync.Mutex
		seen := sync.NewCond(&mu)
		begun := 0
		st.hook = func(op, name string) error {
			mu.Lock()
			defer mu.Unlock()
			if op == "writeback" {
				begun++
				seen.Broadcast()
			}
			return nil
		}
		o.SegmentBytes = 16 << 20
		j, err := open(st, memDir, o, systemRandomness())
		require.NoError(t, err)
		body := make([]byte, 64<<10)
		for range 3 * writebackStep / len(body) {
			_, err := j.Append(Entry{Body: body})
			require.NoError(t, err)
		}
		if i < 2 {
			mu.Lock()
			for begun == 0 {
				seen.Wait()
			}
			mu.Unlock()
			j.syncing.Lock()
			j.startWriteback()
			s := j.live[0]
			require.InDelta(t, j.w.off, s.started, pageBytes)
			require.LessOrEqual(t, s.started, j.w.off)
			j.syncing.Unlock()
		}
		require.NoError(t, j.Close())
		require.Equal(t, i < 2, begun > 0)
	}
}
