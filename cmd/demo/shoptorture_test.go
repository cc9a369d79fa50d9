package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// Kills at random moments, and at named places where the build has them (tag headrace_failpoint).
func TestTorture_Shop(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	dir := filepath.Join(t.TempDir(), "d")
	out := good(t, "torture", "--shop", "--dir", dir, "--cycles", "6")
	require.Contains(t, out, "The ten invariants hold (choreography, mode group)")
	good(t, "verify", "--dir", dir)
}

// The longer form, for planted faults: orchestration and choreography, and enough kills for each of them to bite.
func TestTorture_ShopLong(t *testing.T) {
	if os.Getenv("HEADRACE_LONG") == "" {
		t.Skip("HEADRACE_LONG=1")
	}
	for _, m := range []sagaMode{choreography, orchestration} {
		good(t, "torture", "--shop", "--saga", string(m), "--dir", filepath.Join(t.TempDir(), "d"), "--cycles", "30", "--seed", "11")
	}
}
