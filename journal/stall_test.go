package journal

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestStats_StallsAreNamed(t *testing.T) {
	st := newMemStorage()
	j, err := openMem(st, Options{Durability: None()})
	require.NoError(t, err)
	for j.Stats().Rolls < 3 {
		appendTo(t, j, j.Written()+1)
	}
	s := j.Stats()
	require.EqualValues(t, 3, s.Named[StallRoll].Count)
	require.Equal(t, s.Stalls, s.Named[StallSegment].Count+s.Named[StallTouch].Count)
	for k, x := range s.Named {
		require.LessOrEqual(t, x.Longest, x.Total, "%v", StallKind(k))
		require.NotEqual(t, "unknown", StallKind(k).String())
		if x.Count > 0 {
			require.Positive(t, x.Total, "%v", StallKind(k))
		}
	}
	require.NoError(t, j.Close())
}

// In memory that nothing writes back, appends into touched pages take no fault: over many tries
// the process as a whole takes none in at least one.
func TestStats_NoFaultOnTmpfs(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector has memory of its own, which faults")
	}
	dir, err := os.MkdirTemp("/dev/shm", "headrace")
	if err != nil {
		t.Skipf("no tmpfs: %v", err)
	}
	defer os.RemoveAll(dir)
	j, err := Open(dir, Options{Durability: None(), SegmentBytes: 16 << 20, TouchAheadBytes: 16 << 20})
	require.NoError(t, err)
	defer j.Close()
	body := make([]byte, 128)
	clean := 0
	for range 20 {
		before := j.Stats()
		for range 2000 { // 320,000 bytes: 78 pages
			_, err := j.Append(Entry{Body: body, Time: 1})
			require.NoError(t, err)
		}
		after := j.Stats()
		if after.MinorFaults == before.MinorFaults {
			clean++
		}
	}
	require.Positive(t, clean, "every try took a page fault")
}
