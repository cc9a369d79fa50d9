package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace/event"
)

func TestTorture(t *testing.T) {
	cycles := "4"
	switch {
	case os.Getenv("HEADRACE_LONG") != "":
		cycles = "20"
	case testing.Short():
		cycles = "2"
	}
	for _, m := range []string{"none", "interval", "group", "batch"} {
		t.Run(m, func(t *testing.T) {
			t.Parallel() // it waits for its children
			dir := filepath.Join(t.TempDir(), "d")
			code, out, errOut := demo(t, "torture", "--dir", dir, "--cycles", cycles, "--durability", m)
			require.Equal(t, exitOK, code, errOut)
			require.Contains(t, errOut, "seed ")
			require.Contains(t, out, "byte for byte")
			good(t, "verify", "--dir", dir)
			if m == "group" {
				good(t, "torture", "--dir", dir, "--cycles", "1", "--durability", m) // one journal, one file
			}
		})
	}
}

// What is not as it was acknowledged is found and named.
func TestTorture_LossIsNamed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	good(t, "torture", "--dir", dir, "--cycles", "1")
	path := filepath.Join(dir, acksFile)
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	all := records(t, dir)
	last := all[len(all)-1]
	id := event.IDFromName("somebody else's")
	lastView, err := event.Parse(last.Body)
	require.NoError(t, err)
	for name, c := range map[string]struct {
		ack  ack
		says string
	}{
		"behind the end": {ack{last.Sequence + 7, id, 1, true}, fmt.Sprintf("event %d, %s", last.Sequence+7, id)},
		"other event":    {ack{1, id, 1, true}, fmt.Sprintf("acknowledged was %s", id)},
		"told twice":     {ack{last.Sequence, id, 1, true}, "acknowledged for two events"},
		"other bytes":    {ack{last.Sequence, lastView.ID(), 1, false}, "other bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, os.WriteFile(path, c.ack.appendLine(bytes.Clone(whole)), 0o600))
			reason := bad(t, exitFailed, "torture", "--dir", dir, "--cycles", "1", "--seed", "5")
			require.Contains(t, reason, c.says)
			require.Contains(t, reason, "seed 5")
		})
	}
	t.Run("half a line does not count", func(t *testing.T) {
		require.NoError(t, os.WriteFile(path, append(bytes.Clone(whole), fmt.Sprintf("%d %s", last.Sequence+7, id)...), 0o600))
		good(t, "torture", "--dir", dir, "--cycles", "1")
	})
	t.Run("no acknowledgement", func(t *testing.T) {
		require.NoError(t, os.WriteFile(path, append(bytes.Clone(whole), "1 2 3 4\n"...), 0o600))
		require.Contains(t, bad(t, exitFailed, "torture", "--dir", dir, "--cycles", "1"), "not an acknowledgement")
	})
}

func TestTorture_JournalGone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	good(t, "torture", "--dir", dir, "--cycles", "1")
	for _, path := range segments(t, dir) {
		require.NoError(t, os.Remove(path))
	}
	require.Contains(t, bad(t, exitFailed, "torture", "--dir", dir, "--cycles", "1"), "was lost")
}

// A child that fails is an error that says why.
func TestTorture_ChildFails(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	good(t, "run", "--dir", dir, "--orders", "10", "--seed", "3")
	require.Contains(t, bad(t, exitFailed, "torture", "--dir", dir, "--cycles", "1"), "another source")
}

func TestAck_RoundTrip(t *testing.T) {
	for _, a := range []ack{{1, event.NewID(), 0, false}, {1 << 60, event.NewID(), 1<<32 - 1, true}} {
		got, err := parseAck(strings.TrimSuffix(string(a.appendLine(nil)), "\n"))
		require.NoError(t, err)
		require.Equal(t, a, got)
	}
	id := event.NewID().String()
	for _, line := range []string{"", "1", "0 " + id + " 00000000 body", "1 x 00000000 body", "1 " + id + " 0 body", "1 " + id + " 00000000 soul", "1 " + id + " 00000000 body "} {
		_, err := parseAck(line)
		require.ErrorIs(t, err, errAck, line)
	}
}

func TestStory(t *testing.T) {
	dir := t.TempDir()
	var out, errOut bytes.Buffer
	require.NoError(t, tell(t.Context(), streams{out: &out, err: &errOut}, dir, 6000), errOut.String())
	require.Contains(t, out.String(), "with SIGKILL after")
	require.Contains(t, out.String(), "Nothing lost, nothing doubled: live = replay.")
	good(t, "verify", "--dir", dir)
}
