package headrace_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// killed runs a test of this binary as a process that is killed with SIGKILL at some line that it prints: kill is told of
// each line that begins with ": " and says when. It returns all such lines, in order, without their beginning: what was
// written to the pipe before the process died is read too.
func killed(t testing.TB, child string, env []string, kill func(line string) bool) (lines []string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run", "^"+child+"$", "-test.count", "1")
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	var stacks bytes.Buffer
	cmd.Stderr = &stacks
	require.NoError(t, cmd.Start())
	dead, hangs := false, atomic.Bool{}
	defer context.AfterFunc(limit(t), func() {
		hangs.Store(true)
		_ = cmd.Process.Signal(syscall.SIGQUIT) // which has it say what its goroutines do
		time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
	})()
	var noise []string
	for in := bufio.NewScanner(out); in.Scan(); {
		line, ours := strings.CutPrefix(in.Text(), ": ")
		if !ours {
			noise = append(noise, in.Text())
			continue
		}
		lines = append(lines, line)
		if !dead && kill(line) {
			dead = true
			require.NoError(t, cmd.Process.Kill())
		}
	}
	_ = cmd.Wait()
	require.False(t, hangs.Load() && !dead, "the child hangs after %d lines; its goroutines:\n%s", len(lines), &stacks)
	require.True(t, dead, "the child ended by itself: %s\n%s", strings.Join(noise, "\n"), &stacks)
	return lines
}

// speaker prints whole lines for killed, from any goroutine.
type speaker struct{ mu sync.Mutex }

func (s *speaker) say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = fmt.Fprintf(os.Stdout, ": "+format+"\n", args...)
}
