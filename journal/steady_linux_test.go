package journal

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// countingStorage counts every call that reaches the file system.
type countingStorage struct {
	osStorage
	calls *atomic.Int64
}

func (s countingStorage) create(name string, n int64) (file, error) {
	f, err := s.osStorage.create(name, n)
	return countingFile{f, s.calls}, err
}

func (s countingStorage) rename(from, to string) error {
	s.calls.Add(1)
	return s.osStorage.rename(from, to)
}

type countingFile struct {
	file
	calls *atomic.Int64
}

func (f countingFile) WriteAt(b []byte, off int64) (int, error) {
	f.calls.Add(1)
	return f.file.WriteAt(b, off)
}
func (f countingFile) mmap(n int64, w bool) ([]byte, error) { f.calls.Add(1); return f.file.mmap(n, w) }
func (f countingFile) touch(m []byte) error                 { f.calls.Add(1); return f.file.touch(m) }
func (f countingFile) sync() error                          { f.calls.Add(1); return f.file.sync() }
func (f countingFile) syncData() error                      { f.calls.Add(1); return f.file.syncData() }

// In steady state on tmpfs the writer takes no page fault and makes no system call: its thread's
// counters and those of the storage do not move over 200,000 appends. The thread is the writer's alone;
// what the others do (the goroutine that touches ahead has done its work by then) is not counted, but
// for the storage, where nobody does anything. A call besides those, to wake or to wait, would show as
// a voluntary switch in every round.
func TestAppend_SteadyStateOnTmpfs(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector has memory of its own, which faults")
	}
	dir, err := os.MkdirTemp("/dev/shm", "headrace")
	if err != nil {
		t.Skipf("no tmpfs: %v", err)
	}
	defer os.RemoveAll(dir)
	calls := new(atomic.Int64)
	j, err := open(countingStorage{calls: calls}, dir, Options{Durability: None(), Backend: BackendMmap,
		SegmentBytes: 64 << 20, TouchAheadBytes: 64 << 20}, systemRandomness())
	require.NoError(t, err)
	defer j.Close()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	body := make([]byte, 128)
	appendSome := func(n int) {
		for range n {
			if _, err := j.Append(Entry{Body: body, Time: 1}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for j.Stats().Rolls == 0 && j.w.off < 24<<20 { // past the order of the next segment
		appendSome(1000)
	}
	j.ahead.mu.Lock()
	for j.ahead.spare == nil {
		require.NoError(t, j.ahead.err)
		j.ahead.ready.Wait()
	}
	j.ahead.mu.Unlock()
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // a collection would stop this thread too
	appendSome(1000)
	// The runtime preempts a thread by a signal, whose first touches its signal stack, and whose handler reads
	// tables of the program that nobody may have read before.
	require.NoError(t, unix.Tgkill(os.Getpid(), unix.Gettid(), unix.SIGURG))
	populateProgram(t)
	asleep := 0
	for range 10 {
		var before, after unix.Rusage
		called := calls.Load()
		require.NoError(t, unix.Getrusage(unix.RUSAGE_THREAD, &before))
		appendSome(20_000)
		require.NoError(t, unix.Getrusage(unix.RUSAGE_THREAD, &after))
		require.Zero(t, calls.Load()-called, "calls into the file system")
		require.Zero(t, after.Minflt-before.Minflt, "minor faults")
		require.Zero(t, after.Majflt-before.Majflt, "major faults")
		if after.Nvcsw != before.Nvcsw {
			asleep++ // the runtime's doing, on a busy machine: it preempted the goroutine
		}
	}
	require.Less(t, asleep, 10, "the writer slept in every round")
	require.Zero(t, j.Stats().Rolls)
}

// populateProgram reads every page of the program itself into this process, where the kernel knows how (5.14).
func populateProgram(t *testing.T) {
	program, err := os.Executable()
	require.NoError(t, err)
	maps, err := os.ReadFile("/proc/self/maps")
	require.NoError(t, err)
	for line := range strings.Lines(string(maps)) {
		var from, to uintptr
		var mode string
		if !strings.HasSuffix(strings.TrimSpace(line), program) {
			continue
		}
		_, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &mode)
		require.NoError(t, err)
		if mode[0] == 'r' {
			_, _, _ = unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_POPULATE_READ)
		}
	}
}
