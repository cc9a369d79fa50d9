package examples

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// maxLines keeps each program readable at a glance.
const maxLines = 80

// TestExamples builds all programs, runs each, and compares what it prints with its output.txt.
func TestExamples(t *testing.T) {
	mains, err := filepath.Glob("*/main.go")
	require.NoError(t, err)
	require.Len(t, mains, 10)
	bin := t.TempDir() + string(filepath.Separator)
	out, err := exec.Command("go", "build", "-ldflags=-s -w", "-o", bin, "./...").CombinedOutput()
	require.NoError(t, err, "%s", out)
	for _, main := range mains {
		name := filepath.Dir(main)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source, err := os.ReadFile(main)
			require.NoError(t, err)
			require.LessOrEqual(t, bytes.Count(source, []byte("\n")), maxLines)
			want, err := os.ReadFile(filepath.Join(name, "output.txt"))
			require.NoError(t, err)
			cmd := exec.CommandContext(t.Context(), filepath.Join(bin, name))
			cmd.Env = append(os.Environ(), "TMPDIR="+t.TempDir())
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			got, err := cmd.Output()
			require.NoError(t, err, "%s", stderr.String())
			require.Equal(t, string(want), string(got))
		})
	}
}
