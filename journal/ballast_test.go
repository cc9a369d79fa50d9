package journal

import (
	"context"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// On a full disk the segment that lies ready makes room for a hold, its release, a link of the chain and
// the mark of a failed sync; where there is none, the error is typed and nothing else changes.
func TestBallast_SmallFilesOnAFullDisk(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT} {
		st := newMemStorage()
		var full, syncFails atomic.Bool
		given := atomic.Int64{}
		st.hook = func(op, name string) error {
			spare := filepath.Ext(name) == spareSuffix && !strings.HasPrefix(name, holdsName)
			switch {
			case op == "remove" && spare:
				given.Add(1)
				full.Store(false)
			case !full.Load():
			case op == "create", op == "writeAt" && (name == chainName || strings.HasPrefix(name, holdsName)):
				return errno
			}
			if op == "sync" && name != failedName && syncFails.Load() {
				return syscall.EIO
			}
			return nil
		}
		j, err := open(st, memDir, Options{SegmentBytes: MinSegmentBytes, Durability: None(), Chain: true}, systemRandomness())
		require.NoError(t, err)
		ready := func() {
			t.Helper()
			full.Store(false)
			for {
				j.ahead.mu.Lock()
				ok := j.ahead.spare != nil
				j.ahead.mu.Unlock()
				if ok {
					return
				}
				appendTo(t, j, j.Written()+50)
				runtime.Gosched()
			}
		}
		step := func(n int64, do func() error) {
			t.Helper()
			ready()
			full.Store(true)
			require.NoError(t, do(), errno.Error())
			require.Equal(t, n, given.Load(), "%v: segments that were given up", errno)
			require.NoError(t, j.Err())
		}
		step(1, func() error { return j.Hold("a", 1, time.Time{}) })
		step(2, func() error { return j.Release("a") })
		// Without a segment that lies ready.
		full.Store(true)
		require.ErrorIs(t, j.Hold("b", 1, time.Time{}), errno)
		holds, err := j.Holds()
		require.NoError(t, err)
		require.Empty(t, holds)
		require.NoError(t, j.Err(), "not sticky")

		step(3, func() error {
			if err := j.Sync(); err != nil {
				return err
			}
			_, err := j.ChainNow(context.Background())
			return err
		})
		// The mark of a failed sync.
		appendTo(t, j, j.Written()+1)
		ready()
		full.Store(true)
		syncFails.Store(true)
		require.ErrorIs(t, j.Sync(), ErrPoisoned)
		_ = j.Close()
		require.EqualValues(t, 4, given.Load(), errno.Error())
		require.NotNil(t, st.nodes[filepath.Join(memDir, failedName)])
		full.Store(false)
		syncFails.Store(false)
		j, err = openMem(st, Options{})
		require.NoError(t, err)
		require.True(t, j.Recovery().SyncFailed)
		require.NoError(t, j.Close())
	}
}

// A quota that is used up is no space, in whatever operation it shows, and the journal goes on when there
// is room again.
func TestAppend_Quota(t *testing.T) {
	for _, c := range []struct{ op, ext string }{{"create", spareSuffix}, {"sync", spareSuffix}, {"touch", spareSuffix}} {
		st := newMemStorage()
		var full atomic.Bool
		st.hook = func(op, name string) error {
			if full.Load() && op == c.op && filepath.Ext(name) == c.ext {
				return syscall.EDQUOT
			}
			return nil
		}
		j, err := openMem(st, Options{Durability: None(), Backend: BackendMmap})
		require.NoError(t, err)
		full.Store(true)
		for err == nil {
			_, err = j.Append(Entry{Type: 9, Body: bodyOf(j.Written() + 1)})
		}
		var ns *NoSpaceError
		require.ErrorAs(t, err, &ns, "%+v", c)
		require.ErrorIs(t, err, ErrNoSpace)
		require.ErrorIs(t, err, syscall.EDQUOT)
		require.NoError(t, j.Err(), "not sticky")
		last := j.Written()
		full.Store(false)
		appendTo(t, j, last+500)
		require.NoError(t, j.Close())
		j, err = openMem(st, Options{})
		require.NoError(t, err)
		got, err := readAll(j)
		require.NoError(t, err)
		require.Equal(t, last+500, got)
		require.NoError(t, j.Close())
	}
}
