package journal

import (
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
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

// Pages are touched in a window before the writer, by another goroutine.
func TestAhead_TouchesTheWindow(t *testing.T) {
	const window = 64 << 10
	j, err := openMem(newMemStorage(), Options{Durability: None(), Backend: BackendMmap, SegmentBytes: 4 << 20, TouchAheadBytes: window})
	require.NoError(t, err)
	body := make([]byte, 1000)
	for j.w.off < 1<<20 {
		_, err := j.Append(Entry{Body: body})
		require.NoError(t, err)
		j.ahead.mu.Lock()
		goal := j.ahead.goal
		j.ahead.mu.Unlock()
		for i := 0; j.w.seg.touched.Load() < goal; i++ {
			require.Less(t, i, 2_000_000, "at %d nobody touches up to %d", j.w.off, goal)
			runtime.Gosched()
		}
	}
	require.Zero(t, j.Stats().Named[StallTouch].Count)
	require.NoError(t, j.Close())
}

// A writer that finds its pages not touched, or its next segment not made, waits, and says what for.
func TestStats_EachStallByItsName(t *testing.T) {
	j, err := openMem(newMemStorage(), Options{Durability: None(), Backend: BackendMmap, SegmentBytes: 4 << 20, TouchAheadBytes: 64 << 10})
	require.NoError(t, err)
	_, err = j.Append(Entry{Body: make([]byte, 1<<20)}) // beyond the window
	require.NoError(t, err)
	s := j.Stats()
	require.EqualValues(t, 1, s.Stalls)
	require.EqualValues(t, 1, s.Named[StallTouch].Count)
	require.Positive(t, s.Named[StallTouch].Total)
	require.Zero(t, s.Named[StallSegment].Count)
	require.NoError(t, j.Close())

	st := newMemStorage()
	j, err = openMem(st, Options{Durability: None(), Backend: BackendMmap})
	require.NoError(t, err)
	var closing atomic.Bool
	st.setHook(func(op, name string) error {
		for waits := false; op == "create" && filepath.Ext(name) == spareSuffix && !waits && !closing.Load(); runtime.Gosched() {
			j.ahead.mu.Lock() // until the writer needs it
			waits = j.ahead.waits
			j.ahead.mu.Unlock()
		}
		return nil
	})
	for j.Stats().Rolls < 3 {
		appendTo(t, j, j.Written()+1)
	}
	s = j.Stats()
	require.EqualValues(t, 3, s.Stalls)
	require.EqualValues(t, 3, s.Named[StallSegment].Count)
	require.Positive(t, s.Named[StallSegment].Total)
	require.Zero(t, s.Named[StallTouch].Count)
	closing.Store(true)
	require.NoError(t, j.Close())
}
