package main

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace/internal/failpoint"
)

// Kills at random moments, and at named places where the build has them (tag headrace_failpoint).
func TestTorture_Shop(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	dir := filepath.Join(t.TempDir(), "d")
	cycles := 6
	if failpoint.Enabled {
		cycles = deckSize() + 4 // each place once, also if a machine under load is late at some
	}
	out := good(t, "torture", "--shop", "--dir", dir, "--cycles", strconv.Itoa(cycles))
	require.Contains(t, out, "The ten invariants hold (choreography, mode group)")
	if failpoint.Enabled {
		for _, place := range failpoint.Places() {
			require.Regexp(t, "at "+string(place)+" +[1-9]", out)
		}
	}
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
